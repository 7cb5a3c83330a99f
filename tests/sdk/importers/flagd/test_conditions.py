"""Conditions coerce and compare as flagd does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.flagd.building import X, ask, imported, variant


@pytest.mark.parametrize(
    ("condition", "true_for", "false_for"),
    [
        ({"==": [X, "a"]}, ["a", ["a"], [["a"]]], ["b", 1, True, None, [], ["a", "a"], {}]),
        ({"==": [X, "10"]}, ["10", 10, 10.0, ["10"], [10]], ["1e1", 1, True, None]),
        ({"==": [X, "1"]}, ["1", 1, True], ["01", False, 0]),
        ({"==": [X, "a,b"]}, ["a,b", ["a", "b"], ["a,b"]], [["a"], ["b", "a"]]),
        ({"==": [X, "[object Object]"]}, [{}, {"a": 1}], [[], "object"]),
        ({"==": [X, 1]}, [1, 1.0, True, "1", " 1 ", "1e0", [1], ["1"], [True]], [0, "", "x", []]),
        ({"==": [X, 0]}, [0, None, False, "0", [], [None]], ["", "x", {}]),
        ({"==": [X, None]}, [None, 0, False], ["", "null", [], {}]),
        ({"==": [X, True]}, [True, 1, "1", [1]], ["true", False, 2, None]),
        ({"===": [X, 1]}, [1, True, 1.0], ["1", [1]]),
        ({"===": [X, "1"]}, ["1"], [1, True, ["1"]]),
        ({"!==": [X, "1"]}, [1, True, None], ["1"]),
        ({"!=": [X, "a"]}, ["b", None, 1], ["a", ["a"]]),
        (
            {"<": [X, 18]},
            [17, 17.5, "17", None, False, [], [17], ["3"]],
            [18, "18", "x", {}, [1, 2]],
        ),
        ({">=": [X, 1]}, [1, True, "1", [1], [True]], [0, False, None, "x", []]),
        ({"<": [18, X]}, [19, "19"], [18, None, "x"]),
        ({"<": [1, X, 10]}, [2, "9", [5]], [1, 10, None, "x", {}]),
        ({"<=": [1, X, 10]}, [1, 10], [0, 11]),
        ({"<": [X, "b"]}, ["a", "", []], ["b", 5, None, True]),
        ({">": [X, "5"]}, ["6", 6, "a", None, [6], ["6", 1]], [4, "4", True, ["4", 9]]),
        ({"in": [X, ["a", 1, None]]}, ["a", 1, True, None], ["1", "b", [], False]),
        ({"in": ["b", X]}, ["abc", ["b"]], ["a", ["abc"], 5, None, {"b": 1}]),
        ({"in": [1, X]}, ["a1", [1], [True]], [["1"], 1, None]),
        ({"in": [X, "abc"]}, ["b", "", "abc", [], ["b"]], ["ac", 1, None]),
        ({"!": [X]}, [None, "", 0, False, []], ["a", 1, True, [0], {}]),
        ({"!!": X}, ["a", 1, True, [0], {}, "0"], [None, "", 0, False, []]),
        ({"starts_with": [X, "ab"]}, ["abc"], ["b", 5, None]),
        ({"starts_with": ["abc", X]}, ["", "ab"], ["b", None]),
        ({"ends_with": [X, "bc"]}, ["abc"], ["b", ["abc"]]),
        ({"==": [{"cat": ["p-", X]}, "p-1"]}, ["1", 1, ["1"]], [True, None, "p-1"]),
        ({"==": [{"cat": ["p-", X]}, "p-null"]}, ["null", None], ["", 0]),
        ({"==": [{"%": [X, 10]}, 3]}, [3, 13, "23", -7], [4, "x", None]),
        ({"%": [X, 2]}, [1, "3", True, [1]], [2, "x", None, 0, False, [2], {}]),
        ({"some": [X, {"==": [{"var": ""}, "a"]}]}, [["b", "a"]], [[], "a", None]),
        ({"some": [X, {">": [{"var": "n"}, 1]}]}, [[{"n": 2}]], [[{"n": 1}], [{}], [5]]),
        ({"all": [X, {">": [{"var": ""}, 1]}]}, [[2, 3]], [[], [1, 2], None]),
        ({"none": [X, {">": [{"var": ""}, 1]}]}, [[], [1], None, "x"], [[2]]),
        ({"missing": ["x"]}, [None, ""], ["a", 0]),
        ({">": [{"var": "x.length"}, 2]}, ["abc", [1, 2, 3]], ["ab", [], None, {}]),
        ({"==": [{"var": "x.length"}, False]}, ["", [], None, 0], ["a", [0]]),
        ({"==": [{"var": ["x", "d"]}, "d"]}, ["d", None], ["e", ""]),
        ({"and": [X, {"==": [X, "a"]}]}, ["a"], ["b", "", None]),
        ({"or": [{"==": [X, "a"]}, {"==": [X, "b"]}]}, ["a", "b"], ["c"]),
        ({"sem_ver": [X, "^", "1.2.0"]}, ["1.9.9", "1.0.0-a", 1, 1.5], ["2.0.0", "2.0.0-a"]),
        ({"sem_ver": [X, "~", "1.2.0"]}, ["1.2.9", "v1.2", "1.2.0-a"], ["1.3.0-a", "1"]),
        (
            {"sem_ver": [X, ">=", "v1.2"]},
            ["1.2.0", "1.2.0+b", 1.2],
            ["1.2.0-a", "01.2.0", "1.2.0.0"],
        ),
        ({"sem_ver": ["1.0.0", "<", X]}, ["1.0.1"], ["1.0.0", None, True]),
        ({"sem_ver": [X, "!=", "1.0.0"]}, ["1.0.1"], ["1.0.0", "no version", None]),
    ],
)
def test_a_condition_coerces_as_json_logic_does(
    condition: Any, true_for: list[Any], false_for: list[Any]
) -> None:
    result = imported({"if": [condition, "yes", "no"]})
    assert result.refused == []
    for value in true_for:
        assert ask(result, {"x": value}) == "yes", value
    for value in false_for:
        assert ask(result, {"x": value}) == "no", value
    assert ask(result, {}) == ("yes" if None in true_for else "no")


@pytest.mark.parametrize(
    "targeting",
    [
        {"starts_with": [X, "ab"]},
        {"ends_with": ["abc", X]},
        {"sem_ver": [X, "=", "1.0.0"]},
        {"sem_ver": [X, "===", "1.0.0"]},
        {"sem_ver": [X, "=", "not a version"]},
        {"sem_ver": [X, "="]},
        {"starts_with": [X]},
        {"fractional": [X, ["yes", 1.5]]},
        {"fractional": [X, ["yes", "1"]]},
        {"fractional": [X, ["yes", True]]},
        {"fractional": [X, ["yes", 0]]},
        {"fractional": [X, ["yes", 2**31]]},
        {"fractional": [X, ["yes", 1, 2]]},
        {"fractional": [X, "yes"]},
        {"fractional": []},
    ],
)
@pytest.mark.parametrize("hash_version", ["v2", "v3"])
def test_an_operator_on_bad_input_gives_the_default_variant_not_false(
    targeting: Any, hash_version: str
) -> None:
    assert variant(targeting, {"x": {"no": "text"}}, hash_version=hash_version) == "other"
