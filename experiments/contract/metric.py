"""One metric of a plan: what of a unit's events counts, for whom it is good news, and how much.

Its table is read here, wherever it stands: in a plan, a release, or the metric catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader, format_duration
from experiments.contract.ratio import Ratio, read_ratio
from experiments.contract.reading import PLAIN, Reading, as_named, named, read_event, read_reading
from experiments.contract.reference import Reference, read_reference
from experiments.contract.source import read_sql

ROLES = ("success", "guardrail", "safety", "explore")
KINDS = ("conversion", "mean", "count", "ratio", "retention", "funnel", "quantile")


@dataclass(frozen=True)
class Metric:
    """One metric of a plan.

    Parameters
    ----------
    kind : str
        ``conversion`` (did the event happen), ``count`` (how often), ``mean`` (sum of its values),
        ``ratio`` (of two sums: see ``ratio``), ``retention`` (did it happen again, later),
        ``funnel`` (did the steps happen in order), ``quantile`` (the share above a mark).
    events : tuple of str
        Names of the tracked events that count, mostly one.
    window_seconds : float
        What happens later after a unit's first exposure does not count.
    mde : float, optional
        Smallest effect worth having, relative to control (success metrics).
    margin : float, optional
        Largest loss still tolerated, relative to control (guardrails).
    superiority_margin : float
        Absolute effect that a success metric must beat: the break-even mark.
    rare : bool
        Whether the exact event test watches this conversion too, from its first event on.
    column, covariate : str, optional
        Columns of a replayed file: the outcome, and the same thing before the experiment.
    ratio : Ratio, optional
        What a ratio is divided by.
    sql : str, optional
        The metric's own rows in the plan's source: ``unit``, ``time``, ``value``, and ``name`` if
        it is made of several events.
    reading : Reading
        Steps, marks, caps and the covariate of the time before.
    reference : Reference, optional
        The entry of the metric catalogue that all this was copied from.
    """

    key: str
    role: str
    kind: str
    events: tuple[str, ...]
    window_seconds: float
    direction: str = "up"
    mde: float | None = None
    margin: float | None = None
    superiority_margin: float = 0.0
    rare: bool = False
    column: str | None = None
    covariate: str | None = None
    ratio: Ratio | None = None
    sql: str | None = None
    reading: Reading = PLAIN
    reference: Reference | None = None

    @property
    def event(self) -> str:
        """Name what counts, for people: several events by ``or``."""
        return named(self.events)

    @property
    def unit(self) -> str:
        """Name the unit in which the metric is measured."""
        if self.reference is not None and self.reference.is_failure_demand:
            return "failures per demand"
        if self.ratio is not None:
            return self.ratio.unit(self.event)
        if self.kind == "quantile":
            return f"share of {self.beyond}"
        return "share of units" if self.binary else "per unit"

    @property
    def binary(self) -> bool:
        """Tell whether a unit's outcome is 0 or 1."""
        return self.kind in {"conversion", "retention", "funnel"} or self.reading.of_units

    @property
    def is_share(self) -> bool:
        """Tell whether values lie between 0 and 1: read as per cent, and differing by points."""
        return self.binary or self.kind == "quantile"

    @property
    def title(self) -> str:
        """Name the metric where its key alone would not say what is compared."""
        told = self.ratio is not None or self.kind == "quantile"
        return f"{self.key} ({self.unit})" if told else self.key

    @property
    def subject(self) -> str:
        """Name what rises or falls: of a quantile the share above its mark, never the value."""
        return f"{self.key}, the {self.unit}," if self.kind == "quantile" else self.key

    @property
    def beyond(self) -> str:
        """Name what a quantile counts: ``units with load above 800``, ``load events above 800``."""
        if self.binary:
            return f"units with {self.reading.mark(self.event)}"
        return self.reading.mark(f"{self.event} events")

    @property
    def counted(self) -> str:
        """Say what is counted of a unit: ``conversion of purchase``, or a quantile's share."""
        if self.kind == "quantile":
            return self.unit
        return f"{self.kind} of {self.event if self.ratio is None else self.unit}"

    @property
    def decides(self) -> bool:
        """Tell whether the metric can move the verdict."""
        return self.role != "explore"

    def to_document(self) -> dict[str, Any]:
        """Give the metric as plain data, without what was not said."""
        document = {
            "key": self.key,
            "role": self.role,
            "kind": self.kind,
            "event": as_named(self.events),
            "window": format_duration(self.window_seconds),
            "direction": self.direction,
            "mde": self.mde,
            "margin": self.margin,
            "superiority_margin": self.superiority_margin if self.role == "success" else None,
            # Not said when false: the seals of plans from before it existed still hold.
            "rare": self.rare or None,
            "column": self.column,
            "covariate": self.covariate,
            **(self.ratio.to_document() if self.ratio is not None else {}),
            "sql": self.sql,
            **self.reading.to_document(),
            **(self.reference.to_document() if self.reference is not None else {}),
        }
        return {name: value for name, value in document.items() if value is not None}


