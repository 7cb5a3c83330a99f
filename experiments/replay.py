"""The whole machine on recorded data: no server, no SDK, the very same looks and decisions.

With times, the plan's schedule is walked day by day until the machine would have stopped. Without
times there is one look, at the planned horizon.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import words
from experiments.card import Card, CardStatus, build_card, card_text
from experiments.conventional import Conventional, SampleRatioCheck, compare, sample_ratio_check
from experiments.errors import PlanError
from experiments.lifecycle import PROVEN, Position, State
from experiments.lifecycle import look as move_by_look
from experiments.looks import Quality, build_look, decide, finding_of, look_document
from experiments.plan import Metric, Plan, parse_plan, plan_hash
from experiments.policy import look_schedule
from experiments.replay_files import (
    Exposures,
    Floats,
    LongOutcome,
    WideOutcome,
    read_exposures,
    read_long,
    read_wide,
)
from stats import CovariateMoments, LookData, Moments, RatioMoments

Outcomes = Mapping[str, WideOutcome | LongOutcome]


@dataclass(frozen=True)
class ReplayedLook:
    """One look of a replay, as the service would have stored it."""

    offset: float
    look: dict[str, Any]
    decision: dict[str, Any]


@dataclass(frozen=True)
class ReplayResult:
    """What the machine would have done.

    Parameters
    ----------
    verdict : str
        ``CONTINUE`` when the data end before anything is decided.
    looks : tuple of ReplayedLook
        Up to and including the one that decided.
    evidence : tuple of Conventional
        Per metric and arm at the last look, what a textbook test says: for comparison only.
    split : SampleRatioCheck
        The textbook's sample-ratio test, beside the sequential evidence that decides.
    exposures, quarantined : int
        Rows read, and units that met several arms.
    """

    plan: Plan
    verdict: str
    winner: str | None
    dropped: tuple[str, ...]
    card: Card
    looks: tuple[ReplayedLook, ...]
    evidence: tuple[Conventional, ...]
    split: SampleRatioCheck
    exposures: int
    quarantined: int

    @property
    def proven(self) -> bool:
        """Tell whether the claim was proven (the CLI's exit code)."""
        return self.verdict in PROVEN

    @property
    def text(self) -> str:
        """Give card and evidence as plain text."""
        lines = [card_text(self.card), "EVIDENCE"]
        lines += [f"  {row.text}" for row in self.card.evidence]
        lines += [
            "",
            "For comparison, the textbook's tests (one planned look, never peek with them)",
        ]
        lines += [f"  {line}" for row in self.evidence for line in row.lines()]
        lines += [f"  {self.split.text}", ""]
        return "\n".join(lines)


def replay(
    exposures_path: Path | str, outcomes_path: Path | str, plan_document: Mapping[str, Any] | str
) -> ReplayResult:
    """Run the machine over recorded exposures and outcomes.

    Parameters
    ----------
    exposures_path, outcomes_path : path
        CSV files; they may be the same file.
    plan_document : mapping or str
        A plan with ``[replay]`` tables, as TOML text or as a mapping.

    Raises
    ------
    PlanError
        If the plan has a fault, or no ``[replay]`` tables.
    RowError
        At the first row that cannot be read; nothing is half read.
    """
    plan = parse_plan(plan_document)
    exposures = read_exposures(Path(exposures_path), plan)
    long = plan.outcomes is not None and plan.outcomes.event is not None
    read = read_long if long else read_wide
    outcomes = read(Path(outcomes_path), plan, exposures)
    return _run(plan, exposures, outcomes)


def _run(plan: Plan, exposures: Exposures, outcomes: Outcomes) -> ReplayResult:
    position = Position(treatments=plan.treatments, last_step=0, state=State.RUNNING, step=0)
    timeless = exposures.first is None
    start = 0.0 if exposures.first is None else float(exposures.first.min())
    looks: list[LookData] = []
    stored: list[ReplayedLook] = []
    sums: dict[str, dict[str, Moments | RatioMoments]] = {}
    quality = Quality()
    for offset in _offsets(plan, exposures, outcomes, start):
        dropped = sorted(position.dropped)
        counts, sums = _sums(plan, exposures, outcomes, None if timeless else start, offset)
        quality = Quality(exposures.quarantined)
        look = build_look(
            plan,
            number=len(looks) + 1,
            offset=offset,
            counts=counts,
            sums=sums,
            quality=quality,
            earlier=looks,
        )
        looks.append(look)
        decision = decide(plan, looks, dropped)
        stored.append(ReplayedLook(offset, look_document(look), decision.to_document()))
        position = move_by_look(position, finding_of(decision, look)).position
        if position.verdict is not None:
            break
    return _result(plan, exposures, position, stored, sums, quality, timeless=timeless, start=start)


def _result(
    plan: Plan,
    exposures: Exposures,
    position: Position,
    stored: list[ReplayedLook],
    sums: Mapping[str, Mapping[str, Moments | RatioMoments]],
    quality: Quality,
    *,
    timeless: bool,
    start: float,
) -> ReplayResult:
    last = stored[-1]
    ended = dt.datetime.fromtimestamp(start + last.offset, dt.UTC)
    sentence = words.look_sentence(
        plan,
        verdict=position.verdict,
        offset=last.offset,
        look=last.look,
        decision=last.decision,
        winner=position.winner,
        alarm=quality.alarm(last.look["counts"]),
        replayed=True,
        timeless=timeless,
    )
    status = CardStatus(
        state=position.state.value,
        verdict=position.verdict,
        winner=position.winner,
        sentence=sentence,
        dropped=tuple(sorted(position.dropped)),
        plan_hash=plan_hash(plan.to_document()),
        ended_at=None if timeless or position.verdict is None else ended,
        replayed=True,
    )
    card = build_card(
        plan,
        status,
        look=last.look,
        decision=last.decision,
        quality=quality.to_document(),
        offset=last.offset,
    )
    return ReplayResult(
        plan=plan,
        verdict=card.verdict,
        winner=position.winner,
        dropped=status.dropped,
        card=card,
        looks=tuple(stored),
        evidence=compare(plan, sums),
        split=sample_ratio_check(plan, last.look["counts"]),
        exposures=exposures.rows,
        quarantined=exposures.quarantined,
    )


def _offsets(plan: Plan, exposures: Exposures, outcomes: Outcomes, start: float) -> list[float]:
    """Give the looks that the data reach: one a day, the first days' hourly ones left out."""
    if exposures.first is None:
        return [plan.prove_by_seconds]
    end = float(exposures.first.max())
    for outcome in outcomes.values():
        if isinstance(outcome, LongOutcome) and outcome.time is not None and len(outcome.time):
            end = max(end, float(outcome.time.max()))
    day = plan.policy.day_seconds
    # Data dated to the day are complete at the end of their last day.
    reach = (math.floor((end - start) / day) + 1) * day
    every = [
        offset
        for offset in look_schedule(plan.policy, plan.prove_by_seconds)
        if math.isclose(offset / day, round(offset / day)) or offset == plan.prove_by_seconds
    ]
    reached = [offset for offset in every if offset <= reach]
    if not reached:
        raise PlanError(
            "the data end before the first scheduled look",
            field="policy.looks",
            hint="look more often, or set policy.day to the length of a day in these data",
        )
    return reached


def _sums(
    plan: Plan, exposures: Exposures, outcomes: Outcomes, start: float | None, offset: float
) -> tuple[dict[str, int], dict[str, dict[str, Moments | RatioMoments]]]:
    arms = range(len(plan.arms))
    if start is None or exposures.first is None:
        enrolled = np.ones(len(exposures.arm), dtype=bool)
        first, look_at = np.zeros(len(exposures.arm)), math.inf
    else:
        first, look_at = exposures.first, start + offset
        enrolled = first <= min(look_at, start + plan.enrol_seconds)
    counts = {plan.arms[i]: int((enrolled & (exposures.arm == i)).sum()) for i in arms}
    sums: dict[str, dict[str, Moments | RatioMoments]] = {}
    for metric in plan.metrics:
        mature = enrolled & (first + metric.window_seconds <= look_at)
        values, before, below = _columns(metric, outcomes[metric.key], first, look_at)
        by_arm: dict[str, Moments | RatioMoments] = {}
        for i in arms:
            chosen = mature & (exposures.arm == i)
            by_arm[plan.arms[i]] = (
                _moments(values, before, chosen)
                if below is None
                else _ratio_moments(values[chosen], below[chosen])
            )
        sums[metric.key] = by_arm
    return counts, sums


def _columns(
    metric: Metric, outcome: WideOutcome | LongOutcome, first: Floats, look_at: float
) -> tuple[Floats, Floats | None, Floats | None]:
    """Give every unit's value, its covariate, and what a ratio divides the value by."""
    if isinstance(outcome, WideOutcome):
        return outcome.values, outcome.covariates, outcome.denominators

    def of(events: LongOutcome, adds: str) -> Floats:
        return _unit_values(events, adds, first, metric.window_seconds, look_at)

    if metric.ratio is None or outcome.denominator is None:
        return of(outcome, metric.kind), None, None
    above = of(outcome, metric.ratio.numerator)
    return above, None, of(outcome.denominator, metric.ratio.denominator)


def _unit_values(
    outcome: LongOutcome, kind: str, first: Floats, window: float, look_at: float
) -> Floats:
    if outcome.time is None:
        counted = np.ones(len(outcome.unit), dtype=bool)
    else:
        begin = first[outcome.unit]
        until = np.minimum(begin + (window or math.inf), look_at)
        counted = (outcome.time >= begin) & (outcome.time < until)
    unit = outcome.unit[counted]
    weights = outcome.value[counted] if kind in {"mean", "value"} else None
    values = np.bincount(unit, weights=weights, minlength=len(first)).astype(np.float64)
    return np.minimum(values, 1.0) if kind == "conversion" else values


def _moments(values: Floats, before: Floats | None, chosen: Any) -> Moments:
    y = values[chosen]
    powers = (float(len(y)), float(y.sum()), float((y**2).sum()), float((y**3).sum()))
    if before is None:
        return Moments(*powers)
    x = before[chosen]
    crossed = (x, x**2, x**3, x * y, x**2 * y, x * y**2)
    return CovariateMoments(*powers, *(float(term.sum()) for term in crossed))


def _ratio_moments(m: Floats, d: Floats) -> RatioMoments:
    terms = (m, m**2, m**3, d, d**2, d**3, m * d, m * d**2, m**2 * d)
    return RatioMoments(float(len(m)), *(float(term.sum()) for term in terms))
