"""Many tests at once: adjusted p-values and e-values against closed testing done by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from stats import (
    ParameterError,
    average_evidence,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    closed_evidence,
    e_bh,
    e_bh_log_q,
    evidence_of_p,
    hochberg,
    holm,
    hommel,
)

LAW = settings(max_examples=80, deadline=None, derandomize=True)
METHODS = [bonferroni, holm, hochberg, hommel, benjamini_hochberg, benjamini_yekutieli]
WEIGHTED = [bonferroni, holm, benjamini_hochberg]
methods = st.sampled_from(METHODS)
# Ties and the ends of the range come up often.
p_values = st.one_of(st.sampled_from([0.0, 0.01, 0.02, 0.5, 1.0]), st.floats(0, 1))
families = st.lists(p_values, min_size=1, max_size=7)
log_es = st.one_of(st.sampled_from([-math.inf, math.inf, 0.0, 3.0]), st.floats(-20, 20))
evidence = st.lists(log_es, min_size=1, max_size=7)

Local = Callable[[list[int]], float]


def at_most(small: np.ndarray, large: np.ndarray) -> bool:
    """Compare but for rounding, of which the smallest numbers that there are have most."""
    return bool(np.all(small <= large * (1 + 1e-12) + 1e-300))


def closed_test(m: int, local: Local) -> list[float]:
    """The largest local p-value over all sets that contain each hypothesis."""
    sets = [list(c) for size in range(1, m + 1) for c in combinations(range(m), size)]
    found = [(chosen, local(chosen)) for chosen in sets]
    return [max(p for chosen, p in found if i in chosen) for i in range(m)]


@LAW
@given(families)
def test_hommel_is_closed_testing_with_simes(p: list[float]) -> None:
    def simes(chosen: list[int]) -> float:
        ordered = sorted(p[i] for i in chosen)
        return min(len(chosen) * x / (k + 1) for k, x in enumerate(ordered))

    assert hommel(p) == pytest.approx(closed_test(len(p), simes), rel=1e-12)


@LAW
@given(families, st.data())
def test_holm_is_closed_testing_with_weighted_bonferroni(p: list[float], data) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 10), min_size=len(p), max_size=len(p)))

    def weighted(chosen: list[int]) -> float:
        whole = sum(weights[i] for i in chosen)
        return min(1.0, min(p[i] * whole / weights[i] for i in chosen))

    assert holm(p, weights) == pytest.approx(closed_test(len(p), weighted), rel=1e-9)


@LAW
@given(families, st.sampled_from([0.001, 0.05, 0.3]))
def test_benjamini_hochberg_rejects_the_k_smallest_up_to_their_line(
    p: list[float], alpha: float
) -> None:
    m, ordered = len(p), sorted(p)
    k = max((i + 1 for i in range(m) if ordered[i] <= alpha * (i + 1) / m), default=0)
    adjusted = benjamini_hochberg(p)
    if not np.any(np.isclose(adjusted, alpha)):
        assert np.sum(adjusted <= alpha) == k


@LAW
@given(families)
def test_benjamini_yekutieli_pays_the_harmonic_number(p: list[float]) -> None:
    ordered, m = sorted(p), len(p)
    price = m * sum(1 / k for k in range(1, m + 1))
    expected = [min(1, *(price * ordered[k] / (k + 1) for k in range(i, m))) for i in range(m)]
    assert np.sort(benjamini_yekutieli(p)) == pytest.approx(expected, rel=1e-12)


@LAW
@given(families, methods, st.randoms())
def test_the_order_of_the_hypotheses_does_not_matter(p: list[float], method, random) -> None:
    order = list(range(len(p)))
    random.shuffle(order)
    assert method([p[i] for i in order]) == pytest.approx(method(p)[order], rel=1e-12)


@LAW
@given(families, methods, st.data())
def test_a_smaller_p_value_never_raises_any_adjusted_one(p: list[float], method, data) -> None:
    i = data.draw(st.integers(0, len(p) - 1))
    smaller = list(p)
    smaller[i] = p[i] * data.draw(st.floats(0, 1))
    assert at_most(method(smaller), method(p))


@LAW
@given(families)
def test_stronger_methods_adjust_less_and_none_below_the_p_value(p: list[float]) -> None:
    chain = [method(p) for method in (bonferroni, holm, hochberg, hommel, benjamini_hochberg)]
    for weak, strong in pairwise(chain):
        assert at_most(strong, weak)
    assert at_most(np.array(p), chain[-1])
    assert at_most(chain[-1], benjamini_yekutieli(p))
    assert np.all(chain[0] <= 1)


@LAW
@given(families, methods)
def test_smaller_p_values_stay_smaller_and_ties_stay_ties(p: list[float], method) -> None:
    adjusted = method(p)
    for i, j in combinations(range(len(p)), 2):
        if p[i] == p[j]:
            assert adjusted[i] == adjusted[j]
        elif p[i] < p[j]:
            assert adjusted[i] <= adjusted[j]


@LAW
@given(families, st.sampled_from(WEIGHTED), st.floats(0.001, 1e6))
def test_equal_weights_of_any_scale_are_no_weights(p: list[float], method, scale: float) -> None:
    assert method(p, [scale] * len(p)) == pytest.approx(method(p), rel=1e-9)


@pytest.mark.parametrize("method", WEIGHTED)
def test_a_hypothesis_of_weight_zero_is_never_rejected_and_costs_nothing(method) -> None:
    adjusted = method([0.0, 0.01, 0.03], [0, 1, 1])
    assert adjusted[0] == 1
    if method is not benjamini_hochberg:  # Its levels go by the number of hypotheses.
        assert adjusted[1:] == pytest.approx(method([0.01, 0.03]))


def test_the_weights_of_a_plan_split_its_alpha() -> None:
    assert bonferroni([0.01, 0.01], [0.8, 0.2]).tolist() == pytest.approx([0.0125, 0.05])
    assert holm([0.01, 0.03], [0.8, 0.2]).tolist() == pytest.approx([0.0125, 0.03])


@pytest.mark.parametrize("method", METHODS)
def test_many_families_are_what_each_family_is(method) -> None:
    rng = np.random.default_rng(2)
    table = rng.random((3, 4, 6))
    adjusted = method(table)
    assert adjusted.shape == table.shape
    for at in np.ndindex(3, 4):
        assert adjusted[at].tolist() == method(table[at]).tolist()
    assert method([]).shape == (0,)
    assert method([0.3]).tolist() == [0.3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", [[0.1, math.nan], [-0.01], [1.01], [math.inf], 0.5])
def test_what_is_no_family_of_p_values_is_refused(method, p) -> None:
    with pytest.raises(ParameterError):
        method(p)


@pytest.mark.parametrize("weights", [[1.0], [1, -1], [0, 0], [1, math.nan], [1, math.inf]])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    for method in WEIGHTED:
        with pytest.raises(ParameterError):
            method([0.1, 0.2], weights)
    with pytest.raises(ParameterError):
        average_evidence([0.1, 0.2], weights)


# Evidence


def mean_of(log_e: list[float]) -> float:
    return float(np.logaddexp.reduce(log_e)) - math.log(len(log_e))


@LAW
@given(evidence)
def test_closed_evidence_is_the_least_mean_over_all_sets(log_e: list[float]) -> None:
    def local(chosen: list[int]) -> float:
        return -mean_of([log_e[i] for i in chosen])

    expected = [-x for x in closed_test(len(log_e), local)]
    assert closed_evidence(log_e).tolist() == pytest.approx(expected, abs=1e-9)


@LAW
@given(evidence, st.randoms())
def test_closing_only_lowers_evidence_whatever_the_order(log_e: list[float], random) -> None:
    closed = closed_evidence(log_e)
    assert np.all(closed <= np.array(log_e))
    order = list(range(len(log_e)))
    random.shuffle(order)
    assert closed_evidence([log_e[i] for i in order]) == pytest.approx(closed[order], abs=1e-9)
    # What survives closing is also reported by the weaker promise of e-BH.
    assert np.all(e_bh(log_e, 0.05)[closed > math.log(20) + 1e-9])


@LAW
@given(evidence, st.sampled_from([0.01, 0.05, 0.4]))
def test_e_bh_reports_the_k_largest(log_e: list[float], alpha: float) -> None:
    m, falling = len(log_e), sorted(log_e, reverse=True)
    k = max((i + 1 for i in range(m) if falling[i] >= math.log(m / alpha / (i + 1))), default=0)
    q = e_bh_log_q(log_e)
    if not np.any(np.isclose(q, math.log(alpha))):
        assert e_bh(log_e, alpha).sum() == k
    assert e_bh(log_e, alpha).tolist() == (q <= math.log(alpha)).tolist()


@LAW
@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=7))
def test_e_bh_is_benjamini_hochberg_on_one_over_e(p: list[float]) -> None:
    assert np.exp(e_bh_log_q(-np.log(p))) == pytest.approx(benjamini_hochberg(p), rel=1e-9)


def test_the_mean_of_evidence_keeps_large_numbers() -> None:
    assert average_evidence([2000.0, -math.inf]) == pytest.approx(2000 - math.log(2))
    assert average_evidence([math.inf, 0.0]) == math.inf
    assert average_evidence([-math.inf]) == -math.inf
    assert average_evidence([1.0, 5.0], [0, 3]) == pytest.approx(5.0)
    assert average_evidence([[0.0, 0.0], [1.0, 1.0]]) == pytest.approx([0.0, 1.0])


def test_tables_of_evidence_are_what_each_row_is() -> None:
    table = np.random.default_rng(4).normal(0, 5, (2, 3, 5))
    closed, reported = closed_evidence(table), e_bh(table)
    for at in np.ndindex(2, 3):
        assert closed[at].tolist() == closed_evidence(table[at]).tolist()
        assert reported[at].tolist() == e_bh(table[at]).tolist()
    assert closed_evidence([]).shape == e_bh([]).shape == (0,)


def test_ten_thousand_hypotheses_are_no_burden() -> None:
    log_e = np.random.default_rng(6).normal(0, 4, 10_000)
    assert np.all(closed_evidence(log_e) <= log_e)


def test_false_discoveries_stay_rare_under_dependence() -> None:
    rng = np.random.default_rng(8)
    v, r = 25.0, 10.0
    shares = []
    for _ in range(400):
        z = rng.normal() * 0.8 + rng.normal(size=40) * 0.6
        z[:10] += 4
        log_e = 0.5 * math.log(r / (r + v)) + z**2 * v / (2 * (v + r))
        reported = e_bh(log_e, 0.1)
        shares.append(reported[10:].sum() / max(1, reported.sum()))
    assert np.mean(shares) <= 0.1


def test_the_evidence_of_a_uniform_p_value_has_a_mean_of_one() -> None:
    def weighed(x: float) -> float:
        # p = exp(-exp(x)): the density of x.
        return math.exp(float(evidence_of_p(math.exp(-math.exp(x)))) - math.exp(x) + x)

    # Beyond the end of the range of p the tail 1 / x is all that is missing.
    inside = integrate.quad(weighed, -40, math.log(700), limit=400)[0]
    assert inside + 1 / 700 == pytest.approx(1, abs=1e-6)


@LAW
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_p_value_is_more_evidence(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert evidence_of_p(low) >= evidence_of_p(high) - 1e-12


def test_evidence_of_p_at_the_ends() -> None:
    assert evidence_of_p(0.0) == math.inf
    assert np.exp(evidence_of_p([1.0, 0.05, 0.001])) == pytest.approx(
        [0.5, 1.7833, 20.791], rel=1e-4
    )
    near = [math.exp(-0.0999999), math.exp(-0.1000001)]
    assert evidence_of_p(near[0]) == pytest.approx(float(evidence_of_p(near[1])), abs=1e-7)


def test_what_is_no_evidence_is_refused() -> None:
    for call in (
        lambda: average_evidence([]),
        lambda: average_evidence([math.nan]),
        lambda: average_evidence(1.0),
        lambda: closed_evidence([0.0, math.nan]),
        lambda: e_bh([math.nan]),
        lambda: e_bh([1.0], alpha=0.0),
        lambda: e_bh_log_q([math.nan]),
        lambda: evidence_of_p(math.nan),
        lambda: evidence_of_p(1.1),
    ):
        with pytest.raises(ParameterError):
            call()
