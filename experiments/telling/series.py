"""How an estimate and its interval went from look to look, per metric and treatment: as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan

_KINDS = ("ship", "noninferiority", "harm", "explore", "futility")


class StoredLook(Protocol):
    """What a series needs of a look as it is stored."""

    number: int
    data: dict[str, Any]
    decision: dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One look at one metric in one treatment.

    Parameters
    ----------
    day : float
        Days of the policy since the start.
    estimate : float
        Difference, treatment minus control, in the metric's unit.
    low, high : float, optional
        Ends of the repeated interval; ``None`` where unbounded.
    could_prove : bool
        Whether the look could have proven anything; all others can find harm, or give up.
    crossed : bool
        Whether a test of this metric and treatment crossed its bound.
    """

    look: int
    day: float
    estimate: float
    low: float | None
    high: float | None
    could_prove: bool
    crossed: bool


@dataclass(frozen=True)
class Mark:
    """A value on the axis of differences that means something: break-even, the least effect."""

    value: float
    label: str


@dataclass(frozen=True)
class Series:
    """All looks at one metric in one treatment that had an estimate."""

    metric: Metric
    arm: str
    control: str
    points: tuple[Point, ...]
    marks: tuple[Mark, ...]

    @property
    def title(self) -> str:
        """Name the series: ``purchases, new against control``."""
        return f"{self.metric.title}, {self.arm} against {self.control}"

    @property
    def text(self) -> str:
        """Say what a drawing of the series shows, for those who do not see it."""
        if not self.points:
            return f"{self.title}: too few units at every look yet."
        deciding = sum(point.could_prove for point in self.points)
        count = "1 look" if len(self.points) == 1 else f"{len(self.points)} looks"
        parts = [f"{self.title}: {count}, {deciding} of which could prove."]
        first, last = self.points[0], self.points[-1]
        if len(self.points) > 1:
            parts.append(f"First {self._said(first)}; last {self._said(last)}.")
        else:
            parts.append(f"{self._said(last)}.".capitalize())
        marks = [f"{m.label} {words.difference(self.metric, m.value)}" for m in self.marks]
        return " ".join(parts) + (f" {words.listed(marks)}.".capitalize() if marks else "")

    def _said(self, point: Point) -> str:
        estimate = words.difference(self.metric, point.estimate)
        interval = words.interval(self.metric, point.low, point.high)
        return f"on day {point.day:.3g} {estimate}, {interval}"


def series_of(plan: Plan, looks: Sequence[StoredLook]) -> tuple[Series, ...]:
    """Give a series for every metric and treatment, in the plan's order."""
    return tuple(
        Series(
            metric,
            arm,
            plan.control,
            tuple(_points(plan, looks, metric.key, arm)),
            _marks(plan, looks, metric),
        )
        for metric in plan.metrics
        for arm in plan.treatments
    )


def _points(plan: Plan, looks: Iterable[StoredLook], metric: str, arm: str) -> Iterable[Point]:
    for look in looks:
        tests = [
            test
            for test in look.decision.get("tests", ())
            if (test["metric"], test["arm"]) == (metric, arm)
        ]
        known = {test["kind"]: test for test in tests if test["estimate"] is not None}
        test = next((known[kind] for kind in _KINDS if kind in known), None)
        if test is None:
            continue
        seen = look.data["look"]
        yield Point(
            look=look.number,
            day=look.data["offset"] / plan.policy.day_seconds,
            estimate=test["estimate"],
            low=test["low"],
            high=test["high"],
            could_prove=bool(seen["may_ship"] or seen["is_final"]),
            crossed=any(each["passed"] for each in tests),
        )


def _marks(plan: Plan, looks: Sequence[StoredLook], metric: Metric) -> tuple[Mark, ...]:
    """Give the plan's promises on the axis; relative ones by the newest mean of control."""
    newest: Mapping[str, Any] | None = looks[-1].data["look"] if looks else None
    mean = None if newest is None else words.means(newest, metric.key).get(plan.control)
    sign = 1 if metric.direction == "up" else -1
    marks = []
    if metric.superiority_margin:
        marks.append(Mark(sign * metric.superiority_margin, "break-even"))
    if metric.mde is not None and mean:
        marks.append(Mark(sign * metric.mde * abs(mean), "least worth having"))
    if metric.margin is not None and mean:
        marks.append(Mark(-sign * metric.margin * abs(mean), "tolerated"))
    return tuple(marks)
