"""Sufficient statistics of one arm: sums over units that merge by adding.

Everything in ``stats`` starts from these sums, never from rows, so a stored look can be decided
again, and days, segments and shards merge by ``+``.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from typing import Self

from stats.errors import MomentsError

# Σy² may fall short of (Σy)²/n by rounding; a larger gap means the sums are of different samples.
_SLACK = 1e-9


@dataclass(frozen=True)
class Moments:
    """Sums over the units of one arm, one value ``y`` per unit.

    Parameters
    ----------
    n : float
        Units. Zero is allowed; a fraction is not refused (weighted units).
    s1, s2, s3 : float
        Sums of ``y``, ``y**2`` and ``y**3``, in the metric's unit, squared, cubed. For a conversion
        (``y`` is 0 or 1) all three equal the number of conversions.

    Raises
    ------
    MomentsError
        If a sum is NaN or infinite, ``n`` is negative, or no sample can have these sums.

    Notes
    -----
    Additive: ``a + b`` are the sums of both samples together. Merging equals pooling.

    Examples
    --------
    >>> from stats import Moments
    >>> Moments.of([1.0, 2.0, 6.0])
    Moments(n=3.0, s1=9.0, s2=41.0, s3=225.0)
    >>> (Moments.of([1.0, 2.0]) + Moments.of([6.0])).mean
    3.0
    """

    n: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    s3: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise MomentsError(f"{field.name} is {value}: a sum must be a finite number")
        if self.n < 0:
            raise MomentsError(f"n is {self.n:g}: units cannot be negative")
        self._check_pair("s", self.s1, self.s2)

    def _check_pair(self, name: str, first: float, second: float) -> None:
        if self.n == 0 and (first != 0 or second != 0):
            raise MomentsError(f"{name}1 and {name}2 must be 0 without units")
        if first * first > self.n * second * (1 + _SLACK) + 1e-300:
            raise MomentsError(
                f"no {self.n:g} units can have {name}1 = {first:g} and {name}2 = {second:g}"
            )

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @classmethod
    def of(cls, values: list[float]) -> Moments:
        """Sum up raw values: for examples and tests, never for a large table."""
        return Moments(
            float(len(values)),
            math.fsum(values),
            math.fsum(y * y for y in values),
            math.fsum(y**3 for y in values),
        )

    @classmethod
    def conversions(cls, n: float, converted: float) -> Moments:
        """Sum up a conversion: y is 0 or 1, so every power has the same sum."""
        return Moments(float(n), float(converted), float(converted), float(converted))

    @property
    def mean(self) -> float:
        """Mean of ``y``, in the metric's unit; NaN never: ask only with units."""
        if self.n == 0:
            raise MomentsError("no units: the mean does not exist")
        return self.s1 / self.n

    @property
    def variance(self) -> float:
        """Variance of ``y`` (divisor ``n - 1``), in the metric's unit squared."""
        if self.n <= 1:
            raise MomentsError(f"{self.n:g} units: the variance does not exist")
        return max(0.0, self.s2 - self.s1 * self.s1 / self.n) / (self.n - 1)

    def scaled(self, factor: float) -> Moments:
        """Measure the same units in another unit: ``y`` becomes ``factor * y``."""
        return Moments(self.n, factor * self.s1, factor**2 * self.s2, factor**3 * self.s3)


@dataclass(frozen=True)
class CovariateMoments(Moments):
    """Sums of an outcome ``y`` and a pre-period covariate ``x`` of the same units.

    Parameters
    ----------
    n, s1, s2, s3 : float
        As in `Moments`.
    x1, x2, x3 : float
        Sums of ``x``, ``x**2`` and ``x**3``.
    xy, x2y, xy2 : float
        Sums of ``x * y``, ``x**2 * y`` and ``x * y**2``.

    Raises
    ------
    MomentsError
        As in `Moments`, and if ``xy`` is larger than any correlation allows.

    Notes
    -----
    The covariate must be known before exposure; a later one would let the effect leak into it.
    """

    x1: float = 0.0
    x2: float = 0.0
    x3: float = 0.0
    xy: float = 0.0
    x2y: float = 0.0
    xy2: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_pair("x", self.x1, self.x2)
        if self.xy**2 > self.s2 * self.x2 * (1 + _SLACK) + 1e-300:
            raise MomentsError(f"xy = {self.xy:g} is larger than its sums of squares allow")

    @classmethod
    def of_pairs(cls, values: list[float], covariates: list[float]) -> CovariateMoments:
        """Sum up raw pairs: for examples and tests, never for a large table."""
        pairs = list(zip(values, covariates, strict=True))
        return CovariateMoments(
            float(len(pairs)),
            math.fsum(values),
            math.fsum(y * y for y in values),
            math.fsum(y**3 for y in values),
            math.fsum(covariates),
            math.fsum(x * x for x in covariates),
            math.fsum(x**3 for x in covariates),
            math.fsum(x * y for y, x in pairs),
            math.fsum(x * x * y for y, x in pairs),
            math.fsum(x * y * y for y, x in pairs),
        )
