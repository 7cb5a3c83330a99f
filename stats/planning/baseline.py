"""What a metric is like today, and what a test sees of a change.

A `Baseline` is one unit's mean and variance; a `Signal` is a true effect as one test sees it: the
value of its contrast, and what each arm adds to the variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from stats.errors import ParameterError


@dataclass(frozen=True)
class Baseline:
    """What one unit's value is like before anything changes.

    Parameters
    ----------
    mean : float
        Mean per unit, in the metric's unit; not 0, for effects are relative to it.
    variance : float
        Variance per unit, in the metric's unit squared; above 0.
    binary : bool, default False
        Whether the value is 0 or 1: a changed mean then changes the variance.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Examples
    --------
    >>> from stats import Baseline
    >>> Baseline.of_rate(0.5)
    Baseline(mean=0.5, variance=0.25, binary=True)
    """

    mean: float
    variance: float
    binary: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean) or self.mean == 0:
            raise ParameterError(f"a mean of {self.mean} has no relative effect")
        if not 0 < self.variance < math.inf:
            raise ParameterError(f"the variance is {self.variance}: it must be a positive number")
        if self.binary and not 0 < self.mean < 1:
            raise ParameterError(f"a rate of {self.mean} does not lie between 0 and 1")

    @classmethod
    def of_rate(cls, rate: float) -> Baseline:
        """Describe a conversion by its rate, strictly between 0 and 1."""
        if not 0 < rate < 1:
            raise ParameterError(f"a rate of {rate} does not lie between 0 and 1")
        return cls(rate, rate * (1 - rate), binary=True)

    @classmethod
    def of_mean(cls, mean: float, deviation: float) -> Baseline:
        """Describe a mean per unit by its standard deviation over units."""
        if not 0 < deviation < math.inf:
            raise ParameterError(f"the deviation is {deviation}: it must be a positive number")
        return cls(mean, deviation * deviation)

    @classmethod
    def of_ratio(
        cls,
        numerator: tuple[float, float],
        denominator: tuple[float, float],
        covariance: float,
    ) -> Baseline:
        """Describe a ratio of two sums per unit by the delta method [1]_.

        Parameters
        ----------
        numerator, denominator : tuple of float
            Mean and variance per unit.
        covariance : float
            Of numerator and denominator over units.

        References
        ----------
        .. [1] A. Deng, U. Knoblich, J. Lu, KDD 2018, eq. 5. :doi:`10.1145/3219819.3219919`
        """
        mean, variance = denominator
        if not mean > 0:
            raise ParameterError(f"the denominator's mean is {mean}: it must be positive")
        ratio = numerator[0] / mean
        spread = numerator[1] - 2 * ratio * covariance + ratio * ratio * variance
        return cls(ratio, spread / mean**2)

    def with_covariate(self, correlation_squared: float) -> Baseline:
        """Take out what a pre-period covariate explains: CUPED leaves ``1 - correlation**2``.

        An adjusted conversion is a mean, as it is for `decide`.
        """
        if not 0 <= correlation_squared < 1:
            raise ParameterError(
                f"the squared correlation is {correlation_squared}: it must lie in [0, 1)"
            )
        left = self.variance * (1 - correlation_squared)
        return self if correlation_squared == 0 else replace(self, variance=left, binary=False)

    def lifted(self, lift: float) -> Baseline:
        """Describe the same metric after a relative effect; only a conversion's variance moves."""
        if not -1 < lift < math.inf:
            raise ParameterError(f"a lift of {lift} leaves no mean: it must be above -1")
        mean = self.mean * (1 + lift)
        if not self.binary:
            return replace(self, mean=mean)
        if mean >= 1:
            raise ParameterError(f"a rate of {self.mean:g} cannot rise by {lift:.1%}")
        return Baseline.of_rate(mean)


@dataclass(frozen=True)
class Signal:
    """A true effect as a test sees it: a contrast and what each arm adds to its variance.

    Parameters
    ----------
    value : float
        True value of the contrast, positive when the test should pass, in the metric's unit.
    control_variance, treatment_variance : float
        Per unit, squared weights included: the contrast's variance is
        ``control_variance / n_C + treatment_variance / n_T``.
    """

    value: float
    control_variance: float
    treatment_variance: float

    @classmethod
    def of_difference(cls, baseline: Baseline, lift: float) -> Signal:
        """See a relative effect as a difference of two means; its sign does not matter."""
        treatment = baseline.lifted(lift)
        gap = abs(treatment.mean - baseline.mean)
        return cls(gap, baseline.variance, treatment.variance)

    @classmethod
    def of_noninferiority(
        cls, baseline: Baseline, margin: float, *, lift: float = 0.0, sign: int = 1
    ) -> Signal:
        """See "loses less than ``margin``" as `stats.noninferiority` tests it.

        Parameters
        ----------
        baseline : Baseline
            The guardrail today.
        margin : float
            Largest tolerated loss, relative to control; above 0.
        lift : float, default 0
            What the change truly does to the guardrail.
        sign : {1, -1}, default 1
            1 when up is good, -1 when down is good.
        """
        if not 0 < margin < math.inf:
            raise ParameterError(f"the margin is {margin}: it must be a positive number")
        treatment = baseline.lifted(lift)
        weight = -sign + margin * math.copysign(1.0, baseline.mean)
        value = sign * treatment.mean + weight * baseline.mean
        return cls(value, weight * weight * baseline.variance, treatment.variance)

    def information_per_unit(self, ratio: float = 1.0) -> float:
        """Tell ``1 / SE**2`` per unit of control, with ``ratio`` treatment units beside each."""
        return 1 / (self.control_variance + self.treatment_variance / ratio)

    def statistic(self, control: float, treatment: float) -> float:
        """Tell the expected z with so many units."""
        return self.value / math.sqrt(
            self.control_variance / control + self.treatment_variance / treatment
        )
