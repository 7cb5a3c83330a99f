"""What people decide about experiments: seal, start, accept, confirm, step in, learn, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field

from experiments.models import Experiment
from experiments.people import interventions, overrides
from experiments.people import services as experiments
from web.api.blueprint import blueprint
from web.api.experiment_parts import ExperimentQuery, StopBody, carry_out
from web.api.experiments import ITEM, answer
from web.api.idempotency import idempotent
from web.api.shapes import EXPERIMENT
from web.api.times import Instant, parse_instant
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, NoBody, read_body
from web.contract import gives, takes, waits

Risk = Annotated[
    str, Field(max_length=256, json_schema_extra={"enum": ["mde", "no_traffic", "no_data"]})
]
Words = Annotated[str, Field(max_length=2000)]


class AcceptBody(Body):
    """Which risks the customer signs for."""

    risks: Annotated[list[Risk], Field(min_length=1, max_length=10)]


class ExplainBody(Body):
    """What was wrong with the data."""

    text: Words


class LearnBody(Body):
    """What was learned."""

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
    reason: Annotated[str, Field(max_length=64, json_schema_extra={"enum": [*overrides.REASONS]})]
    text: Words
    predicted_effect: float
    review_at: Instant


@blueprint.post(f"{ITEM}/<any(seal, start, confirm):verb>")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery)
@gives(EXPERIMENT, etag=True)
@waits
def advance_experiment(project_key: str, experiment_key: str, verb: str) -> ResponseReturnValue:
    """Freeze the plan, serve the first step of the ramp, or (the customer) ship what was proven."""
    read_body(NoBody)
    step = {"seal": experiments.seal, "start": experiments.start, "confirm": experiments.confirm}
    return _do(step[verb], project_key, experiment_key)


@blueprint.post(f"{ITEM}/stop")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=StopBody)
@gives(EXPERIMENT, etag=True)
@waits
def stop_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Stop an experiment with a reason; whoever was served gets control."""
    body = read_body(StopBody)
    return _do(experiments.stop, project_key, experiment_key, reason=body.reason)


@blueprint.post(f"{ITEM}/accept")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=AcceptBody)
@gives(EXPERIMENT, etag=True)
def accept_risks(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Let the customer, signed in, start a sealed plan in spite of a risk."""
    body = read_body(AcceptBody)
    return _do(experiments.accept, project_key, experiment_key, risks=body.risks)


@blueprint.post(f"{ITEM}/explain")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=ExplainBody)
@gives(EXPERIMENT, etag=True)
def explain_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Explain what was wrong with the data of a held experiment; it goes on."""
    body = read_body(ExplainBody)
    return _do(interventions.explain, project_key, experiment_key, text=body.text)


@blueprint.post(f"{ITEM}/extend")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=ExtendBody)
@gives(EXPERIMENT, etag=True)
def extend_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Give an experiment more time, once (the customer)."""
    body = read_body(ExtendBody)
    return _do(interventions.extend, project_key, experiment_key, by=body.by)


@blueprint.post(f"{ITEM}/learn")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=LearnBody)
@gives(EXPERIMENT, etag=True)
def learn_from_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Write down what was learned, once there is a verdict; it replaces earlier words."""
    body = read_body(LearnBody)
    return _do(interventions.learn, project_key, experiment_key, text=body.text)


@blueprint.post(f"{ITEM}/close")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=NoteBody)
@gives(EXPERIMENT, etag=True)
def close_experiment(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Declare that the code which read the flag is gone."""
    body = read_body(NoteBody)
    return _do(interventions.close, project_key, experiment_key, note=body.note)


@blueprint.post(f"{ITEM}/override")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=OverrideBody)
@gives(EXPERIMENT, etag=True)
@waits
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
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery)
@gives(EXPERIMENT, etag=True)
@waits
def approve_override(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Approve the override that another person asked for."""
    read_body(NoBody)
    return _do(overrides.approve, project_key, experiment_key)


@blueprint.post(f"{ITEM}/decline")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=NoteBody)
@gives(EXPERIMENT, etag=True)
def decline_override(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Turn the override down that somebody asked for."""
    body = read_body(NoteBody)
    return _do(overrides.decline, project_key, experiment_key, note=body.note)


def _do(
    verb: Callable[..., Experiment], project_key: str, experiment_key: str, **said: Any
) -> ResponseReturnValue:
    return carry_out(verb, project_key, experiment_key, answer, **said)
