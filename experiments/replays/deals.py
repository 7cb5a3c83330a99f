"""The same units dealt to the arms anew, thousands of times: what each look would have seen.

What it hides: how that is done in seconds. A unit's part in a look's sums does not depend on its
arm, so it is read once; a deal is then a column of labels, and the sums of many deals are products
of two matrices. From look to look only units that changed are multiplied again.

Each unit has two outcomes: the recorded one, and what it would have had under a treatment with a
given lift. That second one is drawn once, before any label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.errors import PlanError
from experiments.judging.quality import Quality
from experiments.replays.replay import (
    Outcomes,
    built_looks,
    counted_events,
    recorded_looks,
    recorded_units,
)
from experiments.replays.replay_files import Exposures, Floats, Ints, LongOutcome, WideOutcome
from stats import LookData

Labels = npt.NDArray[np.int8]
Lift = tuple[str, float]
"""A metric's key, and the relative effect of a treatment on it; 0 leaves it as recorded."""

# Numbers of a matrix that is multiplied at once: 64 MB of floats.
_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class Recorded:
    """One history, and its looks: when they are and what they may say is the same in every deal.

    Parameters
    ----------
    looks : tuple of LookData
        As dealt in truth; up to the first final one, or to where the data end.
    offsets : tuple of float
        When, in seconds after the start.
    """

    plan: Plan
    exposures: Exposures
    outcomes: Outcomes
    looks: tuple[LookData, ...]
    offsets: tuple[float, ...]


@dataclass(frozen=True)
class Deals:
    """Sums of many deals.

    Parameters
    ----------
    counts : ndarray, shape (deals, looks, arms)
        Exposed units.
    sums : mapping of Lift to ndarray, shape (deals, looks, arms, 4 or 10)
        Sums of ``Moments`` or ``CovariateMoments``, the treatments with that lift.
    """

    counts: Floats
    sums: Mapping[Lift, Floats]


def with_looks(plan: Plan, exposures: Exposures, outcomes: Outcomes) -> Recorded:
    """Find the looks of a history."""
    offsets = recorded_looks(plan, exposures, outcomes)
    looks: list[LookData] = []
    # Whom an arm lost says nothing about the arms that units are dealt to.
    qualities = dict.fromkeys(offsets, Quality(exposures.quarantined))
    for look in built_looks(plan, exposures, outcomes, qualities):
        looks.append(look)
        if look.is_final:
            break
    offsets = offsets[: len(looks)]
    return Recorded(plan, exposures, outcomes, tuple(looks), tuple(offsets))


