"""Constraints hold where they hold in Unleash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.unleash.building import (
    NOW,
    ask,
    compared,
    constraint,
    feature,
    imported,
    reason,
    strategy,
)


def holds(one: dict[str, Any], value: Any) -> bool:
    result = imported(feature(strategy("default", one)))
    assert not result.refused
    return ask(result, x=value).on


@pytest.mark.parametrize(
    ("one", "inside", "outside"),
    [
        (constraint("IN", "a", "5"), ["a", "5", 5], ["A", "", None, ["a"], 5.5, {}]),
        (constraint("IN", "true", "1.5"), ["true", True, 1.5], [1, "True", "1.50", False]),
        (constraint("IN", "null", "None"), ["null", "None"], [None]),
        (constraint("IN", "05", "1e3"), ["05", "1e3"], [5, 1000]),
        (constraint("IN"), [], ["", "a", None]),
        (constraint("NOT_IN"), ["", "a", None], []),
        (constraint("NOT_IN", "a"), ["b", None, 5, ["a"]], ["a"]),
        (constraint("IN", "abc", caseInsensitive=True), ["abc"], ["ABC"]),
        (constraint("IN", 'a"b', 'a\\"c'), ['a"b', 'a\\"c'], ["a"]),
        (constraint("STR_STARTS_WITH", "a", "b"), ["abc", "b"], ["ca", "", None, ["a"]]),
        (constraint("STR_ENDS_WITH", "5", "e"), ["x5", 5, 15, 1.5, True], [51, None, "x"]),
        (constraint("STR_CONTAINS", "a"), ["bab"], ["b", ["a"], {"a": 1}]),
        (constraint("STR_CONTAINS", ""), ["", "a", 5, True], [None, ["a"], [""]]),
        (constraint("STR_CONTAINS", "u"), ["u", True], [None, "null"[:1], 5]),
        (constraint("STR_ENDS_WITH", "ΟΔΟΣ", caseInsensitive=True), ["ΟΔΟΣ", "οδος"], ["οδοσ"]),
        (constraint("STR_STARTS_WITH", "AB", caseInsensitive=True), ["abc", "ABC"], ["cab"]),
        (
            compared("NUM_EQ", "12"),
            ["12", "12.0", 12, "+12", "1.2e1"],
            ["12a", " 12", "", None],
        ),
        (compared("NUM_EQ", "0"), [0, "1e-17", "-1e-17"], ["2.3e-16", True]),
        (compared("NUM_EQ", "1"), ["0.9999999999999999"], ["1.0000000000000002"]),
        (
            compared("NUM_EQ", "9007199254740992"),
            ["9007199254740993", 2**53, 2**53 + 1],
            [2**53 - 1, 2**53 + 2],
        ),
        (compared("NUM_GT", "4"), ["5", 4.5, "inf", "+Infinity"], ["4", "nan", "-inf", "5 "]),
        (compared("NUM_LT", "4"), ["3", "-inf"], ["4", "inf", "x", None]),
        (compared("NUM_GTE", "4"), ["4", "INF"], ["3.9"]),
        (compared("NUM_LTE", "4"), ["4", "-INF"], ["4.1"]),
        # The form of the constant decides, not the operator.
        (compared("SEMVER_GT", "5"), ["6"], ["6.0.0"]),
        (compared("NUM_EQ", "1.2.3"), ["1.2.3"], ["1.2"]),
        (compared("NUM_GT", "2022-01-01T00:00:00Z"), ["2023-01-01T00:00:00Z"], ["2023"]),
        (compared("SEMVER_EQ", "1.2.3"), ["1.2.3", "1.2.3+b"], ["v1.2.3", "1.2", "1.2.3 "]),
        (compared("SEMVER_GT", "1.2.3-beta.2"), ["1.2.3-beta.11", "1.2.3"], ["1.2.3-beta.1"]),
        (compared("SEMVER_LTE", "1.2.3"), ["1.2.3", "1.2.2"], ["1.2.4"]),
        (compared("SEMVER_GTE", "1.2.3"), ["1.2.3", "1.2.4"], ["1.2.2", "01.2.3"]),
        (compared("SEMVER_EQ", "v1.2.3"), [], ["1.2.3", "v1.2.3"]),
        (compared("SEMVER_EQ", "v1.2.3", inverted=True), [], ["1.2.3", "v1.2.3", None]),
        (
            compared("DATE_AFTER", "2022-01-29T13:00:00Z"),
            ["2022-01-29T13:00:01Z", "2022-01-29 14:00:00+00:00", "2022-01-29T13:00:00-0200"],
            [
                "2022-01-29T13:00:00Z",
                "2023-01-29",
                "2023-01-29T13:00:00",
                1.8e9,
                "2023-01-29T13:00Z",
            ],
        ),
        (
            compared("DATE_BEFORE", "2022-01-29T13:00:00.000Z"),
            ["2022-01-29T12:59:59Z"],
            ["2022-01-29T13:00:00Z", "2021-01-29", None],
        ),
        (constraint("IN_CIDR", "10.0.0.0/8", "bad"), ["10.1.1.1"], ["11.1.1.1", None, 5]),
        (compared("REGEX", "^a\\d+$"), ["a12", "a\u0663"], ["abc", None]),
        (compared("REGEX", "^[\\d]$"), ["5", 5, "\u0e59"], ["a", 15]),
        (compared("REGEX", "a\\sb"), ["a b", "a\u3000b"], ["ab"]),
        (compared("REGEX", "ABC", caseInsensitive=True), ["xabcx"], ["ab"]),
        (compared("REGEX", 'a"b'), ['a"b'], ["ab"]),
        (constraint("REGEX", "abc"), ["", "x", 5], [None, []]),
    ],
)
def test_an_operator_matches_what_unleash_matches(
    one: dict[str, Any], inside: list[Any], outside: list[Any]
) -> None:
    assert [value for value in inside if not holds(one, value)] == []
    assert [value for value in outside if holds(one, value)] == []


@pytest.mark.parametrize(
    "one",
    [
        constraint("IN", "a"),
        constraint("STR_CONTAINS", "a"),
        compared("NUM_GT", "4"),
        compared("SEMVER_EQ", "1.2.3"),
        compared("DATE_AFTER", "2022-01-29T13:00:00Z"),
        compared("REGEX", "a"),
        constraint("IN_CIDR", "10.0.0.0/8"),
    ],
)
def test_inverting_turns_everything_round_a_missing_attribute_too(one: dict[str, Any]) -> None:
    inverted = {**one, "inverted": True}
    for value in ("a", "5", "1.2.3", "2023-01-29T13:00:00Z", "10.1.1.1", None, [], {}, True):
        assert holds(inverted, value) is not holds(one, value)
    assert ask(imported(feature(strategy("default", inverted)))).on


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (constraint("NOPE", "a"), "there is no operator 'NOPE'"),
        (constraint("NOPE", "a", inverted=True), "there is no operator 'NOPE'"),
        (constraint("STR_CONTAINS"), "STR_CONTAINS has no values"),
        (constraint("IN_CIDR"), "IN_CIDR has no values"),
        (compared("NUM_EQ", None), "NUM_EQ has no value"),
        (compared("NUM_EQ", "abc"), "'abc' is neither a number nor a version nor a time"),
        (compared("NUM_EQ", ".5"), "'.5' is neither"),
        (compared("SEMVER_EQ", "01.2.3"), "'01.2.3' is no version"),
        (compared("DATE_AFTER", "2022-01-29"), "'2022-01-29' is neither"),
        (compared("DATE_AFTER", "2022-13-29T13:00:00Z"), "there is no time"),
    ],
)
def test_what_unleash_cannot_compile_is_always_off_and_said(one: dict[str, Any], why: str) -> None:
    # The whole feature is, whatever its other strategies say.
    result = imported(feature(strategy("default", one), strategy("default")))
    assert not ask(result, x="a").on
    assert why in result.lossy[0].reason


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (compared("NUM_EQ", "6 or true"), "misreads '6 or true'"),
        (compared("NUM_EQ", "5ortrue"), "misreads '5ortrue'"),
        (compared("NUM_EQ", "1e400"), "JSON cannot hold"),
        (constraint("IN", "a\\"), "misreads"),
        (compared("REGEX", "\\w+"), "differently"),
        (compared("REGEX", "a\\b"), "differently"),
        (compared("REGEX", "("), "a group is not closed"),
        (compared("REGEX", "[a[b]]"), "differently"),
        (compared("REGEX", "[a&&b]"), "differently"),
        (compared("REGEX", "a{,2}"), "differently"),
        (compared("REGEX", "\\pL"), "Unicode properties"),
        ({**constraint("IN", "a"), "contextName": "targetingKey"}, "means something else"),
        ({**constraint("IN", "a"), "contextName": "$random"}, "means something else"),
        ({**constraint("IN", "a"), "contextName": 'a"b'}, "misreads the context field"),
        ({**constraint("IN", "a"), "contextName": "currentTime"}, "current time"),
        (compared("NUM_GTE", "2022-01-01T00:00:00Z"), "compares times"),
        (compared("DATE_AFTER", "2022-01-29T13:00:60Z"), "leap second"),
    ],
)
def test_what_cannot_be_carried_exactly_is_refused(one: dict[str, Any], why: str) -> None:
    assert why in reason(feature(strategy("default", one)))


@pytest.mark.parametrize(
    ("operator", "inverted", "before", "at", "after"),
    [
        ("DATE_AFTER", False, False, False, True),
        ("DATE_AFTER", True, True, True, False),
        ("DATE_BEFORE", False, True, False, False),
        ("DATE_BEFORE", True, False, True, True),
    ],
)
def test_the_clock_opens_and_shuts(
    operator: str, *, inverted: bool, before: bool, at: bool, after: bool
) -> None:
    one = compared(operator, "2026-05-28T20:26:40.000Z", inverted=inverted)
    result = imported(feature(strategy("default", {**one, "contextName": "currentTime"})))
    moments = [NOW - 0.001, NOW, NOW + 0.001]
    assert [ask(result, now=moment).on for moment in moments] == [before, at, after]
    # A time in the context counts instead of the clock; no time is before and after nothing.
    texts = ["2026-05-28T20:26:39Z", "2026-05-28T20:26:40Z", "2026-05-28T20:26:41Z"]
    assert [ask(result, currentTime=text).on for text in texts] == [before, at, after]
    assert ask(result, currentTime="soon").on is inverted
    assert ask(result, now=NOW - 1, currentTime=None).on is before


def test_two_ends_of_the_clock_make_a_window() -> None:
    begin = compared("DATE_AFTER", "2026-01-01T00:00:00Z")
    end = compared("DATE_BEFORE", "2027-01-01T00:00:00Z")
    clocked = [{**one, "contextName": "currentTime"} for one in (begin, end)]
    result = imported(feature(strategy("default", *clocked)))
    assert result.flags["f"]["rules"][0]["start"] == "2026-01-01T00:00:00.000001Z"
    assert result.flags["f"]["rules"][0]["end"] == "2027-01-01T00:00:00Z"
    years = [ask(result, now=NOW + shift * 86400 * 365).on for shift in (-1, 0, 1)]
    assert years == [False, True, False]
    never = imported(
        feature(strategy("default", clocked[0], {**clocked[1], "value": "2025-01-01T00:00:00Z"}))
    )
    assert not ask(never).on
