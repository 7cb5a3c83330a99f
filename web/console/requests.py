"""The inbox: what people ask for or complain about."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from experiments.people import requests
from flags import services
from flags.errors import FlagstoneError, InvalidInputError
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.console.base import (
    LARGEST_NUMBER,
    back_to,
    before_number,
    blueprint,
    place,
    seen_version,
    show,
    status_of,
)
from web.transactions import reading, transaction

PAGE = 50
_REQUESTS = "/projects/<project_key>/environments/<environment_key>/requests"


@blueprint.get(_REQUESTS)
@needs(Role.VIEWER)
def list_requests(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the project's requests, newest first, with a form for another one."""
    return _page(project_key, environment_key)


@blueprint.post(_REQUESTS)
@needs(Role.EDITOR, of="project")
def create_request(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Take in a request."""
    form = request.form.to_dict()
    try:
        with transaction() as session:
            requests.create_request(
                session,
                project_key,
                title=form.get("title", ""),
                demand=form.get("class", ""),
                text=form.get("text", "").replace("\r\n", "\n"),
                asker=form.get("asker", ""),
                **who_and_when(),
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error)
    return _back(project_key, environment_key)


@blueprint.post(f"{_REQUESTS}/<int(max={LARGEST_NUMBER}):request_id>")
@needs(Role.EDITOR, of="project")
def move_request(project_key: str, environment_key: str, request_id: int) -> ResponseReturnValue:
    """Link a request to a flag, or close it."""
    form = request.form.to_dict()
    try:
        with transaction() as session:
            _move(session, project_key, request_id, form)
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error)
    return _back(project_key, environment_key)


def _move(session: Session, project_key: str, request_id: int, form: dict[str, str]) -> None:
    here = (session, project_key, request_id)
    version = seen_version()
    if version is None:
        message = "the form does not say what it rests upon"
        raise InvalidInputError(message, field="version", hint="load the page again")
    if form.get("do") == "link":
        requests.link_request(
            *here,
            flag_key=form.get("flag", ""),
            relation=form.get("relation", ""),
            version=version,
            **who_and_when(),
        )
    else:
        requests.resolve_request(
            *here,
            state=form.get("state", ""),
            note=form.get("note", ""),
            version=version,
            **who_and_when(),
        )


def _back(project_key: str, environment_key: str) -> ResponseReturnValue:
    return back_to(
        url_for("console.list_requests", project_key=project_key, environment_key=environment_key)
    )


def _page(
    project_key: str,
    environment_key: str,
    *,
    form: dict[str, str] | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    state = request.args.get("state") or None
    before = before_number()
    with reading() as session:
        environment = place(session, project_key, environment_key)
        found = requests.list_requests(
            session,
            project_key,
            state=state if state in requests.STATES else None,
            before_id=before,
            limit=PAGE + 1,
        )
        failures = requests.failure_demand(session, environment.project_id)
        keys = [flag.key for flag in services.list_flags(session, project_key, limit=500)]
    return show(
        "requests.html",
        status=status_of(problem),
        requests=found[:PAGE],
        more=found[PAGE - 1].id if len(found) > PAGE else None,
        before=before,
        state=state,
        states=requests.STATES,
        failures=failures,
        flag_keys=keys,
        form=form or {},
        problem=problem,
    )
