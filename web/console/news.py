"""What happened that somebody may want to know, the newest first."""

from __future__ import annotations

from typing import Any

from flask import g, request, url_for
from flask.typing import ResponseReturnValue

from flags import notices, services
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.console.base import LARGEST_NUMBER, back_to, before_number, blueprint, place, show
from web.transactions import reading, transaction
from web.webhooks.payload import path_of

PAGE = 50
_NEWS = "/projects/<project_key>/environments/<environment_key>/news"
_TONES = {"flag.killed": "bad", "experiment.alarm": "bad", "schedule.failed": "bad"}
_ATTENTION = frozenset({"approval.requested", "flag.moved", "flag.stale", "webhook.disabled"})


@blueprint.get(_NEWS)
@needs(Role.VIEWER)
def show_news(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Show verdicts, alarms, approvals, schedules and kills of the whole project."""
    before = before_number()
    person = current_caller().actor
    with reading() as session:
        place(session, project_key, environment_key)
        project = services.get_project(session, project_key)
        places = [each.key for each in services.list_environments(session, project_key)]
        found = notices.recent_notifications(
            session, project, person, environments=places, before_id=before, limit=PAGE + 1
        )
        unread = g.place["unread"]
    return show(
        "news.html",
        items=[_item(each, project_key) for each in found[:PAGE]],
        newest=found[0].notice.id if found else 0,
        unread=unread,
        most=notices.MOST_UNREAD,
        more=found[PAGE - 1].notice.id if len(found) > PAGE else None,
        before=before,
        project_key=project_key,
        environment_key=environment_key,
    )


@blueprint.post(_NEWS)
@needs(Role.VIEWER)
def read_news(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Remember that everything which the page showed was read."""
    up_to = request.form.get("up_to", type=int) or 0
    with transaction() as session:
        project = services.get_project(session, project_key)
        person = current_caller().actor
        notices.mark_read(session, project, person, min(max(up_to, 0), LARGEST_NUMBER))
    return back_to(
        url_for("console.show_news", project_key=project_key, environment_key=environment_key)
    )


def _item(each: notices.Notification, project_key: str) -> dict[str, Any]:
    kind = each.notice.kind
    usual = "attention" if kind in _ATTENTION else "neutral"
    return {
        "notice": each.notice,
        "unread": each.unread,
        "tone": _TONES.get(kind, usual),
        "path": path_of(each.notice, project_key),
        "word": kind.replace(".", " "),
    }
