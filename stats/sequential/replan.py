"""Changing the planned size of a running experiment without spending error twice.

Lan and DeMets (1983) let the remaining looks be rescheduled as long as nobody chose them by the
effect. So a new plan is made from the sums of both arms *together*, which do not show the effect:
that is all that `PooledPlan` takes. The error spent so far stays spent; what remains is spent along
the same function on the new clock, on which the last look has a new time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stats.errors import NotEnoughDataError, ParameterError, SpendingError
from stats.sequential.spending import SpendingFunction
from stats.sums.moments import Moments


@dataclass(frozen=True)
class PooledPlan:
    """A planned number of units, chosen without looking at the effect.

    Parameters
    ----------
    units : float
        Units of both arms together by the horizon.
    units_now : float
        Units of both arms together at the last look.

    Raises
    ------
    ParameterError
        If a number is not positive and finite.
    """

    units: float
    units_now: float

    def __post_init__(self) -> None:
        if not (0 < self.units < math.inf and 0 < self.units_now < math.inf):
            raise ParameterError(f"{self.units_now:g} of {self.units:g} units is no plan")

    @property
    def time(self) -> float:
        """Time of the last look on the new clock."""
        return self.units_now / self.units

    @classmethod
    def from_pooled(
        cls,
        pooled: Moments,
        *,
        difference: float,
        drift: float,
        treatment_share: float = 0.5,
    ) -> PooledPlan:
        """Plan again with the variance that both arms show together.

        ``units = (drift / difference)**2 * variance / (share (1 - share))``.

        Parameters
        ----------
        pooled : Moments
            Sums of both arms added, at the last look. One value: there is no place for two arms.
        difference : float
            Smallest effect worth finding, in the metric's unit; its sign does not matter.
        drift : float
            Mean of the statistic at the horizon that gives the power: `required_drift`.
        treatment_share : float, default 0.5
            Share of the units that are in the treatment, between 0 and 1.

        Returns
        -------
        PooledPlan
            What to hand to `Bounds.replan`.

        Raises
        ------
        ParameterError
            If an argument is outside its range.
        NotEnoughDataError
            If the units do not vary, or there are fewer than two.

        Notes
        -----
        The pooled variance is too large by ``share (1 - share) effect**2``: a little cautious.

        Examples
        --------
        >>> both = Moments.conversions(20_000, 2_000)
        >>> plan = PooledPlan.from_pooled(both, difference=0.005, drift=2.913)
        >>> round(plan.units), round(plan.time, 4)
        (122198, 0.1637)
        """
        if not (0 < abs(difference) < math.inf and 0 < drift < math.inf):
            raise ParameterError(f"difference {difference} and drift {drift} plan nothing")
        if not 0 < treatment_share < 1:
            raise ParameterError(f"the treatment's share is {treatment_share}")
        if pooled.n < 2 or pooled.variance <= 0:
            raise NotEnoughDataError("PooledPlan", pooled.n, 0, "both arms together must vary")
        variance = pooled.variance / (treatment_share * (1 - treatment_share))
        return cls((drift / difference) ** 2 * variance, pooled.n)


@dataclass(frozen=True)
class Replanned:
    """Spending that was put on a new clock at one look.

    Its own clock never falls: it runs as before up to ``at``, and from there as fast as the new
    one. `time` translates.

    Parameters
    ----------
    before : SpendingFunction
        Spending up to the look at which the plan changed.
    at : float
        Spending time of that look, on the clock of ``before``.
    restart : float
        Time of that look on the new clock: its units over the newly planned ones.

    Raises
    ------
    SpendingError
        If a time is negative, NaN or infinite.

    Notes
    -----
    Spends ``A + (alpha - A) (f(t) - f(restart)) / (alpha - f(restart))`` by the new time ``t``,
    where ``A`` was spent before and ``f`` is the function first planned: never above alpha.
    """

    before: SpendingFunction
    at: float
    restart: float

    def __post_init__(self) -> None:
        for time in (self.at, self.restart):
            if not 0 <= time < math.inf:
                raise SpendingError(f"spending time {time} is no time")

    @property
    def alpha(self) -> float:
        """One-sided error over all looks, as planned first."""
        return self.before.alpha

    @property
    def shape(self) -> SpendingFunction:
        """The function planned first, whose remainder is spent on the new clock."""
        return self.before.shape if isinstance(self.before, Replanned) else self.before

    def time(self, time: float) -> float:
        """Translate a time on the new clock into this spending's own.

        Raises
        ------
        SpendingError
            If it lies before the look at which the plan changed.
        """
        if not self.restart <= time < math.inf:
            raise SpendingError(
                f"spending time goes back: {time:g} on the new clock, replanned at {self.restart:g}"
            )
        return self.at + (time - self.restart)

    def new_time(self, time: float) -> float:
        """Translate a time on this spending's own clock into one on the new clock."""
        return self.restart + (time - self.at)

    def spent(self, time: float) -> float:
        """Tell the error spent by ``time`` on this spending's own clock."""
        if time <= self.at:
            return self.before.spent(time)
        kept = self.before.spent(self.at)
        base = self.shape.spent(self.restart)
        left = self.alpha - base
        if left <= 0:
            # The new horizon is already behind, and the shape keeps nothing for afterwards.
            return self.alpha
        now = self.shape.spent(self.new_time(time))
        return min(self.alpha, kept + (self.alpha - kept) * ((now - base) / left))

    def with_alpha(self, alpha: float) -> Replanned:
        """Spend another error in the same manner."""
        return Replanned(self.before.with_alpha(alpha), self.at, self.restart)
