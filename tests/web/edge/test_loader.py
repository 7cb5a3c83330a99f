"""From the database to the state in memory, and what happens when a document is unusable."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flags.models import Environment
from web.edge.loader import Loader
from web.edge.state import State
from web.edge.watcher import Watcher


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest.fixture
def loader(database: Any) -> Iterator[Loader]:
    made = Loader(database)
    yield made
    made.close()


def test_an_environment_without_a_revision_has_an_empty_flag_set(
    control: Any, loader: Loader
) -> None:
    number = control.environment()
    snapshot = loader.load().snapshots[number]
    assert (snapshot.version, snapshot.flag_keys) == (0, ())
    assert snapshot.flag_set_id == "shop/production"
    assert loader.load().snapshots[number] is snapshot


def test_only_the_changed_environment_is_built_again(
    control: Any, loader: Loader, boolean_flag: Callable[..., Any]
) -> None:
    first, second = control.environment(), control.environment("staging")
    control.publish(first, {"checkout": boolean_flag()})
    before = loader.load()
    control.publish(second, {"checkout": boolean_flag(on=False)})
    after = loader.load()
    assert after.snapshots[first] is before.snapshots[first]
    assert after.snapshots[second].version == 1
    assert after.snapshots[second].compiled.evaluate("checkout", {}, 0.0).value is False


def test_an_unchanged_database_gives_the_same_state(control: Any, loader: Loader) -> None:
    control.key(control.environment())
    assert loader.load() is loader.load()


@pytest.mark.parametrize("document", [b"not json", b"[]", b'{"schema": 99}', b"\xff"])
def test_an_unusable_flag_set_leaves_the_last_good_one_in_service(
    control: Any, loader: Loader, boolean_flag: Callable[..., Any], document: bytes
) -> None:
    number, other = control.environment(), control.environment("staging")
    control.publish(number, {"checkout": boolean_flag()})
    good = loader.load().snapshots[number]
    control.publish(number, document)
    control.publish(other, {"checkout": boolean_flag()})
    state = loader.load()
    assert state.snapshots[number] is good
    assert "shop/production revision 2" in state.failures[number]
    assert state.snapshots[other].version == 1
    assert loader.load() is state
    control.publish(number, {"checkout": boolean_flag(on=False)})
    mended = loader.load()
    assert mended.failures == {}
    assert mended.snapshots[number].version == 3


def test_keys_come_with_their_end_and_go_when_revoked(control: Any, loader: Loader) -> None:
    number = control.environment()
    until = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    server, client = control.key(number), control.key(number, "cli", until)
    keys = loader.load().keys
    assert keys[digest(server)].kind == "srv"
    assert keys[digest(server)].expires_at is None
    assert keys[digest(client)].kind == "cli"
    assert keys[digest(client)].expires_at == until.timestamp()
    control.revoke(server)
    assert set(loader.load().keys) == {digest(client)}


def test_a_person_s_key_is_not_a_key_of_the_data_plane(control: Any, loader: Loader) -> None:
    control.key(control.environment(), "usr")
    assert loader.load().keys == {}


def test_a_deleted_environment_is_forgotten(control: Any, loader: Loader) -> None:
    number = control.environment()
    assert number in loader.load().snapshots
    with control.database.write() as session:
        session.delete(session.get_one(Environment, number))
    assert loader.load().snapshots == {}


def test_a_lost_connection_is_replaced(control: Any, loader: Loader) -> None:
    number = control.environment()
    loader.load()
    loader._connection.connection.driver_connection.close()  # type: ignore[union-attr]
    with pytest.raises(Exception, match=r"(?i)clos"):
        loader.load()
    assert number in loader.load().snapshots


@pytest.fixture
def watch(control: Any) -> Iterator[Callable[..., list[State]]]:
    """Start a watcher; give the list of what it publishes."""
    started: list[Watcher] = []

    def start(safety_poll_seconds: float) -> list[State]:
        published: list[State] = []
        watcher = Watcher(
            Loader(control.database), published.append, safety_poll_seconds=safety_poll_seconds
        )
        watcher.start()
        started.append(watcher)
        return published

    yield start
    for watcher in started:
        watcher.stop()
        assert watcher.error is None


def test_the_watcher_is_told_of_every_revision(
    control: Any,
    watch: Callable[..., list[State]],
    boolean_flag: Callable[..., Any],
    wait_until: Callable[..., Any],
) -> None:
    number = control.environment()
    published = watch(safety_poll_seconds=600)
    wait_until(lambda: published)
    for version in range(1, 6):
        control.publish(number, {"checkout": boolean_flag(version=version)})
        wait_until(lambda v=version: published[-1].snapshots[number].version == v)
    assert [state.snapshots[number].version for state in published] == list(range(6))


def test_the_watcher_sees_keys_come_and_go(
    control: Any, watch: Callable[..., list[State]], wait_until: Callable[..., Any]
) -> None:
    number = control.environment()
    published = watch(safety_poll_seconds=0.05)
    wait_until(lambda: published)
    secret = control.key(number)
    wait_until(lambda: digest(secret) in published[-1].keys)
    control.revoke(secret)
    wait_until(lambda: digest(secret) not in published[-1].keys)
    assert len(published) == 3
