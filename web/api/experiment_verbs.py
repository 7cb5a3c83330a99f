"""Experiments, when people step in: explain, extend, override, approve, decline, close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field

from experiments.models import Experiment
from experiments.people import interventions, overrides
from web.api.blueprint import blueprint
from web.api.experiments import ITEM, answer, environment_of
from web.api.idempotency import idempotent
from web.api.times import parse_instant
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import Body, read_body
from web.transactions import transaction

Words = Annotated[str, Field(max_length=2000)]


class ExplainBody(Body):
    """What was wrong with the data."""

    text: Words


class ExtendBody(Body):
    """By how long, such as ``7d``."""

    by: Annotated[str, Field(max_length=32)]


class NoteBody(Body):
    """Why."""

    note: Words


class OverrideBody(Body):
    """What is shipped by hand, why, and what it is expected to do."""

    arm: Annotated[str, Field(max_length=256)]
    reason: Annotated[str, Field(max_length=64)]
    text: Words
    predicted_effect: float
    review_at: Annotated[str, Field(max_length=64)]


class NoBody(Body):
    """Nothing to say."""


@blueprint.post(f"{ITEM}/explain")
@needs(Role.EDITOR)
@idempotent()
def explain_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Explain what was wrong with the data of a held experiment; it goes on."""
    body = read_body(ExplainBody)
    return _do(interventions.explain, project_key, experiment_key, text=body.text)


@blueprint.post(f"{ITEM}/extend")
@needs(Role.EDITOR)
@idempotent()
def extend_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Give an experiment more time, once (the customer)."""
    body = read_body(ExtendBody)
    return _do(interventions.extend, project_key, experiment_key, by=body.by)


@blueprint.post(f"{ITEM}/close")
@needs(Role.EDITOR)
@idempotent()
def close_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Declare that the code which read the flag is gone."""
    body = read_body(NoteBody)
    return _do(interventions.close, project_key, experiment_key, note=body.note)


@blueprint.post(f"{ITEM}/override")
@needs(Role.EDITOR)
@idempotent()
def override_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Ship an arm by hand; against a verdict a second person has to approve."""
    body = read_body(OverrideBody)
    return _do(
        overrides.override,
        project_key,
        experiment_key,
        arm=body.arm,
        reason=body.reason,
        text=body.text,
        predicted_effect=body.predicted_effect,
        review_at=parse_instant(body.review_at, field="review_at"),
    )


@blueprint.post(f"{ITEM}/approve")
@needs(Role.EDITOR)
@idempotent()
def approve_override(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Approve the override that another person asked for."""
    read_body(NoBody)
    return _do(overrides.approve, project_key, experiment_key)


@blueprint.post(f"{ITEM}/decline")
@needs(Role.EDITOR)
@idempotent()
def decline_override(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Turn the override down that somebody asked for."""
    body = read_body(NoteBody)
    return _do(overrides.decline, project_key, experiment_key, note=body.note)


def _do(
    verb: Callable[..., Experiment], project_key: str, experiment_key: str, **said: Any
) -> ResponseReturnValue:
    with transaction() as session:
        environment_key = environment_of(session, project_key, experiment_key)
        experiment = verb(
            session,
            project_key,
            environment_key,
            experiment_key,
            **said,
            **who_and_when(),
        )
        return answer(session, project_key, experiment)
