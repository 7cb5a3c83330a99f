"""Did the split come out as designed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from stats import (
    ParameterError,
    event_log_e,
    exposure_ratio,
    sample_ratio,
    sample_ratio_arrays,
    sample_ratio_cells,
)

LAW = settings(max_examples=60, deadline=None, derandomize=True)
splits = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 50)), min_size=1, max_size=5)


def test_the_published_example_is_reproduced() -> None:
    """Kohavi, Tang and Xu, Trustworthy Online Controlled Experiments (2020), chapter 21."""
    result = sample_ratio([821_588, 815_482], [0.5, 0.5])
    assert result.chi2 == pytest.approx(22.774, abs=5e-4)
    assert result.p_value == pytest.approx(1.822e-6, rel=5e-4)


@LAW
@given(splits.filter(lambda arms: any(w for _, w in arms)), st.data())
def test_many_splits_are_what_each_split_is(arms: list, data) -> None:
    counts, weights = ([float(x) for x in column] for column in zip(*arms, strict=True))
    other = [data.draw(st.integers(0, 1000)) for _ in arms]
    log_e, chi2, p_value = sample_ratio_arrays([counts, other], weights)
    for row, n in enumerate((counts, other)):
        one = sample_ratio(n, weights)
        assert (log_e[row], chi2[row], p_value[row]) == (one.log_e, one.chi2, one.p_value)
        assert 0 <= one.p_value <= 1
        assert one.log_e > -math.inf


@pytest.mark.parametrize("concentration", [3.0, 1000.0])
def test_the_mean_of_the_evidence_is_one_while_the_design_holds(concentration: float) -> None:
    shares = [0.2, 0.3, 0.5]
    table = np.array([(i, j, 12 - i - j) for i in range(13) for j in range(13 - i)])
    log_e, _, _ = sample_ratio_arrays(table, shares, concentration=concentration)
    chances = sps.multinomial.pmf(table, 12, shares)
    assert np.sum(np.exp(log_e) * chances) == pytest.approx(1, rel=1e-10)


def test_two_arms_are_the_two_sided_event_test() -> None:
    log_e = event_log_e(480.0, 560.0, 0.5, direction="both", concentration=1000)
    assert sample_ratio([480, 560], [1, 1]).log_e == pytest.approx(float(log_e))


def test_the_p_value_is_pearsons() -> None:
    expected = sps.chisquare([310, 290, 400], [300, 300, 400])
    result = sample_ratio([310, 290, 0, 400], [3, 3, 0, 4])
    assert (result.chi2, result.p_value) == pytest.approx(tuple(expected))


def test_an_arm_of_weight_zero_adds_no_degree_of_freedom() -> None:
    two, three = sample_ratio([510, 490], [1, 1]), sample_ratio([510, 490, 0], [1, 1, 0])
    assert two == three


def test_units_in_an_arm_of_weight_zero_are_certain_evidence() -> None:
    result = sample_ratio([500, 500, 1], [1, 1, 0])
    assert (result.log_e, result.p_value) == (math.inf, 0.0)


def test_weights_may_have_any_scale() -> None:
    assert sample_ratio([30, 70], [3, 7]).log_e == pytest.approx(
        sample_ratio([30, 70], [0.3, 0.7]).log_e
    )


def test_no_units_and_a_single_arm_are_neutral() -> None:
    assert sample_ratio([0, 0], [1, 1]).log_e == 0
    assert sample_ratio([10], [1]).p_value == 1


def test_evidence_of_a_hundred_million_units_does_not_overflow() -> None:
    result = sample_ratio([60_000_000, 40_000_000], [0.5, 0.5])
    assert 1e6 < result.log_e < math.inf
    assert result.anytime_p == 0


def test_looking_every_day_does_not_make_false_alarms() -> None:
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(400):
        counts = rng.binomial(2000, 0.5, size=28).cumsum()
        alarms += any(
            sample_ratio([n, 2000 * (day + 1) - n], [1, 1]).log_e > math.log(20)
            for day, n in enumerate(counts)
        )
    assert alarms / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_split_of_52_to_48_is_found_by_15_000_units() -> None:
    assert sample_ratio([7800, 7200], [1, 1]).log_e > math.log(1000)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [([1], [1, 1]), ([-1, 2], [1, 1]), ([1, 2], [0, 0]), ([math.nan, 1], [1, 1])],
)
def test_impossible_splits_are_refused(counts: list, weights: list) -> None:
    with pytest.raises(ParameterError):
        sample_ratio(counts, weights)


def test_a_prior_without_strength_is_refused() -> None:
    with pytest.raises(ParameterError):
        sample_ratio([1, 2], [1, 1], concentration=0)


def test_looking_112_times_alarms_falsely_in_fewer_than_one_of_500() -> None:
    rng = np.random.default_rng(21)
    looks = 1000.0 * np.arange(1, 113)
    found = {}
    for share in (0.5, 0.52):
        treatment = rng.binomial(1000, share, size=(3000, 112)).cumsum(axis=1)
        counts = np.stack([looks - treatment, treatment], axis=-1)
        log_e, _, _ = sample_ratio_arrays(counts, [1, 1])
        crossed = log_e >= math.log(1000)
        found[share] = np.where(crossed.any(axis=1), looks[crossed.argmax(axis=1)], math.inf)
    assert np.mean(found[0.5] < math.inf) <= 0.002
    assert np.median(found[0.52]) <= 15_000


def test_a_broken_cell_is_reported_and_only_a_large_one_blocks() -> None:
    cells = sample_ratio_cells(
        {"web": [50_000, 50_100], "old app": [6000, 5000], "kiosk": [300, 20], "new": [0, 0]},
        [1, 1],
    )
    assert [cell.key for cell in cells] == ["web", "old app", "kiosk", "new"]
    assert [cell.reported for cell in cells] == [False, True, True, False]
    assert [cell.blocks for cell in cells] == [False, True, False, False]
    assert cells[1].ratio == sample_ratio([6000, 5000], [1, 1])
    assert cells[2].units == 320


def test_many_sound_cells_raise_the_bar_for_each() -> None:
    suspicious = {"x": [2125, 1875]}
    many = suspicious | {f"day {i}": [2000, 2000] for i in range(50)}
    assert sample_ratio_cells(suspicious, [1, 1])[0].reported
    assert not any(cell.reported for cell in sample_ratio_cells(many, [1, 1]))
    assert sample_ratio_cells({}, [1, 1]) == ()


def test_a_mismatch_is_traced_to_the_step_that_made_it() -> None:
    sound = exposure_ratio([10_000, 10_050], [5000, 5030], [1, 1])
    assert sound.broken() is None
    assert sound.rates_p_value > 0.5
    assert exposure_ratio([10_000, 12_000], [5000, 6000], [1, 1]).broken() == "assignment"
    late = exposure_ratio([10_000, 10_050], [5000, 6000], [1, 1])
    assert late.broken() == "exposure"
    assert late.rates_p_value < 1e-9
    assert late.assignment == sample_ratio([10_000, 10_050], [1, 1])
    assert late.exposure == sample_ratio([5000, 6000], [1, 1])


def test_rates_of_exposure_are_compared_by_pearsons_test() -> None:
    result = exposure_ratio([400, 600, 0], [200, 350, 0], [4, 6, 0])
    table = [[200, 350], [200, 250]]
    expected = sps.chi2_contingency(table, correction=False).pvalue
    assert result.rates_p_value == pytest.approx(expected)


def test_exposing_nobody_or_everybody_says_nothing_about_rates() -> None:
    for exposed in ([0, 0], [30, 20]):
        assert exposure_ratio([30, 20], exposed, [1, 1]).rates_p_value == 1


@pytest.mark.parametrize(
    ("counts", "weights"), [([1, 2], [1]), ([], [1, 1]), (3, [1]), ([math.inf, 1], [1, 1])]
)
def test_impossible_tables_are_refused(counts: list, weights: list) -> None:
    with pytest.raises(ParameterError):
        sample_ratio_arrays(counts, weights)


def test_cells_and_exposures_out_of_range_are_refused() -> None:
    for call in (
        lambda: sample_ratio_cells({"a": [1, 2]}, [1, 1], alpha=0.0),
        lambda: sample_ratio_cells({"a": [1, -2]}, [1, 1]),
        lambda: exposure_ratio([1, 2], [2, 2], [1, 1]),
        lambda: exposure_ratio([1, 2], [1], [1, 1]),
        lambda: exposure_ratio([1, 2], [1, 1], [1, 1]).broken(alpha=1.0),
    ):
        with pytest.raises(ParameterError):
            call()
