"""What was seen on the way, for people and programs: by segment, and with experience.

Read from what the worker stored beside a look; nothing is computed here. The rule of the card
holds: where effects are hidden, these are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.telling.series import StoredLook

MOST_ROWS = 200
"""On a page, of one attribute; the CSV has all."""


@dataclass(frozen=True)
class SegmentRow:
    """One metric in one treatment in one segment; the columns of the segments' CSV, in this order.

    Parameters
    ----------
    look : int
        Number of the look.
    attribute, what, value : str, str, str or None
        ``what`` is ``value``, ``other`` (all values that are not told apart) or ``not said``.
    metric, arm, control : str
        As in the plan.
    units_control, units_arm : float
        Units whose window has passed, at least 100 of each.
    estimate, se, low, high : float, optional
        Arm minus control in the metric's unit, and an interval that holds at all looks together.
    log_e : float, optional
        Natural logarithm of the evidence (e-value) against "no effect in this segment".
    reported : bool
        Whether it stays when at most 5 % of what is marked, over all rows, may be false (e-BH).
    """

    look: int
    attribute: str
    what: str
    value: str | None
    metric: str
    arm: str
    control: str
    units_control: float
    units_arm: float
    estimate: float | None
    se: float | None
    low: float | None
    high: float | None
    log_e: float | None
    reported: bool

    @property
    def label(self) -> str:
        """Name the segment: ``DE``, ``(other values)``, ``(not said)``."""
        if self.what == "value":
            return self.value or ""
        return "(other values)" if self.what == "other" else "(not said)"


COLUMNS = tuple(field.name for field in fields(SegmentRow))


@dataclass(frozen=True)
class SegmentTable:
    """One attribute: its rows, and whether its segments differ.

    Parameters
    ----------
    rows : tuple of (SegmentRow, str, str)
        The row, its effect and its evidence in words; marked ones first, at most ``MOST_ROWS``.
    differences : tuple of str
        For each metric and treatment a sentence.
    more : int
        Rows that are not among them.
    """

    attribute: str
    rows: tuple[tuple[SegmentRow, str, str], ...]
    differences: tuple[str, ...]
    more: int


@dataclass(frozen=True)
class Trend:
    """An effect that fades or grows as units get used to the treatment."""

    word: str
    sentence: str


@dataclass(frozen=True)
class Explored:
    """Everything exploratory about an experiment."""

    tables: tuple[SegmentTable, ...]
    trends: tuple[Trend, ...]
    sentence: str


def segment_rows(plan: Plan, looks: Sequence[StoredLook]) -> list[SegmentRow]:
    """Give the rows of every look that has segments, oldest first."""
    return [
        SegmentRow(
            look=look.number,
            control=plan.control,
            **{name: cell[name] for name in COLUMNS if name not in {"look", "control"}},
        )
        for look in looks
        for cell in look.data.get("segments", {}).get("cells", ())
    ]


def explored_document(plan: Plan, looks: Sequence[StoredLook]) -> dict[str, list[dict[str, Any]]]:
    """Give all of it as plain tables, one per list."""
    with_segments = [look for look in looks if "segments" in look.data]
    return {
        "segments": [asdict(row) for row in segment_rows(plan, looks)],
        "segment_sums": [
            {
                "look": look.number,
                "attribute": segment["attribute"],
                "what": segment["what"],
                "value": segment["value"],
                "metric": metric,
                "arm": arm,
                "sums": sums,
            }
            for look in with_segments
            for segment in look.data["segments"]["segments"]
            for metric, arms in segment["sums"].items()
            for arm, sums in arms.items()
        ],
        "segment_differences": [
            {"look": look.number, **each}
            for look in with_segments
            for each in look.data["segments"]["differences"]
        ],
        "novelty": [
            {"look": look.number, **each} for look in looks for each in look.data.get("novelty", ())
        ],
    }


def explored(plan: Plan, looks: Sequence[StoredLook]) -> Explored:
    """Give what the newest looks have found, in words."""
    newest = _newest(looks, "segments")
    tables: tuple[SegmentTable, ...] = ()
    sentence = ""
    if newest is not None:
        rows = segment_rows(plan, [newest])
        found = newest.data["segments"]
        tables = tuple(_table(plan, name, rows, found) for name in found["attributes"])
        sentence = _sentence(rows, found["too_few"])
    last = _newest(looks, "novelty")
    trends = () if last is None else tuple(_trends(last.data["novelty"]))
    return Explored(tables, trends, sentence)


def _newest(looks: Sequence[StoredLook], key: str) -> StoredLook | None:
    return next((look for look in reversed(looks) if key in look.data), None)


def _sentence(rows: Sequence[SegmentRow], too_few: int) -> str:
    marked = sum(row.reported for row in rows)
    count = "1 row is" if marked == 1 else f"{marked or 'no'} rows are"
    text = (
        f"This decided nothing and may decide nothing. Of {len(rows):,} rows {count} marked: there "
        "the change does something, and of such marks at most 5 % are expected to be false, over "
        "all rows together. A row without a mark may be what chance makes of many rows, however "
        "large its number. A mark is a reason for an experiment in that segment, not for shipping "
        "to it."
    )
    if too_few:
        left = "1 row" if too_few == 1 else f"{too_few:,} rows"
        text += f" {left} with fewer than 100 units in an arm left out."
    return text


def _table(
    plan: Plan, attribute: str, rows: Iterable[SegmentRow], found: Mapping[str, Any]
) -> SegmentTable:
    own = [row for row in rows if row.attribute == attribute]
    order = {metric.key: place for place, metric in enumerate(plan.metrics)}
    own.sort(key=lambda row: (not row.reported, order[row.metric], row.arm))
    return SegmentTable(
        attribute,
        tuple((row, _effect(plan, row), _evidence(row)) for row in own[:MOST_ROWS]),
        tuple(_difference(each) for each in found["differences"] if each["attribute"] == attribute),
        max(0, len(own) - MOST_ROWS),
    )


def _effect(plan: Plan, row: SegmentRow) -> str:
    if row.estimate is None:
        return "too little happened"
    metric = plan.metric(row.metric)
    interval = words.interval(metric, row.low, row.high)
    return f"{words.difference(metric, row.estimate)}, {interval}"


def _evidence(row: SegmentRow) -> str:
    if row.log_e is None:
        return "–"
    if row.log_e <= 0:
        return "none"
    return f"{math.exp(row.log_e):.3g}" if row.log_e < math.log(1e6) else "over a million"


def _difference(each: Mapping[str, Any]) -> str:
    head = f"{each['metric']}, {each['arm']}:"
    p = f"p = {each['p_adjusted']:.2g}, corrected for all such questions"
    if each["reported"]:
        share = words.percent(each["i2"])
        return (
            f"{head} the {each['segments']} segments differ ({p}); {share} of what lies between "
            "them is not chance"
        )
    return f"{head} the {each['segments']} segments may well share one effect ({p})"


def _trends(found: Iterable[Mapping[str, Any]]) -> Iterable[Trend]:
    for each in found:
        if each["course"] == "steady":
            continue
        first, last = (words.signed_percent(math.expm1(each[end])) for end in ("first", "last"))
        days = each["days"]
        yield Trend(
            f"effect {each['course']}",
            f"{each['metric']}, {each['arm']}: the effect is {each['course']}. Among units that "
            f"met it about {days[0]:.0f} days ago it is {first} a day, among those of about "
            f"{days[-1]:.0f} days ago {last} (p = {each['p_adjusted']:.2g}). Exploratory: it "
            "decides nothing; it is a reason to hold part back for longer before counting on it.",
        )
