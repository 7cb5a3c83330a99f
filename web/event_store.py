"""The front of the event store, opened once per process when it is first asked for."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Iterable
from typing import cast

from flask import current_app

from experiments.store.base import StoreError
from experiments.store.opening import open_front
from experiments.store.promises import EventInbox
from web.settings import Settings

_FRONT = "flagstone.events"
SEEN = dt.timedelta(hours=47)
"""How far back names of events are looked for: the store keeps about two days of counts."""

logger = logging.getLogger("flagstone.web")


def event_front() -> EventInbox:
    """Give the front of the event store."""
    if _FRONT not in current_app.extensions:
        settings = cast("Settings", current_app.extensions["flagstone.settings"])
        current_app.extensions.setdefault(_FRONT, open_front(settings.events_place))
    return cast("EventInbox", current_app.extensions[_FRONT])


def seen_events(environment_ids: Iterable[int], *, now: dt.datetime) -> dict[str, int] | None:
    """Count the tracking events of the last two days by name; ``None`` if the store is away."""
    counts: Counter[str] = Counter()
    try:
        front = event_front()
        for environment_id in environment_ids:
            for found in front.recent(environment_id, since=(now - SEEN).timestamp()):
                if found.kind == "tracks":
                    counts[found.name] += found.events
    except StoreError:
        # What is classified can be read and written without it.
        logger.warning("the event store is away: names of events cannot be listed", exc_info=True)
        return None
    return dict(sorted(counts.items()))
