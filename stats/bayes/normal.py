"""What a normal prior and one estimate say together: a view for people, never a decision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.effects.means import checked_level
from stats.effects.proportions import normal_quantile
from stats.errors import NotEnoughDataError, ParameterError
from stats.sums.moments import Moments

Array = NDArray[np.float64]

_ROOT_TWO = math.sqrt(2)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)
_ROOT_HALF_PI = math.sqrt(math.pi / 2)


@dataclass(frozen=True)
class NormalPrior:
    """What effects look like before the data: normal, in the unit of the estimate.

    Parameters
    ----------
    mean : float
        Most likely effect.
    sd : float
        Standard deviation of true effects; above 0. ``inf`` says nothing at all (a flat prior).

    Raises
    ------
    ParameterError
        If a number is NaN, the mean infinite, or ``sd`` not positive.
    """

    mean: float = 0.0
    sd: float = math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and self.sd > 0):
            raise ParameterError(f"no effects are normal with mean {self.mean} and sd {self.sd}")

    @classmethod
    def of_mixture(cls, precision: float) -> NormalPrior:
        """Take the prior that a normal-mixture e-process of this ``precision`` r believes in.

        With the information ``V = 1 / se**2`` the posterior mean is the estimate times
        ``V / (V + r)`` (STATISTICS.md 1.9): evidence and view then rest on the same belief.
        """
        if not 0 < precision < math.inf:
            raise ParameterError(f"precision is {precision}: it must be a positive number")
        return cls(0.0, 1 / math.sqrt(precision))


#: Says nothing: the posterior is the estimate with its standard error.
FLAT_PRIOR = NormalPrior()


@dataclass(frozen=True)
class NormalPosterior:
    """Belief about one effect, treatment minus control, after the data.

    Parameters
    ----------
    mean, sd : float
        Of the effect, in the estimate's unit: the shrunk estimate and what is left unknown.
    chance_to_win : float
        Probability that the treatment is better. **Not an error rate**: "stop when it is above
        95 %", looked at daily for 28 days, ships or kills 46 % of changes that do nothing (45 %
        with the prior N(0, .3**2), 26 % with N(0, .05**2); STATISTICS.md 1.9). Decide with
        `decide`.
    risk_of_control, risk_of_treatment : float
        Expected loss of choosing that side, in the estimate's unit: what is given away on average
        over the cases in which the choice is wrong, counted as 0 where it is right.
    low, high : float
        Credible interval with equal tails.
    """

    mean: float
    sd: float
    chance_to_win: float
    risk_of_control: float
    risk_of_treatment: float
    low: float
    high: float


def normal_posterior(
    estimate: float,
    se: float,
    prior: NormalPrior = FLAT_PRIOR,
    *,
    sign: int = 1,
    confidence_level: float = 0.95,
) -> NormalPosterior:
    """Update a normal prior by one estimate (STATISTICS.md 1.9; [1]_, section 2.5).

    Parameters
    ----------
    estimate, se : float
        Effect, treatment minus control, and its standard error, in one unit (lift or difference).
    prior : NormalPrior, default flat
        Belief about effects of this metric, in the same unit; see `prior_from_history`.
    sign : {1, -1}, default 1
        1 when up is good, -1 when down is good.
    confidence_level : float, default 0.95
        Probability inside the credible interval, strictly between 0 and 1.

    Returns
    -------
    NormalPosterior
        Chances and risks count good as ``sign`` says; mean and interval keep the estimate's sign.

    Raises
    ------
    ParameterError
        If the estimate is not finite, ``se`` not positive and finite, or an option out of range.

    Notes
    -----
    One may peek at the mean and the interval as beliefs, if the prior is right; one may not
    decide by ``chance_to_win``, see `NormalPosterior`.

    References
    ----------
    .. [1] A. Gelman et al., Bayesian Data Analysis, 3rd edition (2013).

    Examples
    --------
    >>> view = normal_posterior(0.08, 0.04, NormalPrior(0.0, 0.05))
    >>> round(view.mean, 4), round(view.sd, 4), round(view.chance_to_win, 3)
    (0.0488, 0.0312, 0.941)
    """
    if not (math.isfinite(estimate) and 0 < se < math.inf):
        raise ParameterError(f"an estimate of {estimate} with standard error {se} says nothing")
    parts = normal_posterior_arrays(
        estimate, se, prior.mean, prior.sd, sign=sign, confidence_level=confidence_level
    )
    return NormalPosterior(*(float(part) for part in parts))


def normal_posterior_arrays(
    estimate: ArrayLike,
    se: ArrayLike,
    prior_mean: ArrayLike = 0.0,
    prior_sd: ArrayLike = math.inf,
    *,
    sign: ArrayLike = 1,
    confidence_level: float = 0.95,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Compute `normal_posterior` for many estimates at once.

    Parameters
    ----------
    estimate, se, prior_mean, prior_sd, sign : array_like
        As in `normal_posterior`; they broadcast.
    confidence_level : float, default 0.95
        As in `normal_posterior`.

    Returns
    -------
    tuple of ndarray
        The fields of `NormalPosterior`, in their order. All are NaN where the estimate is not
        finite or its ``se`` not positive and finite: check those first.

    Raises
    ------
    ParameterError
        If a prior or a sign is impossible, or ``confidence_level`` out of range.

    Notes
    -----
    One may peek as far as with `normal_posterior`.
    """
    margin = normal_quantile(checked_level(confidence_level))
    b, s, m0, s0, good = np.broadcast_arrays(
        *(np.asarray(part, dtype=float) for part in (estimate, se, prior_mean, prior_sd, sign))
    )
    if not (np.isfinite(m0).all() and (s0 > 0).all() and (abs(good) == 1).all()):
        raise ParameterError("a prior needs a finite mean and a positive sd, a sign is 1 or -1")
    s = np.where(np.isfinite(b) & (s > 0) & np.isfinite(s), s, np.nan)
    # The larger of the two is divided out, so that neither precision overflows.
    ratio = np.minimum(s, s0) / np.maximum(s, s0)
    sd = np.minimum(s, s0) / np.hypot(1.0, ratio)
    kept = np.where(s <= s0, 1.0, ratio**2) / (1 + ratio**2)
    mean = kept * b + (1 - kept) * m0
    x = good * mean / sd
    return (
        mean,
        sd,
        special.ndtr(x),
        sd * _expected_excess(x),
        sd * _expected_excess(-x),
        mean - margin * sd,
        mean + margin * sd,
    )


