"""Kill hooks: what alerts may kill; made here, shown once, shut here."""

from __future__ import annotations

import re

from flask import request, url_for
from flask.typing import ResponseReturnValue

from flags.errors import FlagstoneError
from web.auth.guard import needs, who_and_when
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
from web.transactions import our_address, reading, transaction
from web.webhooks import kill_hooks

PAGE = 50
_ALL = "/projects/<project_key>/environments/<environment_key>/kill-hooks"


@blueprint.get(_ALL)
@needs(Role.ADMIN)
def list_kill_hooks(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the environment's kill hooks."""
    return _page(project_key, environment_key)


@blueprint.post(_ALL)
@needs(Role.ADMIN)
def create_kill_hook(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Make a kill hook and show its secret, this once."""
    form = request.form.to_dict()
    try:
        with transaction() as session:
            secret, _ = kill_hooks.create_hook(
                session,
                project_key,
                environment_key,
                name=form.get("name", ""),
                scope=form.get("scope", ""),
                names=re.split(r"[\n,]", form.get("names", "")),
                **who_and_when(),
            )
    except FlagstoneError as error:
        return _page(project_key, environment_key, form=form, problem=error)
    return _page(project_key, environment_key, secret=secret)


@blueprint.post(f"{_ALL}/<int(max={LARGEST_NUMBER}):hook_id>/revoke")
@needs(Role.ADMIN)
def revoke_kill_hook(project_key: str, environment_key: str, hook_id: int) -> ResponseReturnValue:
    """Shut a kill hook for ever."""
    with transaction() as session:
        kill_hooks.revoke_hook(session, project_key, environment_key, hook_id, **who_and_when())
    return back_to(
        url_for("console.list_kill_hooks", project_key=project_key, environment_key=environment_key)
    )


def _page(
    project_key: str,
    environment_key: str,
    *,
    secret: str | None = None,
    form: dict[str, str] | None = None,
    problem: FlagstoneError | None = None,
) -> ResponseReturnValue:
    before = before_number()
    with reading() as session:
        place(session, project_key, environment_key)
        found = kill_hooks.list_hooks(
            session, project_key, environment_key, before_id=before, limit=PAGE + 1
        )
    return show(
        "kill_hooks.html",
        status=status_of(problem),
        hooks=found[:PAGE],
        before=before,
        more=found[PAGE - 1].id if len(found) > PAGE else None,
        secret=secret,
        base=our_address(),
        form=form or {},
        problem=problem,
        project_key=project_key,
        environment_key=environment_key,
    )
