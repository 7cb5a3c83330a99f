"""Low traffic is no silence; a feed that stops is noticed soon, and who is in it stays in it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

from experiments.judging.freshness import freshness
from experiments.judging.record import verify
from experiments.machine.alarms import SILENCE_CHANCE, longest_silence
from experiments.monitoring.monitor import Memory, tick
from experiments.store.base import Event

HOUR, DAY = 3600.0, 86400.0
STALE = 6 * HOUR


# --- how long a silence may be


def test_a_busy_feed_is_stale_by_the_policy_and_a_slow_one_after_nine_of_its_gaps() -> None:
    assert longest_silence(STALE, 5000, DAY) == STALE
    slow = longest_silence(STALE, 100, 50 * DAY)
    assert slow == pytest.approx(9.2 * DAY / 2, rel=0.06)
    # Of few units the gap is hardly known: the fewer, the longer the silence that is none.
    assert longest_silence(STALE, 3, 3 * DAY) > 4 * 9.2 * DAY


def test_before_anybody_has_come_the_policys_own_gap_is_waited_for() -> None:
    assert longest_silence(STALE, 0, 0.0) == pytest.approx(55 * HOUR, rel=0.01)


@pytest.mark.parametrize("per_day", [2.0, 30.0])
def test_chance_alone_makes_a_steady_feed_look_stale_as_rarely_as_it_says(
    per_day: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a chance of one in twenty, since one in ten thousand is not seen in 4,000 feeds."""
    from experiments.machine import alarms

    monkeypatch.setattr(alarms, "SILENCE_CHANCE", 0.05)
    rng, stale, feeds = random.Random(3), 0, 4000
    for _ in range(feeds):
        time = newest = rng.expovariate(per_day)
        units = 0
        while time <= 5.0:
            units, newest = units + 1, time
            time += rng.expovariate(per_day)
        stale += units > 0 and 5.0 - newest > longest_silence(0.0, units, newest)
    assert 0.038 < stale / feeds < 0.062


def look(offset: float, step: int, units: int) -> dict[str, Any]:
    return {"offset": offset, "ramp_step": step, "look": {"counts": {"a": units, "b": 0}}}


def test_traffic_is_that_of_the_present_step_once_anybody_has_come_in_it() -> None:
    looks = [look(DAY, 0, 2), look(4 * DAY, 1, 5)]
    in_step = freshness(
        STALE, offset=5 * DAY, newest=5 * DAY, counts={"a": 405, "b": 0}, looks=looks, step=2
    )
    assert in_step.may_be_silent == STALE
    # Mixed with the slow days it would be taken for a feed of four an hour.
    nobody = freshness(
        STALE, offset=5 * DAY, newest=3.9 * DAY, counts={"a": 5, "b": 0}, looks=looks, step=2
    )
    assert nobody.may_be_silent == longest_silence(STALE, 3, 2.9 * DAY)
    assert not nobody.stale


def test_who_comes_after_the_enrolment_makes_no_gap() -> None:
    found = freshness(
        STALE, offset=20 * DAY, newest=20 * DAY, counts={"a": 20}, enrol_seconds=2 * DAY
    )
    assert found.may_be_silent == longest_silence(STALE, 20, 2 * DAY)


# --- through the monitor


class Site:
    """A site with a steady number of visitors a day, watched by a worker every hour."""

    def __init__(self, world: Any, per_day: float) -> None:
        self.world, self.per_day = world, per_day
        self.rng, self.memory = random.Random(5), Memory()
        self.asked: list[float] = []
        self.hour = 0
        self.next = self.rng.expovariate(per_day / DAY)
        self.open = True
        inbox = world.store.inbox
        recent = inbox.recent

        def counted(*args: Any, **options: Any) -> Any:
            self.asked.append(self.hour * HOUR)
            return recent(*args, **options)

        inbox.recent = counted

    def until(self, day: float, every: int = 1) -> Iterator[Any]:
        """Let some hours pass at a time; give the experiment after each of them."""
        world = self.world
        while self.hour * HOUR < day * DAY:
            self.hour += every
            compiled, events = world.compiled(), []
            while self.next < self.hour * HOUR:
                at, unit = world.at(self.next).timestamp(), f"v{self.next}"
                self.next += self.rng.expovariate(self.per_day / DAY)
                met = compiled.evaluate("checkout", {"targetingKey": unit}, at)
                if met.track and self.open:
                    place = (world.environment_id(), at, unit, "checkout")
                    events.append(Event(world._id(), *place, met.variant, met.rule_id, 1))
            if events:
                world.store.append(events)
            now = world.at(self.hour * HOUR)
            result = tick(world.database, world.store, holder="w", now=now, memory=self.memory)
            assert result.errors == ()
            yield world.experiment


