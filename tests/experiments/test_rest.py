"""A worker does not read again what it found at rest, and misses nothing by that."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.errors import SourceError
from experiments.judging.record import verify
from experiments.monitoring.monitor import Memory, TickResult, tick
from experiments.monitoring.rest import watched
from experiments.moves.enact import plan_of


class Worker:
    """A worker that remembers what it found at rest."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.memory = Memory()

    def reads(self, second: float) -> list[int]:
        now = self.world.at(second)
        return [found for found, _ in watched(self.world.database, self.memory, now)]

    def tick(self, second: float) -> TickResult:
        world = self.world
        return tick(
            world.database, world.store, holder="w", now=world.at(second), memory=self.memory
        )


@pytest.fixture
def worker(world: Any) -> Worker:
    world.run()
    return Worker(world)


def test_an_experiment_at_rest_is_not_read_until_its_next_instant(worker: Worker) -> None:
    assert worker.reads(1) == [1], "nothing is known of it yet"
    worker.tick(1)
    assert worker.reads(2) == worker.reads(3) == []
    due = (worker.world.experiment.next_look_at - worker.world.at(0)).total_seconds()
    assert worker.reads(due - 0.01) == []
    assert worker.reads(due) == [1]
    assert worker.tick(due).looks == 1
    assert worker.reads(due) == [1], "the look has changed it: what follows is not known"
    worker.tick(due)
    assert worker.reads(due) == []


@pytest.mark.parametrize("instant", ["next_look_at", "next_ramp_at", "confirm_by", "explain_by"])
def test_every_instant_that_comes_wakes_it(worker: Worker, instant: str) -> None:
    worker.tick(1)
    # As every write of the worker does, this makes a new version: known by the next tick.
    with worker.world.database.write() as session:
        experiment = session.get_one(type(worker.world.experiment), 1)
        for clock in ("next_look_at", "next_ramp_at", "confirm_by", "explain_by"):
            setattr(experiment, clock, None)
        setattr(experiment, instant, worker.world.at(4))
        session.add(experiment)
    ((_, versions),) = watched(worker.world.database, Memory(), worker.world.at(2))
    worker.memory.at_rest[1] = versions
    assert worker.reads(3) == []
    assert worker.reads(4) == [1]


def test_an_edit_by_hand_is_seen_by_the_next_tick(worker: Worker) -> None:
    worker.tick(1)
    edit = {"id": "exp-button", "when": {"attr": "x", "op": "exists"}}
    worker.world.edit({"do": "update_rule", "rule": edit}, now=2)
    assert worker.reads(2) == [1]
    worker.tick(2)
    assert (worker.world.experiment.state, worker.world.experiment.held_cause) == ("HELD", "seal")


def test_a_flag_that_is_archived_is_seen_by_the_next_tick(worker: Worker) -> None:
    worker.tick(1)
    worker.world.edit({"do": "archive"}, now=2)
    assert worker.tick(2).moves == 1
    assert "archived" in worker.world.experiment.note


def test_what_people_do_to_it_is_seen_and_what_has_ended_is_forgotten(worker: Worker) -> None:
    from experiments.people import services

    worker.tick(1)
    worker.world.do(services.stop, reason="no longer wanted")
    assert worker.reads(2) == [], "nothing is watched any more"
    assert worker.memory == Memory()


def test_trouble_is_not_rest(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.monitoring import monitor

    def broken(*_: Any) -> Any:
        raise OSError("the disk is away")

    monkeypatch.setattr(monitor, "_serve", broken)
    assert worker.tick(1).errors
    assert worker.reads(2) == [1]


@pytest.fixture
def unread(sqlite_world: Any, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker of an experiment whose source is down from the start."""
    from experiments.monitoring import monitor

    def down(*_: Any) -> Any:
        raise SourceError("nobody answers at the warehouse")

    sqlite_world.run()
    monkeypatch.setattr(monitor, "look_if_due", down)
    return Worker(sqlite_world)


def test_a_source_that_is_down_is_not_asked_at_every_tick(unread: Worker) -> None:
    assert "warehouse" in unread.tick(1).errors[0]
    assert unread.tick(2).errors == unread.tick(30.9).errors == ()
    assert unread.tick(31).errors


def test_a_source_that_stays_down_holds_the_experiment_and_the_deadline_ends_it(
    unread: Worker,
) -> None:
    world = unread.world
    policy, prove_by = plan_of(world.experiment).policy, 100
    stale = policy.settle_seconds + policy.stale_seconds
    end = policy.settle_seconds + prove_by + policy.explain_within_seconds
    tick(world.database, world.store, holder="w", now=world.at(stale))
    assert world.experiment.held_cause is None
    tick(world.database, world.store, holder="w", now=world.at(stale + 1))
    assert (world.experiment.state, world.experiment.held_cause) == ("HELD", "stale")
    assert "cannot be read" in world.experiment.note
    tick(world.database, world.store, holder="w", now=world.at(end - 1))
    assert world.experiment.state == "HELD"
    tick(world.database, world.store, holder="w", now=world.at(end))
    found = world.experiment
    assert (found.state, found.verdict) == ("ROLLED_BACK", "NOT_PROVEN_IN_TIME")
    assert set(world.served().values()) == {"control"}
    assert verify(world.export()).identical
