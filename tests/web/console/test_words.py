"""How pages write people, money and what became of a plan's rules."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.telling.card_parts import Evidence
from web.console.fared import how_each_fared
from web.console.words import address, instant, middle, timed, who, whole


def test_an_address_breaks_before_its_at_and_what_it_holds_is_never_markup() -> None:
    assert who("user:ada@shop.example") == "ada<wbr>@shop.example"
    assert who("token:ci<b>") == "ci&lt;b&gt; (key)"
    assert address("<i>@x") == "&lt;i&gt;<wbr>@x"


def test_long_names_that_begin_alike_are_told_apart() -> None:
    names = [f"{'checkout-redesign-for-returning-customers' * 2}-{number}" for number in (17, 27)]
    assert [len(middle(name)) for name in names] == [70, 70]
    assert middle(names[0]) != middle(names[1])
    assert middle("x" * 70) == "x" * 70


def test_an_instant_is_said_in_words_with_its_seconds_a_hover_away() -> None:
    shown = (
        '<time datetime="2026-12-01T09:00:07+00:00" title="1 December 2026, 09:00:07 UTC">'
        "1 December 2026, 09:00 UTC</time>"
    )
    zone = dt.timezone(dt.timedelta(hours=2))
    assert instant("2026-12-01T09:00:07.5Z") == shown
    assert instant(dt.datetime(2026, 12, 1, 11, 0, 7, tzinfo=zone)) == shown


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        (
            "<b> until 2 March 2026, 09:01 UTC, or 3 March 2026, 09:01:30 UTC",
            (
                '&lt;b&gt; until <time datetime="2026-03-02T09:01:00+00:00">2 March 2026, 09:01 '
                'UTC</time>, or <time datetime="2026-03-03T09:01:30+00:00">3 March 2026, '
                "09:01:30 UTC</time>"
            ),
        ),
        ("on 31 February 2026, 09:01 UTC", "on 31 February 2026, 09:01 UTC"),
        ("on 3 Mar 2026, 29:01 UTC", "on 3 Mar 2026, 29:01 UTC"),
    ],
)
def test_instants_in_a_sentence_can_be_read_by_machines(sentence: str, wanted: str) -> None:
    assert timed(sentence) == wanted


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("net benefit 1,483,852.82 EUR in 12 months", "net benefit 1,483,853 EUR in 12 months"),
        ("between −438,132.20 EUR and 999.99 EUR", "between −438,132 EUR and 999.99 EUR"),
        ("1,000.50 of them", "1,000.50 of them"),
    ],
)
def test_thousands_of_money_are_written_without_cents(said: str, shown: str) -> None:
    assert whole(said) == shown


def test_every_rule_says_what_it_does_and_how_it_fared(plan: Any) -> None:
    def row(kind: str, metric: str, *, passed: bool, reason: str | None = None) -> Evidence:
        return Evidence(kind, metric, "on", 0.01, 0.1, 1.0, 2.0, 0.01, passed, reason, "")

    errors = {"key": "errors", "role": "guardrail", "kind": "conversion", "event": "error"}
    guard = {**errors, "window": "1d", "direction": "down", "margin": 0.5}
    sealed = parse_plan(plan(metrics=[*plan()["metrics"], guard]))
    success = sealed.success_metrics[0].key
    guardrail = next(each.key for each in sealed.metrics if each.role == "guardrail")
    fared = list(
        how_each_fared(
            sealed,
            [
                row("harm", success, passed=False),
                row("noninferiority", guardrail, passed=False, reason="too few units"),
                row("ship", success, passed=True),
            ],
        )
    )
    assert [(each.metric, each.result, each.tone) for each in fared] == [
        (success, "shown better", "good"),
        (guardrail, "too few units", "neutral"),
        (success, "no harm shown", "neutral"),
    ]
    assert fared[0].rule.startswith("ships once")
    assert fared[0].seen.startswith("+")


def test_the_page_of_an_experiment_says_how_each_rule_fared(running: Any) -> None:
    console = running(state="RUNNING", verdict="VALUE_PROVEN", winner="on", note="What happened.")
    page = console.person("viewer").page(
        "/projects/shop/environments/production/experiments/one-page"
    )
    assert "how each fared" in page.words
