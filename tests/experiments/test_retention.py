"""No event goes that an experiment may still read."""

from __future__ import annotations

from typing import Any

import sqlmodel

from experiments.measuring.retention import keep_since
from experiments.models import Experiment


def kept_days(world: Any, keep_days: int, *, now: float) -> float | None:
    at = world.at(now)
    since = keep_since(world.database, keep_days=keep_days, now=at)
    return None if since is None else (at.timestamp() - since) / 86_400


DAY = 86_400.0


def test_without_a_rule_nothing_goes(sqlite_world: Any) -> None:
    assert kept_days(sqlite_world, 0, now=500 * DAY) is None


def test_without_experiments_the_rule_alone_decides(sqlite_world: Any) -> None:
    assert kept_days(sqlite_world, 30, now=500 * DAY) == 30


def test_what_a_running_experiment_reads_stays_until_it_has_ended(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    assert kept_days(world, 30, now=10 * DAY) == 30
    assert kept_days(world, 30, now=45 * DAY) == 45
    with world.database.write() as session:
        session.exec(sqlmodel.select(Experiment)).one().ended_at = world.at(46 * DAY)
    assert kept_days(world, 30, now=47 * DAY) == 30


def test_a_plan_that_cannot_be_read_keeps_everything(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    with world.database.write() as session:
        session.exec(sqlmodel.select(Experiment)).one().plan = {"key": "?"}
    assert kept_days(world, 30, now=45 * DAY) is None
