"""A reading between two looks in words: what it is, how wide it is, and that it decides nothing.

The card's rule holds here too. An INVALID experiment, or a split that is not the planned one, shows
nothing. Before the first ship date no sign is shown: neither an estimate nor an end, nor whether 0
lies inside, only how closely the effect is known by now. An interval that contains 0 has a middle
all the same, and the middle would be the estimate.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Outcome
from experiments.models import UnscheduledLook
from experiments.telling.card import Card

PENDING, READY = "pending", "ready"


@dataclass(frozen=True)
class UnscheduledRow:
    """One metric in one treatment, as it may be shown.

    Parameters
    ----------
    half_width : float, optional
        Half of the interval, in the metric's unit.
    times_scheduled : float, optional
        How many times as wide as a scheduled interval would be with the same people.
    """

    metric: str
    role: str
    arm: str
    control: str
    unit: str
    text: str
    estimate: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    half_width: float | None = None
    times_scheduled: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class UnscheduledReading:
    """An answer as it may be shown.

    Parameters
    ----------
    at : str
        Up to which instant events were read (ISO 8601, UTC).
    about : tuple of str
        What this is, in whole sentences.
    hidden_because : str, optional
        Why there are no rows, or no signs.
    """

    at: str | None
    about: tuple[str, ...]
    rows: tuple[UnscheduledRow, ...] = ()
    confidence_level: float | None = None
    counts: Mapping[str, int] | None = None
    hidden_because: str | None = None
    alarm: str | None = None
    failed: str | None = None


def status_of(row: UnscheduledLook) -> str:
    """Say whether the newest question is answered."""
    return PENDING if row.answered_at is None else READY


def reading_of(
    plan: Plan, card: Card, started_at: dt.datetime | None, row: UnscheduledLook
) -> UnscheduledReading | None:
    """Put the last answer into words; ``None`` while there is none.

    Parameters
    ----------
    card : Card
        The present card: what it hides is hidden here.
    """
    document: Mapping[str, Any] | None = row.document
    if document is None:
        return None
    if "failed" in document:
        return UnscheduledReading(None, (), failed=str(document["failed"]))
    offset, level = float(document["offset"]), float(document["confidence_level"])
    assert started_at is not None
    read_until = (started_at + dt.timedelta(seconds=offset)).astimezone(dt.UTC)
    hidden, blind = _hidden(plan, card, document)
    shown = not hidden or blind
    return UnscheduledReading(
        at=read_until.isoformat(),
        about=_about(plan, card, offset, read_until, document, shown=shown),
        rows=tuple(_row(plan, each, blind=blind) for each in document["rows"]) if shown else (),
        confidence_level=level,
        counts=document["counts"],
        hidden_because=hidden,
        alarm=document["alarm"],
    )


def reading_document(reading: UnscheduledReading | None) -> dict[str, Any] | None:
    """Give the reading as plain data."""
    return None if reading is None else asdict(reading)


def _hidden(plan: Plan, card: Card, document: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Say what is hidden, and whether that is the signs only."""
    if card.verdict == Outcome.INVALID or (card.worth_hidden or "").startswith("Hidden"):
        return card.worth_hidden, False
    if document["split_broken"]:
        against = words.odds(document["srm_log_e"])
        why = (
            f"Hidden: the split is not the planned one (evidence {against}), and numbers would "
            "mislead. The next scheduled look acts on it."
        )
        return why, False
    if card.worth_hidden is not None:
        minimum = words.days(plan, plan.policy.minimum_seconds)
        why = (
            f"No sign is shown before {minimum} have passed: early numbers jump. What is shown is "
            "how closely each effect is known by now. Harm acts at once."
        )
        return why, True
    return None, False


def _about(
    plan: Plan,
    card: Card,
    offset: float,
    read_until: dt.datetime,
    document: Mapping[str, Any],
    *,
    shown: bool,
) -> tuple[str, ...]:
    at = words.moment(read_until.replace(microsecond=0))
    what = card.next.what[:1].upper() + card.next.what[1:]
    follows = f" {what}: {card.next.when}." if card.next.when else ""
    holds = (
        f"Each interval holds at {words.percent(document['confidence_level'])} at every moment "
        "together, however often anybody asks, and for whatever reason."
    )
    if shown and document["rows"]:
        holds += f" {_width(document['rows'])}"
    return (
        f"Read between looks, up to {at} ({words.day_of(plan, offset)}).",
        holds,
        f"It decides nothing: only scheduled looks do, and this is none of them.{follows}",
    )


def _row(plan: Plan, row: Mapping[str, Any], *, blind: bool) -> UnscheduledRow:
    metric, arm = plan.metric(row["metric"]), row["arm"]
    head = {
        "metric": metric.key,
        "role": metric.role,
        "arm": arm,
        "control": plan.control,
        "unit": metric.unit,
    }
    subject = f"{metric.title}, {arm} against {plan.control}"
    if row["estimate"] is None:
        return UnscheduledRow(**head, text=f"{subject}: {row['reason']}", reason=row["reason"])
    low, high, times = row["low"], row["high"], row["times_scheduled"]
    half = None if low is None or high is None else (high - low) / 2
    if blind:
        known = "not known yet" if half is None else f"known to within ± {_size(metric, half)}"
        text = f"{subject}: {known}"
        return UnscheduledRow(**head, text=text, half_width=half, times_scheduled=times)
    relative = f" ({words.signed_percent(row['relative'])})" if row["relative"] is not None else ""
    text = (
        f"{subject}: {words.difference(metric, row['estimate'])}{relative}, "
        f"{words.interval(metric, low, high)}"
    )
    fields = ("estimate", "se", "low", "high", "relative", "relative_low", "relative_high")
    return UnscheduledRow(
        **head,
        **{name: row[name] for name in fields},
        text=text,
        half_width=half,
        times_scheduled=times,
    )


def _size(metric: Metric, value: float) -> str:
    return words.difference(metric, float(f"{value:.3g}")).lstrip("+")


def _width(rows: Sequence[Mapping[str, Any]]) -> str:
    """Compare the widths with scheduled ones; mostly they are wider, early in a plan they need not.

    By standard errors, so that those who have come since the last look do not count.
    """
    times = sorted(each["times_scheduled"] for each in rows if each["times_scheduled"] is not None)
    if not times:
        return "At no look was there an interval with two ends to compare these with."
    least, most = (float(f"{each:.2g}") for each in (times[0], times[-1]))
    same = "as the scheduled intervals would be with the same people"
    if least == most == 1:
        return f"They are as wide {same}."
    said = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    kept = "; those keep their error for the end" if most < 1 else ""
    return f"They are {said} times as wide {same}{kept}."
