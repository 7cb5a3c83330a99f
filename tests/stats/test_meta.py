"""Random effects: published values, laws, and what has no spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import ParameterError, RandomEffects, TauMethod, random_effects

laws = settings(max_examples=30, derandomize=True, deadline=None)
rows = st.lists(
    st.tuples(st.floats(-1, 1).map(lambda x: round(x, 6)), st.floats(1e-4, 1)),
    min_size=2,
    max_size=12,
)

# Trials of BCG against tuberculosis (Colditz et al., JAMA 271, 698 (1994); metafor's dat.bcg):
# cases and others, vaccinated; cases and others, control.
BCG = [
    (4, 119, 11, 128),
    (6, 300, 29, 274),
    (3, 228, 11, 209),
    (62, 13536, 248, 12619),
    (33, 5036, 47, 5761),
    (180, 1361, 372, 1079),
    (8, 2537, 10, 619),
    (505, 87886, 499, 87892),
    (29, 7470, 45, 7232),
    (17, 1699, 65, 1600),
    (186, 50448, 141, 27197),
    (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
]


def test_the_vaccine_trials_give_the_published_numbers() -> None:
    effects = [math.log(a / (a + b)) - math.log(c / (c + d)) for a, b, c, d in BCG]
    variances = [1 / a - 1 / (a + b) + 1 / c - 1 / (c + d) for a, b, c, d in BCG]
    reml = random_effects(effects, variances)
    assert (round(reml.mean, 4), round(reml.se, 4)) == (-0.7145, 0.1798)
    assert (round(reml.tau2, 4), round(reml.q, 2)) == (0.3132, 152.23)
    dl = random_effects(effects, variances, method=TauMethod.DERSIMONIAN_LAIRD)
    assert (round(dl.mean, 4), round(dl.se, 4), round(dl.tau2, 4)) == (-0.7141, 0.1787, 0.3088)


@laws
@given(rows, st.sampled_from(TauMethod))
def test_shrunk_effects_lie_between_the_effect_and_the_mean(
    experiments: list[tuple[float, float]], method: TauMethod
) -> None:
    effects, variances = zip(*experiments, strict=True)
    past = random_effects(effects, variances, method=method)
    assert past.tau2 >= 0
    assert 0 <= past.q_p_value <= 1
    for effect, shrunk, sd, shared in zip(
        effects, past.shrunk, past.shrunk_sd, past.shared_sd, strict=True
    ):
        low, high = sorted((effect, past.mean))
        assert low - 1e-9 <= shrunk <= high + 1e-9
        assert 0 <= shared <= sd


@laws
@given(rows, st.floats(-5, 5), st.floats(0.1, 10))
def test_another_unit_gives_the_same_answer_in_that_unit(
    experiments: list[tuple[float, float]], shift: float, scale: float
) -> None:
    effects, variances = zip(*experiments, strict=True)
    for method in (TauMethod.DERSIMONIAN_LAIRD, TauMethod.PAULE_MANDEL):
        here = random_effects(effects, variances, method=method)
        there = random_effects(
            [shift + scale * effect for effect in effects],
            [scale**2 * variance for variance in variances],
            method=method,
        )
        assert there.tau2 == pytest.approx(scale**2 * here.tau2, rel=1e-6, abs=1e-9)
        assert there.mean == pytest.approx(shift + scale * here.mean, rel=1e-6, abs=1e-6)


@laws
@given(rows)
def test_no_other_variance_is_more_likely_than_that_of_reml(
    experiments: list[tuple[float, float]],
) -> None:
    y, v = np.array(experiments).T

    def likelihood(tau2: float) -> float:
        x = np.ones((y.size, 1))
        w = np.diag(1 / (v + tau2))
        information = x.T @ w @ x
        residual = y - (x @ np.linalg.solve(information, x.T @ w @ y))
        determinants = np.linalg.slogdet(w)[1] - np.linalg.slogdet(information)[1]
        return float(determinants - residual @ w @ residual) / 2

    best = likelihood(random_effects(y, v).tau2)
    assert all(likelihood(tau2) <= best + 1e-9 for tau2 in [0.0, *np.geomspace(1e-6, 10, 60)])


def test_paule_and_mandels_variance_makes_the_spread_what_chance_would() -> None:
    y, v = [0.0, 0.5, 1.0, -0.4], [0.01, 0.02, 0.03, 0.01]
    past = random_effects(y, v, method=TauMethod.PAULE_MANDEL)
    again = random_effects(y, [x + past.tau2 for x in v], method=TauMethod.FIXED)
    assert again.q == pytest.approx(3)


@pytest.mark.parametrize("method", TauMethod)
def test_equal_effects_have_no_variance_between_them(method: TauMethod) -> None:
    past = random_effects([0.02] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], method=method)
    assert past.tau2 == 0
    assert past.shrunk == pytest.approx([0.02] * 5)
    assert past.shrunk_sd == pytest.approx([past.se] * 5)


def test_a_spread_smaller_than_chance_is_no_negative_variance() -> None:
    assert random_effects([0.01, 0.02], [1.0, 1.0], method=TauMethod.DERSIMONIAN_LAIRD).tau2 == 0


def test_a_huge_spread_is_found_by_every_method() -> None:
    y, v = [-1e6, 0.0, 1e6], [1e-6, 1e-6, 1e-6]
    found: list[RandomEffects] = [
        random_effects(y, v, method=method) for method in TauMethod if method != TauMethod.FIXED
    ]
    assert [past.tau2 for past in found] == pytest.approx([1e12] * 3, rel=1e-6)


@pytest.mark.parametrize(
    ("effects", "variances"),
    [
        ([], []),
        ([0.1], [0.1]),
        ([0.1, 0.2], [0.1]),
        ([0.1, math.nan], [0.1, 0.1]),
        ([0.1, math.inf], [0.1, 0.1]),
        ([0.1, 0.2], [0.1, 0.0]),
        ([0.1, 0.2], [0.1, -0.1]),
        ([0.1, 0.2], [0.1, math.inf]),
    ],
)
def test_a_past_that_says_nothing_is_refused(effects: list[float], variances: list[float]) -> None:
    with pytest.raises(ParameterError):
        random_effects(effects, variances)
