"""What one look asks for, and what it gets back: frozen values, without any engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MetricKind = Literal["conversion", "mean", "count", "ratio", "retention", "funnel", "quantile"]
Adds = Literal["count", "value"]
Aggregation = Literal["sum", "max"]
Sums = tuple[float, ...]
"""The sums of one arm in the order of the type that reads them (see `sums_names`).

``(n, s1, s2, s3)``: units, and the sums of y, y² and y³ over them; of a ratio
``(n, m1, m2, m3, d1, d2, d3, md, md2, m2d)``: md2 is the sum of m·d².
"""

KINDS = ("conversion", "mean", "count", "ratio", "retention", "funnel", "quantile")
MOST_EVENTS_PER_DAY = 10_000.0
"""One event every nine seconds, day and night: no person does that."""


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """How a unit's events become the unit's value.

    Parameters
    ----------
    key : str
        Name of the metric.
    kind : str
        The unit's value. ``conversion``: 1 if the event happened, else 0; ``retention``: the same,
        but not before ``from_seconds``; ``funnel``: 1 if all ``steps`` happened in their order;
        ``count``: the number of events; ``mean``: the sum of the events' values (an event without
        a value adds 0), or the largest; ``ratio``: two values; ``quantile``: how much lies above
        ``threshold``.
    event : str
        Name of the tracking event.
    also, denominator_also : tuple of str
        Names of further events that count as the event, or as the denominator's.
    window_seconds : float
        How long after its first exposure a unit is watched.
    binary : bool, optional
        Whether the value is 0 or 1; follows from the rest.
    numerator, denominator : {"count", "value"}
        Whether a half of a ratio is the number of its events or the sum of their values; ``event``
        is the numerator's.
    denominator_event : str, optional
        Event of a ratio's denominator: given for ratios, and only for them.
    from_seconds : float
        Of a retention: what happens earlier after the first exposure does not count.
    steps : tuple of str
        Of a funnel: its events in order; ``event`` is the last of them.
    aggregation : {"sum", "max"}
        Of a mean, and of a quantile of units: what becomes of a unit's several values.
    cap : float, optional
        Of a mean, a count, or a ratio's numerator: larger values of a unit count as this one.
    threshold, of_units : float, bool
        Of a quantile: the mark, in the unit of the events' values; and whether a unit's own value
        is held against it (then the value is 0 or 1) or each of its events (then the metric is a
        ratio: events above the mark, over all events that have a value).
    covariate_seconds : float, optional
        How far back before its first exposure the same value of the unit is taken, as covariate.
    last_seconds : float, optional
        Of a conversion, a count or a mean: only what happened so shortly before the look counts,
        however long after the first exposure; the window only says who is mature.
    """

    key: str
    kind: MetricKind
    event: str
    window_seconds: float
    binary: bool | None = None
    numerator: Adds = "count"
    denominator_event: str | None = None
    denominator: Adds = "count"
    from_seconds: float = 0.0
    steps: tuple[str, ...] = ()
    aggregation: Aggregation = "sum"
    cap: float | None = None
    threshold: float | None = None
    of_units: bool = False
    covariate_seconds: float | None = None
    last_seconds: float | None = None
    also: tuple[str, ...] = ()
    denominator_also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem is not None:
            msg = f"the metric {self.key!r} {problem}"
            raise ValueError(msg)
        binary = self.kind in {"conversion", "retention", "funnel"} or self.of_units
        if self.binary not in {None, binary}:
            msg = f"{self.key!r}: a {self.kind} metric cannot have binary={self.binary}"
            raise ValueError(msg)
        object.__setattr__(self, "binary", binary)

    @property
    def is_ratio(self) -> bool:
        """Tell whether a unit has two values, one to be divided by the other."""
        return self.kind == "ratio" or (self.kind == "quantile" and not self.of_units)

    @property
    def events(self) -> tuple[str, ...]:
        """Give the names of all events that are read for it."""
        if self.denominator_event is not None:
            below = (self.denominator_event, *self.denominator_also)
            return tuple(dict.fromkeys((self.event, *self.also, *below)))
        return self.steps or (self.event, *self.also)


def _problem(metric: MetricDefinition) -> str | None:
    """Say what is wrong with a metric, if anything."""
    kind = metric.kind
    wrong = {
        "is of an unknown kind": kind not in KINDS,
        "has a denominator if it is a ratio, and only then": (
            (kind == "ratio") != (metric.denominator_event is not None)
        ),
        "has a window that is not positive and finite": not 0 < metric.window_seconds < math.inf,
        "starts to count outside of its window": (
            not 0 <= metric.from_seconds < metric.window_seconds
            or (metric.from_seconds > 0 and kind != "retention")
        ),
        "has steps if it is a funnel, at least two, and only then": (
            (kind == "funnel") != (len(metric.steps) > 1) or len(metric.steps) == 1
        ),
        "repeats a step, or its event is not the last step": bool(metric.steps)
        and (len(set(metric.steps)) < len(metric.steps) or metric.event != metric.steps[-1]),
        "has a threshold if it is a quantile, and only then": (
            (kind == "quantile") != (metric.threshold is not None)
        ),
        "counts further events where it cannot": bool(
            (metric.also and kind == "funnel")
            or (metric.denominator_also and metric.denominator_event is None)
        ),
        "names an event twice": (
            len({metric.event, *metric.also}) <= len(metric.also)
            or len({metric.denominator_event, *metric.denominator_also})
            <= len(metric.denominator_also)
        ),
        "cannot be of units": metric.of_units and kind != "quantile",
        "cannot take the largest value": metric.aggregation != "sum"
        and not (kind == "mean" or metric.of_units),
        "has a cap that cannot be": metric.cap is not None
        and not (0 < metric.cap < math.inf and kind in {"mean", "count", "ratio"}),
        "cannot have this covariate": metric.covariate_seconds is not None
        and not (0 < metric.covariate_seconds < math.inf and kind not in {"funnel", "quantile"}),
        "cannot be read of the last day": metric.last_seconds is not None
        and not (
            0 < metric.last_seconds < math.inf
            and kind in {"conversion", "count", "mean"}
            and metric.covariate_seconds is None
        ),
    }
    return next((what for what, is_so in wrong.items() if is_so), None)


def sums_names(metric: MetricDefinition) -> tuple[str, ...]:
    """Name the sums of a metric in their order: the fields of the type of `stats` that reads them.

    They are those of `stats.Moments`, `CovariateMoments`, `RatioMoments` and
    `RatioCovariateMoments`.
    """
    if not metric.is_ratio:
        names: tuple[str, ...] = ("n", "s1", "s2", "s3")
        return (
            names
            if metric.covariate_seconds is None
            else (*names, "x1", "x2", "x3", "xy", "x2y", "xy2")
        )
    if metric.covariate_seconds is None:
        return ("n", "m1", "m2", "m3", "d1", "d2", "d3", "md", "md2", "m2d")
    four = ("m", "d", "pre_m", "pre_d")
    return ("n", *four, *(f"{a}_{b}" for i, a in enumerate(four) for b in four[i:]))


@dataclass(frozen=True, slots=True)
class AnalysisQuery:
    """What to read, for one look of one experiment.

    Parameters
    ----------
    environment_id : int
        Environment of the experiment.
    flag : str
        The flag that was split.
    rule : str or None
        The rule that split it; ``None`` for any rule.
    arms : tuple of str
        Variants, control first.
    start : float
        Exposures before this are not the experiment's. POSIX seconds, as all times here.
    look_at : float
        Nothing after this is read.
    enrol_until : float or None
        Units whose first exposure is later are left out; ``None`` for no limit.
    metrics : tuple of MetricDefinition
        May be empty.
    most_events_per_day : float
        A unit with more is no person, and counts nowhere.
    """

    environment_id: int
    flag: str
    rule: str | None
    arms: tuple[str, ...]
    start: float
    look_at: float
    enrol_until: float | None
    metrics: tuple[MetricDefinition, ...]
    most_events_per_day: float = MOST_EVENTS_PER_DAY

    def __post_init__(self) -> None:
        for name, keys in (("arms", self.arms), ("metrics", [m.key for m in self.metrics])):
            if len(set(keys)) != len(keys):
                msg = f"{name} contains a name twice"
                raise ValueError(msg)
        if not self.most_events_per_day > 0:
            msg = "most_events_per_day must be more than 0"
            raise ValueError(msg)

    @property
    def read_since(self) -> float:
        """Give the time of the oldest event that may count."""
        return self.start - max((m.covariate_seconds or 0.0 for m in self.metrics), default=0.0)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found; every sum is additive over days and over stores.

    Parameters
    ----------
    counts : mapping of str to int
        Exposed units per arm, mature or not: the numbers that a test of the sample ratio reads.
    quarantined : int
        Units that met an arm and another variant of the rule.
    moments : mapping
        For each metric and arm the sums of `sums_names` over mature units.
    newest_event : float or None
        Time of the newest event that was read: an exposure, or an outcome of an exposed unit.
    exposure_times : mapping of str to (float, float)
        First and last exposure per arm; an arm without units is absent.
    bots : mapping of str to int
        Units per arm that were left out for too many events; an arm without any is absent.
    """

    counts: Mapping[str, int]
    quarantined: int
    moments: Mapping[str, Mapping[str, Sums]]
    newest_event: float | None
    exposure_times: Mapping[str, tuple[float, float]]
    bots: Mapping[str, int] = field(default_factory=dict)
