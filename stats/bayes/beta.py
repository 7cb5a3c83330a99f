"""What a beta prior and two conversion rates say together: a view for people, never a decision.

Every quantity is an integral of a log-concave function of the logit of a rate. The trapezoidal
rule converges exponentially for such functions, and nothing is subtracted: small chances and small
risks keep their digits, with no conversion at all as with millions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy import special

from stats.effects.proportions import Conversions
from stats.errors import ParameterError

Array = NDArray[np.float64]

# Integrands are followed until they fall to exp(-_DEPTH) of their largest value.
_DEPTH = 42.0
# Below this logarithm an integral is 0 in floating point.
_NOTHING = -745.0
# Points per narrowest standard deviation of the trapezoidal rule: an error near 1e-13.
_DENSITY = 4.0


@dataclass(frozen=True)
class BetaPrior:
    """What a conversion rate looks like before the data: as if ``a`` of ``a + b`` had converted.

    Raises
    ------
    ParameterError
        If a number is not finite, or below 0.1: such a prior believes that nearly all rates are
        0 or 1, to hundreds of decimal places.
    """

    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        if not (0.1 <= self.a < math.inf and 0.1 <= self.b < math.inf):
            raise ParameterError(f"a beta prior cannot have a = {self.a} and b = {self.b}")

    @classmethod
    def of_rate(cls, rate: float, units: float) -> BetaPrior:
        """Take past experience of a ``rate`` to be worth that many ``units``."""
        return cls(rate * units, (1 - rate) * units)


@dataclass(frozen=True)
class BetaPosterior:
    """Belief about two conversion rates after the data.

    Parameters
    ----------
    mean_control, mean_treatment : float
        Posterior means of the rates, 0 to 1.
    chance_to_win : float
        Probability that the treatment is better. **Not an error rate**: "stop when it is above
        95 %", looked at daily for 28 days, ships or kills 46 % of changes that do nothing
        (STATISTICS.md 1.9). Decide with `decide`.
    risk_of_control, risk_of_treatment : float
        Expected loss of choosing that side, as a difference of rates: given away on average over
        the cases in which the choice is wrong, counted as 0 where it is right.
    """

    mean_control: float
    mean_treatment: float
    chance_to_win: float
    risk_of_control: float
    risk_of_treatment: float


def beta_posterior(
    control: Conversions,
    treatment: Conversions,
    prior: BetaPrior = BetaPrior(),
    *,
    sign: int = 1,
) -> BetaPosterior:
    """Update a beta prior by two conversion rates (STATISTICS.md 1.9; [1]_).

    Parameters
    ----------
    control, treatment : Conversions
        Converted units and units; no conversions, or nothing but, is allowed.
    prior : BetaPrior, default uniform
        The same for both rates, which are independent.
    sign : {1, -1}, default 1
        1 when converting is good, -1 when it is bad.

    Returns
    -------
    BetaPosterior
        Chances and risks count good as ``sign`` says. A chance below 1e-308 is 0.

    Raises
    ------
    ParameterError
        If ``sign`` is not 1 or -1.

    Notes
    -----
    One may not decide by it while peeking, see `BetaPosterior`. With ``F`` the two distribution
    functions, ``P(p_T > p_C) = ∫ f_T F_C`` and ``E[(p_C - p_T)+] = ∫ F_T (1 - F_C)``; relative
    error below 1e-9 to a million units and more.

    References
    ----------
    .. [1] C. Stucchio, Bayesian A/B Testing at VWO (2015), section 6.

    Examples
    --------
    >>> view = beta_posterior(Conversions(40, 200), Conversions(32, 200))
    >>> round(view.chance_to_win, 4), round(view.risk_of_treatment, 4)
    (0.1503, 0.0426)
    """
    if sign not in (1, -1):
        raise ParameterError(f"sign is {sign}: it must be 1 or -1")
    c, t = (
        _Rate(prior.a + arm.converted, prior.b + (arm.n - arm.converted))
        for arm in (control, treatment)
    )
    mean_c, mean_t = c.mean, t.mean
    # The smaller risk is an integral with all its digits; the larger one follows from the means.
    if mean_t >= mean_c:
        loss = _excess(c, t)
        gain = loss + (mean_t - mean_c)
    else:
        gain = _excess(t, c)
        loss = gain + (mean_c - mean_t)
    if sign == -1:
        return BetaPosterior(mean_c, mean_t, _chance(c, t), loss, gain)
    return BetaPosterior(mean_c, mean_t, _chance(t, c), gain, loss)


@dataclass(frozen=True)
class _Rate:
    """A beta distribution seen on the logit scale, where its density is log-concave."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    @property
    def mode(self) -> float:
        """Logit at which the density on the logit scale is largest."""
        return math.log(self.a) - math.log(self.b)

    @property
    def sd(self) -> float:
        return math.sqrt(1 / self.a + 1 / self.b)

    def log_density(self, logit: Array) -> Array:
        """Density relative to its largest value, without cancelling terms of the size of n."""
        away = logit - self.mode
        # Each side from its own end, so that no exponential overflows.
        below = self.a * away - (self.a + self.b) * np.log1p(
            self.mean * np.expm1(np.minimum(away, 0.0))
        )
        rest = self.b / (self.a + self.b)
        above = -self.b * away - (self.a + self.b) * np.log1p(
            rest * np.expm1(-np.maximum(away, 0.0))
        )
        return np.where(away < 0, below, above)

    def log_below(self, logit: Array) -> Array:
        """Logarithm of the chance of a smaller rate."""
        return _log(_tail(self.a, self.b, logit))

    def log_above(self, logit: Array) -> Array:
        """Logarithm of the chance of a larger rate."""
        return _log(_tail(self.b, self.a, -logit))

    def steepness(self, logit: float) -> float:
        """Curvature of the log-density, an upper bound for that of either tail."""
        return (self.a + self.b) * math.exp(-2 * np.logaddexp(logit / 2, -logit / 2))


