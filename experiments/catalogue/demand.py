"""Demand classes of events, and the metric that follows from them.

What customers ask for is *value* demand (an order, a search), or *failure* demand: what would not
have happened had it worked the first time (a ticket, a retry, an error shown, a refund, an undo).
The failure-demand ratio is failure ÷ (value + failure): it is defined as soon as anything was asked
for, also when nothing of it was value; it lies between 0 and 1; and no unit weighs without end.
Failure ÷ value would have none of the three.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.catalogue.definition import Entry, parse_entry
from experiments.catalogue.models import EventType
from experiments.catalogue.services import find_metric, write_metric
from experiments.contract.reference import FAILURE_DEMAND
from flags import audit
from flags.actor import Actor
from flags.errors import InvalidInputError, StateError
from flags.revisions import lock_project
from flags.services import get_project
from flags.versions import expect_version

CLASSES = ("value", "failure", "neutral")
MAX_EVENT_TYPES = 1_000
# Of each class that makes the ratio; a plan's list of events can hold no more.
MAX_OF_CLASS = 100
DEFAULT_WINDOW = "7d"

_DESCRIPTION = (
    "Failure demand is what would not have been asked for had it worked the first time. "
    "The ratio guards every experiment unless its plan says failure_demand = false."
)


def list_event_types(session: Session, project_key: str) -> list[EventType]:
    """List the events of a project that somebody has classified, by name."""
    query = select(EventType).where(EventType.project_id == get_project(session, project_key).id)
    return list(session.exec(query.order_by(col(EventType.name))))


def demand_of(session: Session, project_id: int) -> dict[str, str]:
    """Give the demand class by event; what is not in it is neutral."""
    query = select(EventType.name, EventType.demand).where(EventType.project_id == project_id)
    return dict(session.exec(query.order_by(col(EventType.name))).all())


def set_event_type(
    session: Session,
    project_key: str,
    name: str,
    demand: str,
    *,
    description: str | None = None,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> tuple[EventType, bool]:
    """Say what kind of demand an event is; tell whether nobody had said it before.

    The failure-demand metric follows in the same transaction, as a new version.

    Raises
    ------
    InvalidInputError
        If there is no such class, or the name is none.
    StateError
        If the project has too many already.
    VersionConflictError
        If it moved since the caller read it.
    """
    name = name.strip()
    if not name or len(name) > 256:
        raise InvalidInputError("an event's name has 1 to 256 characters", field="name")
    if demand not in CLASSES:
        raise InvalidInputError(
            f"there is no demand class {demand[:40]!r}",
            field="demand",
            hint="value (what people came for), failure (ticket, retry, refund), or neutral",
        )
    project_id = lock_project(session, project_key).id
    assert project_id is not None
    row = session.exec(
        select(EventType)
        .where(EventType.project_id == project_id, EventType.name == name)
        .execution_options(populate_existing=True)
    ).one_or_none()
    expect_version(row, expected_version, f"event {name!r}")
    is_new = row is None
    before = None if row is None else {"demand": row.demand, "description": row.description}
    if row is None:
        _check_room(session, project_id)
        row = EventType(
            project_id=project_id, name=name, demand=demand, changed_at=now, changed_by=str(actor)
        )
    after = {"demand": demand, "description": row.description}
    if description is not None:
        after["description"] = description.strip()
    if before == after:
        return row, False
    row.demand, row.description = demand, after["description"]
    row.changed_at, row.changed_by = now, str(actor)
    session.add(row)
    session.flush()
    audit.append(
        session,
        project_id=project_id,
        actor=actor,
        action="event_type_set",
        resource=f"event-type:{name}",
        before=before,
        after=after,
        now=now,
    )
    _follow(session, project_id, actor=actor, now=now)
    return row, is_new


def _check_room(session: Session, project_id: int) -> None:
    held = session.exec(
        select(sa.func.count()).select_from(EventType).where(EventType.project_id == project_id)
    ).one()
    if held >= MAX_EVENT_TYPES:
        raise StateError(f"the project has {held} event types", hint="neutral ones need no entry")


def _follow(session: Session, project_id: int, *, actor: Actor, now: dt.datetime) -> None:
    """Write the failure-demand metric anew, or archive it while a class is empty."""
    entry = failure_demand(demand_of(session, project_id))
    row = find_metric(session, project_id, FAILURE_DEMAND)
    if entry is None and row is None:
        return
    if entry is None:
        assert row is not None
        entry = parse_entry(FAILURE_DEMAND, {**row.definition, "description": row.description})
        archived = True
    else:
        archived = False
    write_metric(
        session,
        project_id,
        row,
        FAILURE_DEMAND,
        entry,
        built_in=True,
        archived=archived,
        actor=actor,
        now=now,
    )


def failure_demand(demand: dict[str, str]) -> Entry | None:
    """Make the metric of the demand classes; ``None`` unless there is value and failure.

    Without an event of value the ratio would be 1 for everybody; without failure, 0.

    Raises
    ------
    StateError
        If a class has more events than a metric can count.
    """
    failures = sorted(name for name, found in demand.items() if found == "failure")
    values = sorted(name for name, found in demand.items() if found == "value")
    if not failures or not values:
        return None
    if max(len(failures), len(values)) > MAX_OF_CLASS:
        raise StateError(
            f"more than {MAX_OF_CLASS} events of one demand class cannot be counted",
            hint="classify those that matter; the others are neutral",
        )
    document = {
        "kind": "ratio",
        "event": failures,
        "numerator": "count",
        "denominator_event": [*values, *failures],
        "denominator": "count",
        "window": DEFAULT_WINDOW,
        "direction": "down",
        "description": _DESCRIPTION,
    }
    return parse_entry(FAILURE_DEMAND, document)
