"""Experiments of one layer on one flag: in which order their rules stand, and which one ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlmodel import Session, col, select

from experiments.contract.lanes import Lane, arranged, narrowed
from experiments.contract.plan import Plan
from experiments.machine.states import LIVE, SHIPPED, State
from experiments.models import Experiment
from experiments.moves.layers import SALT
from flags.errors import StateError


def within(plan: Plan, lane: Lane | None) -> Plan:
    """Give the plan whose audience is what it may reach: its lane, if it is in a layer."""
    conditions = [] if lane is None else [lane.condition()]
    return replace(plan, audience=narrowed(plan.audience, *conditions))


def arrangement(
    session: Session,
    experiment: Experiment,
    plan: Plan,
    flag: dict[str, Any],
    instructions: Sequence[dict[str, Any]],
    own: Sequence[str],
    *,
    is_for_all: bool,
) -> list[dict[str, Any]]:
    """Give the instruction that puts the flag's rules in order after others were done, if any.

    Parameters
    ----------
    own : sequence of str
        Ids that the experiment's rules can have.
    """
    if plan.layer is None or not instructions:
        return []
    order = [rule["id"] for rule in flag["rules"]]
    begins = not set(order) & set(own)
    for each in instructions:
        if each["do"] == "add_rule":
            order.insert(each["position"], each["rule"]["id"])
        elif each["do"] == "remove_rule":
            order.remove(each["rule"])
    serving, ended = _others(session, experiment, flag)
    wanted = arranged(
        order, own, serving=serving, ended=ended, begins=begins, is_for_all=is_for_all
    )
    if wanted == order:
        return []
    return [{"do": "reorder_rules", "flag": plan.flag, "rules": wanted}]


def _others(
    session: Session, experiment: Experiment, flag: dict[str, Any]
) -> tuple[set[str], set[str]]:
    """Give the rules of the flag's other layered experiments: serving ones, and ended ones."""
    query = select(Experiment).where(
        Experiment.environment_id == experiment.environment_id,
        Experiment.flag_key == experiment.flag_key,
        Experiment.id != experiment.id,
    )
    serving: set[str] = set()
    ended: set[str] = set()
    present = {rule["id"]: rule for rule in flag["rules"]}
    for other in session.exec(query):
        if other.plan.get("layer") is None:
            continue
        mine = [rule_id for rule_id in other.rule or {} if rule_id in present]
        if State(other.state) in LIVE | SHIPPED | {State.CLEANUP}:
            serving.update(mine)
            continue
        # A rule that is limited to a lane gives control to those of an experiment that is over.
        ended.update(each for each in mine if _is_limited(present[each]["when"]))
    return serving, ended


def _is_limited(condition: Any) -> bool:
    if not isinstance(condition, dict):
        return False
    salt = condition.get("bucket", {}).get("salt", "")
    return salt.startswith(SALT) or any(_is_limited(part) for part in condition.get("all", []))


def ships_already(session: Session, experiment: Experiment) -> Experiment | None:
    """Give the other experiment whose winner the same flag serves to its whole audience."""
    query = select(Experiment).where(
        Experiment.environment_id == experiment.environment_id,
        Experiment.flag_key == experiment.flag_key,
        Experiment.id != experiment.id,
    )
    for other in session.exec(query.order_by(col(Experiment.id))):
        held = other.state == State.HELD and other.held_from in SHIPPED
        if other.state in SHIPPED | {State.CLEANUP} or held:
            return other
    return None


def check_ships_alone(session: Session, experiment: Experiment, plan: Plan) -> None:
    """Refuse to ship a second winner on a flag: the two were never compared.

    Raises
    ------
    StateError
        With whose winner the flag serves.
    """
    other = ships_already(session, experiment) if plan.layer is not None else None
    if other is not None:
        raise StateError(
            f"flag {plan.flag!r} ships {other.winner} of experiment {other.key!r}, which was never "
            "compared with this one",
            field="flag",
            hint=f"stop {other.key!r} first, or prove this change against {other.winner}",
        )
