"""Segments: the sums of each are those of its own units, and little of what is said is false."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.analysis.days import day_query
from experiments.analysis.segments import MOST_VALUES, SegmentSums
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.errors import PlanError
from experiments.judging.record import verify
from experiments.measuring import exploring
from experiments.measuring.aggregate import AnalysisQuery, by_day, by_segment
from experiments.measuring.exploring import novelty_document, segments_document
from experiments.measuring.measure import query_of
from experiments.models import Look
from experiments.people.results import read_results, results_document, segments_csv
from experiments.store.base import Event, attributes_text
from experiments.store.opening import open_store
from experiments.store.promises import EventStore
from experiments.telling.explored import COLUMNS, explored
from tests.experiments.conftest import plan_document
from tests.experiments.test_aggregate import ARMS, METRICS, START, query, reference

BETTER = {"purchase": {"control": 0.2, "new": 0.3}, "error": {"control": 0.1, "new": 0.1}}
SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
SEGMENTS = plan_document(segments=["country", "plan"])
ODD = "a.b\"[0] '\\ü"
DE, FR = '{"country":"DE","plan":"pro"}', '{"country":"FR","plan":"pro"}'


# -- the plan -----------------------------------------------------------------------------------


def test_a_plan_names_what_results_are_also_shown_by() -> None:
    plan = parse_plan(SEGMENTS)
    assert plan.segments == ("country", "plan")
    assert parse_plan(plan.to_document()) == plan
    assert "segments" not in parse_plan(plan_document()).to_document()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("country", "segments"),
        ([1], "segments"),
        (list("abcdef"), "segments"),
        (["country", "country"], "segments[1]"),
        (["country", ""], "segments[1]"),
        (["n" * 65], "segments[0]"),
        (["a\0b"], "segments[0]"),
        (["ok", "$.a"], "segments[1]"),
    ],
)
def test_segments_that_cannot_be_are_refused(given: object, field: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(plan_document(segments=given))
    assert caught.value.field == field


# -- the sums -----------------------------------------------------------------------------------


def make_events() -> list[Event]:
    """Give 500 units of 25 countries, some of which say something else later, or nothing."""
    rng = random.Random(5)
    events = []

    def add(**values: Any) -> None:
        events.append(Event(uuid.UUID(int=len(events) + 1).bytes, 1, **values))

    for number in range(500):
        unit, arm = f"u{number}", rng.choice(ARMS)
        at = START + rng.uniform(0, 160)
        said = {"country": f"C{int(rng.random() ** 2 * 25):02}", ODD: rng.choice(["", "p'r\"o"])}
        told = attributes_text({k: v for k, v in said.items() if v}) if number % 10 else None
        met = {"flag": "checkout", "rule": "exp-42", "revision": 1}
        # Somebody who moved, or says it late, stays where the first exposure was.
        add(time=at + 5, unit=unit, variant=arm, attributes='{"country":"later"}', **met)
        add(time=at, unit=unit, variant=arm, attributes=told, **met)
        if number % 17 == 0:
            add(time=at + 1, unit=unit, variant="third", **met)
        for _ in range(rng.randrange(8)):
            name, value = rng.choice(["buy", "view"]), rng.choice([None, rng.gauss(20, 10)])
            add(time=at + rng.uniform(-5, 70), unit=unit, name=name, value=value)
    return events


def said_first(events: list[Event], attribute: str) -> dict[str, str | None]:
    first: dict[str, Event] = {}
    for event in events:
        if event.flag and (event.unit not in first or event.time < first[event.unit].time):
            first[event.unit] = event
    return {u: json.loads(e.attributes or "{}").get(attribute) for u, e in first.items()}


@pytest.fixture(params=["folder", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    postgresql = request.param == "postgresql"
    opened = open_store(request.getfixturevalue("postgresql_url") if postgresql else tmp_path / "e")
    events = make_events()
    opened.append(events[: len(events) // 2])
    opened.drain(START)
    opened.append(events[len(events) // 2 :])
    yield opened, events
    opened.close()


def test_the_sums_of_a_segment_are_those_of_its_units_alone(
    filled: tuple[EventStore, list[Event]],
) -> None:
    store, events = filled
    q = query(metrics=METRICS)
    found = by_segment(store, q, ("country", ODD, "unheard"))
    everyone = reference(events, q)
    for attribute in ("country", ODD, "unheard"):
        said = said_first(events, attribute)
        here = [segment for segment in found if segment.attribute == attribute]
        total: Counter[str] = Counter()
        named = {segment.value for segment in here if segment.what == "value"}
        for segment in here:
            units = {
                unit
                for unit, text in said.items()
                if (text == segment.value if segment.what == "value" else text not in named)
                and (segment.what == "not said") == (text is None)
            }
            alone = reference([e for e in events if e.unit in units], q)
            assert segment.counts == alone.counts
            for key, arms in alone.moments.items():
                for arm, sums in arms.items():
                    assert segment.moments[key][arm] == pytest.approx(sums, rel=1e-9), (key, arm)
            total.update(segment.counts)
        assert total == everyone.counts
    countries = [segment for segment in found if segment.attribute == "country"]
    assert [segment.what for segment in countries] == ["value"] * MOST_VALUES + [
        "other",
        "not said",
    ]
    sizes = [sum(segment.counts.values()) for segment in countries[:MOST_VALUES]]
    assert sizes == sorted(sizes, reverse=True)
    told = {segment.value for segment in countries[:MOST_VALUES]}
    for value in {*said_first(events, "country").values()} - told - {None}:
        units = {unit for unit, text in said_first(events, "country").items() if text == value}
        alone = reference([e for e in events if e.unit in units], query(metrics=()))
        assert sum(alone.counts.values()) <= sizes[-1]
    assert [(s.what, s.value) for s in found if s.attribute == "unheard"] == [("not said", None)]
    assert "later" not in {segment.value for segment in found}


def test_a_day_of_experience_holds_what_its_units_did_on_the_last_day(
    filled: tuple[EventStore, list[Event]],
) -> None:
    store, events = filled
    day = 20.0
    q = day_query(query(), ("orders", "revenue", "converted"), day)
    found = by_day(store, q, day)
    met: dict[str, set[str]] = {}
    entered: dict[str, float] = {}
    for event in events:
        if event.flag and event.time <= q.look_at:
            met.setdefault(event.unit, set()).add(str(event.variant))
            entered[event.unit] = min(event.time, entered.get(event.unit, math.inf))
    values: dict[tuple[int, str, str], list[float]] = {}
    for unit, variants in met.items():
        age = int((q.look_at - entered[unit]) // day)
        if len(variants) > 1 or age < 1 or entered[unit] > (q.enrol_until or math.inf):
            continue
        done = [
            e
            for e in events
            if (e.unit, e.name) == (unit, "buy")
            and max(entered[unit], q.look_at - day) <= e.time <= q.look_at
        ]
        worth = math.fsum(e.value or 0.0 for e in done)
        for key, value in (
            ("orders", float(len(done))),
            ("revenue", worth),
            ("converted", float(bool(done))),
        ):
            values.setdefault((age, key, *variants), []).append(value)
    counted = {
        (age, key, arm): sums
        for age, metrics in found.items()
        for key, arms in metrics.items()
        for arm, sums in arms.items()
    }
    assert counted.keys() == values.keys()
    assert len(found) >= 6
    for place, its in values.items():
        expected = (len(its), *(math.fsum(y**k for y in its) for k in (1, 2, 3)))
        assert counted[place] == pytest.approx(expected, rel=1e-9), place


# -- what is said of them -----------------------------------------------------------------------


def parsed(**changes: Any) -> tuple[Plan, AnalysisQuery]:
    plan = parse_plan(SEGMENTS | changes)
    return plan, query_of(plan, environment_id=1, start=0.0, offset=100.0)


def segment(value: str, shares: dict[str, tuple[float, float]], attribute: str = "country") -> Any:
    """Give a segment by units and conversions per arm, of both metrics alike."""
    moments = {arm: (n, x, x, x) for arm, (n, x) in shares.items()}
    counts = {arm: int(n) for arm, (n, _) in shares.items()}
    return SegmentSums(attribute, "value", value, counts, {"purchase": moments, "errors": moments})


def world_of(rng: np.random.Generator, lifts: dict[str, float], units: int) -> list[SegmentSums]:
    return [
        segment(
            value,
            {
                "control": (units, int(rng.binomial(units, 0.1))),
                "new": (units, int(rng.binomial(units, 0.1 * (1 + lift)))),
            },
        )
        for value, lift in lifts.items()
    ]


def test_a_segment_that_truly_differs_is_found_and_named() -> None:
    plan, q = parsed()
    rng = np.random.default_rng(1)
    lifts = dict.fromkeys("ABCDE", 0.0) | {"C": 0.5}
    found = segments_document(plan, q, world_of(rng, lifts, 5000), 1.0)
    reported = {(c["value"], c["metric"]) for c in found["cells"] if c["reported"]}
    assert reported == {("C", "purchase"), ("C", "errors")}
    assert all(each["reported"] for each in found["differences"])
    assert {each["segments"] for each in found["differences"]} == {5}


def test_where_no_segment_differs_hardly_anything_is_ever_said() -> None:
    """In 200 experiments of two looks, ten cells each; all of them share one seed."""
    plan, q = parsed()
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(200):
        first = world_of(rng, dict.fromkeys("ABCDE", 0.0), 400)
        early = segments_document(plan, q, first, 0.5)
        late = segments_document(plan, q, world_of(rng, dict.fromkeys("ABCDE", 0.0), 800), 1, early)
        wrong += any(c["reported"] for found in (early, late) for c in found["cells"])
    assert wrong <= 0.05 * 200


def test_a_cell_keeps_the_sharpness_of_its_first_reading() -> None:
    plan, q = parsed()
    rng = np.random.default_rng(3)
    early = segments_document(plan, q, world_of(rng, {"A": 0.0}, 500), 0.25)
    late = segments_document(plan, q, world_of(rng, {"A": 0.0, "B": 0.0}, 2000), 1.0, early)
    precisions = [(c["value"], c["metric"], c["precision"]) for c in late["cells"]]
    assert precisions[:2] == [
        ("A", metric["metric"], metric["precision"]) for metric in early["cells"]
    ]
    assert precisions[2][2] != precisions[0][2]


def test_cells_of_less_than_a_hundred_units_are_not_computed() -> None:
    plan, q = parsed()
    small = segment("DE", {"control": (99.0, 10.0), "new": (5000.0, 500.0)})
    found = segments_document(plan, q, [small], 1.0)
    assert (found["cells"], found["too_few"], found["differences"]) == ([], 2, [])


def test_a_cell_in_which_hardly_anything_happened_says_nothing() -> None:
    plan, q = parsed()
    rare = segment("DE", {"control": (5000.0, 0.0), "new": (5000.0, 4.0)})
    found = segments_document(plan, q, [rare], 1.0)
    assert [(c["estimate"], c["log_e"], c["reported"]) for c in found["cells"]] == [
        (None, None, False)
    ] * 2


def days_of(rng: np.random.Generator, lifts: list[float]) -> Any:
    """Give 3,000 units per arm and day whose sales of the last day follow a lift."""
    found = {}
    for day, lift in enumerate(lifts, 1):
        arms = {}
        for arm, mean in (("control", 2.0), ("new", 2.0 * (1 + lift))):
            y = rng.poisson(mean, 3000).astype(float)
            arms[arm] = (3000.0, *(float((y**k).sum()) for k in (1, 2, 3)))
        found[day] = {"purchase": arms}
    return found


@pytest.mark.parametrize(
    ("lifts", "course"),
    [
        (np.linspace(0.3, 0.0, 12), "fading"),
        (np.linspace(0.0, 0.3, 12), "growing"),
        (np.linspace(-0.02, -0.3, 12), "growing"),
        (np.full(12, 0.1), "steady"),
    ],
)
def test_an_effect_that_fades_is_told_from_one_that_stays(lifts: Any, course: str) -> None:
    plan, q = parsed()
    asked = day_query(q, ("purchase",), 10.0)
    (found,) = novelty_document(plan, asked, days_of(np.random.default_rng(4), list(lifts)))
    assert found["course"] == course
    assert found["days"] == sorted(found["days"])
    assert 4 <= len(found["days"]) <= 8
    assert found["first"] == pytest.approx(math.log(1 + lifts[0]), abs=0.06)


def test_a_few_days_or_hardly_any_event_make_no_trend() -> None:
    plan, q = parsed()
    asked = day_query(q, ("purchase",), 10.0)
    rng = np.random.default_rng(4)
    assert novelty_document(plan, asked, days_of(rng, [0.1] * 3)) == []
    empty = {
        day: {"purchase": {"control": (3000.0, 4.0, 4.0, 4.0), "new": (3000.0, 6.0, 6.0, 6.0)}}
        for day in range(1, 12)
    }
    assert novelty_document(plan, asked, empty) == []


# -- in the monitor -----------------------------------------------------------------------------


def test_a_look_that_may_ship_also_reads_segments_and_its_record_does_not(world: Any) -> None:
    world.run(SEGMENTS)
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 1500, BETTER, "d", DE)
        world.traffic(second, second + 10, 1500, SAME, "f", FR)
        world.tick(second + 10)
    assert [set(look.data) & {"segments", "novelty"} for look in world.looks] == [
        set(),
        set(),
        {"segments"},
    ]
    found = world.looks[-1].data["segments"]
    assert [(s["attribute"], s["value"]) for s in found["segments"]] == [
        ("country", "DE"),
        ("country", "FR"),
        ("plan", "pro"),
    ] or [s["value"] for s in found["segments"]] == ["FR", "DE", "pro"]
    reported = {(c["attribute"], c["value"]) for c in found["cells"] if c["reported"]}
    assert ("country", "DE") in reported
    assert ("country", "FR") not in reported
    assert ("country", "purchase") in {
        (each["attribute"], each["metric"]) for each in found["differences"] if each["reported"]
    }
    assert "cells" not in json.dumps(world.export())
    assert verify(world.export()).identical


def test_segments_that_cannot_be_read_do_not_keep_a_look_waiting(
    sqlite_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object) -> None:
        raise RuntimeError("the warehouse is away")

    monkeypatch.setattr(exploring, "by_segment", fails)
    world = sqlite_world
    world.run(SEGMENTS)
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER, attributes=DE)
        assert world.tick(second + 10).errors == ()
    assert world.looks[-1].data["unexplored"] == "RuntimeError: the warehouse is away"
    assert world.experiment.verdict == "VALUE_PROVEN"


# -- for people and programs --------------------------------------------------------------------


def test_what_was_found_is_told_in_words_rows_and_tables(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run(SEGMENTS)
    for second in range(0, 60, 10):
        world.traffic(second, second + 10, 900, BETTER, "d", DE)
        world.traffic(second, second + 10, 900, SAME, "f", FR)
        world.traffic(second, second + 10, 20, SAME, "s", '{"country":"SE"}')
        world.tick(second + 10)
        with world.database.read() as session:
            found = read_results(session, world.experiment, now=world.at(second + 10))
        if second < 20:
            assert results_document(found)["segments"] == []
            assert segments_csv(found) == ",".join(COLUMNS) + "\r\n"
    plan, looks = found.plan, found.looks
    told = explored(plan, looks)
    country, pro = told.tables
    assert (country.attribute, pro.attribute) == ("country", "plan")
    row, effect, evidence = country.rows[0]
    assert (row.label, row.metric, row.reported) == ("DE", "purchase", True)
    assert "points, between" in effect
    assert float(evidence.replace("over a million", "1e6")) > 20
    assert [each[0].reported for each in country.rows[1:]] == [False] * 3
    assert any("purchase, new: the 2 segments differ" in line for line in country.differences)
    assert "at most 5 % are expected to be false" in told.sentence
    assert "left out" in told.sentence
    document = results_document(found)
    rows = list(csv.DictReader(io.StringIO(segments_csv(found), newline="")))
    assert len(rows) == len(document["segments"])
    assert {int(each["look"]) for each in rows} == {3, 4, 5, 6}
    assert [each["value"] for each in rows[-3:]] == [e["value"] for e in document["segments"][-3:]]
    whole = looks[-1].data["look"]["metrics"]["purchase"]["new"]["n"]
    parts = [
        each["sums"][0]
        for each in document["segment_sums"]
        if (each["look"], each["attribute"], each["metric"], each["arm"])
        == (looks[-1].number, "country", "purchase", "new")
    ]
    assert sum(parts) == whole
    # Where effects are hidden, these are.
    hidden = replace(found, card=replace(found.card, worth_hidden="Invalid."))
    assert results_document(hidden)["segments"] == []
    assert results_document(hidden)["novelty"] == []
    assert segments_csv(hidden) == ",".join(COLUMNS) + "\r\n"


def test_a_fading_effect_is_a_badge_with_its_reason_and_a_steady_one_is_none() -> None:
    plan, q = parsed()
    asked = day_query(q, ("purchase",), 10.0)
    for lifts, words in ((np.linspace(0.3, 0.0, 12), ["effect fading"]), (np.full(12, 0.1), [])):
        trends = novelty_document(plan, asked, days_of(np.random.default_rng(4), list(lifts)))
        look = Look(experiment_id=1, number=3, data={"novelty": trends}, decision={})
        told = explored(plan, [look])
        assert [trend.word for trend in told.trends] == words
        assert all("decides nothing" in trend.sentence for trend in told.trends)
        assert told.tables == ()
