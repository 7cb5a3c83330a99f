"""Our own engine and client, asked as the peers are."""

from __future__ import annotations

from flagstone.engine import compile_flag_set, parse_flag_set
from flagstone.events import MEMORY_EXPOSURES, EventQueue, ExposureMemory
from flagstone.offline import OfflineClient
from web.bench import cases
from web.bench.peers import Engine

NOW = 1_780_000_000.0
MAX_QUEUED = 10_000
WINDOW_SECONDS = 300.0


def engine(question: cases.Question) -> Engine:
    """Return the pure evaluation: flag key, context, time."""
    compiled = compile_flag_set(parse_flag_set(cases.our_flag_set(question)))
    return Engine(
        compiled.evaluate,
        [("asked", person.context, NOW) for person in question.people],
        answer=lambda details: bool(details.value),
    )


def client_engine(question: cases.Question) -> Engine:
    """Return the client's getter, without a service."""
    # As a client of a service records: remembered for a while, queued once, and never sent here.
    queue = EventQueue(MAX_QUEUED, lambda: None)
    outbox = ExposureMemory(MEMORY_EXPOSURES, WINDOW_SECONDS).outbox(queue)
    client = OfflineClient(
        cases.our_flag_set(question), outbox=outbox if question.recording else None
    )
    return Engine(
        client.get_boolean,
        [("asked", person.context, False) for person in question.people],
        client.close,
    )
