"""What comes in for an environment: how much, of what, and how good it is."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask.typing import ResponseReturnValue
from itsdangerous import Signer
from pydantic import BaseModel, ConfigDict, Field

from experiments.store.quality import QualityHour
from experiments.store.recent import LatestEvent, Which
from flags import services
from flags.redaction import MASK, redacted_attributes
from web.api.blueprint import blueprint
from web.api.render import DEFAULT_LIMIT, MAX_LIMIT, document, page
from web.api.shapes import EVENTS, LATEST_EVENT, YES_OR_NO, list_of
from web.api.times import Instant, parse_instant
from web.auth.guard import needs
from web.auth.roles import Role
from web.body import Query, read_query
from web.contract import gives, takes
from web.event_store import event_front
from web.security import signing_key
from web.transactions import now, reading

RECENT = dt.timedelta(hours=1)
A_MINUTE = dt.timedelta(minutes=1)
# What is older is in files, which are read by the analysis and not here.
FURTHEST = dt.timedelta(hours=1)
_KINDS: dict[str, Literal["exposures", "tracks"]] = {"exposure": "exposures", "event": "tracks"}


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


class LatestQuery(Query):
    """Since when, of what, and how many at most."""

    since: Instant | None = Field(default=None, description="A minute ago, if it is left out.")
    type: Literal["exposure", "event"] | None = None
    flag: Annotated[str, Field(max_length=256)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT


@blueprint.get("/projects/<project_key>/environments/<environment_key>/events/latest")
@needs(Role.VIEWER)
@takes(query=LatestQuery)
@gives(list_of(LATEST_EVENT, more=YES_OR_NO))
def list_latest_events(project_key: str, environment_key: str) -> ResponseReturnValue:
    """List the newest exposures and events, newest first; whose they are is not shown."""
    query = read_query(LatestQuery)
    with reading() as session:
        environment_id = services.get_environment(session, project_key, environment_key).id
    assert environment_id is not None
    since = now() - A_MINUTE
    if query.since is not None:
        since = max(parse_instant(query.since, field="since"), now() - FURTHEST)
    which = Which(_KINDS.get(query.type or ""), query.flag, query.limit + 1)
    found = event_front().latest(environment_id, which, since=since.timestamp())
    shown = found[: query.limit]
    masked = Signer(signing_key(), "flagstone-events")
    body = page([_latest(each, environment_id, masked) for each in shown], None)
    return document(body | {"more": len(found) > query.limit})


def _latest(event: LatestEvent, environment_id: int, masked: Signer) -> dict[str, Any]:
    """Show an event without its unit; an ``id`` tells two of them apart, and nothing else."""
    attributes = json.loads(event.attributes) if event.attributes else {}
    plain = repr((environment_id, *event))
    return {
        "id": masked.get_signature(plain.encode("utf-8", "surrogatepass")).decode(),
        "time": dt.datetime.fromtimestamp(event.time, dt.UTC),
        "type": "event" if event.flag is None else "exposure",
        "unit": MASK,
        "flag": event.flag,
        "variant": event.variant,
        "rule": event.rule,
        "revision": event.revision,
        "name": event.name,
        "value": event.value,
        "attributes": redacted_attributes(attributes),
    }


def _hour(found: QualityHour) -> dict[str, Any]:
    return asdict(found) | {"hour": dt.datetime.fromtimestamp(found.hour * 3_600, dt.UTC)}
