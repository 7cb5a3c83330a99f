"""The limit of evaluation requests per key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from web.edge.limits import RateLimit


@given(
    st.floats(0.1, 1000),
    st.lists(st.floats(0, 3), min_size=1, max_size=200),
)
def test_no_key_gets_more_than_its_rate_and_one_burst(rate: float, gaps: list[float]) -> None:
    limit, now, passed = RateLimit(rate), 0.0, 0
    for gap in gaps:
        now += gap
        passed += limit.wait_seconds("k", now) == 0
    assert passed <= max(1.0, rate) + rate * now + 1e-6


@given(st.floats(0.01, 1000), st.integers(1, 50))
def test_who_waits_as_long_as_told_is_served(rate: float, requests: int) -> None:
    limit = RateLimit(rate)
    for _ in range(requests):
        wait = limit.wait_seconds("k", 100.0)
        assert isinstance(wait, int)
        if wait:
            assert limit.wait_seconds("k", 100.0 + wait) == 0
            return


def test_keys_do_not_share_and_no_limit_is_no_limit() -> None:
    limit = RateLimit(1)
    assert [limit.wait_seconds(key, 5.0) for key in ("a", "b", "a")] == [0, 0, 1]
    free = RateLimit(0)
    assert not any(free.wait_seconds("a", 5.0) for _ in range(10_000))


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    limit = RateLimit(1)
    assert limit.wait_seconds("k", 10_000.0) == 0
    assert limit.wait_seconds("k", 5.0) == 1
    assert limit.wait_seconds("k", 6.0) == 0
