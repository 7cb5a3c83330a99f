"""Alerts kill what their hook was made for, once each, and can do nothing else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlmodel import select

from flags import approvals, audit
from flags import services as flags_services
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.errors import InvalidInputError
from flags.models import Notice
from tests.web.managed import ACTOR, make_app
from web.webhooks import kill_hooks
from web.webhooks.alerts import parse_alerts

BEGAN = "2026-12-01T08:59:00Z"


def alertmanager(status: str = "firing", began: str = BEGAN, name: str = "HighErrors") -> Any:
    alert = {
        "status": status,
        "labels": {"alertname": name, "service": "checkout"},
        "annotations": {"summary": "5 % of payments fail"},
        "startsAt": began,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": "c4a2b5d1f0e3",
    }
    return {"version": "4", "status": status, "receiver": "flagstone", "alerts": [alert]}


class Door:
    """The app with three flags in ``shop``, and a hook for some of them."""

    def __init__(self, database: Any, folder: Any, clock: Any) -> None:
        self.database, self.clock = database, clock
        self.app = make_app(database, folder, clock, console=True)
        self.client: FlaskClient = self.app.test_client()
        with database.write() as session:
            flags_services.create_project(session, key="shop", actor=ACTOR, now=clock())
            for key, owner, tags in (
                ("checkout", "payments", "critical, web"),
                ("search", "discovery", "web"),
                ("refunds", "payments", ""),
            ):
                draft = {"key": key, "owner": owner, "metadata": {"tags": tags}}
                flags_services.create_flag(session, "shop", draft, actor=ACTOR, now=clock())

    def hook(self, scope: str = "flags", *names: str) -> str:
        with self.database.write() as session:
            plain, made = kill_hooks.create_hook(
                session,
                "shop",
                "production",
                name="alerts",
                scope=scope,
                names=names or ("checkout",),
                actor=ACTOR,
                now=self.clock(),
            )
        self.number = made.id
        return plain

    def send(self, secret: str, body: Any, status: int = 200, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = self.client.post("/hooks/kill", json=body, headers=headers, **options)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json()

    def killed(self) -> list[str]:
        with self.database.read() as session:
            found = flags_services.list_flags(session, "shop")
        return [e.key for e in found if e.environments["production"].document["killed"]]

    def unkill(self, flag: str = "checkout") -> None:
        change = parse_change({"flag": flag, "instructions": [{"do": "unkill"}]})
        with self.database.write() as session:
            apply_change(session, "shop", "production", change, actor=ACTOR, now=self.clock())


@pytest.fixture
def door(sqlite_database: Database, tmp_path: Path, clock: Any) -> Door:
    # What a hook does passes through `apply_change`, which is tested on both databases.
    return Door(sqlite_database, tmp_path, clock)


def test_a_firing_alert_kills_and_the_audit_has_its_words(door: Door) -> None:
    secret = door.hook()
    assert door.send(secret, alertmanager())["killed"] == ["checkout"]
    assert door.killed() == ["checkout"]
    with door.database.read() as session:
        (entry, *_) = audit.entries(session, 1, resource="flag:checkout", limit=1)
        notice = session.exec(select(Notice).where(Notice.kind == "flag.killed")).one()
    assert (entry.action, entry.actor) == ("kill", f"hook:alerts#{door.number}")
    assert entry.comment == "alert: HighErrors: 5 % of payments fail"
    assert notice.sentence.startswith(f"the kill hook alerts#{door.number} killed checkout")


def test_one_alert_acts_once_and_does_not_overrule_who_lifted_the_kill(door: Door) -> None:
    secret = door.hook()
    door.send(secret, alertmanager())
    door.unkill()
    again = door.send(secret, alertmanager())
    assert (again["killed"], again["repeated"]) == ([], 1)
    door.clock.advance(days=2)
    assert door.send(secret, alertmanager())["repeated"] == 1
    assert door.killed() == []
    later = door.send(secret, alertmanager(began="2026-12-03T10:00:00Z"))
    assert later["killed"] == ["checkout"]


def test_an_alert_that_is_over_or_of_a_kind_we_do_not_know_does_nothing(door: Door) -> None:
    secret = door.hook()
    for status in ("resolved", "pending", "OK", "", None, 7):
        answer = door.send(secret, {**alertmanager(), "alerts": [{"status": status}]})
        assert (answer["killed"], answer["ignored"]) == ([], 1)
    assert door.send(secret, {"alert": "fine again", "status": "resolved"})["ignored"] == 1
    assert door.send(secret, {"title": "x", "alert_transition": "Recovered"})["ignored"] == 1
    assert door.killed() == []


@pytest.mark.parametrize(
    ("scope", "names", "killed"),
    [
        ("flags", ["checkout", "search"], ["checkout", "search"]),
        ("owner", ["payments"], ["checkout", "refunds"]),
        ("tag", ["critical"], ["checkout"]),
        ("tag", ["web", "none"], ["checkout", "search"]),
    ],
)
def test_all_flags_of_the_scope_are_killed_in_one_revision(
    door: Door, scope: str, names: list[str], killed: list[str]
) -> None:
    secret = door.hook(scope, *names)
    assert door.send(secret, {"alert": "everything burns"})["killed"] == killed
    assert door.killed() == killed
    with door.database.read() as session:
        production = flags_services.get_environment(session, "shop", "production")
    assert production.revision == 5


def test_a_hook_kills_where_changes_need_approval(door: Door) -> None:
    secret = door.hook()
    with door.database.write() as session:
        approvals.protect(session, "shop", "production", needed=2, actor=ACTOR, now=door.clock())
    assert door.send(secret, alertmanager())["killed"] == ["checkout"]


def test_a_plain_alert_is_the_same_for_an_hour_and_grafana_and_datadog_are_read(
    door: Door,
) -> None:
    secret = door.hook()
    assert door.send(secret, {"alert": "no payments"})["acted"] == 1
    door.clock.advance(minutes=59)
    assert door.send(secret, {"alert": "no payments"})["repeated"] == 1
    door.clock.advance(minutes=59)
    assert door.send(secret, {"alert": "no payments"})["repeated"] == 1
    door.clock.advance(minutes=61)
    assert door.send(secret, {"alert": "no payments"})["acted"] == 1
    grafana = {**alertmanager(began="2026-12-01T12:00:00Z"), "title": "[FIRING:1]", "orgId": 1}
    assert door.send(secret, grafana)["acted"] == 1
    datadog = {"title": "errors", "alert_transition": "Triggered", "alert_cycle_key": "77"}
    assert door.send(secret, datadog)["acted"] == 1
    door.clock.advance(hours=9)
    assert door.send(secret, datadog)["repeated"] == 1
    assert door.send(secret, {**datadog, "alert_cycle_key": "78"})["acted"] == 1


def test_the_secret_opens_nothing_else_and_no_other_secret_opens_this(door: Door) -> None:
    secret = door.hook()
    headers = {"Authorization": f"Bearer {secret}"}
    assert door.client.get("/api/v1/projects", headers=headers).status_code == 401
    kill = "/api/v1/projects/shop/flags/checkout/environments/production/kill"
    assert door.client.post(kill, json={}, headers=headers).status_code == 401
    for wrong in ("", "x", "fs_hook_" + "a" * 43, secret[:-1] + "A" * (secret[-1] != "A")):
        assert door.send(wrong, alertmanager(), 401 if wrong != secret else 200)
    with door.database.write() as session:
        kill_hooks.revoke_hook(
            session, "shop", "production", door.number or 0, actor=ACTOR, now=door.clock()
        )
    door.send(secret, alertmanager(), 401)
    assert door.killed() == []


def test_the_secret_in_the_address_works_and_is_never_logged(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = door.hook()
    caplog.set_level(logging.DEBUG)
    answer = door.client.post(f"/hooks/kill/{secret}", json=alertmanager("resolved"))
    assert answer.status_code == 200

    def fail(*_: Any, **__: Any) -> None:
        message = "unforeseen"
        raise RuntimeError(message)

    monkeypatch.setattr(kill_hooks, "act", fail)
    answer = door.client.post(f"/hooks/kill/{secret}", json=alertmanager())
    assert answer.status_code == 500
    assert "incident" in caplog.text
    assert "/hooks/kill/…" in caplog.text
    assert secret[8:] not in caplog.text
    assert secret[8:] not in answer.get_data(as_text=True)


def test_calls_and_guesses_are_limited(door: Door) -> None:
    secret = door.hook()
    for _ in range(60):
        door.send(secret, alertmanager("resolved"))
    assert door.send(secret, alertmanager(), 429)["code"] == "too_many_requests"
    other = door.hook("owner", "payments")
    for _ in range(30):
        door.send("guess", {}, 401)
    door.send("guess", {}, 429)
    # Who has a good secret is not kept out by who has not.
    assert door.send(other, alertmanager())["killed"] == ["checkout", "refunds"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"alerts": [1]},
        {"alerts": [{}] * 101},
        {"status": "firing"},
        {"alert": ""},
        {"alert": None},
    ],
)
def test_what_is_no_alert_is_refused_by_name(door: Door, body: Any) -> None:
    secret = door.hook()
    assert door.send(secret, body, 400)["code"] == "invalid_input"
    assert door.killed() == []


def test_words_of_an_alert_are_one_plain_line() -> None:
    (alert,) = parse_alerts({"title": "a\r\nSet-Cookie: x\x1b[31m\u202e" + "b" * 5000})
    assert alert.words.startswith("a Set-Cookie: x [31m b")
    assert len(alert.words) == 500


def test_a_hook_for_nothing_or_for_what_is_not_there_is_refused(door: Door) -> None:
    for scope, names in (("flags", ["nix"]), ("owner", [" "]), ("all", ["x"])):
        with pytest.raises(InvalidInputError):
            door.hook(scope, *names)
