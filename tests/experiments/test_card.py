"""The card answers a busy owner's questions, and hides what would mislead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.judging.looks import build_look, decide, look_document
from experiments.judging.quality import Quality
from experiments.machine.lifecycle import Outcome, State
from experiments.people import services
from experiments.telling.card import Card, CardStatus, build_card, card_text
from flags.actor import Actor
from stats import Moments

BETTER = {"purchase": {"control": 0.2, "new": 0.35}, "error": {"control": 0.1, "new": 0.1}}
WORSE = {"purchase": {"control": 0.2, "new": 0.1}, "error": {"control": 0.1, "new": 0.1}}


def made(
    plan: Plan,
    rates: dict[str, dict[str, float]],
    *,
    units: int = 4000,
    offset: float = 50,
    counts: dict[str, int] | None = None,
    **status: Any,
) -> Card:
    """Build a card from rates, without any database."""
    sums = {
        metric.key: {
            arm: Moments.conversions(units, round(units * rates[metric.event][arm]))
            for arm in plan.arms
        }
        for metric in plan.metrics
    }
    quality = Quality(newest_event_age_seconds=1.0)
    look = build_look(
        plan,
        number=1,
        offset=offset,
        counts=counts or dict.fromkeys(plan.arms, units),
        sums=sums,
        quality=quality,
    )
    decision = decide(plan, [look])
    return build_card(
        plan,
        CardStatus(**({"state": State.RUNNING.value, "plan_hash": "f" * 64} | status)),
        look=look_document(look),
        decision=decision.to_document(),
        quality=quality.to_document(),
        offset=offset,
    )


def all_text(card: Card) -> str:
    return card_text(card) + "".join(row.text for row in card.evidence)


SIGNS = re.compile(r"rose|fell|points|\+\d|−\d")


def test_before_the_minimum_a_running_card_shows_no_effect(make_plan: Callable[..., Any]) -> None:
    plan = parse_plan(make_plan())
    early = made(plan, BETTER, offset=20)
    assert early.worth == ()
    assert early.evidence == ()
    assert "Not shown before" in (early.worth_hidden or "")
    assert not SIGNS.search(all_text(early))
    # Neither may the three words give the sign of the success metric away.
    words_when_better = [line.word for line in early.harm if line.metric == "purchase"]
    words_when_worse = [
        line.word
        for line in made(plan, WORSE, offset=20, units=150).harm
        if line.metric == "purchase"
    ]
    assert words_when_better == words_when_worse == ["not yet shown safe"]
    assert made(plan, BETTER, offset=30).worth


def test_an_invalid_card_never_shows_effects(make_plan: Callable[..., Any]) -> None:
    plan = parse_plan(make_plan())
    card = made(
        plan,
        BETTER,
        counts={"control": 6000, "new": 4000},
        state="ROLLED_BACK",
        verdict="INVALID",
        sentence="The split was not the planned one.",
    )
    assert (card.worth, card.harm, card.evidence) == ((), (), ())
    assert not SIGNS.search(all_text(card))
    split = next(line for line in card.trust if line.name == "split")
    assert not split.good


def test_harm_is_said_in_three_words_only(make_plan: Callable[..., Any]) -> None:
    plan = parse_plan(make_plan())
    seen = set()
    for purchase, errors in ((0.35, 0.1), (0.1, 0.1), (0.2, 0.145), (0.2, 0.3)):
        rates = {
            "purchase": {"control": 0.2, "new": purchase},
            "error": {"control": 0.1, "new": errors},
        }
        seen |= {(line.metric, line.word) for line in made(plan, rates).harm}
    assert {word for _metric, word in seen} == {"shown safe", "not yet shown safe", "worse"}
    assert ("errors", "shown safe") in seen
    assert ("errors", "worse") in seen
    assert ("purchase", "worse") in seen


def test_the_text_alone_answers_the_five_questions(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 2000, BETTER)
        world.tick(second + 10)
    text = " ".join(card_text(world.card(31)).split())
    assert text.startswith("VALUE PROVEN: Ship new: confirm it.")  # what happened
    assert "purchase rose by" in text
    assert "WORTH purchase, new against control: +" in text  # what is it worth
    assert "least worth having +2 points" in text
    assert "split ok: as planned" in text  # can I trust it
    assert "seal ok: unbroken" in text
    assert "met several arms and count nowhere" in text
    assert "freshness ok: fresh" in text
    assert "confirm that new ships" in text  # what happens next, and when
    assert "until 2 March 2026, 09:01:30 UTC" in text
    assert "for customer@example.org (customer); run by owner@example.org (owner)" in text


@pytest.mark.parametrize(
    ("state", "verdict", "instruction", "who"),
    [
        ("DRAFT", None, "Seal the plan.", "owner@example.org"),
        ("SEALED", None, "Start when ready.", "owner@example.org"),
        ("RUNNING", None, "Wait: nothing is decided yet.", "the machine, by itself"),
        ("HELD", None, "Stop it or let it run out", "the machine, by itself"),
        ("ABANDONED", None, "Nothing to do", "owner@example.org"),
        ("RUNNING", "VALUE_PROVEN", "Ship new: confirm it.", "customer@example.org"),
        ("SHIPPING", "VALUE_PROVEN", "Ship new: it is being served", "the machine, by itself"),
        ("SHIPPING", "OVERRIDE_SHIP", "new ships by override", "the machine, by itself"),
        ("VERIFYING", "VALUE_PROVEN", "Ship new: it is served", "the machine, by itself"),
        ("CLEANUP", "CONFIRMED", "Keep new, and take the flag", "owner@example.org"),
        ("CLEANUP", "NOT_CONFIRMED", "Think again about new", "owner@example.org"),
        ("CLOSED", "CONFIRMED", "Nothing left to do: new stays", "owner@example.org"),
        ("CLOSED", "HARM", "Nothing left to do: control stays", "owner@example.org"),
        ("ROLLED_BACK", "LATE_HARM", "Keep control: new did harm after", "owner@example.org"),
        ("ROLLED_BACK", "VALUE_PROVEN", "Ask again", "owner@example.org"),
        ("ROLLED_BACK", "HARM", "Keep control: new does harm.", "owner@example.org"),
        ("ROLLED_BACK", "FUTILE", "Keep control: new is not worth", "owner@example.org"),
        ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", "Keep control: new was not", "owner@example.org"),
        ("ROLLED_BACK", "INVALID", "Keep control and repair", "owner@example.org"),
        ("ROLLED_BACK", "OVERRIDE_STOP", "Keep control: the experiment", "owner@example.org"),
    ],
)
def test_every_state_has_an_instruction_and_somebody_who_is_next(
    make_plan: Callable[..., Any], state: str, verdict: str | None, instruction: str, who: str
) -> None:
    status = CardStatus(state=state, verdict=verdict, winner="new" if verdict else None)
    card = build_card(parse_plan(make_plan()), status)
    assert card.instruction.startswith(instruction)
    assert card.next.who == who
    assert card.tone in {"good", "bad", "attention", "neutral"}
    assert card_text(card).count("\n") > 8


def test_every_state_and_verdict_is_covered_above() -> None:
    marks = test_every_state_has_an_instruction_and_somebody_who_is_next.pytestmark
    rows = next(mark for mark in marks if mark.name == "parametrize").args[1]
    assert {row[0] for row in rows} >= {s.value for s in State} - {"RAMPING"}
    said = {row[1] for row in rows}
    # Releases have cards of their own: test_releases.py.
    assert said >= {o.value for o in Outcome} - {"CONTINUE", "NO_HARM_PROVEN", "RELEASED"}


def test_a_harm_card_counts_what_the_harm_cost(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 10, 3000, WORSE)
    world.tick(10)
    card = world.card(11)
    met = dict(card.exposed)
    sums = world.looks[-1].data["look"]["metrics"]["purchase"]
    lost = sums["control"]["s1"] / sums["control"]["n"] - sums["new"]["s1"] / sums["new"]["n"]
    number = re.search(r"about (\d+) fewer purchase", card.cost)
    assert number is not None
    assert int(number[1]) == pytest.approx(lost * met["new"], abs=1)
    assert f"{met['new']:,} met new" in card.cost


def test_a_running_card_names_the_next_look_and_the_deadline(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    card = world.card(5)
    assert card.next.at == world.at(10)
    assert "the last one 2 March 2026, 09:01:40 UTC" in card.next.when
    assert "day 1 of 10" in card.sentence
    world.do(services.stop, actor=Actor("user", "x"), reason="y")
    assert world.card(6).next.what.startswith("nothing")


def test_a_break_even_margin_is_marked_instead_of_the_least_effect(
    make_plan: Callable[..., Any],
) -> None:
    document = make_plan()
    document["metrics"][0]["superiority_margin"] = 0.03
    (line,) = made(parse_plan(document), BETTER).worth
    assert (line.break_even, line.break_even_label) == (0.03, "break-even")
    assert line.proven
    down = parse_plan(make_plan())
    turned = replace(down, metrics=(replace(down.metrics[0], direction="down"), down.metrics[1]))
    (line,) = made(turned, WORSE).worth
    assert line.break_even == pytest.approx(-0.02)
