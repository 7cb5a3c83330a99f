"""The demo's story without its processes: visitors, arms, looks and verdicts, in one call."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.contract.policy import look_schedule
from experiments.judging import looks
from experiments.machine import lifecycle
from experiments.machine.lifecycle import Position, State
from experiments.rules import serving
from flags.ranges import BUCKETS
from flagstone.engine import bucket
from stats import LookData, Moments
from web.demo import scenario

PROCESSES = 2
PEOPLE = 20_000

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Crowd:
    """Everybody who may come, by number: their bucket, and what they do in either arm."""

    bucket: npt.NDArray[np.int64]
    does: Mapping[str, Mapping[str, Bools]]


def plans() -> list[Plan]:
    return [parse_plan(document) for document in scenario.plans()]


@lru_cache(maxsize=64)
def crowd(key: str, seed: int, experiment_id: int, people: int = PEOPLE) -> Crowd:
    """Ask everybody once.

    The salt is the service's own: the experiments of a fresh database are numbered from one.
    """
    plan = next(plan for plan in plans() if plan.key == key)
    salt = serving.salt_of(plan, experiment_id)
    by_number = sorted(
        (
            (number, visitor)
            for process in range(PROCESSES)
            for number, visitor in zip(
                range(process, people, PROCESSES),
                scenario.visitors(seed=seed, process=process, processes=PROCESSES),
                strict=False,
            )
        ),
        key=lambda pair: pair[0],
    )
    visitors = [visitor for _number, visitor in by_number]
    does: dict[str, dict[str, Bools]] = {}
    for arm in plan.arms:
        shown = {"new_checkout": False, "shipping_hint": False, "green_button": False}
        shown[_ARGUMENT[key]] = arm != plan.control
        events = [
            {name for name, _amount in scenario.behaviour(visitor, seed=seed, **shown)}
            for visitor in visitors
        ]
        does[arm] = {
            metric.key: np.array([metric.event in caused for caused in events])
            for metric in plan.metrics
        }
    buckets = np.array([bucket("flagstone", salt, each.unit, BUCKETS) for each in visitors])
    return Crowd(buckets, does)


_ARGUMENT = {
    scenario.BROKEN: "new_checkout",
    scenario.WINNER: "shipping_hint",
    scenario.NOTHING: "green_button",
}


@dataclass(frozen=True)
class Ending:
    """How an experiment ended in a rehearsal."""

    verdict: str
    winner: str | None
    seconds: float
    looks: int


def arrivals(
    chance: random.Random, rate: Callable[[float], float], seconds: float
) -> Iterator[float]:
    """Give the times at which a process serves visitors, when it gets ``rate(now)`` a second."""
    now = chance.uniform(0.5, 4.0)
    while now < seconds:
        yield now
        now += 1.0 / max(rate(now), 0.1)


def uneven(chance: random.Random, least: float, most: float) -> Callable[[float], float]:
    """Give a rate that changes every two seconds, as it does on a loaded machine."""
    rates: dict[int, float] = {}

    def rate(now: float) -> float:
        return rates.setdefault(int(now / 2), chance.uniform(least, most))

    return rate


def rehearse(
    plan: Plan,
    people: Crowd,
    chance: random.Random,
    *,
    least: float,
    most: float,
    missed: float = 0.2,
) -> Ending:
    """Let visitors come, look when the plan says so (or miss it), and give the ending.

    Parameters
    ----------
    least, most : float
        Visitors a second that one process manages, drawn anew every two seconds.
    missed : float
        Share of looks that a busy worker skips, as it does when the next is due before it came.
    """
    numbers: list[int] = []
    times: list[float] = []
    for process in range(PROCESSES):
        rate = uneven(chance, least, most)
        for place, time in enumerate(arrivals(chance, rate, plan.prove_by_seconds)):
            number = process + place * PROCESSES
            if number >= len(people.bucket):
                break
            numbers.append(number)
            times.append(time)
    when, who = np.array(times), np.array(numbers)
    position = Position(
        treatments=plan.treatments,
        last_step=len(plan.policy.ramp_steps(plan.coverage)) - 1,
        state=State.RAMPING,
        step=0,
        authorised=plan.authorised_in_advance,
    )
    widened_at = np.inf
    taken: list[LookData] = []
    schedule = look_schedule(plan.policy, plan.prove_by_seconds)
    for offset in schedule:
        if offset != schedule[-1] and chance.random() < missed:
            continue
        arm = _arms(plan, people, who, when, widened_at)
        look = _look(plan, people, who, when, arm, offset, taken)
        taken.append(look)
        decision = looks.decide(plan, taken)
        position = lifecycle.look(position, looks.finding_of(decision, look)).position
        if position.verdict is not None:
            return Ending(position.verdict, position.winner, offset, len(taken))
        due = plan.policy.ramp_offset(1) if position.last_step else np.inf
        now = offset + plan.policy.settle_seconds + chance.uniform(0.0, 1.5)
        if widened_at == np.inf and now >= due:
            widened_at = now
    raise AssertionError("the last look decides")


def _arms(
    plan: Plan,
    people: Crowd,
    who: npt.NDArray[np.int64],
    when: Floats,
    widened_at: float,
) -> npt.NDArray[np.int64]:
    """Give everybody's arm (index into the plan's), -1 for those outside the coverage."""
    arm = np.full(len(who), -1)
    narrow = plan.policy.ramp_steps(plan.coverage)[0].coverage
    for coverage, chosen in ((narrow, when < widened_at), (plan.coverage, when >= widened_at)):
        for each in serving.ranges_for(plan.weight_of, coverage):
            for first, last in each["ranges"]:
                inside = (people.bucket[who] >= first) & (people.bucket[who] < last)
                arm[chosen & inside] = plan.arms.index(each["variant"])
    return arm


def _look(
    plan: Plan,
    people: Crowd,
    who: npt.NDArray[np.int64],
    when: Floats,
    arm: npt.NDArray[np.int64],
    offset: float,
    taken: list[LookData],
) -> LookData:
    enrolled = (when <= offset) & (when <= plan.enrol_seconds)
    counts = {name: int((enrolled & (arm == i)).sum()) for i, name in enumerate(plan.arms)}
    sums: dict[str, dict[str, Moments]] = {}
    for metric in plan.metrics:
        mature = enrolled & (when + metric.window_seconds <= offset)
        sums[metric.key] = {}
        for i, name in enumerate(plan.arms):
            chosen = who[mature & (arm == i)]
            total = float(people.does[name][metric.key][chosen].sum())
            sums[metric.key][name] = Moments(float(len(chosen)), total, total, total)
    return looks.build_look(
        plan,
        number=len(taken) + 1,
        offset=offset,
        counts=counts,
        sums=sums,
        quality=looks.Quality(),
        earlier=taken,
    )
