"""Several treatments, one control: tables, known examples and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as sps

from stats import (
    Moments,
    NotEnoughDataError,
    ParameterError,
    dunnett,
    dunnett_critical,
    dunnett_p_values,
)

LAW = settings(max_examples=12, deadline=None, derandomize=True)
sizes = st.lists(st.integers(2, 500), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("k", "df", "critical"),
    [(1, 10, 2.23), (2, 10, 2.57), (3, 20, 2.54), (4, 60, 2.51), (2, 5, 3.03), (9, 20, 2.95)],
)
def test_dunnetts_table_of_1964_is_reproduced(k: int, df: int, critical: float) -> None:
    assert dunnett_critical(df, 1, [1] * k) == pytest.approx(critical, abs=0.0051)


def test_dunnetts_own_example_is_reproduced() -> None:
    """Blood counts of three groups (1955); SciPy's documentation has 0.620 and 0.006."""
    control = [7.40, 8.50, 7.20, 8.24, 9.84, 8.32]
    drugs = [[9.76, 8.80, 7.68, 9.36], [12.80, 9.68, 12.16, 9.20, 10.55]]
    result = dunnett(Moments.of(control), [Moments.of(drug) for drug in drugs])
    assert [c.p_value for c in result.comparisons] == pytest.approx([0.620, 0.0058], abs=2e-4)
    assert result.degrees_of_freedom == 12


@pytest.mark.parametrize("df", [1.0, 3.0, 30.0, 1e5, math.inf])
@pytest.mark.parametrize("t", [0.01, 1.0, 5.0, 20.0])
def test_one_treatment_alone_is_the_t_test(df: float, t: float) -> None:
    expected = 2 * float(sps.t.sf(t, df))
    assert dunnett_p_values(t, df, 7, [11]) == pytest.approx(expected, rel=1e-8, abs=0)


@pytest.mark.parametrize("q", [0.5, 2.0, 3.5])
def test_unequal_sizes_are_the_bivariate_normal(q: float) -> None:
    n = [10.0, 40.0]
    loadings = [math.sqrt(x / (25 + x)) for x in n]
    covariance = [[1, math.prod(loadings)], [math.prod(loadings), 1]]
    inside = sps.multivariate_normal.cdf([q, q], cov=covariance, lower_limit=[-q, -q])
    assert dunnett_p_values(q, math.inf, 25, n) == pytest.approx(1 - inside, rel=1e-6)


@LAW
@given(st.floats(0.1, 8), st.integers(1, 400), st.integers(2, 500), sizes)
def test_adjusting_lies_between_nothing_and_bonferroni(
    t: float, df: int, control_n: int, n: list[int]
) -> None:
    raw = 2 * float(special.stdtr(df, -t))
    adjusted = float(dunnett_p_values(t, df, control_n, n))
    assert raw * (1 - 1e-9) <= adjusted <= min(1.0, len(n) * raw) * (1 + 1e-9)
    assert adjusted <= dunnett_p_values(t, df, control_n, [*n, 20]) * (1 + 1e-9)


@LAW
@given(st.integers(2, 200), st.integers(2, 100), sizes, st.sampled_from([0.8, 0.95, 0.999]))
def test_the_critical_value_has_the_p_value_that_was_asked_for(
    df: int, control_n: int, n: list[int], level: float
) -> None:
    critical = dunnett_critical(df, control_n, n, confidence_level=level)
    p = float(dunnett_p_values(critical, df, control_n, n))
    assert p == pytest.approx(1 - level, rel=1e-8)


@settings(LAW, max_examples=5)
@given(st.integers(0, 10**6))
def test_the_order_sign_and_unit_of_treatments_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = [Moments.of(list(rng.normal(size=rng.integers(3, 30)) + 5)) for _ in range(4)]
    one = dunnett(arms[0], arms[1:])
    two = dunnett(arms[0].scaled(-1000), [arm.scaled(-1000) for arm in arms[:0:-1]])
    for a, b in zip(one.comparisons, reversed(two.comparisons), strict=True):
        assert b.p_value == pytest.approx(a.p_value, rel=1e-6)
        assert b.low == pytest.approx(-1000 * a.high, rel=1e-6)
        # The interval and the p-value tell one story.
        assert (a.low > 0 or a.high < 0) == (a.p_value < 0.05)


def test_the_end_of_the_range_is_exact() -> None:
    assert dunnett_p_values([0.0, math.inf, -math.inf], 10, 5, [5, 5]).tolist() == [1, 0, 0]
    far = float(dunnett_p_values(12.0, math.inf, 5, [5, 5]))
    assert far == pytest.approx(4 * float(sps.norm.sf(12)), rel=1e-6, abs=0)


def test_arms_without_data_are_refused() -> None:
    arm, same = Moments.of([1.0, 2.0, 4.0]), Moments.of([3.0, 3.0])
    for control, treatments in (
        (arm, []),
        (arm, [Moments()]),
        (Moments(), [arm]),
        (same, [same]),
        (Moments.of([1.0]), [Moments.of([2.0])]),
    ):
        with pytest.raises(NotEnoughDataError):
            dunnett(control, treatments)
    assert dunnett(arm, [Moments.of([9.0])]).degrees_of_freedom == 2


def test_parameters_out_of_range_are_refused() -> None:
    for call in (
        lambda: dunnett_p_values(math.nan, 5, 5, [5]),
        lambda: dunnett_p_values(1.0, 0, 5, [5]),
        lambda: dunnett_p_values(1.0, math.nan, 5, [5]),
        lambda: dunnett_p_values(1.0, 5, 0, [5]),
        lambda: dunnett_p_values(1.0, 5, 5, []),
        lambda: dunnett_p_values(1.0, 5, 5, [5, math.inf]),
        lambda: dunnett_critical(5, 5, [5], confidence_level=1.0),
        lambda: dunnett_critical(5, 5, []),
    ):
        with pytest.raises(ParameterError):
            call()
