"""Winsorisation: a few huge values are cut to a cap, so that they do not decide everything.

One cap serves all arms and all later looks. A cap of each arm's own would cut the arm with more
large values less, and so hide or make up an effect; a cap that moves from look to look would make
each look measure something else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.errors import MomentsError, NotEnoughDataError, ParameterError
from stats.sums.histogram import LogHistogram
from stats.sums.moments import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cap:
    """The largest value that a unit may count for.

    Parameters
    ----------
    value : float
        In the metric's unit, above 0.
    quantile : float
        Share of the pooled units at or below it when it was chosen.
    look : int
        Number of the look whose histograms it was read from.
    units : float
        Units it was read from.
    without_zeros : bool, default False
        Whether units at zero were left out of it.

    Raises
    ------
    ParameterError
        If a number is out of range.

    Notes
    -----
    Part of the metric: the mean of values cut at 100 and of values cut at 120 are two metrics, with
    other means, variances and effects. The statistics of two looks only belong to one sequence, and
    the error spent on them to one test, if both were cut at the same value. So a changed cap is a
    new version of the metric, with its own looks from the first one on, and never an edit.
    """

    value: float
    quantile: float
    look: int
    units: float
    without_zeros: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise ParameterError(f"a cap of {self.value} leaves nothing to compare")
        if not 0 < self.quantile < 1:
            raise ParameterError(f"quantile is {self.quantile}: it must lie between 0 and 1")
        if self.look < 1 or not 0 < self.units < math.inf:
            raise ParameterError("looks count from 1, and a cap is read from some units")

    def apply(self, values: ArrayLike) -> Array:
        """Cut raw values, one per unit, to the cap: shape and low values stay.

        Raises
        ------
        MomentsError
            If a value is NaN.
        """
        x = np.asarray(values, dtype=float)
        if np.isnan(x).any():
            raise MomentsError("a value is NaN: it cannot be capped")
        capped: Array = np.minimum(x, self.value)
        return capped


def choose_cap(
    arms: Sequence[LogHistogram],
    *,
    look: int,
    quantile: float = 0.999,
    without_zeros: bool = False,
) -> Cap:
    """Choose a cap: a quantile of all arms pooled [1]_.

    Parameters
    ----------
    arms : sequence of LogHistogram
        One per arm, one value per unit.
    look : int
        Number of this look; the cap then stays.
    quantile : float, default 0.999
        Share of units that are not cut.
    without_zeros : bool, default False
        Take the quantile among units with a value: where hardly any unit buys, the 99.9th
        percentile of all is 0.

    Returns
    -------
    Cap
        Its value is within 0.5 % of the pooled sample's quantile.

    Raises
    ------
    NotEnoughDataError
        If no unit lies beyond the quantile, or the quantile is not above 0.
    ParameterError
        If ``quantile`` or ``look`` is out of range.

    Notes
    -----
    Both arms give to it what they have, whichever is which, so under the null hypothesis it favours
    none: one may peek afterwards as if it had been fixed before.

    References
    ----------
    .. [1] R. Kohavi, D. Tang, Y. Xu, Trustworthy Online Controlled Experiments (2020), chapter 22.
       :doi:`10.1017/9781108653985`

    Examples
    --------
    >>> arm = LogHistogram.of([10.0] * 999 + [5_000.0])
    >>> cap = choose_cap([arm, arm], look=3)
    >>> round(cap.value, 1), cap.look, cap.apply([5.0, 5_000.0]).round(1).tolist()
    (10.0, 3, [5.0, 10.0])
    """
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile is {quantile}: it must lie between 0 and 1")
    pooled = LogHistogram.merged(arms)
    if without_zeros:
        pooled = pooled.without_zeros()
    control = arms[0].n if arms else 0
    others = sum(arm.n for arm in arms[1:])
    # One unit beyond the quantile, but for the rounding of 1 - 0.999.
    if pooled.n * (1 - quantile) < 1 - 1e-9:
        raise NotEnoughDataError("cap", control, others, f"none lies beyond {quantile:.2%}")
    value = pooled.quantile(quantile)
    if value <= 0:
        raise NotEnoughDataError("cap", control, others, f"{quantile:.2%} of them are not above 0")
    return Cap(value, quantile, look, pooled.n, without_zeros)


def capped_moments(histogram: LogHistogram, cap: Cap) -> Moments:
    """Estimate the sums of the capped metric from a histogram: for a preview of what a cap does.

    Parameters
    ----------
    histogram : LogHistogram
        Of one arm, one value per unit.
    cap : Cap
        The cap to try.

    Returns
    -------
    Moments
        ``n`` is exact. The others are off by at most 0.50, 1.01 and 1.51 % of the sums of the
        capped values' sizes, their squares and their cubes.

    Notes
    -----
    Never decide with it: half a per cent is a whole effect. Sums of a look come from the units.

    Examples
    --------
    >>> arm = LogHistogram.of([10.0] * 999 + [5_000.0])
    >>> round(capped_moments(arm, Cap(10.0, 0.999, look=1, units=1000)).mean, 2)
    10.0
    """
    values, counts = histogram.cells()
    capped = np.minimum(values, cap.value)
    return Moments(float(histogram.n), *(math.fsum(counts * capped**power) for power in (1, 2, 3)))
