"""Novelty and primacy: whether an effect fades or grows as units get used to the treatment.

The effect of one day must not share units with the effect of another, or both move together and
the trend's standard error is wrong. So every entry cohort gives the effect of one day only: at one
moment, units that came on different days are different units with different experience.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from scipy import special

from stats.effects.means import compare_means
from stats.errors import ParameterError
from stats.sums.moments import Moments


class EffectCourse(Enum):
    """Where an effect goes with experience."""

    STEADY = "steady"
    FADING = "fading"
    GROWING = "growing"


@dataclass(frozen=True)
class EffectTrend:
    """A straight line through effects by days since exposure.

    Parameters
    ----------
    slope, slope_se : float
        Change of the effect per day.
    intercept : float
        Effect at day 0.
    z, p_value : float
        Two-sided test of "the slope is 0".
    first : float
        Effect on the first day that was seen, on the line.
    """

    slope: float
    slope_se: float
    intercept: float
    z: float
    p_value: float
    first: float

    def course(self, alpha: float = 0.01) -> EffectCourse:
        """Name the trend: a badge for people, which decides nothing.

        Parameters
        ----------
        alpha : float, default 0.01
            Below this p-value the effect is not called steady.

        Raises
        ------
        ParameterError
            If ``alpha`` is out of range.
        """
        if not 0 < alpha < 1:
            raise ParameterError(f"alpha is {alpha}: it must lie between 0 and 1")
        if self.p_value >= alpha:
            return EffectCourse.STEADY
        return EffectCourse.GROWING if self.slope * self.first >= 0 else EffectCourse.FADING


@dataclass(frozen=True)
class CohortDay:
    """Units that came in together, seen on one day of their experience.

    Parameters
    ----------
    cohort : str
        Name of the entry day or week: no unit is in two cohorts.
    day : float
        Days since exposure.
    control, treatment : Moments
        Sums of that day's values over the cohort's units.
    """

    cohort: str
    day: float
    control: Moments
    treatment: Moments


def novelty(cohorts: Sequence[CohortDay]) -> EffectTrend:
    """Fit the trend of an effect over days since exposure, one day of each entry cohort.

    Parameters
    ----------
    cohorts : sequence of CohortDay
        Each cohort once, on at least two different days.

    Returns
    -------
    EffectTrend
        In the metric's unit, and per day.

    Raises
    ------
    ParameterError
        If a cohort comes twice (its days share units, and their effects are correlated), or all
        days are the same.
    NotEnoughDataError
        If an arm of a cohort has fewer than two units, or neither varies.

    Notes
    -----
    Fixed horizon: do not peek. It is a hint to wait longer, and decides nothing.

    Examples
    --------
    >>> def cohort(day, effect):
    ...     control, treatment = (Moments(400, 400 * m, 400 * (m * m + 1)) for m in (5, 5 + effect))
    ...     return CohortDay(f"entered {day} days ago", day, control, treatment)
    >>> trend = novelty([cohort(1, 0.5), cohort(2, 0.4), cohort(3, 0.2), cohort(4, 0.1)])
    >>> round(trend.slope, 3), trend.course()
    (-0.14, <EffectCourse.FADING: 'fading'>)
    """
    names = [cohort.cohort for cohort in cohorts]
    if len(set(names)) < len(names):
        raise ParameterError("a cohort is seen on two days: their effects share units")
    found = [compare_means(cohort.control, cohort.treatment) for cohort in cohorts]
    return effect_trend(
        [cohort.day for cohort in cohorts],
        [one.difference for one in found],
        [one.standard_error for one in found],
    )


def effect_trend(
    days: Sequence[float], effects: Sequence[float], ses: Sequence[float]
) -> EffectTrend:
    """Fit a line to independent effects of known standard error, by weighted least squares [1]_.

    Parameters
    ----------
    days : sequence of float
        Days since exposure.
    effects : sequence of float
        Effect on that day, in one unit, absolute or relative.
    ses : sequence of float
        Their standard errors, taken as known: the residuals do not rescale them.

    Returns
    -------
    EffectTrend
        The slope's variance is ``1 / Σ w (day - mean day)²`` with ``w = 1 / se²``.

    Raises
    ------
    ParameterError
        If the lengths differ, a number is not finite, a standard error is not above 0, or there
        are not two different days.

    Notes
    -----
    Fixed horizon: do not peek. The effects must be of different units; see `novelty`.

    References
    ----------
    .. [1] W. Viechtbauer, J. Stat. Softw. 36(3) (2010), section 2: meta-regression with
       τ² = 0. :doi:`10.18637/jss.v036.i03`

    Examples
    --------
    >>> trend = effect_trend([1, 2, 3], [0.09, 0.05, 0.01], [0.01, 0.01, 0.01])
    >>> round(trend.slope, 3), round(trend.intercept, 3), trend.course()
    (-0.04, 0.13, <EffectCourse.FADING: 'fading'>)
    """
    if not len(days) == len(effects) == len(ses):
        raise ParameterError(
            f"{len(days)} days, {len(effects)} effects, {len(ses)} standard errors"
        )
    if not all(math.isfinite(x) for x in (*days, *effects, *ses)) or any(se <= 0 for se in ses):
        raise ParameterError("days, effects and standard errors must be finite, the last above 0")
    if len(set(days)) < 2:
        raise ParameterError("a trend needs two different days")
    # Relative weights: the square of a tiny standard error must not overflow.
    smallest = min(ses)
    weights = [(smallest / se) ** 2 for se in ses]
    total = math.fsum(weights)
    middle = math.fsum(w * day for w, day in zip(weights, days, strict=True)) / total
    mean = math.fsum(w * effect for w, effect in zip(weights, effects, strict=True)) / total
    spread = math.fsum(w * (day - middle) ** 2 for w, day in zip(weights, days, strict=True))
    if not 0 < spread < math.inf:
        raise ParameterError("days, or standard errors, are of too different sizes")
    slope = (
        math.fsum(
            w * (day - middle) * (effect - mean)
            for w, day, effect in zip(weights, days, effects, strict=True)
        )
        / spread
    )
    slope_se = smallest / math.sqrt(spread)
    z = slope / slope_se
    p_value = float(special.erfc(abs(z) / math.sqrt(2)))
    intercept = mean - slope * middle
    return EffectTrend(slope, slope_se, intercept, z, p_value, intercept + slope * min(days))