def lift_posterior(
    control: Moments,
    treatment: Moments,
    prior: NormalPrior = FLAT_PRIOR,
    *,
    relative: bool = True,
    binary: bool = False,
    sign: int = 1,
    confidence_level: float = 0.95,
) -> NormalPosterior:
    """Update a prior on the lift by the sums of two arms; see it as lift or as difference.

    Parameters
    ----------
    control, treatment : Moments
        Sums over units.
    prior : NormalPrior, default flat
        Of the lift, as a share of the absolute value of control's mean: what metrics, and past
        experiments, have in common. For a difference it is scaled by control's mean.
    relative : bool, default True
        Whether to return the lift (its error by the delta method) or the difference.
    binary : bool, default False
        Whether ``y`` is 0 or 1 (variance with divisor ``n``).
    sign, confidence_level
        As in `normal_posterior`.

    Returns
    -------
    NormalPosterior
        In the unit of the effect.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units or does not vary (a conversion: use `beta_posterior`),
        or control's mean is 0 and the lift, or a prior of it, is asked for.
    ParameterError
        As in `normal_posterior`.

    Notes
    -----
    One may peek as far as with `normal_posterior`. The relative error of a small, skewed arm is
    far from normal: a display, as all lifts are.

    Examples
    --------
    >>> a, b = Moments.conversions(4510, 451), Moments.conversions(2265, 204)
    >>> round(lift_posterior(a, b, NormalPrior(0.0, 0.05), binary=True).chance_to_win, 4)
    0.2176
    """
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError("lift_posterior", control.n, treatment.n, "each needs two units")
    error_c, error_t = (
        (arm.mean * (1 - arm.mean) if binary else arm.variance) / arm.n
        for arm in (control, treatment)
    )
    # An arm that has not varied yet would count as known exactly.
    if not min(error_c, error_t) > 0:
        raise NotEnoughDataError("lift_posterior", control.n, treatment.n, "an arm does not vary")
    effect, square = treatment.mean - control.mean, error_c + error_t
    base = abs(control.mean)
    if base == 0 and (relative or prior.sd < math.inf):
        raise NotEnoughDataError("lift_posterior", control.n, treatment.n, "control's mean is 0")
    if relative:
        effect /= base
        square = error_t / base**2 + treatment.mean**2 * error_c / base**4
    elif prior.sd < math.inf:
        prior = NormalPrior(prior.mean * base, prior.sd * base)
    return normal_posterior(
        effect, math.sqrt(square), prior, sign=sign, confidence_level=confidence_level
    )


def _expected_excess(x: Array) -> Array:
    """Compute E[max(x + Z, 0)] = phi(x) + x Phi(x) for standard normal Z."""
    far = np.minimum(abs(x), 50.0)  # Beyond it the tail is 0, and its square must not overflow.
    # In the tail the two terms nearly cancel; Mills' ratio keeps the digits.
    mills = _ROOT_HALF_PI * special.erfcx(far / _ROOT_TWO)
    tail = np.exp(-far * far / 2) / _ROOT_TWO_PI * np.maximum(0.0, 1 - far * mills)
    excess: Array = tail + np.maximum(x, 0.0)
    return excess
