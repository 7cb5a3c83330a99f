"""Who changed what, when and why."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from flags import audit, services
from flags.predictions import predictions_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import before_number, blueprint, place, show
from web.transactions import reading

PAGE = 50


@blueprint.get("/projects/<project_key>/environments/<environment_key>/audit")
@needs(Role.VIEWER)
def show_audit(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List what was done in the project, newest first."""
    before = before_number()
    with reading() as session:
        environment = place(session, project_key, environment_key)
        found = audit.entries(session, environment.project_id, before_id=before, limit=PAGE + 1)
        predictions = predictions_of(
            session, [(each.environment_id, each.revision) for each in found[:PAGE]]
        )
        names = {each.id: each.key for each in services.list_environments(session, project_key)}
    more = found[PAGE - 1].id if len(found) > PAGE else None
    return show(
        "audit.html",
        entries=found[:PAGE],
        more=more,
        before=before,
        names=names,
        predictions=predictions,
    )
