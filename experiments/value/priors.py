"""What the metric's past says of the next effect (worker only: it needs statistics).

Empirical Bayes: the experiments that ended on the same metric give the distribution of true
effects. The worker stores it with the look, so that whoever shrinks an estimate later needs no
statistics, and a ledger entry can be computed again.
"""

from __future__ import annotations

import math
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract import words
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.models import Experiment
from experiments.value.entering import newest_look
from stats import random_effects

LEAST_EXPERIMENTS = 8


def priors_of(session: Session, experiment: Experiment, plan: Plan) -> dict[str, Any]:
    """Give the prior of the first success metric, relative to control; empty with too short a past.

    Notes
    -----
    Every experiment of the project counts that has ended, was not invalid, and had the same metric
    (key, kind and event): proven or not, and always by its first treatment, so that nothing is
    chosen by its result.
    """
    if plan.value is None or not plan.success_metrics:
        return {}
    metric = plan.success_metrics[0]
    effects, variances = [], []
    for other in _ended(session, experiment):
        past = parse_plan(other.plan)
        same = [m for m in past.success_metrics if (m.key, m.kind, m.event) == _identity(metric)]
        found = _lift(session, other, past, metric.key) if same else None
        if found is not None:
            effects.append(found[0])
            variances.append(found[1] ** 2)
    if len(effects) < LEAST_EXPERIMENTS:
        return {}
    population = random_effects(effects, variances)
    sd = math.hypot(math.sqrt(population.tau2), population.se)
    return {metric.key: {"mean": population.mean, "sd": sd, "experiments": len(effects)}}


def _identity(metric: Any) -> tuple[str, str, str]:
    return metric.key, metric.kind, metric.event


def _ended(session: Session, experiment: Experiment) -> list[Experiment]:
    query = select(Experiment).where(
        Experiment.project_id == experiment.project_id,
        Experiment.id != experiment.id,
        col(Experiment.ended_at).is_not(None),
        col(Experiment.verdict).is_not(None),
        Experiment.verdict != "INVALID",
    )
    return list(session.exec(query.order_by(col(Experiment.id))))


def _lift(session: Session, other: Experiment, plan: Plan, key: str) -> tuple[float, float] | None:
    """Give lift and standard error at the newest look, in the first treatment."""
    assert other.id is not None
    look = newest_look(session, other.id)
    if look is None:
        return None
    test = words.find_test(look.decision, "ship", key, plan.treatments[0])
    control = abs(words.means(look.data["look"], key).get(plan.control, 0.0))
    if test is None or test["estimate"] is None or not test["se"] or not control:
        return None
    return test["estimate"] / control, test["se"] / control
