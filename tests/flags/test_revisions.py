"""Revisions: numbered, immutable, revertible, announced."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
from typing import Any

import pytest
from sqlmodel import select

from flags.errors import InvalidInputError, NotFoundError
from flags.models import FlagEnvironment
from flags.publish import build_document, publish
from flags.revisions import (
    current_etags,
    get_revision,
    list_revisions,
    load_bytes,
    lock_environment,
    revision_at,
    revision_in_force,
    unpack,
)
from flags.services import create_environment, get_environment

EU = {"attr": "country", "op": "in", "values": ["DE"]}


def without_versions(flag_set: dict[str, Any]) -> dict[str, Any]:
    flags = {key: {**flag, "version": 0} for key, flag in flag_set["flags"].items()}
    return {"flags": flags, "segments": flag_set["segments"]}


def test_a_revision_holds_the_whole_flag_set_and_its_hash(shop: Any) -> None:
    revision = shop.change({"do": "turn_on"}).revision
    data = unpack(revision)
    document = json.loads(data)
    assert document["version"] == revision.number == 3
    assert document["schema"] == 1
    assert document["environment"] == "production"
    assert revision.etag == hashlib.sha256(data).hexdigest()
    assert (
        data
        == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
    assert revision.actor == "user:ada@example.org"
    assert revision.created_at == shop.now


def test_numbers_start_at_one_and_have_no_gaps(shop: Any) -> None:
    for _ in range(3):
        shop.change({"do": "turn_on"})
        shop.change({"do": "turn_off"})
    with shop.database.read() as session:
        environment = get_environment(session, shop.project, "production")
        newest = list_revisions(session, environment.id, limit=3)
        older = list_revisions(session, environment.id, before=newest[-1].number)
    numbers = [revision.number for revision in newest + older]
    assert numbers == list(range(environment.revision, 0, -1))


def test_the_state_of_any_past_instant_can_be_read(shop: Any) -> None:
    shop.now += dt.timedelta(hours=1)
    shop.change({"do": "turn_on"})
    with shop.database.read() as session:
        environment = get_environment(session, shop.project, "production")
        assert revision_at(session, environment.id, shop.now).number == 3
        assert revision_at(session, environment.id, shop.now - dt.timedelta(seconds=1)).number == 2
        just = dt.timedelta(microseconds=1)
        assert revision_at(session, environment.id, shop.now - just).number == 2
        with pytest.raises(NotFoundError, match="no revision yet; its first is of 2026-06-01T12"):
            revision_at(session, environment.id, shop.now - dt.timedelta(days=1))
        for late in (shop.now, shop.now + dt.timedelta(days=1)):
            assert revision_in_force(session, environment.id, late, now=shop.now).number == 3
        then = revision_in_force(session, environment.id, shop.now - just, now=shop.now)
        assert then.number == 2
        with pytest.raises(NotFoundError):
            get_revision(session, environment.id, 99)
        assert load_bytes(session, environment.id) == load_bytes(session, environment.id, 3)


def test_a_writer_that_waited_does_not_publish_into_the_past(shop: Any) -> None:
    asked = shop.now
    shop.now += dt.timedelta(seconds=1)
    shop.change({"do": "turn_on"})
    shop.now = asked
    shop.change({"do": "kill"})
    times = []
    with shop.database.read() as session:
        for number in (2, 3, 4):
            times.append(get_revision(session, shop.id(), number).created_at)
        between = asked + dt.timedelta(milliseconds=500)
        assert revision_at(session, shop.id(), between).number == 2
        assert revision_at(session, shop.id(), times[-1]).number == 4
    assert times == sorted(times)


def test_current_etags_name_the_newest_revision_of_every_environment(shop: Any) -> None:
    revision = shop.change({"do": "turn_on"}).revision
    with shop.database.read() as session:
        staging = get_environment(session, shop.project, "staging").id
        etags = current_etags(session)
    assert etags[revision.environment_id] == (3, revision.etag)
    assert etags[staging][0] == 2


def test_revisions_cannot_be_edited_or_deleted(shop: Any) -> None:
    with pytest.raises(TypeError, match="append-only"), shop.database.write() as session:
        get_revision(session, shop.id(), 1).comment = "nothing happened"
    with pytest.raises(TypeError, match="append-only"), shop.database.write() as session:
        session.delete(get_revision(session, shop.id(), 1))


def test_rows_that_make_no_valid_flag_set_are_never_published(shop: Any) -> None:
    number = shop.number()

    def spoil() -> None:
        with shop.database.write() as session:
            environment = lock_environment(session, shop.project, "production")
            row = session.exec(
                select(FlagEnvironment).where(FlagEnvironment.environment_id == environment.id)
            ).one()
            row.state = {**row.state, "default": "nope"}
            publish(session, environment, shop.actor, "", shop.now)

    with pytest.raises(InvalidInputError) as refusal:
        spoil()
    assert refusal.value.field == "flags.checkout.default"
    assert shop.number() == number
    assert shop.document()["default"] == "control"


def test_one_flag_is_reverted_as_a_new_revision(shop: Any) -> None:
    shop.create({"key": "other"})
    shop.change({"do": "turn_on"}, {"do": "add_segment", "segment": "eu", "condition": EU})
    rule = {"id": "r", "when": {"segment": "eu"}, "serve": "new"}
    shop.change({"do": "add_rule", "rule": rule}, {"do": "update_flag", "owner": "growth"})
    good = shop.number()
    then = shop.document()
    shop.change({"do": "turn_on", "flag": "other"})
    shop.change({"do": "remove_rule", "rule": "r"}, {"do": "update_flag", "owner": ""})
    shop.change({"do": "remove_segment", "segment": "eu"})
    shop.change(
        {"do": "kill"},
        {"do": "update_variant", "variant": "new", "value": "broken"},
        {"do": "add_variant", "variant": "late", "value": "x"},
    )
    result = shop.change({"do": "revert_to", "revision": good})
    assert result.revision is not None
    assert result.revision_number == shop.number() > good
    assert {**shop.document(), "version": then["version"]} == then
    assert shop.document()["version"] > then["version"]
    assert shop.flag_set()["segments"] == {"eu": EU}
    assert shop.document("other")["enabled"] is True


def test_a_whole_environment_is_reverted_and_later_flags_are_off(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "add_segment", "segment": "eu", "condition": EU})
    good = shop.number()
    then = without_versions(shop.flag_set())
    shop.create({"key": "late"})
    shop.change({"do": "turn_on", "flag": "late"})
    shop.change({"do": "update_segment", "segment": "eu", "condition": True})
    shop.change({"do": "add_segment", "segment": "late", "condition": True})
    shop.change({"do": "kill"}, {"do": "set_default", "variant": None})
    from flags.changes import apply_change, parse_change

    change = parse_change({"instructions": [{"do": "revert_to", "revision": good}]})
    with shop.database.write() as session:
        apply_change(session, shop.project, "production", change, actor=shop.actor, now=shop.now)
    now = without_versions(shop.flag_set())
    late = now["flags"].pop("late")
    assert now == then
    assert late["enabled"] is False


def test_a_variant_that_another_environment_serves_survives_a_revert(shop: Any) -> None:
    good = shop.number()
    shop.change({"do": "add_variant", "variant": "late", "value": "x"})
    shop.change({"do": "set_default", "variant": "late"}, environment="staging")
    shop.change({"do": "turn_on"})
    shop.change({"do": "revert_to", "revision": good})
    assert "late" in shop.document()["variants"]
    assert shop.document()["enabled"] is False
    assert shop.document(environment="staging")["default"] == "late"


def test_reverting_brings_an_archived_flag_back(shop: Any) -> None:
    good = shop.number()
    shop.change({"do": "archive"})
    shop.change({"do": "revert_to", "revision": good})
    assert "checkout" in shop.flag_set()["flags"]
    assert "checkout" in shop.flag_set(environment="staging")["flags"]


def test_a_new_environment_has_every_flag_off_and_a_first_revision(shop: Any) -> None:
    shop.change({"do": "turn_on"}, {"do": "set_off_variant", "variant": "new"})
    with shop.database.write() as session:
        made = create_environment(session, shop.project, key="qa", actor=shop.actor, now=shop.now)
        assert build_document(session, made) == shop_document(session, made)
    assert made.revision == 1
    assert made.position == 2
    flag = shop.flag_set(environment="qa")["flags"]["checkout"]
    assert (flag["enabled"], flag["off"], flag["rules"]) == (False, "new", [])


def shop_document(session: Any, environment: Any) -> Any:
    return json.loads(load_bytes(session, environment.id))


@pytest.mark.postgresql
def test_postgresql_announces_a_revision_when_it_is_committed(
    request: pytest.FixtureRequest, postgresql_url: str
) -> None:
    import psycopg

    from flags.actor import Actor
    from flags.database import Database
    from flags.services import create_project

    database = Database(postgresql_url)
    database.create_all()
    heard: list[str] = []
    listening = threading.Event()

    def listen() -> None:
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute("LISTEN flagstone")
            listening.set()
            for notice in connection.notifies(timeout=60, stop_after=1):
                heard.append(notice.payload)

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(60)
    now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    with database.write() as session:
        create_project(
            session,
            key="shop",
            environments=[("production", "", True)],
            actor=Actor("system", "test"),
            now=now,
        )
        number = get_environment(session, "shop", "production").id
    thread.join(60)
    database.dispose()
    assert heard == [f"{number}:1"]
