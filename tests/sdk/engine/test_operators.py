"""Every operator, on values it takes and on values it does not."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

import flagstone.engine
from flagstone.engine import FlagSetError, evaluate, parse_condition, parse_flag_set
from flagstone.engine.operators import OPERATORS

NOW = 1_780_000_000.0
MISSING = object()


def holds(condition: Any, value: Any = MISSING, context: Any = None) -> bool:
    """Return whether a condition on attribute ``x`` holds."""
    flag = {
        "type": "boolean",
        "variants": {"on": {"value": True}},
        "rules": [{"id": "r", "when": condition, "serve": "on"}],
    }
    if context is None:
        context = {} if value is MISSING else {"x": value}
    details = evaluate(parse_flag_set({"flags": {"f": flag}}), "f", context, NOW)
    assert details.error_code is None
    return details.variant == "on"


def leaf(op: str, values: Any, **more: Any) -> dict[str, Any]:
    return {"attr": "x", "op": op, "values": values, **more}


CASES = [
    # operator, constants, further fields, values that match, values that do not
    ("in", ["de", 1, None, [1, {"a": 2}]], {},
     ["de", 1, 1.0, None, [1, {"a": 2}], (1.0, {"a": 2})],
     ["DE", "1", True, [], [True, {"a": 2}], [1, {"a": 2, "b": 3}], 2, {}]),
    ("in", [True, 0], {}, [True, 0, 0.0, -0.0], [1, False, "true"]),
    ("in", [False], {}, [False], [0, 0.0, None, ""]),
    ("in", ["Straße"], {"ci": True}, ["STRAßE", "straße"], ["strasse"]),
    ("in", ["a"], {"elements": True}, ["a", ["b", "a"], {"a"}, ("a",)], ["b", [], [["a"]]]),
    ("contains", ["ell", "x"], {}, ["hello", "x", ["x"]], ["HELLO", "", 5, ["hello"], None]),
    ("contains", [5, "b"], {}, [[5], ["b"], "abc"], [5, [True], ["a"]]),
    ("contains", ["LL"], {"ci": True}, ["hello", ["ll"]], ["helo"]),
    ("contains", ["ell"], {"elements": True}, [["hello"], "hello"], [["h", "e"], [5]]),
    ("starts_with", ["ab", "x"], {}, ["abc", "x"], ["cab", "a", "", None, ["abc"], 5]),
    ("ends_with", ["@acme.com"], {}, ["a@acme.com"], ["a@acme.com ", "A@ACME.COM", 5]),
    ("ends_with", ["@Acme.com"], {"ci": True}, ["a@ACME.com"], ["acme.com"]),
    ("regex", ["^a.c$", "^x"], {}, ["abc", "xyz"], ["abcd", "a\nc", "abc\n", "", 5, None]),
    ("regex", ["b+"], {"ci": True}, ["ABBA"], ["aa"]),
    ("lt", [5], {}, [4, 4.9, -1e300, -(10**400)], [5, 5.0, 6, "4", True, None, float("nan")]),
    ("lte", [5], {}, [5, 5.0], [5.1, "5"]),
    ("gt", [5, 10], {}, [6, 10**400], [5, "6", True, [6]]),
    ("gte", [2.5], {}, [2.5, 3], [2, "3", float("nan")]),
    ("lt", ["b"], {}, ["a", "", "aaa"], ["b", "c", 1]),
    ("gt", ["b", 5], {}, ["c", 6], ["a", 5]),
    ("lt", [18], {"elements": True}, [[20, 17], 17], [[20], []]),
    ("before", ["2026-06-01T00:00:00Z"], {},
     ["2026-05-31T23:59:59.999999Z", "2026-06-01T01:59:00+02:00", "2026-05-01", 0,
      dt.datetime(2026, 5, 1), dt.datetime(2026, 5, 1, tzinfo=dt.UTC)],
     ["2026-06-01T00:00:00Z", "2027-01-01", "yesterday", True, None, [], 1e300,
      dt.date(2026, 5, 1)]),
    ("after", ["2026-06-01T00:00:00Z"], {},
     ["2026-06-01T00:00:00.001Z", 1e10, dt.datetime(2026, 7, 1)],
     ["2026-06-01T00:00:00+00:00", "2026-06-01 00:00:61Z", "9"]),
    ("semver_eq", ["1.2.0"], {}, ["1.2.0", "v1.2", "1.2.0+build"], ["1.2.0-rc.1", "1.2.1", 1.2]),
    ("semver_lt", ["1.10.0"], {}, ["1.9.9", "1.10.0-rc.1", "1"], ["1.10.0", "2", "x", ""]),
    ("semver_lte", ["1.10.0"], {}, ["1.10", "1.10.0"], ["1.10.1"]),
    ("semver_gt", ["1.10.0-rc.2"], {}, ["1.10.0", "1.10.0-rc.10"], ["1.10.0-rc.1", "1.9"]),
    ("semver_gte", ["2.0.0"], {"strict": True}, ["2.0.0", "2.1.0"], ["2.1", "v2.1.0", "2.1.0.0"]),
    ("exists", None, {}, [0, "", None, False, [], object()], []),
    ("cidr", ["10.0.0.0/8", "2001:db8::/32", "192.168.1.7"], {},
     ["10.255.0.1", "2001:db8::1", "192.168.1.7"],
     ["11.0.0.1", "192.168.1.8", "10.0.0", "::1", 167772161, None]),
    ("type", ["string", "null"], {}, ["", "x", None], [0, True, [], {}]),
    ("type", ["number"], {}, [0, 1.5, float("nan")], [True, "1", None]),
    ("type", ["boolean", "array", "object"], {}, [True, [], (1,), {}, {1}], [1, "", None]),
    ("mod", [[2, 0], [5, 1]], {}, [4, 4.0, 11, 0], [3, 4.5, "4", True, None, float("inf")]),
    ("mod", [[3, 2]], {}, [-1], [1]),
    ("mod", [[3, 2]], {"as": "number"}, ["5", 5, "5.0"], ["x", "6", None]),
    ("version_eq", ["1.2.3"], {}, ["1.2.3", "v1.2.3"], ["1.2.4", None, True]),
    ("version_lt", ["1.10.0"], {}, ["1.9.0", "1.10.0-beta", 1], ["1.10.0", "2.0.0", []]),
    ("version_lte", ["1.10.0"], {}, ["1.10.0"], ["1.11.0"]),
    ("version_gt", ["1.9.0"], {}, ["1.10.0", 2], ["1.9.0", "1.8.9"]),
    ("version_gte", ["1.9.0"], {}, ["1.9.0", "1.9.1"], ["1.8.9"]),
    # What a vendor coerces, its importer writes down.
    ("in", ["5"], {"as": "number"}, [5, "5", "5.0", " 5 "], ["five", True, None, [5], "5x"]),
    ("gt", [17], {"as": "number"}, ["18", 18, "1e3"], ["17", "", "0x20", "nan", "inf"]),
    ("in", [5, True], {"as": "string"}, [5, 5.0, "5", "true", True], [6, [5], "True"]),
    ("starts_with", ["1"], {"as": "string"}, [12, "1"], [21, None]),
    ("in", ["5", "true", 7], {"as": "auto"}, [5, "5", True, "7", 7], [False, 1, None, "TRUE"]),
    ("gte", ["18"], {"as": "auto"}, [18, "18", 20], [17, "100", True]),
    ("in", [2], {"as": "length"}, ["ab", [1, 2], {"a": 1, "b": 2}], ["a", 2, None, []]),
    ("gt", [1], {"as": "length"}, ["ab"], ["a"]),
    ("lt", ["gold"], {"as": "joined"}, [["a", "b"], "a", 1, 2.5], ["h", ["z"]]),
    ("in", ["True", "null", "1,x"], {"as": "joined"}, [True, None, [1, "x"]], [False, "x"]),
]  # fmt: skip


@pytest.mark.parametrize(("op", "constants", "more", "yes", "no"), CASES)
def test_an_operator_matches_these_values_and_not_those(
    op: str, constants: Any, more: Any, yes: list[Any], no: list[Any]
) -> None:
    condition = {"attr": "x", "op": op, **more}
    if constants is not None:
        condition["values"] = constants
    for value in yes:
        assert holds(condition, value), value
        # The careful code, which generated code hands to inside deep conditions, agrees.
        assert holds({"attr": "list", "each": condition}, context={"list": [{"x": value}]}), value
        assert not holds({"not": condition}, value), value
    for value in no:
        assert not holds(condition, value), value
        assert not holds({"attr": "list", "each": condition}, context={"list": [{"x": value}]})
        assert holds({"not": condition}, value), value
    assert not holds(condition)
    assert holds({"not": condition})


def test_every_operator_is_tested_and_documented() -> None:
    assert {case[0] for case in CASES} == set(OPERATORS)
    readme = (Path(flagstone.engine.__file__).parent / "README.md").read_text("utf-8")
    table = readme.partition("## Operators")[2].partition("\n## ")[0]
    documented = {name for row in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
                  for name in re.findall(r"`(\w+)`", row)}  # fmt: skip
    assert documented == set(OPERATORS)


@pytest.mark.parametrize(
    ("op", "constant"),
    [
        ("starts_with", 5), ("ends_with", None), ("regex", 5), ("regex", "("), ("lt", True),
        ("gt", None), ("gte", []), ("before", "yesterday"), ("before", None), ("after", "25:00"),
        ("semver_eq", "one"), ("semver_lt", 1), ("cidr", "10.0.0.0/33"), ("cidr", 5),
        ("type", "text"), ("mod", 2), ("mod", [0, 1]), ("mod", [2]), ("version_eq", None),
    ],
)  # fmt: skip
def test_a_constant_that_an_operator_cannot_use_is_refused(op: str, constant: Any) -> None:
    with pytest.raises(FlagSetError) as caught:
        parse_condition({"attr": "x", "op": op, "values": [constant]}, "when")
    assert caught.value.path == "when.values"


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"attr": "a", "op": "in", "values_from": {"attr": "b"}}, {"a": 1, "b": 1.0}, True),
        ({"attr": "a", "op": "in", "values_from": {"attr": "b"}}, {"a": 1, "b": True}, False),
        ({"attr": "a", "op": "in", "values_from": {"attr": "b"}}, {"a": 1, "b": [2, 1]}, True),
        ({"attr": "a", "op": "in", "values_from": {"attr": "b"}}, {"a": 1}, False),
        ({"attr": "a", "op": "in", "values_from": {"attr": "b"}}, {"b": 1}, False),
        ({"attr": "a", "op": "lt", "values_from": {"attr": ["b"]}}, {"a": 1, "b": 2}, True),
        ({"attr": "a", "op": "lt", "values_from": {"attr": "b"}}, {"a": 1, "b": "2"}, False),
        ({"attr": "a", "op": "lt", "values_from": {"attr": "b"}}, {"a": 1, "b": {}}, False),
        ({"attr": "a", "op": "before", "values_from": {"clock": "now"}}, {"a": "2026-01-01"}, True),
        ({"attr": "a", "op": "after", "values_from": {"clock": "now"}}, {"a": "2027-01-01"}, True),
        ({"attr": "a", "op": "gt", "values_from": {"clock": "now"}}, {"a": NOW + 1}, True),
        ({"attr": "a", "op": "gt", "values_from": {"clock": "now"}}, {"a": NOW}, False),
        ({"attr": "a", "op": "semver_lt", "values_from": {"attr": "b"}}, {"a": "1"}, False),
    ],
)  # fmt: skip
def test_values_may_come_from_an_attribute_or_the_clock(
    condition: Any, context: Any, expected: bool
) -> None:
    assert holds(condition, context=context) is expected


@pytest.mark.parametrize(
    ("attr", "context", "expected"),
    [
        ("a.b", {"a.b": 1}, True),
        ("a.b", {"a": {"b": 1}}, False),
        (["a", "b"], {"a": {"b": 1}}, True),
        (["a", "b"], {"a.b": 1}, False),
        (["a", "b", "c"], {"a": {"b": {"c": 1}}}, True),
        (["a", "b", "c"], {"a": {"b": 1}}, False),
        (["a"], {"a": 1}, True),
        (["a", "0"], {"a": [1]}, False),
        (["a/b", "c.d"], {"a/b": {"c.d": 1}}, True),
    ],
)
def test_an_attribute_is_a_name_or_a_path_and_never_dotted(
    attr: Any, context: Any, expected: bool
) -> None:
    assert holds({"attr": attr, "op": "in", "values": [1]}, context=context) is expected


def test_each_looks_from_the_element() -> None:
    condition = {
        "attr": "orders",
        "each": {"all": [leaf("gt", [10]), {"attr": "paid", "op": "in", "values": [True]}]},
    }
    orders = [{"x": 20, "paid": False}, {"x": 5, "paid": True}]
    assert not holds(condition, context={"orders": orders})
    assert holds(condition, context={"orders": [*orders, {"x": 20, "paid": True}]})
    # The element itself has the empty path, or none.
    for inner in ({"attr": [], "op": "in", "values": ["b"]}, {"op": "in", "values": ["b"]}):
        assert holds({"attr": "tags", "each": inner}, context={"tags": ["a", "b"]})
        assert not holds({"attr": "tags", "each": inner}, context={"tags": "b"})
        assert not holds({"attr": "tags", "each": inner}, context={})
