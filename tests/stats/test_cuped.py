"""Taking a pre-period covariate out of a mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import CovariateMoments, Moments, NotEnoughDataError, Theta, adjust, compare_means

rows = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=15)


def summed(pairs: list[tuple[float, float]]) -> CovariateMoments:
    return CovariateMoments.of_pairs([y for y, _ in pairs], [x for _, x in pairs])


@given(rows, rows)
def test_the_adjusted_sums_are_those_of_the_adjusted_values(control: list, treatment: list) -> None:
    adjusted = adjust(summed(control), summed(treatment))
    centre = np.mean([x for _, x in control + treatment])
    for pairs, got in ((control, adjusted.control), (treatment, adjusted.treatment)):
        values = np.array([y - adjusted.theta * (x - centre) for y, x in pairs])
        scale = max(1.0, float(np.abs(values).max()), 50 * (1 + abs(adjusted.theta)))
        for power, total in ((1, got.s1), (2, got.s2), (3, got.s3)):
            assert total == pytest.approx((values**power).sum(), rel=1e-7, abs=1e-7 * scale**power)


def test_the_grand_mean_of_the_outcome_stays() -> None:
    control, treatment = summed([(1, 2), (3, 5), (4, 4)]), summed([(2, 1), (8, 6)])
    adjusted = adjust(control, treatment)
    assert adjusted.control.s1 + adjusted.treatment.s1 == pytest.approx(control.s1 + treatment.s1)


def test_a_treatment_effect_does_not_leak_into_the_default_theta() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    y = 2 * x + rng.normal(size=400)

    def theta(effect: float, which: Theta) -> float:
        control = CovariateMoments.of_pairs(list(y[:200]), list(x[:200]))
        treatment = CovariateMoments.of_pairs(list(y[200:] + effect), list(x[200:]))
        return adjust(control, treatment, theta=which).theta

    assert theta(0, Theta.WITHIN) == pytest.approx(theta(50, Theta.WITHIN), rel=1e-9)
    assert theta(0, Theta.TOTAL) != pytest.approx(theta(50, Theta.TOTAL), rel=1e-3)


def test_a_good_covariate_narrows_the_interval() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=400)
    y = 2 * x + rng.normal(size=400)
    arms = [
        CovariateMoments.of_pairs(list(y[half]), list(x[half]))
        for half in (slice(200), slice(200, 400))
    ]
    adjusted = adjust(*arms)
    plain = compare_means(*(Moments(a.n, a.s1, a.s2, a.s3) for a in arms))
    better = compare_means(adjusted.control, adjusted.treatment)
    assert better.standard_error < 0.6 * plain.standard_error


def test_a_constant_covariate_adjusts_nothing() -> None:
    control, treatment = summed([(1, 7), (3, 7)]), summed([(2, 7), (5, 7)])
    adjusted = adjust(control, treatment)
    assert adjusted.theta == 0
    assert adjusted.control.mean == control.mean


def test_one_unit_is_not_enough() -> None:
    with pytest.raises(NotEnoughDataError):
        adjust(summed([(1, 1)]), summed([(1, 1), (2, 3)]))


def test_both_definitions_agree_with_other_programs(shared_dir: Path) -> None:
    for case in json.loads((shared_dir / "golden" / "cuped.json").read_text())["cases"]:
        arms = [
            CovariateMoments(
                a["n"], a["sum_y"], a["sumsq_y"], 0, a["sum_x"], a["sumsq_x"], 0, a["sum_xy"]
            )
            for a in (case["inputs"]["control"], case["inputs"]["treatment"])
        ]
        total, within = adjust(*arms, theta=Theta.TOTAL), adjust(*arms)
        result = compare_means(
            total.control, total.treatment, confidence_level=1 - case["inputs"]["alpha"]
        )
        expected = case["expected"]
        assert total.theta == pytest.approx(expected["theta"], rel=1e-7)
        assert within.theta == pytest.approx(expected["theta_within"], rel=1e-7)
        assert result.difference == pytest.approx(expected["diff"], rel=1e-7, abs=1e-9)
        assert result.standard_error == pytest.approx(expected["se"], rel=1e-7)
        assert result.high == pytest.approx(expected["hi"], rel=1e-7)
        assert result.p_value == pytest.approx(expected["p"], rel=1e-7)