def deal_labels(plan: Plan, units: int, deals: int, rng: np.random.Generator) -> Labels:
    """Toss the plan's coin for every unit of every deal: shape (units, deals).

    Independently, as the flag's hash does: how many units an arm gets is chance as well.
    """
    weights = [weight for _arm, weight in plan.weights]
    share = math.gcd(*weights)
    edges = np.cumsum([weight // share for weight in weights])
    kind = np.uint8 if edges[-1] <= 256 else np.uint32
    tickets = rng.integers(0, edges[-1], size=(units, deals), dtype=kind)
    labels = np.zeros(tickets.shape, dtype=np.int8)
    for edge in edges[:-1]:
        labels += tickets >= edge
    return labels


def deal_anew(
    recorded: Recorded,
    lifted: Mapping[Lift, WideOutcome | LongOutcome],
    deals: int,
    rng: np.random.Generator,
    progress: Callable[[int], object] = lambda _done: None,
) -> Deals:
    """Add up what the looks of many deals see.

    Parameters
    ----------
    lifted : mapping of Lift to outcome
        What every unit would have had under a treatment with that lift (`lifted_outcome`).
    progress : callable
        Told how many deals there are, from time to time.
    """
    plan, keys = recorded.plan, list(lifted)
    outcomes = [{key[0]: lifted[key]} for key in keys]
    plain = [{key: recorded.outcomes[key]} for key in dict.fromkeys(key for key, _lift in keys)]
    steps = _steps(recorded, [*plain, *outcomes])
    widths = steps.widths
    size, arms = len(recorded.exposures.arm), len(plan.arms)
    totals = np.cumsum([delta.sum(axis=0) for _who, delta in steps.changes], axis=0)
    parts = []
    at_once = max(1, _AT_ONCE // size)
    for begin in range(0, deals, at_once):
        some = min(at_once, deals - begin)
        labels = deal_labels(plan, size, some, rng)
        part = np.empty((some, len(totals), arms, totals.shape[1]))
        for look, (who, delta) in enumerate(steps.changes):
            chosen = labels if len(who) == size else labels[who]
            for arm in range(1, arms):
                part[:, look, arm] = ((chosen == arm).astype(np.float64).T) @ delta
        np.cumsum(part, axis=1, out=part)
        part[:, :, 0] = totals - part[:, :, 1:].sum(axis=2)
        parts.append(part)
        progress(begin + some)
    found = np.concatenate(parts)
    columns = np.split(found, np.cumsum([1, *widths])[:-1], axis=3)
    control = dict(zip((next(iter(p)) for p in plain), columns[1 : len(plain) + 1], strict=True))
    sums = {}
    for key, treated in zip(keys, columns[len(plain) + 1 :], strict=True):
        both = treated.copy()
        both[:, :, 0] = control[key[0]][:, :, 0]
        # A conversion's square and cube are itself.
        sums[key] = both[..., [0, 1, 1, 1]] if both.shape[3] == 2 else both
    return Deals(columns[0][..., 0], sums)


@dataclass(frozen=True)
class _Steps:
    """Per look: units whose numbers changed since the look before, and by how much."""

    changes: list[tuple[Ints, Floats]]
    widths: list[int]


def _steps(recorded: Recorded, outcomes: Sequence[Outcomes]) -> _Steps:
    plan, exposures = recorded.plan, recorded.exposures
    before: Floats | None = None
    changes = []
    widths: list[int] = []
    for offset in recorded.offsets:
        parts: list[Floats] = []
        for each in outcomes:
            enrolled, units = recorded_units(plan, exposures, each, offset)
            if not parts:
                parts.append(enrolled.astype(np.float64)[:, None])
            ((key, seen),) = units.items()
            y, x = seen.values, seen.covariates
            powers = [y] if plan.metric(key).binary else [y, y**2, y**3]
            if x is not None:
                powers += [x, x**2, x**3, x * y, x**2 * y, x * y**2]
            stacked = np.stack([np.ones_like(y), *powers], axis=1)
            parts.append(np.where(seen.mature[:, None], stacked, 0.0))
        now = np.concatenate(parts, axis=1)
        widths = [part.shape[1] for part in parts[1:]]
        delta = now if before is None else now - before
        who = np.flatnonzero((delta != 0).any(axis=1))
        changes.append((who, delta[who]))
        before = now
    return _Steps(changes, widths)


def lifted_outcome(
    recorded: Recorded, metric: Metric, lift: float, rng: np.random.Generator
) -> WideOutcome | LongOutcome:
    """Give what every unit would have had, if the treatment had this relative effect on a metric.

    Of a conversion, units that did not convert are drawn at random and do (or converted ones do
    not), until the rate has the lift; of a count of events, events are repeated or taken away; any
    other value is scaled.

    Raises
    ------
    PlanError
        If there are not enough units to convert.
    """
    outcome = recorded.outcomes[metric.key]
    if lift == 0:
        return outcome
    if isinstance(outcome, WideOutcome):
        if not metric.binary:
            return replace(outcome, values=_scaled(outcome.values, lift))
        values = outcome.values.copy()
        mature = np.ones(len(values), dtype=bool) if outcome.present is None else outcome.present
        chosen = _flipped(recorded.plan, metric, values > 0, mature, lift, rng)
        values[chosen] = float(lift > 0)
        return replace(outcome, values=values)
    if metric.kind == "mean":
        return replace(outcome, value=_scaled(outcome.value, lift))
    if metric.kind == "count":
        return _recounted(outcome, lift, rng)
    return _converted(recorded, metric, outcome, lift, rng)


def _scaled(values: Floats, lift: float) -> Floats:
    # A gain of a negative mean is a share of its size, as in the rule's own contrasts.
    return values * (1 + lift * math.copysign(1.0, float(values.sum())))


def _flipped(
    plan: Plan,
    metric: Metric,
    has: npt.NDArray[np.bool_],
    mature: npt.NDArray[np.bool_],
    lift: float,
    rng: np.random.Generator,
) -> Ints:
    """Draw the units whose conversion changes."""
    converted = int((has & mature).sum())
    candidates = np.flatnonzero(mature & (~has if lift > 0 else has))
    wanted = round(abs(lift) * converted)
    if wanted > len(candidates):
        rate = converted / max(int(mature.sum()), 1)
        promised = "mde" if metric.role == "success" else "margin"
        raise PlanError(
            f"{metric.key} cannot change by {lift:+.0%} of itself: {rate:.2%} of the units convert",
            field=f"metrics[{plan.metrics.index(metric)}].{promised}",
            hint=f"these data leave no room for this {promised}: write a smaller one",
        )
    return rng.choice(candidates, wanted, replace=False)


def _recounted(outcome: LongOutcome, lift: float, rng: np.random.Generator) -> LongOutcome:
    events = len(outcome.unit)
    if lift < 0:
        keep = np.ones(events, dtype=bool)
        keep[rng.choice(events, round(min(-lift, 1.0) * events), replace=False)] = False
        chosen = np.flatnonzero(keep)
    else:
        whole, part = divmod(lift, 1.0)
        again = rng.choice(events, round(part * events), replace=False)
        chosen = np.concatenate([np.tile(np.arange(events), int(whole) + 1), again])
    time = None if outcome.time is None else outcome.time[chosen]
    return LongOutcome(outcome.unit[chosen], time, outcome.value[chosen])


def _converted(
    recorded: Recorded, metric: Metric, outcome: LongOutcome, lift: float, rng: np.random.Generator
) -> LongOutcome:
    """Let units convert as late after their exposure as others did, or not at all."""
    exposures, offset = recorded.exposures, recorded.offsets[-1]
    plain = {metric.key: outcome}
    seen = recorded_units(recorded.plan, exposures, plain, offset)[1][metric.key]
    chosen = _flipped(recorded.plan, metric, seen.values > 0, seen.mature, lift, rng)
    if not len(chosen):
        return outcome
    if lift < 0:
        keep = ~np.isin(outcome.unit, chosen)
        time = None if outcome.time is None else outcome.time[keep]
        return LongOutcome(outcome.unit[keep], time, outcome.value[keep])
    unit = np.concatenate([outcome.unit, chosen])
    value = np.concatenate([outcome.value, np.zeros(len(chosen))])
    if outcome.time is None:
        return LongOutcome(unit, None, value)
    if exposures.first is None:
        return LongOutcome(unit, np.concatenate([outcome.time, np.zeros(len(chosen))]), value)
    first, end = exposures.first, float(exposures.first.min()) + offset
    counted = counted_events(outcome, first, metric.window_seconds, end)
    lags = (outcome.time - first[outcome.unit])[counted]
    # Without a window the last look must still see it.
    at = np.minimum(first[chosen] + rng.choice(lags, len(chosen)), np.nextafter(end, 0.0))
    return LongOutcome(unit, np.concatenate([outcome.time, at]), value)
