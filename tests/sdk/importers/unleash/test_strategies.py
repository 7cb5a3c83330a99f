"""Strategies let in whom they let in in Unleash."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import evaluate, parse_flag_set
from tests.sdk.importers.unleash.building import (
    NOW,
    USERS,
    ask,
    bucket,
    constraint,
    feature,
    imported,
    reason,
    rollout,
    strategy,
)


def test_no_strategy_at_all_is_on() -> None:
    assert ask(imported(feature())).on
    assert ask(imported({"name": "f", "enabled": True})).on
    assert not ask(imported({"name": "f", "enabled": False})).on


def test_strategies_are_alternatives_and_constraints_are_not() -> None:
    both = strategy("default", constraint("IN", "1", "2"), constraint("IN", "2", "3"))
    result = imported(feature(both, strategy("userWithId", parameters={"userIds": "u"})))
    assert [ask(result, x=value).on for value in ("1", "2", "3")] == [False, True, False]
    assert ask(result, x="1", targetingKey="u").on


@pytest.mark.parametrize("percentage", ["0", "1", "50", "99", "100"])
def test_a_rollout_cuts_where_unleash_cuts(percentage: str) -> None:
    result = imported(feature(rollout(percentage, groupId="g", stickiness="userId")))
    for user in USERS:
        expected = bucket("g", user, 100) < int(percentage)
        assert ask(result, targetingKey=user).on is expected


def test_a_rollout_without_a_group_hashes_the_features_name() -> None:
    result = imported(feature(rollout("50", stickiness="userId")))
    for user in USERS:
        assert ask(result, targetingKey=user).on is (bucket("f", user, 100) < 50)


def test_an_empty_group_and_an_empty_user_are_hashed() -> None:
    result = imported(feature(rollout("50", stickiness="userId", groupId="")))
    for user in ["", *USERS]:
        assert ask(result, targetingKey=user).on is (bucket("", user, 100) < 50)


@pytest.mark.parametrize(
    ("unit", "text"), [(5, "5"), (5.0, "5"), (1.5, "1.5"), (True, "true"), ("ü😀", "ü😀")]
)
def test_units_are_hashed_as_json_writes_them(unit: Any, text: str) -> None:
    for percentage in range(1, 100, 7):
        result = imported(feature(rollout(str(percentage), groupId="g", stickiness="x")))
        assert ask(result, x=unit).on is (bucket("g", text, 100) < percentage)


def test_default_stickiness_takes_the_user_then_the_session_then_chance() -> None:
    result = imported(feature(rollout("50", groupId="g")))
    for unit in USERS:
        inside = bucket("g", unit, 100) < 50
        assert ask(result, targetingKey=unit, sessionId="s").on is inside
        assert ask(result, sessionId=unit).on is inside
        assert ask(result, targetingKey=None, sessionId=unit).on is inside
        assert ask(result, **{"$random": unit}).on is inside
    assert not ask(result).on
    assert "'$random'" in result.lossy[0].reason


def test_chance_is_named_where_it_is_asked_for_and_else_said_once() -> None:
    result = imported(
        feature(rollout("50"), name="a"),
        feature(rollout("50"), name="b"),
        feature(rollout("50", stickiness="random"), name="c"),
        feature(strategy("gradualRolloutRandom", parameters={"percentage": "50"}), name="d"),
        feature(rollout("50", stickiness="x"), name="e"),
    )
    assert [note.flag for note in result.lossy] == ["c", "d", "*"]
    assert "what 2 flags hash" in result.lossy[-1].reason


def test_a_whole_rollout_needs_no_chance_but_its_own_attribute() -> None:
    everybody = imported(feature(rollout("100")))
    assert ask(everybody).on
    assert not everybody.lossy
    by_session = imported(feature(rollout("100", stickiness="sessionId")))
    assert [ask(by_session).on, ask(by_session, sessionId=True).on] == [False, True]


@pytest.mark.parametrize("stickiness", ["environment", "appName", "remoteAddress", "a.b/c", ""])
def test_any_field_can_be_hashed(stickiness: str) -> None:
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
def test_percentages_are_read_as_unleash_reads_them(percentage: str, *, on: bool) -> None:
    assert ask(imported(feature(rollout(percentage))), targetingKey="a").on is on


def test_more_than_all_is_nobody() -> None:
    result = imported(feature(rollout("101"), strategy("default")))
    assert not ask(result, targetingKey="a").on
    assert result.lossy[0].reason == "is always off, as it is in Unleash: 101 is no percentage"


@pytest.mark.parametrize(
    ("name", "by"),
    [("gradualRolloutUserId", "targetingKey"), ("gradualRolloutSessionId", "sessionId")],
)
def test_gradual_rollouts_hash_their_own_attribute(name: str, by: str) -> None:
    parameters = {"percentage": "30", "groupId": "g"}
    result = imported(feature(strategy(name, parameters=parameters)))
    for unit in USERS:
        assert ask(result, **{by: unit}).on is (bucket("g", unit, 100) < 30)
    without = imported(feature(strategy(name, parameters={"percentage": "100"})))
    assert not ask(without, **{by: "a"}).on


def test_a_random_rollout_draws_from_the_callers_source() -> None:
    def drawn(percentage: str) -> int:
        parameters = {"percentage": percentage}
        result = imported(feature(strategy("gradualRolloutRandom", parameters=parameters)))
        parsed = parse_flag_set(result.flag_set(), strict=True)
        draws = ({"$random": number} for number in range(2000))
        return sum(evaluate(parsed, "f", draw, NOW).on for draw in draws)

    assert [drawn("0"), drawn("1"), drawn("100"), drawn("101")] == [0, 0, 2000, 2000]
    # One of 1 to 99 is drawn, and has to be less.
    assert abs(drawn("50") - 2000 * 49 / 99) < 100


def test_users_are_trimmed_and_empty_ones_count() -> None:
    result = imported(feature(strategy("userWithId", parameters={"userIds": "a,, b ,5"})))
    users: list[Any] = ["a", "b", " b ", "", "5", 5, None]
    on = [ask(result, targetingKey=user).on for user in users]
    assert on == [True, True, False, True, True, True, False]


def test_addresses_are_networks_and_bad_ones_are_passed_over() -> None:
    networks = "10.0.0.1/8, ::1, bad, 2001:db8::/32, 1.2.3.4/255.255.255.0"
    result = imported(feature(strategy("remoteAddress", parameters={"IPs": networks})))
    addresses = ["10.9.9.9", "::1", "2001:db8::5", "1.2.3.9"]
    others = ["::1%lo", "::ffff:10.2.3.4", "010.0.0.1", "bad", "", "11.0.0.1"]
    assert all(ask(result, remoteAddress=address).on for address in addresses)
    assert not any(ask(result, remoteAddress=address).on for address in others)


def test_custom_strategies_and_hostnames_are_refused_by_name() -> None:
    assert "custom strategy 'ours'" in reason(feature(strategy("ours")))
    assert "'applicationHostname'" in reason(feature(strategy("applicationHostname")))
