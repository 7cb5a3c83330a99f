"""Where a release stands among its steps, as its row and its records tell."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.plan import Plan
from experiments.contract.release import RELEASE
from experiments.machine.lifecycle import LIVE
from experiments.models import DecisionRecord, Experiment
from experiments.moves.enact import plan_of
from experiments.rules.release_rules import served_by
from experiments.rules.releasing import Standing, waits_for


def is_release(experiment: Experiment) -> bool:
    """Tell a release from an experiment."""
    return bool(experiment.plan.get("claim") == RELEASE)


def standing_of(session: Session, experiment: Experiment, plan: Plan) -> Standing:
    """Read where a started release stands; its records say who did what.

    Approvals are records and nothing else: nobody can take one back, or give one unseen.
    """
    assert experiment.started_at is not None, "only a started release stands at a step"
    rows = session.exec(
        select(DecisionRecord)
        .where(
            DecisionRecord.experiment_id == experiment.id,
            col(DecisionRecord.kind).in_(["start", "action"]),
        )
        .order_by(col(DecisionRecord.number))
    )
    bodies = [json.loads(row.document)["body"] for row in rows]
    rule = (experiment.rule or {}).get(plan.rule_id)
    tracked = rule is not None and bool(rule.get("track", False))
    return Standing(
        step=experiment.ramp_step,
        share=served_by(plan, rule).share if rule is not None and tracked else experiment.coverage,
        hold_until=experiment.next_ramp_at,
        started_at=experiment.started_at,
        started_by=next(each["started_by"] for each in bodies if "started_by" in each),
        approved=frozenset(each["step"] for each in bodies if each.get("do") == "approve"),
    )


def release_facts(
    session: Session, experiment: Experiment, newest: Mapping[str, Any] | None, now: dt.datetime
) -> dict[str, Any] | None:
    """Give where a release stands as plain data; ``None`` for an experiment, or before its start.

    Parameters
    ----------
    newest : mapping, optional
        What was stored with the newest look.
    """
    if not is_release(experiment) or experiment.started_at is None:
        return None
    plan = plan_of(experiment)
    assert plan.release is not None
    standing = standing_of(session, experiment, plan)
    live = experiment.state in LIVE
    waiting = waits_for(plan, standing, newest, now) if live else ()
    return {
        "step": standing.step,
        "steps": plan.release.count,
        "share": standing.share,
        "hold_until": standing.hold_until,
        "started_by": standing.started_by,
        "approved": sorted(standing.approved),
        "waits_for": [{"kind": each.kind, "text": each.text} for each in waiting],
    }
