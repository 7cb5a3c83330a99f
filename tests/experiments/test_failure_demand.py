"""Demand classes of events, and the ratio that guards every experiment by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from experiments.catalogue import demand
from experiments.catalogue import services as catalogue
from experiments.catalogue.completing import newer_versions
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.errors import PlanError
from experiments.judging.record import verify
from experiments.measuring.today import Today
from experiments.people import services
from experiments.planning.forecast import forecast
from experiments.planning.forecast_words import NO_DATA
from flags.actor import Actor
from flags.errors import InvalidInputError, StateError, VersionConflictError
from stats import RatioMoments

ANN = Actor("user", "ann@example.org")
GUARDRAIL: dict[str, Any] = {"role": "guardrail", "margin": 0.02}


def classify(world: Any, *, expected: int | None = None, **classes: str) -> None:
    with world.database.write() as session:
        for name, found in classes.items():
            demand.set_event_type(
                session,
                "shop",
                name,
                found,
                expected_version=expected,
                actor=ANN,
                now=world.at(0),
            )


def built_in(world: Any) -> Any:
    with world.database.read() as session:
        return catalogue.get_metric(session, "shop", "failure-demand")


def guard_of(world: Any) -> dict[str, Any] | None:
    found = [m for m in world.experiment.plan["metrics"] if m["key"] == "failure-demand"]
    return found[0] if found else None


def test_an_event_is_classified_described_and_classified_anew(world: Any) -> None:
    classify(world, refund="failure")
    with world.database.write() as session:
        row, new = demand.set_event_type(
            session, "shop", "refund", "failure", description=" Money back. ", actor=ANN,
            now=world.at(1), expected_version=1,
        )  # fmt: skip
        assert (row.description, row.version, new) == ("Money back.", 2, False)
    classify(world, refund="neutral", expected=2)
    with world.database.read() as session:
        (row,) = demand.list_event_types(session, "shop")
    assert (row.demand, row.description, row.version) == ("neutral", "Money back.", 3)
    with pytest.raises(VersionConflictError):
        classify(world, refund="value", expected=2)


@pytest.mark.parametrize(
    ("name", "found", "field"), [("refund", "bad", "demand"), (" ", "value", "name")]
)
def test_what_is_no_event_or_no_class_is_refused(
    sqlite_world: Any, name: str, found: str, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        classify(sqlite_world, **{name: found})
    assert caught.value.field == field


def test_the_metric_exists_once_there_is_value_and_failure(world: Any, make_plan: Any) -> None:
    classify(world, ticket="failure")
    world.create(make_plan())
    assert guard_of(world) is None
    classify(world, purchase="value", visit="neutral")
    row = built_in(world)
    assert (row.definition["event"], row.definition["denominator_event"]) == (
        "ticket",
        ["purchase", "ticket"],
    )
    classify(world, refund="failure")
    assert built_in(world).definition["event"] == ["refund", "ticket"]
    assert built_in(world).version == 2
    classify(world, refund="neutral", ticket="neutral")
    assert built_in(world).archived
    classify(world, ticket="failure")
    assert not built_in(world).archived
    with pytest.raises(StateError, match="built in"), world.database.write() as session:
        catalogue.set_archived(
            session, "shop", "failure-demand", archived=True, actor=ANN, now=world.at(0)
        )


def test_it_guards_every_plan_by_itself_and_the_seal_shows_it(world: Any, make_plan: Any) -> None:
    classify(world, purchase="value", ticket="failure", refund="failure")
    world.create(make_plan())
    guard = {
        "key": "failure-demand",
        "role": "safety",
        "kind": "ratio",
        "event": ["refund", "ticket"],
        "numerator": "count",
        "denominator_event": ["purchase", "refund", "ticket"],
        "denominator": "count",
        # The longest of the plan's own: enrolment ends no earlier for it.
        "window": "5s",
        "direction": "down",
        "metric": "failure-demand",
        "metric_version": 2,
    }
    assert guard_of(world) == guard
    world.do(services.seal)
    classify(world, crash="failure")
    sealed = world.experiment
    assert guard_of(world) == guard
    assert sealed.plan_hash == plan_hash(parse_plan(sealed.plan).to_document())
    assert parse_plan(sealed.plan).metric("failure-demand").unit == "failures per demand"


def test_a_draft_that_is_written_again_keeps_one_guard_and_is_told_of_new_classes(
    world: Any, make_plan: Any
) -> None:
    classify(world, purchase="value", ticket="failure")
    world.create(make_plan())
    before = world.experiment.plan
    world.do(services.replace_plan, document=before)
    assert world.experiment.plan == before

    def newer() -> list[dict[str, Any]]:
        experiment = world.experiment
        with world.database.read() as session:
            return newer_versions(session, experiment.project_id, experiment.plan)

    assert newer() == []
    classify(world, refund="failure")
    assert [each["newest"] for each in newer()] == [2]


def test_a_plan_may_do_without_it_and_says_so_in_its_seal(world: Any, make_plan: Any) -> None:
    classify(world, purchase="value", ticket="failure")
    world.create(make_plan(failure_demand=False))
    assert guard_of(world) is None
    assert world.experiment.plan["failure_demand"] is False
    assert parse_plan(world.experiment.plan).to_document() == world.experiment.plan


@pytest.mark.parametrize(
    ("asked", "role", "margin"),
    [(None, "safety", None), (True, "safety", None), ("safety", "safety", None),
     ("guardrail", "guardrail", 0.02)],
)  # fmt: skip
def test_it_is_safety_unless_a_guardrail_is_asked_for(
    sqlite_world: Any, make_plan: Any, asked: Any, role: str, margin: float | None
) -> None:
    classify(sqlite_world, purchase="value", ticket="failure")
    sqlite_world.create(make_plan(failure_demand=asked))
    guard = guard_of(sqlite_world)
    assert guard is not None
    assert (guard["role"], guard.get("margin")) == (role, margin)
    assert "failure_demand" not in sqlite_world.experiment.plan


def test_a_plan_may_name_it_with_a_margin_of_its_own(sqlite_world: Any, make_plan: Any) -> None:
    classify(sqlite_world, purchase="value", ticket="failure")
    document = make_plan()
    own = {"metric": "failure-demand", "role": "guardrail", "margin": 0.2}
    sqlite_world.create({**document, "metrics": [own, *document["metrics"]]})
    keys = [m["key"] for m in sqlite_world.experiment.plan["metrics"]]
    assert keys == ["failure-demand", "purchase", "errors"]
    metric = parse_plan(sqlite_world.experiment.plan).metrics[0]
    assert (metric.margin, metric.window_seconds) == (0.2, 5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"failure_demand": "guardrail"}, "failure_demand"), ({"failure_demand": True},
     "failure_demand"), ({"failure_demand": "please"}, "failure_demand")],
)  # fmt: skip
def test_asked_for_without_event_types_it_is_refused(
    sqlite_world: Any, make_plan: Any, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(PlanError) as caught:
        sqlite_world.create(make_plan(**changes))
    assert caught.value.field == field
    with pytest.raises(PlanError):
        parse_plan(make_plan(**changes))


def test_a_class_may_not_have_more_events_than_a_metric_counts(sqlite_world: Any) -> None:
    classify(sqlite_world, purchase="value")
    classify(sqlite_world, **{f"failure-{k:03}": "failure" for k in range(demand.MAX_OF_CLASS)})
    with pytest.raises(StateError, match="more than 100"):
        classify(sqlite_world, one_more="failure")
    with sqlite_world.database.read() as session:
        assert len(demand.list_event_types(session, "shop")) == demand.MAX_OF_CLASS + 1


def test_failures_that_never_came_keep_nothing_from_starting(
    sqlite_world: Any, make_plan: Any
) -> None:
    classify(sqlite_world, purchase="value", ticket="failure")
    sqlite_world.create(make_plan())
    plan = parse_plan(sqlite_world.experiment.plan)
    unseen = Today(unseen=frozenset({"ticket", "purchase"}))
    assert forecast(plan, unseen, runs=20)["risks"] == []
    strict = replace(plan, metrics=(*plan.metrics[:2], replace(plan.metrics[2], **GUARDRAIL)))
    assert [each["risk"] for each in forecast(strict, unseen, runs=20)["risks"]] == [NO_DATA]


def test_more_failures_of_the_same_demand_stop_the_experiment(world: Any, make_plan: Any) -> None:
    """Nobody's purchases change; what they have to ask again does."""
    classify(world, purchase="value", ticket="failure", refund="failure")
    world.run(make_plan())
    rates = {
        "purchase": {"control": 0.3, "new": 0.3},
        "ticket": {"control": 0.05, "new": 0.15},
        "refund": {"control": 0.05, "new": 0.15},
    }
    world.traffic(0, 30, 2500, rates)
    for second in (10, 20, 30, 40):
        world.tick(second)
    assert world.experiment.verdict == "HARM"
    sums = world.looks[-1].data["look"]["metrics"]["failure-demand"]
    ratio = {arm: found["m1"] / found["d1"] for arm, found in sums.items()}
    assert ratio == pytest.approx({"control": 0.25, "new": 0.5}, abs=0.02)
    assert set(sums["control"]) == set(RatioMoments.__dataclass_fields__)
    assert verify(world.export()).identical


def test_the_ratio_is_defined_when_nothing_of_the_demand_is_value(
    sqlite_world: Any, make_plan: Any
) -> None:
    classify(sqlite_world, purchase="value", ticket="failure")
    sqlite_world.run(make_plan())
    sqlite_world.traffic(0, 4, 400, {"ticket": {"control": 0.2, "new": 0.2}})
    sqlite_world.tick(10)
    sums = sqlite_world.looks[-1].data["look"]["metrics"]["failure-demand"]
    assert all(found["m1"] == found["d1"] > 0 for found in sums.values())
