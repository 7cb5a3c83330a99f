"""Scheduled changes: at their time, once, whatever happens to the workers in between."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from experiments.errors import FencedError
from experiments.moves.lease import Held, acquire
from flags import approvals, change_requests, schedules, services
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.models import ChangeRequest
from flags.request_rows import Writing, get
from flags.revisions import get_revision
from web.auth import service as auth
from web.auth.models import User
from web.schedules import carry_out_due

NOW = dt.datetime(2026, 12, 1, 9, 0, tzinfo=dt.UTC)
ADA, BOB = Actor("user", "ada@example.org"), Actor("user", "bob@example.org")
ON = {"do": "turn_on", "flag": "checkout"}


def later(minutes: float) -> dt.datetime:
    return NOW + dt.timedelta(minutes=minutes)


class Shop:
    """A project with one flag, and a worker whose clock is told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.write() as session:
            for person in (ADA, BOB):
                session.add(
                    User(email=person.name, role="editor", password_hash="x", created_at=NOW)
                )
            services.create_project(session, key="shop", actor=ADA, now=NOW)
            services.create_flag(session, "shop", {"key": "checkout"}, actor=ADA, now=NOW)

    def schedule(self, minutes: float, *instructions: dict[str, Any], by: Actor = ADA) -> int:
        change = parse_change(
            {
                "mode": "schedule",
                "at": later(minutes).isoformat(),
                "instructions": list(instructions) or [ON],
            }
        )
        with self.database.write() as session:
            made = change_requests.submit(
                session, "shop", "production", change, by=Writing(by), now=NOW
            )
        assert made.id is not None
        return made.id

    def approve(self, number: int) -> None:
        with self.database.write() as session:
            content = get(session, "shop", number).content_hash
            change_requests.approve(session, "shop", number, content, by=Writing(BOB), now=NOW)

    def set_person(self, person: Actor, **fields: Any) -> None:
        with self.database.write() as session:
            user = auth.find_user(session, person.name)
            assert user is not None
            for name, value in fields.items():
                setattr(user, name, value)
            session.add(user)

    def change(self, instruction: dict[str, Any]) -> None:
        change = parse_change({"instructions": [instruction]})
        with self.database.write() as session:
            apply_change(session, "shop", "production", change, actor=ADA, now=NOW)

    def held(self, holder: str, minutes: float) -> Held:
        held = acquire(self.database, holder, now=later(minutes))
        assert held is not None
        return held

    def work(self, minutes: float) -> int:
        held = self.held("w", minutes)
        return carry_out_due(self.database, held, now=later(minutes))

    def standing(self, number: int) -> tuple[str, dict[str, Any]]:
        with self.database.read() as session:
            found = get(session, "shop", number)
            return found.state, found.outcome or {}

    def enabled(self) -> bool:
        with self.database.read() as session:
            flag = services.get_flag(session, "shop", "checkout")
        return bool(flag.environments["production"].document["enabled"])

    def revision(self) -> int:
        with self.database.read() as session:
            return services.get_environment(session, "shop", "production").revision


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def test_a_change_happens_at_its_time_and_once(shop: Shop) -> None:
    number = shop.schedule(30)
    before = shop.revision()
    assert shop.work(29.9) == 0
    assert not shop.enabled()
    assert shop.work(30) == 1
    assert shop.enabled()
    assert shop.work(30.1) == 0
    assert shop.revision() == before + 1
    state, outcome = shop.standing(number)
    assert (state, outcome["by"], outcome["late_seconds"]) == ("applied", "system:flagstone", 0)
    with shop.database.read() as session:
        environment = services.get_environment(session, "shop", "production")
        assert environment.id is not None
        comment = get_revision(session, environment.id, environment.revision).comment
    assert comment == f"change {number}, asked for by {ADA}"


def test_after_downtime_it_is_applied_late_or_missed(shop: Shop) -> None:
    soon, too_long_ago = shop.schedule(90), shop.schedule(10)
    assert shop.work(120) == 2
    assert shop.standing(soon)[0] == "applied"
    assert shop.standing(soon)[1]["late_seconds"] == 1800
    state, outcome = shop.standing(too_long_ago)
    assert (state, outcome["reason"]) == (
        "missed",
        "the service did not get to it within 60 minutes",
    )


def test_what_nobody_approved_in_time_is_missed(shop: Shop) -> None:
    with shop.database.write() as session:
        approvals.protect(session, "shop", "production", needed=1, actor=ADA, now=NOW)
    alone, approved = shop.schedule(30), shop.schedule(31)
    shop.approve(approved)
    assert shop.work(30) == 1
    assert shop.standing(alone)[1]["reason"] == "it was not approved by its time"
    assert not shop.enabled()
    assert shop.work(31) == 1
    assert shop.enabled()


