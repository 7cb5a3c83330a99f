"""Sufficient statistics of one arm: sums over units that merge by adding.

Everything in ``stats`` starts from these sums, never from rows, so a stored look can be decided
again, and days, segments and shards merge by ``+``.

A sum of squares of numbers far from zero loses digits: with a mean of a million standard deviations
a double keeps nothing of the variance. Every type here therefore takes its sums of ``y - shift``,
where ``shift`` is a constant near the mean that is stored with the metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.errors import MomentsError
from stats.sums.powers import PairSums, moved_powers, possible_square, summed_pairs

Array = NDArray[np.float64]

# Σy² may fall short of (Σy)²/n by rounding; a larger gap means the sums are of different samples.
_SLACK = 1e-9


@dataclass(frozen=True)
class AdditiveSums:
    """Sums over ``n`` units that merge by ``+``; fields that end in ``shift`` do not add."""

    n: float = 0.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not math.isfinite(value):
                raise MomentsError(f"{entry.name} is {value}: a sum must be a finite number")
            if self.n == 0 and value != 0 and not entry.kw_only:
                raise MomentsError(f"{entry.name} is {value:g}: it must be 0 without units")
        if self.n < 0:
            raise MomentsError(f"n is {self.n:g}: units cannot be negative")

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        if self.n == 0:
            return other
        moved = other._sharing(self)
        added = (a + b for a, b in zip(self.sums, moved.sums, strict=True))
        return type(self)(*added, **self.shifts)

    def _sharing(self, other: Self) -> Self:
        """Move to the shifts of ``other``."""
        raise NotImplementedError

    @property
    def sums(self) -> tuple[float, ...]:
        """All that adds, ``n`` first, in the order of the ``_arrays`` functions."""
        return tuple(getattr(self, entry.name) for entry in fields(self) if not entry.kw_only)

    @property
    def shifts(self) -> dict[str, float]:
        """What was taken off every value before it was summed, by name."""
        return {e.name: getattr(self, e.name) for e in fields(self) if e.kw_only}

    def _check_pair(self, name: str, first: float, second: float) -> None:
        if first * first > self.n * second * (1 + _SLACK) + 1e-300:
            raise MomentsError(
                f"no {self.n:g} units can have {name}1 = {first:g} and {name}2 = {second:g}"
            )

    def _check_product(self, name: str, product: float, one: float, other: float) -> None:
        if product**2 > one * other * (1 + _SLACK) + 1e-300:
            raise MomentsError(f"{name} = {product:g} is larger than its sums of squares allow")


@dataclass(frozen=True)
class Moments(AdditiveSums):
    """Sums over the units of one arm, one value ``y`` per unit.

    Parameters
    ----------
    n : float
        Units. Zero is allowed; a fraction is not refused (weighted units).
    s1, s2, s3 : float
        Sums of ``y - shift``, its square and its cube, in the metric's unit, squared, cubed. For a
        conversion (``y`` is 0 or 1, no shift) all three equal the number of conversions.
    shift : float, default 0.0
        A constant near the mean, in the metric's unit: the metric's mean before the experiment.

    Raises
    ------
    MomentsError
        If a sum is NaN or infinite, ``n`` is negative, or no sample can have these sums.

    Notes
    -----
    Additive: ``a + b`` are the sums of both samples together. Merging equals pooling; sums about
    another shift are moved to that of ``a`` (Pébay's update formulas [1]_). Ask for `mean`,
    `variance`, `third_central` and `total`, which do not depend on the shift.

    References
    ----------
    .. [1] P. Pébay, Sandia report SAND2008-6212 (2008), eqs. 1.1-1.4. :doi:`10.2172/1028931`

    Examples
    --------
    >>> from stats import Moments
    >>> Moments.of([1.0, 2.0, 6.0])
    Moments(n=3.0, s1=9.0, s2=41.0, s3=225.0, shift=0.0)
    >>> (Moments.of([1.0, 2.0], shift=2.0) + Moments.of([6.0])).mean
    3.0
    """

    s1: float = 0.0
    s2: float = 0.0
    s3: float = 0.0
    shift: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_pair("s", self.s1, self.s2)

    @classmethod
    def of(cls, values: Sequence[float], *, shift: float = 0.0) -> Moments:
        """Sum up raw values: for examples and tests, never for a large table."""
        apart = [float(y) - shift for y in values]
        return Moments(
            float(len(apart)),
            math.fsum(apart),
            math.fsum(y * y for y in apart),
            math.fsum(y**3 for y in apart),
            shift=shift,
        )

    @classmethod
    def conversions(cls, n: float, converted: float) -> Moments:
        """Sum up a conversion: y is 0 or 1, so every power has the same sum."""
        return Moments(float(n), float(converted), float(converted), float(converted))

    @classmethod
    def from_central(cls, n: float, mean: float, squares: float, cubes: float = 0.0) -> Moments:
        """Take what an engine returns that keeps central moments itself.

        ``squares`` and ``cubes`` are sums of ``(y - mean)**2`` and ``(y - mean)**3``, not divided
        by anything. Shards that are read so merge by ``+`` like all others.
        """
        return Moments(float(n), 0.0, float(squares), float(cubes), shift=float(mean))

    def _sharing(self, other: Self) -> Self:
        return self.about(other.shift)

    def about(self, shift: float = 0.0) -> Self:
        """Write the same units about another shift.

        Towards the mean digits that are lost do not come back; away from it more are lost.
        """
        if shift == self.shift:
            return self
        by = self.shift - shift
        s1, s2, s3 = moved_powers(self.n, (self.s1, self.s2, self.s3), by)
        s2 = possible_square(self.n, s1, s2)
        return replace(self, s1=s1, s2=s2, s3=s3, shift=shift)

    @property
    def total(self) -> float:
        """Sum of ``y``, in the metric's unit: the events, if ``y`` counts any."""
        return self.n * self.shift + self.s1

    @property
    def mean(self) -> float:
        """Mean of ``y``, in the metric's unit; NaN never: ask only with units."""
        if self.n == 0:
            raise MomentsError("no units: the mean does not exist")
        return self.shift + self.s1 / self.n

    @property
    def variance(self) -> float:
        """Variance of ``y`` (divisor ``n - 1``), in the metric's unit squared."""
        if self.n <= 1:
            raise MomentsError(f"{self.n:g} units: the variance does not exist")
        return max(0.0, self.s2 - self.s1 * self.s1 / self.n) / (self.n - 1)

    @property
    def third_central(self) -> float:
        """Mean of ``(y - mean)**3`` (divisor ``n``), in the metric's unit cubed."""
        if self.n == 0:
            raise MomentsError("no units: the third moment does not exist")
        mean = self.s1 / self.n
        return self.s3 / self.n - 3 * mean * self.s2 / self.n + 2 * mean**3

    def scaled(self, factor: float) -> Moments:
        """Measure the same units in another unit: ``y`` becomes ``factor * y``."""
        s1, s2, s3 = factor * self.s1, factor**2 * self.s2, factor**3 * self.s3
        return Moments(self.n, s1, s2, s3, shift=factor * self.shift)


@dataclass(frozen=True)
class CovariateMoments(Moments):
    """Sums of an outcome ``y`` and a pre-period covariate ``x`` of the same units.

    Parameters
    ----------
    n, s1, s2, s3 : float
        As in `Moments`.
    x1, x2, x3 : float
        Sums of ``x - x_shift``, its square and its cube.
    xy, x2y, xy2 : float
        Sums of ``x * y``, ``x**2 * y`` and ``x * y**2``, both less their shifts.
    shift, x_shift : float, default 0.0
        Constants near the means of ``y`` and ``x``.

    Raises
    ------
    MomentsError
        As in `Moments`, and if ``xy`` is larger than any correlation allows.

    Notes
    -----
    The covariate must be known before exposure; a later one would let the effect leak into it.

    Examples
    --------
    >>> both = CovariateMoments.of_pairs([1.0, 2.0, 6.0], [0.0, 1.0, 2.0])
    >>> both.covariate.mean, both.covariance
    (1.0, 2.5)
    """

    x1: float = 0.0
    x2: float = 0.0
    x3: float = 0.0
    xy: float = 0.0
    x2y: float = 0.0
    xy2: float = 0.0
    x_shift: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_pair("x", self.x1, self.x2)
        self._check_product("xy", self.xy, self.s2, self.x2)

    @classmethod
    def of_pairs(
        cls,
        values: Sequence[float],
        covariates: Sequence[float],
        *,
        shift: float = 0.0,
        x_shift: float = 0.0,
    ) -> CovariateMoments:
        """Sum up raw pairs: for examples and tests, never for a large table."""
        n, sums = summed_pairs(values, covariates, (shift, x_shift))
        return CovariateMoments(n, *sums, shift=shift, x_shift=x_shift)

    def _sharing(self, other: Self) -> Self:
        return self.about(other.shift, other.x_shift)

    def about(self, shift: float = 0.0, x_shift: float | None = None) -> Self:
        """Write the same units about other shifts; that of ``x`` stays unless given."""
        x_shift = self.x_shift if x_shift is None else x_shift
        if (shift, x_shift) == (self.shift, self.x_shift):
            return self
        moved = PairSums(*self.sums[1:]).moved(self.n, self.shift - shift, self.x_shift - x_shift)
        return type(self)(self.n, *moved, shift=shift, x_shift=x_shift)

    @property
    def outcome(self) -> Moments:
        """The sums of ``y`` alone."""
        return Moments(self.n, self.s1, self.s2, self.s3, shift=self.shift)

    @property
    def covariate(self) -> Moments:
        """The sums of ``x`` alone."""
        return Moments(self.n, self.x1, self.x2, self.x3, shift=self.x_shift)

    @property
    def covariance(self) -> float:
        """Covariance of ``x`` and ``y`` (divisor ``n - 1``)."""
        if self.n <= 1:
            raise MomentsError(f"{self.n:g} units: the covariance does not exist")
        return (self.xy - self.x1 * self.s1 / self.n) / (self.n - 1)

    def scaled(self, factor: float) -> CovariateMoments:
        """Measure the outcome in another unit: ``y`` becomes ``factor * y``, ``x`` stays."""
        y = self.outcome.scaled(factor)
        return replace(
            self,
            s1=y.s1,
            s2=y.s2,
            s3=y.s3,
            xy=factor * self.xy,
            x2y=factor * self.x2y,
            xy2=factor**2 * self.xy2,
            shift=y.shift,
        )


def central_arrays(sums: ArrayLike, shift: ArrayLike = 0.0) -> tuple[Array, Array, Array]:
    """Compute mean, variance and third central moment of many samples at once.

    Parameters
    ----------
    sums : array_like, shape (..., 4)
        ``n, s1, s2, s3`` in the last axis.
    shift : array_like, shape (...), default 0
        What was taken off every value.

    Returns
    -------
    tuple of ndarray, shape (...)
        `Moments.mean`, `Moments.variance`, `Moments.third_central`; NaN where they do not exist
        (no units; for the variance, fewer than two).
    """
    n, s1, s2, s3 = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = s1 / n
        variance = np.where(n > 1, np.maximum(0.0, s2 - s1 * mean) / (n - 1), np.nan)
        third = s3 / n - 3 * mean * s2 / n + 2 * mean**3
    return np.asarray(shift + mean), variance, third
