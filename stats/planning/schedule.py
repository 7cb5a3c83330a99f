"""When a plan looks, how many units it then has, and what each look may say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stats.decision.plan import DecisionPlan
from stats.errors import PlanError


@dataclass(frozen=True)
class Schedule:
    """The looks of a plan, as they are expected.

    Parameters
    ----------
    times : tuple of float
        Spending time of every look, rising; 1 is the planned horizon.
    units : tuple of tuple of float
        Matured units of every arm at every look, control first, never falling.
    may_ship, may_be_futile : tuple of bool
        Which looks may prove value, or futility. The last look is the deadline.

    Raises
    ------
    PlanError
        If the parts have different lengths, or a number goes back.
    """

    times: tuple[float, ...]
    units: tuple[tuple[float, ...], ...]
    may_ship: tuple[bool, ...]
    may_be_futile: tuple[bool, ...]

    def __post_init__(self) -> None:
        looks = len(self.times)
        if looks == 0 or {len(self.units), len(self.may_ship), len(self.may_be_futile)} != {looks}:
            raise PlanError("every look needs its time, units, and what it may say")
        if not self.times[0] >= 0 or not self.times[-1] < math.inf:
            raise PlanError("spending times must be finite and not negative")
        if any(a >= b for a, b in pairwise(self.times)):
            raise PlanError("spending times must rise")
        if len({len(row) for row in self.units}) != 1 or min(self.units[0]) < 0:
            raise PlanError("every look needs as many arms, and no arm has less than no units")
        for before, after in pairwise(self.units):
            if any(a > b for a, b in zip(before, after, strict=True)):
                raise PlanError("units cannot become fewer")

    @classmethod
    def daily(
        cls,
        plan: DecisionPlan,
        units: float | Sequence[float],
        *,
        days: int = 28,
        horizon_days: int | None = None,
        minimum_days: int = 7,
        ship_every_days: int = 7,
        looks_per_day: int = 1,
    ) -> Schedule:
        """Plan daily looks; ship at whole weeks, nothing but harm before the first.

        Parameters
        ----------
        plan : DecisionPlan
            Its weights divide the units.
        units : float or sequence of float
            Matured units of all arms together: at the horizon, if they come evenly, or by the end
            of each day.
        days : int, default 28
            Day of the last look.
        horizon_days : int, optional
            Day at which the spending time is 1. Default: ``days``; fewer leave an extension.
        minimum_days, ship_every_days : int, default 7
            Neither shipping nor futility before; shipping only at multiples, and at the last look.
        looks_per_day : int, default 1
            Looks at harm may be more frequent.

        Raises
        ------
        PlanError
            If a number is not positive.

        Examples
        --------
        >>> from stats import DecisionPlan, MetricSpec, Role, Schedule
        >>> plan = DecisionPlan(("old", "new"), (1, 1), (MetricSpec("buys", Role.SUCCESS),))
        >>> Schedule.daily(plan, 2800, days=14, horizon_days=28).units[6]
        (350.0, 350.0)
        """
        horizon = days if horizon_days is None else horizon_days
        if min(days, horizon, ship_every_days, looks_per_day) < 1 or minimum_days < 0:
            raise PlanError("days and looks must be positive")
        moments = [(k + 1) / looks_per_day for k in range(days * looks_per_day)]
        if isinstance(units, Sequence):
            ends = [0.0, *map(float, units)]
            if len(ends) <= days:
                raise PlanError(f"{days} days need {days} numbers of units, not {len(units)}")
            totals = [_between(ends, moment) for moment in moments]
        else:
            totals = [units * moment / horizon for moment in moments]
        shares = [weight / sum(plan.weights) for weight in plan.weights]
        whole = [(m >= minimum_days and m % ship_every_days == 0) or m == days for m in moments]
        return cls(
            tuple(m / horizon for m in moments),
            tuple(tuple(total * share for share in shares) for total in totals),
            tuple(whole),
            tuple(m >= min(minimum_days, days) for m in moments),
        )

    @classmethod
    def from_traffic(
        cls,
        plan: DecisionPlan,
        traffic: Sequence[float],
        *,
        days: int = 28,
        share: float = 1.0,
        window_days: int = 0,
        minimum_days: int = 7,
        ship_every_days: int = 7,
    ) -> Schedule:
        """Plan daily looks at the units that a forecast of new units promises.

        Parameters
        ----------
        plan : DecisionPlan
            Its weights divide the units.
        traffic : sequence of float
            New units of each day. A shorter forecast goes on with its last week.
        days : int, default 28
            The deadline.
        share : float, default 1
            Share of the traffic that takes part, above 0, at most 1.
        window_days : int, default 0
            Days until a unit's outcome counts: who comes later than that before a look is not
            matured then.
        minimum_days, ship_every_days
            As in `daily`.

        Raises
        ------
        PlanError
            If there is no traffic, or a number is outside its range.
        """
        if not traffic or not all(0 <= new < math.inf for new in traffic) or not sum(traffic) > 0:
            raise PlanError("a forecast needs days with units, none of them negative")
        if not 0 < share <= 1:
            raise PlanError(f"a share of {share} is not above 0 and at most 1")
        if not 0 <= window_days < days:
            raise PlanError(f"a window of {window_days} days leaves no unit matured by day {days}")
        week = traffic[-7:]
        units, total = [], 0.0
        for day in range(days):
            arrived = day - window_days
            if arrived >= 0:
                over = arrived - len(traffic)
                total += share * (traffic[arrived] if over < 0 else week[over % len(week)])
            units.append(total)
        return cls.daily(
            plan, units, days=days, minimum_days=minimum_days, ship_every_days=ship_every_days
        )

    @property
    def looks(self) -> int:
        """How many looks there are."""
        return len(self.times)

    @property
    def last_by_horizon(self) -> int:
        """Index of the last look that is not after the horizon; -1 if there is none."""
        return sum(time <= 1 + 1e-12 for time in self.times) - 1


def _between(ends: Sequence[float], moment: float) -> float:
    day = min(int(moment), len(ends) - 2)
    return ends[day] + (moment - day) * (ends[day + 1] - ends[day])


def looks_with_news(units: Sequence[float], minimum_units: float, minimum_gain: float) -> list[int]:
    """List the looks at which `decide` tests.

    A look is passed over while it has fewer than ``minimum_units`` units, or has gained less than
    ``minimum_gain`` of them since the last tested one; the final look counts whatever it gained.
    """
    tested: list[int] = []
    for look, n in enumerate(units):
        gained = not tested or look == len(units) - 1
        if n >= minimum_units and (gained or n >= units[tested[-1]] * (1 + minimum_gain)):
            tested.append(look)
    return tested


def acted_on(tested: Sequence[int], acting: Sequence[bool]) -> list[int]:
    """List the tested looks at which a test can end an experiment, and so spends error.

    What a look saw stands until the next tested one: it is acted on if any look up to there acts.
    """
    ends = [*tested[1:], len(acting)][: len(tested)]
    return [look for look, end in zip(tested, ends, strict=True) if any(acting[look:end])]
