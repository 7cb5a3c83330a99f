"""How many days a proof takes, which metric stands in the way, and what would help."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from stats.decision.plan import DecisionPlan
from stats.decision.policy import Policy
from stats.errors import PlanError
from stats.planning.outlook import Deadline, outlook, suffices
from stats.planning.schedule import Schedule
from stats.planning.worlds import World

#: Longest deadline that is tried: half a year.
LONGEST_DAYS = 182


@dataclass(frozen=True)
class Duration:
    """How long a proof takes.

    Parameters
    ----------
    deadlines : tuple of Deadline
        One for each whole week up to the wanted deadline, and the wanted one itself, last.
    days : int or None
        First whole week that is enough, also if it is after the wanted deadline; None if it is
        more than `LONGEST_DAYS` away.
    """

    deadlines: tuple[Deadline, ...]
    days: int | None

    @property
    def wanted(self) -> Deadline:
        """The deadline that was asked for."""
        return self.deadlines[-1]


@dataclass(frozen=True)
class Remedies:
    """What would make a deadline enough, each taken alone; None where it cannot.

    Parameters
    ----------
    share : float or None
        Share of the traffic to take in.
    correlation : float or None
        Correlation of the outcome with a pre-period covariate (CUPED), for every metric that lacks
        units.
    targets : tuple of (str, float)
        MDE or margin of each metric that lacks units, as these units would show it.
    even_split : bool
        Whether control and treatment of equal size would do.
    days : int or None
        A later deadline.
    """

    share: float | None
    correlation: float | None
    targets: tuple[tuple[str, float], ...]
    even_split: bool
    days: int | None


def duration(
    plan: DecisionPlan,
    world: World,
    traffic: Sequence[float],
    *,
    days: int = 28,
    share: float = 1.0,
    window_days: int = 0,
    minimum_days: int = 7,
    policy: Policy | None = None,
    power: float = 0.8,
) -> Duration:
    """Say how many days a proof takes.

    Parameters
    ----------
    plan, world, policy, power
        As in `outlook`.
    traffic, share, window_days, minimum_days
        As in `Schedule.from_traffic`.
    days : int, default 28
        The wanted deadline, at least ``minimum_days``.

    Returns
    -------
    Duration
        An outlook for every week up to the deadline, and the first week that is enough.

    Raises
    ------
    PlanError, ParameterError
        As `outlook` and `Schedule.from_traffic`.

    Notes
    -----
    A deadline is fixed before the start. Starting with a short one and extending it costs the tenth
    of the error that is kept for that, not more.

    Examples
    --------
    >>> from stats import Baseline, DecisionPlan, MetricSpec, Role, World, duration
    >>> plan = DecisionPlan(
    ...     ("old", "new"), (1, 1), (MetricSpec("buys", Role.SUCCESS, binary=True, mde=0.05),)
    ... )
    >>> world = World({"buys": Baseline.of_rate(0.1)})
    >>> duration(plan, world, [5000.0], days=28).days
    28
    """
    if days < max(minimum_days, window_days + 1, 1):
        raise PlanError(f"{days} days are too few: a proof needs {minimum_days} and its window")

    def looks(deadline: int) -> Schedule:
        return Schedule.from_traffic(
            plan,
            traffic,
            days=deadline,
            share=share,
            window_days=window_days,
            minimum_days=minimum_days,
        )

    def at(deadline: int) -> Deadline:
        return outlook(plan, world, looks(deadline), days=deadline, policy=policy, power=power)

    def enough(deadline: int) -> bool:
        return suffices(plan, world, looks(deadline), policy=policy, power=power)

    first = max(minimum_days, window_days + 1, 1)
    first += -first % 7
    weeks = [at(deadline) for deadline in range(first, days, 7)] + [at(days)]
    found = next((deadline.days for deadline in weeks if deadline.is_enough), None)
    if found is None:
        # More days never need more units than they bring: halve the rest of the half year.
        later = range(days + 7 - days % 7, LONGEST_DAYS + 1, 7)
        place = bisect.bisect_left(later, True, key=enough)
        found = later[place] if place < len(later) else None
    return Duration(tuple(weeks), found)


def remedies(plan: DecisionPlan, found: Duration, *, share: float = 1.0) -> Remedies:
    """Say what would make the wanted deadline enough.

    Parameters
    ----------
    plan : DecisionPlan
        The plan that `duration` was asked about.
    found : Duration
        Its answer.
    share : float, default 1
        Share of the traffic it was asked for.
    """
    wanted = found.wanted
    factor = wanted.binding.lacking
    larger = share * factor
    weights = [weight / sum(plan.weights) for weight in plan.weights]
    # Variance of a difference, in shares of what it would be with two equal arms.
    smallest = min(weights[1:])
    waste = (1 / weights[0] + 1 / smallest) / (2 * len(weights))
    return Remedies(
        larger if larger <= 1 else None,
        math.sqrt(1 - 1 / factor) if factor > 1 else 0.0,
        tuple((m.metric, m.detectable) for m in wanted.metrics if m.lacking > 1),
        factor <= waste,
        found.days,
    )
