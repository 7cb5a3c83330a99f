"""The pages of the metric catalogue: what is measured, what it shows, which events are failure."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from experiments.catalogue.models import EventType, MetricRow, MetricSensitivity
from experiments.catalogue.noise import Reading
from experiments.catalogue.sensitivity import describe, sentence_of
from experiments.catalogue.services import entry_of
from experiments.models import Experiment, Look
from stats import Baseline

HERE = "/projects/shop/environments/production"
METRICS = f"{HERE}/metrics"


def sense(console: Any, found: Reading) -> None:
    with console.database.write() as session:
        for row in session.exec(select(MetricRow)):
            document = describe(entry_of(row, row.key).metric, found)
            document |= {"environment": "production", "moved": {"experiments": 2, "moved": 1}}
            document["sentence"] = sentence_of(document)
            session.add(
                MetricSensitivity(
                    metric_id=row.id or 0,
                    metric_version=row.version or 0,
                    computed_at=console.clock(),
                    renew_at=console.clock(),
                    document=document,
                )
            )


def test_without_a_metric_the_page_says_how_to_write_one(small_console: Any) -> None:
    page = small_console.person("editor").page(METRICS)
    assert "Add one guardrail" in page.words
    assert f"{HERE}/new-metric" in page.links
    assert "No event has come in" in page.words
    assert (
        "Nothing is archived"
        in small_console.person("viewer").page(f"{METRICS}?archived=true").words
    )


def test_the_list_says_what_is_measured_and_how_small_an_effect_shows(small_console: Any) -> None:
    small_console.metric("buyers", owner="ann@example.org")
    viewer = small_console.person("viewer")
    assert "not enough data yet" in viewer.page(METRICS).words
    sense(small_console, Reading((900.0,) * 28, 900, Baseline.of_rate(0.2), ""))
    page = viewer.page(METRICS)
    assert "Share of units with purchase within 7 days" in page.words
    assert "ann@example.org" in page.words
    assert "not enough data yet" not in page.words
    assert f"{METRICS}/buyers" in page.links


def test_a_metric_shows_its_versions_its_experiments_and_its_sensitivity(
    small_console: Any, plan: Any
) -> None:
    small_console.metric("buyers", description="People who bought.")
    small_console.metric("buyers", window="3d")
    document = plan()
    document["metrics"][0] = {"metric": "buyers", "role": "success", "mde": 0.05}
    small_console.experiment(document)
    viewer = small_console.person("viewer")
    page = viewer.page(f"{METRICS}/buyers")
    assert "Being read" in page.words
    assert "it has not ended" in page.words
    assert 'window = "7d"' in page.words
    assert 'window = "3d"' in page.words
    assert f"{HERE}/experiments/one-page" in page.links
    test = {"metric": "buyers", "arm": "on", "kind": "ship", "estimate": 0.03}
    with small_console.database.write() as session:
        experiment = session.exec(select(Experiment)).one()
        experiment.verdict, experiment.ended_at = "VALUE_PROVEN", small_console.clock()
        look = Look(
            experiment_id=experiment.id or 0,
            number=1,
            at=small_console.clock(),
            verdict="VALUE_PROVEN",
            data={"offset": 5.0, "look": {"metrics": {}, "may_ship": True, "is_final": True}},
            decision={"tests": [test | {"passed": True, "low": 0.01, "high": 0.05}]},
        )
        session.add_all([experiment, look])
    sense(small_console, Reading((900.0,) * 28, 900, Baseline.of_rate(0.2), ""))
    page = viewer.page(f"{METRICS}/buyers")
    assert "on: +3 points, between +1 points and +5 points" in page.words
    assert "moved" in page.words
    assert "Moved in 1 of 2 ended experiments" in page.words


def test_an_event_is_classified_by_a_click_and_the_built_in_metric_follows(
    small_console: Any,
) -> None:
    small_console.event("purchase", "value")
    editor = small_console.person("editor")
    form = editor.page(METRICS).form("Say so")
    editor.send(METRICS, form, {"name": "refund", "demand": "failure"})
    with small_console.database.read() as session:
        found = {each.name: each.demand for each in session.exec(select(EventType))}
    assert found == {"purchase": "value", "refund": "failure"}
    page = editor.page(f"{METRICS}/failure-demand")
    assert "the share that is failure (refund)" in page.words
    assert "built in" in page.words


def test_a_class_that_is_none_is_refused_with_the_form_kept(small_console: Any) -> None:
    editor = small_console.person("editor")
    form = editor.page(METRICS).form("Say so")
    response = editor.client.post(METRICS, data={**form.fields, "name": "x", "demand": "bad"})
    assert response.status_code == 400
    assert "there is no demand class" in response.get_data(as_text=True)


def test_a_draft_is_told_that_the_catalogue_moved(small_console: Any, plan: Any) -> None:
    small_console.metric("buyers")
    document = plan()
    document["metrics"][0] = {"metric": "buyers", "role": "success", "mde": 0.05}
    small_console.experiment(document)
    small_console.metric("buyers", window="3d")
    page = small_console.person("viewer").page(f"{HERE}/experiments/one-page")
    assert "buyers: this draft has version 1 of the catalogue; the newest is 2" in page.words


@pytest.mark.parametrize("key", ["nope", "No%20Key"])
def test_a_metric_that_is_not_there_is_a_page_that_says_so(small_console: Any, key: str) -> None:
    assert (
        "there is no metric" in small_console.person("viewer").page(f"{METRICS}/{key}", 404).words
    )
