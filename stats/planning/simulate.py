"""What a whole plan will do: how often it is right, how often wrong, and when it ends.

Error rates are promised test by test (STATISTICS.md 1.14, propositions 2 to 5). A decision of many
tests is only known by trying it: `operating_characteristics` runs the rule itself over thousands of
simulated experiments in worlds where the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stats.decision.plan import DecisionPlan, Role
from stats.decision.policy import Policy
from stats.decision.result import Verdict
from stats.errors import ParameterError, PlanError
from stats.planning.rule import ENDS, Endings, follow
from stats.planning.schedule import Schedule
from stats.planning.worlds import Truth, World, draw_sums, standard_truths

# Trajectories that are followed at once: their sums should stay in the processor's cache.
_AT_ONCE = 500


@dataclass(frozen=True)
class Simulated:
    """A number found by simulation, and its Monte Carlo standard error."""

    value: float
    se: float


@dataclass(frozen=True)
class Prospect:
    """How experiments in one world end.

    Parameters
    ----------
    replicas : int
        Simulated experiments.
    times : tuple of float
        Spending time of every look: 1 is the planned horizon.
    ended : mapping of Verdict to tuple of int
        How many ended with this verdict, look by look.
    winners : mapping of str to int
        How often each treatment arm was proven.
    """

    replicas: int
    times: tuple[float, ...]
    ended: Mapping[Verdict, tuple[int, ...]]
    winners: Mapping[str, int]

    def probability(self, *verdicts: Verdict, by: float = math.inf) -> Simulated:
        """Estimate the chance to end with one of ``verdicts``, by a spending time."""
        looks = sum(time <= by * (1 + 1e-9) for time in self.times)
        hits = sum(sum(self.ended[verdict][:looks]) for verdict in verdicts)
        share = hits / self.replicas
        # Of no hits, or of nothing but hits, one could have been different.
        spread = max(share * (1 - share), 1 / self.replicas * (1 - 1 / self.replicas))
        return Simulated(share, math.sqrt(spread / self.replicas))

    def proven(self, by: float = math.inf) -> Simulated:
        """Estimate the chance to prove value (or no harm): what would ship."""
        return self.probability(Verdict.VALUE_PROVEN, Verdict.NO_HARM_PROVEN, by=by)

    def stopped(self, by: float = math.inf) -> Simulated:
        """Estimate the chance to be stopped for harm."""
        return self.probability(Verdict.HARM, by=by)

    def given_up(self, by: float = math.inf) -> Simulated:
        """Estimate the chance to be called futile."""
        return self.probability(Verdict.FUTILE, by=by)

    def won_by(self, arm: str) -> Simulated:
        """Estimate the chance that this arm is proven, and the best of those that are."""
        share = self.winners[arm] / self.replicas
        return Simulated(share, math.sqrt(max(share * (1 - share), 0.0) / self.replicas))

    @property
    def mean_end(self) -> Simulated:
        """Mean time of the verdict, in horizons."""
        counts = np.sum([self.ended[verdict] for verdict in ENDS], axis=0)
        times = np.array(self.times)
        mean = float(counts @ times) / self.replicas
        variance = float(counts @ (times - mean) ** 2) / self.replicas
        return Simulated(mean, math.sqrt(variance / self.replicas))

    def median_end(self, *verdicts: Verdict) -> float:
        """Tell when half of the experiments had ended with one of ``verdicts`` (default: any).

        In horizons; ``inf`` if fewer than half ever do.
        """
        chosen = [self.ended[verdict] for verdict in verdicts or ENDS]
        reached = np.cumsum(np.sum(chosen, axis=0)) * 2 >= self.replicas
        return self.times[int(reached.argmax())] if reached.any() else math.inf


@dataclass(frozen=True)
class OperatingCharacteristics:
    """What a plan does in each of several worlds.

    Parameters
    ----------
    prospects : mapping of str to Prospect
        By name of the world; `standard_truths` names the usual ones.
    """

    prospects: Mapping[str, Prospect]

    @property
    def ship_when_worthless(self) -> Simulated:
        """Chance to ship a change that does nothing."""
        return self.prospects["worthless"].proven()

    @property
    def false_harm_stop(self) -> Simulated:
        """Chance to stop a change for harm that does nothing."""
        return self.prospects["worthless"].stopped()

    @property
    def ship_when_breached(self) -> Simulated:
        """Chance to ship a change with its MDE that breaks a guardrail: the worst guardrail's.

        Raises
        ------
        PlanError
            If the plan has no guardrail.
        """
        breached = [
            prospect.proven()
            for key, prospect in self.prospects.items()
            if key.startswith("breached")
        ]
        if not breached:
            raise PlanError("without a guardrail there is none to break")
        return max(breached, key=lambda chance: chance.value)

    @property
    def proof_at_mde(self) -> Simulated:
        """Chance to prove a change that has its MDE, by the planned horizon: the power."""
        return self.prospects["worth having"].proven(by=1.0)

    @property
    def false_futility(self) -> Simulated:
        """Chance to give up on a change that has its MDE."""
        return self.prospects["worth having"].given_up()

    @property
    def expected_end(self) -> Mapping[str, Simulated]:
        """Mean time of the verdict in every world, in horizons."""
        return {name: prospect.mean_end for name, prospect in self.prospects.items()}


def operating_characteristics(
    plan: DecisionPlan,
    policy: Policy | None = None,
    *,
    world: World,
    schedule: Schedule,
    rng: np.random.Generator,
    truths: Mapping[str, Truth] | None = None,
    replicas: int = 20_000,
    heed_futility: bool = True,
) -> OperatingCharacteristics:
    """Simulate a plan to the end, in worlds where the truth is known.

    Parameters
    ----------
    plan : DecisionPlan
        What is promised.
    policy : Policy, optional
        Error rates. Default: ``Policy()``.
    world : World
        What the metrics are like.
    schedule : Schedule
        Looks and units.
    rng : numpy.random.Generator
        The only source of chance: equal generators give equal answers. Every truth meets the same
        chance, so that differences between them are sharper than each alone.
    truths : mapping of str to Truth, optional
        What the change truly does. Default: `standard_truths`.
    replicas : int, default 20000
        Experiments per truth.
    heed_futility : bool, default True
        Whether FUTILE ends an experiment.

    Returns
    -------
    OperatingCharacteristics
        A `Prospect` per truth.

    Raises
    ------
    ParameterError
        If there are no replicas.
    PlanError
        If the world does not know a deciding metric.

    Notes
    -----
    The rule is that of `decide`, look by look and with its very bounds; the split is taken to be as
    designed. Sums are drawn as normal, which very small counts are not.

    Examples
    --------
    >>> import numpy as np
    >>> from stats import (
    ...     Baseline, DecisionPlan, MetricSpec, Role, Schedule, World, operating_characteristics
    ... )
    >>> plan = DecisionPlan(
    ...     ("old", "new"), (1, 1), (MetricSpec("buys", Role.SUCCESS, binary=True, mde=0.05),)
    ... )
    >>> found = operating_characteristics(
    ...     plan,
    ...     world=World({"buys": Baseline.of_rate(0.1)}),
    ...     schedule=Schedule.daily(plan, 2 * 57_760),
    ...     rng=np.random.default_rng(1),
    ...     replicas=2000,
    ... )
    >>> round(found.proof_at_mde.value, 1), round(found.proof_at_mde.se, 2)
    (0.8, 0.01)
    """
    if replicas < 1:
        raise ParameterError("without replicas nothing is simulated")
    unknown = [
        metric.key
        for metric in plan.metrics
        if metric.role is not Role.EXPLORE and metric.key not in world.baselines
    ]
    if unknown:
        raise PlanError(f"the world does not say what {', '.join(unknown)} is like")
    named = standard_truths(plan) if truths is None else truths
    seed = int(rng.integers(2**63))
    prospects = {}
    for name, truth in named.items():
        chance = np.random.default_rng(seed)
        parts = []
        for start in range(0, replicas, _AT_ONCE):
            some = min(_AT_ONCE, replicas - start)
            sums = draw_sums(world, truth, plan, schedule, some, chance)
            parts.append(follow(schedule, sums, plan, policy, heed_futility=heed_futility))
        prospects[name] = _prospect(schedule, plan, parts)
    return OperatingCharacteristics(prospects)


def _prospect(schedule: Schedule, plan: DecisionPlan, parts: list[Endings]) -> Prospect:
    verdicts = np.concatenate([part.verdicts for part in parts])
    looks = np.concatenate([part.looks for part in parts])
    winners = np.concatenate([part.winners for part in parts])
    table = np.bincount(verdicts * schedule.looks + looks, minlength=len(ENDS) * schedule.looks)
    rows = table.reshape(len(ENDS), schedule.looks)
    return Prospect(
        len(verdicts),
        schedule.times,
        {end: tuple(int(n) for n in row) for end, row in zip(ENDS, rows, strict=True)},
        {arm: int((winners == k + 1).sum()) for k, arm in enumerate(plan.treatments)},
    )
