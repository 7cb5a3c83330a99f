"""Guarded releases: draft, start, approve, stop; where they stand, card and record."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.models import Experiment
from experiments.moves.release_state import release_facts
from experiments.people import releases
from experiments.people import services as experiments
from flags import services
from web.api.blueprint import blueprint
from web.api.experiment_parts import (
    ExperimentQuery,
    ListQuery,
    StopBody,
    carry_out,
    environment_names,
    environment_of,
    list_page,
    show_card,
    show_experiment,
)
from web.api.idempotency import idempotent
from web.api.queries import count_looks, newest_look
from web.api.render import document, page
from web.api.shapes import LISTED_RELEASE, RECORD, RELEASE, TEXT, list_of
from web.auth.guard import needs, require_in, who_and_when
from web.auth.roles import Role
from web.body import NoBody, read_body, read_object, read_query
from web.contract import Document, gives, takes, waits
from web.transactions import now, reading, transaction

_ALL = "/projects/<project_key>/releases"
_ITEM = f"{_ALL}/<release_key>"
RELEASE_DOCUMENT = Document("ReleasePlan", "Flag, variant, guards, steps, customer.")


@blueprint.get(_ALL)
@needs(Role.VIEWER)
@takes(query=ListQuery)
@gives(list_of(LISTED_RELEASE))
def list_releases(project_key: str) -> ResponseReturnValue:
    """List a project's releases, newest first, each with its step and what that waits for."""
    query = read_query(ListQuery)
    with reading() as session:
        listed = list_page(session, project_key, query, releases=True)
        items = [_show(session, each, listed.names, listed.looks) for each in listed.experiments]
    return document(page(items, listed.last))


@blueprint.post(_ALL)
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(body=RELEASE_DOCUMENT)
@gives(RELEASE, 201, etag=True)
def create_release(project_key: str) -> ResponseReturnValue:
    """Draft a release: flag, variant, guards, steps, customer."""
    body = read_object()
    with transaction() as session:
        services.get_project(session, project_key)
        release = releases.create(session, project_key, body, **who_and_when())
        require_in(session, [release.environment_id])
        return _answer(session, project_key, release, status=201)


@blueprint.get(_ITEM)
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(RELEASE, etag=True)
def get_release(project_key: str, release_key: str) -> ResponseReturnValue:
    """Return a release with its plan, its step and what that waits for."""
    with reading() as session:
        return _answer(session, project_key, _find(session, project_key, release_key))


@blueprint.post(f"{_ITEM}/<any(start, approve):verb>")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery)
@gives(RELEASE, etag=True)
@waits
def advance_release(project_key: str, release_key: str, verb: str) -> ResponseReturnValue:
    """Seal and serve the first step, or (somebody else) approve the present one."""
    read_body(NoBody)
    step = {"start": releases.start, "approve": releases.approve}[verb]
    return carry_out(step, project_key, release_key, _answer)


@blueprint.post(f"{_ITEM}/stop")
@needs(Role.EDITOR, of="somewhere")
@idempotent()
@takes(query=ExperimentQuery, body=StopBody)
@gives(RELEASE, etag=True)
@waits
def stop_release(project_key: str, release_key: str) -> ResponseReturnValue:
    """Stop a release with a reason; whoever has the variant gets control."""
    body = read_body(StopBody)
    return carry_out(_stop, project_key, release_key, _answer, reason=body.reason)


def _stop(session: Session, *where: str, **said: Any) -> Experiment:
    # An experiment is stopped among experiments, not here.
    releases.find(session, *where)
    return experiments.stop(session, *where, **said)


@blueprint.get(f"{_ITEM}/card.txt")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(TEXT, media_type="text/plain")
def get_release_card(project_key: str, release_key: str) -> ResponseReturnValue:
    """Return the release's card as plain text."""
    with reading() as session:
        return show_card(session, _find(session, project_key, release_key))


@blueprint.get(f"{_ITEM}/record")
@needs(Role.VIEWER)
@takes(query=ExperimentQuery)
@gives(RECORD)
def get_release_record(project_key: str, release_key: str) -> ResponseReturnValue:
    """Return the decision records, for ``flagstone verify``."""
    with reading() as session:
        release = _find(session, project_key, release_key)
        return document(experiments.export_record(session, release))


def _find(session: Session, project_key: str, release_key: str) -> Experiment:
    environment_key = environment_of(session, project_key, release_key)
    return releases.find(session, project_key, environment_key, release_key)


def _answer(
    session: Session, project_key: str, release: Experiment, *, status: int = 200
) -> Response:
    names = environment_names(session, project_key)
    body = _show(session, release, names, count_looks(session, [release]))
    body["plan"] = release.plan
    return document(body, status=status, etag=release.version)


def _show(
    session: Session, release: Experiment, names: dict[int, str], counts: dict[int, int]
) -> dict[str, Any]:
    look = newest_look(session, release)
    facts = release_facts(session, release, None if look is None else look.data, now())
    return show_experiment(release, names, counts) | {"release": facts}
