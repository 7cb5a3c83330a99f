"""How many deals of one history end, by the rule of a replay.

What it hides: which deals the array form of the rule (`stats.follow`) may decide at once, which it
must decide one by one, and which only the machine of a replay can. All three give the same verdict
at the same look; only the time differs.

`follow` takes the units of a comparison to be the same in every deal. With one treatment they are:
all that are mature. With several, who is in control or in one arm is chance; the bounds move with
it, by little. A deal whose verdict is the same with bounds a little wider and a little narrower is
decided with all the others, by the bounds of the mean deal; any other with the bounds of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, starmap

import numpy as np
import numpy.typing as npt

from experiments.judging.looks import decision_plan, decision_policy
from experiments.replays.deals import Deals, Recorded
from experiments.replays.replay import judged
from experiments.replays.replay_files import Floats, Ints
from stats import (
    CovariateMoments,
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

# What chance in an arm's units moves a bound by, as a share of the error that it spends, is less
# than this over the root of all units. Seen with 100,000, 10,000 and 3,000 units: of a harm bound,
# at every look, 3.8, 4.6 and 6.6; of the others 1.9, 2.1 and 2.0.
_HARM_SLACK, _OTHER_SLACK = 8.0, 3.0


@dataclass(frozen=True)
class Ended:
    """How each deal ended.

    Parameters
    ----------
    verdicts : ndarray of int
        Place in `ENDS`.
    looks : ndarray of int
        Index of the look that gave it; of the last one if none did.
    one_by_one : int
        How many could not be decided with the others.
    """

    verdicts: Ints
    looks: Ints
    one_by_one: int


def end_deals(
    recorded: Recorded,
    deals: Deals,
    worlds: Sequence[Mapping[str, float]],
    progress: Callable[[int], object] = lambda _done: None,
) -> list[Ended]:
    """Decide every deal in every world.

    Parameters
    ----------
    worlds : sequence of mapping of str to float
        Relative effect of the treatments on each metric; 0 where none is named.
    progress : callable
        Told how many deals are decided in all worlds, from time to time.
    """
    deciding = [metric.key for metric in recorded.plan.metrics if metric.decides]
    sums = [{key: deals.sums[key, lifts.get(key, 0.0)] for key in deciding} for lifts in worlds]
    many = len(deals.counts)
    rule = _ArrayRule(recorded)
    # An adjusted control is another one beside each treatment: no array holds it.
    adjusted = any(found.shape[3] == 10 for found in sums[0].values())
    if adjusted and len(recorded.plan.treatments) > 1:
        nobody = np.full(many, -1, dtype=np.int64)
        ends = [(nobody, nobody.copy()) for _world in worlds]
        alarmed = np.ones((many, 1), dtype=bool)
    else:
        alarmed = rule.alarmed(deals.counts)
        ends = [rule.end_together(alarmed, found) for found in sums]
    found = [
        Ended(verdicts.copy(), looks.copy(), int((verdicts < 0).sum())) for verdicts, looks in ends
    ]
    left = np.flatnonzero(np.any([verdicts < 0 for verdicts, _looks in ends], axis=0))
    progress(many - len(left))
    # A deal's bounds are the same in all worlds, and kept by `stats` for a while: world by world
    # they would be computed again.
    for done, deal in enumerate(left.tolist(), start=1):
        for world, ended in enumerate(found):
            if ended.verdicts[deal] < 0:
                own = {key: each[deal] for key, each in sums[world].items()}
                ended.verdicts[deal], ended.looks[deal] = (
                    end_by_machine(recorded, deals.counts[deal], own)
                    if alarmed[deal].any()
                    else rule.end_alone(own)
                )
        progress(many - len(left) + done)
    return found


def end_by_machine(
    recorded: Recorded, counts: Floats, sums: Mapping[str, Floats]
) -> tuple[int, int]:
    """Let the machine of a replay decide one deal: the code of its verdict, and its look."""
    plan = recorded.plan

    def dealt(place: int, frame: LookData) -> LookData:
        metrics = {
            key: {arm: _moments(found[place, k]) for k, arm in enumerate(plan.arms)}
            for key, found in sums.items()
        }
        split = {arm: int(counts[place, k]) for k, arm in enumerate(plan.arms)}
        return replace(frame, counts=split, metrics=metrics)

    place, verdict = -1, None
    for _look, _decision, position in judged(plan, starmap(dealt, enumerate(recorded.looks))):
        place, verdict = place + 1, position.verdict
    return ENDS.index(Verdict.CONTINUE if verdict is None else Verdict(verdict.value)), place


def _moments(row: Floats) -> Moments:
    return (Moments if len(row) == 4 else CovariateMoments)(*(float(part) for part in row))


class _ArrayRule:
    """The rule for arrays, with the looks of one history."""

    def __init__(self, recorded: Recorded) -> None:
        self._plan, self._policy = decision_plan(recorded.plan), decision_policy(recorded.plan)
        self._last = len(recorded.looks) - 1
        self._units = sum(recorded.looks[-1].counts.values())
        self._complete = recorded.looks[-1].is_final
        self._schedule = _schedule(recorded)

    def alarmed(self, counts: Floats) -> Flags:
        """Tell in which deals, at which looks, a split looks wrong: some split, if arms dropped."""
        alarm = math.log(self._policy.srm_threshold)
        weights = np.array(self._plan.weights)
        alarmed: Flags = np.zeros(counts.shape[:2], dtype=bool)
        for arms in _splits(len(weights)):
            found = sample_ratio_arrays(
                counts[..., arms],
                weights[arms],
                concentration=self._policy.srm_concentration,
            )
            alarmed |= found[0] >= alarm
        return alarmed

    def end_together(self, alarmed: Flags, sums: Mapping[str, Floats]) -> tuple[Ints, Ints]:
        """Decide all deals at once; -1 for those that need more care."""
        sums = {key: _adjusted(found) for key, found in sums.items()}
        if len(self._plan.treatments) == 1:
            verdicts, looks = self._followed(sums)
            first = np.where(alarmed.any(axis=1), alarmed.argmax(axis=1), self._schedule.looks)
            invalid = first <= looks
            verdicts = np.where(invalid, ENDS.index(Verdict.INVALID), verdicts)
            return verdicts, np.where(invalid, first, looks)
        # The mean deal, as number 0, has the units that the bounds are computed from.
        led = {
            key: np.concatenate([found.mean(axis=0, keepdims=True), found])
            for key, found in sums.items()
        }
        verdicts, looks = self._followed(led)
        unsure = ~_same_news(led, self._policy)
        if self._last > 0:
            # The bound of a first look hangs on no other; later ones do.
            for side in (-1, 1):
                others = self._followed(led, _spending(self._policy, self._units, side))
                unsure |= (others[0] != verdicts) | (others[1] != looks)
        unsure = unsure[1:] | alarmed.any(axis=1)
        return np.where(unsure, -1, verdicts[1:]), looks[1:]

    def end_alone(self, sums: Mapping[str, Floats]) -> tuple[int, int]:
        """Decide one deal, with the bounds that its own units give."""
        verdicts, looks = self._followed({key: found[None] for key, found in sums.items()})
        return int(verdicts[0]), int(looks[0])

    def _followed(
        self, sums: Mapping[str, Floats], policy: Policy | None = None
    ) -> tuple[Ints, Ints]:
        if not self._complete:
            sums = {key: found[:, [*range(self._last + 1), -1]] for key, found in sums.items()}
        found = follow(self._schedule, sums, self._plan, policy or self._policy)
        beyond = found.looks > self._last
        verdicts = np.where(beyond, ENDS.index(Verdict.CONTINUE), found.verdicts)
        return verdicts, np.minimum(found.looks, self._last)


def _schedule(recorded: Recorded) -> Schedule:
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
    # `follow` reads the units from the sums.
    units = tuple((0.0,) * len(recorded.plan.arms) for _time in times)
    return Schedule(tuple(times), units, tuple(ship), tuple(futile))


def _adjusted(found: Floats) -> Floats:
    """Take the covariate out, as `decide` does with the sums of two arms."""
    if found.shape[3] == 4:
        return found
    control, treatment, _theta = adjust_arrays(found[:, :, 0], found[:, :, 1])
    return np.stack([control, treatment], axis=2)


def _spending(policy: Policy, units: float, side: int) -> Policy:
    """Narrow or widen every bound by as much as chance in the units could."""
    root = math.sqrt(max(units, 1.0))
    harm, other = (1 + side * min(0.5, slack / root) for slack in (_HARM_SLACK, _OTHER_SLACK))
    return replace(
        policy,
        alpha_ship=min(policy.alpha_ship * other, 0.499),
        alpha_guardrail=min(policy.alpha_guardrail * other, 0.499),
        alpha_harm=min(policy.alpha_harm * harm, 0.499),
        beta_futility=min(policy.beta_futility * other, 0.499),
    )


def _same_news(sums: Mapping[str, Floats], policy: Policy) -> Flags:
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
