"""The report: one page for people on paper, one file that needs nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from sqlmodel import col, select

from experiments.models import Experiment, Look

HERE = "/projects/shop/environments/production"
PAGE = f"{HERE}/experiments/one-page"
EVIL = "<img src=x onerror=alert(1)>"


def test_the_report_says_what_was_promised_seen_and_how_to_check_it(running: Any) -> None:
    console = running(looks=10, state="RUNNING")
    viewer = console.person("viewer")
    assert f"{PAGE}/report" in viewer.page(PAGE).links
    page = viewer.page(f"{PAGE}/report")
    words = " ".join(page.words.split())
    for said in (
        "Wait: nothing is decided yet.",
        "for editor@example.org (customer)",
        "What was promised",
        "at least 5 % is worth having",
        "Silence at the deadline goes back to off.",
        "purchases, on against off",
        "Tests at the newest look (number 10)",
        "seal: unbroken",
        "0 of 10 looks raised an alarm",
        "flagstone verify one-page.json",
        "http://localhost" + PAGE + "/record.json",
    ):
        assert said in words, said
    assert "<script" not in page.html
    assert page.html.count("fs-band") == 1
    with console.database.read() as session:
        assert (session.get_one(Experiment, 1).plan_hash or "?") in words


def test_the_file_is_whole_and_allows_nothing_but_its_own_style(running: Any) -> None:
    console = running(looks=10, state="RUNNING")
    response = console.person("viewer").get(f"{PAGE}/report.html")
    assert response.headers["Content-Disposition"] == 'attachment; filename="one-page-report.html"'
    html = response.get_data(as_text=True)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert "default-src 'none'" in policy.replace("&#39;", "'")
    assert f"sha256-{digest}" in policy
    # Nothing is loaded from anywhere: it is mailed, and opened without a network.
    assert not re.search(r"<(script|link|img|iframe|form)|\bsrc=|url\(|@import| style=", html)
    assert "Back to the experiment" not in html


@pytest.mark.parametrize("name", ["report", "report.html"])
def test_what_the_card_hides_the_report_hides(running: Any, name: str) -> None:
    console = running(looks=3, state="RUNNING")
    early = console.person("viewer").get(f"{PAGE}/{name}").get_data(as_text=True)
    assert "Not shown before 7 days have passed" in early
    assert "<polyline" not in early
    assert "points" not in early.replace('points="', "")
    with console.database.write() as session:
        session.get_one(Experiment, 1).verdict = "INVALID"
    invalid = console.person("editor").get(f"{PAGE}/{name}").get_data(as_text=True)
    assert "Hidden: the experiment is invalid" in invalid
    assert "Tests at the newest look" not in invalid
    assert "<polyline" not in invalid


def explored(marked: bool) -> dict[str, Any]:
    """Give what a worker stores beside a look: one marked cell, one trend."""
    cell = {
        "attribute": "country",
        "what": "value",
        "value": EVIL,
        "metric": "purchases",
        "arm": "on",
        "units_control": 1200.0,
        "units_arm": 1180.0,
        "estimate": 0.031,
        "se": 0.006,
        "low": 0.011,
        "high": 0.051,
        "log_e": 8.5,
        "precision": 1000.0,
        "reported": marked,
    }
    difference = {"attribute": "country", "metric": "purchases", "arm": "on", "segments": 3}
    difference |= {"q": 20.0, "p_value": 1e-4, "p_adjusted": 2e-4, "i2": 0.8, "reported": True}
    trend = {"metric": "purchases", "arm": "on", "course": "fading", "days": [1.5, 12.0]}
    trend |= {"first": 0.2, "last": 0.01, "p_adjusted": 0.0004}
    segments = {"attributes": ["country"], "segments": [], "cells": [cell], "too_few": 3}
    return {"segments": segments | {"differences": [difference]}, "novelty": [trend]}


@pytest.mark.parametrize("name", ["", "/report", "/report.html"])
def test_segments_are_closed_and_called_exploratory_and_gone_when_invalid(
    running: Any, name: str
) -> None:
    console = running(looks=10, state="RUNNING")
    with console.database.write() as session:
        look = session.exec(select(Look).order_by(col(Look.number).desc())).first()
        look.data = look.data | explored(marked=True)
        session.add(look)
    viewer = console.person("viewer")
    html = viewer.get(f"{PAGE}{name}").get_data(as_text=True)
    assert re.search(r'<details [^>]*id="segments"><summary>Exploratory: by segment', html)
    assert "<strong>marked</strong>" in html
    assert "This decided nothing and may decide nothing." in html
    assert "3 rows with fewer than 100 units in an arm left out" in html
    assert "+3.1 points, between +1.1 points and +5.1 points" in html
    assert "the 3 segments differ" in html
    assert "effect fading" in html
    assert "<img" not in html
    with console.database.write() as session:
        session.get_one(Experiment, 1).verdict = "INVALID"
    invalid = console.person("editor").get(f"{PAGE}{name}").get_data(as_text=True)
    assert "by segment" not in invalid
    assert "effect fading" not in invalid


def test_a_draft_has_a_report_that_promises_no_seal(small_console: Any, plan: Any) -> None:
    small_console.experiment(plan())
    page = small_console.person("viewer").page(f"{PAGE}/report")
    words = " ".join(page.words.split())
    assert words.count("DRAFT") >= 1
    assert "Not sealed yet: all of it can still change." in words
    assert "Nothing was recorded" in words


def test_what_people_wrote_is_words_in_a_report(small_console: Any, plan: Any) -> None:
    document = plan()
    document["hypothesis"] = document["metrics"][0]["key"] = f"</style>{EVIL}"
    small_console.change("checkout", {"do": "turn_on"})
    small_console.experiment(document, "seal", "start")
    viewer = small_console.person("viewer")
    for name in ("report", "report.html"):
        html = viewer.get(f"{PAGE}/{name}").get_data(as_text=True)
        assert "<img" not in html
        assert html.count("</style>") == (name == "report.html")


def test_a_report_is_for_those_who_may_see_the_page(small_console: Any, plan: Any) -> None:
    small_console.experiment(plan())
    for name in ("report", "report.html", "results.csv", "results.json"):
        answer = small_console.visitor().get(f"{PAGE}/{name}")
        assert answer.status_code in {302, 303, 401}
        assert "One page makes more visitors buy" not in answer.get_data(as_text=True)
    missing = small_console.person("viewer").get(f"{HERE}/experiments/none/report")
    assert missing.status_code == 404
