"""The metric catalogue: one definition for all, every version kept, sealed plans untouched."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from experiments.catalogue import services as catalogue
from experiments.catalogue.completing import newer_versions
from experiments.catalogue.definition import measures, parse_entry
from experiments.catalogue.models import MetricVersion
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.errors import PlanError
from experiments.people import services
from flags.actor import Actor
from flags.audit import verify_chain
from flags.errors import NotFoundError, StateError, VersionConflictError
from flags.models import AuditEntry

ANN = Actor("user", "ann@example.org")
PURCHASE: dict[str, Any] = {
    "kind": "conversion",
    "event": "purchase",
    "window": "5s",
    "owner": "ann@example.org",
    "description": "Somebody bought something.",
}


def put(world: Any, key: str = "purchase", **changes: Any) -> Any:
    expected = changes.pop("expected", None)
    with world.database.write() as session:
        row, _new = catalogue.put_metric(
            session,
            "shop",
            key,
            {**PURCHASE, **changes},
            expected_version=expected,
            actor=ANN,
            now=world.at(0),
        )
        return row.version


def archive(world: Any, key: str = "purchase", *, archived: bool = True) -> None:
    with world.database.write() as session:
        catalogue.set_archived(session, "shop", key, archived=archived, actor=ANN, now=world.at(1))


def plan_with(make_plan: Any, metric: dict[str, Any], **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = make_plan(**changes)
    document["metrics"][0] = metric
    return document


def test_a_metric_is_written_read_and_every_version_of_it_is_kept(world: Any) -> None:
    assert put(world) == 1
    assert put(world, window="4s", expected=1) == 2
    assert put(world, window="4s") == 2
    archive(world)
    with world.database.read() as session:
        row = catalogue.get_metric(session, "shop", "purchase")
        history = catalogue.metric_history(session, row)
        assert catalogue.list_metrics(session, "shop") == []
        assert [r.key for r in catalogue.list_metrics(session, "shop", archived=True)] == [
            "purchase"
        ]
        entries = session.exec(select(AuditEntry)).all()
        assert verify_chain(entries) is None
    assert (row.definition["window"], row.archived, row.owner) == ("4s", True, ANN.name)
    assert [(v.version, v.definition["window"], v.archived) for v in history] == [
        (3, "4s", True),
        (2, "4s", False),
        (1, "5s", False),
    ]
    assert {v.actor for v in history} == {str(ANN)}
    assert [e.action for e in entries if e.resource == "metric:purchase"] == [
        "metric_set",
        "metric_set",
        "metric_archive",
    ]


def test_writing_an_archived_metric_brings_it_back(world: Any) -> None:
    put(world)
    archive(world)
    assert put(world) == 3
    archive(world)
    archive(world, archived=False)
    with world.database.read() as session:
        assert not catalogue.get_metric(session, "shop", "purchase").archived


def test_a_version_that_moved_is_a_conflict_and_nothing_is_written(world: Any) -> None:
    put(world)
    with pytest.raises(VersionConflictError):
        put(world, window="1s", expected=7)
    with pytest.raises(VersionConflictError):
        put(world, "other", expected=1)
    with world.database.read() as session:
        assert len(session.exec(select(MetricVersion)).all()) == 1
        with pytest.raises(NotFoundError):
            catalogue.get_metric(session, "shop", "other")


def test_a_kept_version_cannot_be_changed(world: Any) -> None:
    put(world)
    with pytest.raises(TypeError, match="append-only"), world.database.write() as session:
        session.exec(select(MetricVersion)).one().owner = "somebody else"


@pytest.mark.parametrize(
    ("key", "changes", "field"),
    [
        ("Purchase", {}, "key"),
        ("purchase", {"key": "other"}, "key"),
        ("purchase", {"role": "success"}, "role"),
        ("purchase", {"mde": 0.1}, "mde"),
        ("purchase", {"margin": 0.1}, "margin"),
        ("purchase", {"rare": True}, "rare"),
        ("purchase", {"metric": "other"}, "metric"),
        ("purchase", {"column": "bought"}, "column"),
        ("purchase", {"kind": "guess"}, "kind"),
        ("purchase", {"event": []}, "event"),
        ("purchase", {"event": ["a", "a"]}, "event"),
        ("purchase", {"event": ["a", 1]}, "event"),
        ("purchase", {"window": None}, "window"),
        ("purchase", {"owner": 7}, "owner"),
        ("purchase", {"direktion": "up"}, "direktion"),
        ("purchase", {"cap": 5}, "cap"),
    ],
)
def test_a_fault_in_a_definition_is_named(key: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_entry(key, {**PURCHASE, **changes})
    assert caught.value.field == field


def test_a_plan_takes_the_definition_and_the_seal_covers_it(world: Any, make_plan: Any) -> None:
    put(world, "buyers", covariate_window="10s")
    world.create(plan_with(make_plan, {"metric": "buyers", "role": "success", "mde": 0.1}))
    world.do(services.seal)
    before = world.experiment
    assert before.plan["metrics"][0] == {
        "key": "buyers",
        "role": "success",
        "mde": 0.1,
        "superiority_margin": 0.0,
        "metric": "buyers",
        "metric_version": 1,
        "kind": "conversion",
        "event": "purchase",
        "window": "5s",
        "direction": "up",
        "covariate_window": "10s",
    }
    put(world, "buyers", window="2s")
    after = world.experiment
    assert (after.plan, after.plan_hash) == (before.plan, before.plan_hash)
    assert plan_hash(parse_plan(after.plan).to_document()) == after.plan_hash
    assert parse_plan(after.plan).metrics[0].window_seconds == 5


def test_a_metric_of_the_catalogue_may_have_another_key_in_the_plan(
    world: Any, make_plan: Any
) -> None:
    put(world)
    world.create(
        plan_with(make_plan, {"metric": "purchase", "key": "sales", "role": "success", "mde": 0.1})
    )
    metric = parse_plan(world.experiment.plan).metrics[0]
    assert (metric.key, metric.reference and metric.reference.key) == ("sales", "purchase")


@pytest.mark.parametrize(
    ("extra", "field", "hint"),
    [
        ({"metric": "purchse"}, "metrics[0].metric", "did you mean purchase?"),
        ({"metric": "zzz"}, "metrics[0].metric", "flagstone metrics list"),
        ({"metric": "old"}, "metrics[0].metric", "bring it back"),
        ({"metric": 7}, "metrics[0].metric", "a key of the catalogue"),
        ({"event": "purchase"}, "metrics[0].event", "one metric has one definition"),
        ({"window": "1s"}, "metrics[0].window", "one metric has one definition"),
        ({"metric_version": 9}, "metrics[0].metric_version", "the newest is 1"),
        ({"metric_version": 0}, "metrics[0].metric_version", None),
    ],
)
def test_a_reference_that_cannot_be_followed_names_its_field_and_a_way_out(
    world: Any, make_plan: Any, extra: dict[str, Any], field: str, hint: str | None
) -> None:
    put(world)
    put(world, "old")
    archive(world, "old")
    metric = {"metric": "purchase", "role": "success", "mde": 0.1, **extra}
    with pytest.raises(PlanError) as caught:
        world.create(plan_with(make_plan, metric))
    assert caught.value.field == field
    assert hint is None or hint in str(caught.value.hint)


def test_a_plan_may_pin_a_version_and_may_come_back_as_it_was_read(
    world: Any, make_plan: Any
) -> None:
    put(world)
    put(world, window="2s")
    pinned = {"metric": "purchase", "metric_version": 1, "role": "success", "mde": 0.1}
    world.create(plan_with(make_plan, pinned))
    plan = world.experiment.plan
    assert plan["metrics"][0]["window"] == "5s"
    world.do(services.replace_plan, document=plan)
    assert world.experiment.plan == plan
    plan["metrics"][0]["window"] = "3s"
    with pytest.raises(PlanError, match="catalogue's 'purchase' already"):
        world.do(services.replace_plan, document=plan)


def test_a_newer_definition_is_pointed_out_and_a_new_owner_is_none(
    world: Any, make_plan: Any
) -> None:
    put(world)
    world.create(plan_with(make_plan, {"metric": "purchase", "role": "success", "mde": 0.1}))

    def newer() -> list[dict[str, Any]]:
        experiment = world.experiment
        with world.database.read() as session:
            return newer_versions(session, experiment.project_id, experiment.plan)

    assert newer() == []
    put(world, owner="ben@example.org")
    assert newer() == []
    put(world, window="2s")
    found = {"metric": "purchase", "version": 1, "newest": 3, "archived": False}
    assert newer() == [found]
    put(world)
    archive(world)
    assert newer() == [{**found, "newest": 5, "archived": True}]


def test_a_reference_is_refused_where_there_is_no_catalogue(make_plan: Any) -> None:
    document = plan_with(make_plan, {"metric": "purchase", "role": "success", "mde": 0.1})
    document["metrics"][0]["key"] = "purchase"
    with pytest.raises(PlanError, match="not read here") as caught:
        parse_plan(document)
    assert caught.value.field == "metrics[0].metric"
    document["metrics"][0] = {**make_plan()["metrics"][0], "metric_version": 1}
    with pytest.raises(PlanError, match="belongs to no metric"):
        parse_plan(document)


def test_the_built_in_metric_cannot_be_written_by_hand(world: Any) -> None:
    with pytest.raises(StateError, match="built in"):
        put(world, "failure-demand")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "Share of units with purchase within 7 days of a unit's first exposure."),
        ({"event": ["buy", "order"]}, "Share of units with buy or order within 7 days"),
        ({"kind": "count", "cap": 5}, "Number of purchase per unit within 7 days"),
        ({"kind": "count", "cap": 5}, "a unit's value is cut at 5."),
        ({"kind": "mean", "aggregation": "max"}, "Largest value of purchase per unit"),
        ({"kind": "retention", "from": "1d"}, "with purchase from 1 day to 7 days after"),
        ({"kind": "funnel", "event": None, "steps": ["a", "b"]}, "go through a, then b within"),
        ({"kind": "ratio", "denominator_event": "visit"}, "Purchase per visit, within 7 days"),
        ({"kind": "quantile", "threshold": 3}, "Share of purchase events above 3, within 7 days"),
        ({"covariate_window": "14d"}, "adjusted for the same of the 14 days before."),
    ],
)
def test_what_a_metric_measures_is_said_in_plain_words(
    document: dict[str, Any], words: str
) -> None:
    assert words in measures(parse_entry("m", {**PURCHASE, "window": "7d", **document}).metric)


def test_events_of_a_list_count_as_one(world: Any, make_plan: Any) -> None:
    """The two arms differ only in the second event's name: no reader of the first sees it."""
    document: dict[str, Any] = make_plan()
    document["metrics"][0] |= {"event": ["purchase", "order"]}
    document["metrics"].append(
        {
            "key": "errors-per-order",
            "role": "explore",
            "kind": "ratio",
            "event": ["error", "crash"],
            "denominator_event": ["purchase", "order"],
            "window": "5s",
        }
    )
    world.run(document)
    rates = {
        "purchase": {"control": 0.5, "new": 0.0},
        "order": {"control": 0.0, "new": 0.5},
        "error": {"control": 0.1, "new": 0.0},
        "crash": {"control": 0.0, "new": 0.1},
    }
    world.traffic(0, 4, 400, rates)
    world.tick(10)
    look = world.looks[-1].data["look"]["metrics"]
    for sums in look["purchase"].values():
        assert sums["s1"] == pytest.approx(0.5 * sums["n"], abs=1)
    for sums in look["errors-per-order"].values():
        assert sums["m1"] == pytest.approx(0.1 * sums["n"], abs=1)
        assert sums["d1"] == pytest.approx(0.5 * sums["n"], abs=1)
    assert parse_plan(world.experiment.plan).to_document() == world.experiment.plan
