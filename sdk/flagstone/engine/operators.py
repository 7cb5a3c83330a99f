"""What each operator means, for one value against constants.

``OPERATORS`` is the whole table. An operator is a factory: given its constants it returns a test of
one plain value, or raises ``ValueError`` when a constant is none it can use.
"""

from __future__ import annotations

import ipaddress
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from flagstone.engine import semver
from flagstone.engine.attributes import MISSING, plain, same
from flagstone.engine.model import AttributeIs
from flagstone.engine.regex import compile_regex
from flagstone.engine.times import seconds_of
from flagstone.engine.units import joined_text

Test = Callable[[Any], bool]
Factory = Callable[[tuple[Any, ...], AttributeIs], Test]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_HASHED = frozenset({str, int, float})
_TYPES = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def is_number(value: object) -> bool:
    """Whether a plain value is a number; a bool is none."""
    return type(value) is int or type(value) is float


def _texts(constants: tuple[Any, ...]) -> tuple[str, ...]:
    for constant in constants:
        if type(constant) is not str:
            raise ValueError("wants texts")
    return constants


def _in(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    hashed = frozenset(constant for constant in constants if type(constant) in _HASHED)
    others = [constant for constant in constants if type(constant) not in _HASHED]

    def test(value: Any) -> bool:
        if type(value) in _HASHED:
            return value in hashed
        return any(same(value, constant) for constant in others)

    return test


def _contains(constants: tuple[Any, ...], leaf: AttributeIs) -> Test:
    texts = tuple(constant for constant in constants if type(constant) is str)

    def test(value: Any) -> bool:
        if type(value) is list:
            return any(same(_lower(e, leaf), constant) for e in value for constant in constants)
        return type(value) is str and any(text in value for text in texts)

    return test


def _starts_with(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    texts = _texts(constants)
    return lambda value: type(value) is str and value.startswith(texts)


def _ends_with(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    texts = _texts(constants)
    return lambda value: type(value) is str and value.endswith(texts)


def _regex(constants: tuple[Any, ...], leaf: AttributeIs) -> Test:
    searches = [compile_regex(pattern, ci=leaf.ci) for pattern in _texts(constants)]
    return lambda value: type(value) is str and any(search(value) for search in searches)


def _order(compare: Callable[[Any, Any], bool]) -> Factory:
    def factory(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
        numbers = [constant for constant in constants if is_number(constant)]
        texts = [constant for constant in constants if type(constant) is str]
        if len(numbers) + len(texts) < len(constants):
            raise ValueError("wants numbers or texts")

        def test(value: Any) -> bool:
            constants = texts if type(value) is str else numbers if is_number(value) else ()
            return any(compare(value, constant) for constant in constants)

        return test

    return factory


def _keyed(key: Callable[[Any, AttributeIs], Any], compare: Callable[[Any, Any], bool]) -> Factory:
    """Compare by a key of either side; a value that has no such key matches nothing."""

    def factory(constants: tuple[Any, ...], leaf: AttributeIs) -> Test:
        keys = [key(constant, leaf) for constant in constants]

        def test(value: Any) -> bool:
            try:
                own = key(value, leaf)
            except ValueError:
                return False
            return any(compare(own, other) for other in keys)

        return test

    return factory


def _time_key(value: Any, _leaf: AttributeIs) -> float:
    return seconds_of(value)


def _semver_key(value: Any, leaf: AttributeIs) -> semver.SortKey:
    if type(value) is not str:
        raise ValueError("wants semantic versions")
    return semver.sort_key(value, strict=leaf.strict)


def _version_key(value: Any, _leaf: AttributeIs) -> str:
    if is_number(value):
        value = text_of(value)
    if type(value) is not str:
        raise ValueError("wants versions")
    return semver.padded(value)


def _exists(_constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    return lambda _value: True


def _cidr(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    networks = [ipaddress.ip_network(text, strict=False) for text in _texts(constants)]

    def test(value: Any) -> bool:
        if type(value) is not str:
            return False
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return test


def _type(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    unknown = set(_texts(constants)) - set(_TYPES.values())
    if unknown:
        raise ValueError(f"knows the types {', '.join(sorted(set(_TYPES.values())))}")
    names = frozenset(constants)
    return lambda value: _TYPES.get(type(value)) in names


def _mod(constants: tuple[Any, ...], _leaf: AttributeIs) -> Test:
    for pair in constants:
        if type(pair) is not list or len(pair) != 2 or not all(is_number(n) for n in pair):
            raise ValueError("wants pairs of numbers: divisor and remainder")
        if pair[0] == 0:
            raise ValueError("cannot divide by zero")

    def test(value: Any) -> bool:
        return is_number(value) and any(value % by == rest for by, rest in constants)

    return test


OPERATORS: dict[str, Factory] = {
    "in": _in,
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "regex": _regex,
    "lt": _order(operator.lt),
    "lte": _order(operator.le),
    "gt": _order(operator.gt),
    "gte": _order(operator.ge),
    "before": _keyed(_time_key, operator.lt),
    "after": _keyed(_time_key, operator.gt),
    "semver_eq": _keyed(_semver_key, operator.eq),
    "semver_lt": _keyed(_semver_key, operator.lt),
    "semver_lte": _keyed(_semver_key, operator.le),
    "semver_gt": _keyed(_semver_key, operator.gt),
    "semver_gte": _keyed(_semver_key, operator.ge),
    "exists": _exists,
    "cidr": _cidr,
    "type": _type,
    "mod": _mod,
    "version_eq": _keyed(_version_key, operator.eq),
    "version_lt": _keyed(_version_key, operator.lt),
    "version_lte": _keyed(_version_key, operator.le),
    "version_gt": _keyed(_version_key, operator.gt),
    "version_gte": _keyed(_version_key, operator.ge),
}
_NOTHING: frozenset[type] = frozenset()
_USABLE: dict[str, frozenset[type]] = {
    "in": frozenset(_TYPES),
    "contains": frozenset(_TYPES),
    "starts_with": frozenset({str}),
    "ends_with": frozenset({str}),
    **dict.fromkeys(("lt", "lte", "gt", "gte"), _HASHED),
}
IGNORES_CASE = frozenset({"in", "contains", "starts_with", "ends_with", "regex"})
SEMANTIC_VERSIONS = frozenset(name for name in OPERATORS if name.startswith("semver_"))
READ_AS = frozenset({"number", "string", "auto", "length", "joined"})


def test_of(leaf: AttributeIs) -> Test:
    """Return the test of one value (not missing) against the leaf's constants; it never raises.

    Raises
    ------
    ValueError
        If a constant is none that the operator can use.
    """
    return _total(_elements(_comparison(leaf.values, leaf), leaf))


def check_constants(leaf: AttributeIs) -> None:
    """Raise ``ValueError`` if a constant of the leaf is none that its operator can use."""
    # The common cases, without making a test that is thrown away.
    if leaf.read_as is None and _USABLE.get(leaf.op, _NOTHING).issuperset(map(type, leaf.values)):
        return
    test_of(leaf)


def test_against(values: tuple[object, ...], leaf: AttributeIs) -> Test:
    """Return the test against values that are known at evaluation only; it never raises."""
    try:
        constants = tuple(plain(value) for value in values)
        return _total(_elements(_comparison(constants, leaf), leaf))
    except Exception:  # noqa: BLE001  the values are any objects
        return _never


def _never(_value: object) -> bool:
    return False


def _total(test: Test) -> Test:
    def total(value: object) -> bool:
        try:
            return test(value)
        except Exception:  # noqa: BLE001  any object may come in; a leaf that fails does not match
            return False

    return total


def _elements(test: Test, leaf: AttributeIs) -> Test:
    if not leaf.elements:
        return lambda value: test(plain(value))

    def over_elements(value: Any) -> bool:
        value = plain(value)
        if type(value) is list:
            return any(test(plain(element)) for element in value)
        return test(value)

    return over_elements


def _comparison(constants: tuple[Any, ...], leaf: AttributeIs) -> Test:
    """Return a test of plain values, which reads both sides as the leaf says."""
    factory = OPERATORS[leaf.op]
    if leaf.read_as == "auto":
        return _automatic(factory, constants, leaf)
    # A divisor and its remainder are a pair of numbers however the value is read.
    if leaf.read_as in ("number", "string") and leaf.op != "mod":
        convert = number_of if leaf.read_as == "number" else text_of
        constants = tuple(convert(constant) for constant in constants)
    test = factory(tuple(_lower(constant, leaf) for constant in constants), leaf)
    if leaf.read_as is None and not leaf.ci:
        return test
    convert_value = _READERS.get(leaf.read_as, _unchanged)

    def converted(value: Any) -> bool:
        try:
            value = convert_value(value)
        except ValueError:
            return False
        return test(_lower(value, leaf))

    return converted


def _automatic(factory: Factory, constants: tuple[Any, ...], leaf: AttributeIs) -> Test:
    """Compare pair by pair, reading the text of a pair in the type of its other side."""

    def test(value: Any) -> bool:
        for constant in constants:
            try:
                one, other = _reconciled(value, constant)
                if factory((_lower(other, leaf),), leaf)(_lower(one, leaf)):
                    return True
            except ValueError:
                continue
        return False

    return test


def _reconciled(value: Any, constant: Any) -> tuple[Any, Any]:
    if type(value) is str and type(constant) is not str:
        return _read_like(constant, value), constant
    if type(constant) is str and type(value) is not str:
        return value, _read_like(value, constant)
    return value, constant


def _read_like(model: Any, text: str) -> Any:
    if type(model) is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return number_of(text) if is_number(model) else text


def _unchanged(value: Any) -> Any:
    return value


def _lower(value: Any, leaf: AttributeIs) -> Any:
    if not leaf.ci or leaf.op == "regex":
        return value
    value = plain(value)
    return value.lower() if type(value) is str else value


def number_of(value: Any) -> int | float:
    """Read a plain value as a number.

    Raises
    ------
    ValueError
        If it is neither a number nor the text of one.
    """
    if is_number(value):
        return value  # type: ignore[no-any-return]
    if type(value) is str and len(value) <= 400 and _NUMBER.match(value.strip()):
        text = value.strip()
        number = float(text)
        if number.is_integer() and not any(mark in text for mark in ".eE"):
            return int(text)
        if math.isfinite(number):
            return number
    raise ValueError("not a number")


def text_of(value: Any) -> str:
    """Read a plain value as text: JSON's spelling, and no fraction where there is none.

    Raises
    ------
    ValueError
        If it is an array, an object or nothing JSON has.
    """
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if type(value) is float and value.is_integer():
        return int.__repr__(int(value))
    if is_number(value):
        return repr(value)
    raise ValueError("not a scalar")


def _length(value: Any) -> int:
    if value is not MISSING and type(value) in (str, list, dict):
        return len(value)
    raise ValueError("has no length")


def _joined(value: Any) -> str:
    text = joined_text(value)
    if text is None:
        raise ValueError("nothing that JSON has")
    return text


_READERS: dict[str | None, Callable[[Any], Any]] = {
    "number": number_of,
    "string": text_of,
    "length": _length,
    "joined": _joined,
}
