"""Every hash puts any value into a bucket, or nowhere; none ever raises."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import Bucketing, bucket
from flagstone.engine.bucketing import HASHES, bucket_of, edge_of, lies_in, place_of
from flagstone.engine.conditions import compile_condition
from flagstone.engine.expressions import careful_bucket
from flagstone.engine.model import InBucket
from flagstone.engine.units import unit_text
from tests.sdk.engine.fuzzing import (
    Author,
    anything,
    foreign,
    fuzzed,
    json_of,
    scalars,
    seeds,
    shown,
)

salts = st.text(max_size=8) | st.sampled_from(["", "\ud800", "\x00", "a" * 300, "exp-42", "1"])
counts = st.sampled_from([1, 2, 100, 1000, 9998, 10_000, 100_000, 2**53 - 1]) | st.integers(
    1, 2**60
)
values = json_of(["a", "\ud800"], scalars | foreign) | seeds.map(anything)
hashes = st.sampled_from(sorted(HASHES))


def check(hash_name: str, salt: str, of: int, value: object) -> None:
    bucketing = Bucketing(salt, hash=hash_name, of=of)
    place = bucket_of(bucketing, value)
    assert bucket_of(bucketing, value) == place
    if place is None:
        assert place_of(bucketing)(value) is None
        with pytest.raises(ValueError, match="a unit is"):
            bucket(hash_name, salt, value, of)  # type: ignore[arg-type]
    else:
        assert type(place) is int
        assert 0 <= place < of
        assert bucket(hash_name, salt, value, of) == place  # type: ignore[arg-type]
        # Places lie between edges as buckets do.
        raw = place_of(bucketing)(value)
        assert edge_of(bucketing, place) <= raw < edge_of(bucketing, place + 1)


@given(salts, counts, values)
@fuzzed(90)
def test_any_value_has_one_bucket_or_none(salt: str, of: int, value: object) -> None:
    for hash_name in sorted(HASHES):
        with shown(hash_name, salt, of, value):
            check(hash_name, salt, of, value)


@given(salts, counts, st.text() | st.integers(-(2**70), 2**70))
@fuzzed(50)
def test_texts_and_integers_are_units_of_every_hash(salt: str, of: int, unit: str | int) -> None:
    for hash_name in sorted(HASHES):
        check(hash_name, salt, of, unit)
        assert bucket_of(Bucketing(salt, hash=hash_name, of=of), unit) is not None
    assert unit_text(unit) == str(unit)


@given(hashes, salts, values, st.integers(1, 10_000), st.data())
@fuzzed(60)
def test_a_bucket_lies_in_the_ranges_that_hold_it_by_every_way(
    hash_name: str, salt: str, value: object, of: int, data: st.DataObject
) -> None:
    pairs = data.draw(st.lists(st.tuples(st.integers(0, of), st.integers(0, of)), max_size=4))
    ranges = tuple((min(pair), max(pair)) for pair in pairs)
    bucketing = Bucketing(salt, by=("x",), hash=hash_name, of=of)
    condition = InBucket(bucketing, ranges)
    place = bucket_of(bucketing, value)
    wanted = place is not None and lies_in(place, ranges)
    with shown(bucketing, ranges, value):
        assert careful_bucket(condition)(value) is wanted
        assert compile_condition(condition, None)({"x": value}, 0.0) is wanted  # type: ignore[arg-type]


def test_units_are_spread_evenly() -> None:
    """No hash leaves a bucket out, even with odd counts."""
    rng = random.Random(7)
    units = [Author(rng).pick(["user-", "ü", ""]) + str(rng.getrandbits(40)) for _ in range(4000)]
    for hash_name in sorted(HASHES):
        place = [bucket_of(Bucketing("s", hash=hash_name, of=10), unit) for unit in units]
        shares = [place.count(number) for number in range(10)]
        # Nine degrees of freedom: a fair hash exceeds 40 once in 100,000 runs; this one is fixed.
        assert sum((share - 400) ** 2 / 400 for share in shares) < 40, (hash_name, shares)
