"""Relative difference: treatment over control, minus one.

Lift is a display. Decisions are taken on the absolute difference, whose null distribution does not
depend on how well control's mean is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from stats.effects.means import checked_level, squared_errors, student_quantile, welch_dof
from stats.effects.proportions import (
    Conversions,
    inverted_score,
    normal_quantile,
    ratio_score,
    wilson_interval,
)
from stats.errors import NotEnoughDataError
from stats.sums.moments import Moments


@dataclass(frozen=True)
class Lift:
    """A lift with its interval; ``low`` and ``high`` are None when data cannot bound it."""

    lift: float
    low: float | None
    high: float | None


def fieller_interval(
    control: Moments, treatment: Moments, *, low_critical: float, high_critical: float | None = None
) -> Lift:
    """Bound the lift by Fieller's method [1]_: it excludes 0 exactly when |z| > critical.

    Parameters
    ----------
    control, treatment : Moments
        Sums over units.
    low_critical : float
        Critical value of the lower limit (of both, if alone), not negative.
    high_critical : float, optional
        Critical value of the upper limit.

    Returns
    -------
    Lift
        As a share of the absolute value of control's mean. A limit is None where control's mean is
        not clear of zero (``critical**2 * se_C**2 >= mean_C**2``): show the difference only.

    Raises
    ------
    NotEnoughDataError
        If a sample has fewer than two units, neither varies, or control's mean is zero.

    Notes
    -----
    Fixed horizon with a fixed critical value. With the bounds of `boundary` as critical values one
    may peek.

    References
    ----------
    .. [1] E. C. Fieller, J. R. Stat. Soc. B 16, 175-185 (1954).

    Examples
    --------
    >>> a, b = Moments(1000, 2000.0, 5000.0), Moments(1000, 2200.0, 5900.0)
    >>> result = fieller_interval(a, b, low_critical=1.96)
    >>> round(result.lift, 3), round(result.low, 4), round(result.high, 4)
    (0.1, 0.0543, 0.1478)
    """
    error_c, error_t = squared_errors(control, treatment, "fieller_interval")
    if control.mean == 0:
        raise NotEnoughDataError("fieller_interval", control.n, treatment.n, "control's mean is 0")
    return fieller_from_errors(
        (control.mean, error_c),
        (treatment.mean, error_t),
        low_critical,
        low_critical if high_critical is None else high_critical,
    )


def fieller_from_errors(
    control: tuple[float, float],
    treatment: tuple[float, float],
    low_critical: float,
    high_critical: float,
) -> Lift:
    """Bound the lift from means and squared standard errors; control's mean is not zero."""
    (mean_c, error_c), (mean_t, error_t) = control, treatment
    sign = math.copysign(1.0, mean_c)
    # With a negative mean the ratio falls as the lift rises: the limits change places.
    low, high = (
        _fieller_limit(mean_c, error_c, mean_t, error_t, critical, side * sign)
        for critical, side in ((low_critical, -1), (high_critical, 1))
    )
    return Lift(
        (mean_t - mean_c) / abs(mean_c),
        None if low is None else sign * (low - 1),
        None if high is None else sign * (high - 1),
    )


def _fieller_limit(
    mean_c: float, error_c: float, mean_t: float, error_t: float, critical: float, side: float
) -> float | None:
    q2 = critical * critical
    a = mean_c * mean_c - q2 * error_c
    if not (0 <= critical < math.inf) or a <= 0:
        return None
    # b**2 - ac without the cancellation of its large terms.
    root = critical * math.sqrt(error_t * a + mean_t * mean_t * error_c)
    return (mean_c * mean_t + side * root) / a


