"""What people do with experiments: draft, seal, start, stop, confirm, and read.

Every function works in the caller's transaction (``Database.write``) and takes the environment's
lock before it reads what it will change. Statistics stay in the worker: nothing here imports them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from experiments.catalogue.completing import complete, newer_versions
from experiments.contract import words
from experiments.contract.parsing import parse_plan, read_text
from experiments.contract.plan import Plan, plan_hash
from experiments.contract.release import whole_form
from experiments.judging import record
from experiments.machine import lifecycle
from experiments.machine.lifecycle import State
from experiments.models import Experiment, Look
from experiments.moves import layers, sharing
from experiments.moves.enact import current_flag, plan_of
from experiments.moves.places import Place, find_experiment, required, verb
from experiments.people.card_facts import status_of
from experiments.planning import feasibility
from experiments.planning.feasibility import forecast_body
from experiments.policies import completing as policies
from experiments.rules import serving
from experiments.sources.services import check_before_seal, check_before_start
from experiments.telling import release_words
from experiments.telling.card import Card, build_card
from flags import audit
from flags.actor import Actor
from flags.errors import AlreadyExistsError, InvalidInputError, NotFoundError, StateError
from flags.models import Environment, Project
from flags.revisions import lock_environment


def create_experiment(
    session: Session,
    project_key: str,
    document: Mapping[str, Any] | str,
    *,
    actor: Actor,
    now: dt.datetime,
) -> Experiment:
    """Draft an experiment from a plan (TOML text, or a mapping of the same shape).

    Raises
    ------
    PlanError
        At the plan's first fault.
    AlreadyExistsError
        If the environment has an experiment of that key; keys are never used twice.
    """
    plan = _read_plan(session, project_key, document)
    environment = lock_environment(session, project_key, plan.environment)
    if find_experiment(session, environment, plan.key) is not None:
        raise AlreadyExistsError(
            f"there is an experiment {plan.key!r} in {plan.environment} already",
            field="key",
            hint="records are kept for ever: take another key",
        )
    assert environment.id is not None
    experiment = Experiment(
        project_id=environment.project_id,
        environment_id=environment.id,
        key=plan.key,
        flag_key=plan.flag,
        state=State.DRAFT.value,
        plan=plan.to_document(),
        created_at=now,
    )
    session.add(experiment)
    session.flush()
    _audit(session, experiment, "experiment_create", actor, now, after={"plan": experiment.plan})
    return experiment


@verb
def replace_plan(
    place: Place, document: Mapping[str, Any] | str, *, actor: Actor, now: dt.datetime
) -> Experiment:
    """Write a draft's plan anew. Key, flag and environment stay; a sealed plan cannot change."""
    session, experiment = place.session, place.open().experiment
    if experiment.state != State.DRAFT:
        raise StateError(
            f"the plan is sealed: experiment {place.key!r} is {experiment.state}",
            hint="stop it and draft another one",
        )
    plan = _read_plan(session, place.project_key, document)
    fixed = (plan.key, plan.flag, plan.environment)
    if fixed != (experiment.key, experiment.flag_key, place.environment_key):
        raise InvalidInputError("key, flag and environment of a draft stay", field="key")
    before = experiment.plan
    experiment.plan = plan.to_document()
    session.add(experiment)
    session.flush()
    _audit(
        session,
        experiment,
        "experiment_edit",
        actor,
        now,
        {"plan": before},
        {"plan": experiment.plan},
    )
    return experiment


def _read_plan(session: Session, project_key: str, document: Mapping[str, Any] | str) -> Plan:
    """Read a plan, with what it leaves to the project filled in."""
    whole = complete(session, project_key, whole_form(read_text(document)))
    return parse_plan(policies.complete_policy(session, project_key, whole))


