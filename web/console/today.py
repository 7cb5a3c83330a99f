"""Today: only what needs a human, by what a day of waiting costs; and what happens by itself."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from experiments.people import agenda
from experiments.people.task import in_order
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.console.base import blueprint, place, show
from web.flag_search import caller_as_person
from web.transactions import now, reading
from web.webhooks.failing import failing

MOST_COMING = 8
PAGE = 50


@blueprint.get("/projects/<project_key>/environments/<environment_key>/today")
@needs(Role.VIEWER)
def show_today(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List what waits for people, the dearest first."""
    with reading() as session:
        environment = place(session, project_key, environment_key)
        who = caller_as_person(session, project_key)
        tasks = agenda.agenda(session, project_key, environment, who, now=now())
        if current_caller().rights.in_project(environment.project_id).covers(Role.ADMIN):
            tasks = in_order([*tasks, *failing(session, project_key, now=now())])
        coming = agenda.coming(session, project_key, environment, now=now())
    mine = [each for each in tasks if each.mine]
    only_mine = request.args.get("for") == "me"
    totals: dict[str, int] = {}
    for each in tasks:
        if each.per_day:
            totals[each.currency] = totals.get(each.currency, 0) + each.per_day
    shown = mine if only_mine else tasks
    # Pages are counted, not anchored: what was done moves all that follows up.
    first = min(max(request.args.get("from", 0, type=int), 0), max(len(shown) - 1, 0))
    return show(
        "today.html",
        tasks=shown[first : first + PAGE],
        first=first,
        more=first + PAGE if len(shown) > first + PAGE else None,
        shown=len(shown),
        counts={"all": len(tasks), "mine": len(mine)},
        only_mine=only_mine,
        totals=totals,
        coming=coming[:MOST_COMING],
        project_key=project_key,
        environment_key=environment_key,
    )
