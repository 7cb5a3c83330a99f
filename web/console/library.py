"""The library: what was tried before, and what came of it."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from experiments.people import library
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import before_number, blueprint, place, show
from web.transactions import reading


@blueprint.get("/projects/<project_key>/environments/<environment_key>/library")
@needs(Role.VIEWER)
def show_library(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Search the project's experiments by words, metric and verdict."""
    asked = {name: request.args.get(name, "").strip()[:200] for name in ("words", "metric")}
    verdict = request.args.get("verdict", "")
    verdict = verdict if verdict in library.VERDICTS else ""
    before = before_number()
    with reading() as session:
        place(session, project_key, environment_key)
        found = library.search(
            session,
            project_key,
            words=asked["words"],
            metric=asked["metric"],
            verdict=verdict or None,
            before_id=before,
        )
    return show(
        "library.html",
        found=found.experiments,
        measured={each.id: library.metrics_of(each.plan) for each in found.experiments},
        more=found.next_before,
        before=before,
        asked={**asked, "verdict": verdict},
        verdicts=library.VERDICTS,
        project_key=project_key,
        environment_key=environment_key,
    )
