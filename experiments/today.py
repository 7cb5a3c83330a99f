"""Today's traffic and baselines of a plan, out of the recorded events.

Who comes to a flag is known where a tracked rule has served it: the units that met it. Where none
has, units with any recorded event of the environment stand in for them, and the answer says so. A
unit's outcome is read as a look would read it, from its first meeting on, within the metric's
window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import duckdb

from experiments.aggregate import AnalysisQuery, analyse
from experiments.document import format_duration
from experiments.measure import definition_of, typed_sums
from experiments.plan import Metric, Plan
from experiments.store.base import MAX_AGE_SECONDS, EventStore
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


# Units by the day of their first meeting, counted back from the newest one.
_FIRST = """
SELECT floor(($end - first) / $day)::BIGINT AS back, count(*) AS units, min(first) AS first
FROM (SELECT unit, min(time) AS first FROM {met}
      WHERE time > $end - $span AND time <= $end GROUP BY unit)
GROUP BY back
"""
_FLAG = "(SELECT unit, time FROM exposures WHERE environment_id = $environment AND flag = $flag)"
_ANY = (
    "(SELECT unit, time FROM exposures WHERE environment_id = $environment"
    " UNION ALL SELECT unit, time FROM tracks WHERE environment_id = $environment)"
)


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
    with store.relations(environment_id, since=oldest, until=now) as connection:
        here = {"environment": environment_id}
        names = sorted(set().union(*map(events_of, plan.metrics)))
        seen = connection.execute(
            "SELECT DISTINCT name FROM tracks WHERE environment_id = $environment"
            " AND list_contains($names, name) AND time >= $oldest AND time <= $now",
            {**here, "names": names, "oldest": oldest, "now": now},
        ).fetchall()
        unseen = frozenset(names) - {name for (name,) in seen}
        for source, met in ((EXPOSURES, _FLAG), (EVENTS, _ANY)):
            known = here | ({"flag": plan.flag} if source == EXPOSURES else {})
            (end,) = connection.execute(
                f"SELECT max(time) FROM {met} WHERE time >= $oldest AND time <= $now",  # noqa: S608
                {**known, "oldest": oldest, "now": now},
            ).fetchall()[0]
            if end is None:
                continue
            day = plan.policy.day_seconds
            rows = connection.execute(
                _FIRST.format(met=met),
                {**known, "end": end, "day": day, "span": MOST_DAYS * day},
            ).fetchall()
            if source == EVENTS:
                _let_events_be_meetings(connection, plan, environment_id)
            first = min(row[2] for row in rows)
            baselines = _baselines(connection, plan, environment_id, first, now)
            counts = {int(back): int(units) for back, units, _first in rows}
            arrivals = _arrivals(counts, end - first, day)
            return Today(arrivals, source, sum(counts.values()), baselines, unseen)
    return Today(unseen=unseen)


def events_of(metric: Metric) -> set[str]:
    """Name the events that a metric is made of."""
    definition = definition_of(metric)
    named = {definition.event, definition.denominator_event, *definition.steps}
    return {name for name in named if name}


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


def _let_events_be_meetings(
    connection: duckdb.DuckDBPyConnection, plan: Plan, environment_id: int
) -> None:
    """Make every unit's first event its exposure, for the analysis that follows."""
    connection.execute("ALTER VIEW exposures RENAME TO met")
    connection.execute(
        "CREATE TEMP TABLE exposures AS SELECT $environment::BIGINT AS environment_id, unit,"
        " $flag::VARCHAR AS flag, NULL::VARCHAR AS rule, $control::VARCHAR AS variant,"
        " NULL::BIGINT AS revision, min(time) AS time FROM (SELECT unit, time FROM met"
        " WHERE environment_id = $environment UNION ALL SELECT unit, time FROM tracks"
        " WHERE environment_id = $environment) GROUP BY unit",
        {"environment": environment_id, "flag": plan.flag, "control": plan.control},
    )


def _baselines(
    connection: duckdb.DuckDBPyConnection,
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
        metrics=tuple(definition_of(metric) for metric in plan.metrics),
    )
    found = {}
    sums = typed_sums(query, analyse(connection, query))
    for metric in plan.metrics:
        arms = sums[metric.key]
        control = arms[plan.control]
        # Control is what everybody has; only where few were on it do all arms stand for today.
        chosen = control if control.n >= FEWEST_UNITS else reduce(add, arms.values())
        found[metric.key] = _baseline(metric, chosen)
    return found


def _baseline(metric: Metric, sums: Any) -> MeasuredBaseline:
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
