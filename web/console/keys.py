"""Keys for SDKs and scripts: made here, shown once, shut here."""

from __future__ import annotations

import datetime as dt

from flask import request, url_for
from flask.typing import ResponseReturnValue
from sqlmodel import Session

from flags import services
from flags.errors import FlagstoneError, InvalidInputError
from web.auth import service
from web.auth.allowed import key_allowances
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.console.base import (
    LARGEST_NUMBER,
    back_to,
    before_number,
    blueprint,
    place,
    show,
    status_of,
)
from web.console.budgets import budget_words, form_of_budget, left_words, read_budget
from web.transactions import now, our_address, reading, transaction

PAGE = 50
_KINDS = {kind.value: kind for kind in service.TokenKind}
_KEYS = "/projects/<project_key>/environments/<environment_key>/keys"


@blueprint.get(_KEYS)
@needs(Role.ADMIN, of="project")
def list_keys(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the project's keys."""
    return _page(project_key, environment_key)


@blueprint.post(_KEYS)
@needs(Role.ADMIN, of="project")
def create_key(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a key and show it, this once."""
    form = request.form.to_dict()
    try:
        created = _create(project_key, environment_key, form)
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error)
    return _page(project_key, environment_key, created=created)


def _create(project_key: str, environment_key: str, form: dict[str, str]) -> str:
    kind = _KINDS.get(form.get("kind", ""))
    if kind is None:
        message = "there is no such kind of key"
        raise InvalidInputError(message, field="kind", hint=", ".join(_KINDS))
    for_scripts = kind is service.TokenKind.USER
    role = service.parse_role(form.get("role", "")) if for_scripts else None
    days = form.get("days", "")
    ends = days not in {"", "never"}
    over = now() + dt.timedelta(days=_number(days, "days")) if ends else None
    only = form.get("only", "*") if for_scripts else "*"
    with transaction() as session:
        environment = services.get_environment(session, project_key, environment_key)
        plain, _token = service.create_token(
            session,
            kind,
            name=form.get("name", ""),
            created_by=current_caller().actor,
            now=now(),
            project_id=environment.project_id,
            environment_id=None if for_scripts else environment.id,
            environment_ids=_only(session, project_key, only),
            role=role,
            expires_at=over,
            budget=read_budget(form) if for_scripts else None,
        )
    return plain


def _only(session: Session, project_key: str, key: str) -> set[int] | None:
    if key == "*":
        return None
    found = services.get_environment(session, project_key, key).id
    return None if found is None else {found}


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        message = "a whole number is needed"
        raise InvalidInputError(message, field=field)
    return int(text)


@blueprint.post(f"{_KEYS}/<int(max={LARGEST_NUMBER}):key_id>/rotate")
@needs(Role.ADMIN, of="project")
def rotate_key(project_key: str, environment_key: str, key_id: int) -> ResponseReturnValue:
    """Give a key a new secret and show it, this once."""
    try:
        seconds = _number(request.form.get("overlap", ""), "overlap")
        with transaction() as session:
            project = services.get_project(session, project_key)
            token = service.get_token(session, key_id, project_id=project.id)
            plain, _token = service.rotate_token(
                session,
                token,
                overlap=dt.timedelta(seconds=seconds),
                by=current_caller().actor,
                now=now(),
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, problem=error)
    return _page(project_key, environment_key, created=plain)


@blueprint.post(f"{_KEYS}/<int(max={LARGEST_NUMBER}):key_id>/limits")
@needs(Role.ADMIN, of="project")
def limit_key(project_key: str, environment_key: str, key_id: int) -> ResponseReturnValue:
    """Say anew what limits a key; what it used today stays used."""
    form = request.form.to_dict()
    try:
        budget = read_budget(form)
        with transaction() as session:
            project = services.get_project(session, project_key)
            token = service.get_token(session, key_id, project_id=project.id)
            service.lock_token(session, token)
            service.edit_token(
                session, token, {"budget": budget}, by=current_caller().actor, now=now()
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error, edited=key_id)
    return back_to(
        url_for("console.list_keys", project_key=project_key, environment_key=environment_key)
    )


@blueprint.post(f"{_KEYS}/<int(max={LARGEST_NUMBER}):key_id>/revoke")
@needs(Role.ADMIN, of="project")
def revoke_key(project_key: str, environment_key: str, key_id: int) -> ResponseReturnValue:
    """Shut a key for ever."""
    with transaction() as session:
        project = services.get_project(session, project_key)
        token = service.get_token(session, key_id, project_id=project.id)
        service.revoke_token(session, token, revoked_by=current_caller().actor, now=now())
    return back_to(
        url_for("console.list_keys", project_key=project_key, environment_key=environment_key)
    )


def _page(
    project_key: str,
    environment_key: str,
    *,
    created: str | None = None,
    form: dict[str, str] | None = None,
    problem: FlagstoneError | None = None,
    edited: int | None = None,
) -> ResponseReturnValue:
    with reading() as session:
        environment = place(session, project_key, environment_key)
        before = before_number()
        found = service.list_tokens(
            session, project_id=environment.project_id, before_id=before, limit=PAGE + 1
        )
        tokens = found[:PAGE]
        budgets = service.token_budgets(session, tokens)
        environments = services.list_environments(session, project_key)
        names = {e.id: e.key for e in environments}
        left = key_allowances(session, budgets, environments)
    return show(
        "keys.html",
        status=status_of(problem),
        tokens=tokens,
        before=before,
        more=tokens[-1].id if len(found) > PAGE else None,
        names=names,
        limits={number: budget_words(said) for number, said in budgets.items()},
        budgets={number: form_of_budget(said) for number, said in budgets.items()},
        left={number: left_words(left[number]) for number in budgets},
        edited=edited,
        created=created,
        base=our_address(),
        form=form or {},
        problem=problem,
    )
