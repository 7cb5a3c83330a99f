"""What a policy does where the truth is known, found out by the worker before any plan may take it.

The rule that decides is run over thousands of simulated experiments of the standard case
(:mod:`experiments.policies.standard`): the policy's own looks, ramp, minimum and error rates.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlmodel import col, select

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.contract.policy import Policy, parse_policy
from experiments.judging.looks import decision_plan, decision_policy
from experiments.measuring.today import Arrivals
from experiments.moves.lease import Held, check_fence
from experiments.planning.foretelling import MOST_LOOKS, schedule_of, simulated_looks, tidy
from experiments.policies.models import PolicyRow, PolicyTrial
from experiments.policies.standard import BASELINE, CORRELATION, EFFECT, METHOD, RUNS, UNITS
from flags.database import Database
from stats import (
    Baseline,
    Simulated,
    StatsError,
    World,
    operating_characteristics,
)
from stats.planning.worlds import standard_truths

log = logging.getLogger(__name__)

Document = dict[str, Any]

# One for all, so that what differs between two policies is not chance.
_SEED = 28


def try_due(database: Database, held: Held, now: dt.datetime, *, runs: int = RUNS) -> int:
    """Try one stored policy whose rules nobody has tried, if there is one; about 2 s.

    Parameters
    ----------
    held : Held
        The worker's lease: only its holder writes.
    runs : int
        Simulated experiments in each world.

    Returns
    -------
    int
        How many were tried.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    query = (
        select(PolicyRow.rules_hash, PolicyRow.document)
        .outerjoin(PolicyTrial, col(PolicyTrial.rules_hash) == col(PolicyRow.rules_hash))
        .where(
            col(PolicyRow.archived).is_(False),
            sa.or_(col(PolicyTrial.method).is_(None), col(PolicyTrial.method) != METHOD),
        )
        # Somebody waits for a draft; what is published has been tried, by another method.
        .order_by(col(PolicyRow.published), col(PolicyRow.changed_at), col(PolicyRow.id))
        .limit(1)
    )
    with database.read() as session:
        due = session.exec(query).first()
    if due is None:
        return 0
    rules_hash, document = due
    try:
        found = try_policy(parse_policy(document), runs=runs)
    except Exception as error:
        # It must neither keep the others from theirs nor be tried again every second.
        log.exception("policy %s could not be tried", document["name"])
        found = {"reason": f"it failed: {error}"}
    with database.write() as session:
        check_fence(session, held)
        session.merge(
            PolicyTrial(rules_hash=rules_hash, method=METHOD, computed_at=now, document=found)
        )
    return 1


def try_policy(policy: Policy, *, runs: int = RUNS) -> Document:
    """Try a policy in the standard case; equal rules give equal answers.

    Parameters
    ----------
    policy : Policy
        Whatever its horizon: the same units come within it.
    runs : int
        Simulated experiments in each world. The Monte Carlo error of a share is at most
        ``0.5 / sqrt(runs)``; each is given beside its share.

    Returns
    -------
    dict
        Chances and mean ends (in horizons), each with ``value`` and ``se``; or the ``reason`` that
        there are none.
    """
    plan = standard_plan(policy)
    looks = simulated_looks(plan)
    arrivals = Arrivals((float(UNITS),), policy.horizon_seconds)
    schedule = schedule_of(plan, arrivals, 0.0, looks)
    if schedule is None:
        return {"reason": "its ramp lets nobody in before the horizon"}
    decides = decision_plan(plan)
    truths = standard_truths(decides)
    first = next(name for name in truths if name.startswith("breached"))
    try:
        found = operating_characteristics(
            decides,
            decision_policy(plan),
            world=World(
                {metric.key: Baseline.of_rate(BASELINE) for metric in decides.metrics}, CORRELATION
            ),
            schedule=schedule,
            rng=np.random.default_rng(_SEED),
            # The other guardrail is like the first.
            truths={name: truths[name] for name in ("worthless", "worth having", first)},
            replicas=runs,
        )
    except StatsError as error:
        return {"reason": str(error)}
    return {
        "runs": runs,
        "looks": schedule.looks,
        "thinned": len(looks) == MOST_LOOKS,
        "units": round(sum(schedule.units[-1])),
        "horizon_days": tidy(policy.horizon_seconds / policy.day_seconds),
        "ship_if_worthless": _of(found.ship_when_worthless),
        "ship_if_breached": _of(found.ship_when_breached),
        "stop_if_breached": _of(found.prospects[first].stopped()),
        "false_harm_stop": _of(found.false_harm_stop),
        "proof_at_mde": _of(found.proof_at_mde),
        "end_if_worthless": _of(found.expected_end["worthless"]),
        "end_at_mde": _of(found.expected_end["worth having"]),
    }


def _of(found: Simulated) -> Document:
    return {name: tidy(value) for name, value in asdict(found).items()}


def standard_plan(policy: Policy) -> Plan:
    """Give the plan of the standard case under a policy."""

    def metric(key: str, role: str, **promise: float) -> dict[str, Any]:
        return {"key": key, "role": role, **_COUNTED, "event": key, **promise}

    return parse_plan(
        {
            "key": "standard-case",
            "flag": "standard-case",
            "control": "control",
            "treatments": ["treatment"],
            "hypothesis": "It is worth its MDE.",
            "customer": "customer",
            "owner": "owner",
            "policy": policy.to_document(),
            "metrics": [
                metric("success", "success", mde=EFFECT),
                metric("guardrail", "guardrail", margin=EFFECT),
                metric("other guardrail", "guardrail", margin=EFFECT),
                metric("safety", "safety"),
            ],
        }
    )


# What happens at once: waiting for outcomes belongs to a metric, not to a policy.
_COUNTED = {"kind": "conversion", "direction": "up", "window": "0.001s"}
