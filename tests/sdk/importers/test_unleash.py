"""Unleash's features as flags. What is expected is what yggdrasil-engine 2.0.0 answers."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine import EvaluationDetails, evaluate, parse_flag_set
from flagstone.engine.hashes import murmur3
from flagstone.importers import ImportFileError, ImportResult
from flagstone.importers.unleash import convert

EXAMPLES = int(os.environ.get("FLAGSTONE_FUZZ_EXAMPLES", "500"))
NOW = 1_780_000_000.0  # 2026-05-28T20:26:40Z
USERS = [f"u{number}" for number in range(200)]


def feature(*strategies: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"name": name, "enabled": True, "strategies": list(strategies), **more}


def strategy(name: str = "default", *constraints: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "parameters": {}, "constraints": list(constraints), **more}


def rollout(percentage: str, **parameters: str) -> dict[str, Any]:
    return strategy("flexibleRollout", parameters={"rollout": percentage, **parameters})


def constraint(operator: str, *values: str, **more: Any) -> dict[str, Any]:
    return {"contextName": "x", "operator": operator, "values": list(values), **more}


def compared(operator: str, value: str | None, **more: Any) -> dict[str, Any]:
    return {"contextName": "x", "operator": operator, "value": value, **more}


def variant(name: str, weight: int = 1, payload: tuple[str, str] | None = None, **more: Any) -> Any:
    carried = {} if payload is None else {"payload": {"type": payload[0], "value": payload[1]}}
    return {"name": name, "weight": weight, **carried, **more}


def imported(*features: Any, segments: Any = None) -> ImportResult:
    return convert({"version": 2, "features": list(features), "segments": segments})


def ask(
    result: ImportResult, key: str = "f", now: float = NOW, **context: Any
) -> EvaluationDetails:
    flag_set = json.loads(json.dumps(result.flag_set()))
    return evaluate(parse_flag_set(flag_set, strict=True), key, context, now)


def reason(*features: Any, key: str = "f", segments: Any = None) -> str:
    result = imported(*features, segments=segments)
    assert key not in result.flags
    return next(note.reason for note in result.refused if note.flag == key)


def holds(one: dict[str, Any], value: Any) -> bool:
    result = imported(feature(strategy("default", one)))
    assert not result.refused
    return ask(result, x=value).on


def bucket(group: str, unit: str, of: int, seed: int = 0) -> int:
    return murmur3(f"{group}:{unit}".encode(), seed) % of


class TestShape:
    def test_a_feature_without_variants_is_a_boolean_flag(self) -> None:
        result = imported(feature(strategy("userWithId", parameters={"userIds": "a, b"})))
        assert result.flags["f"]["type"] == "boolean"
        on, off = ask(result, targetingKey="b"), ask(result, targetingKey="c")
        assert (on.value, on.variant, on.on) == (True, "enabled", True)
        assert (off.value, off.variant, off.on) == (False, "disabled", False)

    def test_variants_without_payloads_keep_their_names_and_the_flag_boolean(self) -> None:
        result = imported(feature(variants=[variant("red")]))
        details = ask(result, targetingKey="a")
        assert (details.value, details.variant, details.on) == (True, "red", True)

    @pytest.mark.parametrize(
        ("payload", "kind", "value"),
        [
            (("string", "5"), "string", "5"),
            (("csv", "a,b"), "string", "a,b"),
            (("number", "5"), "integer", 5),
            (("number", "-1.50"), "float", -1.5),
            (("number", "1e400"), "string", "1e400"),
            (("number", "many"), "string", "many"),
            (("number", "9007199254740993"), "float", 9007199254740992.0),
            (("json", '{"a": [1, null]}'), "object", {"a": [1, None]}),
            (("json", "true"), "boolean", True),
            (("json", "{broken"), "string", "{broken"),
            (("json", "[NaN]"), "string", "[NaN]"),
            (("json", "[" * 100_000), "string", "[" * 100_000),
            (("json", "[1e999]"), "string", "[1e999]"),
            (("other", "x"), "string", "x"),
        ],
    )
    def test_a_payload_is_read_by_its_type(
        self, payload: tuple[str, str], kind: str, value: Any
    ) -> None:
        result = imported(feature(variants=[variant("v", 1, payload)]))
        assert result.flags["f"]["type"] == kind
        details = ask(result, targetingKey="a")
        assert details.value == value
        assert type(details.value) is type(value)

    def test_a_feature_with_payloads_gives_the_callers_default_while_it_is_off(self) -> None:
        one = feature(variants=[variant("v", 1, ("string", "x"))])
        details = ask(imported({**one, "enabled": False}), targetingKey="a")
        assert (details.variant, details.value, details.on) == (None, None, False)
        assert str(details.reason) == "DISABLED"

    def test_a_missing_payload_beside_others_is_null(self) -> None:
        result = imported(
            feature(variants=[variant("v", 0, ("string", "x")), variant("w", 1)]),
        )
        assert result.flags["f"]["type"] == "object"
        details = ask(result, targetingKey="a")
        assert (details.variant, details.value, details.on) == ("w", None, True)

    def test_a_strategy_without_variants_among_others_with_them_is_plainly_on(self) -> None:
        result = imported(
            feature(
                strategy("userWithId", parameters={"userIds": "a"}),
                strategy("default", variants=[variant("v", 1, ("string", "x"))]),
            )
        )
        # The first strategy that lets somebody in decides of the variant too.
        assert (ask(result, targetingKey="a").variant, ask(result, targetingKey="a").on) == (
            "enabled",
            True,
        )
        assert ask(result, targetingKey="b").variant == "v"

    def test_variants_that_have_our_names_push_ours_into_brackets(self) -> None:
        result = imported(
            feature(
                strategy("userWithId", parameters={"userIds": "a"}),
                strategy(
                    "userWithId",
                    parameters={"userIds": "b"},
                    variants=[variant("enabled")],
                ),
                strategy(
                    "userWithId",
                    parameters={"userIds": "c"},
                    variants=[variant("disabled")],
                ),
            )
        )
        served = [
            (ask(result, targetingKey=u).variant, ask(result, targetingKey=u).on) for u in "abcd"
        ]
        assert served == [
            ("(enabled)", True),
            ("enabled", True),
            ("disabled", True),
            ("(disabled)", False),
        ]

    def test_two_variants_of_one_name_and_different_payloads_are_refused(self) -> None:
        both = [variant("v", 1, ("string", "x")), variant("v", 1, ("string", "y"))]
        assert "two variants are called 'v'" in reason(feature(variants=both))
        alike = [variant("v", 1, ("string", "x")), variant("v", 1, ("string", "x"))]
        assert imported(feature(variants=alike)).flags

    def test_names_of_strategies_become_ids_of_rules(self) -> None:
        result = imported(feature(strategy(), strategy(), impressionData=True))
        rules = result.flags["f"]["rules"]
        assert [rule["id"] for rule in rules] == ["default", "default-2"]
        assert all(rule["track"] for rule in rules)

    def test_of_two_features_with_one_name_the_last_counts(self) -> None:
        result = imported(feature(), {**feature(), "enabled": False})
        assert not ask(result).on
        assert list(result.flags) == ["f"]

    def test_the_order_of_the_features_is_kept(self) -> None:
        result = imported(
            feature(name="b", dependencies=[{"feature": "c"}]), feature(name="c"), feature(name="a")
        )
        assert list(result.flags) == ["b", "c", "a"]


class TestStrategies:
    def test_no_strategy_at_all_is_on(self) -> None:
        assert ask(imported(feature())).on
        assert ask(imported({"name": "f", "enabled": True})).on
        assert not ask(imported({"name": "f", "enabled": False})).on

    def test_strategies_are_alternatives_and_constraints_are_not(self) -> None:
        both = strategy("default", constraint("IN", "1", "2"), constraint("IN", "2", "3"))
        result = imported(feature(both, strategy("userWithId", parameters={"userIds": "u"})))
        assert [ask(result, x=value).on for value in ("1", "2", "3")] == [False, True, False]
        assert ask(result, x="1", targetingKey="u").on

    @pytest.mark.parametrize("percentage", ["0", "1", "50", "99", "100"])
    def test_a_rollout_cuts_where_unleash_cuts(self, percentage: str) -> None:
        result = imported(feature(rollout(percentage, groupId="g", stickiness="userId")))
        for user in USERS:
            expected = bucket("g", user, 100) < int(percentage)
            assert ask(result, targetingKey=user).on is expected

    def test_a_rollout_without_a_group_hashes_the_features_name(self) -> None:
        result = imported(feature(rollout("50", stickiness="userId")))
        for user in USERS:
            assert ask(result, targetingKey=user).on is (bucket("f", user, 100) < 50)

    def test_an_empty_group_and_an_empty_user_are_hashed(self) -> None:
        result = imported(feature(rollout("50", stickiness="userId", groupId="")))
        for user in ["", *USERS]:
            assert ask(result, targetingKey=user).on is (bucket("", user, 100) < 50)

    @pytest.mark.parametrize(
        ("unit", "text"), [(5, "5"), (5.0, "5"), (1.5, "1.5"), (True, "true"), ("ü😀", "ü😀")]
    )
    def test_units_are_hashed_as_json_writes_them(self, unit: Any, text: str) -> None:
        for percentage in range(1, 100, 7):
            result = imported(feature(rollout(str(percentage), groupId="g", stickiness="x")))
            assert ask(result, x=unit).on is (bucket("g", text, 100) < percentage)

    def test_default_stickiness_takes_the_user_then_the_session_then_chance(self) -> None:
        result = imported(feature(rollout("50", groupId="g")))
        for unit in USERS:
            inside = bucket("g", unit, 100) < 50
            assert ask(result, targetingKey=unit, sessionId="s").on is inside
            assert ask(result, sessionId=unit).on is inside
            assert ask(result, targetingKey=None, sessionId=unit).on is inside
            assert ask(result, **{"$random": unit}).on is inside
        assert not ask(result).on
        assert "'$random'" in result.lossy[0].reason

    def test_chance_is_named_where_it_is_asked_for_and_else_said_once(self) -> None:
        result = imported(
            feature(rollout("50"), name="a"),
            feature(rollout("50"), name="b"),
            feature(rollout("50", stickiness="random"), name="c"),
            feature(strategy("gradualRolloutRandom", parameters={"percentage": "50"}), name="d"),
            feature(rollout("50", stickiness="x"), name="e"),
        )
        assert [note.flag for note in result.lossy] == ["c", "d", "*"]
        assert "what 2 flags hash" in result.lossy[-1].reason

    def test_a_whole_rollout_needs_no_chance_but_its_own_attribute(self) -> None:
        everybody = imported(feature(rollout("100")))
        assert ask(everybody).on
        assert not everybody.lossy
        by_session = imported(feature(rollout("100", stickiness="sessionId")))
        assert [ask(by_session).on, ask(by_session, sessionId=True).on] == [False, True]

    @pytest.mark.parametrize("stickiness", ["environment", "appName", "remoteAddress", "a.b/c", ""])
    def test_any_field_can_be_hashed(self, stickiness: str) -> None:
        result = imported(feature(rollout("50", groupId="g", stickiness=stickiness)))
        for unit in USERS[:50]:
            inside = bucket("g", unit, 100) < 50
            assert ask(result, **{"targetingKey": "u", stickiness: unit}).on is inside

    @pytest.mark.parametrize(
        ("percentage", "on"),
        [
            ("+100", True),
            ("0100", True),
            ("100.0", False),
            (" 100", False),
            ("", False),
            ("-1", False),
        ],
    )
    def test_percentages_are_read_as_unleash_reads_them(self, percentage: str, *, on: bool) -> None:
        assert ask(imported(feature(rollout(percentage))), targetingKey="a").on is on

    def test_more_than_all_is_nobody(self) -> None:
        result = imported(feature(rollout("101"), strategy("default")))
        assert not ask(result, targetingKey="a").on
        assert result.lossy[0].reason == "is always off, as it is in Unleash: 101 is no percentage"

    @pytest.mark.parametrize(
        ("name", "by"),
        [("gradualRolloutUserId", "targetingKey"), ("gradualRolloutSessionId", "sessionId")],
    )
    def test_gradual_rollouts_hash_their_own_attribute(self, name: str, by: str) -> None:
        parameters = {"percentage": "30", "groupId": "g"}
        result = imported(feature(strategy(name, parameters=parameters)))
        for unit in USERS:
            assert ask(result, **{by: unit}).on is (bucket("g", unit, 100) < 30)
        without = imported(feature(strategy(name, parameters={"percentage": "100"})))
        assert not ask(without, **{by: "a"}).on

    def test_a_random_rollout_draws_from_the_callers_source(self) -> None:
        def drawn(percentage: str) -> int:
            parameters = {"percentage": percentage}
            result = imported(feature(strategy("gradualRolloutRandom", parameters=parameters)))
            parsed = parse_flag_set(result.flag_set(), strict=True)
            draws = ({"$random": number} for number in range(2000))
            return sum(evaluate(parsed, "f", draw, NOW).on for draw in draws)

        assert [drawn("0"), drawn("1"), drawn("100"), drawn("101")] == [0, 0, 2000, 2000]
        # One of 1 to 99 is drawn, and has to be less.
        assert abs(drawn("50") - 2000 * 49 / 99) < 100

    def test_users_are_trimmed_and_empty_ones_count(self) -> None:
        result = imported(feature(strategy("userWithId", parameters={"userIds": "a,, b ,5"})))
        users: list[Any] = ["a", "b", " b ", "", "5", 5, None]
        on = [ask(result, targetingKey=user).on for user in users]
        assert on == [True, True, False, True, True, True, False]

    def test_addresses_are_networks_and_bad_ones_are_passed_over(self) -> None:
        networks = "10.0.0.1/8, ::1, bad, 2001:db8::/32, 1.2.3.4/255.255.255.0"
        result = imported(feature(strategy("remoteAddress", parameters={"IPs": networks})))
        addresses = ["10.9.9.9", "::1", "2001:db8::5", "1.2.3.9"]
        others = ["::1%lo", "::ffff:10.2.3.4", "010.0.0.1", "bad", "", "11.0.0.1"]
        assert all(ask(result, remoteAddress=address).on for address in addresses)
        assert not any(ask(result, remoteAddress=address).on for address in others)

    def test_custom_strategies_and_hostnames_are_refused_by_name(self) -> None:
        assert "custom strategy 'ours'" in reason(feature(strategy("ours")))
        assert "'applicationHostname'" in reason(feature(strategy("applicationHostname")))


class TestConstraints:
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
        self, one: dict[str, Any], inside: list[Any], outside: list[Any]
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
    def test_inverting_turns_everything_round_a_missing_attribute_too(
        self, one: dict[str, Any]
    ) -> None:
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
    def test_what_unleash_cannot_compile_is_always_off_and_said(
        self, one: dict[str, Any], why: str
    ) -> None:
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
    def test_what_cannot_be_carried_exactly_is_refused(self, one: dict[str, Any], why: str) -> None:
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
        self, operator: str, *, inverted: bool, before: bool, at: bool, after: bool
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

    def test_two_ends_of_the_clock_make_a_window(self) -> None:
        begin = compared("DATE_AFTER", "2026-01-01T00:00:00Z")
        end = compared("DATE_BEFORE", "2027-01-01T00:00:00Z")
        clocked = [{**one, "contextName": "currentTime"} for one in (begin, end)]
        result = imported(feature(strategy("default", *clocked)))
        assert result.flags["f"]["rules"][0]["start"] == "2026-01-01T00:00:00.000001Z"
        assert result.flags["f"]["rules"][0]["end"] == "2027-01-01T00:00:00Z"
        years = [ask(result, now=NOW + shift * 86400 * 365).on for shift in (-1, 0, 1)]
        assert years == [False, True, False]
        never = imported(
            feature(
                strategy("default", clocked[0], {**clocked[1], "value": "2025-01-01T00:00:00Z"})
            )
        )
        assert not ask(never).on


class TestSegments:
    def test_a_segments_constraints_are_added_to_the_strategys(self) -> None:
        segments = [
            {"id": 1, "constraints": [constraint("IN", "1", "2")]},
            {"id": 2, "constraints": []},
        ]
        one = strategy("default", constraint("IN", "2", "3"), segments=[1, 2])
        result = imported(feature(one), segments=segments)
        assert [ask(result, x=value).on for value in ("1", "2", "3")] == [False, True, False]
        assert list(result.segments) == ["1", "2"]

    def test_a_missing_segment_keeps_the_feature_off(self) -> None:
        result = imported(feature(strategy(segments=[404]), strategy()))
        assert not ask(result).on
        assert "there is no segment 404" in result.lossy[0].reason

    def test_of_two_segments_with_one_number_the_last_counts(self) -> None:
        segments = [{"id": 1, "constraints": [constraint("IN", v)]} for v in ("a", "b")]
        result = imported(feature(strategy(segments=[1])), segments=segments)
        assert [ask(result, x=value).on for value in ("a", "b")] == [False, True]

    def test_a_segment_on_the_clock_is_written_into_the_rules(self) -> None:
        clocked = {**compared("DATE_AFTER", "2026-01-01T00:00:00Z"), "contextName": "currentTime"}
        segments = [{"id": 1, "constraints": [clocked]}]
        result = imported(feature(strategy(segments=[1])), segments=segments)
        assert not result.segments
        assert ask(result).on
        assert not ask(result, now=0.0).on

    def test_a_malformed_segment_is_the_fault_of_those_who_ask_for_it(self) -> None:
        segments = [{"id": 1, "constraints": [5]}]
        result = imported(feature(strategy(segments=[1])), feature(name="g"), segments=segments)
        assert list(result.flags) == ["g"]
        assert result.refused[0].reason.startswith("its segment 1 is malformed")


class TestVariants:
    @staticmethod
    def expected(variants: list[Any], group: str, unit: str) -> str:
        total, place = sum(one["weight"] for one in variants), 0
        target = bucket(group, unit, total, 86028157)
        for one in variants:
            place += one["weight"]
            if target < place:
                return str(one["name"])
        raise AssertionError

    def test_feature_variants_hash_the_features_name(self) -> None:
        variants = [variant("a", 33), variant("none", 0), variant("b", 1), variant("c", 966)]
        grouped = strategy("default", parameters={"groupId": "g"})
        result = imported(feature(grouped, variants=variants))
        for user in USERS:
            assert ask(result, targetingKey=user).variant == self.expected(variants, "f", user)

    def test_strategy_variants_hash_the_strategys_group_by_its_stickiness(self) -> None:
        variants = [variant("a", 500, stickiness="userId"), variant("b", 500)]
        parameters = {"rollout": "100", "groupId": "g", "stickiness": "sessionId"}
        one = strategy("flexibleRollout", parameters=parameters, variants=variants)
        result = imported(feature(one, variants=[variant("other")]))
        for unit in USERS:
            served = ask(result, targetingKey="u", sessionId=unit).variant
            assert served == self.expected(variants, "g", unit)

    def test_the_first_variants_stickiness_is_everybodys(self) -> None:
        variants = [variant("a", 5, stickiness="x"), variant("b", 5, stickiness="userId")]
        result = imported(feature(variants=variants))
        for unit in USERS[:50]:
            assert ask(result, targetingKey="u", x=unit).variant == self.expected(
                variants, "f", unit
            )

    def test_without_a_user_the_session_and_then_chance_decide(self) -> None:
        variants = [variant("a", 5), variant("b", 6)]
        result = imported(feature(variants=variants))
        for unit in USERS[:50]:
            expected = self.expected(variants, "f", unit)
            assert ask(result, sessionId=unit).variant == expected
            assert ask(result, **{"$random": unit}).variant == expected
        assert ask(result).variant == "b"
        assert result.lossy

    def test_random_stickiness_of_variants_is_an_attribute_first(self) -> None:
        variants = [variant("a", 5, stickiness="random"), variant("b", 5)]
        result = imported(feature(variants=variants))
        for unit in USERS[:50]:
            assert ask(result, random=unit).variant == self.expected(variants, "f", unit)

    def test_overrides_go_before_the_hash_and_need_no_weight(self) -> None:
        overrides = [
            {"contextName": "userId", "values": ["u1", "5"]},
            {"contextName": "x", "values": ["true"]},
        ]
        variants = [variant("a", 0, overrides=overrides), variant("b", 7)]
        result = imported(feature(variants=variants))
        contexts: list[dict[str, Any]] = [
            {"targetingKey": "u1"},
            {"targetingKey": 5},
            {"targetingKey": "u", "x": True},
            {"targetingKey": "u"},
        ]
        assert [ask(result, **context).variant for context in contexts] == ["a", "a", "a", "b"]

    def test_a_single_variant_leaves_nothing_to_chance(self) -> None:
        result = imported(feature(variants=[variant("a"), variant("b", 0)]))
        assert ask(result).variant == "a"
        assert not result.lossy

    def test_weights_that_sum_up_to_nothing_are_refused(self) -> None:
        assert "no weight" in reason(feature(variants=[variant("a", 0)]))

    def test_negative_weights_are_refused(self) -> None:
        assert "a weight is" in reason(feature(variants=[variant("a", -1), variant("b", 5)]))


class TestDependencies:
    @pytest.mark.parametrize(
        ("parent", "dependency", "on"),
        [
            ({}, {}, True),
            ({}, {"enabled": False}, False),
            ({"enabled": False}, {}, False),
            ({"enabled": False}, {"enabled": False}, True),
            ({}, {"variants": ["v"]}, True),
            ({}, {"variants": []}, True),
            ({"variants": [variant("v")]}, {"variants": ["v", "w"]}, True),
            ({"variants": [variant("v")]}, {"variants": ["w"]}, False),
            ({"variants": [variant("v", 1, ("string", "x"))]}, {"enabled": False}, False),
            (
                {"enabled": False, "variants": [variant("v", 1, ("string", "x"))]},
                {"enabled": False},
                True,
            ),
            ({"dependencies": [{"feature": "grand"}]}, {}, False),
            ({"dependencies": []}, {}, True),
            ({"strategies": [strategy("default", constraint("NOPE"))]}, {"enabled": False}, True),
        ],
    )
    def test_a_child_asks_its_parent(
        self, parent: dict[str, Any], dependency: dict[str, Any], *, on: bool
    ) -> None:
        child = feature(dependencies=[{"feature": "parent", **dependency}])
        grand = feature(name="grand")
        result = imported(child, {**feature(name="parent"), **parent}, grand)
        assert ask(result, targetingKey="u").on is on
        assert not result.refused

    @pytest.mark.parametrize("parent", ["nowhere", "f"])
    def test_a_missing_parent_and_oneself_are_never_satisfied(self, parent: str) -> None:
        result = imported(feature(dependencies=[{"feature": parent}]))
        assert not ask(result).on
        assert "parent" in result.lossy[0].reason

    def test_what_hangs_on_a_refused_parent_is_refused(self) -> None:
        child, parent = (
            feature(dependencies=[{"feature": "p"}]),
            feature(strategy("ours"), name="p"),
        )
        assert "'p' was not imported" in reason(child, parent)
        assert "'p' was not imported" in reason(child, {"name": "p"})

    def test_a_parent_that_would_hash_the_childs_name_is_refused(self) -> None:
        child = feature(dependencies=[{"feature": "p"}])
        assert "without groupId" in reason(child, feature(rollout("50"), name="p"))
        assert imported(child, feature(rollout("100"), name="p")).flags

    def test_the_variant_of_a_parent_that_is_off_is_refused(self) -> None:
        child = feature(dependencies=[{"feature": "p", "enabled": False, "variants": ["v"]}])
        assert "would have" in reason(child, feature(name="p", variants=[variant("v")]))
        assert not ask(imported(child, feature(name="p"))).on


class TestMalformed:
    @pytest.mark.parametrize(
        "document", [None, 5, [], {}, {"features": {}}, {"features": [], "segments": 5}]
    )
    def test_another_file_is_refused_as_a_whole(self, document: Any) -> None:
        with pytest.raises(ImportFileError):
            convert(document)

    @pytest.mark.parametrize(
        ("document", "key"),
        [
            (5, "features[1]"),
            ({}, "features[1]"),
            ({"name": "", "enabled": True}, "features[1]"),
            ({"name": "f"}, "f"),
            (feature(5), "f"),
            ({**feature(), "strategies": {}}, "f"),
            (feature(strategy(parameters={"rollout": 50})), "f"),
            (feature(strategy(parameters=[])), "f"),
            (feature(strategy("default", constraint("IN", 5))), "f"),  # type: ignore[arg-type]
            (feature(strategy("default", {"operator": "IN"})), "f"),
            (feature(strategy(segments=["1"])), "f"),
            (feature(variants=[{"name": "v"}]), "f"),
            (feature(variants=[variant("", 1)]), "f"),
            (feature(variants=[variant("v", payload=("string", 5))]), "f"),  # type: ignore[arg-type]
            (feature(variants=[variant("v", overrides=[{"contextName": "x"}])]), "f"),
            (feature(dependencies=[{}]), "f"),
            (feature(dependencies=[{"feature": "g", "enabled": 1}]), "f"),
        ],
    )
    def test_a_malformed_feature_is_refused_and_the_rest_imported(
        self, document: Any, key: str
    ) -> None:
        result = imported(feature(name="good"), document)
        assert list(result.flags) == ["good"]
        assert [note.flag for note in result.refused] == [key]
        assert "is malformed" in result.refused[0].reason

    def test_a_feature_that_asks_too_much_is_refused_alone(self) -> None:
        many = feature(*(strategy(segments=[1] * 30) for _ in range(400)))
        segments = [{"id": 1, "constraints": [constraint("IN", "a")]}]
        result = imported(many, feature(name="good"), segments=segments)
        assert list(result.flags) == ["good"]
        assert "asks more than 10000" in result.refused[0].reason

    def test_the_report_counts_names_and_explains(self) -> None:
        report = imported(feature(name="good"), feature(strategy("ours"))).report()
        assert report["imported"] == 1
        assert report["refused"] == [
            {"flag": "f", "reason": "the custom strategy 'ours' is code of the application"}
        ]


ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**70,
        1.5,
        float("nan"),
        "",
        "\ud800",
        "default",
        "x",
        "userId",
        "IN",
        "50",
    ]
)
JSON = st.recursive(
    ODD | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
WHOLE: dict[str, Any] = {
    "version": 2,
    "features": [
        feature(
            strategy("default", constraint("STR_CONTAINS", "a", "1"), compared("NUM_EQ", "5")),
            strategy(
                "flexibleRollout",
                compared("REGEX", "a\\d+"),
                parameters={"rollout": "50", "stickiness": "default", "groupId": "g"},
                segments=[1],
                variants=[variant("a", 5, ("json", "[1]")), variant("b", 5, ("number", "1"))],
            ),
            strategy("gradualRolloutRandom", parameters={"percentage": "50"}),
            name="parent",
        ),
        feature(
            strategy(
                "default",
                {**compared("DATE_AFTER", "2022-01-29T13:00:00Z"), "contextName": "currentTime"},
            ),
            strategy(
                "remoteAddress", constraint("IN_CIDR", "::1/8"), parameters={"IPs": "10.0.0.1"}
            ),
            strategy("userWithId", compared("SEMVER_GT", "1.2.3"), parameters={"userIds": "a,b"}),
            variants=[
                variant("a", 5, overrides=[{"contextName": "x", "values": ["1"]}]),
                variant("b", 7, stickiness="x"),
            ],
            dependencies=[{"feature": "parent", "enabled": True, "variants": ["a"]}],
        ),
    ],
    "segments": [{"id": 1, "constraints": [constraint("NOT_IN", "a")]}],
}


def check(document: Any) -> None:
    try:
        result = convert(document)
    except ImportFileError:
        return
    flag_set = json.loads(json.dumps(result.flag_set(), allow_nan=False))
    parsed = parse_flag_set(flag_set, strict=True)
    json.dumps(result.report())
    for key in parsed.flags:
        assert evaluate(parsed, key, {"targetingKey": "a", "x": 1}, NOW).error_code is None
    assert convert(copy.deepcopy(document)).flag_set() == result.flag_set()


@settings(max_examples=EXAMPLES, deadline=None)
@given(JSON)
def test_any_json_gives_a_result_or_a_refusal(document: Any) -> None:
    check(document)
    check({"features": [document], "segments": [document]})
    check({"features": [{"name": "f", "enabled": True, "strategies": document}]})


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_any_mutation_of_a_file_gives_a_result_or_a_refusal(data: st.DataObject) -> None:
    document = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = data.draw(st.sampled_from(names))
            inner = place[name]
            if not isinstance(inner, (dict, list)) or data.draw(st.integers(0, 4)) == 0:
                if data.draw(st.booleans()):
                    place[name] = data.draw(ODD | JSON)
                else:
                    del place[name]
                break
            place = inner
    check(document)


@settings(max_examples=EXAMPLES // 5, deadline=None)
@given(
    st.text(st.sampled_from('0123456789.+-eEvZT:nai"\\ \tor'), max_size=12),
    st.sampled_from(["NUM_EQ", "NUM_LT", "SEMVER_GT", "DATE_AFTER", "REGEX"]),
)
def test_any_constant_gives_a_result_or_a_refusal(value: str, operator: str) -> None:
    check({"features": [feature(strategy("default", compared(operator, value)))]})


def test_deep_nesting_is_a_refusal() -> None:
    deep: Any = "a"
    for _ in range(100_000):
        deep = [deep]
    assert "is malformed" in reason(feature(strategy("default", constraint("IN", deep))))
