from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.errors import InvalidInputError
from flags.ranges import ranges_for, read_split

WEIGHTS = (
    st.lists(st.integers(0, 1000), min_size=1, max_size=6)
    .filter(any)
    .map(lambda weights: {f"v{index}": weight for index, weight in enumerate(weights)})
)
COVERAGE = st.floats(0, 1)
BUCKETS = st.sampled_from([1, 7, 100, 1000, 10_000, 100_000])


def members(to: list[dict[str, Any]]) -> dict[int, str]:
    return {
        bucket: arm["variant"]
        for arm in to
        for start, end in arm["ranges"]
        for bucket in range(start, end)
    }


def test_coverage_fills_each_slot_from_its_start() -> None:
    assert ranges_for({"control": 50, "new": 50}, 0.5) == [
        {"variant": "control", "ranges": [[0, 2500]]},
        {"variant": "new", "ranges": [[5000, 7500]]},
    ]


def test_a_coverage_means_the_decimal_that_was_written() -> None:
    assert ranges_for({"new": 1}, 0.29, 100) == [{"variant": "new", "ranges": [[0, 29]]}]


@given(WEIGHTS, COVERAGE, COVERAGE)
def test_widening_never_takes_a_unit_out_or_moves_it(
    weights: dict[str, int], a: float, b: float
) -> None:
    small, large = sorted((a, b))
    before = members(ranges_for(weights, small, 1000))
    after = members(ranges_for(weights, large, 1000))
    assert before.items() <= after.items()


@given(WEIGHTS, BUCKETS)
def test_full_coverage_gives_every_bucket_to_exactly_one_variant(
    weights: dict[str, int], of: int
) -> None:
    to = ranges_for(weights, 1.0, of)
    ends = sorted(pair for arm in to for pair in arm["ranges"] if pair[0] < pair[1])
    assert ends[0][0] == 0
    assert ends[-1][1] == of
    assert all(one[1] == other[0] for one, other in pairwise(ends))


@given(WEIGHTS, COVERAGE, BUCKETS)
def test_what_is_read_back_lays_out_the_same_ranges(
    weights: dict[str, int], coverage: float, of: int
) -> None:
    to = ranges_for(weights, coverage, of)
    layout = read_split({"of": of, "to": to})
    assert layout is not None
    assert ranges_for(*layout, of) == to


@pytest.mark.parametrize(
    ("weights", "coverage"),
    [
        ({"control": 50, "new": 50}, 0.25),
        ({"control": 90, "new": 10}, 1.0),
        ({"new": 100}, 0.1),
        ({"a": 1, "b": 1, "c": 1}, 0.5),
        ({"control": 50, "new": 50}, 0.0),
        ({"control": 100, "new": 0}, 0.3),
        ({"control": 99, "new": 1}, 0.0001),
    ],
)
def test_weights_and_coverage_come_back_as_people_wrote_them(
    weights: dict[str, int], coverage: float
) -> None:
    assert read_split({"of": 10_000, "to": ranges_for(weights, coverage)}) == (weights, coverage)


@pytest.mark.parametrize(
    "to",
    [
        [],
        [{"variant": "a", "ranges": [[0, 10], [20, 30]]}],
        [{"variant": "a", "ranges": [[5, 10]]}],
        [{"variant": "a", "ranges": [[0, 100]]}, {"variant": "b", "ranges": [[50, 60]]}],
        [{"variant": "a", "ranges": [[0, 1]]}, {"variant": "b", "ranges": [[5000, 9000]]}],
        [{"variant": "a", "ranges": [[0, 1]]}, {"variant": "a", "ranges": [[5000, 5001]]}],
    ],
)
def test_ranges_that_no_weights_lay_out_are_not_guessed(to: list[Any]) -> None:
    assert read_split({"of": 10_000, "to": to}) is None


@pytest.mark.parametrize(
    ("weights", "coverage", "field"),
    [
        ({}, 0.5, "weights"),
        ({"a": 0}, 0.5, "weights"),
        ({"a": -1}, 0.5, "weights.a"),
        ({"a": True}, 0.5, "weights.a"),
        ({"a": 10**7}, 0.5, "weights.a"),
        ({"a": 1}, 1.5, "coverage"),
        ({"a": 1}, -0.1, "coverage"),
        ({"a": 1}, float("nan"), "coverage"),
    ],
)
def test_weights_and_coverage_out_of_bounds_are_refused(
    weights: dict[str, int], coverage: float, field: str
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        ranges_for(weights, coverage)
    assert refusal.value.field == field
