"""Numbers and times compare as the floats that LaunchDarkly makes of them."""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from flagstone.importers.launchdarkly.operators import _edge, _seconds
from tests.sdk.engine.fuzzing import fuzzed


@example(0, sys.float_info.max, 0)
@example(0, -sys.float_info.max, 0)
@example(2**53 + 1, 2**53, 0)
@fuzzed(60)
@given(
    st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)),
    st.integers(-300, 300),
)
def test_numbers_compare_as_their_floats_do(value: Any, constant: Any, step: int) -> None:
    for number in (value, constant + step if isinstance(constant, int) else constant):
        for op, holds in (
            ("lt", lambda a, b: a < b),
            ("lte", lambda a, b: a <= b),
            ("gt", lambda a, b: a > b),
            ("gte", lambda a, b: a >= b),
        ):
            assert holds(number, _edge(op, constant)) is holds(float(number), float(constant))


@fuzzed(60)
@given(st.integers(-(10**17), 10**17), st.integers(-3, 3))
def test_seconds_compare_as_their_milliseconds_do(micros: int, step: int) -> None:
    limit = micros / 1000.0
    seconds = (micros + step) / 10**6
    assert (seconds < _seconds("before", limit)) is (seconds * 1000.0 < limit)
    assert (seconds > _seconds("after", limit)) is (seconds * 1000.0 > limit)
