"""How likely a running experiment is to prove its claim if it were given more time.

The worker computes it with each look, because whoever grants the extension must not compute: for
the arm that looks best, under the estimate as it stands, by stats' conditional power.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.contract.plan import Plan
from experiments.judging.looks import decision_plan, decision_policy, metric_spec
from stats import Decision, LookData, StatsError, boundary, conditional_crossings

PARTS = (0.25, 0.5, 0.75, 1.0)
"""Extensions, as shares of prove_by, for which the chance is told."""


def prospects(plan: Plan, look: LookData, decision: Decision) -> Mapping[str, Any] | None:
    """Give the chance of a proof by each extended deadline; ``None`` where none can be told.

    Notes
    -----
    The bound at the extended deadline is that of one look which spends all that is left there; the
    looks before it would have spent a little of it. A display that gates one decision of a person.
    """
    success = plan.success_metrics
    if not success or plan.extension_seconds or look.is_final or look.spending_time <= 0:
        return None
    tests = [
        test
        for test in decision.tests
        if test.kind == "ship" and test.metric == success[0].key and test.z is not None
    ]
    if not tests:
        return None
    best = max(tests, key=lambda test: test.z or 0.0)
    z, now = best.z or 0.0, look.spending_time
    spending = decision_policy(plan).proof_spending(decision_plan(plan), metric_spec(success[0]))
    chances = []
    for part in PARTS:
        end = max(1.0 + part, now * 1.001)
        try:
            (bound,) = boundary(spending, [end]).bounds
            crossing = conditional_crossings(z, now, [end], [bound], drift=z / now**0.5)
        except StatsError:
            return None
        chances.append([part * plan.prove_by_seconds, round(crossing.upper_by(), 6)])
    return {"arm": best.arm, "metric": best.metric, "by_extension": chances}
