"""Where Eppo's SDK gives the caller's default."""

from __future__ import annotations

import datetime as dt

from tests.sdk.importers.eppo.building import (
    DEFAULT,
    NOW,
    allocation,
    condition,
    flag,
    imported,
    rules,
    served,
)


def test_a_disabled_flag_gives_it() -> None:
    assert served(flag(allocation(), enabled=False)) is DEFAULT


def test_whoever_gets_a_variation_of_the_wrong_type_gets_it_and_nothing_after() -> None:
    given = flag(
        allocation(
            "a", condition("x", "ONE_OF", ["1"]), splits=[{"variationKey": "no", "shards": []}]
        ),
        allocation("b"),
        variations={"on": {"key": "on", "value": "on"}, "no": {"key": "no", "value": 5}},
    )
    assert (served(given, x=1), served(given)) == (DEFAULT, "on")
    assert set(imported(given).flags["f"]["variants"]) == {"on"}


def test_so_it_is_while_that_allocation_is_in_force() -> None:
    wrong = [{"variationKey": "nowhere", "shards": []}]
    day = dt.timedelta(days=1)
    given = flag(
        allocation(
            "a",
            condition("x", "ONE_OF", ["1"]),
            splits=wrong,
            startAt="2026-06-01T00:00:00Z",
            endAt="2026-06-02T00:00:00Z",
        ),
        allocation("b", endAt="2026-06-05T00:00:00Z"),
    )
    for days, variant in ((-1, "on"), (0, DEFAULT), (1, "on"), (5, DEFAULT)):
        assert served(given, now=NOW + days * day, x=1) == variant
    assert served(given) == "on"


def test_many_such_windows_cost_no_more_than_their_number() -> None:
    wrong = [{"variationKey": "nowhere", "shards": []}]
    windows = [
        allocation(
            f"w{n}",
            condition("x", "ONE_OF", [str(n)]),
            splits=wrong,
            startAt=f"2026-01-{n:02}T00:00:00Z",
            endAt=f"2026-02-{n:02}T00:00:00Z",
        )
        for n in range(1, 15)
    ]
    assert len(rules(flag(*windows, allocation("last")))) <= 29


def test_a_flag_without_a_usable_variation_still_answers_so() -> None:
    result = imported(flag(variations={}))
    assert result.flags["f"]["variants"] == {"none": {"value": "", "on": False}}
    assert "'none', which nobody gets" in result.lossy[0].reason
    assert served(flag(allocation(), variations={})) is DEFAULT
