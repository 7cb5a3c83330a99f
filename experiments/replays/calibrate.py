"""False verdicts and power on one's own data: a replay, its labels dealt anew thousands of times.

Who met which arm is forgotten, and the plan's coin is tossed again for every unit. The labels then
know nothing of the outcomes: **nothing is different, by construction**, whatever was different when
the data were recorded, and however odd their values are. Every harm or proof that the machine finds
is false, and is counted. Kept is each unit with its time, outcome and covariate; chance is the coin
alone, the number of units per arm included. Units that met several arms stay out.

For the power a treatment is given a known effect: what its units have is lifted by the plan's MDE
(`experiments.replays.deals.lifted_outcome`), and the same labels are judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from experiments.contract.plan import Plan
from experiments.errors import PlanError
from experiments.judging.looks import decision_plan
from experiments.replays.deals import Lift, Recorded, deal_anew, lifted_outcome, with_looks
from experiments.replays.endings import ENDS, Ended, end_deals
from experiments.replays.replay import read_recorded
from experiments.replays.replay_files import LongOutcome, WideOutcome
from stats import Verdict, standard_truths

DEFAULT_TIMES = 2000
CONFIDENCE_LEVEL = 0.99

WORTHLESS, WORTH_HAVING = "worthless", "worth having"
PROVEN = (Verdict.VALUE_PROVEN, Verdict.NO_HARM_PROVEN)


@dataclass(frozen=True)
class Share:
    """How often something happened, with exact bounds, and how often it may.

    Parameters
    ----------
    low, high : float
        Clopper and Pearson's interval of the share at `CONFIDENCE_LEVEL`.
    promised : float, optional
        Largest share that the policy allows; ``None`` for what is no error.
    """

    count: int
    of: int
    low: float
    high: float
    promised: float | None = None

    @property
    def value(self) -> float:
        """Give the share itself."""
        return self.count / self.of

    @property
    def kept(self) -> bool:
        """Tell whether the share agrees with the promise: chance alone explains any excess."""
        return self.promised is None or self.low <= self.promised


@dataclass(frozen=True)
class WorldFigures:
    """How the deals ended in one world.

    Parameters
    ----------
    name : str
        As in ``stats.standard_truths``: "worthless" is the one in which nothing is different.
    lifts : mapping of str to float
        Relative effect of every treatment, by metric; what is not named is as recorded.
    shares : mapping of Verdict to Share
        Every way to end that is possible here; ``CONTINUE`` if the data end before a verdict.
    mean_end, median_end : float
        Seconds after the start.
    one_by_one : int
        Deals that could not be decided with the others: slower, and never differently.
    """

    name: str
    lifts: Mapping[str, float]
    shares: Mapping[Verdict, Share]
    mean_end: float
    median_end: float
    one_by_one: int

    @property
    def proven(self) -> Share:
        """How often something was proven."""
        return next(self.shares[verdict] for verdict in PROVEN if verdict in self.shares)


@dataclass(frozen=True)
class Calibration:
    """What the machine does on these data when the truth is known.

    Parameters
    ----------
    units, quarantined : int
        Units that are dealt, and those that met several arms and are not.
    looks : tuple of float
        The looks, in seconds after the start.
    complete : bool
        Whether the data reach the deadline.
    worlds : tuple of WorldFigures
        Where nothing is different first.
    omitted : tuple of str
        Worlds that cannot be made of these data, and why.
    """

    plan: Plan
    times: int
    seed: int
    units: int
    quarantined: int
    looks: tuple[float, ...]
    timeless: bool
    complete: bool
    worlds: tuple[WorldFigures, ...]
    omitted: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Tell whether every promise agrees with what was found."""
        return all(share.kept for world in self.worlds for share in world.shares.values())

    def world(self, name: str) -> WorldFigures | None:
        """Find a world by its name."""
        return next((world for world in self.worlds if world.name == name), None)

    @property
    def power(self) -> Share:
        """How often a change that keeps its promise is proven."""
        return (self.world(WORTH_HAVING) or self.worlds[0]).proven

    def to_document(self) -> dict[str, Any]:
        """Give all figures as plain data."""
        return {
            "kept": self.kept,
            "times": self.times,
            "seed": self.seed,
            "units": self.units,
            "quarantined": self.quarantined,
            "looks": len(self.looks),
            "complete": self.complete,
            "confidence_level": CONFIDENCE_LEVEL,
            "power": self.power.value,
            "worlds": [_world_document(world, timeless=self.timeless) for world in self.worlds],
            "omitted": list(self.omitted),
        }