def test_what_cannot_be_done_at_its_time_says_why(shop: Shop) -> None:
    shop.change({"do": "add_variant", "flag": "checkout", "variant": "new", "value": True})
    approved = shop.schedule(30, {"do": "set_default", "flag": "checkout", "variant": "off"})
    shop.approve(approved)
    gone = shop.schedule(31, {"do": "remove_variant", "flag": "checkout", "variant": "new"})
    shop.change({"do": "set_off_variant", "flag": "checkout", "variant": "new"})
    before = shop.revision()
    assert shop.work(33) == 2
    state, outcome = shop.standing(approved)
    assert (state, outcome["approved"], outcome["present"]) == (
        "stale",
        {"flags.checkout.off": "off"},
        {"flags.checkout.off": "new"},
    )
    state, outcome = shop.standing(gone)
    assert state == "failed"
    assert "new" in outcome["reason"]
    assert shop.revision() == before


def test_steps_on_one_flag_follow_each_other(shop: Shop) -> None:
    rule = {"id": "r", "serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}}
    shop.change({"do": "add_rule", "flag": "checkout", "rule": rule})
    shares = [(30, 0.2), (40, 0.5), (50, 1.0)]
    steps = [
        shop.schedule(at, {"do": "set_coverage", "flag": "checkout", "rule": "r", "value": share})
        for at, share in shares
    ]
    first, last = shop.schedule(29), shop.schedule(60, {"do": "turn_off", "flag": "checkout"})
    assert [shop.work(at) for at in (29, 30, 40, 50, 60)] == [1, 1, 1, 1, 1]
    assert {shop.standing(each)[0] for each in (first, *steps, last)} == {"applied"}
    assert not shop.enabled()


def cover(share: float) -> dict[str, Any]:
    return {"do": "set_coverage", "flag": "checkout", "rule": "all", "value": share}


@pytest.fixture
def ramp(shop: Shop) -> list[int]:
    """Give 25 % at ten past nine and 50 % at twenty past, both approved, the second one first."""
    rule = {"id": "all", "serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}}
    shop.change({"do": "add_rule", "flag": "checkout", "rule": rule})
    with shop.database.write() as session:
        approvals.protect(session, "shop", "production", needed=1, actor=ADA, now=NOW)
    steps = [shop.schedule(10, cover(0.25)), shop.schedule(20, cover(0.5))]
    for step in reversed(steps):
        shop.approve(step)
    return steps


def ranges_of(document: Any) -> Any:
    return document["rules"][0]["serve"]["split"]["to"][0]["ranges"]


def test_approved_steps_on_one_flag_follow_each_other(shop: Shop, ramp: list[int]) -> None:
    with shop.database.read() as session:
        preview = get(session, "shop", ramp[1]).preview
    told = [ranges_of(preview[when]["checkout"]) for when in ("before", "after")]
    assert told == [[[0, 2500]], [[0, 5000]]], "as of when the first one is made"
    assert [shop.work(at) for at in (10, 20)] == [1, 1]
    assert [shop.standing(each)[0] for each in ramp] == ["applied", "applied"]


def test_an_approved_step_rests_upon_those_before_it(shop: Shop, ramp: list[int]) -> None:
    owner = shop.schedule(15, {"do": "update_flag", "flag": "checkout", "owner": "growth"})
    shop.approve(owner)
    assert [shop.work(at) for at in (10, 15, 20)] == [1, 1, 1]
    state, outcome = shop.standing(ramp[1])
    assert (state, outcome["present"]) == ("stale", {"flags.checkout.owner": "growth"})


def test_a_step_that_will_fail_is_not_reckoned_with(shop: Shop, ramp: list[int]) -> None:
    gone = shop.schedule(5, {"do": "remove_rule", "flag": "checkout", "rule": "all"})
    shop.approve(gone)
    last = shop.schedule(30, {"do": "turn_on", "flag": "checkout"})
    with shop.database.read() as session:
        assert get(session, "shop", last).preview["after"]["checkout"]["rules"] == []


# What became of Ada, who wrote it.
LEFT = {
    "disabled": {"disabled": True},
    "a viewer everywhere": {"role": "viewer"},
}


@pytest.mark.parametrize("change", LEFT.values(), ids=LEFT)
def test_nothing_happens_for_who_may_not_write_any_more(shop: Shop, change: Any) -> None:
    alone, approved = shop.schedule(30), shop.schedule(40)
    shop.approve(approved)
    shop.set_person(ADA, **change)
    assert shop.work(30) == 1
    state, outcome = shop.standing(alone)
    assert (state, "may change 'production' any more" in outcome["reason"]) == ("failed", True)
    assert shop.work(40) == 1
    assert shop.standing(approved)[0] == "applied", "Bob answers for it"


def test_a_role_in_the_environment_is_what_counts(shop: Shop) -> None:
    number = shop.schedule(30)
    with shop.database.write() as session:
        environment = services.get_environment(session, "shop", "production")
        project = services.get_project(session, "shop")
        role = {"by": ADA, "now": NOW}
        auth.set_role(session, project, None, ADA.name, auth.Role.EDITOR, **role)
        auth.set_role(session, project, environment, ADA.name, auth.Role.VIEWER, **role)
    assert shop.work(30) == 1
    assert shop.standing(number)[0] == "failed"


@pytest.mark.parametrize("end", ["revoked", "over", "of staging", "a viewer's", "good"])
def test_a_keys_changes_end_with_the_key(shop: Shop, end: str) -> None:
    with shop.database.write() as session:
        project = services.get_project(session, "shop")
        staging = services.get_environment(session, "shop", "staging")
        _, token = auth.create_token(
            session,
            auth.TokenKind.USER,
            name="ci",
            created_by=BOB,
            now=NOW,
            project_id=project.id,
            environment_ids=[staging.id or 0] if end == "of staging" else None,
            role=auth.Role.VIEWER if end == "a viewer's" else auth.Role.EDITOR,
            expires_at=later(20) if end == "over" else None,
        )
        if end == "revoked":
            token.revoked_at = later(10)
    number = shop.schedule(30, by=Actor("token", f"ci#{token.id}"))
    assert shop.work(30) == 1
    assert shop.standing(number)[0] == ("applied" if end == "good" else "failed")


def test_what_was_taken_back_does_not_happen(shop: Shop) -> None:
    number = shop.schedule(30)
    with shop.database.write() as session:
        change_requests.withdraw(session, "shop", number, by=Writing(ADA), now=later(1))
    assert shop.work(30) == 0
    assert not shop.enabled()


def test_a_worker_that_lost_its_turn_applies_nothing(shop: Shop) -> None:
    number = shop.schedule(30)
    old = shop.held("old", 1)
    shop.held("new", 30)
    with pytest.raises(FencedError):
        carry_out_due(shop.database, old, now=later(30))
    assert shop.standing(number)[0] == "approved"
    assert not shop.enabled()


def test_two_workers_at_once_apply_it_once(shop: Shop) -> None:
    number = shop.schedule(30)
    held = shop.held("w", 30)
    before = shop.revision()
    both = [
        threading.Thread(
            target=carry_out_due, args=(shop.database, held), kwargs={"now": later(30)}
        )
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join(100)
    assert shop.standing(number)[0] == "applied"
    assert shop.revision() == before + 1


def test_one_that_fails_unforeseen_stays_due_and_holds_nobody_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        shop.schedule(30),
        shop.schedule(31, {**ON, "do": "set_default", "variant": "on"}),
    )
    real = schedules.perform

    def fails(session: Any, each: schedules.Due, *, now: dt.datetime) -> ChangeRequest | None:
        if each.request_id == first:
            message = "the disk is full"
            raise OSError(message)
        return real(session, each, now=now)

    monkeypatch.setattr(schedules, "perform", fails)
    assert shop.work(31) == 1
    monkeypatch.undo()
    assert shop.standing(first)[0] == "approved"
    assert shop.standing(second)[0] == "applied"


_DIES = """
import datetime as dt, os, signal, sys
from experiments.moves.lease import Held
import experiments.models, flags.models, web.auth.models
from flags import schedules
from flags.database import Database
import web.schedules

real = schedules.perform

def dies(session, each, *, now):
    real(session, each, now=now)
    session.flush()
    os.kill(os.getpid(), signal.SIGKILL)

schedules.perform = dies
held = Held("monitor", "w", int(sys.argv[2]))
web.schedules.carry_out_due(
    Database(sys.argv[1]), held, now=dt.datetime.fromisoformat(sys.argv[3])
)
"""


def test_a_worker_killed_before_its_commit_loses_nothing(shop: Shop) -> None:
    number = shop.schedule(30)
    held = shop.held("w", 30)
    before = shop.revision()
    arguments = [shop.database.url, str(held.fence), later(30).isoformat()]
    done = subprocess.run(
        [sys.executable, "-c", _DIES, *arguments], env=os.environ, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert (shop.standing(number)[0], shop.revision()) == ("approved", before)
    assert shop.work(30.1) == 1
    assert (shop.standing(number)[0], shop.revision()) == ("applied", before + 1)
