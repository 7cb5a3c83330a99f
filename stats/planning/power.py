"""How many units a test needs, what it can see with those it gets, and how surely it sees it.

`sample_size`, `achieved_power` and `smallest_detectable_lift` turn the three numbers - units,
effect, power - into each other, for any `Signal`.

Everything here is for one planned look. A sequential test needs `inflation` times as many units:
`stats.planning.outlook` solves it for the looks that are really planned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import optimize, special

from stats.errors import NotEnoughDataError, ParameterError
from stats.planning.baseline import Baseline, Signal

Method = Literal["auto", "normal", "t"]

#: Below this many units in an arm, ``method="auto"`` counts with Student's t.
SMALL_ARM = 200

# No test can do with fewer units in an arm.
_FEWEST = 2.0


@dataclass(frozen=True)
class SampleSize:
    """Units per arm; fractions are kept, so that factors can still be applied."""

    control: float
    treatment: float

    @property
    def whole(self) -> tuple[int, int]:
        """Whole units, control first."""
        return math.ceil(self.control - 1e-9), math.ceil(self.treatment - 1e-9)

    @property
    def total(self) -> int:
        """Whole units in both arms."""
        return sum(self.whole)


def sample_size(
    signal: Signal,
    *,
    ratio: float = 1.0,
    alpha: float = 0.025,
    power: float = 0.8,
    inflation: float = 1.0,
    method: Method = "auto",
) -> SampleSize:
    """Compute the units that show a signal with a given power [1]_.

    ``n_C = (z_alpha + z_beta)**2 (v_C + v_T / ratio) / value**2``.

    Parameters
    ----------
    signal : Signal
        The true effect.
    ratio : float, default 1
        Treatment units per control unit.
    alpha : float, default 0.025
        One-sided error of the test, between 0 and 0.5.
    power : float, default 0.8
        Chance to show the effect, above ``alpha`` and below 1.
    inflation : float, default 1
        Units of a sequential test per unit of one planned look.
    method : {"auto", "normal", "t"}, default "auto"
        ``t`` counts with the noncentral t of Welch's test; ``auto`` does when an arm would have
        fewer than `SMALL_ARM` units.

    Returns
    -------
    SampleSize
        Units per arm, control first.

    Raises
    ------
    ParameterError
        If a number is outside its range, or the signal's value is not positive: what is not there
        cannot be shown.

    Notes
    -----
    For one planned look: do not peek, or give the ``inflation`` of the looks.

    References
    ----------
    .. [1] S.-C. Chow, J. Shao, H. Wang, Sample Size Calculations in Clinical Research, 3.2 and 4.2.

    Examples
    --------
    >>> from stats import Baseline, Signal
    >>> lift = Signal.of_difference(Baseline.of_rate(0.1), 0.05)
    >>> sample_size(lift).whole
    (57760, 57760)
    """
    _check(alpha, power, ratio)
    if not signal.value > 0:
        raise ParameterError("an effect of 0, or on the wrong side of the margin, cannot be shown")
    if not 1 <= inflation < math.inf:
        raise ParameterError(f"the inflation is {inflation}: it must be at least 1")
    drift = -special.ndtri(alpha) + special.ndtri(power)
    control = float(drift) ** 2 / (signal.information_per_unit(ratio) * signal.value**2)
    small = min(control, control * ratio) < SMALL_ARM
    if method == "t" or (method == "auto" and small):

        def lacking(logarithm: float) -> float:
            n = math.exp(logarithm)
            return achieved_power(signal, n, n * ratio, alpha=alpha, method="t") - power

        # A hair more than two, for the rounding of the exponential.
        fewest = math.log(_FEWEST * max(1.0, 1 / ratio)) + 1e-12
        if lacking(fewest) >= 0:
            control = math.exp(fewest)
        else:
            start = math.log(max(control, math.exp(fewest)))
            control = math.exp(optimize.brentq(lacking, fewest, start + 3, xtol=1e-12))
    return SampleSize(inflation * control, inflation * control * ratio)


def achieved_power(
    signal: Signal,
    control: float,
    treatment: float,
    *,
    alpha: float = 0.025,
    method: Method = "auto",
) -> float:
    """Compute the chance that one planned look shows a signal.

    Parameters
    ----------
    signal : Signal
        The true effect.
    control, treatment : float
        Units per arm, at least 2.
    alpha, method
        As in `sample_size`.

    Returns
    -------
    float
        One-sided power.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units.
    ParameterError
        If ``alpha`` is outside its range.

    Examples
    --------
    >>> from stats import Baseline, Signal
    >>> lift = Signal.of_difference(Baseline.of_rate(0.1), 0.05)
    >>> round(achieved_power(lift, 57_760, 57_760), 4)
    0.8
    """
    _check(alpha)
    if not min(control, treatment) >= _FEWEST or not max(control, treatment) < math.inf:
        raise NotEnoughDataError("power", control, treatment, "each arm needs two units")
    z = signal.statistic(control, treatment)
    if method == "normal" or (method == "auto" and min(control, treatment) >= SMALL_ARM):
        return float(special.ndtr(z + special.ndtri(alpha)))
    error_c, error_t = signal.control_variance / control, signal.treatment_variance / treatment
    parts = error_c**2 / (control - 1) + error_t**2 / (treatment - 1)
    freedom = (error_c + error_t) ** 2 / parts
    # The upper tail at t is the lower one at -t with the noncentrality turned round.
    return float(special.nctdtr(freedom, -z, special.stdtrit(freedom, alpha)))


def smallest_detectable_lift(
    baseline: Baseline,
    control: float,
    treatment: float,
    *,
    alpha: float = 0.025,
    power: float = 0.8,
    inflation: float = 1.0,
    sign: int = 1,
    method: Method = "auto",
) -> float:
    """Compute the MDE: the smallest relative effect that is shown with a given power.

    Parameters
    ----------
    baseline : Baseline
        The metric today.
    control, treatment : float
        Units per arm.
    alpha, power, inflation, method
        As in `sample_size`.
    sign : {1, -1}, default 1
        Whether a rise or a fall is to be seen; of a conversion the two differ.

    Returns
    -------
    float
        Relative to control, positive. ``inf`` when no possible effect is large enough: a rate can
        only rise to 1, and nothing falls by more than all.

    Raises
    ------
    NotEnoughDataError, ParameterError
        As `achieved_power`.

    Examples
    --------
    >>> round(smallest_detectable_lift(Baseline.of_rate(0.1), 57_760, 57_760), 5)
    0.05
    """
    _check(alpha, power)
    n_c, n_t = control / inflation, treatment / inflation
    # A lift must leave a mean; a conversion's must stay below 1.
    limit = 1 - 1e-9 if sign < 0 else 1e6
    if sign > 0 and baseline.binary:
        limit = (1 / baseline.mean - 1) * (1 - 1e-9)

    def excess(logarithm: float) -> float:
        signal = Signal.of_difference(baseline, sign * math.exp(logarithm))
        return achieved_power(signal, n_c, n_t, alpha=alpha, method=method) - power

    high = math.log(limit)
    if excess(high) < 0:
        return math.inf
    return math.exp(optimize.brentq(excess, math.log(1e-12), high, xtol=1e-13))


def conversion_sample_size(
    control_rate: float,
    treatment_rate: float,
    *,
    ratio: float = 1.0,
    alpha: float = 0.025,
    power: float = 0.8,
    variance: Literal["pooled", "unpooled", "arcsine"] = "pooled",
) -> SampleSize:
    """Compute the units that tell two rates apart, by the variance that the test will use.

    Parameters
    ----------
    control_rate, treatment_rate : float
        Between 0 and 1, and different.
    ratio, alpha, power
        As in `sample_size`.
    variance : {"pooled", "unpooled", "arcsine"}, default "pooled"
        ``pooled``: of both arms as one under the null, as the decision statistic has it [1]_;
        ``unpooled``: Wald's; ``arcsine``: Cohen's h, on which the variance is constant [2]_.

    Returns
    -------
    SampleSize
        Units per arm, control first.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    References
    ----------
    .. [1] J. L. Fleiss, B. Levin, M. C. Paik, Statistical Methods for Rates and Proportions, 4.14.
    .. [2] J. Cohen, Statistical Power Analysis for the Behavioral Sciences, ch. 6.

    Examples
    --------
    >>> conversion_sample_size(0.1, 0.105).whole
    (57763, 57763)
    """
    _check(alpha, power, ratio)
    first, second = Baseline.of_rate(control_rate), Baseline.of_rate(treatment_rate)
    if control_rate == treatment_rate:
        raise ParameterError("two equal rates cannot be told apart")
    z_alpha, z_beta = -float(special.ndtri(alpha)), float(special.ndtri(power))
    gap = treatment_rate - control_rate
    spread = first.variance + second.variance / ratio
    if variance == "arcsine":
        gap = 2 * (math.asin(math.sqrt(treatment_rate)) - math.asin(math.sqrt(control_rate)))
        control = ((z_alpha + z_beta) / gap) ** 2 * (1 + 1 / ratio)
    elif variance == "unpooled":
        control = ((z_alpha + z_beta) / gap) ** 2 * spread
    else:
        both = Baseline.of_rate((control_rate + ratio * treatment_rate) / (1 + ratio))
        null = both.variance * (1 + 1 / ratio)
        control = ((z_alpha * math.sqrt(null) + z_beta * math.sqrt(spread)) / gap) ** 2
    return SampleSize(control, control * ratio)


def error_per_test(
    beta: float, guardrails: int, *, alpha_harm: float = 0.0, alpha_quality: float = 0.0
) -> float:
    """Share the chance to miss among a success metric and its guardrails [1]_.

    A ship needs the success metric and every guardrail; each of them may fail by bad luck, and so
    may a false alarm: ``(beta - alpha_harm - alpha_quality) / (guardrails + 1)``.

    Parameters
    ----------
    beta : float
        Chance that a good change is not shipped: 1 minus the power of the decision.
    guardrails : int
        Metrics that must be shown not inferior.
    alpha_harm, alpha_quality : float, default 0
        Chances of a false stop for harm, and for bad data.

    Returns
    -------
    float
        Chance to miss that each test may have: size it with power ``1 - error_per_test(...)``.

    Raises
    ------
    ParameterError
        If the false alarms leave nothing.

    References
    ----------
    .. [1] M. Schultzberg, S. Ankargren, M. Frånberg, arXiv:2402.11609, section 3 (2024).

    Examples
    --------
    >>> error_per_test(0.2, 3)
    0.05
    """
    if not 0 < beta < 1 or guardrails < 0 or min(alpha_harm, alpha_quality) < 0:
        raise ParameterError("beta must lie between 0 and 1, and the rest must not be negative")
    left = beta - alpha_harm - alpha_quality
    if left <= 0:
        raise ParameterError(f"false alarms use up the whole chance to miss of {beta:g}")
    return left / (guardrails + 1)


def _check(alpha: float, power: float = 0.5, ratio: float = 1.0) -> None:
    if not 0 < alpha < 0.5:
        raise ParameterError(f"alpha is {alpha}: it must lie between 0 and 0.5")
    if not alpha < power < 1:
        raise ParameterError(f"power is {power}: it must lie between alpha and 1")
    if not 0 < ratio < math.inf:
        raise ParameterError(f"the ratio is {ratio}: it must be a positive number")
