"""LaunchDarkly's operators, for one attribute against a clause's values.

An attribute that is an array matches with any of its elements; no value is ever read as another
type. A value that an operator cannot use matches nothing.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from flagstone.engine.operators import is_number
from flagstone.engine.semver import sort_key
from flagstone.engine.times import parse_time
from flagstone.importers.conditions import NOBODY, all_of, any_of, written
from flagstone.importers.launchdarkly.attributes import (
    Path,
    has_value,
    is_unit,
    with_integers,
)
from flagstone.importers.numbers import EXACT, rounding_to
from flagstone.importers.python_patterns import of_python
from flagstone.importers.result import CannotCarryError

_NUMBER: Final = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER: Final = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
# Minor and patch may be missing; otherwise the specification to the letter.
_VERSION: Final = (
    rf"^{_NUMBER}(?:\.{_NUMBER}){{0,2}}"
    rf"(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$"
)
# A time without a zone is none.
_ZONED: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$"
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)  # noqa: UP017  as in the engine

Place = dict[str, Any]
"""Where a value stands: ``{"attr": …}``, or ``{}`` for the element that is looked at."""


class _OfValue:
    """Writes leaves about one value, which is the attribute or an element of it."""

    def __init__(self, place: Place, *, as_text: bool) -> None:
        self.place = place
        self.more = {"as": "string"} if as_text else {}

    def leaf(self, op: str, values: Sequence[Any], **more: Any) -> Any:
        if not values:
            return NOBODY
        return {**self.place, "op": op, "values": list(values), **self.more, **more}

    def is_text(self) -> Any:
        # What is read as a text is one.
        return True if self.more else {**self.place, "op": "type", "values": ["string"]}


def matches(path: Path, op: str, values: Sequence[Any], *, key: bool = False) -> Any:
    """Return the condition that an attribute matches a clause's values.

    Parameters
    ----------
    path : tuple of str
        Where the attribute stands.
    op : str
        LaunchDarkly's operator; nobody matches one that it does not know.
    values : sequence
        The clause's values.
    key : bool, default False
        Whether the attribute is a context's key: a text always, though it may come as an integer.
    """
    if op == "in":
        return _in(path, values, key=key)
    if op in _SIMPLE:
        return _simple(path, *_SIMPLE[op](values), key=key)
    if op not in _COMPOSITE:
        return NOBODY
    write = _COMPOSITE[op]
    attr = {"attr": written(path)}
    if key:
        return all_of([is_unit(path), write(_OfValue(attr, as_text=True), values)])
    of_element = write(_OfValue({}, as_text=False), values)
    if of_element == NOBODY:
        return NOBODY
    return any_of([write(_OfValue(attr, as_text=False), values), {**attr, "each": of_element}])


def _in(path: Path, values: Sequence[Any], *, key: bool) -> Any:
    place = {"attr": written(path)}
    if key:
        keys = with_integers(value for value in values if isinstance(value, str))
        return {**place, "op": "in", "values": keys} if keys else NOBODY
    if not values:
        return NOBODY
    for value in values:
        if isinstance(value, (list, dict)) and _is_ambiguous(value):
            raise CannotCarryError(
                "a clause compares with a list or object that holds a truth value, 0 or 1:"
                " inside of those LaunchDarkly's SDK takes one for the other"
            )
    test = {**place, "op": "in", "values": list(values), "elements": True}
    # null as an element is a value, null as the attribute is none.
    return all_of([has_value(path), test]) if None in values else test


def _is_ambiguous(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_ambiguous, value))
    if isinstance(value, dict):
        return any(map(_is_ambiguous, value.values()))
    return isinstance(value, (bool, int, float)) and value in (0, 1)


def _simple(path: Path, op: str, values: Sequence[Any], *, key: bool) -> Any:
    """Write one leaf that looks at the elements too: it cannot mistake an array for a match."""
    if not values:
        return NOBODY
    place = {"attr": written(path)}
    if not key:
        return {**place, "op": op, "values": list(values), "elements": True}
    if op not in ("starts_with", "ends_with", "regex"):
        return NOBODY
    if op != "regex" and not any(re.fullmatch("-?[0-9]*", value) for value in values):
        return {**place, "op": op, "values": list(values)}
    return all_of([is_unit(path), {**place, "op": op, "values": list(values), "as": "string"}])


def _texts(values: Sequence[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _starts_with(values: Sequence[Any]) -> tuple[str, list[str]]:
    return "starts_with", _texts(values)


def _ends_with(values: Sequence[Any]) -> tuple[str, list[str]]:
    return "ends_with", _texts(values)


def _regex(values: Sequence[Any]) -> tuple[str, list[str]]:
    found = [of_python(value, exact=True) for value in _texts(values)]
    return "regex", [pattern[0] for pattern in found if pattern is not None]


def _order(op: str) -> Callable[[Sequence[Any]], tuple[str, list[int | float]]]:
    def of_values(values: Sequence[Any]) -> tuple[str, list[int | float]]:
        return op, [_edge(op, value) for value in values if is_number(value)]

    return of_values


def _float(value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise CannotCarryError("a clause compares with a number that is too large")
    return number


def _edge(op: str, value: int | float) -> int | float:
    """Return what a number compares with exactly as its ``float`` does with that of ``value``.

    Past 2**53 several integers have one float: the first of them is the edge of "less than",
    the last that of "greater than".
    """
    number = _float(value)
    if abs(number) < EXACT:
        return value
    low, high = rounding_to(number)
    return low if op in ("lt", "gte") else high


def _contains(value: _OfValue, values: Sequence[Any]) -> Any:
    # Without the type, an array would be asked for an element.
    return all_of([value.is_text(), value.leaf("contains", _texts(values))])


def _moment(op: str) -> Callable[[_OfValue, Sequence[Any]], Any]:
    """Compare times: numbers are milliseconds, texts are RFC 3339 with a zone."""
    order = {"before": "lt", "after": "gt"}[op]

    def write(value: _OfValue, values: Sequence[Any]) -> Any:
        moments = [moment for moment in map(_milliseconds, values) if moment is not None]
        if not moments:
            return NOBODY
        # No integer prints as a time, so a key that is none needs no reading as text.
        plain = _OfValue(value.place, as_text=False)
        texts = all_of(
            [plain.leaf("regex", [_ZONED]), plain.leaf(op, [_seconds(op, m) for m in moments])]
        )
        if value.more:
            return texts
        return any_of([plain.leaf(order, [_edge(order, m) for m in moments]), texts])

    return write


def _milliseconds(value: Any) -> float | None:
    if is_number(value):
        return _float(value)
    if not isinstance(value, str):
        return None
    try:
        if re.match(_ZONED, value):
            return parse_time(value) * 1000.0
        moment = dt.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", value))
        return None if moment.tzinfo is None else (moment - _EPOCH).total_seconds() * 1000.0
    except (ValueError, OverflowError):
        return None


def _seconds(op: str, milliseconds: float) -> float:
    """Return the seconds that compare as their thousandfold does with ``milliseconds``."""
    seconds = milliseconds / 1000.0
    if op == "before":
        while seconds * 1000.0 >= milliseconds:
            seconds = math.nextafter(seconds, -math.inf)
        while seconds * 1000.0 < milliseconds:
            seconds = math.nextafter(seconds, math.inf)
        return seconds
    while seconds * 1000.0 <= milliseconds:
        seconds = math.nextafter(seconds, math.inf)
    while seconds * 1000.0 > milliseconds:
        seconds = math.nextafter(seconds, -math.inf)
    return seconds


def _version(op: str) -> Callable[[_OfValue, Sequence[Any]], Any]:
    def write(value: _OfValue, values: Sequence[Any]) -> Any:
        versions = [text for text in _texts(values) if re.match(_VERSION[:-1] + r"\Z", text)]
        for version in versions:
            try:
                sort_key(version)
            except ValueError as error:
                raise CannotCarryError(f"a version has too large a number: {version}") from error
        return all_of([value.leaf("regex", [_VERSION]), value.leaf(op, versions)])

    return write


_SIMPLE: Final[dict[str, Callable[[Sequence[Any]], tuple[str, Any]]]] = {
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "matches": _regex,
    "lessThan": _order("lt"),
    "lessThanOrEqual": _order("lte"),
    "greaterThan": _order("gt"),
    "greaterThanOrEqual": _order("gte"),
}
_COMPOSITE: Final[dict[str, Callable[[_OfValue, Sequence[Any]], Any]]] = {
    "contains": _contains,
    "before": _moment("before"),
    "after": _moment("after"),
    "semVerEqual": _version("semver_eq"),
    "semVerLessThan": _version("semver_lt"),
    "semVerGreaterThan": _version("semver_gt"),
}
