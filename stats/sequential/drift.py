"""What a sequential design does when there is an effect: power, stopping times, sample sizes.

The *drift* is the mean that the statistic has at information 1, the planned horizon: the effect
divided by its standard error there. A fixed test of one-sided level alpha has power 1 - beta at the
drift ``z_alpha + z_beta`` (2.80 for 0.025 and 0.8); at information ``t`` the mean is
``drift * sqrt(t)``. Everything here is exact up to the integration error of `density` (1e-8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy import optimize, special

from stats.errors import ParameterError
from stats.sequential.density import Density


@dataclass(frozen=True)
class Crossings:
    """Where the paths of a sequential test end.

    Parameters
    ----------
    information : tuple of float
        Information at each look, in shares of the planned horizon.
    upper, lower : tuple of float
        Chance that the first crossing is of the upper (lower) bound and at this look.
    """

    information: tuple[float, ...]
    upper: tuple[float, ...]
    lower: tuple[float, ...]

    def upper_by(self, information: float = math.inf) -> float:
        """Chance to have crossed the upper bound first, by looks up to ``information``."""
        return self._by(self.upper, information)

    def lower_by(self, information: float = math.inf) -> float:
        """Chance to have crossed the lower bound first, by looks up to ``information``."""
        return self._by(self.lower, information)

    @property
    def mean_information(self) -> float:
        """Mean information at the end: the first crossing, or the last look without one.

        In shares of the horizon: the average sample number over the planned one, and the mean time
        to detect an effect when nothing else ends the test.
        """
        ends = [u + low for u, low in zip(self.upper, self.lower, strict=True)]
        going = 1 - math.fsum(ends)
        stopped = math.fsum(t * p for t, p in zip(self.information, ends, strict=True))
        return stopped + going * self.information[-1]

    def _by(self, chances: tuple[float, ...], information: float) -> float:
        # A look at 28/28 may be 1 + 2e-16.
        limit = information * (1 + 1e-9)
        return math.fsum(p for t, p in zip(self.information, chances, strict=True) if t <= limit)


def crossings(
    information: Sequence[float],
    upper: Sequence[float] | None = None,
    lower: Sequence[float] | None = None,
    *,
    drift: float = 0.0,
    correlations: Sequence[float] | None = None,
) -> Crossings:
    """Compute where the paths of a test with these bounds end, under an effect [1]_ [2]_.

    Parameters
    ----------
    information : sequence of float
        Information at each look, rising, in shares of the planned horizon.
    upper, lower : sequence of float, optional
        Bounds on the z scale, one per look; ``inf`` and ``-inf`` for a look without one. The first
        crossing of either ends a path: give only one side for a bound that is not binding. A path
        that meets both at once (bounds that touch) counts as upper.
    drift : float, default 0
        Mean of the statistic at information 1.
    correlations : sequence of float, optional
        As in `boundary`. Default: ``sqrt(information_before / information_now)``.

    Returns
    -------
    Crossings
        First crossing chances per look and side.

    Raises
    ------
    ParameterError
        If the information does not rise from above 0, the bounds are NaN or as many as there are
        looks, or the drift is not finite.
    SpendingError
        If a correlation lies outside [0, 1].

    Notes
    -----
    This describes a design; it looks at no data, so there is nothing to peek at.

    References
    ----------
    .. [1] P. Armitage, C. K. McPherson, B. C. Rowe, J. R. Stat. Soc. A 132, 235-244 (1969).
       :doi:`10.2307/2343787`
    .. [2] C. Jennison, B. W. Turnbull, Group Sequential Methods, ch. 19 (2000).

    Examples
    --------
    >>> ship = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, epsilon=0.1)
    >>> days = [day / 28 for day in range(1, 29)]
    >>> planned = crossings(days, boundary(ship, days).bounds, drift=2.8016)
    >>> round(planned.upper_by(1.0), 3), round(planned.mean_information, 3)
    (0.768, 0.762)
    """
    times = [float(t) for t in information]
    rises = all(a < b for a, b in pairwise(times))
    if not times or not rises or not (times[0] > 0 and times[-1] < math.inf):
        raise ParameterError("information must rise, from above 0, and there must be some")
    if not math.isfinite(drift):
        raise ParameterError(f"the drift is {drift}")
    if correlations is None:
        correlations = [0.0, *(math.sqrt(a / b) for a, b in pairwise(times))]
    highs = _bounds(upper, math.inf, len(times))
    lows = _bounds(lower, -math.inf, len(times))
    state: Density | None = None
    ups, downs = [], []
    for t, high, low, r in zip(times, highs, lows, correlations, strict=True):
        state = Density() if state is None else state.advance(r)
        mean = drift * math.sqrt(t)
        ups.append(state.above(high - mean)[0])
        downs.append(state.below(min(low, high) - mean))
        state = state.cut(high - mean, low - mean)
    return Crossings(tuple(times), tuple(ups), tuple(downs))


def required_drift(
    information: Sequence[float],
    upper: Sequence[float],
    power: float,
    *,
    lower: Sequence[float] | None = None,
    by: float = math.inf,
    correlations: Sequence[float] | None = None,
) -> float:
    """Solve for the drift at which the upper bound is crossed with a given power.

    Parameters
    ----------
    information, upper, lower, correlations
        As in `crossings`; the power counts paths that reach the upper bound first.
    power : float
        Chance to cross, above the chance without an effect and below 1.
    by : float, default inf
        Information by which the crossing must have happened: 1 for the planned horizon.

    Returns
    -------
    float
        Mean of the statistic at information 1.

    Raises
    ------
    ParameterError
        As `crossings`, or if no drift gives this power.

    Notes
    -----
    This describes a design; it looks at no data.

    Examples
    --------
    >>> fifths = [0.2, 0.4, 0.6, 0.8, 1.0]
    >>> bounds = boundary(Spending(SpendingShape.OBRIEN_FLEMING, 0.025), fifths).bounds
    >>> round(required_drift(fifths, bounds, 0.8), 3)
    2.836
    """

    def missing(drift: float) -> float:
        result = crossings(information, upper, lower, drift=drift, correlations=correlations)
        return result.upper_by(by) - power

    if not 0 < power < 1:
        raise ParameterError(f"power is {power}: it must lie between 0 and 1")
    if missing(0.0) >= 0:
        raise ParameterError(f"the design has the power {power} without any effect")
    high = 4.0
    while missing(high) < 0:
        high *= 2
        if high > 1000:
            raise ParameterError(f"no effect is found with power {power} by {by:g}")
    return float(optimize.brentq(missing, 0.0, high, xtol=1e-11, rtol=1e-12))


def inflation_factor(
    information: Sequence[float],
    upper: Sequence[float],
    *,
    alpha: float,
    power: float,
    lower: Sequence[float] | None = None,
    by: float = 1.0,
) -> float:
    """Tell how many times the fixed test's units a sequential design needs for the same power.

    Parameters
    ----------
    information, upper, lower, by
        As in `required_drift`.
    alpha : float
        One-sided level of the fixed test, between 0 and 1: the design's alpha.
    power : float
        Power of both, above ``alpha`` and below 1.

    Returns
    -------
    float
        Units of the sequential design at information 1, over the units of the fixed test.

    Raises
    ------
    ParameterError
        As `required_drift`.

    Notes
    -----
    The drift is solved for with the recursion, for any schedule; there is no table to look up.

    Examples
    --------
    >>> ship = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, epsilon=0.1)
    >>> days = [day / 28 for day in range(1, 29)]
    >>> round(inflation_factor(days, boundary(ship, days).bounds, alpha=0.025, power=0.8), 3)
    1.081
    """
    needed = required_drift(information, upper, power, lower=lower, by=by)
    return float(needed / fixed_drift(alpha, power)) ** 2


def fixed_drift(alpha: float, power: float) -> float:
    """Return the drift at which one fixed one-sided test of level ``alpha`` has ``power``.

    Raises
    ------
    ParameterError
        If it would not be positive: ``0 < alpha < power < 1``.

    Examples
    --------
    >>> round(fixed_drift(0.025, 0.8), 4)
    2.8016
    """
    if not 0 < alpha < power < 1:
        raise ParameterError(f"alpha = {alpha} and power = {power}: not 0 < alpha < power < 1")
    return float(special.ndtri(power) - special.ndtri(alpha))


def _bounds(bounds: Sequence[float] | None, none: float, looks: int) -> list[float]:
    if bounds is None:
        return [none] * looks
    if len(bounds) != looks or any(math.isnan(bound) for bound in bounds):
        raise ParameterError(f"{looks} looks need as many bounds, none of them NaN")
    return [float(bound) for bound in bounds]