def _tail(a: float, b: float, logit: Array) -> Array:
    """Compute the chance that Beta(a, b) is below expit(logit), exact at both ends."""
    below, left = np.empty_like(logit), logit < 0
    below[left] = special.betainc(a, b, special.expit(logit[left]))
    below[~left] = special.betaincc(b, a, special.expit(-logit[~left]))
    return below


def _log(probability: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(probability)


def _chance(larger: _Rate, smaller: _Rate) -> float:
    """Compute P(larger > smaller)."""

    def together(logit: Array) -> Array:
        return larger.log_density(logit) + smaller.log_below(logit)

    whole = _integral(larger.log_density, (larger,))
    return min(1.0, _integral(together, (larger, smaller)) / whole)


def _excess(larger: _Rate, smaller: _Rate) -> float:
    """Compute E[max(larger - smaller, 0)]: the integral of P(smaller < p < larger) over p."""

    def integrand(logit: Array) -> Array:
        slope = -2 * np.logaddexp(logit / 2, -logit / 2)  # log of dp / dlogit
        between: Array = smaller.log_below(logit) + larger.log_above(logit) + slope
        return between

    return _integral(integrand, (larger, smaller))


def _integral(log_integrand: Callable[[Array], Array], rates: tuple[_Rate, ...]) -> float:
    """Integrate a log-concave function over the real line by the trapezoidal rule."""
    wide = max(rate.sd for rate in rates)
    low = min(rate.mode for rate in rates) - 20 * wide
    high = max(rate.mode for rate in rates) + 20 * wide
    top = low
    for _ in range(5):  # log-concave, so the mode lies beside the largest
        grid = np.linspace(low, high, 33)
        best = int(np.argmax(log_integrand(grid)))
        low, top, high = grid[max(0, best - 1)], grid[best], grid[min(32, best + 1)]
    peak = float(log_integrand(np.array([top]))[0])
    if not peak > _NOTHING:
        return 0.0
    width = 1 / math.sqrt(sum(rate.steepness(top) for rate in rates) + 0.25)
    ends = [
        next(
            point
            for doubling in count()
            if log_integrand(np.array([point := top + side * width * 2.0**doubling]))[0]
            < peak - _DEPTH
        )
        for side in (-1, 1)
    ]
    step = width / _DENSITY
    grid = np.linspace(ends[0], ends[1], math.ceil((ends[1] - ends[0]) / step) + 1)
    heights = np.exp(log_integrand(grid) - peak)
    return math.exp(peak) * float(heights.sum()) * float(grid[1] - grid[0])
