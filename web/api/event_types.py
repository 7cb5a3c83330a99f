"""Event types: what kind of demand each event is."""

from __future__ import annotations

from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import Field, JsonValue

from experiments.catalogue import demand
from experiments.catalogue.models import EventType
from flags import services
from web.api.blueprint import blueprint
from web.api.render import WholeQuery, document, upon_expected
from web.api.shapes import EVENT_TYPE, OBJECTS, list_of, maybe
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Body, read_body, read_query
from web.contract import gives, takes
from web.event_store import seen_events
from web.transactions import now, reading, transaction

DEMANDS: list[JsonValue] = ["value", "failure", "neutral"]


class EventTypeBody(Body):
    """What kind of demand an event is; without a description the present one stays."""

    name: Annotated[str, Field(max_length=256)]
    demand: Annotated[str, Field(max_length=64, json_schema_extra={"enum": DEMANDS})]
    description: Annotated[str, Field(max_length=2000)] | None = None


@blueprint.get("/projects/<project_key>/event-types")
@needs(Role.VIEWER)
@takes(query=WholeQuery)
@gives(list_of(EVENT_TYPE, unclassified=maybe(OBJECTS)))
def list_event_types(project_key: str) -> ResponseReturnValue:
    """List demand classes by event, and the events that have come in without one."""
    query = read_query(WholeQuery)
    with reading() as session:
        found = demand.list_event_types(session, project_key)
        environments = services.list_environments(session, project_key)
    seen = seen_events([each.id for each in environments if each.id is not None], now=now())
    known = {each.name for each in found}
    unclassified = None
    if seen is not None:
        unclassified = [
            {"name": name, "events": events} for name, events in seen.items() if name not in known
        ]
    body = query.page([show_event_type(each) for each in found], "name")
    return document({**body, "unclassified": unclassified})


@blueprint.put("/projects/<project_key>/event-types")
@needs(Role.EDITOR)
@takes(body=EventTypeBody, if_match=True)
@gives(EVENT_TYPE, 200, 201, etag=True)
def put_event_type(project_key: str) -> ResponseReturnValue:
    """Say what kind of demand an event is."""
    body = read_body(EventTypeBody)
    with transaction() as session:
        row, is_new = demand.set_event_type(
            session,
            project_key,
            body.name,
            body.demand,
            description=body.description,
            **upon_expected(),
        )
        return document(show_event_type(row), status=201 if is_new else 200, etag=row.version)


def show_event_type(row: EventType) -> dict[str, Any]:
    """Give an event type as the API shows it."""
    return {
        "name": row.name,
        "demand": row.demand,
        "description": row.description,
        "changed_at": row.changed_at,
        "changed_by": row.changed_by,
        "version": row.version,
    }
