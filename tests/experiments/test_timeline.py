"""The timeline tells everything that happened, and says nothing twice."""

from __future__ import annotations

from typing import Any

from experiments.telling.timeline import timeline
from tests.experiments.conftest import plan_document

SAME = {"purchase": {"control": 0.2, "new": 0.205}, "error": {"control": 0.1, "new": 0.1}}
BETTER = {"purchase": {"control": 0.2, "new": 0.35}, "error": {"control": 0.1, "new": 0.1}}


def test_looks_without_news_are_one_entry_and_no_record_is_lost(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run(plan_document(prove_by="200s"))
    for second in range(0, 60, 10):
        world.traffic(second, second + 10, 100, SAME)
        world.tick(second + 10)
    entries = timeline(world.records)
    assert [(each.numbers, each.kind) for each in entries] == [
        ("1", "seal"),
        ("2", "start"),
        ("3–8", "look"),
    ]
    assert entries[-1].words == "6 looks: nothing new was decided."
    assert entries[-1].hash == world.records[-1]["hash"]
    assert (entries[-1].begun, entries[-1].ended) == (world.at(10), world.at(60))
    assert entries[0].words == world.records[0]["sentence"]


def test_a_look_that_decides_stands_alone(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    for second in range(0, 40, 10):
        world.traffic(second, second + 10, 2000, BETTER)
        world.tick(second + 10)
    entries = timeline(world.records)
    assert [each.numbers for each in entries] == ["1", "2", "3–4", "5", "6"]
    assert "purchase rose by" in entries[3].words


def test_an_alarm_is_news(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.tick(10)
    world.traffic(10, 20, 100, SAME)
    world.tick(20)
    entries = timeline(world.records)
    assert "no fresh events" in entries[2].words
    assert entries[2].numbers == "3"
    assert timeline([]) == ()
