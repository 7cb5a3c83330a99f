"""The whole machine on recorded data: no server, no SDK, the very same looks and decisions.

With times, the plan's schedule is walked day by day until the machine would have stopped. Without
times there is one look, at the planned horizon.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan, plan_hash
from experiments.contract.policy import look_schedule
from experiments.errors import PlanError
from experiments.judging.looks import build_look, decide, finding_of, look_document
from experiments.judging.quality import Quality
from experiments.machine.lifecycle import PROVEN, Hold, Outcome, Position, State
from experiments.machine.lifecycle import look as move_by_look
from experiments.replays.conventional import (
    Conventional,
    SampleRatioCheck,
    compare,
    sample_ratio_check,
)
from experiments.replays.lost import recorded_quality
from experiments.replays.replay_files import (
    Exposures,
    Floats,
    LongOutcome,
    WideOutcome,
    read_exposures,
    read_long,
    read_wide,
)
from experiments.telling.card import Card, CardStatus, build_card, card_text
from stats import CovariateMoments, Decision, LookData, Moments, RatioMoments

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
    return replay_recorded(*read_recorded(exposures_path, outcomes_path, plan_document))


def read_recorded(
    exposures_path: Path | str, outcomes_path: Path | str, plan_document: Mapping[str, Any] | str
) -> tuple[Plan, Exposures, Outcomes]:
    """Read what `replay` reads, without deciding anything yet."""
    plan = parse_plan(plan_document)
    exposures = read_exposures(Path(exposures_path), plan)
    long = plan.outcomes is not None and plan.outcomes.event is not None
    read = read_long if long else read_wide
    return plan, exposures, read(Path(outcomes_path), plan, exposures)


def replay_recorded(plan: Plan, exposures: Exposures, outcomes: Outcomes) -> ReplayResult:
    """Run the machine over what has been read."""
    timeless = exposures.first is None
    start = 0.0 if exposures.first is None else float(exposures.first.min())
    offsets = recorded_looks(plan, exposures, outcomes)
    qualities = {offset: recorded_quality(plan, exposures, outcomes, offset) for offset in offsets}
    built = built_looks(plan, exposures, outcomes, qualities)
    rounds = list(zip(offsets, judged(plan, built, list(qualities.values())), strict=False))
    stored = [
        ReplayedLook(offset, look_document(look), decision.to_document())
        for offset, (look, decision, _position) in rounds
    ]
    last, _decision, position = rounds[-1][1]
    # No file tells a ratio's past.
    sums = cast("Mapping[str, Mapping[str, Moments | RatioMoments]]", last.metrics)
    quality = qualities[rounds[-1][0]]
    return _result(plan, exposures, position, stored, sums, quality, timeless=timeless, start=start)


def built_looks(
    plan: Plan, exposures: Exposures, outcomes: Outcomes, qualities: Mapping[float, Quality]
) -> Iterator[LookData]:
    """Build one look after the other.

    Parameters
    ----------
    qualities : mapping of float to Quality
        By the offset of each look, in their order, what is known about the data.
    """
    earlier: list[LookData] = []
    for offset, quality in qualities.items():
        counts, sums = recorded_sums(plan, exposures, outcomes, offset)
        look = build_look(
            plan,
            number=len(earlier) + 1,
            offset=offset,
            counts=counts,
            sums=sums,
            quality=quality,
            earlier=earlier,
        )
        earlier.append(look)
        yield look


def judged(
    plan: Plan, looks: Iterable[LookData], qualities: Sequence[Quality] = ()
) -> Iterator[tuple[LookData, Decision, Position]]:
    """Decide one look after the other, until a verdict; none is read beyond it.

    Parameters
    ----------
    qualities : sequence of Quality
        What is known about the data at each look; without them nothing is wrong with any. Nobody
        explains an alarm of recorded data.
    """
    position = Position(treatments=plan.treatments, last_step=0, state=State.RUNNING, step=0)
    seen: list[LookData] = []
    for look in looks:
        seen.append(look)
        decision = decide(plan, seen, sorted(position.dropped))
        alarm = qualities[len(seen) - 1].alarm(look.counts) if qualities else None
        hold = None if alarm is None else Hold.QUALITY
        position = move_by_look(position, finding_of(decision, look, hold)).position
        yield look, decision, position
        if position.verdict is not None:
            return


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
        unexplained=position.verdict == Outcome.INVALID,
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


def recorded_looks(plan: Plan, exposures: Exposures, outcomes: Outcomes) -> list[float]:
    """Give the looks that the data reach: one a day, the first days' hourly ones left out."""
    if exposures.first is None:
        return [plan.prove_by_seconds]
    start = float(exposures.first.min())
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


