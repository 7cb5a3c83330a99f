"""Anybody may look between looks: the answer holds however often, and moves nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlmodel import select

from experiments.judging.record import verify
from experiments.models import DecisionRecord, Experiment, Look, UnscheduledLook
from experiments.monitoring.unscheduled import answer_due
from experiments.moves.lease import acquire
from experiments.people import services, unscheduled
from flags.actor import Actor
from flags.errors import StateError
from flags.models import AuditEntry
from tests.experiments.conftest import plan_document

READER = Actor("user", "reader@example.org")
BETTER = {"purchase": {"control": 0.2, "new": 0.23}, "error": {"control": 0.1, "new": 0.1}}
SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
BOLD = {"purchase": {"control": 0.2, "new": 0.5}, "error": {"control": 0.1, "new": 0.1}}


def ask(world: Any, seconds: float, actor: Actor = READER) -> UnscheduledLook:
    with world.database.write() as session:
        return unscheduled.ask(
            session, "shop", "production", "button", actor=actor, now=world.at(seconds)
        )


def told(world: Any, seconds: float) -> dict[str, Any]:
    with world.database.read() as session:
        experiment = services.get_experiment(session, "shop", "production", "button")
        return unscheduled.asked_document(session, experiment, now=world.at(seconds))


def state_of(world: Any) -> tuple[Any, ...]:
    """Give everything that decides, or is decided."""
    with world.database.read() as session:
        return tuple(
            [row.model_dump() for row in session.exec(select(table))]
            for table in (Experiment, Look, DecisionRecord, AuditEntry)
        )


def run_until(world: Any, seconds: int, rates: dict[str, Any], units: int = 1200) -> None:
    world.run()
    for second in range(0, seconds, 10):
        world.traffic(second, second + 10, units, rates)
        world.tick(second + 10)


def test_an_answer_is_read_up_to_now_and_moves_nothing(world: Any) -> None:
    run_until(world, 30, SAME)
    world.traffic(30, 36, 600, SAME)
    before = state_of(world)
    assert told(world, 36)["status"] == "none"
    ask(world, 36)
    assert told(world, 36)["status"] == "pending"
    world.tick(37)
    found = told(world, 37)
    assert state_of(world) == before
    assert (found["status"], found["asked_by"]) == ("ready", "reader@example.org")
    reading = found["reading"]
    assert reading["at"] == world.at(37).isoformat()
    # Whom the last look had not seen: it had 3,600 at the most.
    assert sum(reading["counts"].values()) == 4200
    purchase, errors = reading["rows"]
    assert (purchase["metric"], purchase["arm"], purchase["role"]) == ("purchase", "new", "success")
    assert purchase["low"] < 0 < purchase["high"]
    assert purchase["low"] < purchase["estimate"] < purchase["high"]
    assert errors["unit"] == "share of units"
    about = " ".join(reading["about"])
    assert "decides nothing" in about
    assert "95 % at every moment together, however often anybody asks" in about
    assert re.search(r"[+−][\d.]+ points .*between .+ and .+$", purchase["text"])
    assert re.search(r"They are [\d. to]+ times as wide as the scheduled intervals would", about)
    assert verify(world.export()).identical


def test_however_sure_an_answer_is_nothing_ships(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 25, 2000, BOLD)
    # Seen by no look yet: the first comes late.
    ask(world, 9)
    world.tick(9)
    world.tick(10)
    ask(world, 39)
    before = world.experiment.verdict
    assert before is None
    assert len(world.looks) == 1
    world.traffic(25, 36, 1000, BOLD)
    state = state_of(world)
    held = _answered_only(world, 39)
    assert held["rows"][0]["low"] > 0.15
    assert state_of(world) == state


def _answered_only(world: Any, seconds: float) -> dict[str, Any]:
    """Let the worker answer, and do nothing else that is due."""
    held = acquire(world.database, "worker-1", now=world.at(seconds))
    assert held is not None
    assert answer_due(world.database, world.store, held, world.at(seconds)) == 1
    with world.database.read() as session:
        row = session.exec(select(UnscheduledLook)).one()
    found: dict[str, Any] = row.document
    return found


@pytest.mark.parametrize("rates", [BETTER, SAME], ids=["better", "same"])
def test_before_the_first_ship_date_no_sign_is_shown(
    sqlite_world: Any, rates: dict[str, Any]
) -> None:
    world = sqlite_world
    run_until(world, 20, rates)
    ask(world, 21)
    world.tick(21)
    reading = told(world, 21)["reading"]
    assert "No sign is shown before 3 days of 10s" in reading["hidden_because"]
    for row in reading["rows"]:
        assert row["half_width"] > 0
        # A middle would be the estimate: there is neither an end nor a middle.
        signs = ("estimate", "se", "low", "high", "relative", "relative_low", "relative_high")
        assert [row[name] for name in signs] == [None] * len(signs)
        assert "known to within ± " in row["text"]
        assert not re.search(r"[+−]\d", row["text"])
    # The same answer, once the card shows effects.
    world.traffic(20, 30, 1200, rates)
    world.tick(30)
    assert told(world, 30)["reading"]["rows"][0]["estimate"] is not None


def test_a_split_that_is_not_the_planned_one_hides_everything(sqlite_world: Any) -> None:
    world = sqlite_world
    run_until(world, 30, SAME)
    compiled = world.compiled()
    extra = [
        unit
        for unit in (f"lost{i}" for i in range(1500))
        if compiled.evaluate("checkout", {"targetingKey": unit}, 0.0).variant == "control"
    ]
    world.expose(extra, 31)
    ask(world, 36)
    world.tick(37)
    reading = told(world, 37)["reading"]
    assert reading["hidden_because"].startswith("Hidden: the split is not the planned one")
    assert reading["rows"] == ()
    world.tick(40)
    assert world.experiment.verdict == "INVALID"
    assert told(world, 41)["reading"]["rows"] == ()


def test_an_invalid_experiment_hides_what_was_said_before(sqlite_world: Any) -> None:
    world = sqlite_world
    run_until(world, 30, SAME)
    ask(world, 31)
    world.tick(31)
    assert told(world, 31)["reading"]["rows"]
    compiled = world.compiled()
    extra = [
        unit
        for unit in (f"lost{i}" for i in range(1500))
        if compiled.evaluate("checkout", {"targetingKey": unit}, 0.0).variant == "control"
    ]
    world.expose(extra, 33)
    world.tick(40)
    assert world.experiment.verdict == "INVALID"
    reading = told(world, 41)["reading"]
    assert (reading["rows"], reading["hidden_because"][:6]) == ((), "Hidden")


def test_one_question_at_a_time_and_a_fresh_answer_is_given_again(sqlite_world: Any) -> None:
    world = sqlite_world
    # A day of 1,440 s: an answer is fresh for ten seconds.
    run = {"looks": [{"every": "1440s"}], "minimum": "1440s", "ship_every": "1440s"}
    document = _plan(world, prove_by="14400s", policy=run | {"day": "1440s"})
    world.run(document)
    first = ask(world, 5)
    second = ask(world, 6, Actor("user", "other@example.org"))
    assert (second.asked_at, second.asked_by) == (first.asked_at, "reader@example.org")
    world.tick(7)
    assert told(world, 7)["fresh_until"] == world.at(17)
    assert ask(world, 16.9).answered_at == world.at(7)
    again = ask(world, 17)
    assert (again.asked_at, again.answered_at) == (world.at(17), None)
    # Until the new one is there the old one can be read.
    pending = told(world, 17)
    assert pending["status"] == "pending"
    assert pending["reading"]["at"] == world.at(7).isoformat()


def _plan(world: Any, **changes: Any) -> dict[str, Any]:
    document = plan_document()
    policy = document["policy"] | changes.pop("policy", {})
    return document | changes | {"policy": policy}


def test_only_what_runs_can_be_asked(sqlite_world: Any) -> None:
    world = sqlite_world
    world.create()
    with pytest.raises(StateError, match="is DRAFT"):
        ask(world, 0)
    world.do(services.seal)
    with pytest.raises(StateError, match="is SEALED"):
        ask(world, 0)
    world.do(services.start)
    ask(world, 1)
    world.do(services.stop, now=2, reason="enough")
    with pytest.raises(StateError, match="is ROLLED_BACK"):
        ask(world, 3)
    # Nobody waits for ever: it says why there is no answer.
    world.tick(3)
    assert "ended" in told(world, 3)["reading"]["failed"]


def test_what_cannot_be_read_is_said_and_keeps_nobody_waiting(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    ask(world, 1)

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise OSError("the disk is gone")

    whole = world.store
    world.store = Broken()
    try:
        result = world.tick(2)
    finally:
        world.store = whole
    assert (result.elected, result.errors) == (True, ())
    found = told(world, 2)
    assert found["status"] == "ready"
    assert "the disk is gone" in found["reading"]["failed"]
    # A failure is no fresh answer.
    assert ask(world, 3).answered_at is None


def test_the_width_follows_what_was_planned_and_never_the_data(sqlite_world: Any) -> None:
    """The forecast made before the start says where the intervals are sharpest."""
    world = sqlite_world
    world.create(_plan(world, planned_units=12_000))
    world.do(services.seal)
    world.do(services.start)
    world.traffic(0, 10, 3000, SAME)
    ask(world, 9)
    document = _answered_only(world, 19)
    assert document["planned_units"] == 12_000
    # 3,000 are a quarter: no mixture is narrower there.
    assert document["rows"][0]["critical"] == pytest.approx(3.035, abs=0.01)
