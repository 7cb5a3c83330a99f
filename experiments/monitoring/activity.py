"""Sum up who asks for which flag, for pages that list thousands of them: twice a minute."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from sqlmodel import select

from experiments.moves.lease import Held, check_fence
from experiments.store.promises import EventStore
from flags.activity import hour_of, keep, named_by_instances
from flags.database import Database
from flags.models import Environment

EVERY_SECONDS = 30.0
_HEARD = dt.timedelta(minutes=10)


def sum_up(database: Database, store: EventStore, held: Held, *, now: dt.datetime) -> int:
    """Bring the summaries of every environment up to date; give how many flags were news.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    with database.read() as session:
        environments = list(session.exec(select(Environment.id)))
        heard = {
            each: named_by_instances(session, each, since=now - _HEARD)
            for each in environments
            if each is not None
        }
    present = hour_of(now)
    news = 0
    for environment_id, evaluated in heard.items():
        # The hour before as well: its last events come in after it is over.
        both = _exposures(store, environment_id, present - 1)
        this = _exposures(store, environment_id, present)
        if not both and not evaluated:
            continue
        with database.write() as session:
            check_fence(session, held)
            counts = {present - 1: both - this, present: this}
            news += keep(session, environment_id, counts, evaluated, now=now)
    return news


def _exposures(store: EventStore, environment_id: int, hour: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for found in store.inbox.recent(environment_id, since=hour * 3600.0):
        if found.kind == "exposures":
            counts[found.name] += found.events
    return counts
