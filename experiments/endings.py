"""How many deals of one history end, by the rule of a replay.

What it hides: which deals the array form of the rule (`stats.follow`) may decide, and which the
machine of a replay must decide itself, look by look. Both give the same verdict at the same look;
only the time differs.

`follow` takes the units of a comparison to be the same in every deal. With one treatment they are:
all that are mature. With several, who is in control or in one arm is chance; the bounds move with
it, by little. Such a deal is decided by arrays only if its verdict is the same with bounds a little
wider and a little narrower, and decided by the machine otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from experiments import lifecycle
from experiments.deals import Deals, Recorded
from experiments.lifecycle import Position, State
from experiments.looks import decide, decision_plan, decision_policy, finding_of
from experiments.replay_files import Floats, Ints
from stats import (
    CovariateMoments,
    DecisionPlan,
    LookData,
    Moments,
    Policy,
    Schedule,
    Verdict,
    adjust_arrays,
    follow,
    sample_ratio_arrays,
)
from stats.planning.rule import ENDS as FOLLOWED
from stats.planning.schedule import looks_with_news

Flags = npt.NDArray[np.bool_]

ENDS = (*FOLLOWED, Verdict.INVALID, Verdict.CONTINUE)
"""How a deal can end; `CONTINUE` is one that the data end before."""

# What several treatments may move a bound by, as a share of the error that it spends.
_SLACK = 0.04


@dataclass(frozen=True)
class Ended:
    """How each deal ended.

    Parameters
    ----------
    verdicts : ndarray of int
        Place in `ENDS`.
    looks : ndarray of int
        Index of the look that gave it; of the last one if none did.
    by_machine : int
        How many were left to the machine.
    """

    verdicts: Ints
    looks: Ints
    by_machine: int


def end_deals(
    recorded: Recorded,
    deals: Deals,
    lifts: dict[str, float],
    progress: Callable[[int], object] = lambda _done: None,
) -> Ended:
    """Decide every deal, the treatments having these lifts (0 where none is named)."""
    sums = {
        metric.key: deals.sums[metric.key, lifts.get(metric.key, 0.0)]
        for metric in recorded.plan.metrics
        if metric.decides
    }
    many = len(deals.counts)
    verdicts = np.full(many, -1, dtype=np.int64)
    looks = verdicts.copy()
    if _fits_arrays(recorded, sums):
        verdicts, looks = _by_arrays(recorded, deals.counts, sums)
    left = np.flatnonzero(verdicts < 0)
    progress(many - len(left))
    for done, deal in enumerate(left.tolist(), start=1):
        verdicts[deal], looks[deal] = end_by_machine(recorded, deals.counts[deal], _of(sums, deal))
        progress(many - len(left) + done)
    return Ended(verdicts, looks, len(left))


def end_by_machine(recorded: Recorded, counts: Floats, sums: dict[str, Floats]) -> tuple[int, int]:
    """Let the machine of a replay decide one deal: the code of its verdict, and its look."""
    plan = recorded.plan
    position = Position(treatments=plan.treatments, last_step=0, state=State.RUNNING, step=0)
    looks: list[LookData] = []
    for place, frame in enumerate(recorded.looks):
        metrics = {
            key: {arm: _moments(found[place, k]) for k, arm in enumerate(plan.arms)}
            for key, found in sums.items()
        }
        split = {arm: int(counts[place, k]) for k, arm in enumerate(plan.arms)}
        looks.append(replace(frame, counts=split, metrics=metrics))
        decision = decide(plan, looks, sorted(position.dropped))
        position = lifecycle.look(position, finding_of(decision, looks[-1])).position
        if position.verdict is not None:
            return ENDS.index(Verdict(position.verdict.value)), place
    return ENDS.index(Verdict.CONTINUE), len(looks) - 1


def _of(sums: dict[str, Floats], deal: int) -> dict[str, Floats]:
    return {key: found[deal] for key, found in sums.items()}


def _moments(row: Floats) -> Moments:
    return (Moments if len(row) == 4 else CovariateMoments)(*(float(part) for part in row))


def _fits_arrays(recorded: Recorded, sums: dict[str, Floats]) -> bool:
    adjusted = any(found.shape[3] == 10 for found in sums.values())
    # An adjusted control is another one beside each treatment.
    return len(recorded.plan.treatments) == 1 or not adjusted


def _by_arrays(recorded: Recorded, counts: Floats, sums: dict[str, Floats]) -> tuple[Ints, Ints]:
    """Decide all deals at once; -1 for those that the machine must decide."""
    plan, policy = decision_plan(recorded.plan), decision_policy(recorded.plan)
    sums = {key: _adjusted(found) for key, found in sums.items()}
    schedule, sums = _schedule(recorded, sums)
    alarm = math.log(policy.srm_threshold)
    weights = np.array(plan.weights)
    concentration = policy.srm_concentration
    if len(plan.treatments) == 1:
        verdicts, looks = _followed(recorded, schedule, sums, plan, policy)
        log_e = sample_ratio_arrays(counts, weights, concentration=concentration)[0]
        first = np.where(
            (log_e >= alarm).any(axis=1), (log_e >= alarm).argmax(axis=1), schedule.looks
        )
        invalid = first <= looks
        return np.where(invalid, ENDS.index(Verdict.INVALID), verdicts), np.where(
            invalid, first, looks
        )
    # The mean deal, as number 0, has the units that the bounds are computed from.
    led = {
        key: np.concatenate([found.mean(axis=0, keepdims=True), found])
        for key, found in sums.items()
    }
    verdicts, looks = _followed(recorded, schedule, led, plan, policy)
    unsure = ~_same_news(led, policy)
    for factor in (1 - _SLACK, 1 + _SLACK) if schedule.looks > 1 else ():
        others = _followed(recorded, schedule, led, plan, _spending(policy, factor))
        unsure |= (others[0] != verdicts) | (others[1] != looks)
    unsure = unsure[1:]
    for arms in _splits(len(plan.arms)):
        found = sample_ratio_arrays(counts[..., arms], weights[arms], concentration=concentration)[
            0
        ]
        unsure |= (found >= alarm).any(axis=1)
    return np.where(unsure, -1, verdicts[1:]), looks[1:]


def _followed(
    recorded: Recorded,
    schedule: Schedule,
    sums: dict[str, Floats],
    plan: DecisionPlan,
    policy: Policy,
) -> tuple[Ints, Ints]:
    found = follow(schedule, sums, plan, policy)
    last = len(recorded.looks) - 1
    beyond = found.looks > last
    verdicts = np.where(beyond, ENDS.index(Verdict.CONTINUE), found.verdicts)
    return verdicts, np.minimum(found.looks, last)


def _schedule(recorded: Recorded, sums: dict[str, Floats]) -> tuple[Schedule, dict[str, Floats]]:
    """Write the looks for `follow`, which takes the last one for the deadline.

    Where the data end before it, a look is added that sees what the last one saw: what is decided
    there was not decided in these data.
    """
    looks = recorded.looks
    times: list[float] = []
    for look in looks:
        # Without news time may stand still; a look that tells nothing new is not tested anyway.
        least = math.nextafter(times[-1], math.inf) if times else 0.0
        times.append(max(look.spending_time, least))
    ship = [look.may_ship for look in looks]
    futile = [look.may_be_futile for look in looks]
    if not looks[-1].is_final:
        times.append(times[-1] * 2 + 1)
        ship.append(False)
        futile.append(False)
        sums = {key: found[:, [*range(len(looks)), -1]] for key, found in sums.items()}
    # `follow` reads the units from the sums.
    arms = len(recorded.plan.arms)
    units = tuple((0.0,) * arms for _time in times)
    return Schedule(tuple(times), units, tuple(ship), tuple(futile)), sums


def _adjusted(found: Floats) -> Floats:
    """Take the covariate out, as `decide` does with the sums of two arms."""
    if found.shape[3] == 4:
        return found
    control, treatment, _theta = adjust_arrays(found[:, :, 0], found[:, :, 1])
    return np.stack([control, treatment], axis=2)


def _spending(policy: Policy, factor: float) -> Policy:
    """Widen or narrow every bound a little."""
    return replace(
        policy,
        alpha_ship=min(policy.alpha_ship * factor, 0.499),
        alpha_guardrail=min(policy.alpha_guardrail * factor, 0.499),
        alpha_harm=min(policy.alpha_harm * factor, 0.499),
        beta_futility=min(policy.beta_futility * factor, 0.499),
    )


def _same_news(sums: dict[str, Floats], policy: Policy) -> Flags:
    """Tell which deals have units enough, and news, at the looks at which deal 0 has them."""
    same = np.ones(len(next(iter(sums.values()))), dtype=bool)
    for found in sums.values():
        for arm in range(1, found.shape[2]):
            units = found[:, :, 0, 0] + found[:, :, arm, 0]
            news = [
                looks_with_news(row, policy.minimum_units, policy.minimum_gain)
                for row in units.tolist()
            ]
            same &= np.array([each == news[0] for each in news])
    return same


def _splits(arms: int) -> list[Sequence[int]]:
    """List the splits that an alarm may be raised over: control, and treatments not dropped."""
    treatments = range(1, arms)
    return [[0, *some] for size in treatments for some in combinations(treatments, size)]
