"""What is recorded of a metric that no experiment need have used: traffic, mean and noise.

For a definition there is no flag yet, so whoever did anything stands for its audience: a unit
enters with its first event of the last 28 days, as it would on the first day of an experiment on
everybody. Its outcome is read as a look would read it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis

from experiments.analysis.past import compile_past
from experiments.contract.metric import Metric
from experiments.measuring.aggregate import AnalysisQuery, MetricDefinition, analyse_tables
from experiments.measuring.measure import (
    LEAST_PAST_BEYOND,
    LEAST_PAST_VALUES,
    definition_of,
    typed_sums,
)
from experiments.measuring.today import baseline_of
from experiments.store.promises import EventStore
from stats import Baseline, CovariateMoments, LogHistogram

Document = dict[str, Any]

DAYS = 28
#: With fewer days, a weekend more or less would make the traffic.
FEWEST_DAYS = 7
#: How far back the same value is tried as covariate, where the metric has none of its own.
PAST_SECONDS = 14 * 86_400.0
CAP_QUANTILE = 0.99

_DAY = 86_400.0
_ALL = "all"
# No key of a metric has a colon.
_ADJUSTED, _CUT = ":adjusted", ":cut"
_COVARIES = frozenset({"conversion", "mean", "count", "retention"})
_CAPPED = frozenset({"mean", "count", "ratio"})


@dataclass(frozen=True)
class Reading:
    """What was read of one metric.

    Parameters
    ----------
    new_units : tuple of float
        Units that had not come before, by day.
    units : int
        Units whose window has passed.
    baseline : Baseline, optional
        Without the covariate; ``reason`` says why there is none.
    covariate : float, optional
        Share of the variance that the time before explains.
    cap, capped : float and Baseline, optional
        The past's `CAP_QUANTILE` quantile, and the metric when values are cut there.
    """

    new_units: tuple[float, ...] = ()
    units: int = 0
    baseline: Baseline | None = None
    reason: str = "nothing is recorded yet"
    covariate: float | None = None
    cap: float | None = None
    capped: Baseline | None = None


def read_noise(store: EventStore, environment_id: int, metric: Metric, now: float) -> Reading:
    """Read traffic, mean and noise of a metric, and what covariate and cap would do to it.

    Parameters
    ----------
    now : float
        Nothing later is read. POSIX seconds.
    """
    if metric.sql is not None:
        return Reading(reason="its rows are in a source, which is read by experiments only")
    past = metric.reading.covariate_seconds or PAST_SECONDS
    begin = now - DAYS * _DAY
    with store.tables(environment_id, since=begin - past, until=now) as (exposures, tracks):
        backend = exposures.get_backend()

        def rows(expression: ibis.Table) -> list[Document]:
            found: list[Document] = backend.to_pyarrow(expression).to_pylist()
            return found

        both = [
            table.filter(table.environment_id == environment_id, table.time <= now)
            for table in (exposures, tracks)
        ]
        events = ibis.union(*(table.select("environment_id", "unit", "time") for table in both))
        (ends,) = rows(events.aggregate(oldest=events.time.min()))
        if ends["oldest"] is None:
            return Reading()
        recent = events.filter(events.time > begin)
        met = recent.group_by("environment_id", "unit").aggregate(time=recent.time.min())
        met = met.mutate(flag=ibis.literal(_ALL), variant=ibis.literal(_ALL))
        new_units = _by_day(rows(_days(met, begin)), max(begin, ends["oldest"]), begin, now)
        few = len(new_units) < FEWEST_DAYS
        query = AnalysisQuery(
            environment_id=environment_id,
            flag=_ALL,
            rule=None,
            arms=(_ALL,),
            start=begin,
            look_at=now,
            enrol_until=None,
            metrics=(),
        )

        def quantile(share: float, *, of_events: bool) -> float | None:
            # As if everybody were met one window later: then the past is the window.
            matured = met.mutate(time=met.time + metric.window_seconds)
            asked = replace(query, metrics=(_values_of(metric),))
            found = rows(compile_past(matured, both[1], asked, of_events=of_events))
            values = LogHistogram(positive=tuple(sorted((r["bucket"], r["values"]) for r in found)))
            enough = values.n >= max(LEAST_PAST_VALUES, LEAST_PAST_BEYOND / (1 - share))
            return values.quantile(share) if enough else None

        mark = None
        if metric.reading.waits_for_past is not None:
            is_of_events = metric.kind == "quantile" and not metric.reading.of_units
            mark = quantile(metric.reading.waits_for_past, of_events=is_of_events)
            if mark is None:
                return Reading(new_units, reason="too few values to choose its mark from")
        plain_one = replace(definition_of(metric, mark), covariate_seconds=None)
        asked = [plain_one]
        # Before the window begins there must be a past to speak of.
        if metric.kind in _COVARIES and ends["oldest"] <= begin - past / 2:
            asked.append(replace(plain_one, key=_ADJUSTED, covariate_seconds=past))
        cap = None
        if metric.kind in _CAPPED and plain_one.cap is None:
            cap = quantile(CAP_QUANTILE, of_events=False)
            if cap is not None:
                asked.append(replace(plain_one, key=_CUT, cap=cap))
        query = replace(query, metrics=tuple(asked))
        analysis = analyse_tables(met, both[1], query)
    sums = typed_sums(query, analysis)
    bare = replace(metric, reading=replace(metric.reading, covariate_seconds=None))
    found = baseline_of(bare, sums[metric.key][_ALL])
    adjusted = sums.get(_ADJUSTED, {}).get(_ALL)
    capped = None if cap is None else baseline_of(bare, sums[_CUT][_ALL]).baseline
    # Its value is told as soon as there is one; what an experiment would show needs a week.
    few_days = f"{len(new_units)} days of events are recorded" if few else found.reason
    return Reading(
        new_units,
        found.units,
        found.baseline,
        few_days,
        covariate=_explained(adjusted) if isinstance(adjusted, CovariateMoments) else None,
        cap=cap if capped is not None else None,
        capped=capped,
    )


def _days(met: ibis.Table, begin: float) -> ibis.Table:
    day = ((met.time - begin) / _DAY).floor().cast("int64")
    return met.group_by(day=day).aggregate(units=met.count())


def _by_day(rows: Sequence[Document], oldest: float, begin: float, now: float) -> tuple[float, ...]:
    """Order the days; one that was recorded in part only is left out."""
    counts = {int(row["day"]): float(row["units"]) for row in rows}
    first = math.ceil((oldest - begin) / _DAY - 1e-9)
    return tuple(counts.get(day, 0.0) for day in range(first, round((now - begin) / _DAY)))


def _values_of(metric: Metric) -> MetricDefinition:
    """Give the values that a cap or a mark cuts: of a ratio, those above the line."""
    counts = metric.kind == "count" or (
        metric.ratio is not None and metric.ratio.numerator == "count"
    )
    whole = definition_of(metric, 1.0)
    return MetricDefinition(
        metric.key,
        "count" if counts else "mean",
        whole.event,
        metric.window_seconds,
        aggregation=whole.aggregation,
        also=whole.also,
        covariate_seconds=metric.window_seconds,
    )


def _explained(sums: CovariateMoments) -> float | None:
    if sums.n < 2 or not (sums.variance > 0 and sums.covariate.variance > 0):
        return None
    return min(sums.covariance**2 / (sums.variance * sums.covariate.variance), 0.999)
