"""How a unit's events become its value, beyond the kind: steps, marks, caps, and the time before.

What is not said is not written, so that seals of plans from before these fields still hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, format_duration

AGGREGATIONS = ("sum", "max")
MAX_EVENTS = 200
MOST_NAMED = 3
LONGEST_PAST_SECONDS = 90 * 86_400.0
_PAST = "it is chosen once, from what units did before their first exposure, and then stays"


@dataclass(frozen=True)
class Reading:
    """What a metric's table says about its values.

    Parameters
    ----------
    from_seconds : float
        Of a retention: earlier events do not count. Written ``from``.
    steps : tuple of str
        Of a funnel: its events, in order.
    aggregation : {"sum", "max"}
        What becomes of a unit's several values.
    quantile, threshold : float, optional
        Of a quantile: which one of the past is the mark, or the mark itself.
    of_units : bool
        Whether units are held against the mark, or each of their events. Written ``of``.
    cap, cap_quantile : float, optional
        What a larger value of a unit counts as: a value, or a quantile of the past's.
    covariate_seconds : float, optional
        How far back the same value is read as covariate. Written ``covariate_window``.
    """

    from_seconds: float = 0.0
    steps: tuple[str, ...] = ()
    aggregation: str = "sum"
    quantile: float | None = None
    threshold: float | None = None
    of_units: bool = False
    cap: float | None = None
    cap_quantile: float | None = None
    covariate_seconds: float | None = None

    @property
    def waits_for_past(self) -> float | None:
        """Give the quantile of the past that the metric needs before anything can be read."""
        return self.quantile if self.cap_quantile is None else self.cap_quantile

    def mark(self, event: str) -> str:
        """Name what a quantile's values are held against: ``load above 800``."""
        if self.threshold is not None:
            return f"{event} above {self.threshold:g}"
        return f"{event} above the past's {100 * (self.quantile or 0.0):g} % quantile"

    def to_document(self) -> dict[str, Any]:
        """Give the fields of the metric's table that were said."""
        past, start = self.covariate_seconds, self.from_seconds
        return {
            "from": format_duration(start) if start else None,
            "steps": list(self.steps) or None,
            "aggregation": None if self.aggregation == "sum" else self.aggregation,
            "quantile": self.quantile,
            "threshold": self.threshold,
            "of": "units" if self.of_units else None,
            "cap": self.cap,
            "cap_quantile": self.cap_quantile,
            "covariate_window": None if past is None else format_duration(past),
        }


PLAIN = Reading()
"""Nothing was said: sums of all events in the window."""


def named(events: tuple[str, ...]) -> str:
    """Name events that count as one: ``refund or ticket``."""
    if len(events) > MOST_NAMED:
        return f"{', '.join(events[:2])} or {len(events) - 2} others"
    return " or ".join(events)


def as_named(events: tuple[str, ...]) -> str | list[str]:
    """Give events as a table has them: a list if there are several."""
    return events[0] if len(events) == 1 else list(events)


def read_events(item: Reader, field: str, hint: str, default: str | None = None) -> tuple[str, ...]:
    """Read the name of an event, or a list of names that count as one."""
    if default is not None and not item.has(field):
        return (default,)
    names = item.take(field, hint=hint)
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list | tuple) or not names or len(names) > MAX_EVENTS:
        raise item.fault(field, f"must be a name, or a list of at most {MAX_EVENTS}", hint)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise item.fault(field, "must be a text that is not empty", hint)
    found = tuple(name.strip() for name in names)
    if len(set(found)) < len(found):
        raise item.fault(field, "repeats an event", None)
    return found


