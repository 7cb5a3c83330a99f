"""What a plan's metric is to the analysis: its definition over events, and the sums that come back.

The monitor's looks and the forecast before the start read events by the same definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from experiments.aggregate import Adds, MetricDefinition, MetricKind
from experiments.plan import Metric
from stats import Moments, RatioMoments


def definition_of(metric: Metric) -> MetricDefinition:
    """Give a metric's definition over recorded events."""
    kind, ratio = cast("MetricKind", metric.kind), metric.ratio
    if ratio is None:
        return MetricDefinition(metric.key, kind, metric.event, metric.window_seconds)
    return MetricDefinition(
        metric.key,
        kind,
        metric.event,
        metric.window_seconds,
        numerator=cast("Adds", ratio.numerator),
        denominator_event=ratio.denominator_event,
        denominator=cast("Adds", ratio.denominator),
    )


def sums_of(metric: Metric, found: Sequence[float]) -> Moments | RatioMoments:
    """Give one arm's sums the type that decides."""
    return (Moments if metric.ratio is None else RatioMoments)(*found)
