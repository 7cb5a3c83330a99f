"""How closely the statistics of two looks are tied."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import (
    ConsecutiveSums,
    MomentsError,
    NotEnoughDataError,
    Spending,
    SpendingError,
    SpendingShape,
    boundary,
    chained_correlation,
    correlation,
)
from stats.sequential.density import MAX_CORRELATION

values = st.floats(-50, 50).map(lambda x: round(x, 3))
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=8)
newcomers = st.lists(values, max_size=6)


def arm(old: list[tuple[float, float]], new: list[float], shift: float = 0.0) -> ConsecutiveSums:
    return ConsecutiveSums.of(
        [before for before, _ in old], [now for _, now in old] + new, shift=shift
    )


def approximately(sums: ConsecutiveSums) -> list:
    return [pytest.approx(value, rel=1e-9, abs=1e-6) for value in sums.sums]


@settings(max_examples=40, deadline=None)
@given(pairs, newcomers, pairs, newcomers, values, values)
def test_merging_shards_equals_pooling_them_whatever_their_shifts(
    one: list, new_one: list, other: list, new_other: list, shift: float, far: float
) -> None:
    merged = arm(one, new_one, shift) + arm(other, new_other, far)
    pooled = arm(one + other, new_one + new_other, shift)
    assert list(merged.sums) == approximately(pooled)
    assert merged.shift == shift
    assert ConsecutiveSums() + merged == merged == merged + ConsecutiveSums()


@settings(max_examples=40, deadline=None)
@given(pairs, newcomers, values)
def test_a_shift_changes_no_covariance(old: list, new: list, shift: float) -> None:
    plain, moved = arm(old, new), arm(old, new, shift)
    assert moved.covariance == pytest.approx(plain.covariance, rel=1e-9, abs=1e-6)
    assert moved.about().covariance == pytest.approx(plain.covariance, rel=1e-9, abs=1e-6)
    expected = np.cov(*np.array(old).T)[0, 1]
    assert plain.covariance == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert moved.before.mean == pytest.approx(np.mean([b for b, _ in old]), abs=1e-9)
    assert moved.now.variance == pytest.approx(arm(old, new).now.variance, rel=1e-9, abs=1e-6)


def test_the_formula_of_the_design_comes_out() -> None:
    """Cov = sum over arms of (y_before - m_before)(y_now - m_now) over n_before n_now."""
    rng = np.random.default_rng(5)
    looks = []
    covariance, errors = 0.0, [0.0, 0.0]
    for n_before, n_now in ((400, 700), (500, 650)):
        before = rng.gamma(2.0, size=n_before)
        now = np.concatenate([before + rng.gamma(1.0, size=n_before), rng.gamma(2.0, size=200)])
        now = now[:n_now]
        looks.append(ConsecutiveSums.of(before.tolist(), now.tolist()))
        together = (before - before.mean()) @ (now[:n_before] - now.mean())
        covariance += together / n_before / now.size
        errors[0] += before.var(ddof=1) / n_before
        errors[1] += now.var(ddof=1) / now.size
    expected = covariance / math.sqrt(errors[0] * errors[1])
    assert correlation(*looks) == pytest.approx(expected, rel=1 / 300)


def test_units_that_never_change_are_tied_by_their_numbers() -> None:
    rng = np.random.default_rng(6)
    y = rng.normal(size=(2, 4000)).tolist()
    arms = [ConsecutiveSums.of(row[:1000], row) for row in y]
    assert correlation(*arms) == pytest.approx(math.sqrt(1 / 4), abs=0.02)


def test_the_same_units_with_the_same_values_are_tied_as_closely_as_can_be() -> None:
    row = [0.0, 1.0, 5.0, 2.0]
    same = ConsecutiveSums.of(row, row)
    assert correlation(same, same) == MAX_CORRELATION


def test_values_that_turn_around_are_cut_to_no_correlation() -> None:
    turned = ConsecutiveSums.of([0.0, 1.0, 2.0], [2.0, 1.0, 0.0])
    assert correlation(turned, turned) == 0.0


def test_scale_and_arms_do_not_matter() -> None:
    rng = np.random.default_rng(8)
    y = rng.normal(size=(2, 2, 50))
    arms = [ConsecutiveSums.of(a[0].tolist(), (a[0] + a[1]).tolist()) for a in y]
    scaled = [
        ConsecutiveSums.of((-3 * a[0]).tolist(), (-3 * (a[0] + a[1])).tolist(), shift=4.0)
        for a in y
    ]
    assert correlation(*arms) == pytest.approx(correlation(*arms[::-1]))
    assert correlation(*arms) == pytest.approx(correlation(*scaled))


def test_large_means_do_not_drown_the_covariance_when_shifted() -> None:
    rng = np.random.default_rng(9)
    before = 1e9 + rng.normal(size=500)
    now = before + rng.normal(size=500)
    shifted = ConsecutiveSums.of(before.tolist(), now.tolist(), shift=1e9)
    assert shifted.covariance == pytest.approx(np.cov(before - 1e9, now - 1e9)[0, 1], rel=1e-9)


def test_too_little_or_constant_data_has_no_correlation() -> None:
    fine = ConsecutiveSums.of([0.0, 1.0], [0.0, 2.0])
    constant = ConsecutiveSums.of([1.0, 1.0], [1.0, 1.0])
    for thin in (ConsecutiveSums(), ConsecutiveSums.of([1.0], [1.0, 2.0])):
        with pytest.raises(NotEnoughDataError):
            correlation(fine, thin)
    with pytest.raises(NotEnoughDataError):
        correlation(constant, constant)
    with pytest.raises(MomentsError):
        ConsecutiveSums.of([1.0], [1.0, 2.0]).covariance  # noqa: B018


@pytest.mark.parametrize(
    "changes",
    [
        {"n_both": 4.0},
        {"n_both": -1.0},
        {"both_product": 1e6},
        {"both_now": 1e6},
        {"before1": 1e6},
        {"now1": math.nan},
        {"now2": math.inf},
        {"n": -1.0},
        {"n_before": -2.0},
    ],
)
def test_sums_that_no_units_can_have_are_refused(changes: dict) -> None:
    with pytest.raises(MomentsError):
        replace(ConsecutiveSums.of([0.0, 2.0], [1.0, 2.0, 5.0]), **changes)


def test_units_that_vanish_are_refused_when_summed() -> None:
    with pytest.raises(MomentsError):
        ConsecutiveSums.of([1.0, 2.0], [1.0])


def test_looks_passed_over_multiply() -> None:
    assert chained_correlation([0.9, 0.8, 0.5]) == pytest.approx(0.36)
    assert chained_correlation([math.sqrt(1 / 2), math.sqrt(2 / 3)]) == pytest.approx(
        math.sqrt(1 / 3)
    )
    for steps in ([], [1.1], [-0.1], [math.nan]):
        with pytest.raises(SpendingError):
            chained_correlation(steps)


def test_the_correlation_clock_keeps_the_error_that_the_calendar_clock_overspends() -> None:
    """Mean per day since entry, uniform entry: what a unit says changes as it stays.

    Every look estimates its own correlation from the sums that a warehouse would keep.
    """
    replicas, days, daily = 300, 14, 8
    rng = np.random.default_rng(4)
    entry = np.repeat(np.arange(days), daily)
    units = entry.size
    stays = np.arange(days)[None, :] >= entry[:, None]
    noise = rng.normal(size=(replicas, 2, units, days)) * stays
    since = np.maximum(np.cumsum(stays, axis=1), 1)
    y = noise.cumsum(axis=3) / since
    alpha = 0.1
    spending = Spending(SpendingShape.KIM_DEMETS, alpha, parameter=0.5)
    times = [(day + 1) / days for day in range(days)]
    calendar = boundary(spending, times).bounds
    present = (np.arange(days) + 1) * daily
    false = {"calendar": 0, "correlation": 0}
    for replica in y:
        z, ties = [], [0.0]
        for day, n in enumerate(present):
            now = replica[:, :n, day]
            z.append((now[1].mean() - now[0].mean()) / math.sqrt(now.var(axis=1, ddof=1).sum() / n))
            if day:
                old = present[day - 1]
                before = replica[:, :old, day - 1]
                arms = [
                    ConsecutiveSums(
                        *(float(n), b.sum(), b @ b),
                        *(float(old), a.sum(), a @ a),
                        *(float(old), a.sum(), b[:old].sum(), a @ b[:old]),
                    )
                    for a, b in zip(before, now, strict=True)
                ]
                ties.append(correlation(*arms))
        bounds = boundary(spending, times, ties).bounds
        false["calendar"] += any(a >= b for a, b in zip(z, calendar, strict=True))
        false["correlation"] += any(a >= b for a, b in zip(z, bounds, strict=True))
    rates = {clock: count / replicas for clock, count in false.items()}
    assert abs(rates["correlation"] - alpha) < abs(rates["calendar"] - alpha)
    assert rates["calendar"] > 0.15
    assert rates["correlation"] < alpha + 3 * math.sqrt(alpha * (1 - alpha) / replicas)
