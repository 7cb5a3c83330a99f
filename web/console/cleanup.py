"""Flags that had their time: what each asks for, and why."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from flags import services
from flags.lifecycle import NUDGES, VERDICTS
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import blueprint, place, show
from web.lifecycles import lifecycles
from web.transactions import now, reading

PAGE = 100


@blueprint.get("/projects/<project_key>/environments/<environment_key>/cleanup")
@needs(Role.VIEWER)
def list_cleanup(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the flags that ask somebody to do something."""
    verdict, after = request.args.get("verdict", ""), request.args.get("after", "")
    with reading() as session:
        place(session, project_key, environment_key)
        views = services.list_flags(session, project_key)
        found = lifecycles(session, project_key, views, now=now())
    asking = [(view, found[view.key]) for view in views if found[view.key].nudge]
    verdicts = [each.verdict for _, each in asking]
    chosen = verdict if verdict in NUDGES else ""
    left = [
        row for row in asking if row[0].key > after and (not chosen or row[1].verdict == chosen)
    ]
    return show(
        "cleanup.html",
        rows=left[:PAGE],
        more=left[PAGE - 1][0].key if len(left) > PAGE else None,
        after=after,
        total=len(asking),
        flags=len(views),
        counts={name: verdicts.count(name) for name in VERDICTS if name in verdicts},
        verdict=chosen,
        project_key=project_key,
        environment_key=environment_key,
    )
