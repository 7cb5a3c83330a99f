"""Compare two conversion rates at one planned look."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize, special

from stats.effects.means import checked_level
from stats.errors import NotEnoughDataError, ParameterError


@dataclass(frozen=True)
class Conversions:
    """``converted`` of ``n`` units, each counted once.

    Raises
    ------
    ParameterError
        If there are no units, or not 0 <= converted <= n.
    """

    converted: float
    n: float

    def __post_init__(self) -> None:
        if not (0 < self.n < math.inf and 0 <= self.converted <= self.n):
            raise ParameterError(f"{self.converted:g} of {self.n:g} units cannot convert")

    @property
    def rate(self) -> float:
        """Converted share, 0 to 1."""
        return self.converted / self.n

    @property
    def squared_error(self) -> float:
        """Squared standard error of the rate (divisor ``n``)."""
        return self.rate * (1 - self.rate) / self.n


@dataclass(frozen=True)
class Interval:
    """A confidence interval; infinite where it has no end."""

    low: float
    high: float


@dataclass(frozen=True)
class RateComparison:
    """Difference of two rates, treatment minus control, with Newcombe's interval."""

    difference: float
    z: float
    p_value: float
    low: float
    high: float


def compare_conversions(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> RateComparison:
    """Compare two rates: pooled z test, Newcombe interval of the difference [1]_.

    Parameters
    ----------
    control, treatment : Conversions
        Converted units and units.
    confidence_level : float, default 0.95
        Coverage of the two-sided interval, strictly between 0 and 1.

    Returns
    -------
    RateComparison
        Difference of the rates (0 to 1 scale), its interval, two-sided p-value.

    Raises
    ------
    NotEnoughDataError
        If nobody, or everybody, converted in both arms.
    ParameterError
        If ``confidence_level`` is out of range.

    Notes
    -----
    Fixed horizon: valid at the one look that was planned. Do not peek with it.

    References
    ----------
    .. [1] R. G. Newcombe, Statist. Med. 17, 873-890 (1998), method 10.
       :doi:`10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I`

    Examples
    --------
    >>> result = compare_conversions(Conversions(8502, 44700), Conversions(8279, 45489))
    >>> round(result.difference, 5), round(result.z, 3)
    (-0.0082, -3.164)
    """
    pooled = (control.converted + treatment.converted) / (control.n + treatment.n)
    if pooled in (0, 1):
        raise NotEnoughDataError(
            "compare_conversions", control.n, treatment.n, "all units did the same"
        )
    error = math.sqrt(pooled * (1 - pooled) * (1 / control.n + 1 / treatment.n))
    z = (treatment.rate - control.rate) / error
    interval = newcombe_interval(control, treatment, confidence_level=confidence_level)
    return RateComparison(
        treatment.rate - control.rate,
        z,
        2 * float(special.ndtr(-abs(z))),
        interval.low,
        interval.high,
    )


def wilson_interval(sample: Conversions, *, confidence_level: float = 0.95) -> Interval:
    """Bound one rate by Wilson's score interval; exact ends at 0 and 1.

    Notes
    -----
    Fixed horizon: do not peek with it. Formula: E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
    """
    z = normal_quantile(confidence_level)
    n, p = sample.n, sample.rate
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if sample.converted == 0 else max(0.0, centre - half)
    high = 1.0 if sample.converted == n else min(1.0, centre + half)
    return Interval(low, high)


def newcombe_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Interval:
    """Bound the difference of two rates from their Wilson intervals (MOVER).

    The default for conversions: it stays in [-1, 1] and holds at small counts. Reference and
    conditions as in `compare_conversions`.
    """
    c = wilson_interval(control, confidence_level=confidence_level)
    t = wilson_interval(treatment, confidence_level=confidence_level)
    difference = treatment.rate - control.rate
    return Interval(
        difference - math.hypot(treatment.rate - t.low, c.high - control.rate),
        difference + math.hypot(t.high - treatment.rate, control.rate - c.low),
    )


def wald_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Interval:
    """Bound the difference by the textbook interval; too short below ten conversions per arm."""
    half = normal_quantile(confidence_level) * math.sqrt(
        control.squared_error + treatment.squared_error
    )
    difference = treatment.rate - control.rate
    return Interval(difference - half, difference + half)


def agresti_caffo_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Interval:
    """Bound the difference by `wald_interval` with one success and one failure added per arm.

    Formula: A. Agresti, B. Caffo, Am. Stat. 54, 280-288 (2000). Fixed horizon: do not peek.
    """
    return wald_interval(
        Conversions(control.converted + 1, control.n + 2),
        Conversions(treatment.converted + 1, treatment.n + 2),
        confidence_level=confidence_level,
    )


def miettinen_nurminen_interval(
    control: Conversions, treatment: Conversions, *, confidence_level: float = 0.95
) -> Interval:
    """Bound the difference by inverting the score test [1]_; for very small samples.

    Parameters and conditions as in `compare_conversions`.

    References
    ----------
    .. [1] O. Miettinen, M. Nurminen, Statist. Med. 4, 213-226 (1985). :doi:`10.1002/sim.4780040211`
    """

    def score(difference: float) -> float:
        return difference_score(control, treatment, difference, corrected=True)

    observed = treatment.rate - control.rate
    return inverted_score(score, observed, -1.0, 1.0, normal_quantile(confidence_level))


def difference_score(
    control: Conversions, treatment: Conversions, difference: float, *, corrected: bool = False
) -> float:
    """Compute the score statistic of "treatment rate - control rate equals ``difference``" [1]_.

    Parameters
    ----------
    control, treatment : Conversions
        Converted units and units.
    difference : float
        The hypothesis, between -1 and 1.
    corrected : bool, default False
        Whether the variance carries Miettinen and Nurminen's factor N / (N - 1).

    Returns
    -------
    float
        Standard normal under the hypothesis; infinite where the hypothesis leaves no variance.

    References
    ----------
    .. [1] C. P. Farrington, G. Manning, Statist. Med. 9, 1447-1454 (1990).
       :doi:`10.1002/sim.4780091208`
    """
    rate = _restricted_by_difference(control, treatment, difference)
    other = min(1.0, max(0.0, rate + difference))
    total = control.n + treatment.n
    factor = total / (total - 1) if corrected else 1.0
    variance = rate * (1 - rate) / control.n + other * (1 - other) / treatment.n
    gap = treatment.rate - control.rate - difference
    return _standardised(gap, variance * factor)


def ratio_score(
    control: Conversions, treatment: Conversions, ratio: float, *, corrected: bool = False
) -> float:
    """Compute the score statistic of "treatment rate equals ``ratio`` times control rate".

    The restricted rate solves a quadratic equation (Miettinen and Nurminen 1985); the rest is as
    in `difference_score`.
    """
    n_c, n_t = control.n, treatment.n
    a = (n_c + n_t) * ratio
    b = -(n_c + treatment.converted + ratio * (n_t + control.converted))
    c = control.converted + treatment.converted
    # The smaller root, written so that nothing cancels.
    rate = 2 * c / (-b + math.sqrt(max(0.0, b * b - 4 * a * c))) if c > 0 else 0.0
    rate = min(1.0, rate)
    other = min(1.0, ratio * rate)
    factor = (n_c + n_t) / (n_c + n_t - 1) if corrected else 1.0
    variance = other * (1 - other) / n_t + ratio**2 * rate * (1 - rate) / n_c
    return _standardised(treatment.rate - ratio * control.rate, variance * factor)


def _restricted_by_difference(control: Conversions, treatment: Conversions, delta: float) -> float:
    """Maximise the likelihood of the control rate when the rates differ by ``delta``.

    Farrington and Manning (1990), appendix: the root of a cubic in closed form. Written for
    p_T - p_C = delta; their first group is our treatment.
    """
    n_c, n_t = control.n, treatment.n
    p_c, p_t = control.rate, treatment.rate
    theta = n_c / n_t
    a = 1 + theta
    b = -(1 + theta + p_t + theta * p_c + delta * (theta + 2))
    c = delta**2 + delta * (2 * p_t + theta + 1) + p_t + theta * p_c
    d = -p_t * delta * (1 + delta)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    inner = max(0.0, b**2 / (3 * a) ** 2 - c / (3 * a))
    u = math.copysign(math.sqrt(inner), v)
    w = (math.pi + math.acos(max(-1.0, min(1.0, v / u**3)))) / 3 if u else math.pi / 2
    rate = 2 * u * math.cos(w) - b / (3 * a) - delta
    return min(max(rate, 0.0, -delta), 1.0, 1.0 - delta)


def _standardised(gap: float, variance: float) -> float:
    if variance > 0:
        return gap / math.sqrt(variance)
    return math.copysign(math.inf, gap) if gap else 0.0


def inverted_score(
    score: Callable[[float], float], observed: float, lowest: float, highest: float, z: float
) -> Interval:
    """Return where a falling score statistic passes ``z`` and ``-z``."""

    def solve(target: float, a: float, b: float, end: float) -> float:
        if score(end) * math.copysign(1.0, target) < abs(target):
            return end
        return float(optimize.brentq(lambda x: score(x) - target, a, b, xtol=1e-13, rtol=1e-14))

    return Interval(
        solve(z, lowest, observed, lowest),
        solve(-z, observed, highest, highest),
    )


def normal_quantile(confidence_level: float) -> float:
    """Return the two-sided critical value of the normal distribution."""
    return float(-special.ndtri((1 - checked_level(confidence_level)) / 2))
