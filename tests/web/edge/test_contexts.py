"""Contexts for previews: a fair and bounded sample, off everybody's way."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from flags.actor import SYSTEM
from flags.context_samples import (
    KEEP,
    LIMIT,
    MAX_CONTEXT_BYTES,
    Sample,
    hash_of,
    load_sample,
    size_of,
)
from flags.database import Database
from flags.models import Environment, Project
from flags.sampling import switch_sample
from flagstone.engine import bucket
from web.edge.contexts import FRESH_SECONDS, LOOK_SECONDS, Contexts

NOW = 1_780_000_000.0


@pytest.fixture
def contexts(database: Database, clock: list[float]) -> Contexts:
    return made(database, clock)


def made(database: Database, clock: list[float]) -> Contexts:
    contexts = Contexts(lambda: clock[0])
    contexts._database = database
    return contexts


def offer(contexts: Contexts, here: int, context: dict[str, Any], now: float = NOW) -> None:
    contexts.offer(here, now, context, json.dumps({"context": context}).encode())


def sample(database: Database, here: int, now: float = NOW) -> Sample:
    with database.read() as session:
        return load_sample(session, here, now=dt.datetime.fromtimestamp(now, dt.UTC))


def switch(database: Database, here: int, *, on: bool) -> None:
    with database.write() as session:
        environment = session.get(Environment, here)
        assert environment is not None
        project = session.get(Project, environment.project_id)
        assert project is not None
        now = dt.datetime.fromtimestamp(NOW, dt.UTC)
        switch_sample(session, project.key, environment.key, on=on, actor=SYSTEM, now=now)


def test_the_newest_context_of_each_unit_is_kept(
    database: Database, contexts: Contexts, here: int
) -> None:
    assert sample(database, here).size == 0
    offer(contexts, here, {"targetingKey": "u1", "plan": "free"})
    offer(contexts, here, {"targetingKey": "u2"})
    offer(contexts, here, {"country": "DE"})
    offer(contexts, here, {"country": "DE"})
    contexts.write()
    offer(contexts, here, {"targetingKey": "u1", "plan": "max"}, NOW + FRESH_SECONDS / 2)
    contexts.write()
    found = sample(database, here)
    assert (found.size, found.units, found.complete) == (3, 3, True)
    assert {"targetingKey": "u1", "plan": "free"} in found.contexts
    offer(contexts, here, {"targetingKey": "u1", "plan": "max"}, NOW + FRESH_SECONDS)
    contexts.write()
    assert {"targetingKey": "u1", "plan": "max"} in sample(database, here).contexts


def test_memory_and_rows_are_bounded_and_every_unit_has_the_same_chance(
    database: Database, clock: list[float], here: int
) -> None:
    one, other = made(database, clock), made(database, clock)
    units = [{"targetingKey": f"u{number}"} for number in range(12 * LIMIT)]
    for number, unit in enumerate(units):
        offer(one if number % 2 else other, here, unit)
    for process in (one, other):
        pool = process._pools[here]
        assert len(pool.waiting) <= len(pool.fresh_until) <= 2 * LIMIT
        process.write()
        assert not pool.waiting
    found = sample(database, here)
    with database.read() as session:
        assert size_of(session, here) == found.size == LIMIT
    smallest = sorted(units, key=hash_of)[:LIMIT]
    assert list(found.contexts) == smallest
    assert not found.complete
    assert found.units == pytest.approx(len(units), rel=0.1)
    # What cannot be in any more is not even remembered.
    offer(one, here, max(units, key=hash_of), NOW + FRESH_SECONDS)
    assert len(one._pools[here].waiting) == 0


def test_what_is_too_large_or_cannot_be_written_is_left_out(
    database: Database, contexts: Contexts, here: int
) -> None:
    offer(contexts, here, {"targetingKey": "u1", "note": "x" * MAX_CONTEXT_BYTES})
    contexts.offer(here, NOW, {"country": "\ud800"}, b"{}")
    contexts.offer(
        here, NOW, {"targetingKey": "\ud800"}, rb'{"context": {"targetingKey": "\ud800"}}'
    )
    contexts.offer(here, NOW, {"number": 2**70}, b"{}")
    contexts.write()
    assert sample(database, here).size == 0


def test_after_seven_days_a_context_is_not_counted_and_then_removed(
    database: Database, contexts: Contexts, clock: list[float], here: int
) -> None:
    offer(contexts, here, {"targetingKey": "u1"})
    contexts.write()
    later = NOW + KEEP.total_seconds() + 1
    assert sample(database, here, later).size == 0
    clock[0] = later
    contexts.write()
    with database.read() as session:
        assert size_of(session, here) == 0


def test_switched_off_nothing_is_kept_until_it_is_on_again(
    database: Database, contexts: Contexts, here: int
) -> None:
    offer(contexts, here, {"targetingKey": "u1"})
    contexts.write()
    switch(database, here, on=False)
    assert (sample(database, here).on, sample(database, here).size) == (False, 0)
    offer(contexts, here, {"targetingKey": "u2"})
    contexts.write()
    with database.read() as session:
        assert size_of(session, here) == 0
    offer(contexts, here, {"targetingKey": "u3"})
    assert not contexts._pools[here].waiting
    switch(database, here, on=True)
    offer(contexts, here, {"targetingKey": "u3"}, NOW + LOOK_SECONDS)
    contexts.write()
    offer(contexts, here, {"targetingKey": "u4"}, NOW + LOOK_SECONDS)
    contexts.write()
    assert [each["targetingKey"] for each in sample(database, here).contexts] == ["u4"]


def test_what_could_not_be_written_waits(database: Database, clock: list[float], here: int) -> None:
    contexts = made(Database("sqlite:////no/such/folder/flagstone.db"), clock)
    offer(contexts, here, {"targetingKey": "u1"})
    with pytest.raises(Exception, match="unable to open"):
        contexts.write()
    contexts._database = database
    contexts.write()
    assert sample(database, here).size == 1


def test_a_tenth_of_the_sample_is_a_tenth_of_everybody() -> None:
    # The hash that chooses the sample is not the one that cuts buckets.
    everybody = (f"u{number}" for number in range(40_000))
    units = sorted(everybody, key=lambda unit: hash_of({"targetingKey": unit}))[:LIMIT]
    inside = sum(bucket("flagstone", "checkout:ramp", unit, 10_000) < 1_000 for unit in units)
    assert inside == pytest.approx(100, abs=30)


def test_what_an_sdk_told_counts_where_it_says_enough(
    database: Database, contexts: Contexts, here: int
) -> None:
    assert contexts.below(here, NOW) > 0
    offer(contexts, here, {"targetingKey": "whole", "plan": "free"})
    told = [{"targetingKey": "u1", "country": "DE"}, {"targetingKey": "whole"}]
    contexts.take_told(here, NOW, told, [["targetingKey"], ["country"], ["device"]])
    contexts.take_told(here, NOW, [{"targetingKey": "\ud800"}], [])
    contexts.write()
    found = sample(database, here)
    # A whole context that came a moment ago says more than a part.
    assert {"targetingKey": "whole", "plan": "free"} in found.contexts
    assert (found.size, found.aside) == (2, 0)
    assert found.knowing({("country",), ("device", "os"), ("targetingKey",)}).size == 2
    part = found.knowing({("plan",)})
    assert (part.contexts, part.aside) == (({"targetingKey": "whole", "plan": "free"},), 1)
    assert part.document()["aside"] == 1
    # Seen whole later, it is whole.
    offer(contexts, here, {"targetingKey": "u1"}, NOW + FRESH_SECONDS)
    contexts.write()
    assert sample(database, here, NOW + FRESH_SECONDS).knowing({("plan",)}).size == 2
    switch(database, here, on=False)
    contexts.write()
    assert contexts.below(here, NOW) == 0
    contexts.take_told(here, NOW, told, [])
    contexts.write()
    assert sample(database, here).size == 0
