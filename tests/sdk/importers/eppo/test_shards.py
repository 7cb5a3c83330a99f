"""Shards take the buckets that Eppo takes."""

from __future__ import annotations

import hashlib

from flagstone.engine import compile_flag_set, evaluate, parse_flag_set
from tests.sdk.importers.eppo.building import (
    DEFAULT,
    NOW,
    allocation,
    flag,
    imported,
    rules,
    served,
    shard,
)


def shard_of(salt: str, key: str, of: int = 10000) -> int:
    return int(hashlib.md5(f"{salt}-{key}".encode()).hexdigest()[:8], 16) % of


def test_a_split_needs_all_its_shards() -> None:
    both = [shard("one", (0, 5000)), shard("two", (5000, 10000))]
    given = flag(allocation(splits=[{"variationKey": "on", "shards": both}]))
    compiled = compile_flag_set(parse_flag_set(imported(given).flag_set(), strict=True))
    seen = set()
    for n in range(400):
        key = f"s{n}"
        inside = shard_of("one", key) < 5000 and shard_of("two", key) >= 5000
        variant = evaluate(compiled, "f", {"targetingKey": key}, NOW).variant
        assert variant == ("on" if inside else DEFAULT)
        seen.add(inside)
    assert seen == {True, False}


def test_the_first_matching_split_wins_and_else_the_next_allocation() -> None:
    given = flag(
        allocation(
            "a",
            splits=[
                {"variationKey": "off", "shards": [shard("s", (0, 2000))]},
                {"variationKey": "third", "shards": [shard("s", (1000, 4000))]},
            ],
        ),
        allocation("b"),
    )
    compiled = compile_flag_set(parse_flag_set(imported(given).flag_set(), strict=True))
    for n in range(400):
        place = shard_of("s", f"s{n}")
        wanted = "off" if place < 2000 else "third" if place < 4000 else "on"
        assert evaluate(compiled, "f", {"targetingKey": f"s{n}"}, NOW).variant == wanted


def test_splits_of_one_salt_become_one_rule_with_a_split() -> None:
    exposed = shard("traffic", (0, 6000))
    splits = [
        {"variationKey": name, "shards": [exposed, shard("split", pair)]}
        for name, pair in (("on", (0, 3333)), ("off", (3333, 10000)))
    ]
    (rule,) = rules(flag(allocation("experiment", splits=splits)))
    assert rule == {
        "id": "experiment",
        "track": True,
        "when": {"bucket": {"hash": "eppo", "salt": "traffic", "of": 10000, "ranges": [[0, 6000]]}},
        "serve": {
            "split": {
                "hash": "eppo",
                "salt": "split",
                "of": 10000,
                "to": [
                    {"variant": "on", "ranges": [[0, 3333]]},
                    {"variant": "off", "ranges": [[3333, 10000]]},
                ],
            }
        },
    }


def test_other_splits_become_a_rule_each_with_a_name_of_its_own() -> None:
    splits = [
        {"variationKey": "on", "shards": [shard("one", (0, 10))]},
        {"variationKey": "off", "shards": [shard("two", (0, 10))]},
    ]
    given = flag(allocation("a", splits=splits), allocation("a"), allocation("a 2"), allocation(""))
    assert [rule["id"] for rule in rules(given)] == ["a", "a 3", "a 4", "a 2", "allocation"]


def test_a_shard_for_everybody_asks_for_no_subject() -> None:
    given = flag(allocation(splits=[{"variationKey": "on", "shards": [shard("s", (0, 10000))]}]))
    assert rules(given)[0]["when"] is True
    assert rules(given)[0]["serve"] == "on"


def test_ranges_past_the_end_or_empty_are_cut() -> None:
    ranges = ((9000, 20000), (5, 5), (7, 3), (20000, 30000))
    given = flag(allocation(splits=[{"variationKey": "on", "shards": [shard("s", *ranges)]}]))
    assert rules(given)[0]["serve"]["split"]["to"] == [{"variant": "on", "ranges": [[9000, 10000]]}]
    nobody = flag(allocation(splits=[{"variationKey": "on", "shards": [shard("s")]}]))
    assert rules(nobody) == []


def test_an_empty_salt_is_one() -> None:
    place = shard_of("", "subject")
    splits = [{"variationKey": "on", "shards": [shard("", (place, place + 1))]}]
    assert served(flag(allocation(splits=splits))) == "on"


def test_an_empty_key_is_a_subject_and_none_is_not() -> None:
    place = shard_of("s", "")
    splits = [{"variationKey": "on", "shards": [shard("s", (place, place + 1))]}]
    given = flag(allocation(splits=splits))
    assert (served(given, targetingKey=""), served(given, targetingKey=None)) == ("on", DEFAULT)
