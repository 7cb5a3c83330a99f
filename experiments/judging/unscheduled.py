"""What may be said between two looks: an interval that holds however often somebody asks.

It is kept apart from looks. It has no number, spends none of their error, and nothing that decides
reads it: neither the lifecycle nor the record knows that anybody asked.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from experiments.contract.plan import Plan
from experiments.judging.looks import decision_plan, decision_policy
from experiments.judging.quality import Sums
from stats import LookData, Unscheduled, read_unscheduled

PLANNED_UNITS = 20_000.0
"""Of an experiment that nothing was foretold for: sharpest at 5,000 units, as elsewhere."""

# Of a metric's tests these carry the standard error of the plain difference.
_PLAIN = ("harm", "ship", "explore")


def alpha_of(plan: Plan) -> float:
    """Give what an interval may miss at both ends together: the plan's errors of proof and harm."""
    policy = plan.policy
    proof = policy.alpha_ship if plan.claim == "value" else policy.alpha_guardrail
    return proof + policy.alpha_harm


def read_now(
    plan: Plan,
    *,
    offset: float,
    counts: Mapping[str, int],
    sums: Sums,
    alarm: str | None,
    planned_units: float,
    dropped: Collection[str] = (),
    newest: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give every metric and treatment its interval at one moment, as plain data.

    Parameters
    ----------
    offset : float
        Seconds from the start to that moment.
    alarm : str, optional
        What is wrong with the data.
    planned_units : float
        Units of all arms, as it was planned before the start; it may not follow from the data.
    dropped : collection of str
        Arms that were stopped.
    newest : mapping, optional
        What the newest look has decided, to say how much wider these intervals are.

    Notes
    -----
    Where the split is not the planned one there are no rows: no number can be trusted.
    """
    alpha = alpha_of(plan)
    look = LookData(0, 0.0, False, False, False, dict(counts), sums)
    found = read_unscheduled(
        look,
        decision_plan(plan),
        decision_policy(plan),
        planned_units=planned_units,
        alpha=alpha,
        dropped=tuple(dropped),
    )
    return {
        "offset": offset,
        "counts": {arm: int(count) for arm, count in counts.items()},
        "confidence_level": _cut(1 - alpha),
        "planned_units": _cut(planned_units),
        "split_broken": found.split_broken,
        "srm_log_e": _cut(found.srm_log_e),
        "alarm": alarm,
        "rows": [_row(reading, newest) for reading in found.readings],
    }


def _row(reading: Unscheduled, newest: Mapping[str, Any] | None) -> dict[str, Any]:
    row = {
        name: _cut(value) if isinstance(value, float) else value
        for name, value in asdict(reading).items()
    }
    return row | {"times_scheduled": _times_scheduled(reading, newest)}


def _times_scheduled(reading: Unscheduled, newest: Mapping[str, Any] | None) -> float | None:
    """Tell how many times as wide as a scheduled interval it is, by standard errors.

    So the people who have come since the newest look do not count.
    """
    test = next(
        (
            test
            for test in (newest or {}).get("tests", ())
            if (test["metric"], test["arm"]) == (reading.metric, reading.arm)
            and test["kind"] in _PLAIN
            and test["se"]
        ),
        None,
    )
    if test is None or None in (test["low"], test["high"], reading.low, reading.high):
        return None
    assert reading.low is not None
    assert reading.high is not None
    assert reading.se is not None
    scheduled = (test["high"] - test["low"]) / test["se"]
    return _cut((reading.high - reading.low) / reading.se / scheduled) if scheduled > 0 else None


def _cut(value: float) -> float:
    # As with what looks decide; an infinite evidence is as good as a huge one.
    return float(f"{value:.10g}") if math.isfinite(value) else math.copysign(1e308, value)
