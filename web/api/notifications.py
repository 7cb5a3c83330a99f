"""What happened that a person may want to know: verdicts, approvals, schedules, kills."""

from __future__ import annotations

from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import notices
from flags.notices import Notification
from flags.services import get_project, list_environments
from web.api.blueprint import blueprint
from web.api.render import PageQuery, document, page
from web.api.shapes import NOTIFICATION, WHOLE, list_of, shape
from web.auth.guard import current_caller, needs
from web.auth.roles import Role
from web.body import Body, read_body, read_query
from web.contract import gives, takes
from web.transactions import as_seen, reading, transaction
from web.webhooks.payload import path_of

_LIST = "/projects/<project_key>/notifications"
Kind = Annotated[str, Field(max_length=64)]


class NotificationsQuery(PageQuery):
    """Which notifications: of one ``kind`` or group of kinds, else those meant for people."""

    kind: Kind | None = None


class ReadBody(Body):
    """Up to which notification everything was read."""

    up_to: Annotated[int, Field(ge=0, le=2**31 - 1)]


@blueprint.get(_LIST)
@needs(Role.VIEWER, of="project")
@takes(query=NotificationsQuery)
@gives(list_of(NOTIFICATION, unread=WHOLE))
def list_notifications(project_key: str) -> ResponseReturnValue:
    """List what happened, newest first, with how much the caller has not read."""
    query = read_query(NotificationsQuery)
    kinds = notices.FOR_PEOPLE if query.kind is None else notices.check_kinds([query.kind], "kind")
    person = current_caller().actor
    with reading() as session:
        project = get_project(session, project_key)
        places = [each.key for each in list_environments(session, project_key)]
        found = notices.recent_notifications(
            session,
            project,
            person,
            environments=places,
            kinds=kinds,
            before_id=query.after_number(),
            limit=query.limit + 1,
        )
        unread = notices.count_unread(session, project, person, environments=places)
    shown = found[: query.limit]
    more = shown[-1].notice.id if len(found) > query.limit else None
    listed = page([_show(each, project_key) for each in shown], more)
    return document({**listed, "unread": unread})


@blueprint.post(f"{_LIST}/read")
@needs(Role.VIEWER, of="project")
@takes(body=ReadBody)
@gives(shape("Read", unread=WHOLE))
def read_notifications(project_key: str) -> ResponseReturnValue:
    """Remember up to which notification the caller has read."""
    up_to = read_body(ReadBody).up_to
    person = current_caller().actor
    with transaction() as session:
        project = get_project(session, project_key)
        with as_seen(session):
            places = [each.key for each in list_environments(session, project_key)]
        notices.mark_read(session, project, person, up_to)
        unread = notices.count_unread(session, project, person, environments=places)
    return document({"unread": unread})


def _show(each: Notification, project_key: str) -> dict[str, Any]:
    notice = each.notice
    return {
        "id": notice.id,
        "kind": notice.kind,
        "at": notice.at,
        "actor": notice.actor,
        "resource": notice.resource,
        "environments": notice.environments,
        "sentence": notice.sentence,
        "reason": notice.reason,
        "path": path_of(notice, project_key),
        "unread": each.unread,
    }
