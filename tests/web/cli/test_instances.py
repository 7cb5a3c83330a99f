"""``flagstone instances`` with real SDK clients of a real service."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flags.database import Database
from flagstone import Client, Timing
from web.auth.models import Token


@pytest.fixture(scope="module")
def key(cli: Any) -> str:
    """A server key of production."""
    token: str = cli_post(
        cli, "tokens", {"kind": "srv", "name": "web", "environment": "production"}
    )
    return token


def cli_post(cli: Any, path: str, body: dict[str, Any]) -> str:
    from web.cli.remote import Remote

    remote = Remote(cli.url, cli.token, cli.project)
    return str(remote.post(remote.project_path(path), body)["token"])


@pytest.fixture
def clients(cli: Any, key: str) -> Iterator[list[Client]]:
    timing = Timing(heartbeat_seconds=0.3)
    made = [
        Client(cli.url, key, start_wait_seconds=60.0, timing=timing, host_name=True)
        for _ in range(2)
    ]
    yield made
    for client in made:
        client.close(1.0)


def heard_of(cli: Any, clients: list[Client]) -> list[dict[str, Any]]:
    """Those of the clients that the service has heard of; nobody waits for the others."""
    ours = {client.status().instance for client in clients}
    return [each for each in cli.ok("instances") if each["id"] in ours]


def test_clients_are_listed_with_what_they_serve_and_what_they_would(
    cli: Any, clients: list[Client], wait_until: Any, new_key: str
) -> None:
    wait_until(lambda: len(heard_of(cli, clients)) == 2)
    cli.ok("flags", "create", new_key)
    clients[0].get_boolean(new_key, {}, False)
    clients[1].get_boolean(new_key, {}, True)
    clients[1].get_string("no-such-flag", {}, "x")
    cli.ok("instances", "--wait", "60")
    revision = max(client.status().revision or 0 for client in clients)
    first, _ = heard_of(cli, clients)
    assert (first["state"], first["revision"], first["source"]) == ("current", revision, "stream")
    assert first["sdk"].startswith("flagstone-python ")
    assert first["host"]
    assert cli.ok("instances", "--stale") == []

    def told() -> Any:
        found = {each["flag"]: each for each in cli.ok("instances", "--defaults")}
        return found if len(found.get(new_key, {"defaults": []})["defaults"]) == 2 else None

    fallbacks = wait_until(told)
    assert fallbacks[new_key]["disagree"]
    assert fallbacks[new_key]["flag_type"] == "boolean"
    assert fallbacks["no-such-flag"]["flag_type"] is None
    shown = cli.terminal("instances", "--defaults", columns=160).out
    assert "callers disagree" in shown
    assert "no such flag" in shown
    shown = cli.terminal("instances", columns=200).out
    assert "current" in shown
    assert "All are on the newest revision." in cli.terminal("instances", "--stale").out


def test_who_does_not_follow_is_named_and_the_exit_code_says_so(
    cli: Any, clients: list[Client], wait_until: Any, new_key: str
) -> None:
    wait_until(lambda: len(heard_of(cli, clients)) == 2)
    cli.ok("instances", "--wait", "60")
    hold = threading.Event()
    # Fetches are held up, as by a network that lost one machine; heartbeats go on.
    clients[0].on_change(lambda change: hold.wait(120))
    store = clients[0]._own_store
    apply = store.apply
    store.apply = lambda *given: hold.wait(120) and apply(*given)  # type: ignore[method-assign]
    before = clients[1].status().told_revision
    try:
        cli.ok("flags", "create", new_key)
        wait_until(lambda: clients[1].status().told_revision != before)
        answer = cli.pipe("instances", "--wait", "4")
        assert answer.code == 5
        assert "1 not on revision" in answer.error
        (stale,) = [each for each in cli.ok("instances", "--stale") if each["state"] == "behind"]
        assert stale["id"] == clients[0].status().instance
    finally:
        hold.set()
    assert cli.pipe("instances", "--wait", "60").code == 0


def test_nobody_is_there_at_first(own: Any) -> None:
    assert own.ok("instances", "-e", "staging") == []
    assert "No SDK has been heard of" in own.terminal("instances", "-e", "staging").out
    assert "No SDK has told" in own.terminal("instances", "-e", "staging", "--defaults").out


def test_keys_that_ask_over_ofrep_are_named(own: Any) -> None:
    assert "over OFREP" in own.terminal("instances", "--ofrep", "-e", "staging").out
    made = own.ok("tokens", "create", "web page", "--kind", "cli", "-e", "staging")
    database = Database(own.database_url)
    with database.write() as session:
        # The service would write it within a minute of a call.
        token = session.get_one(Token, made["id"])
        token.ofrep_used_at = dt.datetime.now(dt.UTC)
        session.add(token)
    database.dispose()
    (found,) = own.ok("instances", "--ofrep", "-e", "staging")
    assert (found["key"], found["kind"]) == (f"web page#{made['id']}", "cli")
    assert "web page" in own.terminal("instances", "--ofrep", "-e", "staging").out