def slow_plan(make_plan: Any, **policy: Any) -> Any:
    document = make_plan(prove_by="28d")
    for metric in document["metrics"]:
        metric["window"] = "1d"
    looks = [{"every": "12h", "until": "2d"}, {"every": "1d"}]
    rules = {"looks": looks, "minimum": "7d", "ship_every": "7d", "day": "1d", "settle": "2m"}
    return document | {"policy": {"name": "slow"} | rules | policy}


def test_a_site_of_a_hundred_visitors_a_day_is_not_held_at_two_per_cent_and_is_when_it_stops(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    world.run(slow_plan(make_plan, ramp=[{"coverage": 0.02, "hold": "4d"}]))
    site = Site(world, 100)
    assert {experiment.state for experiment in site.until(3.8, every=4)} == {"RAMPING"}
    silences = [look.data["quality"]["newest_event_age_seconds"] for look in world.looks]
    assert max(silence or 0 for silence in silences) > STALE
    assert 4 < sum(world.looks[-1].data["look"]["counts"].values()) < 20
    line = next(line for line in world.card(4 * DAY).trust if line.name == "freshness")
    assert (line.good, "without any are no alarm" in line.text) == (True, True)
    assert {each.state for each in site.until(6, every=4)} == {"RUNNING"}
    assert world.experiment.coverage == 1.0
    # It stops an hour after a look: the next one is 23 hours away.
    list(site.until(6 + 1 / 24))
    served, asked = world.flag()["rules"], len(site.asked)
    site.open = False
    while next(site.until(20)).state == "RUNNING":
        pass
    experiment = world.experiment
    assert (experiment.state, experiment.held_cause, experiment.coverage) == ("HELD", "stale", 1.0)
    assert "Whoever meets the change keeps it" in experiment.note
    assert world.flag()["rules"] == served
    assert len(site.asked) - asked <= 3
    assert STALE < world.records[-1]["body"]["silent_seconds"] <= STALE + HOUR
    # And goes on within the hour in which events arrive again.
    site.open, opened = True, site.hour
    while next(site.until(20)).state == "HELD":
        pass
    assert site.hour - opened <= 2
    assert "Events arrive again" in world.experiment.note
    assert verify(world.export()).identical


def test_a_ramp_does_not_widen_before_anybody_was_seen_nor_while_nothing_is(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    ramp = [{"coverage": 0.5, "hold": "20s"}, {"coverage": 0.8, "hold": "40s"}]
    world.run(make_plan(policy=make_plan()["policy"] | {"ramp": ramp, "stale": "15s"}))
    world.tick(10)
    world.tick(20)
    assert (world.experiment.state, world.experiment.coverage) == ("RAMPING", 0.5)
    same = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
    world.traffic(20, 30, 400, same)
    world.tick(30)
    assert (world.experiment.state, world.experiment.coverage) == ("RAMPING", 0.8)
    world.tick(60)
    assert (world.experiment.state, world.experiment.held_cause) == ("HELD", "stale")
    served = world.served(300)
    world.tick(70)
    assert (world.experiment.coverage, world.served(300)) == (0.8, served)
    world.traffic(70, 80, 400, same)
    world.tick(80)
    assert world.experiment.coverage == 1.0, "it goes on where its schedule is"


def test_nobody_at_all_is_held_in_the_end(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    world.run(slow_plan(make_plan))
    site = Site(world, 100)
    site.open = False
    list(site.until(2, every=12))
    states = [(site.hour, each.state) for each in site.until(2.5)]
    held = min(hour for hour, state in states if state == "HELD")
    assert held == math.ceil(-math.log(SILENCE_CHANCE) * 6 + 2 / 60)
    assert len(site.asked) <= 60 - held + 1


def test_nothing_is_asked_of_the_store_while_looks_come_in_time(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    world.run(slow_plan(make_plan, looks=[{"every": "4h"}], ramp=[]))
    site = Site(world, 400)
    assert {each.state for each in site.until(0.5)} == {"RUNNING"}
    assert site.asked == []