def delta_interval(
    control: Moments, treatment: Moments, *, confidence_level: float = 0.95
) -> tuple[Lift, float, float]:
    """Bound the lift by the delta method, as many tools do; for comparison with them only.

    Returns
    -------
    tuple of Lift, float, float
        Lift with its interval, its standard error and its two-sided p-value.

    Notes
    -----
    Never decide with it: at small rates it puts all its error on the harm side (STATISTICS.md
    1.1). Degrees of freedom are those of the absolute difference.
    """
    error_c, error_t = squared_errors(control, treatment, "delta_interval")
    mean_c, mean_t = control.mean, treatment.mean
    if mean_c == 0:
        raise NotEnoughDataError("delta_interval", control.n, treatment.n, "control's mean is 0")
    error = math.sqrt(error_t / mean_c**2 + error_c * mean_t**2 / mean_c**4)
    dof = welch_dof(error_c, control.n, error_t, treatment.n)
    lift = (mean_t - mean_c) / abs(mean_c)
    half = student_quantile((1 + checked_level(confidence_level)) / 2, dof) * error
    p_value = 2 * float(special.stdtr(dof, -abs(lift) / error))
    return Lift(lift, lift - half, lift + half), error, p_value


def log_interval(control: Moments, treatment: Moments, *, confidence_level: float = 0.95) -> Lift:
    """Bound the lift on the logarithmic scale; both means must be positive.

    Notes
    -----
    Fixed horizon: do not peek with it. Degrees of freedom are Welch's on the relative variances.
    """
    error_c, error_t = squared_errors(control, treatment, "log_interval")
    if min(control.mean, treatment.mean) <= 0:
        raise NotEnoughDataError("log_interval", control.n, treatment.n, "a mean is not positive")
    part_c, part_t = error_c / control.mean**2, error_t / treatment.mean**2
    dof = welch_dof(part_c, control.n, part_t, treatment.n)
    ratio = treatment.mean / control.mean
    half = student_quantile((1 + checked_level(confidence_level)) / 2, dof)
    half *= math.sqrt(part_c + part_t)
    return Lift(ratio - 1, ratio * math.exp(-half) - 1, ratio * math.exp(half) - 1)


def conversion_lift_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Lift:
    """Bound the lift of a rate by MOVER-R with Wilson limits [1]_: good at small counts.

    Raises
    ------
    NotEnoughDataError
        If nobody converted in control: the lift does not exist.

    Notes
    -----
    Fixed horizon: do not peek with it.

    References
    ----------
    .. [1] A. Donner, G. Y. Zou, Stat. Methods Med. Res. 21, 347-359 (2012).
       :doi:`10.1177/0962280210389088`
    """
    _require_conversions(control, treatment)
    c = wilson_interval(control, confidence_level=confidence_level)
    t = wilson_interval(treatment, confidence_level=confidence_level)
    product = treatment.rate * control.rate
    low_t, high_t = (end * (2 * treatment.rate - end) for end in (t.low, t.high))
    low_c, high_c = (end * (2 * control.rate - end) for end in (c.low, c.high))
    # The lower limit is rationalised: its textbook form divides by high_c, which may be zero.
    low = low_t / (product + math.sqrt(max(0.0, product**2 - low_t * high_c))) if low_t else 0.0
    high = (product + math.sqrt(max(0.0, product**2 - high_t * low_c))) / low_c
    return Lift(treatment.rate / control.rate - 1, low - 1, high - 1)


def conversion_lift_log_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Lift:
    """Bound the lift of a rate on the logarithmic scale (Katz); both arms need conversions."""
    _require_conversions(control, treatment, both=True)
    error = math.sqrt(
        (1 - treatment.rate) / treatment.converted + (1 - control.rate) / control.converted
    )
    half = normal_quantile(confidence_level) * error
    ratio = treatment.rate / control.rate
    return Lift(ratio - 1, ratio * math.exp(-half) - 1, ratio * math.exp(half) - 1)


def conversion_lift_score_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Lift:
    """Bound the lift of a rate by inverting the score test of the ratio (Miettinen-Nurminen)."""
    _require_conversions(control, treatment)

    def score(log_ratio: float) -> float:
        return ratio_score(control, treatment, math.exp(log_ratio), corrected=True)

    ratio = treatment.rate / control.rate
    observed = math.log(ratio) if ratio > 0 else -40.0
    limits = inverted_score(score, observed, -40.0, 40.0, normal_quantile(confidence_level))
    return Lift(ratio - 1, math.expm1(limits.low), math.expm1(limits.high))


def _require_conversions(
    control: Conversions, treatment: Conversions, *, both: bool = False
) -> None:
    if control.converted == 0 or (both and treatment.converted == 0):
        raise NotEnoughDataError("lift of a rate", control.n, treatment.n, "no conversions")