def read_metric(item: Reader, prove_by: float, *, replayed: bool = False) -> Metric:
    """Read one metric's table; nothing may be left in it."""
    reference = read_reference(item)
    key = item.text("key", hint="a short name, such as purchase")
    role = item.choice("role", ROLES)
    kind = item.choice("kind", KINDS)
    sql = None if replayed else read_sql(item, "sql")
    # Rows of a SELECT need no name, unless several events make the metric.
    events, steps = read_event(item, kind, key if replayed or sql is not None else None)
    window = item.duration("window", 0.0) if replayed else item.duration("window")
    if not replayed and not 0 < window < prove_by:
        raise item.fault(
            "window",
            "must be shorter than prove_by, and longer than nothing",
            "enrolment ends one window before the deadline",
        )
    mde = margin = None
    superiority_margin = 0.0
    if role == "success":
        hint = "the smallest relative effect worth having, such as mde = 0.05"
        mde = item.number("mde", above=0, most=100, hint=hint)
        superiority_margin = item.number("superiority_margin", 0.0, least=0)
    elif role == "guardrail":
        hint = "the largest relative loss still tolerated, such as margin = 0.02"
        margin = item.number("margin", above=0, below=1, hint=hint)
    rare = _read_rare(item, role, kind)
    metric = Metric(
        key=key,
        role=role,
        kind=kind,
        events=events,
        window_seconds=window,
        direction=item.choice("direction", ("up", "down"), "up"),
        mde=mde,
        margin=margin,
        superiority_margin=superiority_margin,
        rare=rare,
        column=item.text("column", None),
        ratio=read_ratio(item, kind, events),
        reading=read_reading(
            item,
            kind=kind,
            role=role,
            steps=steps,
            window_seconds=window,
            rare=rare,
            replayed=replayed,
        ),
        covariate=item.text("covariate", None),
        sql=sql,
        reference=reference,
    )
    if metric.covariate and metric.binary:
        raise item.fault("covariate", "is for means and counts", None)
    item.finish()
    return metric


def _read_rare(item: Reader, role: str, kind: str) -> bool:
    if not item.boolean("rare", default=False):
        return False
    if kind != "conversion":
        raise item.fault(
            "rare",
            f"is for conversions, not for a {kind}",
            'the exact test counts units that met the event: set kind = "conversion"',
        )
    if role == "explore":
        raise item.fault(
            "rare",
            "is for metrics that are watched for harm, and explore decides nothing",
            "role is one of: success, guardrail, safety",
        )
    if not item.has("direction"):
        # The default would watch an error for happening too seldom, and say nothing.
        raise item.fault(
            "direction",
            "is missing, and a rare metric needs it",
            'direction = "down" for errors, crashes and refunds: more of them is harm',
        )
    return True
