"""Today's traffic and baselines of a plan, out of the recorded events.

Who comes to a flag is known where a tracked rule has served it: the units that met it. Where none
has, units with any recorded event of the environment stand in for them, and the answer says so. A
unit's outcome is read as a look would read it, from its first meeting on, within the metric's
window.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import ibis

from experiments.contract.document import format_duration
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.contract.reading import named
from experiments.measuring.aggregate import AnalysisQuery, analyse_tables
from experiments.measuring.measure import definition_of, typed_sums
from experiments.store.base import MAX_AGE_SECONDS
from experiments.store.promises import EventStore
from stats import Baseline, CovariateMoments, Moments, RatioMoments, StatsError

#: Days of the policy that are read: what came before says less about today.
MOST_DAYS = 28
FEWEST_UNITS = 100

EXPOSURES = "exposures"
EVENTS = "events"


@dataclass(frozen=True)
class Arrivals:
    """New units, day by day of the policy, from a first day on.

    Parameters
    ----------
    new_units : tuple of float
        Units that had not come before; what comes after the last day is the mean of the last half,
        at most of the last week.
    day_seconds : float
        Length of a day.
    """

    new_units: tuple[float, ...]
    day_seconds: float

    @property
    def per_day(self) -> float:
        """Mean over the days that are known."""
        return sum(self.new_units) / len(self.new_units)

    def until(self, seconds: float) -> float:
        """Count the units that have come by an instant."""
        days = max(seconds, 0.0) / self.day_seconds
        known = len(self.new_units)
        if days > known:
            last = self.new_units[-min(7, (known + 1) // 2) :]
            return sum(self.new_units) + (days - known) * sum(last) / len(last)
        whole = int(days)
        part = (days - whole) * self.new_units[whole] if whole < known else 0.0
        return sum(self.new_units[:whole]) + part


@dataclass(frozen=True)
class MeasuredBaseline:
    """A metric as it is today; without a baseline ``reason`` says why there is none."""

    units: int
    baseline: Baseline | None
    reason: str = ""


@dataclass(frozen=True)
class Today:
    """What the recorded events say about a plan.

    Parameters
    ----------
    arrivals : Arrivals, optional
        ``None`` when nobody is known to come.
    source : {"exposures", "events"}, optional
        Units that met the flag, or units with any event.
    units : int
        How many different ones.
    baselines : mapping of str to MeasuredBaseline
        By metric.
    unseen : frozenset of str
        Events of the plan that were never recorded.
    """

    arrivals: Arrivals | None = None
    source: str | None = None
    units: int = 0
    baselines: Mapping[str, MeasuredBaseline] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()


def read_today(store: EventStore, environment_id: int, plan: Plan, now: float) -> Today:
    """Measure traffic and baselines.

    Parameters
    ----------
    store : EventStore
        Where the events are.
    environment_id : int
        Environment of the experiment.
    plan : Plan
        Its flag, metrics and windows; its policy's day.
    now : float
        Nothing later is read. POSIX seconds.
    """
    oldest = now - MAX_AGE_SECONDS
    with store.tables(environment_id, since=oldest, until=now) as (exposures, tracks):
        backend = exposures.get_backend()

        def rows(expression: ibis.Table) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = backend.to_pyarrow(expression).to_pylist()
            return found

        exposures, tracks = (
            table.filter(
                table.environment_id == environment_id, table.time >= oldest, table.time <= now
            )
            for table in (exposures, tracks)
        )
        names = sorted(set().union(*map(events_of, plan.metrics)))
        seen = rows(tracks.filter(tracks.name.isin(names)).select("name").distinct())
        unseen = frozenset(names) - {row["name"] for row in seen}
        for source, met in (
            (EXPOSURES, exposures.filter(exposures.flag == plan.flag)),
            (EVENTS, _first_events(plan, exposures, tracks)),
        ):
            (end,) = (row["end"] for row in rows(met.aggregate(end=met.time.max())))
            if end is None:
                continue
            day = plan.policy.day_seconds
            recent = met.filter(met.time > end - MOST_DAYS * day)
            first = recent.group_by("unit").aggregate(first=recent.time.min())
            back = ((end - first.first) / day).floor().cast("int64")
            days = rows(
                first.group_by(back=back).aggregate(units=first.count(), first=first.first.min())
            )
            begin = min(row["first"] for row in days)
            counts = {int(row["back"]): int(row["units"]) for row in days}
            return Today(
                _arrivals(counts, end - begin, day),
                source,
                sum(counts.values()),
                _baselines(met, tracks, plan, environment_id, begin, now),
                unseen,
            )
    return Today(unseen=unseen)


def _first_events(plan: Plan, exposures: ibis.Table, tracks: ibis.Table) -> ibis.Table:
    """Make every unit's first event of any kind its meeting with control."""
    both = [table.select("environment_id", "unit", "time") for table in (exposures, tracks)]
    events = ibis.union(*both)
    first = events.group_by("environment_id", "unit").aggregate(time=events.time.min())
    return first.mutate(
        flag=ibis.literal(plan.flag),
        variant=ibis.literal(plan.control),
        rule=ibis.literal(plan.rule_id),
        revision=ibis.literal(0),
    )


