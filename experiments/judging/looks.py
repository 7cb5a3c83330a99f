"""From sums to a decision: what ``stats.decide`` is handed, from events and from records alike.

The monitor, the replay and the verifier build their input here and nowhere else, so that a record
that verifies was decided by the very same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.judging.quality import NOTHING_EXPLAINED, Quality, Sums
from experiments.machine.lifecycle import Finding, Hold, Outcome
from stats import (
    CovariateMoments,
    Decision,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Policy,
    Role,
)
from stats import decide as stats_decide
from stats.decision.look import Sums as AnySums
from stats.sums.consecutive import ConsecutiveSums
from stats.sums.moments import AdditiveSums
from stats.sums.ratio import RatioCovariateMoments, RatioMoments

EVENTS_OF_A_RELEASE = 2.0
"""Prior strength of a release's event test: nine crashes to none act, where 20 needs sixteen."""


def decision_plan(plan: Plan) -> DecisionPlan:
    """Give the part of a plan that decides."""
    return DecisionPlan(
        arms=plan.arms,
        weights=tuple(float(weight) for _arm, weight in plan.weights),
        metrics=tuple(metric_spec(metric) for metric in plan.metrics),
    )


def decision_policy(plan: Plan) -> Policy:
    """Give the error rates that a plan was sealed with.

    The events of a release are weighed for a change that breaks something, not for a few per cent.
    """
    policy = plan.policy
    concentration = {} if plan.release is None else {"event_concentration": EVENTS_OF_A_RELEASE}
    return Policy(
        **concentration,
        alpha_ship=policy.alpha_ship,
        alpha_guardrail=policy.alpha_guardrail,
        alpha_harm=policy.alpha_harm,
        beta_futility=policy.beta_futility,
        epsilon=policy.epsilon,
        srm_threshold=policy.srm_threshold,
    )


def metric_spec(metric: Metric) -> MetricSpec:
    """Give what the decision knows of a metric."""
    return MetricSpec(
        key=metric.key,
        role=Role(metric.role),
        binary=metric.binary,
        direction="up" if metric.direction == "up" else "down",
        mde=metric.mde,
        margin=metric.margin,
        superiority_margin=metric.superiority_margin,
        rare=metric.rare,
    )


def build_look(
    plan: Plan,
    *,
    number: int,
    offset: float,
    counts: Mapping[str, int],
    sums: Sums,
    quality: Quality,
    earlier: Sequence[LookData] = (),
    waits_for_customer: bool = False,
    explained: Mapping[str, float] = NOTHING_EXPLAINED,
) -> LookData:
    """Build one look at a scheduled instant.

    Parameters
    ----------
    offset : float
        Seconds from the start to the scheduled instant.
    counts, sums
        Exposed units per arm; sums over matured units per metric and arm.
    earlier : sequence of LookData
        The looks before it, for a spending time that never runs backwards.
    waits_for_customer : bool
        Whether a proven change waits: such a look can find harm only.
    explained : mapping of str to float
        Alarms that were explained, and how loud they were: they keep nothing from shipping.

    Notes
    -----
    With ``planned_units`` the spending time is the share of them that has matured, else the share
    of ``prove_by`` that has passed. The deadline spends all that is left.
    """
    policy, deadline = plan.policy, plan.deadline_seconds
    # A release may end at any look, so its guards may be shown safe at any.
    ship_instant = plan.release is not None or policy.may_ship(offset, deadline)
    # An extension spends what was kept for it: the time goes on past 1, and nothing is unspent.
    time = offset / plan.prove_by_seconds
    over = offset >= deadline
    if plan.planned_units is not None:
        matured = _matured_units(plan, sums) / plan.planned_units
        time = min(time, deadline / plan.prove_by_seconds) if over else matured
        over = over or (time >= 1.0 and ship_instant)
    if earlier:
        time = max(time, earlier[-1].spending_time)
    trusted = quality.alarm(counts, explained) is None
    return LookData(
        number=number,
        spending_time=time,
        may_ship=ship_instant and trusted and not waits_for_customer,
        may_be_futile=policy.may_be_futile(offset, deadline) and not waits_for_customer,
        is_final=over and not waits_for_customer,
        counts=dict(counts),
        metrics=sums,
    )


def _matured_units(plan: Plan, sums: Sums) -> float:
    deciding = [metric.key for metric in plan.metrics if metric.role in {"success", "guardrail"}]
    return min(sum(arm.n for arm in sums.get(key, {}).values()) for key in deciding)


def decide(plan: Plan, looks: Sequence[LookData], dropped: Sequence[str] = ()) -> Decision:
    """Decide the newest of ``looks`` by the sealed rules."""
    return stats_decide(looks, decision_plan(plan), decision_policy(plan), dropped=tuple(dropped))


def finding_of(decision: Decision, look: LookData, alarm: Hold | None = None) -> Finding:
    """Give a decision, and what is wrong with the data, in the words of the lifecycle."""
    return Finding(
        verdict=Outcome(decision.verdict.value),
        winner=decision.winner,
        harmed=decision.harmed,
        is_final=look.is_final,
        alarm=alarm,
    )


def look_document(look: LookData) -> dict[str, Any]:
    """Write a look as plain data, every sum in full precision."""
    return {
        "number": look.number,
        "spending_time": look.spending_time,
        "may_ship": look.may_ship,
        "may_be_futile": look.may_be_futile,
        "is_final": look.is_final,
        "counts": {arm: int(count) for arm, count in look.counts.items()},
        "metrics": _written(look.metrics),
    } | ({"consecutive": _written(look.consecutive)} if look.consecutive else {})


def read_look(document: Mapping[str, Any]) -> LookData:
    """Read back what :func:`look_document` wrote."""
    return LookData(
        number=int(document["number"]),
        spending_time=float(document["spending_time"]),
        may_ship=bool(document["may_ship"]),
        may_be_futile=bool(document["may_be_futile"]),
        is_final=bool(document["is_final"]),
        counts={arm: int(count) for arm, count in document["counts"].items()},
        metrics={
            key: {arm: _read_sums(sums) for arm, sums in arms.items()}
            for key, arms in document["metrics"].items()
        },
        consecutive={
            key: {arm: ConsecutiveSums(**_numbers(sums)) for arm, sums in arms.items()}
            for key, arms in document.get("consecutive", {}).items()
        },
    )


def _written(sums: Mapping[str, Mapping[str, AdditiveSums]]) -> dict[str, Any]:
    return {
        key: {arm: sums_document(entry) for arm, entry in arms.items()}
        for key, arms in sums.items()
    }


def sums_document(sums: AdditiveSums) -> dict[str, float]:
    """Write sums as plain data."""
    return {field.name: float(getattr(sums, field.name)) for field in fields(sums)}


def _read_sums(document: Mapping[str, float]) -> AnySums:
    """Read sums of whichever kind has the names that are written."""
    kinds = (Moments, CovariateMoments, RatioMoments, RatioCovariateMoments)
    # A name that none of them has is refused by the last: TypeError, as for any strange argument.
    kind = next((k for k in kinds if set(document) <= {f.name for f in fields(k)}), kinds[-1])
    return kind(**_numbers(document))


def _numbers(document: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in document.items()}
