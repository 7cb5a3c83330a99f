"""What comes in for an environment: how much, of what, and how good it is."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field

from experiments.store.quality import QualityHour
from flags import services
from web.api.blueprint import blueprint
from web.api.render import document
from web.api.shapes import EVENTS
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import read_query
from web.contract import gives, takes
from web.event_store import event_front
from web.transactions import now, reading

RECENT = dt.timedelta(hours=1)


class EventsQuery(BaseModel):
    """How many hours of arrival to show; they are kept for 30 days."""

    model_config = ConfigDict(extra="forbid")
    hours: Annotated[int, Field(ge=1, le=720)] = 24


@blueprint.get("/projects/<project_key>/environments/<environment_key>/events")
@needs(Role.VIEWER)
@takes(query=EventsQuery)
@gives(EVENTS)
def show_events(project_key: str, environment_key: str) -> ResponseReturnValue:
    """Count the last hour's events by what they were, and all by how good they were."""
    query = read_query(EventsQuery)
    with reading() as session:
        environment_id = services.get_environment(session, project_key, environment_key).id
    assert environment_id is not None
    recent_since = now() - RECENT
    since = now() - dt.timedelta(hours=query.hours)
    front = event_front()
    return document(
        {
            "recent_since": recent_since,
            "recent": [
                asdict(found)
                for found in front.recent(environment_id, since=recent_since.timestamp())
            ],
            "quality": [
                _hour(found) for found in front.quality(environment_id, since=since.timestamp())
            ],
        }
    )


def _hour(found: QualityHour) -> dict[str, Any]:
    return asdict(found) | {"hour": dt.datetime.fromtimestamp(found.hour * 3_600, dt.UTC)}