@dataclass(frozen=True)
class UnitValues:
    """One metric at one look, unit by unit: who is mature, and each unit's value.

    With it comes the covariate, or what a ratio divides the value by.
    """

    mature: npt.NDArray[np.bool_]
    values: Floats
    covariates: Floats | None
    denominators: Floats | None = None

    def sums(self, of_arm: npt.NDArray[np.bool_]) -> Moments | RatioMoments:
        """Add up the mature units of one arm."""
        chosen = self.mature & of_arm
        if self.denominators is None:
            return _moments(self.values, self.covariates, chosen)
        return _ratio_moments(self.values[chosen], self.denominators[chosen])


def recorded_sums(
    plan: Plan, exposures: Exposures, outcomes: Outcomes, offset: float
) -> tuple[dict[str, int], dict[str, dict[str, Moments | RatioMoments]]]:
    """Add up, arm by arm, what one look sees."""
    enrolled, units = recorded_units(plan, exposures, outcomes, offset)
    chosen = {arm: exposures.arm == place for place, arm in enumerate(plan.arms)}
    counts = {arm: int((enrolled & of_arm).sum()) for arm, of_arm in chosen.items()}
    sums = {
        key: {arm: seen.sums(of_arm) for arm, of_arm in chosen.items()}
        for key, seen in units.items()
    }
    return counts, sums


def recorded_units(
    plan: Plan, exposures: Exposures, outcomes: Outcomes, offset: float
) -> tuple[npt.NDArray[np.bool_], dict[str, UnitValues]]:
    """Tell what one look sees of every unit, whatever its arm: enrolment, and each outcome."""
    if exposures.first is None:
        enrolled = np.ones(len(exposures.arm), dtype=bool)
        first, look_at = np.zeros(len(exposures.arm)), math.inf
    else:
        start = float(exposures.first.min())
        first, look_at = exposures.first, start + offset
        enrolled = first <= min(look_at, start + plan.enrol_seconds)
    units: dict[str, UnitValues] = {}
    for key, outcome in outcomes.items():
        metric = plan.metric(key)
        mature = enrolled & (first + metric.window_seconds <= look_at)
        if isinstance(outcome, WideOutcome) and outcome.present is not None:
            mature &= outcome.present
        units[key] = UnitValues(mature, *_columns(metric, outcome, first, look_at))
    return enrolled, units


def counted_events(
    outcome: LongOutcome, first: Floats, window: float, look_at: float, since: float = 0.0
) -> npt.NDArray[np.bool_]:
    """Tell which events a look counts: in the unit's window, ``since`` it entered, at the look."""
    if outcome.time is None:
        return np.ones(len(outcome.unit), dtype=bool)
    begin = first[outcome.unit]
    until = np.minimum(begin + (window or math.inf), look_at)
    counted: npt.NDArray[np.bool_] = (outcome.time >= begin + since) & (outcome.time < until)
    return counted


def _columns(
    metric: Metric, outcome: WideOutcome | LongOutcome, first: Floats, look_at: float
) -> tuple[Floats, Floats | None, Floats | None]:
    """Give every unit's value, its covariate, and what a ratio divides the value by."""
    cap = math.inf if metric.reading.cap is None else metric.reading.cap
    if isinstance(outcome, WideOutcome):
        return np.minimum(outcome.values, cap), outcome.covariates, outcome.denominators

    def of(events: LongOutcome, adds: str) -> Floats:
        counted = counted_events(
            events, first, metric.window_seconds, look_at, metric.reading.from_seconds
        )
        return _unit_values(events, adds, counted, len(first), metric.reading.aggregation)

    if metric.ratio is None or outcome.denominator is None:
        return np.minimum(of(outcome, metric.kind), cap), None, None
    above = np.minimum(of(outcome, metric.ratio.numerator), cap)
    return above, None, of(outcome.denominator, metric.ratio.denominator)


def _unit_values(
    outcome: LongOutcome, kind: str, counted: npt.NDArray[np.bool_], units: int, aggregation: str
) -> Floats:
    unit = outcome.unit[counted]
    if aggregation == "max":
        largest = np.full(units, -math.inf)
        np.maximum.at(largest, unit, outcome.value[counted])
        return np.where(np.isfinite(largest), largest, 0.0)
    weights = outcome.value[counted] if kind in {"mean", "value"} else None
    values = np.bincount(unit, weights=weights, minlength=units).astype(np.float64)
    return np.minimum(values, 1.0) if kind in {"conversion", "retention"} else values


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