@verb
def seal(place: Place, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Freeze the plan with its hash; from now on every rule of the decision is fixed."""
    opened = place.open()
    session, experiment, plan = opened.session, opened.experiment, opened.plan
    check_before_seal(session, experiment.project_id, plan)
    layers.check_layer(session, opened.environment, plan)
    move = lifecycle.seal(opened.position)
    experiment.plan_hash = plan_hash(experiment.plan)
    experiment.sealed_at = now
    sentence = f"Sealed for {plan.customer}, run by {plan.owner}: {plan.hypothesis}"
    body = {"plan": experiment.plan, "forecast": forecast_body(session, experiment)}
    return opened.act(move, "seal", sentence, actor=actor, now=now, body=body)


@verb
def accept(place: Place, *, risks: Sequence[str], actor: Actor, now: dt.datetime) -> Experiment:
    """Sign for risks of the sealed plan, so that it may start in spite of them.

    Only the plan's customer can, signed in; what was signed is kept with the forecast that it was
    signed on.

    Raises
    ------
    NotAllowedError
        If the actor is anybody else, or a key.
    StateError
        If the plan is not sealed, or has started.
    """
    session, experiment = place.session, place.open().experiment
    if experiment.state != State.SEALED:
        raise StateError(
            f"a risk is accepted for a sealed plan: experiment {place.key!r} is {experiment.state}",
            hint="seal it first; once started there is nothing to sign",
        )
    plan = plan_of(experiment)
    row = feasibility.sign(session, experiment, plan, risks, actor=actor, now=now)
    sentence = f"{plan.customer} accepts the risk: {', '.join(dict.fromkeys(risks))}."
    record.append_record(
        session,
        experiment,
        "action",
        {
            "do": "accept",
            "risks": list(dict.fromkeys(risks)),
            "forecast": forecast_body(session, experiment),
            "state": experiment.state,
            "verdict": experiment.verdict,
        },
        actor=str(actor),
        now=now,
        sentence=sentence,
    )
    _audit(session, experiment, "experiment_accept", actor, now, after={"accepted": row.accepted})
    return experiment


@verb
def start(place: Place, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Serve the first step of the ramp: adds the tracked rule ``exp-<key>`` to the flag.

    Raises
    ------
    StateError
        If the flag cannot carry the experiment, or the plan is not sealed; if its forecast is
        still being computed, or speaks against it and the customer has not signed.
    """
    opened = place.open()
    session, experiment, plan = opened.session, opened.experiment, opened.plan
    check_before_start(session, experiment, plan)
    move = lifecycle.start(opened.position)
    lane = layers.reserve(session, opened.environment, plan)
    flag = current_flag(session, opened.environment, plan.flag)
    rollout = serving.check_flag(plan, flag, lane)
    if rollout is not None:
        move = lifecycle.start(opened.position, rollout.first_step(plan))
    experiment.lane = None if lane is None else lane.to_document()
    if plan.release is None:
        # A release promises no effect that could be out of reach.
        feasibility.check_start(session, experiment, now)
    experiment.started_at = now
    first_look = plan.policy.next_look(0.0, plan.deadline_seconds) + plan.policy.settle_seconds
    experiment.next_look_at = now + dt.timedelta(seconds=first_look)
    sentence = words.started_sentence(plan, plan.ramp_steps[0].coverage)
    body: dict[str, Any] = {"forecast": forecast_body(session, experiment)}
    if plan.release is not None:
        sentence = release_words.started_sentence(plan, rollout)
        taken = None if rollout is None else rollout.rule_id
        body = {"started_by": actor.name, "took_over": taken}
    return opened.act(move, "start", sentence, actor=actor, now=now, body=body)


@verb
def stop(place: Place, *, reason: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Stop anything that has not ended, with a reason; whoever was served gets control."""
    reason = required(reason, "reason", "a stop")
    opened = place.open()
    move = lifecycle.stop(opened.position)
    sentence = f"Stopped by {actor.name}: {reason}"
    body = {"do": "stop", "reason": reason}
    return opened.act(move, "action", sentence, actor=actor, now=now, body=body)


@verb
def confirm(place: Place, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Ship what was proven, to 95 %. Only the plan's customer can.

    Raises
    ------
    NotAllowedError
        If the actor is anybody else: one accountable person is what the plan promised.
    SealBrokenError
        If somebody edited the experiment's rule since.
    """
    opened = place.open()
    session, experiment, plan = opened.session, opened.experiment, opened.plan
    move = lifecycle.confirm(opened.position)
    opened.check_customer(actor, "confirms", hint="anybody may stop it, with a reason")
    opened.check_seal("what was proven is not what is served")
    sharing.check_ships_alone(session, experiment, plan)
    shipped = words.shipped_sentence(plan, experiment.winner)
    sentence = f"{plan.customer} confirmed on {words.moment(now)}. {shipped}"
    return opened.act(move, "action", sentence, actor=actor, now=now, body={"do": "confirm"})


def newer_metrics(session: Session, experiment: Experiment) -> list[dict[str, Any]]:
    """List the metrics of a draft that the catalogue defines otherwise by now; else none."""
    if experiment.state != State.DRAFT:
        return []
    return newer_versions(session, experiment.project_id, experiment.plan)


def newer_policy(session: Session, experiment: Experiment) -> dict[str, Any] | None:
    """Tell whether a draft's stored policy has other rules by now, or is archived."""
    if experiment.state != State.DRAFT:
        return None
    return policies.newer_policy(session, experiment.project_id, experiment.plan)


def get_experiment(
    session: Session, project_key: str, environment_key: str, key: str
) -> Experiment:
    """Give one experiment."""
    environment = session.exec(
        select(Environment)
        .join(Project, col(Project.id) == Environment.project_id)
        .where(Project.key == project_key, Environment.key == environment_key)
    ).one_or_none()
    found = find_experiment(session, environment, key) if environment is not None else None
    if found is None:
        raise NotFoundError(f"there is no experiment {key!r} in {environment_key}", field="key")
    return found


def looks(session: Session, experiment: Experiment) -> list[Look]:
    """Give an experiment's looks before anything shipped, oldest first."""
    return [look for look in _every_look(session, experiment) if "holdback" not in look.data]


def comparisons(session: Session, experiment: Experiment) -> list[Look]:
    """Give the looks that compared what ships with its holdback, oldest first."""
    return [look for look in _every_look(session, experiment) if "holdback" in look.data]


def _every_look(session: Session, experiment: Experiment) -> list[Look]:
    query = select(Look).where(Look.experiment_id == experiment.id).order_by(col(Look.number))
    return list(session.exec(query))


def records(session: Session, experiment: Experiment) -> list[dict[str, Any]]:
    """Give an experiment's decision records, oldest first, each with its hash."""
    return record.read_records(session, experiment)


def export_record(session: Session, experiment: Experiment) -> dict[str, Any]:
    """Give the document that ``flagstone verify`` checks offline."""
    return record.export(experiment, records(session, experiment))


def get_card(session: Session, experiment: Experiment, *, now: dt.datetime) -> Card:
    """Give an experiment's verdict card."""
    plan = plan_of(experiment)
    every = _every_look(session, experiment)
    newest = next((look for look in reversed(every) if "holdback" not in look.data), None)
    after = next((look for look in reversed(every) if "holdback" in look.data), None)
    status = status_of(session, experiment, newest, after, now=now)
    if newest is None:
        return build_card(plan, status, now=now)
    return build_card(
        plan,
        status,
        look=newest.data["look"],
        decision=newest.decision,
        quality=newest.data["quality"],
        offset=newest.data["offset"],
        now=now,
    )


def _audit(
    session: Session,
    experiment: Experiment,
    action: str,
    actor: Actor,
    now: dt.datetime,
    before: Any = None,
    after: Any = None,
) -> None:
    audit.append(
        session,
        project_id=experiment.project_id,
        environment_id=experiment.environment_id,
        actor=actor,
        action=action,
        resource=f"experiment:{experiment.key}",
        before=before,
        after=after,
        now=now,
    )
