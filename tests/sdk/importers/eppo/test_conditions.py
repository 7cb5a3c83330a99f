"""Conditions hold where they hold in Eppo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.eppo.building import DEFAULT, allocation, condition, flag, served


@pytest.mark.parametrize(
    ("operator", "value", "attribute", "holds"),
    [
        ("ONE_OF", ["1"], 1, True),
        ("ONE_OF", ["1"], 1.0, True),
        ("ONE_OF", ["1.0"], 1.0, False),
        ("ONE_OF", ["0.0000001"], 1e-7, True),
        ("ONE_OF", ["1e-7"], 1e-7, False),
        ("ONE_OF", ["100000000000000000000000"], 1e23, True),
        ("ONE_OF", ["-2.5"], -2.5, True),
        ("ONE_OF", ["01"], 1, False),
        ("ONE_OF", ["true"], True, True),
        ("ONE_OF", ["True"], True, False),
        ("ONE_OF", ["1"], True, False),
        ("ONE_OF", ["false"], False, True),
        ("ONE_OF", ["null"], None, False),
        ("ONE_OF", ["US"], "us", False),
        ("ONE_OF", [], "a", False),
        ("NOT_ONE_OF", ["a"], "b", True),
        ("NOT_ONE_OF", ["a"], "a", False),
        ("NOT_ONE_OF", ["a"], None, False),
        ("NOT_ONE_OF", ["a"], 5, True),
        ("NOT_ONE_OF", ["5"], 5, False),
        ("NOT_ONE_OF", [], "a", True),
        ("NOT_ONE_OF", ["a"], ["b"], False),
        ("MATCHES", "^5$", 5, True),
        ("MATCHES", "^5$", 5.0, True),
        ("MATCHES", "true", True, True),
        ("MATCHES", "null", None, False),
        ("MATCHES", "", None, False),
        ("MATCHES", "ar", "bart", True),
        ("MATCHES", "^a.b$", "a\nb", False),
        ("MATCHES", "^a$", "a\n", False),
        ("NOT_MATCHES", "a", "b", True),
        ("NOT_MATCHES", "a", None, False),
        ("NOT_MATCHES", "a", 5, True),
        ("GTE", 5, 5, True),
        ("GTE", 5, "5", True),
        ("GTE", 5, "5e0", True),
        ("GTE", 5, " 5", False),
        ("GTE", 5, True, False),
        ("GTE", 0, "", False),
        ("GTE", "5", 7, True),
        ("GT", 5, 5, False),
        ("GT", 5, "5.5", True),
        ("LTE", 5, 5, True),
        ("LT", 5, 4.9, True),
        ("LT", 5, "x", False),
        ("LT", 5, None, False),
        ("GTE", "1.5.0", "1.13.0", True),
        ("GTE", "1.5.0", "1.5.0-beta", False),
        ("GTE", "1.0.0", "2", False),
        ("GTE", "1.0.0", 2, False),
        ("GTE", "1.0.0", "v2.0.0", False),
        ("GTE", "1.0", "2", True),
        ("GT", "1.0.0", "1.0.0+build", True),
        ("GT", "1.0.0", "1.0.0", False),
        ("LTE", "1.0.0", "1.0.0", True),
        ("LTE", "1.0.0", "1.0.0+build", False),
        ("LT", "1.0.0-2", "1.0.0-10", False),
        ("LT", "1.0.0-10", "1.0.0-2", True),
        ("IS_NULL", True, None, True),
        ("IS_NULL", True, "", False),
        ("IS_NULL", False, None, False),
        ("IS_NULL", False, 0, True),
    ],
)
def test_an_attribute_is_compared_as_eppo_compares_it(
    operator: str, value: Any, attribute: Any, holds: bool
) -> None:
    given = flag(allocation("a", condition("x", operator, value)))
    assert served(given, x=attribute) == ("on" if holds else DEFAULT)


@pytest.mark.parametrize(
    "operator", ["MATCHES", "NOT_MATCHES", "ONE_OF", "NOT_ONE_OF", "GTE", "LT"]
)
def test_an_attribute_that_is_not_there_fulfils_nothing(operator: str) -> None:
    value = {"ONE_OF": ["a"], "NOT_ONE_OF": ["a"], "GTE": 1, "LT": 1}.get(operator, "a")
    assert served(flag(allocation("a", condition("x", operator, value)))) is DEFAULT


def test_only_null_says_something_of_what_is_not_there() -> None:
    assert served(flag(allocation("a", condition("x", "IS_NULL", True)))) == "on"
    assert served(flag(allocation("a", condition("x", "IS_NULL", False)))) is DEFAULT


def test_conditions_join_by_and_and_rules_by_or() -> None:
    one, two = condition("x", "ONE_OF", ["1"]), condition("y", "ONE_OF", ["1"])
    both = flag(allocation("a", one, two))
    assert (served(both, x=1), served(both, x=1, y=1)) == (DEFAULT, "on")
    either = flag(allocation(rules=[{"conditions": [one]}, {"conditions": [two]}]))
    assert (served(either, x=1), served(either, y=1), served(either)) == ("on", "on", DEFAULT)
    assert served(flag(allocation(rules=[{"conditions": []}]))) == "on"
    assert served(flag(allocation(rules=[]))) == "on"


@pytest.mark.parametrize(
    ("operator", "value", "other"),
    [("MATCHES", "^subject$", "x"), ("NOT_ONE_OF", ["x"], "x"), ("IS_NULL", False, None)],
)
def test_id_is_the_subject_unless_an_attribute_says_otherwise(
    operator: str, value: Any, other: Any
) -> None:
    given = flag(allocation("a", condition("id", operator, value)))
    assert served(given) == "on"
    assert served(given, targetingKey="x", id="subject") == "on"
    assert served(given, id=other) is DEFAULT


def test_a_subject_that_is_a_number_is_its_text() -> None:
    given = flag(allocation("a", condition("id", "MATCHES", "^[0-9]+$")))
    assert (served(given, targetingKey=12), served(given, targetingKey=12.0)) == ("on", "on")


def test_dots_in_a_name_are_part_of_it() -> None:
    given = flag(allocation("a", condition("a.b/c", "ONE_OF", ["1"])))
    assert (served(given, **{"a.b/c": "1"}), served(given, a={"b/c": "1"})) == ("on", DEFAULT)
