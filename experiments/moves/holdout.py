"""The global holdout: a share of an environment's units that gets control of everything.

It is a real flag, which products evaluate once like any other: a tracked split between `HELD` and
`OPEN`. The rules of experiments, running and shipped, let nobody in who is held, and a rule of
their own gives control to who is. Only those who can be told apart for ever are compared: `OPEN`
is tracked on the buckets that no growth can reach, so that nobody changes sides.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.lanes import BY, HASH
from experiments.models import Experiment, HoldoutRow
from experiments.moves.enact import current_flag, plan_of
from experiments.rules import serving
from experiments.rules.guard import CONDITION, FLAG, HELD, LET_IN, OPEN, is_on, with_holdout
from experiments.rules.guard import current as current_holdout
from flags import audit
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.errors import InvalidInputError, NotFoundError, StateError
from flags.models import Environment, FlagRow, Project
from flags.ranges import BUCKETS
from flags.revisions import lock_environment
from flags.services import create_flag
from flags.versions import expect_version

__all__ = [
    "CONDITION",
    "FLAG",
    "HELD",
    "LET_IN",
    "MAX_SHARE",
    "NONE",
    "OPEN",
    "OPEN_BUCKETS",
    "current_holdout",
    "end_holdout",
    "is_intact",
    "is_on",
    "rule_id",
    "set_holdout",
]

MAX_SHARE = 0.10
_MOST = round(MAX_SHARE * BUCKETS)
OPEN_BUCKETS = BUCKETS - _MOST
"""Buckets that are compared with those held: all that no growth can reach."""

NONE = 0
"""The version of a holdout where there is none: who read that expects nobody to be held out."""

Instructions = list[dict[str, Any]]


def set_holdout(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    share: float,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> HoldoutRow:
    """Hold back a share of all units, or a larger one; every rule is published with it, at once.

    Parameters
    ----------
    share : float
        Above 0, at most 0.10. While it is on it only grows: who was let in once has met changes.
    expected_version : int, optional
        What the caller read; ``NONE``: that there was none.

    Raises
    ------
    InvalidInputError
        If the share is out of bounds.
    StateError
        If it would shrink, or the holdout's flag is archived.
    """
    buckets = _buckets(share)
    _make_flag(session, project_key, actor, now)
    environment = lock_environment(session, project_key, environment_key)
    assert environment.id is not None
    row = current_holdout(session, environment)
    if row is not None or expected_version != NONE:
        expect_version(row, expected_version, "the holdout")
    if row is not None and row.buckets == buckets:
        return row
    if row is not None and buckets < row.buckets:
        raise StateError(
            f"the holdout has {row.buckets / 100:g} % already, and it only grows",
            field="share",
            hint="end it: flagstone holdout end; a later one draws its units anew",
        )
    before = None if row is None else row.buckets / BUCKETS
    if row is None:
        row = HoldoutRow(
            environment_id=environment.id, buckets=buckets, started_at=now, changed_at=now
        )
    row.buckets, row.changed_at = buckets, now
    session.add(row)
    session.flush()
    flag = current_flag(session, environment, FLAG)
    if flag is None:
        raise StateError(
            f"flag {FLAG!r} is archived", field="flag", hint="restore it: the holdout needs it"
        )
    comment = f"Held back from everything: {buckets / 100:g} % of all units."
    _publish(session, environment, _flag_on(flag, row), actor, now, comment, held=True)
    _audit(session, environment, "holdout_set", actor, now, before, row.buckets / BUCKETS)
    return row


def end_holdout(
    session: Session,
    project_key: str,
    environment_key: str,
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> HoldoutRow:
    """Let everybody in again: all rules are published without it, in one revision.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    environment = lock_environment(session, project_key, environment_key)
    row = current_holdout(session, environment)
    if row is None:
        raise NotFoundError(f"nobody is held out in {environment_key}", field="holdout")
    expect_version(row, expected_version, "the holdout")
    row.ended_at = now
    session.add(row)
    session.flush()
    flag = current_flag(session, environment, FLAG)
    off = [] if flag is None else [*_without_rules(flag), {"do": "turn_off", "flag": FLAG}]
    _publish(session, environment, off, actor, now, "The holdout has ended.", held=False)
    _audit(session, environment, "holdout_end", actor, now, row.buckets / BUCKETS, None)
    return row


def rule_id(row: HoldoutRow) -> str:
    """Give the id of the rule that splits; with every holdout another one, and another salt."""
    return f"holdout-{row.id}"


