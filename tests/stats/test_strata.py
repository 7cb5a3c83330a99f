"""Post-stratification: strata weighed by their units, thin ones merged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stats import Moments, NotEnoughDataError, ParameterError, compare_means, post_stratify

Strata = dict[str, tuple[Moments, Moments]]


def drawn(rng: np.random.Generator, n: tuple[int, int], mean: float, effect: float = 0.0) -> tuple:
    return tuple(
        Moments.of(list(rng.normal(mean + k * effect, 1.0, size))) for k, size in enumerate(n)
    )


def test_one_stratum_is_the_plain_difference() -> None:
    pair = drawn(np.random.default_rng(1), (30, 20), 5.0)
    result, plain = post_stratify({"all": pair}), compare_means(*pair)
    assert result.difference == pytest.approx(plain.difference)
    assert result.standard_error == result.standard_error_conditional
    assert result.standard_error == pytest.approx(plain.standard_error)
    assert result.degrees_of_freedom == pytest.approx(plain.degrees_of_freedom)
    assert (result.low, result.high) == pytest.approx((plain.low, plain.high))
    assert result.weights == {"all": 1.0}


def test_strata_that_differ_no_longer_blur_the_difference() -> None:
    rng = np.random.default_rng(2)
    strata: Strata = {
        "low": drawn(rng, (50, 40), 0.0, 0.3),
        "high": drawn(rng, (40, 50), 20.0, 0.3),
    }
    result = post_stratify(strata)
    pooled = compare_means(
        strata["low"][0] + strata["high"][0], strata["low"][1] + strata["high"][1]
    )
    assert result.standard_error < 0.2 * pooled.standard_error
    assert result.difference == pytest.approx(0.3, abs=4 * result.standard_error)
    assert result.weights == pytest.approx({"low": 0.5, "high": 0.5})


def test_the_formula_is_that_of_the_design() -> None:
    rng = np.random.default_rng(3)
    strata = {str(k): drawn(rng, (20 + k, 10 * k + 5), k, 0.2 * k) for k in range(4)}
    n = np.array([c.n + t.n for c, t in strata.values()])
    w = n / n.sum()
    effects = np.array([t.mean - c.mean for c, t in strata.values()])
    errors = np.array([t.variance / t.n + c.variance / c.n for c, t in strata.values()])
    result = post_stratify(strata)
    assert result.difference == pytest.approx(w @ effects)
    conditional = w**2 @ errors
    assert result.standard_error_conditional**2 == pytest.approx(conditional)
    between = (w @ effects**2 - (w @ effects) ** 2) / n.sum()
    assert result.standard_error**2 == pytest.approx(conditional + between)


def test_the_error_counts_that_shares_are_random() -> None:
    found, errors, conditional = [], [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sizes = rng.multinomial(200, [0.3, 0.7])
        strata: Strata = {}
        for name, size, effect in (("a", sizes[0], 0.0), ("b", sizes[1], 8.0)):
            strata[name] = drawn(rng, (size // 2, size - size // 2), 0.0, effect)
        result = post_stratify(strata)
        found.append(result.difference)
        errors.append(result.standard_error)
        conditional.append(result.standard_error_conditional)
    assert np.std(found) == pytest.approx(np.mean(errors), rel=0.12)
    assert np.mean(conditional) < 0.6 * np.std(found)


def test_the_order_of_strata_and_their_empty_ones_change_nothing() -> None:
    rng = np.random.default_rng(4)
    strata: Strata = {str(k): drawn(rng, (20, 20 + k), k) for k in range(3)}
    other = {"nobody": (Moments(), Moments()), **dict(reversed(strata.items()))}
    one, two = post_stratify(strata), post_stratify(other)
    assert two.difference == pytest.approx(one.difference)
    assert two.standard_error == pytest.approx(one.standard_error)
    assert two.merged == ()


def test_arms_swapped_flip_the_sign() -> None:
    rng = np.random.default_rng(5)
    strata = {str(k): drawn(rng, (20, 30), k, 0.5) for k in range(3)}
    one = post_stratify(strata)
    other = post_stratify({name: (t, c) for name, (c, t) in strata.items()})
    assert other.difference == pytest.approx(-one.difference)
    assert other.standard_error == pytest.approx(one.standard_error)


@pytest.mark.parametrize(
    "thin",
    [
        (Moments.of([5.0]), Moments.of([1.0, 2.0])),
        (Moments.of([1.0, 2.0]), Moments()),
        (Moments.of([5.0, 5.0]), Moments.of([1.0, 2.0])),
        (Moments.of([0.7] * 3), Moments.of([1.0, 2.0])),
    ],
)
def test_a_thin_stratum_is_counted_into_the_largest(thin: tuple[Moments, Moments]) -> None:
    rng = np.random.default_rng(6)
    small, large = drawn(rng, (10, 10), 0.0), drawn(rng, (30, 30), 3.0)
    result = post_stratify({"thin": thin, "small": small, "large": large})
    assert (result.merged, result.merged_into) == (("thin",), "large")
    by_hand = post_stratify({"small": small, "large": (large[0] + thin[0], large[1] + thin[1])})
    assert result.difference == by_hand.difference
    assert result.standard_error == by_hand.standard_error
    assert sum(result.weights.values()) == pytest.approx(1)
    assert by_hand.merged_into is None


def test_a_largest_stratum_that_does_not_vary_takes_in_others_until_it_does() -> None:
    rng = np.random.default_rng(7)
    constant = Moments.of([1.0] * 50), Moments.of([1.0] * 50)
    strata = {"constant": constant, "b": drawn(rng, (20, 20), 0.0), "c": drawn(rng, (9, 9), 0.0)}
    result = post_stratify(strata)
    assert (result.merged, result.merged_into) == (("b",), "constant")
    assert set(result.weights) == {"constant", "c"}


@pytest.mark.parametrize(
    "strata",
    [
        {},
        {"nobody": (Moments(), Moments())},
        {"one": (Moments.of([1.0]), Moments.of([1.0, 2.0]))},
        {"constant": (Moments.of([1.0, 1.0]), Moments.of([1.0, 2.0]))},
        {"no treatment": (Moments.of([1.0, 3.0]), Moments())},
    ],
)
def test_strata_that_even_together_are_too_thin_are_refused(strata: Strata) -> None:
    with pytest.raises(NotEnoughDataError):
        post_stratify(strata)


def test_a_lift_needs_a_mean_of_control() -> None:
    pair = Moments.of([-1.0, 1.0]), Moments.of([2.0, 3.0])
    result = post_stratify({"all": pair})
    assert result.relative is None
    assert result.relative_standard_error is None


def test_a_lift_is_a_share_of_the_absolute_value_of_controls_mean() -> None:
    losses = Moments.of([-9.0, -11.0]), Moments.of([-8.0, -9.0])
    result = post_stratify({"all": losses})
    assert result.relative is not None
    assert result.relative.lift == pytest.approx(0.15)
    assert result.relative.low is not None
    assert math.isfinite(result.relative.low)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_a_confidence_level_lies_between_zero_and_one(level: float) -> None:
    pair = drawn(np.random.default_rng(8), (5, 5), 0.0)
    with pytest.raises(ParameterError):
        post_stratify({"all": pair}, confidence_level=level)
