"""What is to become of flags: verdicts, and what they rest upon."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import services
from flags.lifecycle import VERDICTS, Lifecycle
from flags.services import FlagView
from web.api.blueprint import blueprint
from web.api.render import PageQuery, document, page
from web.api.shapes import LIFECYCLE, list_of
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Query, read_query
from web.contract import gives, takes
from web.lifecycles import lifecycles
from web.transactions import now, reading


class LifecycleQuery(PageQuery):
    """Which verdicts; only those that ask somebody to do something, unless told otherwise."""

    verdict: Literal[VERDICTS] | None = None  # type: ignore[valid-type]
    owner: Annotated[str, Field(max_length=200)] | None = None
    all: bool = False


@blueprint.get("/projects/<project_key>/flags/<path:flag_key>/lifecycle")
@needs(Role.VIEWER)
@gives(LIFECYCLE)
def get_lifecycle(project_key: str, flag_key: str) -> ResponseReturnValue:
    """Say what is to become of a flag, and what that rests upon."""
    read_query(Query)
    with reading() as session:
        view = services.get_flag(session, project_key, flag_key)
        found = lifecycles(session, project_key, [view], now=now())
    return document(_told(view, found[view.key]))


@blueprint.get("/projects/<project_key>/lifecycle")
@needs(Role.VIEWER)
@takes(query=LifecycleQuery)
@gives(list_of(LIFECYCLE))
def list_lifecycles(project_key: str) -> ResponseReturnValue:
    """List flags that ask somebody to do something, by key: expired, stale, safe to remove."""
    query = read_query(LifecycleQuery)
    with reading() as session:
        views = services.list_flags(session, project_key, archived=None)
        found = lifecycles(session, project_key, views, now=now())
    after = query.after() or ""
    wanted = [
        view
        for view in views
        if view.key > after
        and query.owner in {None, view.owner}
        and (query.all or query.verdict is not None or found[view.key].nudge)
        and query.verdict in {None, found[view.key].verdict}
    ]
    shown = wanted[: query.limit]
    more = shown[-1].key if len(wanted) > query.limit else None
    return document(page([_told(view, found[view.key]) for view in shown], more))


def _told(view: FlagView, lifecycle: Lifecycle) -> dict[str, Any]:
    return {
        "flag": view.key,
        **lifecycle.document(),
        "owner": view.owner,
        "expires": view.expires,
        "kind": view.kind,
    }
