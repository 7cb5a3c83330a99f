"""Sums over the same units at two consecutive looks: how much a look repeats the one before.

A total that keeps growing after a unit entered (revenue so far, ever converted) does not gain
information as its units do. These sums tell how closely its estimates at two looks are tied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from stats.errors import MomentsError
from stats.sums.moments import AdditiveSums, Moments
from stats.sums.powers import moved_powers, possible_product, possible_square


@dataclass(frozen=True)
class ConsecutiveSums(AdditiveSums):
    """Sums over the units of one arm, a value at the look before and a value now.

    Parameters
    ----------
    n : float
        Units present now.
    now1, now2 : float
        Sums of ``y - shift`` and its square now, over the units present now.
    n_before : float
        Units present at the look before.
    before1, before2 : float
        Sums of ``y - shift`` and its square at the look before, over the units present then.
    n_both : float
        Units present at both looks: all of ``n_before``, unless some were taken out since.
    both_before, both_now, both_product : float
        Sums over the units present at both looks: of ``y - shift`` before, of ``y - shift`` now,
        and of the product of the two.
    shift : float, default 0.0
        A constant near the mean, in the metric's unit: see `Moments`.

    Raises
    ------
    MomentsError
        If a sum is NaN or infinite, a number of units is negative or contradicts the others, or no
        sample can have these sums.

    Notes
    -----
    Additive over shards and segments of the same two looks, never over looks.

    Examples
    --------
    >>> arm = ConsecutiveSums.of([0.0, 2.0], [1.0, 2.0, 5.0])
    >>> arm.n_both, arm.both_product, arm.covariance
    (2.0, 4.0, 1.0)
    """

    now1: float = 0.0
    now2: float = 0.0
    n_before: float = 0.0
    before1: float = 0.0
    before2: float = 0.0
    n_both: float = 0.0
    both_before: float = 0.0
    both_now: float = 0.0
    both_product: float = 0.0
    shift: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_pair("now", self.now1, self.now2)
        # Moments refuse what no sample can have.
        Moments(self.n_before, self.before1, self.before2)
        if not 0 <= self.n_both <= min(self.n, self.n_before):
            raise MomentsError(
                f"{self.n_both:g} units cannot be in both {self.n_before:g} and {self.n:g}"
            )
        self._check_product("both_product", self.both_product, self.before2, self.now2)
        for name, total, squares in (
            ("both_before", self.both_before, self.before2),
            ("both_now", self.both_now, self.now2),
        ):
            self._check_product(name, total, self.n_both, squares)

    @classmethod
    def of(
        cls, before: Sequence[float], now: Sequence[float], *, shift: float = 0.0
    ) -> ConsecutiveSums:
        """Sum up raw values: for examples and tests, never for a large table.

        The first units of ``now`` are those of ``before``, in the same order.
        """
        if len(before) > len(now):
            raise MomentsError("units of the look before are missing now")
        old, new = np.asarray(before, float) - shift, np.asarray(now, float) - shift
        both = new[: old.size]
        return cls(
            float(new.size),
            float(new.sum()),
            float(new @ new),
            float(old.size),
            float(old.sum()),
            float(old @ old),
            float(old.size),
            float(old.sum()),
            float(both.sum()),
            float(old @ both),
            shift=shift,
        )

    @property
    def now(self) -> Moments:
        """The units of this look; without third powers."""
        return Moments(self.n, self.now1, self.now2, shift=self.shift)

    @property
    def before(self) -> Moments:
        """The units of the look before; without third powers."""
        return Moments(self.n_before, self.before1, self.before2, shift=self.shift)

    @property
    def covariance(self) -> float:
        """Covariance of a unit's two values (divisor ``n_both - 1``), in the unit squared."""
        if self.n_both <= 1:
            raise MomentsError(f"{self.n_both:g} units at both looks: no covariance exists")
        together = self.both_product - self.both_before * self.both_now / self.n_both
        return together / (self.n_both - 1)

    @property
    def covariance_of_means(self) -> float:
        """Covariance of the arm's means at the two looks, in the metric's unit squared."""
        return self.covariance * self.n_both / (self.n_before * self.n)

    def about(self, shift: float = 0.0) -> Self:
        """Write the same units about another shift."""
        by = self.shift - shift
        now1, now2, _ = moved_powers(self.n, (self.now1, self.now2, 0.0), by)
        before1, before2, _ = moved_powers(self.n_before, (self.before1, self.before2, 0.0), by)
        now2 = possible_square(self.n, now1, now2)
        before2 = possible_square(self.n_before, before1, before2)
        pair = self.both_before + self.both_now
        product = self.both_product + by * pair + self.n_both * by * by
        return replace(
            self,
            now1=now1,
            now2=now2,
            before1=before1,
            before2=before2,
            both_before=possible_product(self.both_before + self.n_both * by, self.n_both, before2),
            both_now=possible_product(self.both_now + self.n_both * by, self.n_both, now2),
            both_product=possible_product(product, before2, now2),
            shift=shift,
        )

    def _sharing(self, other: Self) -> Self:
        return self.about(other.shift)
