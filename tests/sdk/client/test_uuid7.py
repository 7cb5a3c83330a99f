"""Identifiers of events."""

from __future__ import annotations

import threading
import uuid

from hypothesis import given
from hypothesis import strategies as st

from flagstone.uuid7 import IdFactory


@given(st.floats(0, 2**48 / 1000 - 1))
def test_an_identifier_is_a_uuid_of_version_7_that_holds_its_time(now: float) -> None:
    parsed = uuid.UUID(IdFactory().new(now))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == int(now * 1000)


@given(st.lists(st.floats(0, 4_000_000_000), min_size=2, max_size=50))
def test_identifiers_grow_whatever_the_clock_does(times: list[float]) -> None:
    ids = IdFactory()
    made = [ids.new(now) for now in times]
    assert made == sorted(set(made))


def test_a_burst_in_one_millisecond_stays_in_order_and_unique() -> None:
    ids = IdFactory()
    made = [ids.new(1_700_000_000.0) for _ in range(20_000)]
    assert made == sorted(set(made))


def test_threads_never_get_the_same_identifier() -> None:
    ids, made = IdFactory(), []

    def work() -> None:
        made.extend([ids.new(5.0) for _ in range(2_000)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8_000


def test_an_exhausted_counter_borrows_from_the_next_millisecond() -> None:
    ids = IdFactory()
    first = ids.new(1.0)
    ids._counter = (1 << 42) - 1
    second = ids.new(1.0)
    assert second > first
    assert uuid.UUID(second).int >> 80 == 1001
