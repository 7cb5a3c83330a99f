from __future__ import annotations

from typing import Any

import pytest

from flags.errors import InvalidInputError
from flags.values import FLAG_TYPES, coerce_value


@pytest.mark.parametrize(
    ("flag_type", "given", "stored"),
    [
        ("boolean", True, True),
        ("string", "", ""),
        ("string", "ten", "ten"),
        ("integer", 10, 10),
        ("integer", 10.0, 10),
        ("integer", -(2**53) + 1, -(2**53) + 1),
        ("float", 10, 10.0),
        ("float", 0.5, 0.5),
        ("object", {"a": [1, 1.0, None]}, {"a": [1, 1.0, None]}),
        ("object", [1, 2], [1, 2]),
        ("object", "x", "x"),
        ("object", 1, 1),
        ("object", None, None),
    ],
)
def test_a_value_is_stored_in_the_type_of_its_flag(flag_type: str, given: Any, stored: Any) -> None:
    value = coerce_value(flag_type, given, "value")
    assert value == stored
    assert type(value) is type(stored)


@pytest.mark.parametrize(
    ("flag_type", "given"),
    [
        ("boolean", 1),
        ("boolean", "true"),
        ("string", 1),
        ("string", None),
        ("integer", True),
        ("integer", 1.5),
        ("integer", "1"),
        ("integer", 2**53),
        ("integer", 2.0**60),
        ("float", True),
        ("float", "1.0"),
        ("float", float("nan")),
        ("float", float("inf")),
        ("object", {"a": 2**53}),
        *[(flag_type, None) for flag_type in FLAG_TYPES if flag_type != "object"],
    ],
)
def test_a_value_of_another_type_is_refused_with_a_hint(flag_type: str, given: Any) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        coerce_value(flag_type, given, "variants.new.value")
    assert refusal.value.field is not None
    assert refusal.value.field.startswith("variants.new.value")
