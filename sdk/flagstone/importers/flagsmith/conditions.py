"""A segment's conditions: what each operator means, by the type of what it looks at.

Flagsmith first reads the text of a number as that number (``"007"`` is 7, ``"1.50"`` is 1.5), then
reads the condition's text in the type of the value: a whole number never equals ``"1.5"``, nor is
it less; true equals every text but ``False`` and ``false``. So each condition is the sum of its
answers for truths, whole numbers, fractions and texts.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from flagstone.engine import semver
from flagstone.importers.conditions import (
    NOBODY,
    Attr,
    all_of,
    any_of,
    leaf,
    negated,
)
from flagstone.importers.flagsmith.properties import Place
from flagstone.importers.flagsmith.shares import HASH_OF_VALUES, bucketing, buckets_up_to
from flagstone.importers.python_patterns import of_python
from flagstone.importers.result import CannotCarryError

LOSS: Final = (
    r"\d, \w and \b of a pattern know ASCII only, as in Flagsmith's SDKs for JavaScript and Go; "
    "its Python engine knows every script"
)
WHOLE: Final = r"^-?[0-9]+$"
_FRACTION: Final = r"^-?[0-9]+\.[0-9]+$"
_NUMBER: Final = r"^-?[0-9]+(?:\.[0-9]+)?$"
_IS_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_IS_WHOLE: Final = re.compile(r"-?[0-9]+")
_SEMVER: Final = ":semver"
_LONGEST: Final = 300
"""Digits of a number that is compared as one; longer texts would be infinite as floats."""

Compare = Callable[[Any, Any], Any]
_COMPARISONS: Final[dict[str, tuple[str, Compare]]] = {
    "EQUAL": ("eq", operator.eq),
    "NOT_EQUAL": ("ne", operator.ne),
    "GREATER_THAN": ("gt", operator.gt),
    "GREATER_THAN_INCLUSIVE": ("gte", operator.ge),
    "LESS_THAN": ("lt", operator.lt),
    "LESS_THAN_INCLUSIVE": ("lte", operator.le),
    "CONTAINS": ("contains", operator.contains),
}
_CORE: Final = r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)"
_PRE_PART: Final = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_PRE_RELEASE: Final = rf"{_PRE_PART}(?:\.{_PRE_PART})*"
_BUILD: Final = r"[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*"


def compare(name: str, value: Any, place: Place, salt: str, losses: set[str]) -> Any:
    """Return the condition of an operator with a value, on a place in our context.

    ``salt`` is the segment's key; ``losses`` takes the names of what is lost.

    Raises
    ------
    CannotCarryError
        If the value is none that Flagsmith's SDK can use, or our grammar has no such thing.
    """
    if name in ("IS_SET", "IS_NOT_SET"):
        there = NOBODY if place.attr is None else leaf(place.attr, "type", place.types)
        return there if name == "IS_SET" else negated(there)
    if place.attr is None:
        return NOBODY
    if name == "IN":
        return member(values_of_in(value), place.attr)
    if name == "PERCENTAGE_SPLIT":
        return _percentage(value, place.attr, salt)
    if value is not None and type(value) not in (str, bool, int, float):
        raise CannotCarryError(f"{name} compares with a text, not with {type(value).__name__}")
    if name in _COMPARISONS:
        return any_of(_compared(name, value, place))
    if name == "NOT_CONTAINS":
        text = leaf(place.attr, "type", ["string"])
        return all_of(
            [text, negated(_numeral(place.attr)), negated(_holding(place.attr, str(value)))]
        )
    if name == "REGEX":
        return _regex(str(value), place.attr, losses)
    if name == "MODULO":
        return _modulo(value, place.attr)
    return NOBODY  # Flagsmith does not know the operator: it never matches.


# --- equality, order and CONTAINS ---------------------------------------------------------------


def _compared(name: str, value: Any, place: Place) -> Iterator[Any]:
    op, compared = _COMPARISONS[name]
    attr = place.attr
    assert attr is not None
    yield _truths(attr, lambda truth: compared(truth, value not in ("False", "false")))
    if op != "contains":
        yield from _numbers(attr, op, _read(int, value), _read(float, value))
    if value is None or type(value) is str:
        text = str(value)
        yield _versions(attr, op, text) if text.endswith(_SEMVER) else _texts(attr, op, text)
        if "array" in place.types and op != "contains" and not text.endswith(_SEMVER):
            # Flagsmith compares the printed form of an array or an object.
            for kind, start in (("array", "["), ("object", "{")):
                if not text.startswith(start) and compared(start, text):
                    yield leaf(attr, "type", [kind])


def _truths(attr: Attr, test: Callable[[bool], Any]) -> Any:
    kept = []
    for truth in (False, True):
        try:
            if test(truth):
                kept.append(truth)
        except TypeError:
            continue
    return leaf(attr, "in", kept) if kept else NOBODY


def _read(kind: Callable[[Any], Any], value: Any) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError):
        return None
    except OverflowError as error:
        raise CannotCarryError(f"Flagsmith's SDK fails on the number {value!r}") from error


def _numbers(attr: Attr, op: str, whole: int | None, number: float | None) -> Iterator[Any]:
    divisible = leaf(attr, "mod", [[1, 0]])
    if whole is not None and whole == number:
        yield _of_class(attr, op, whole, any_of([leaf(attr, "type", ["number"]), _numeral(attr)]))
        return
    if whole is not None:
        yield _of_class(attr, op, whole, any_of([divisible, leaf(attr, "regex", [WHOLE])]))
    if number is not None:
        fraction = all_of([leaf(attr, "type", ["number"]), negated(divisible)])
        yield _of_class(attr, op, number, any_of([fraction, leaf(attr, "regex", [_FRACTION])]))


def _of_class(attr: Attr, op: str, number: int | float, members: Any) -> Any:
    """Compare the numbers of a class (whole, with a fraction, or any) with a constant."""
    if isinstance(number, float) and not math.isfinite(number):
        below = number > 0 and op in ("lt", "lte")
        above = number < 0 and op in ("gt", "gte")
        return members if op == "ne" or below or above else NOBODY
    if op == "ne":
        return all_of([members, negated(leaf(attr, "in", [number], **{"as": "number"}))])
    our = "in" if op == "eq" else op
    return all_of([leaf(attr, our, [number], **{"as": "number"}), members])


def _numeral(attr: Attr) -> Any:
    """Ask for the text of a number, which Flagsmith reads as one."""
    return leaf(attr, "regex", [_NUMBER])


def _holding(attr: Attr, text: str) -> Any:
    return leaf(attr, "contains", [text])


def _texts(attr: Attr, op: str, text: str) -> Any:
    """Compare texts that are not those of a number."""
    if op == "eq":
        return NOBODY if _IS_NUMBER.fullmatch(text) else leaf(attr, "in", [text])
    none = negated(_numeral(attr))
    if op == "ne":
        kept = [] if _IS_NUMBER.fullmatch(text) else [negated(leaf(attr, "in", [text]))]
        return all_of([leaf(attr, "type", ["string"]), none, *kept])
    if op == "contains":
        # A text that holds anything but these is none of a number.
        return all_of(
            [_holding(attr, text), *([none] if not set(text) - set("0123456789.-") else [])]
        )
    return all_of([leaf(attr, op, [text]), none])


def _versions(attr: Attr, op: str, text: str) -> Any:
    version = text.removesuffix(_SEMVER)
    if op == "contains":
        return _part_of_version(attr, version)
    if re.search("[0-9]{19}", version):
        raise CannotCarryError(f"the version {version!r} has a number of more than 18 digits")
    try:
        semver.sort_key(version, strict=True)
    except ValueError:
        return NOBODY
    if op == "ne":
        least = leaf(attr, "semver_gte", ["0.0.0-0"], strict=True)
        return all_of([least, negated(leaf(attr, "semver_eq", [version], strict=True))])
    return leaf(attr, f"semver_{op}", [version], strict=True)


def _part_of_version(attr: Attr, part: str) -> Any:
    """Ask for a version whose pre-release or build is just this."""
    patterns = []
    written = re.escape(part)
    if re.fullmatch(_PRE_RELEASE, part):
        patterns.append(rf"^{_CORE}-{written}(?:\+{_BUILD})?$")
    if re.fullmatch(_BUILD, part):
        patterns.append(rf"^{_CORE}(?:-{_PRE_RELEASE})?\+{written}$")
    return leaf(attr, "regex", patterns) if patterns else NOBODY


# --- REGEX and MODULO ---------------------------------------------------------------------------


def _regex(text: str, attr: Attr, losses: set[str]) -> Any:
    found = of_python(text, exact=False)
    if found is None:
        raise CannotCarryError(f"REGEX {text[:80]!r}: Flagsmith's SDK fails on it")
    pattern, is_lossy = found
    if is_lossy:
        losses.add("pattern")
    printed = leaf(attr, "regex", [rf"\A(?:{pattern})"], **{"as": "string"})
    scalar = all_of([leaf(attr, "type", ["string", "number"]), printed])
    return any_of([scalar, _truths(attr, lambda truth: re.match(text, str(truth)))])


def _modulo(value: Any, attr: Attr) -> Any:
    if not value:
        return NOBODY
    if type(value) is not str:
        raise CannotCarryError("MODULO wants a text of two numbers")
    try:
        divisor, remainder = map(float, value.split("|"))
    except ValueError:
        return NOBODY
    if divisor == 0:
        raise CannotCarryError("MODULO by zero: Flagsmith's SDK fails on it")
    if math.isinf(divisor):
        raise CannotCarryError("MODULO by an infinite number")
    if not math.isfinite(divisor) or not math.isfinite(remainder):
        return NOBODY
    number = any_of([leaf(attr, "type", ["number"]), _numeral(attr)])
    rest = leaf(attr, "mod", [[divisor, remainder]], **{"as": "number"})
    return any_of(
        [all_of([rest, number]), _truths(attr, lambda truth: truth % divisor == remainder)]
    )


# --- IN -----------------------------------------------------------------------------------------


def values_of_in(value: Any) -> list[str]:
    """Return the texts of a list, of its JSON or of its text with commas, each once.

    Raises
    ------
    CannotCarryError
        If it is none of these.
    """
    if type(value) is str:
        values: Iterable[Any] = value.split(",")
        if value.startswith("["):
            try:
                values = json.loads(value)
            except ValueError:
                pass
            except RecursionError as error:
                raise CannotCarryError("IN: the list is nested too deeply") from error
    elif isinstance(value, list):
        values = value
    else:
        raise CannotCarryError("IN wants a list or a text")
    return list(dict.fromkeys(one if type(one) is str else str(one) for one in values))


def whole_numbers(values: Iterable[str]) -> list[int]:
    """Return the whole numbers among texts, if written as Python writes them."""
    short = [one for one in values if len(one) <= _LONGEST and _IS_WHOLE.fullmatch(one)]
    return [int(one) for one in short if str(int(one)) == one]


def texts_of(values: Iterable[str]) -> list[str]:
    """Return the texts that Flagsmith does not read as numbers: only they can be met."""
    return [one for one in values if not _IS_NUMBER.fullmatch(one) or _is_huge(one)]


def _is_huge(text: str) -> bool:
    return len(text) > _LONGEST and bool(_IS_WHOLE.fullmatch(text)) and text[text[0] == "-"] != "0"


def member(values: list[str], attr: Attr) -> Any:
    """Ask whether a place is one of the texts, or a whole number that prints as one."""
    parts = []
    if texts_of(values):
        parts.append(leaf(attr, "in", texts_of(values)))
    if whole_numbers(values):
        number = any_of([leaf(attr, "type", ["number"]), leaf(attr, "regex", [WHOLE])])
        among = leaf(attr, "in", whole_numbers(values), **{"as": "number"})
        parts.append(all_of([among, number]))
    return any_of(parts)


# --- PERCENTAGE_SPLIT ---------------------------------------------------------------------------


def percentage_of(value: Any) -> int:
    """Return how many buckets a percentage takes.

    Raises
    ------
    CannotCarryError
        If Flagsmith's SDK fails on the value.
    """
    try:
        return buckets_up_to(float(value))
    except ValueError:
        return 0
    except (TypeError, OverflowError) as error:
        raise CannotCarryError("PERCENTAGE_SPLIT wants a number") from error


def _percentage(value: Any, attr: Attr, salt: str) -> Any:
    count = percentage_of(value)
    if not count:
        return NOBODY
    by = attr if isinstance(attr, str) else list(attr)
    return {"bucket": {**bucketing(salt, by, HASH_OF_VALUES), "ranges": [[0, count]]}}