def events_of(metric: Metric) -> set[str]:
    """Name the events that a metric is made of."""
    # Whatever the mark will be, the events are the same.
    return set(definition_of(metric, mark=1.0).events)


def unrecorded(metric: Metric, unseen: Collection[str]) -> str | None:
    """Name what a metric cannot do without and was never recorded, if there is something.

    Of events that count as one it takes one. Failure demand comes to a plan by itself: that there
    is none yet keeps nothing from starting.
    """
    if metric.reference is not None and metric.reference.is_failure_demand:
        return None
    halves = [metric.events, *((step,) for step in metric.reading.steps)]
    if metric.ratio is not None:
        halves.append(metric.ratio.denominator_events)
    return next((named(each) for each in halves if set(each) <= set(unseen)), None)


def _arrivals(counts: Mapping[int, int], age: float, day: float) -> Arrivals:
    """Order the days; the oldest is seldom a whole one."""
    days = max(1, math.ceil(age / day))
    new_units = [0.0] * days
    for back, units in counts.items():
        new_units[days - 1 - min(back, days - 1)] += units
    part = age / day - (days - 1)
    if days == 1 or part >= 0.5:
        # Of a few minutes no day can be foretold: an hour is the least that is scaled up.
        new_units[0] /= max(part, 1 / 24)
    else:
        new_units[1] += new_units[0]
        del new_units[0]
    return Arrivals(tuple(new_units), day)


def _baselines(
    exposures: ibis.Table,
    tracks: ibis.Table,
    plan: Plan,
    environment_id: int,
    start: float,
    now: float,
) -> dict[str, MeasuredBaseline]:
    query = AnalysisQuery(
        environment_id=environment_id,
        flag=plan.flag,
        rule=None,
        arms=plan.arms,
        start=start,
        look_at=now,
        enrol_until=None,
        # A share above a mark is not known before the mark; a cap to come is left off meanwhile.
        metrics=tuple(
            definition_of(metric) for metric in plan.metrics if not _waits_for_mark(metric)
        ),
    )
    found = {}
    sums = typed_sums(query, analyse_tables(exposures, tracks, query))
    for metric in plan.metrics:
        if _waits_for_mark(metric):
            reason = "its mark is read from the past once people come"
            found[metric.key] = MeasuredBaseline(0, None, reason)
            continue
        arms = sums[metric.key]
        control = arms[plan.control]
        # Control is what everybody has; only where few were on it do all arms stand for today.
        chosen = control if control.n >= FEWEST_UNITS else reduce(add, arms.values())
        found[metric.key] = baseline_of(metric, chosen)
    return found


def _waits_for_mark(metric: Metric) -> bool:
    return metric.kind == "quantile" and metric.reading.waits_for_past is not None


def baseline_of(metric: Metric, sums: Any) -> MeasuredBaseline:
    """Describe a metric by the sums of its units, or say what is lacking."""
    units = int(sums.n)
    if units < FEWEST_UNITS:
        window = format_duration(metric.window_seconds)
        few = "no unit has" if units == 0 else f"only {units} units have"
        return MeasuredBaseline(units, None, f"{few} been watched for its window of {window}")
    if isinstance(sums, Moments) and not sums.variance > 0:
        return MeasuredBaseline(units, None, f"{units} units have the same value, {sums.mean:g}")
    try:
        known = _described(metric, sums)
    except StatsError as error:
        return MeasuredBaseline(units, None, str(error))
    reason = "" if known is not None else f"a {metric.kind} is not forecast from events yet"
    return MeasuredBaseline(units, known, reason)


def _described(metric: Metric, sums: Any) -> Baseline | None:
    if isinstance(sums, RatioMoments):
        n = sums.n
        top, below = sums.m1 / n, sums.d1 / n
        return Baseline.of_ratio(
            (top, (sums.m2 - n * top * top) / (n - 1)),
            (below, (sums.d2 - n * below * below) / (n - 1)),
            (sums.md - n * top * below) / (n - 1),
        )
    if not isinstance(sums, Moments):
        return None
    if metric.binary:
        known = Baseline.of_rate(sums.mean)
    else:
        known = Baseline.of_mean(sums.mean, math.sqrt(sums.variance))
    if isinstance(sums, CovariateMoments) and sums.covariate.variance > 0:
        explained = sums.covariance**2 / (sums.variance * sums.covariate.variance)
        return known.with_covariate(min(explained, 0.999))
    return known
