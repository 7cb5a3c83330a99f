"""Who changed what, when and why."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from flags import audit
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import blueprint, place, show
from web.transactions import reading

PAGE = 50


@blueprint.get("/projects/<project_key>/environments/<environment_key>/audit")
@needs(Role.VIEWER)
def show_audit(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List what was done in the project, newest first."""
    before = request.args.get("before", type=int)
    with reading() as session:
        environment = place(session, project_key, environment_key)
        found = audit.entries(session, environment.project_id, before_id=before, limit=PAGE + 1)
    more = found[PAGE - 1].id if len(found) > PAGE else None
    return show("audit.html", entries=found[:PAGE], more=more)