def read_event(
    item: Reader, kind: str, default: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the events of a metric and, of a funnel, the steps that lead to its event.

    Raises
    ------
    PlanError
        If there is none (without a default), or the steps are no funnel.
    """
    if kind != "funnel":
        return read_events(item, "event", "the name of a tracked event", default), ()
    hint = 'its events in order, such as steps = ["view", "cart", "purchase"]'
    steps = item.take("steps", hint=hint)
    if (
        not isinstance(steps, list | tuple)
        or len(steps) < 2
        or not all(isinstance(step, str) and step.strip() for step in steps)
    ):
        raise item.fault("steps", "must be a list of two events or more", hint)
    steps = tuple(step.strip() for step in steps)
    if len(set(steps)) < len(steps):
        raise item.fault("steps", "repeat an event", "each step is another event")
    event = item.text("event", steps[-1])
    if event != steps[-1]:
        raise item.fault("event", "is not the last step", "leave it out: the steps say it")
    return (event,), steps


def read_reading(
    item: Reader,
    *,
    kind: str,
    role: str,
    steps: tuple[str, ...],
    window_seconds: float,
    rare: bool,
    replayed: bool,
) -> Reading:
    """Read these fields of a metric's table.

    Raises
    ------
    PlanError
        At a field that its kind or its role cannot have.
    """
    quantile, threshold, of_units = _read_mark(item, kind, role)
    cap, cap_quantile = _read_cap(item, kind)
    reading = Reading(
        from_seconds=_read_from(item, kind, window_seconds, replayed=replayed),
        steps=steps,
        aggregation=_read_aggregation(item, kind, of_units=of_units),
        quantile=quantile,
        threshold=threshold,
        of_units=of_units,
        cap=cap,
        cap_quantile=cap_quantile,
        covariate_seconds=_read_past(item, kind, rare=rare),
    )
    if replayed:
        _check_replayed(item, kind, reading)
    return reading


def _read_from(item: Reader, kind: str, window: float, *, replayed: bool) -> float:
    hint = 'a user who came back: from = "7d" and window = "14d" count days 7 to 14'
    if kind != "retention":
        if item.has("from"):
            raise item.fault("from", f"is for retention, not for a {kind}", hint)
        return 0.0
    start = item.duration("from", 0.0) if replayed else item.duration("from")
    if not replayed and not 0 < start < window:
        raise item.fault("from", "must lie between nothing and the window", hint)
    return start


def _read_aggregation(item: Reader, kind: str, *, of_units: bool) -> str:
    if not item.has("aggregation"):
        return "sum"
    if kind != "mean" and not of_units:
        raise item.fault("aggregation", f"is not for a {kind}", "it is for means")
    hint = "one of: sum, max"
    chosen = item.text("aggregation", hint=hint)
    if chosen == "mean":
        raise item.fault(
            "aggregation",
            "cannot be mean: a unit without events would have none, and could not be counted",
            'kind = "ratio" with numerator = "value" is the mean value of all events',
        )
    if chosen not in AGGREGATIONS:
        raise item.fault("aggregation", f"is {chosen!r}", hint)
    return chosen


def _read_mark(item: Reader, kind: str, role: str) -> tuple[float | None, float | None, bool]:
    if kind != "quantile":
        for field in ("quantile", "threshold", "of"):
            if item.has(field):
                raise item.fault(field, f"is not for a {kind}", 'it is for kind = "quantile"')
        return None, None, False
    quantile = item.number("quantile", None, above=0, below=1)
    threshold = item.number("threshold", None)
    if (quantile is None) == (threshold is None):
        raise item.fault(
            "quantile",
            "is missing" if quantile is None else "and threshold both say where the mark is",
            "quantile = 0.95 takes the past's 95 % quantile as the mark; threshold = 800 is one",
        )
    if role == "success" and threshold is None:
        raise item.fault(
            "threshold",
            "is missing: a success metric must be known when the plan is sealed",
            f"name the mark; for guardrails quantile will do: {_PAST}",
        )
    return quantile, threshold, item.choice("of", ("events", "units"), "events") == "units"


def _read_cap(item: Reader, kind: str) -> tuple[float | None, float | None]:
    fields = [field for field in ("cap", "cap_quantile") if item.has(field)]
    if not fields:
        return None, None
    if kind not in {"mean", "count", "ratio"}:
        raise item.fault(fields[0], f"is not for a {kind}", "it is for mean, count and ratio")
    if len(fields) == 2:
        raise item.fault("cap", "and cap_quantile both say where to cut", "keep one of them")
    return (
        item.number("cap", None, above=0),
        item.number("cap_quantile", None, least=0.5, below=1, hint=_PAST),
    )


def _read_past(item: Reader, kind: str, *, rare: bool) -> float | None:
    past: float | None = item.duration("covariate_window", None)
    if past is None:
        return None
    if kind in {"ratio", "funnel", "quantile"}:
        hint = "it is for conversion, mean, count and retention: leave it out"
        raise item.fault("covariate_window", f"is not for a {kind}", hint)
    if rare:
        raise item.fault("covariate_window", "is not for rare events", "leave it out")
    if not 0 < past <= LONGEST_PAST_SECONDS:
        longest = format_duration(LONGEST_PAST_SECONDS)
        raise item.fault("covariate_window", f"must be more than nothing, at most {longest}", None)
    if item.has("covariate"):
        raise item.fault("covariate", "and covariate_window say the same", "keep one of them")
    return past


def _check_replayed(item: Reader, kind: str, reading: Reading) -> None:
    """Refuse what no file tells."""
    if kind == "quantile":
        raise item.fault("kind", "is quantile, which a replay cannot read yet", "leave it out")
    for field, given, hint in (
        ("cap_quantile", reading.cap_quantile, "name the cap itself: cap = 500"),
        ("covariate_window", reading.covariate_seconds, 'name the column: covariate = "before"'),
    ):
        if given is not None:
            raise item.fault(field, "needs the time before, which a replay has not", hint)
