"""What became of the simulated experiments, beside what was promised and what others would do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import stats as sps

from benchmarks.trials.naive import Rule, judge
from benchmarks.trials.trial import Trial
from benchmarks.trials.worlds import (
    DAY,
    HARMFUL,
    Design,
    baselines,
    plan_document,
    schedule_of,
    sized_targets,
    truths,
)
from experiments.contract.parsing import parse_plan
from experiments.judging.looks import decision_plan
from stats import Prospect, Verdict, operating_characteristics

NAIVE: Mapping[Rule, str] = {"daily": "p < .05 every day", "end": "ship unless something lost"}
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Judged:
    """How one rule ended one experiment.

    Parameters
    ----------
    end : str
        ``ship``, ``harm``, ``futile``, ``not proven``, ``invalid`` or ``stop``.
    days : float
        From the start to the verdict.
    harm_days, harm_units : float
        From the first to the last unit that was served the treatment, and how many; ``inf`` where
        everybody is served it for good.
    """

    end: str
    days: float
    harm_days: float
    harm_units: float


@dataclass(frozen=True)
class Result:
    """One experiment, as the machine and as the usual rules ended it."""

    world: str
    key: str
    looks: int
    by: Mapping[str, Judged]
    faults: tuple[str, ...]
    #: What the verification of what shipped came to; empty where nothing shipped.
    afterwards: str = ""

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        by = {rule: vars(judged) for rule, judged in self.by.items()}
        return {**vars(self), "by": by, "faults": list(self.faults)}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Result:
        """Read back what `to_document` wrote."""
        by = {rule: Judged(**judged) for rule, judged in document["by"].items()}
        return cls(**{**document, "by": by, "faults": tuple(document["faults"])})


_ENDS = {
    "VALUE_PROVEN": "ship",
    "HARM": "harm",
    "FUTILE": "futile",
    "NOT_PROVEN_IN_TIME": "not proven",
    "INVALID": "invalid",
}


def result_of(trial: Trial, design: Design) -> Result:
    """Sum up one experiment."""
    assert trial.ended is not None
    end = _ENDS.get(trial.verdict or "", "other")
    if end == "ship" and trial.state == "ROLLED_BACK":
        end = "other"
    decided = trial.ended if trial.decided is None else trial.decided
    treated = trial.visitors.times[(trial.arm == 1) & trial.tracked]
    by = {"machine": _judged(end, decided / DAY, treated)}
    for rule in NAIVE:
        ending = judge(rule, design, trial.visitors, trial.dealt)
        treated = trial.visitors.times[
            (trial.dealt == 1) & (trial.visitors.times <= ending.days * DAY)
        ]
        by[rule] = _judged("ship" if ending.ships else "stop", ending.days, treated)
    after = trial.afterwards or "" if end == "ship" else ""
    return Result(trial.world, trial.key, trial.looks, by, tuple(trial.faults), after)


def _judged(end: str, days: float, treated: Any) -> Judged:
    if end == "ship":
        return Judged(end, days, math.inf, math.inf)
    span = float(treated[-1] - treated[0]) / DAY if treated.size else 0.0
    return Judged(end, days, span, float(treated.size))


# --- what was promised


@dataclass(frozen=True)
class Promise:
    """A rate that must not lie above, or not below, a limit."""

    what: str
    ends: tuple[str, ...]
    at_least: float = 0.0
    at_most: float = 1.0

    def kept(self, hits: int, count: int) -> bool:
        """Tell whether the rate lies within the limits, but for chance (exact, at 1 %)."""
        too_many = sps.binomtest(hits, count, self.at_most, alternative="greater").pvalue
        too_few = sps.binomtest(hits, count, self.at_least, alternative="less").pvalue
        return bool(min(too_many, too_few) >= 1 - CONFIDENCE)

    @property
    def limit(self) -> str:
        """Write the limit."""
        return f"≥ {_share(self.at_least)}" if self.at_least > 0 else f"≤ {_share(self.at_most)}"


_FALSE_STOP = Promise("false stop", ("harm",), at_most=0.025)
#: The holdback's looks together spend the harm alpha once more.
LATE_HARM = Promise("false late harm", ("LATE_HARM",), at_most=0.025)
#: EXPERIMENTS.md section 2: error rates by the policy, the rest of its table less its own .01.
PROMISES: Mapping[str, tuple[Promise, ...]] = {
    "no effect anywhere": (
        Promise("ships", ("ship",), at_most=0.025),
        _FALSE_STOP,
        Promise("futile or not proven", ("futile", "not proven"), at_least=0.95),
    ),
    "success = MDE": (
        Promise("ships", ("ship",), at_least=0.76),
        _FALSE_STOP,
        Promise("futile", ("futile",), at_most=0.10),
    ),
    "success = MDE, a guardrail = -margin": (Promise("ships", ("ship",), at_most=0.025),),
    "success = -MDE": (
        Promise("ships", ("ship",), at_most=0.01),
        Promise("stopped before the deadline", ("harm", "futile"), at_least=0.99),
    ),
    "a guardrail = -2 margins": (
        Promise("ships", ("ship",), at_most=0.01),
        Promise("stopped before the deadline", ("harm", "futile"), at_least=0.99),
    ),
}


#: The same table's figures. Looks went on past the deadline there: more was stopped for harm.
DESIGNED: Mapping[str, Mapping[str, float]] = {
    "no effect anywhere": {"ship": 0.018, "harm": 0.012, "futile": 0.97, "mean end": 0.48},
    "success = MDE": {"ship": 0.770},
    "success = MDE, a guardrail = -margin": {"ship": 0.021, "harm": 0.945},
    "success = -MDE": {"ship": 0.0, "mean end": 0.26},
    "a guardrail = -2 margins": {"ship": 0.0, "harm": 1.0, "mean end": 0.24},
}


@cache
def forecasts(design: Design, replicas: int) -> Mapping[str, Prospect]:
    """Simulate the decision rule alone, with `stats`: what the whole machine should come to."""
    targets = sized_targets(design)
    plan = parse_plan(plan_document(design, "forecast", targets))
    return operating_characteristics(
        decision_plan(plan),
        world=baselines(),
        schedule=schedule_of(plan, design.visitors_per_day),
        rng=np.random.default_rng(20_240),
        truths=truths(targets),
        replicas=replicas,
    ).prospects


def report(
    results: Sequence[Result],
    forecast: Mapping[str, Prospect],
    print_line: Callable[[str], None],
) -> int:
    """Write everything; return how many promises were broken and experiments were faulty."""
    missed = 0
    for world, promises in PROMISES.items():
        found = [result for result in results if result.world == world]
        if not found:
            continue
        print_line(f"\n{world}: {len(found)} experiments")
        missed += _report_machine(found, promises, forecast[world], print_line)
        missed += _report_afterwards(found, print_line)
        for rule, name in NAIVE.items():
            print_line(f"  {name:<30}ships {_share_of(found, rule, 'ship')}")
        if world in HARMFUL:
            _report_harm(found, print_line)
    hurt = [result for result in results if result.faults]
    looks = sum(result.looks for result in results)
    for result in hurt:
        print_line(f"FAULT {result.key} ({result.world}): {'; '.join(result.faults)}")
    print_line(
        f"\n{len(results)} experiments, {looks:,} looks: "
        f"{len(hurt)} with a fault, {missed} promises broken"
    )
    return missed + len(hurt)


def _report_machine(
    found: Sequence[Result],
    promises: Sequence[Promise],
    forecast: Prospect,
    print_line: Callable[[str], None],
) -> int:
    ends, designed = [result.by["machine"].end for result in found], DESIGNED[found[0].world]
    days_planned = Design().days
    verdicts = {
        "ship": Verdict.VALUE_PROVEN,
        "harm": Verdict.HARM,
        "futile": Verdict.FUTILE,
        "not proven": Verdict.NOT_PROVEN_IN_TIME,
    }
    for end in (*verdicts, *sorted(set(ends) - set(verdicts))):
        foreseen = ""
        if end in verdicts:
            foreseen = f"forecast {_share(forecast.probability(verdicts[end]).value)}"
        if end in designed:
            foreseen += f", design {_share(designed[end])}"
        print_line(f"  {end:<30}{_interval(ends.count(end), len(ends))}  {foreseen}")
    days = np.array([result.by["machine"].days for result in found])
    end = f"{days.mean():.1f} days ± {days.std() / math.sqrt(days.size):.1f}"
    foreseen = f"forecast {days_planned * forecast.mean_end.value:.1f}"
    if "mean end" in designed:
        foreseen += f", design {days_planned * designed['mean end']:.1f}"
    print_line(f"  {'mean end':<30}{end}  {foreseen}")
    missed = 0
    for promise in promises:
        hits, kept = sum(end in promise.ends for end in ends), True
        kept = promise.kept(hits, len(ends))
        missed += not kept
        answer = "ok" if kept else "MISSED"
        print_line(
            f"  promised: {promise.what} {promise.limit}: {_share(hits / len(ends))} {answer}"
        )
    return missed


def _report_afterwards(found: Sequence[Result], print_line: Callable[[str], None]) -> int:
    """Report what became of what shipped; late harm is promised where something is truly lost."""
    shipped = [result.afterwards for result in found if result.afterwards]
    for word in sorted(set(shipped)):
        name = f"of {len(shipped)} shipped {word}"
        print_line(f"  {name:<30}{_interval(shipped.count(word), len(shipped))}")
    if not shipped or found[0].world in HARMFUL:
        return 0
    hits = shipped.count("LATE_HARM")
    kept = LATE_HARM.kept(hits, len(shipped))
    answer = "ok" if kept else "MISSED"
    what = f"{LATE_HARM.what} {LATE_HARM.limit}"
    print_line(f"  promised: {what}: {_share(hits / len(shipped))} {answer}")
    return 0 if kept else 1


def _report_harm(found: Sequence[Result], print_line: Callable[[str], None]) -> None:
    print_line("  from the first harmed unit to the last: median / p90 / max; days, then units")
    for rule, name in {"machine": "Flagstone", **NAIVE}.items():
        parts = []
        for values in (
            [result.by[rule].harm_days for result in found],
            [result.by[rule].harm_units for result in found],
        ):
            ordered = sorted(values)
            picked = (ordered[math.ceil(q * len(ordered)) - 1] for q in (0.5, 0.9, 1.0))
            parts.append(" / ".join("shipped" if math.isinf(x) else f"{x:.0f}" for x in picked))
        print_line(f"    {name:<30}{parts[0]:<28}{parts[1]}")


def _share_of(found: Sequence[Result], rule: str, end: str) -> str:
    hits = sum(result.by[rule].end == end for result in found)
    return _interval(hits, len(found))


def _interval(hits: int, count: int) -> str:
    low, high = sps.binomtest(hits, count).proportion_ci(CONFIDENCE, method="exact")
    return f"{_share(hits / count)} [{_share(low)}, {_share(high)}]"


def _share(value: float) -> str:
    text = f"{value:.3f}"
    return text.removeprefix("0") if value < 1 else "1.000"
