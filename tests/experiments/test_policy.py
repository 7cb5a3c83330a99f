"""Looks lie on a schedule that nothing can move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.contract.policy import (
    PROOF_28D,
    LookPhase,
    Policy,
    RampStep,
    look_schedule,
    parse_policy,
)

HOUR, DAY = 3600.0, 86400.0


def test_proof_28d_looks_hourly_for_two_days_and_then_daily() -> None:
    schedule = look_schedule(PROOF_28D, 28 * DAY)
    assert schedule[:48] == tuple(HOUR * k for k in range(1, 49))
    assert schedule[48:] == tuple(DAY * k for k in range(3, 29))


def test_proof_28d_ships_on_whole_weeks_and_at_the_deadline_only() -> None:
    prove_by = 25 * DAY
    ships = [o / DAY for o in look_schedule(PROOF_28D, prove_by) if PROOF_28D.may_ship(o, prove_by)]
    assert ships == [7, 14, 21, 25]
    assert not PROOF_28D.may_be_futile(6 * DAY, prove_by)
    assert PROOF_28D.may_be_futile(8 * DAY, prove_by)


def test_the_ramp_ends_at_the_plans_largest_coverage() -> None:
    steps = PROOF_28D.ramp_steps(0.3)
    assert [step.coverage for step in steps] == [0.02, 0.1, 0.25, 0.3]
    assert [step.coverage for step in PROOF_28D.ramp_steps(0.01)] == [0.01]
    assert PROOF_28D.ramp_offset(2) == 2 * DAY


policies = st.builds(
    lambda first, rest, ship, minimum: Policy(
        name="x",
        looks=(LookPhase(first, 10 * first), LookPhase(rest)),
        minimum_seconds=minimum,
        ship_every_seconds=ship,
        ramp=(RampStep(0.5, 10.0),),
    ),
    st.sampled_from([0.7, 1.0, 2.5]),
    st.sampled_from([3.0, 10.0]),
    st.sampled_from([5.0, 7.1]),
    st.sampled_from([0.0, 15.0]),
)


@given(policies, st.sampled_from([47.3, 60.0, 100.0]), st.lists(st.floats(0, 300), max_size=20))
def test_however_the_worker_sleeps_its_looks_are_scheduled_ones_in_order(
    policy: Policy, prove_by: float, wakings: list[float]
) -> None:
    schedule = look_schedule(policy, prove_by)
    assert schedule[-1] == prove_by
    last = 0.0
    for elapsed in sorted(wakings):
        due = policy.latest_look(elapsed, prove_by)
        if due is None:
            assert elapsed < schedule[0] + 1e-6
            continue
        assert due <= elapsed + 1e-6
        assert due in schedule or due > prove_by
        assert due >= last
        following = policy.next_look(due, prove_by)
        assert following > due
        assert elapsed < following + 1e-5, "the newest look that has passed"
        last = due


@given(policies, st.sampled_from([47.3, 60.0, 100.0]))
def test_walking_by_next_look_meets_every_scheduled_look_and_goes_on_after_the_deadline(
    policy: Policy, prove_by: float
) -> None:
    walked, offset = [], 0.0
    while offset < prove_by:
        offset = policy.next_look(offset, prove_by)
        walked.append(offset)
    assert tuple(walked) == look_schedule(policy, prove_by)
    assert policy.next_look(offset, prove_by) == pytest.approx(
        prove_by + policy.looks[-1].every_seconds
    )


def test_a_policy_reads_back_as_itself() -> None:
    assert parse_policy(PROOF_28D.to_document()) == PROOF_28D
    assert parse_policy("proof-28d") is PROOF_28D


def test_a_short_policy_settles_for_half_a_look_at_most() -> None:
    assert parse_policy({"looks": [{"every": "2s"}]}).settle_seconds == 1
    assert parse_policy({}).settle_seconds == 120
