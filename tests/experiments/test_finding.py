"""Experiments are found by place, by what they ask of people, and by words, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from experiments.models import Experiment
from experiments.people.finding import (
    GROUPS,
    Wanted,
    count_groups,
    find_experiments,
    watched_on,
)

STANDING = {
    "waits": ("RUNNING", "VALUE_PROVEN", None),
    "held": ("HELD", None, None),
    "asked": ("ROLLED_BACK", "FUTILE", {"do": "ship"}),
    "tidy": ("CLEANUP", "CONFIRMED", None),
    "runs": ("RUNNING", "CONTINUE", None),
    "ships": ("VERIFYING", "VALUE_PROVEN", None),
    "draft": ("DRAFT", None, None),
    "gone": ("ROLLED_BACK", "HARM", None),
    "closed": ("CLOSED", "CONFIRMED", None),
}


@pytest.fixture
def many(world: Any, make_plan: Callable[..., Any]) -> Any:
    for key, (state, verdict, request) in STANDING.items():
        world.create(make_plan(key=key, hypothesis=f"What {key} does, 100 % of it."))
        with world.database.write() as session:
            (found,) = find_experiments(session, "shop", Wanted(key=key))
            found.state, found.verdict, found.request = state, verdict, request
            session.add(found)
    return world


def keys(found: list[Experiment]) -> list[str]:
    return [each.key for each in found]


def test_every_experiment_is_in_one_group(many: Any) -> None:
    expected = {
        "waiting": ["tidy", "asked", "held", "waits"],
        "running": ["ships", "runs"],
        "planned": ["draft"],
        "ended": ["closed", "gone"],
    }
    with many.database.read() as session:
        for group in GROUPS:
            found = find_experiments(session, "shop", Wanted("production", group=group))
            assert keys(found) == expected[group]
        assert count_groups(session, "shop", Wanted()) == {
            group: len(names) for group, names in expected.items()
        }
        assert sum(count_groups(session, "shop", Wanted("staging")).values()) == 0


def test_a_page_goes_on_where_the_last_one_ended(many: Any) -> None:
    seen: list[str] = []
    before = None
    with many.database.read() as session:
        while page := find_experiments(session, "shop", before_id=before, limit=4):
            seen += keys(page)
            before = page[-1].id
    assert seen == list(reversed(STANDING))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("SHIPS", ["ships"]),
        ("what HELD does", ["held"]),
        ("100 %", list(reversed(STANDING))),
        ("1_0", []),
        ("customer@example.org tidy", ["tidy"]),
        ("nothing-such", []),
    ],
)
def test_words_are_looked_for_in_what_people_know_of_it(
    many: Any, words: str, found: list[str]
) -> None:
    with many.database.read() as session:
        assert keys(find_experiments(session, "shop", Wanted(words=words))) == found


def test_releases_are_told_from_experiments(many: Any) -> None:
    with many.database.read() as session:
        assert find_experiments(session, "shop", Wanted(releases=True)) == []
        assert len(find_experiments(session, "shop", Wanted(releases=False))) == len(STANDING)


def test_what_a_flag_carries_is_what_runs_or_ships_on_it(many: Any) -> None:
    with many.database.read() as session:
        (flag,) = {each.flag_key for each in find_experiments(session, "shop")}
        carried = watched_on(session, "shop", "production", [flag])
        assert carried[flag].key == "waits"
        assert watched_on(session, "shop", "production", ["other"]) == {}
        assert watched_on(session, "shop", "staging", [flag]) == {}
