"""Kinds, marks, caps and covariates of a plan: read, refused, frozen, and verified again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.errors import PlanError
from experiments.judging.record import verify
from experiments.replays.replay import replay
from experiments.store.base import Event
from experiments.telling.card import card_text
from stats import CovariateMoments, Moments, RatioMoments

KINDS: dict[str, dict[str, Any]] = {
    "back": {"kind": "retention", "event": "visit", "from": "2s"},
    "checkout": {"kind": "funnel", "steps": ["visit", "purchase"]},
    "slow": {"kind": "quantile", "event": "load", "quantile": 0.9},
    "very slow": {"kind": "quantile", "event": "load", "threshold": 7, "of": "units"},
    "worst": {"kind": "mean", "event": "load", "aggregation": "max"},
    "cut": {"kind": "mean", "event": "load", "cap": 5},
    "cut by the past": {"kind": "mean", "event": "load", "cap_quantile": 0.9},
    "adjusted": {"kind": "count", "event": "visit", "covariate_window": "30s"},
    "bought": {"kind": "conversion", "event": "purchase", "covariate_window": "30s"},
}


def explored(document: dict[str, Any], **changes: dict[str, Any]) -> dict[str, Any]:
    metrics = [
        {"key": key.replace(" ", "-"), "role": "explore", "window": "5s"} | fields
        for key, fields in (KINDS | changes).items()
    ]
    return document | {"metrics": [*document["metrics"], *metrics]}


def test_a_plan_with_every_kind_is_read_back_as_it_was_written(
    make_plan: Callable[..., dict[str, Any]],
) -> None:
    plan = parse_plan(explored(make_plan()) | {"most_events_per_day": 500})
    assert parse_plan(plan.to_document()) == plan
    units = {metric.key: metric.unit for metric in plan.metrics}
    assert units["slow"] == "share of load events above the past's 90 % quantile"
    assert units["very-slow"] == "share of units with load above 7"
    assert units["checkout"] == "share of units"


def test_what_is_not_said_is_not_written_so_that_old_seals_hold(
    make_plan: Callable[..., dict[str, Any]],
) -> None:
    document = parse_plan(make_plan()).to_document()
    assert "most_events_per_day" not in document
    assert set(document["metrics"][1]) == {
        *("key", "role", "kind", "event", "window", "direction", "margin")
    }
    assert plan_hash(document) == plan_hash(parse_plan(document).to_document())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "retention"}, "from"),
        ({"kind": "retention", "from": "5s"}, "from"),
        ({"from": "1s"}, "from"),
        ({"kind": "funnel"}, "steps"),
        ({"kind": "funnel", "steps": ["purchase"]}, "steps"),
        ({"kind": "funnel", "steps": ["purchase", "purchase"]}, "steps"),
        ({"kind": "funnel", "steps": ["purchase", "visit"]}, "event"),
        ({"steps": ["visit", "purchase"]}, "steps"),
        ({"kind": "quantile"}, "quantile"),
        ({"kind": "quantile", "quantile": 1}, "quantile"),
        ({"kind": "quantile", "quantile": 0.9}, "threshold"),
        ({"kind": "quantile", "quantile": 0.9, "threshold": 4}, "quantile"),
        ({"kind": "quantile", "threshold": 4, "of": "days"}, "of"),
        ({"kind": "quantile", "threshold": 4, "covariate_window": "1d"}, "covariate_window"),
        ({"threshold": 4}, "threshold"),
        ({"aggregation": "max"}, "aggregation"),
        ({"kind": "mean", "aggregation": "mean"}, "aggregation"),
        ({"kind": "mean", "aggregation": "median"}, "aggregation"),
        ({"cap": 1}, "cap"),
        ({"kind": "mean", "cap": 0}, "cap"),
        ({"kind": "mean", "cap": 5, "cap_quantile": 0.9}, "cap"),
        ({"kind": "mean", "cap_quantile": 1}, "cap_quantile"),
        ({"kind": "ratio", "denominator_event": "x", "covariate_window": "1d"}, "covariate_window"),
        ({"covariate_window": "0s"}, "covariate_window"),
        ({"covariate_window": "91d"}, "covariate_window"),
        ({"kind": "mean", "covariate_window": "1d", "covariate": "x"}, "covariate"),
        ({"rare": True, "direction": "down", "covariate_window": "1d"}, "covariate_window"),
    ],
)
def test_a_field_that_its_kind_cannot_have_is_refused_by_name(
    make_plan: Callable[..., dict[str, Any]], fields: dict[str, Any], field: str
) -> None:
    document = make_plan()
    document["metrics"][0] |= fields
    with pytest.raises(PlanError) as caught:
        parse_plan(document)
    assert caught.value.field == f"metrics[0].{field}"


def test_too_few_events_a_day_for_a_person_are_refused(
    make_plan: Callable[..., dict[str, Any]],
) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(make_plan(most_events_per_day=99))
    assert caught.value.field == "most_events_per_day"


def send(world: Any, name: str, begin: float, values: list[float], prefix: str) -> None:
    """Let units ``prefix``0-0, -1, … act one after the other within a tenth of a second."""
    world.store.append(
        [
            Event(
                id=world._id(),
                environment_id=world.environment_id(),
                time=world.at(begin + k / 10_000).timestamp(),
                unit=f"{prefix}-{k}",
                name=name,
                value=value,
            )
            for k, value in enumerate(values)
        ]
    )


PEOPLE = {"purchase": {"control": 0.4, "new": 0.4}, "visit": {"control": 0.5, "new": 0.5}}


def test_marks_are_read_from_the_past_once_and_never_from_what_came_after(
    sqlite_world: Any, make_plan: Callable[..., dict[str, Any]]
) -> None:
    world = sqlite_world
    world.run(explored(make_plan()))
    world.traffic(0, 1, 300, PEOPLE)
    # Too few have a past: nothing is frozen, and what waits for it has no data.
    send(world, "load", -1, [1.0] * 100, "u0")
    world.tick(10)
    assert "marks" not in world.looks[0].data
    assert world.looks[0].data["look"]["metrics"]["slow"]["new"]["n"] == 0
    # A past of 1 to 10; what the units do after they came is a hundred times larger.
    world.traffic(11, 12, 900, PEOPLE)
    send(world, "load", 10, [1 + k % 10 for k in range(900)], "u11")
    send(world, "load", 12.5, [1000.0] * 900, "u11")
    world.tick(20)
    marks = world.looks[1].data["marks"]
    assert marks == {
        "slow": pytest.approx(9, rel=0.005),
        "cut-by-the-past": pytest.approx(9, rel=0.005),
    }
    # Later pasts change nothing any more.
    world.traffic(21, 22, 900, PEOPLE)
    send(world, "load", 20, [500.0] * 900, "u21")
    world.tick(30)
    look = world.looks[2].data
    assert look["marks"] == marks
    cut = look["look"]["metrics"]["cut-by-the-past"]
    assert cut["new"]["s1"] / cut["new"]["n"] < marks["cut-by-the-past"]
    slow = look["look"]["metrics"]["slow"]["new"]
    assert slow["m1"] == slow["d1"] > 300
    assert "x1" in look["look"]["metrics"]["adjusted"]["new"]
    assert world.records[-1]["body"]["marks"] == marks
    assert verify(world.export()).identical


def test_a_past_that_tells_the_outcome_makes_a_conversion_certain_sooner(
    sqlite_world: Any, make_plan: Callable[..., dict[str, Any]]
) -> None:
    """The same people, once with what they bought before and once without."""
    world = sqlite_world
    document = make_plan()
    document["metrics"].append(
        document["metrics"][0] | {"key": "adjusted", "role": "explore", "covariate_window": "30s"}
    )
    del document["metrics"][-1]["mde"]
    world.run(document)
    world.traffic(0, 1, 600, {})
    buys = [1.0] * 300
    send(world, "purchase", -1, buys, "u0")
    send(world, "purchase", 2, buys, "u0")
    world.tick(10)
    sums = world.looks[0].data["look"]["metrics"]
    plain, adjusted = sums["purchase"]["new"], sums["adjusted"]["new"]
    assert {name: adjusted[name] for name in plain} == plain
    assert adjusted["xy"] == adjusted["x1"] == plain["s1"] > 100
    assert verify(world.export()).identical


def test_a_card_says_how_many_act_too_often_for_people(
    sqlite_world: Any, make_plan: Callable[..., dict[str, Any]]
) -> None:
    world = sqlite_world
    world.run(make_plan(most_events_per_day=100))
    world.traffic(0, 1, 600, PEOPLE)
    for k in range(120):
        send(world, "purchase", 1 + k / 100, [1.0, 1.0], "u0")
    world.tick(10)
    look = world.looks[0].data
    assert look["quality"]["bots"] == 2
    assert sum(look["look"]["counts"].values()) == 598
    shown = " ".join(card_text(world.card(11)).split())
    assert "2 act too often for people and count nowhere" in shown


PLAN = """
key = "button"
control = "a"
treatments = ["b"]
hypothesis = "It helps."
customer = "c@example.org"
owner = "o@example.org"
prove_by = "30d"
[[metrics]]
key = "y"
role = "success"
mde = 0.1
{fields}
[replay.exposures]
unit = "unit"
variant = "variant"
time = "time"
[replay.outcomes]
unit = "unit"
{outcomes}
"""
LONG = 'event = "event"\ntime = "time"\nvalue = "value"'


def replayed(folder: Path, fields: str, outcomes: str, rows: str) -> Any:
    units = [f"u{k},{'ab'[k % 2]},{k}" for k in range(40)]
    (folder / "e.csv").write_text("unit,variant,time\n" + "\n".join(units) + "\n")
    (folder / "o.csv").write_text(rows)
    plan = PLAN.format(fields=fields, outcomes=outcomes)
    result = replay(folder / "e.csv", folder / "o.csv", plan)
    return result.looks[-1].look["metrics"]["y"]["a"]


DAY = 86_400
EVENTS = "unit,event,time,value\n" + "".join(
    f"u{k},y,{k + day * DAY},{value}\n"
    for k in range(0, 40, 2)
    for day, value in ((0.5, 3), (1.5 if k < 20 else 4, 9))
)


@pytest.mark.parametrize(
    ("fields", "mean"),
    [
        ('kind = "retention"\nwindow = "3d"\nfrom = "1d"', 0.5),
        ('kind = "mean"\nwindow = "3d"', 7.5),
        ('kind = "mean"\nwindow = "3d"\ncap = 5', 4.0),
        ('kind = "mean"\nwindow = "3d"\naggregation = "max"', 6.0),
        ('kind = "count"\nwindow = "3d"\ncap = 1', 1.0),
    ],
)
def test_a_replay_of_events_reads_the_kinds_as_the_monitor_does(
    tmp_path: Path, fields: str, mean: float
) -> None:
    sums = replayed(tmp_path, fields, LONG, EVENTS)
    assert sums["s1"] / sums["n"] == mean


def test_a_replay_takes_a_funnel_from_a_column(tmp_path: Path) -> None:
    rows = "unit,y\n" + "".join(f"u{k},{int(k % 4 == 0)}\n" for k in range(40))
    sums = replayed(tmp_path, 'kind = "funnel"\nsteps = ["v", "y"]', "", rows)
    assert sums["s1"] / sums["n"] == 0.5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ('kind = "quantile"\nthreshold = 3', "kind"),
        ('kind = "mean"\ncap_quantile = 0.9', "cap_quantile"),
        ('kind = "mean"\ncovariate_window = "1d"', "covariate_window"),
        ('kind = "funnel"\nsteps = ["v", "y"]', "kind"),
    ],
)
def test_a_replay_refuses_what_no_file_tells(tmp_path: Path, fields: str, field: str) -> None:
    with pytest.raises(PlanError) as caught:
        replayed(tmp_path, fields, LONG, EVENTS)
    assert caught.value.field == f"metrics[0].{field}"
    assert caught.value.hint


def test_sums_have_the_type_that_decides() -> None:
    from experiments.measuring.aggregate import Analysis, AnalysisQuery, MetricDefinition
    from experiments.measuring.measure import typed_sums

    metrics = (
        MetricDefinition("a", "funnel", "e", 1.0, steps=("d", "e")),
        MetricDefinition("b", "quantile", "e", 1.0, threshold=1.0),
        MetricDefinition("c", "count", "e", 1.0, covariate_seconds=1.0),
    )
    query = AnalysisQuery(1, "f", None, ("x",), 0.0, 9.0, None, metrics)
    sums = {
        "a": (2.0, 1.0, 1.0, 1.0),
        "b": (2.0, *[1.0] * 9),
        "c": (2.0, *[1.0] * 9),
    }
    found = typed_sums(query, Analysis({}, 0, {k: {"x": v} for k, v in sums.items()}, None, {}))
    assert [type(found[key]["x"]) for key in "abc"] == [Moments, RatioMoments, CovariateMoments]
