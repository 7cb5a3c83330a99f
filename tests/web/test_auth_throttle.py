"""Counting attempts, and how long to wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from web.auth.throttle import (
    LONGEST_LOCK_SECONDS,
    REMEMBERED_KEYS,
    Throttle,
    UnknownAccounts,
    lock_seconds,
)


def test_four_failures_are_free_and_the_delay_then_doubles_to_a_ceiling() -> None:
    delays = [lock_seconds(failures) for failures in range(14)]
    assert delays[:9] == [0, 0, 0, 0, 0, 15, 30, 60, 120]
    assert delays[-1] == LONGEST_LOCK_SECONDS == lock_seconds(10**6)


@given(st.integers(0, 1000))
def test_one_more_failure_never_shortens_the_wait(failures: int) -> None:
    assert lock_seconds(failures) <= lock_seconds(failures + 1)


@given(st.integers(1, 5), st.lists(st.floats(0, 100, allow_nan=False), max_size=60).map(sorted))
def test_no_window_ever_holds_more_than_the_limit(limit: int, times: list[float]) -> None:
    throttle = Throttle(limit, window_seconds=10)
    passed = [time for time in times if throttle.attempt("a", time) is None]
    for start in passed:
        assert sum(start <= time < start + 10 for time in passed) <= limit


def test_the_wait_that_a_throttle_names_is_enough() -> None:
    throttle = Throttle(1, window_seconds=10)
    assert throttle.attempt("a", 0.0) is None
    wait = throttle.attempt("a", 3.5)
    assert wait == 7
    assert throttle.attempt("a", 3.5 + wait) is None


def test_keys_are_counted_apart() -> None:
    throttle = Throttle(1, window_seconds=10)
    assert throttle.attempt("a", 0.0) is None
    assert throttle.attempt("b", 0.0) is None


def test_memory_is_bounded_whatever_callers_invent() -> None:
    throttle, unknown = Throttle(1, window_seconds=10), UnknownAccounts()
    for number in range(REMEMBERED_KEYS + 10):
        throttle.attempt(str(number), 0.0)
        unknown.attempt(str(number), 0.0)
    assert len(throttle._attempts) == len(unknown._failures) == REMEMBERED_KEYS
