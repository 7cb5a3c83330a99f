"""Types, names and visibility of flags, and what is left behind of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.launchdarkly.building import clause, details, flag, imported, when


def test_deleted_flags_stay_away() -> None:
    assert imported({"f": {"key": "f", "version": 2, "deleted": True}}).flags == {}


@pytest.mark.parametrize(
    ("parts", "client"),
    [
        ({}, False),
        ({"clientSide": True}, True),
        ({"clientSideAvailability": {"usingMobileKey": True}}, True),
        ({"clientSideAvailability": {"usingEnvironmentId": True}}, True),
        ({"clientSide": True, "clientSideAvailability": {"usingMobileKey": False}}, False),
    ],
)
def test_what_browsers_or_phones_may_see_is_for_clients(parts: Any, client: bool) -> None:
    assert imported({"f": flag(**parts)}).flags["f"]["client"] is client


@pytest.mark.parametrize(
    ("variations", "flag_type"),
    [
        ([True, False], "boolean"),
        (["a"], "string"),
        ([1, 2], "integer"),
        ([1, 2.5], "float"),
        ([{"a": 1}, [1]], "object"),
    ],
)
def test_the_type_is_that_of_the_variations(variations: Any, flag_type: str) -> None:
    result = imported({"f": flag(variations=variations, fallthrough={"variation": 0})})
    assert result.flags["f"]["type"] == flag_type
    assert result.flags["f"]["version"] == 3
    value = details(result, {}).value
    assert value == variations[0]
    assert isinstance(value, bool) is isinstance(variations[0], bool)


def test_rules_keep_their_names_and_double_ones_are_told_apart() -> None:
    rules = [{"id": "r", "clauses": [], "variation": 0}] * 2 + [{"clauses": [], "variation": 1}]
    result = imported({"f": flag(rules=rules)})
    assert [rule["id"] for rule in result.flags["f"]["rules"]] == ["r", "r~2", "rule-2"]


def test_what_is_about_events_is_left_behind_and_said_so() -> None:
    document = when(clause("a", "in", 1), variation=0, trackEvents=True)
    result = imported({"f": {**document, "debugEventsUntilDate": 5}})
    assert [note.reason for note in result.lossy] == [
        "left behind, as it is about events: debugEventsUntilDate, trackEvents"
    ]