def is_intact(session: Session, environment: Environment, row: HoldoutRow) -> bool:
    """Tell whether the holdout's flag still serves what was published for it."""
    flag = current_flag(session, environment, FLAG)
    if flag is None or flag["killed"] or not flag["enabled"]:
        return False
    return bool(flag["rules"]) and flag["rules"][0] == _rule(row)


def _rule(row: HoldoutRow) -> dict[str, Any]:
    split = [
        {"variant": HELD, "ranges": [[0, row.buckets]]},
        {"variant": OPEN, "ranges": [[_MOST, BUCKETS]]},
    ]
    return {
        "id": rule_id(row),
        "when": True,
        "serve": {
            "split": {
                "by": BY,
                "hash": HASH,
                "salt": rule_id(row),
                "of": BUCKETS,
                "missing": "skip",
                "to": split,
            }
        },
        "track": True,
    }


def _buckets(share: float) -> int:
    if not 0 < share <= MAX_SHARE:
        raise InvalidInputError(
            f"a holdout has a share above 0 and at most {MAX_SHARE:g}, not {share!r}",
            field="share",
            hint="0.05 holds 5 % of all units back",
        )
    return max(1, round(share * BUCKETS))


def _make_flag(session: Session, project_key: str, actor: Actor, now: dt.datetime) -> None:
    found = session.exec(
        select(FlagRow)
        .join(Project, col(Project.id) == col(FlagRow.project_id))
        .where(Project.key == project_key, FlagRow.key == FLAG)
    ).first()
    if found is not None:
        return
    draft = {
        "key": FLAG,
        "name": "Global holdout",
        "description": "Who is held out of everything. Evaluate it once for every unit.",
        "type": "string",
        "variants": {OPEN: {"value": OPEN}, HELD: {"value": HELD}},
        "default": OPEN,
        "off": OPEN,
    }
    create_flag(session, project_key, draft, actor=actor, now=now, comment="The global holdout.")


def _without_rules(flag: dict[str, Any]) -> Instructions:
    return [{"do": "remove_rule", "flag": FLAG, "rule": rule["id"]} for rule in flag["rules"]]


def _flag_on(flag: dict[str, Any], row: HoldoutRow) -> Instructions:
    add = {"do": "add_rule", "flag": FLAG, "rule": _rule(row), "position": 0}
    on = [{"do": "unkill", "flag": FLAG}] if flag["killed"] else []
    on += [] if flag["enabled"] else [{"do": "turn_on", "flag": FLAG}]
    return [*_without_rules(flag), add, *on]


def _publish(
    session: Session,
    environment: Environment,
    own: Instructions,
    actor: Actor,
    now: dt.datetime,
    comment: str,
    *,
    held: bool,
) -> None:
    """Write the holdout's flag and the rules of all experiments in one change."""
    instructions = list(own) if held else []
    stored: list[tuple[Experiment, dict[str, Any]]] = []
    query = select(Experiment).where(
        Experiment.environment_id == environment.id, col(Experiment.rule).is_not(None)
    )
    for experiment in session.exec(
        query.order_by(col(Experiment.id)).execution_options(populate_existing=True)
    ):
        plan = plan_of(experiment)
        flag = current_flag(session, environment, plan.flag)
        present = {} if flag is None else serving.own_rules(plan, flag)
        if flag is None or not present:
            continue
        wanted = with_holdout(plan, present, held=held)
        instructions += serving.instructions_to(plan, flag, list(wanted.values()))
        # What was edited by hand stays told apart from what the machine wrote.
        stored.append((experiment, with_holdout(plan, experiment.rule, held=held)))
    instructions += [] if held else own
    if not instructions:
        return
    project = session.get_one(Project, environment.project_id)
    change = parse_change({"comment": comment, "instructions": instructions})
    apply_change(session, project.key, environment.key, change, actor=actor, now=now, exempt=True)
    for experiment, rules in stored:
        experiment.rule = rules
        session.add(experiment)
    session.flush()


def _audit(
    session: Session,
    environment: Environment,
    action: str,
    actor: Actor,
    now: dt.datetime,
    before: float | None,
    after: float | None,
) -> None:
    audit.append(
        session,
        project_id=environment.project_id,
        environment_id=environment.id,
        actor=actor,
        action=action,
        resource="holdout",
        before={"share": before},
        after={"share": after},
        now=now,
    )
