"""Looking between two looks: anybody who may read may ask; the worker answers."""

from __future__ import annotations

from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.people import services as experiments
from experiments.people import unscheduled
from web.api.blueprint import blueprint
from web.api.experiment_parts import ExperimentQuery, environment_of, environment_to_change
from web.api.experiments import ITEM
from web.api.idempotency import idempotent
from web.api.render import document
from web.api.shapes import READING
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import NoBody, read_body
from web.contract import gives, takes
from web.transactions import now, reading, transaction


@blueprint.get(f"{ITEM}/looks/now")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(READING)
def get_unscheduled_look(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Return the last reading between looks; ``pending`` until the worker has answered."""
    with reading() as session:
        environment_key = environment_of(session, project_key, experiment_key)
        return _answer(session, project_key, environment_key, experiment_key)


@blueprint.post(f"{ITEM}/looks/now")
@needs(Role.VIEWER, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery)
@gives(READING)
def ask_unscheduled_look(project_key: str, experiment_key: str) -> ResponseReturnValue:
    """Ask for intervals that hold at every moment; they decide nothing."""
    read_body(NoBody)
    with transaction() as session:
        environment_key = environment_to_change(session, project_key, experiment_key)
        place = (project_key, environment_key, experiment_key)
        unscheduled.ask(session, *place, **who_and_when())
        return _answer(session, *place)


def _answer(
    session: Session, project_key: str, environment_key: str, experiment_key: str
) -> ResponseReturnValue:
    experiment = experiments.get_experiment(session, project_key, environment_key, experiment_key)
    return document(unscheduled.asked_document(session, experiment, now=now()))