def calibrate(
    exposures_path: Path | str,
    outcomes_path: Path | str,
    plan_document: Mapping[str, Any] | str,
    *,
    times: int = DEFAULT_TIMES,
    seed: int = 1,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Calibration:
    """Deal recorded units anew, and judge every deal by the machine of a replay.

    Parameters
    ----------
    exposures_path, outcomes_path, plan_document
        As `experiments.replays.replay.replay` takes them.
    times : int
        How many deals.
    seed : int
        Equal seeds give equal figures.
    progress : callable
        Told how much of the work is done, and how much there is.

    Raises
    ------
    PlanError
        If the plan has a fault, a metric is a ratio, or the MDE cannot be added to these data.
    RowError
        At the first row that cannot be read.
    """
    plan, exposures, outcomes = read_recorded(exposures_path, outcomes_path, plan_document)
    for place, metric in enumerate(plan.metrics):
        if metric.kind not in {"conversion", "mean", "count"}:
            raise PlanError(
                f"{metric.key} is a {metric.kind}: no effect can be added to one yet",
                field=f"metrics[{place}].kind",
                hint="calibrate without it, or with its numerator as a mean"
                if metric.kind == "ratio"
                else "calibrate without it, or as a conversion",
            )
    return calibrate_recorded(
        with_looks(plan, exposures, outcomes), times=times, seed=seed, progress=progress
    )


def calibrate_recorded(
    recorded: Recorded,
    *,
    times: int = DEFAULT_TIMES,
    seed: int = 1,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Calibration:
    """Do what `calibrate` does with what has been read."""
    worlds, lifted, omitted = _worlds(recorded, seed)
    # Dealing takes about as long as judging.
    deals = deal_anew(
        recorded,
        lifted,
        times,
        np.random.default_rng(seed),
        lambda done: progress(done, 2 * times),
    )
    ends = end_deals(
        recorded, deals, list(worlds.values()), lambda done: progress(times + done, 2 * times)
    )
    figures = [
        _figures(recorded, name, lifts, ended)
        for (name, lifts), ended in zip(worlds.items(), ends, strict=True)
    ]
    return Calibration(
        plan=recorded.plan,
        times=times,
        seed=seed,
        units=len(recorded.exposures.arm),
        quarantined=recorded.exposures.quarantined,
        looks=recorded.offsets,
        timeless=recorded.exposures.first is None,
        complete=recorded.looks[-1].is_final,
        worlds=tuple(figures),
        omitted=omitted,
    )


def share_of(count: int, of: int, promised: float | None = None) -> Share:
    """Bound a share exactly (C. J. Clopper, E. S. Pearson, Biometrika 26, 404-413 (1934))."""
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low = float(special.betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return Share(count, of, low, high, promised)


def _worlds(
    recorded: Recorded, seed: int
) -> tuple[dict[str, dict[str, float]], dict[Lift, WideOutcome | LongOutcome], tuple[str, ...]]:
    """Make the worlds: what is true in each, and what every unit would have under a treatment."""
    plan = recorded.plan
    lifted = {(metric.key, 0.0): recorded.outcomes[metric.key] for metric in plan.metrics}
    lifted = {key: lifted[key] for key in lifted if plan.metric(key[0]).decides}
    worlds: dict[str, dict[str, float]] = {}
    omitted = []
    # Not the stream of the labels: with more deals, the same units are lifted.
    rng = np.random.default_rng([seed, 1])
    for name, truth in standard_truths(decision_plan(plan)).items():
        lifts = dict(truth.lifts)
        if name == WORTH_HAVING and not lifts:
            continue
        try:
            for key, lift in lifts.items():
                if (key, lift) not in lifted:
                    lifted[key, lift] = lifted_outcome(recorded, plan.metric(key), lift, rng)
        except PlanError as error:
            if name == WORTH_HAVING:
                raise
            omitted.append(f"{name}: {error.message}")
            continue
        worlds[name] = lifts
    return worlds, lifted, tuple(omitted)


def _promises(plan: Plan, world: str) -> dict[Verdict, float]:
    """Tell which ends are errors in a world, and how often the policy allows them."""
    policy = plan.policy
    promises = {Verdict.INVALID: 1 / policy.srm_threshold}
    proven = Verdict.VALUE_PROVEN if plan.success_metrics else Verdict.NO_HARM_PROVEN
    if world == WORTHLESS:
        promises[Verdict.HARM] = policy.alpha_harm
        if plan.success_metrics:
            promises[proven] = policy.alpha_ship
    elif world == WORTH_HAVING:
        promises[Verdict.HARM] = policy.alpha_harm
        promises[Verdict.FUTILE] = policy.beta_futility
    elif world == "harmful" and plan.success_metrics:
        promises[proven] = policy.alpha_ship
    else:
        promises[proven] = policy.alpha_guardrail
    return promises


def _figures(
    recorded: Recorded, name: str, lifts: Mapping[str, float], ended: Ended
) -> WorldFigures:
    plan = recorded.plan
    other = PROVEN[1] if plan.success_metrics else PROVEN[0]
    promises = _promises(plan, name)
    many = len(ended.verdicts)
    counts = np.bincount(ended.verdicts, minlength=len(ENDS))
    never = {other}
    if not plan.success_metrics:
        never.add(Verdict.FUTILE)
    never.add(Verdict.CONTINUE if recorded.looks[-1].is_final else Verdict.NOT_PROVEN_IN_TIME)
    at = np.array(recorded.offsets)[ended.looks]
    return WorldFigures(
        name,
        dict(lifts),
        {
            end: share_of(int(count), many, promises.get(end))
            for end, count in zip(ENDS, counts, strict=True)
            if end not in never
        },
        float(at.mean()),
        float(np.quantile(at, 0.5, method="inverted_cdf")),
        ended.one_by_one,
    )


def _world_document(world: WorldFigures, *, timeless: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": world.name,
        "lifts": dict(world.lifts),
        "ended": {
            verdict.value: {
                "count": share.count,
                "share": share.value,
                "low": share.low,
                "high": share.high,
                "promised": share.promised,
                "kept": share.kept,
            }
            for verdict, share in world.shares.items()
        },
    }
    if not timeless:
        document |= {"mean_end_seconds": world.mean_end, "median_end_seconds": world.median_end}
    return document
