"""The sample of contexts, from an evaluation over HTTP to a preview."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import httpx

from flags.database import Database
from flags.services import get_environment
from flagstone import Client, Timing
from tests.web.cli.conftest import PROJECT
from tests.web.conftest import wait_until
from web.auth import service as auth


def a_server_key(cli: Any, environment_key: str) -> str:
    database = Database(cli.database_url)
    with database.write() as session:
        environment = get_environment(session, PROJECT, environment_key)
        plain, _row = auth.create_token(
            session,
            auth.TokenKind.SERVER,
            name="sample",
            project_id=environment.project_id,
            environment_id=environment.id,
            created_by="test",
            now=dt.datetime.now(dt.UTC),
        )
    database.dispose()
    return plain


def test_who_is_evaluated_is_counted_in_previews_and_forgotten_when_switched_off(
    cli: Any, new_key: str
) -> None:
    here = ("-e", "staging")
    cli.ok("flags", "create", new_key)
    assert cli.ok("contexts", "show", *here)["size"] == 0
    assert "evaluations fill it" in " ".join(cli.terminal("contexts", "show", *here).out.split())
    key = a_server_key(cli, "staging")
    url = f"{cli.url}/ofrep/v1/evaluate/flags/{new_key}"
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:

        def ask() -> bool:
            answer = client.post(url, json={"context": {"targetingKey": "ada", "plan": "max"}})
            return answer.status_code == 200

        wait_until(ask)
        wait_until(lambda: cli.ok("contexts", "show", *here)["size"] == 1)
    wide = ("--instruction", '{"do": "turn_on"}', "--rollout", "on=100%")
    answer = cli.ok("flags", "set", new_key, *wide, "--preview", *here)
    assert answer["blast_radius"]["moved"]["count"] == 1
    (cell,) = answer["blast_radius"]["flags"][new_key]["matrix"]
    assert (cell["before"]["value"], cell["after"]["value"]) == (False, True)
    assert cell["examples"] == [{"targetingKey": "•••"}]
    words = " ".join(cli.terminal("flags", "set", new_key, *wide, "--preview", *here).out.split())
    assert "Of 1 context, all seen in the last 7 days, 1 moves" in words
    assert "1 contexts" not in cli.terminal("contexts", "show", *here).out
    assert cli.ok("contexts", "off", *here, "-m", "names in contexts")["on"] is False
    shown = " ".join(cli.terminal("flags", "set", new_key, *wide, "--preview", *here).out.split())
    assert "Contexts are not sampled in this environment" in shown
    assert cli.ok("contexts", "on", *here)["size"] == 0


def test_who_an_sdk_evaluates_is_counted_too(cli: Any, new_key: str) -> None:
    cli.ok("flags", "create", new_key)
    here = ("-e", "production")
    only = ("--instruction", '{"do": "turn_on"}')
    rule = {"when": {"attr": "plan", "op": "in", "values": ["max"]}, "serve": "on"}
    served = ("--instruction", json.dumps({"do": "add_rule", "rule": {"id": "max", **rule}}))
    cli.ok("flags", "set", new_key, *only, *served)
    key = a_server_key(cli, "production")
    timing = Timing(heartbeat_seconds=0.1)
    with Client(cli.url, key, start_wait_seconds=20, timing=timing) as client:

        def counted() -> int:
            for number in range(40):
                plan = "max" if number % 4 == 0 else "free"
                client.get_boolean(new_key, {"targetingKey": f"s{number}", "plan": plan}, False)
            return int(cli.ok("contexts", "show", *here)["size"])

        wait_until(lambda: counted() >= 40, every=0.1)
        killed = cli.ok("flags", "set", new_key, "--instruction", '{"do": "kill"}', "--preview")
        moved = killed["blast_radius"]["moved"]
        assert (moved["count"], killed["blast_radius"]["sample"]["size"]) == (10, 40)
        # Nobody has told their country: that is not the same as having none.
        rule["when"] = {"attr": "country", "op": "exists"}
        asked = ("--instruction", json.dumps({"do": "add_rule", "rule": rule}))
        unknown = cli.ok("flags", "set", new_key, *asked, "--preview")["blast_radius"]
        assert unknown["moved"] is None
        assert unknown["sample"]["aside"] == 40
        assert "do not say what these rules ask about" in unknown["sentence"]
    cli.ok("contexts", "off", *here)
    cli.ok("contexts", "on", *here)
