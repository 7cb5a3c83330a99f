"""The timeline of one flag: what happened, drawn and as a table, each with its way back."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from experiments.people.story import LANES, flag_story
from flags import services
from web.auth.guard import needs
from web.auth.roles import Role
from web.console.base import back_to, blueprint, place, show
from web.console.storyline import draw
from web.transactions import now, reading


@blueprint.get(
    "/projects/<project_key>/environments/<environment_key>/timeline/<flag_key:flag_key>"
)
@needs(Role.VIEWER)
def show_timeline(project_key: str, environment_key: str, flag_key: str) -> ResponseReturnValue:
    """Show a flag's changes, ramps, looks, alarms and approvals on one axis."""
    lane = request.args.get("kind", "")
    with reading() as session:
        environment = place(session, project_key, environment_key)
        flag = services.get_flag(session, project_key, flag_key)
        story = flag_story(session, project_key, environment, flag_key, now=now())
    at = request.args.get("at", "")
    if at:
        # A browser's field for a time knows no zone; its label says UTC.
        instant = at if at.endswith("Z") else f"{at}Z"
        return back_to(
            url_for(
                "console.ask_what_somebody_gets",
                project_key=project_key,
                environment_key=environment_key,
                flag=flag_key,
                at=instant,
            )
        )
    lane = lane if lane in LANES else ""
    newest = next((each.entry for each in story.events if each.entry is not None), None)
    return show(
        "flags/timeline.html",
        flag=flag,
        here=flag.environments[environment_key],
        events=[each for each in story.events if lane in {"", each.lane}],
        counts={name: sum(each.lane == name for each in story.events) for name in LANES},
        lanes=LANES,
        lane=lane,
        newest=newest,
        drawing=draw(story, now()),
        project_key=project_key,
        environment_key=environment_key,
    )
