"""Which values a typed getter lets through."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone import values
from flagstone.values import MISMATCH


@pytest.mark.parametrize(
    ("convert", "value", "result"),
    [
        (values.boolean, True, True),
        (values.boolean, 1, MISMATCH),
        (values.boolean, "true", MISMATCH),
        (values.string, "x", "x"),
        (values.string, 1, MISMATCH),
        (values.integer, 3, 3),
        (values.integer, 3.0, 3),
        (values.integer, -0.0, 0),
        (values.integer, 3.5, MISMATCH),
        (values.integer, True, MISMATCH),
        (values.integer, 1e300, MISMATCH),
        (values.integer, math.nan, MISMATCH),
        (values.integer, math.inf, MISMATCH),
        (values.integer, "3", MISMATCH),
        (values.floating, 3, 3.0),
        (values.floating, 3.5, 3.5),
        (values.floating, False, MISMATCH),
        (values.floating, 2**53 + 1, MISMATCH),
        (values.structure, {"a": [1]}, {"a": [1]}),
        (values.structure, [1], [1]),
        (values.structure, "x", MISMATCH),
        (values.structure, None, MISMATCH),
        (values.anything, None, None),
    ],
)
def test_a_value_is_let_through_exactly_or_not_at_all(
    convert: object, value: object, result: object
) -> None:
    found = convert(value)  # type: ignore[operator]
    assert type(found) is type(result)
    assert found is result or found == result


@given(st.integers(-(2**53), 2**53))
def test_integers_survive_the_way_through_a_float(number: int) -> None:
    assert values.integer(values.floating(number)) == number


def test_an_object_is_a_copy_all_the_way_down() -> None:
    original = {"a": [{"b": 1}]}
    copy = values.structure(original)
    copy["a"][0]["b"] = 2  # type: ignore[index]
    assert original == {"a": [{"b": 1}]}
