"""The form of a metric: which fields each kind has, what they mean, and the document they make.

Whether a document is a metric is decided where the catalogue reads it, and nowhere else: what does
not parse here goes there as it was typed, and comes back as a fault of its field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form.

    ``type`` says how a text becomes a value: ``text`` as it is, ``number``, ``events`` (one or
    several names), ``steps`` (a line each), ``lines`` (a text of many), ``choice``.
    """

    name: str
    label: str
    hint: str = ""
    type: Literal["text", "number", "events", "steps", "lines", "choice"] = "text"
    such_as: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of metric: in plain words, and the fields that it has besides those of all."""

    name: str
    words: str
    example: str
    fields: tuple[Field, ...]


_EVENT = Field(
    "event", "Which event?", "Several that count as one: with commas between.", "events", "purchase"
)
_WINDOW = Field(
    "window",
    "Within how long?",
    "Of a person's first visit. Minutes, hours, days or weeks: 30m, 12h, 7d, 2w.",
    such_as="7d",
    required=True,
)
_CAP = Field("cap", "Cut a person's value at", "One huge order no longer hides the rest.", "number")
_CAP_QUANTILE = Field(
    "cap_quantile",
    "… or at this quantile of the past",
    "From 0.5 to 1: 0.99 cuts the largest hundredth.",
    "number",
)
_CUPED = Field(
    "covariate_window",
    "Adjust for the same of the time before (CUPED)",
    "Smaller effects are shown when people differ in ways that last. Empty: not adjusted.",
    such_as="14d",
)
_ADDS = (("count", "how many there are"), ("value", "their values added up"))
DIRECTION = Field(
    "direction",
    "Better is",
    type="choice",
    choices=(("up", "more"), ("down", "less")),
)
OWNER = Field("owner", "Who answers for it?")
DESCRIPTION = Field("description", "What is it for?", type="lines")
SQL = Field(
    "sql",
    "Its rows, as one SELECT in a source",
    "Only where no events are sent for it: columns unit, time and value.",
    "lines",
    "select user_id as unit, paid_at as time, amount as value from orders",
)

KINDS = (
    Kind(
        "conversion",
        "Did it happen?",
        "Share of people who buy",
        (_EVENT, _WINDOW, _CUPED),
    ),
    Kind(
        "count",
        "How often?",
        "Visits per person",
        (_EVENT, _WINDOW, _CAP, _CAP_QUANTILE, _CUPED),
    ),
    Kind(
        "mean",
        "How much? Money, minutes, any number",
        "Revenue per person",
        (
            _EVENT,
            _WINDOW,
            Field(
                "aggregation",
                "Of a person's several values",
                type="choice",
                choices=(("sum", "add them up"), ("max", "take the largest")),
            ),
            _CAP,
            _CAP_QUANTILE,
            _CUPED,
        ),
    ),
    Kind(
        "ratio",
        "How much of one for each of another?",
        "Revenue per order, clicks per session",
        (
            _EVENT,
            Field("numerator", "Of it, count", type="choice", choices=_ADDS),
            Field("denominator_event", "For each …", "", "events", "session", required=True),
            Field("denominator", "Of that, count", type="choice", choices=_ADDS),
            _WINDOW,
            _CAP,
            _CAP_QUANTILE,
        ),
    ),
    Kind(
        "retention",
        "Did they come back?",
        "Share of people who return in the second week",
        (
            _EVENT,
            Field("from", "Not before", "Of their first visit.", such_as="7d", required=True),
            _WINDOW,
            _CUPED,
        ),
    ),
    Kind(
        "funnel",
        "Did they get through?",
        "Share of people who view, put in the cart, and buy",
        (
            Field(
                "steps",
                "Its events in order",
                "A line each; the last one counts.",
                "steps",
                required=True,
            ),
            _WINDOW,
        ),
    ),
    Kind(
        "quantile",
        "How many are beyond a mark?",
        "Share of page loads above 800 ms",
        (
            _EVENT,
            Field("threshold", "The mark", "", "number", "800"),
            Field(
                "quantile",
                "… or this quantile of the past",
                "Between 0 and 1; for guardrails only.",
                "number",
                "0.95",
            ),
            Field(
                "of",
                "Hold against it",
                type="choice",
                choices=(("events", "each event"), ("units", "each person")),
            ),
            Field(
                "aggregation",
                "Of a person's several values",
                "Where persons are held against the mark.",
                "choice",
                choices=(("sum", "add them up"), ("max", "take the largest")),
            ),
            _WINDOW,
        ),
    ),
)
BY_NAME: Mapping[str, Kind] = {each.name: each for each in KINDS}
_OF_ALL = (DIRECTION, OWNER, DESCRIPTION, SQL)
_NAMES = frozenset({"event", "denominator_event"})
# What a document says without saying it.
_DEFAULTS = {"aggregation": "sum", "of": "events"}


def fields_of(kind: Kind) -> tuple[Field, ...]:
    """Give all fields of a kind."""
    return (*kind.fields, *_OF_ALL)


def document_of(kind: Kind, form: Mapping[str, str]) -> dict[str, Any]:
    """Give the document that a filled-in form makes."""
    document: dict[str, Any] = {"kind": kind.name}
    for field in fields_of(kind):
        value = _value(field, form.get(field.name, "").strip())
        if value not in (None, _DEFAULTS.get(field.name)):
            document[field.name] = value
    return document


def form_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Give a form filled in with what a document says: :func:`document_of` gives it back."""
    form: dict[str, str] = {}
    for name, value in document.items():
        if name in _NAMES:
            form[name] = _names(value)
        elif name == "steps":
            form[name] = "\n".join(value)
        elif value is not None:
            form[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return form


def _value(field: Field, text: str) -> Any:
    if not text:
        return None
    if field.type == "number":
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            return text
        return int(number) if number.is_integer() else number
    if field.type == "steps":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if field.type == "events":
        return _events(text)
    return text


def _events(text: str) -> Any:
    if text.startswith("["):
        # How names with commas are shown.
        try:
            found = json.loads(text)
            return found[0] if isinstance(found, list) and len(found) == 1 else found
        except (ValueError, RecursionError):
            return text
    names = [each.strip() for each in text.split(",") if each.strip()]
    return names[0] if len(names) == 1 else names


def _names(value: Any) -> str:
    names = [value] if isinstance(value, str) else list(value)
    plain = not any("," in each or each.startswith("[") for each in names)
    return ", ".join(names) if plain else json.dumps(names, ensure_ascii=False)
