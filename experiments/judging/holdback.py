"""What the units held back tell about a change that ships: late harm, and the realised effect.

Each step of shipping is compared on its own: only units that met it are read, and its looks spend a
share of their own of the harm alpha. Before the end nothing but harm can be found; at the last look
of the verification the effect is estimated, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.contract.shipping import harm_share
from experiments.judging.looks import decision_policy, look_document, metric_spec
from experiments.judging.quality import Sums
from experiments.machine.lifecycle import Comparison, Outcome
from experiments.rules import serving
from stats import Decision, DecisionPlan, LookData, Verdict
from stats import decide as stats_decide

Z = 1.959963984540054
"""Two-sided 95 %: the interval of the one look at which the effect is estimated."""


@dataclass(frozen=True)
class Stage:
    """One step of shipping, as it is compared.

    Parameters
    ----------
    step : int
        Index of the step; the last one is the verification.
    since : str
        When it began (ISO 8601).
    weights : tuple of int
        Buckets of those held back, and of those who have the winner.
    claimed : tuple of str
        Metrics that carried the proof, or that should have.
    """

    step: int
    since: str
    winner: str
    weights: tuple[int, int]
    claimed: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Give the stage as plain data; :func:`read_stage` reads it back."""
        return {
            "step": self.step,
            "since": self.since,
            "winner": self.winner,
            "weights": list(self.weights),
            "claimed": list(self.claimed),
        }


def read_stage(document: Mapping[str, Any]) -> Stage:
    """Read back what a stage wrote."""
    held, having = document["weights"]
    return Stage(
        step=int(document["step"]),
        since=str(document["since"]),
        winner=str(document["winner"]),
        weights=(int(held), int(having)),
        claimed=tuple(document["claimed"]),
    )


def weights_served(plan: Plan, rules: Mapping[str, serving.Rule]) -> tuple[int, int]:
    """Give the buckets of those held back and of those who have the winner, as served."""
    split = rules[serving.ship_rule_id(plan)]["serve"]["split"]["to"]
    widths = [sum(high - low for low, high in entry["ranges"]) for entry in split]
    # A split without a holdback compares nothing; a weight must still be above nothing.
    return max(1, widths[0]), max(1, widths[1])


def claimed_metrics(plan: Plan, winner: str, decision: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Give the metrics whose effect the verification looks for.

    Those that carried the proof; where nothing was proven, all that could have.
    """
    if plan.claim == "no_harm":
        return tuple(metric.key for metric in plan.metrics if metric.role == "guardrail")
    tests = (decision or {}).get("tests", [])
    proven = [
        test["metric"]
        for test in tests
        if test["kind"] == "ship" and test["arm"] == winner and test["passed"]
    ]
    return tuple(proven) or tuple(metric.key for metric in plan.success_metrics)


def build_comparison(
    *,
    number: int,
    offset: float,
    length: float,
    counts: Mapping[str, int],
    sums: Sums,
    trusted: bool,
    verifies: bool,
) -> LookData:
    """Make the decision's input of one look at the holdback.

    Parameters
    ----------
    length : float
        Seconds that the stage lasts: its alpha is spent over them.
    trusted : bool
        Whether the data may confirm anything (no quality alarm).
    verifies : bool
        Whether the stage is the verification, whose last look estimates the effect.
    """
    final = verifies and offset >= length
    return LookData(
        number=number,
        spending_time=min(1.0, offset / length),
        may_ship=final and trusted,
        may_be_futile=False,
        is_final=final,
        counts=dict(counts),
        metrics=sums,
    )


def compare(
    plan: Plan, stage: Stage, looks: Sequence[LookData]
) -> tuple[Comparison, dict[str, Any]]:
    """Decide the newest of a stage's looks; the document's verdict is the lifecycle's word.

    The effect is confirmed if the data are trusted, and every claimed metric's estimate lies beyond
    its mark on the good side: break-even for success metrics, the tolerance for guardrails.
    """
    look = looks[-1]
    rates = decision_policy(plan)
    last = len(plan.policy.ship_steps) - 1
    rates = replace(rates, alpha_harm=rates.alpha_harm * harm_share(stage.step, last))
    arms = DecisionPlan(
        arms=(plan.control, stage.winner),
        weights=(float(stage.weights[0]), float(stage.weights[1])),
        metrics=tuple(metric_spec(metric) for metric in plan.metrics),
    )
    decision = stats_decide(looks, arms, rates)
    realised = _realised(plan, stage, look, decision)
    found = Comparison(
        harm=bool(decision.harmed),
        invalid=decision.verdict is Verdict.INVALID,
        is_final=look.is_final,
        confirmed=look.may_ship and all(each["beyond_mark"] for each in realised),
    )
    document = decision.to_document() | {
        "verdict": _word(found).value,
        "winner": stage.winner,
        "realised": realised,
    }
    return found, document


def _word(found: Comparison) -> Outcome:
    if found.invalid:
        return Outcome.INVALID
    if found.harm:
        return Outcome.LATE_HARM
    if found.is_final:
        return Outcome.CONFIRMED if found.confirmed else Outcome.NOT_CONFIRMED
    return Outcome.CONTINUE


def _realised(plan: Plan, stage: Stage, look: LookData, decision: Decision) -> list[dict[str, Any]]:
    """Give the effect on every claimed metric, each with its 95 % interval."""
    rows: list[dict[str, Any]] = []
    document = look_document(look)
    means = {key: words.means(document, key) for key in stage.claimed}
    for key in stage.claimed:
        metric = plan.metric(key)
        # Of a metric's tests the harm test's standard error is that of the plain difference.
        test = next((t for t in decision.tests if (t.metric, t.kind) == (key, "harm")), None)
        row: dict[str, Any] = {"metric": key, "arm": stage.winner}
        if test is None or test.estimate is None or test.se is None:
            reason = test.reason if test is not None else "not compared"
            rows.append(row | {"estimate": None, "reason": reason, "beyond_mark": False})
            continue
        estimate, up = test.estimate, metric.direction == "up"
        low, high = estimate - Z * test.se, estimate + Z * test.se
        mark = _mark(metric, means[key].get(plan.control, 0.0))
        rows.append(
            row
            | {
                "estimate": _cut(estimate),
                "se": _cut(test.se),
                "low": _cut(low),
                "high": _cut(high),
                "relative": None if test.relative is None else _cut(test.relative),
                "mark": _cut(mark),
                "beyond_mark": estimate > mark if up else estimate < mark,
                "contradicted": high < mark if up else low > mark,
            }
        )
    return rows


def _cut(value: float) -> float:
    # As `stats` does with what is stored: processors differ in the last digits.
    return float(f"{value:.10g}")


def _mark(metric: Metric, control: float) -> float:
    sign = 1 if metric.direction == "up" else -1
    if metric.role == "success":
        return sign * metric.superiority_margin
    return -sign * (metric.margin or 0.0) * abs(control)
