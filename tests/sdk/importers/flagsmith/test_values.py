"""A feature has a value and a toggle; both are carried."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.importers.flagsmith import convert
from tests.sdk.importers.flagsmith.building import EVERYBODY, ask, context_file, rule, user


@pytest.mark.parametrize("value", ["blue", "", 7, True, False, 1.5, None])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_feature_serves_its_value_and_its_toggle_apart(value: Any, enabled: bool) -> None:
    details = ask(context_file(value, enabled=enabled), user(), toggles=False)
    assert details.value == value
    assert type(details.value) is type(value)
    assert details.on is enabled
    assert details.error_code is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "string"), (7, "integer"), (1.5, "float"), (True, "boolean"), (None, "object")],
)
def test_the_type_is_that_of_the_value(value: Any, kind: str) -> None:
    assert convert(context_file(value), toggles=False).flags["flag"]["type"] == kind


def test_values_of_several_types_are_an_object() -> None:
    document = context_file("own", (EVERYBODY, {"value": None}))
    assert convert(document).flags["flag"]["type"] == "object"
    details = ask(document, user())
    assert (details.value, details.on) == (None, True)


def test_features_without_any_value_become_booleans() -> None:
    document = context_file(
        None, ([rule("ALL", ("plan", "EQUAL", "pro"))], {"value": None}), enabled=False
    )
    assert convert(document).flags["flag"]["type"] == "boolean"
    assert ask(document, user()).value is False
    assert ask(document, user(plan="pro")).value is True
    assert ask(document, user(plan="pro")).on is True


def test_a_feature_with_a_value_stays_what_it_is() -> None:
    document = context_file(None, (EVERYBODY, {"value": "x"}))
    assert ask(document, user()).value == "x"
