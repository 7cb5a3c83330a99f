"""Sums of a numerator and a denominator per unit: clicks per session, revenue per order.

The unit is what was randomised, usually a user. A metric of rows, such as the mean of all requests,
is the same thing: per unit, the sum of its rows over their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Self

import numpy as np

from stats.errors import MomentsError
from stats.sums.moments import AdditiveSums, Array, Moments
from stats.sums.powers import PairSums, possible_product, possible_square, summed_pairs


@dataclass(frozen=True)
class RatioMoments(AdditiveSums):
    """Sums over the units of one arm, a numerator ``m`` and a denominator ``d`` per unit.

    Parameters
    ----------
    n : float
        Units.
    m1, m2, m3 : float
        Sums of ``m - m_shift``, its square and its cube.
    d1, d2, d3 : float
        Sums of ``d - d_shift``, its square and its cube.
    md, md2, m2d : float
        Sums of ``m * d``, ``m * d**2`` and ``m**2 * d``, both less their shifts.
    m_shift, d_shift : float, default 0.0
        Constants near the means of ``m`` and ``d``: see `Moments`.

    Raises
    ------
    MomentsError
        If a sum is NaN or infinite, ``n`` is negative, or no sample can have these sums.

    Notes
    -----
    Additive: merging equals pooling. The third powers are there because the cube of ``m - R d``
    expands into them (STATISTICS.md 5); leave them 0 if no decision is taken.

    Examples
    --------
    >>> RatioMoments.of([2.0, 3.0], [4.0, 1.0]).ratio
    1.0
    """

    m1: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    d1: float = 0.0
    d2: float = 0.0
    d3: float = 0.0
    md: float = 0.0
    md2: float = 0.0
    m2d: float = 0.0
    m_shift: float = field(default=0.0, kw_only=True)
    d_shift: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_pair("m", self.m1, self.m2)
        self._check_pair("d", self.d1, self.d2)
        self._check_product("md", self.md, self.m2, self.d2)

    def _sharing(self, other: Self) -> Self:
        return self.about(other.m_shift, other.d_shift)

    @classmethod
    def of(
        cls,
        numerators: Sequence[float],
        denominators: Sequence[float],
        *,
        m_shift: float = 0.0,
        d_shift: float = 0.0,
    ) -> RatioMoments:
        """Sum up raw units: for examples and tests, never for a large table."""
        n, sums = summed_pairs(numerators, denominators, (m_shift, d_shift))
        return RatioMoments(n, *sums, m_shift=m_shift, d_shift=d_shift)

    def about(self, m_shift: float = 0.0, d_shift: float = 0.0) -> Self:
        """Write the same units about other shifts."""
        if (m_shift, d_shift) == (self.m_shift, self.d_shift):
            return self
        by = self.m_shift - m_shift, self.d_shift - d_shift
        moved = PairSums(*self.sums[1:]).moved(self.n, *by)
        return type(self)(self.n, *moved, m_shift=m_shift, d_shift=d_shift)

    @property
    def numerator(self) -> Moments:
        """The sums of ``m`` alone."""
        return Moments(self.n, self.m1, self.m2, self.m3, shift=self.m_shift)

    @property
    def denominator(self) -> Moments:
        """The sums of ``d`` alone."""
        return Moments(self.n, self.d1, self.d2, self.d3, shift=self.d_shift)

    @property
    def ratio(self) -> float:
        """Sum of ``m`` over sum of ``d``."""
        return _quotient(self.numerator.total, self.denominator.total)

    def scaled(self, m_factor: float, d_factor: float = 1.0) -> Self:
        """Measure numerator and denominator in other units."""
        m, d = self.numerator.scaled(m_factor), self.denominator.scaled(d_factor)
        crossed = (
            m_factor * d_factor * self.md,
            m_factor * d_factor**2 * self.md2,
            m_factor**2 * d_factor * self.m2d,
        )
        sums = (*m.sums, *d.sums[1:], *crossed)
        return type(self)(*sums, m_shift=m.shift, d_shift=d.shift)


PRODUCTS = tuple(combinations_with_replacement(range(4), 2))
"""Which two columns each product of `RatioCovariateMoments` multiplies, in its order."""


@dataclass(frozen=True)
class RatioCovariateMoments(AdditiveSums):
    """Sums of a ratio's numerator and denominator, now and in the pre-period.

    Parameters
    ----------
    n : float
        Units.
    m, d, pre_m, pre_d : float
        Sums of numerator and denominator, after exposure and before, less their shifts.
    m_m, m_d, m_pre_m, m_pre_d, d_d, d_pre_m, d_pre_d, pre_m_pre_m, pre_m_pre_d, pre_d_pre_d : float
        Sums of the ten products of two of them.
    m_shift, d_shift, pre_m_shift, pre_d_shift : float, default 0.0
        Constants near the four means.

    Raises
    ------
    MomentsError
        If a sum is NaN or infinite, ``n`` is negative, or no sample can have these sums.

    Notes
    -----
    Additive: merging equals pooling. No third powers: there would be twenty.
    """

    m: float = 0.0
    d: float = 0.0
    pre_m: float = 0.0
    pre_d: float = 0.0
    m_m: float = 0.0
    m_d: float = 0.0
    m_pre_m: float = 0.0
    m_pre_d: float = 0.0
    d_d: float = 0.0
    d_pre_m: float = 0.0
    d_pre_d: float = 0.0
    pre_m_pre_m: float = 0.0
    pre_m_pre_d: float = 0.0
    pre_d_pre_d: float = 0.0
    m_shift: float = field(default=0.0, kw_only=True)
    d_shift: float = field(default=0.0, kw_only=True)
    pre_m_shift: float = field(default=0.0, kw_only=True)
    pre_d_shift: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("m", "d", "pre_m", "pre_d")
        products = dict(zip(PRODUCTS, self.sums[5:], strict=True))
        for k, name in enumerate(names):
            self._check_pair(name, self.sums[1 + k], products[k, k])
        for (i, j), product in products.items():
            self._check_product(f"{names[i]}_{names[j]}", product, products[i, i], products[j, j])

    def _sharing(self, other: Self) -> Self:
        return self.about(*other.shifts.values())

    @classmethod
    def of(
        cls,
        numerators: Sequence[float],
        denominators: Sequence[float],
        pre_numerators: Sequence[float],
        pre_denominators: Sequence[float],
    ) -> RatioCovariateMoments:
        """Sum up raw units: for examples and tests, never for a large table."""
        columns = (numerators, denominators, pre_numerators, pre_denominators)
        rows = [tuple(map(float, row)) for row in zip(*columns, strict=True)]
        return RatioCovariateMoments(
            float(len(rows)),
            *(math.fsum(row[k] for row in rows) for k in range(4)),
            *(math.fsum(row[i] * row[j] for row in rows) for i, j in PRODUCTS),
        )

    def about(
        self,
        m_shift: float = 0.0,
        d_shift: float = 0.0,
        pre_m_shift: float = 0.0,
        pre_d_shift: float = 0.0,
    ) -> Self:
        """Write the same units about other shifts."""
        shifts = (m_shift, d_shift, pre_m_shift, pre_d_shift)
        if shifts == tuple(self.shifts.values()):
            return self
        by = [old - new for old, new in zip(self.shifts.values(), shifts, strict=True)]
        old = self.sums[1:5]
        first = [total + self.n * part for total, part in zip(old, by, strict=True)]
        moved = {
            (i, j): product + by[j] * old[i] + by[i] * old[j] + self.n * by[i] * by[j]
            for (i, j), product in zip(PRODUCTS, self.sums[5:], strict=True)
        }
        for k in range(4):
            moved[k, k] = possible_square(self.n, first[k], moved[k, k])
        products = (possible_product(moved[i, j], moved[i, i], moved[j, j]) for i, j in PRODUCTS)
        names = dict(zip(self.shifts, shifts, strict=True))
        return type(self)(self.n, *first, *products, **names)

    @property
    def means(self) -> Array:
        """Means of ``m, d, pre_m, pre_d``, shape (4,)."""
        if self.n == 0:
            raise MomentsError("no units: the means do not exist")
        return np.array(list(self.shifts.values())) + np.array(self.sums[1:5]) / self.n

    @property
    def covariances(self) -> Array:
        """Covariance matrix of ``m, d, pre_m, pre_d`` (divisor ``n - 1``), shape (4, 4)."""
        if self.n <= 1:
            raise MomentsError(f"{self.n:g} units: covariances do not exist")
        matrix = np.empty((4, 4))
        for (i, j), product in zip(PRODUCTS, self.sums[5:], strict=True):
            matrix[i, j] = matrix[j, i] = product
        first = np.array(self.sums[1:5])
        centred: Array = (matrix - np.outer(first, first) / self.n) / (self.n - 1)
        return centred

    @property
    def ratio(self) -> float:
        """Sum of ``m`` over sum of ``d``, after exposure."""
        m, d, _, _ = self.means
        return _quotient(float(m), float(d))

    @property
    def pre_ratio(self) -> float:
        """The same, before exposure."""
        _, _, m, d = self.means
        return _quotient(float(m), float(d))


def _quotient(numerator: float, denominator: float) -> float:
    if denominator == 0:
        raise MomentsError("the denominator sums to zero: the ratio does not exist")
    return numerator / denominator
