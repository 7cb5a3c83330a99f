"""The SDK clients of an environment, and what an outage would serve."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from flask.typing import ResponseReturnValue
from pydantic import Field

from flags import instances, outage
from flags.services import get_environment
from web.api.blueprint import blueprint
from web.api.render import PageQuery, document, page
from web.api.shapes import INSTANCES, OUTAGE
from web.auth import service
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Query, read_query
from web.contract import gives, takes
from web.transactions import now, reading


class InstanceQuery(PageQuery):
    """Which clients: those in one state, or with ``stale`` those in any but ``current``."""

    state: Annotated[str, Field(max_length=16)] | None = None
    stale: bool = False


@blueprint.get("/projects/<project_key>/environments/<environment_key>/instances")
@needs(Role.VIEWER)
@takes(query=InstanceQuery)
@gives(INSTANCES)
def list_instances(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List SDK clients with the revision that each applied; on the first page what all rely on.

    That is ``fallbacks``, and ``ofrep``: the keys that asked over OFREP in a day. Those callers
    have no name, and hold no flag set that could be behind.
    """
    query = read_query(InstanceQuery)
    after = query.after()
    with reading() as session:
        found = instances.list_instances(
            session,
            project_key,
            environment_key,
            now=now(),
            state=query.state,
            stale=query.stale,
            before_id=after,
            limit=query.limit,
        )
        fallbacks = callers = None
        if after is None:
            fallbacks = instances.fallbacks(session, project_key, environment_key, now=now())
            environment = get_environment(session, project_key, environment_key)
            callers = service.ofrep_callers(session, environment.id or 0, now=now())
    last = found.items[-1].id if found.more else None
    body = page([asdict(item) for item in found.items], last)
    body |= {"revision": found.revision, "counts": found.counts}
    if callers is not None:
        body["ofrep"] = [asdict(caller) for caller in callers]
    if fallbacks is not None:
        body["fallbacks"] = [asdict(fallback) for fallback in fallbacks]
    return document(body)


@blueprint.get("/projects/<project_key>/environments/<environment_key>/outage-preview")
@needs(Role.VIEWER)
@gives(OUTAGE)
def preview_outage(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Say who would get another answer if the service and its snapshots were gone now."""
    read_query(Query)
    with reading() as session:
        found = outage.preview_outage(session, project_key, environment_key, now=now())
    return document(found.document())
