"""Trajectories of one metric: their schedule, their sums, and where our rule ends them.

A metric's two error rates are those of two plans with one metric each: a success metric that is
not watched for harm ships or does not; a safety metric harms or does not. As in the document's
reference figures every look may ship, also before the first week is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibrations.line import Run
from benchmarks.calibrations.peer import Flags
from stats import DecisionPlan, Endings, MetricSpec, Role, Schedule, Verdict, follow
from stats.planning.rule import ENDS

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Direction = Literal["up", "down"]

#: Units, both arms together, that a fixed test at 5 % of a 10 % conversion needs (80 % power).
PLANNED_UNITS = 2 * 57_700
HARM, VALUE, FUTILE = (
    ENDS.index(verdict) for verdict in (Verdict.HARM, Verdict.VALUE_PROVEN, Verdict.FUTILE)
)


@dataclass(frozen=True)
class Design:
    """When is looked, and at how many units.

    ``split`` is the treatment's share, ``units`` those of both arms at the horizon.
    """

    split: float = 0.5
    units: int = PLANNED_UNITS
    days: int = 28
    horizon_days: int = 28
    looks_per_day: int = 1

    @property
    def times(self) -> Array:
        """Spending times."""
        looks = np.arange(1, self.days * self.looks_per_day + 1)
        times: Array = looks / (self.horizon_days * self.looks_per_day)
        return times

    @property
    def cumulative(self) -> Integers:
        """Units of control and treatment at every look: shape (looks, 2)."""
        arms = np.array([1 - self.split, self.split])
        units: Integers = np.rint(self.times[:, None] * self.units * arms).astype(np.int64)
        return units

    @property
    def steps(self) -> Integers:
        """New units of control and treatment at every look."""
        return np.diff(self.cumulative, axis=0, prepend=0)

    @property
    def schedule(self) -> Schedule:
        """The looks, every one of which may say everything."""
        every = (True,) * len(self.times)
        rows = tuple(tuple(float(n) for n in row) for row in self.cumulative)
        return Schedule(tuple(self.times.tolist()), rows, every, every)

    def plan(self, metric: MetricSpec, *, watched: bool = True) -> DecisionPlan:
        """Plan one metric; a success metric that is not watched can only ship."""
        return DecisionPlan(
            ("control", "treatment"),
            (1 - self.split, self.split),
            (metric,),
            None if watched else {metric.key: 0.0},
        )


@dataclass(frozen=True, eq=False)
class Sides:
    """Index of the look at which each side is first crossed; -1 for never."""

    up: Integers
    down: Integers

    @classmethod
    def joined(cls, parts: list[Sides]) -> Sides:
        """Put parts of the replicas together."""
        return cls(*(np.concatenate([getattr(p, side) for p in parts]) for side in ("up", "down")))

    @classmethod
    def of(cls, up: Flags, down: Flags) -> Sides:
        """Find the first look of each side."""
        return cls(*(np.where(f.any(axis=1), f.argmax(axis=1), -1) for f in (up, down)))


def sides(design: Design, sums: Array, *, binary: bool, direction: Direction = "up") -> Sides:
    """Follow trajectories with our rule, once for each side: ``up`` ships, ``down`` harms."""
    ship, harm = (
        MetricSpec("y", role, binary=binary, direction=direction)
        for role in (Role.SUCCESS, Role.SAFETY)
    )
    plans = design.plan(ship, watched=False), design.plan(harm)
    ended = [follow(design.schedule, {"y": sums}, plan) for plan in plans]
    return Sides(_first(ended[0], VALUE), _first(ended[1], HARM))


def _first(endings: Endings, verdict: int) -> Integers:
    return np.where(endings.verdicts == verdict, endings.looks, -1)


def conversions(
    rng: np.random.Generator, replicas: int, design: Design, rates: tuple[float, float]
) -> Array:
    """Draw counts of conversions: shape (replicas, looks, 2, 4)."""
    events = rng.binomial(design.steps, rates, (replicas, *design.steps.shape))
    s1 = np.cumsum(events, axis=1, dtype=float)
    n = np.broadcast_to(design.cumulative.astype(float), s1.shape)
    return np.stack([n, s1, s1, s1], axis=-1)


def both_sides(
    run: Run,
    design: Design,
    batches: Iterator[Array],
    *,
    binary: bool,
    direction: Direction = "up",
) -> tuple[Sides, Sides | None]:
    """Follow batches of trajectories with our rule, and with gbstats if it is there."""
    ours, theirs = [], []
    for sums in batches:
        ours.append(sides(design, sums, binary=binary, direction=direction))
        if run.gbstats is not None:
            up, down = run.gbstats.crossed(sums, binary=binary)
            theirs.append(Sides.of(up, down) if direction == "up" else Sides.of(down, up))
    return Sides.joined(ours), Sides.joined(theirs) if theirs else None


def of_conversions(
    run: Run,
    design: Design,
    rates: tuple[float, float],
    scenario: int,
    *,
    direction: Direction = "up",
) -> tuple[Sides, Sides | None]:
    """Follow conversions with these rates."""
    rng = run.rng(scenario)
    batches = (conversions(rng, part, design, rates) for part in run.parts(1000))
    return both_sides(run, design, batches, binary=True, direction=direction)
