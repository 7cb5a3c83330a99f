"""Take out of a ratio what the same ratio before the experiment already knew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stats.effects.cuped import Theta, delta_over_plain_mean
from stats.effects.lift import Lift
from stats.effects.means import MeanComparison, checked_level, compare_means
from stats.effects.ratio import CLEAR_OF_ZERO
from stats.errors import NotEnoughDataError
from stats.sums.moments import Array, Moments
from stats.sums.ratio import RatioCovariateMoments


@dataclass(frozen=True)
class AdjustedRatio:
    """Both arms' ratios less what the pre-period ratios explain.

    ``comparison`` estimates their difference at one planned look; ``control`` and ``treatment`` are
    sums under the null hypothesis of one common ratio, for `score_difference` at any look. Their
    means are the adjusted ratios; their third moments are not known and taken as zero.
    """

    comparison: MeanComparison
    control: Moments
    treatment: Moments
    theta: float
    variance_reduction: float


def adjust_ratio(
    control: RatioCovariateMoments,
    treatment: RatioCovariateMoments,
    *,
    theta: Theta = Theta.WITHIN,
    confidence_level: float = 0.95,
) -> AdjustedRatio:
    """Reduce the variance of a ratio with its pre-period value (CUPED [1]_, delta method [2]_).

    Parameters
    ----------
    control, treatment : RatioCovariateMoments
        Sums over units of numerator and denominator, before exposure and after.
    theta : Theta, default Theta.WITHIN
        From which covariance of the two linearised ratios the coefficient is taken.
    confidence_level : float, default 0.95
        Coverage of the comparison's interval.

    Returns
    -------
    AdjustedRatio
        In units of the numerator per unit of the denominator; ``theta`` without a unit.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units or a denominator that is not clear of zero, or neither
        adjusted ratio varies.
    ParameterError
        If ``confidence_level`` is out of range.

    Notes
    -----
    The gradient of ``m/d - theta m0/d0`` is ``(1/d, -m/d**2, -theta/d0, theta m0/d0**2)``, on the
    4 x 4 covariance matrix of the means (STATISTICS.md 1.1). A pre-period ratio that does not vary
    gives ``theta = 0``. One may peek with ``control`` and ``treatment`` as one may with
    `score_difference`, not with ``comparison``.

    References
    ----------
    .. [1] A. Deng, Y. Xu, R. Kohavi, T. Walker, WSDM 2013, 123-132. :doi:`10.1145/2433396.2433413`
    .. [2] A. Deng, U. Knoblich, J. Lu, KDD 2018, 233-242. :doi:`10.1145/3219819.3219919`
    """
    arms = (control, treatment)
    _require_denominators(*arms)
    both = control + treatment
    coefficient = _theta(arms, both, theta)
    pre_ratio = both.pre_ratio
    means = [a.ratio - coefficient * (a.pre_ratio - pre_ratio) for a in arms]
    own = [
        _adjusted(a, mean, coefficient, (a.ratio, a.pre_ratio))
        for a, mean in zip(arms, means, strict=True)
    ]
    null = [
        # About one shift, so that the rows of both arms can be compared as they are.
        _adjusted(a, mean, coefficient, (both.ratio, pre_ratio)).about(both.ratio)
        for a, mean in zip(arms, means, strict=True)
    ]
    plain = sum(_variance(a, _gradient(a, a.ratio, (0, 1))) / a.n for a in arms)
    after = sum(arm.variance / arm.n for arm in own)
    return AdjustedRatio(
        compare_means(own[0], own[1], confidence_level=confidence_level),
        null[0],
        null[1],
        coefficient,
        1 - after / plain if plain > 0 else 0.0,
    )


def adjusted_ratio_delta_interval(
    control: RatioCovariateMoments,
    treatment: RatioCovariateMoments,
    *,
    theta: Theta = Theta.WITHIN,
    confidence_level: float = 0.95,
) -> tuple[Lift, float]:
    """Bound the adjusted difference over control's plain ratio, as many tools show it.

    Returns, raises and warns as `adjusted_delta_interval` does: never decide with it.
    """
    adjusted = adjust_ratio(control, treatment, theta=theta)
    compared = adjusted.comparison
    plain = _gradient(control, control.ratio, (0, 1))
    pre = _gradient(control, control.pre_ratio, (2, 3))
    coupling = float((plain - adjusted.theta * pre) @ control.covariances @ plain)
    return delta_over_plain_mean(
        compared.difference,
        compared.standard_error**2,
        (control.ratio, _variance(control, plain) / control.n, coupling / control.n),
        (compared.degrees_of_freedom, checked_level(confidence_level)),
        (control.n, treatment.n),
    )


def _theta(
    arms: tuple[RatioCovariateMoments, RatioCovariateMoments],
    both: RatioCovariateMoments,
    which: Theta,
) -> float:
    covariance = variation = square = 0.0
    for arm in (both,) if which is Theta.TOTAL else arms:
        weight = 1.0 if which is Theta.ARMS else arm.n - 1
        post, pre = _gradient(arm, arm.ratio, (0, 1)), _gradient(arm, arm.pre_ratio, (2, 3))
        matrix = arm.covariances
        covariance += weight * float(post @ matrix @ pre)
        variation += weight * float(pre @ matrix @ pre)
        square += weight * float(pre**2 @ (np.diag(matrix) + arm.means**2))
    # Below this the variation of the pre-period ratio is rounding.
    return covariance / variation if variation > 1e-12 * square else 0.0


def _gradient(arm: RatioCovariateMoments, ratio: float, columns: tuple[int, int]) -> Array:
    """Differentiate a ratio by the four means; ``ratio`` is where the expansion is made."""
    gradient = np.zeros(4)
    denominator = arm.means[columns[1]]
    gradient[list(columns)] = 1 / denominator, -ratio / denominator
    return gradient


def _variance(arm: RatioCovariateMoments, gradient: Array) -> float:
    return max(0.0, float(gradient @ arm.covariances @ gradient))


def _adjusted(
    arm: RatioCovariateMoments, mean: float, theta: float, ratios: tuple[float, float]
) -> Moments:
    gradient = _gradient(arm, ratios[0], (0, 1)) - theta * _gradient(arm, ratios[1], (2, 3))
    return Moments.from_central(arm.n, mean, (arm.n - 1) * _variance(arm, gradient))


def _require_denominators(control: RatioCovariateMoments, treatment: RatioCovariateMoments) -> None:
    n = control.n, treatment.n
    if min(n) < 2:
        raise NotEnoughDataError("adjust_ratio", *n, "each needs two units")
    for arm in (control, treatment):
        errors = np.maximum(0.0, np.diag(arm.covariances)) / arm.n
        for column in (1, 3):
            if not arm.means[column] ** 2 > CLEAR_OF_ZERO**2 * errors[column]:
                raise NotEnoughDataError(
                    "adjust_ratio", *n, "a mean denominator is not clear of zero"
                )
