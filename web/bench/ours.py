"""Our own engine and client, asked as the peers are."""

from __future__ import annotations

from flagstone.engine import compile_flag_set, parse_flag_set
from flagstone.offline import OfflineClient
from web.bench import cases
from web.bench.peers import Engine

NOW = 1_780_000_000.0


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
    client = OfflineClient(cases.our_flag_set(question))
    return Engine(
        client.get_boolean,
        [("asked", person.context, False) for person in question.people],
        client.close,
    )
