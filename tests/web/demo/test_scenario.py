"""The demo's story holds whatever the machine's speed: rehearsed, without processes."""

from __future__ import annotations

import random

import pytest

from tests.web.demo import rehearsal
from web.demo import scenario

EXPECTED = {
    scenario.BROKEN: "HARM",
    scenario.WINNER: "VALUE_PROVEN",
    scenario.NOTHING: "FUTILE",
}
NUMBERS = {plan.key: number for number, plan in enumerate(rehearsal.plans(), start=1)}


@pytest.mark.parametrize("key", scenario.KEYS)
@pytest.mark.parametrize(
    ("least", "most"), [(5, 20), (15, 40), (40, 120), (110, 120)], ids=lambda rate: f"{rate}/s"
)
def test_the_verdict_is_the_same_at_every_speed(key: str, least: float, most: float) -> None:
    plan = next(plan for plan in rehearsal.plans() if plan.key == key)
    people = rehearsal.crowd(key, scenario.SEED, NUMBERS[key])
    endings = [
        rehearsal.rehearse(plan, people, random.Random(turn), least=least, most=most)
        for turn in range(12)
    ]
    assert {ending.verdict for ending in endings} == {EXPECTED[key]}
    latest = 30.0 if key == scenario.BROKEN else plan.prove_by_seconds
    assert max(ending.seconds for ending in endings) <= latest
    if key == scenario.WINNER:
        assert {ending.winner for ending in endings} == {"treatment"}


def test_a_change_that_does_nothing_is_not_proven_in_the_winner_s_place() -> None:
    """The rehearsal can fail: with the visitors of another experiment, so does the verdict."""
    plan = next(plan for plan in rehearsal.plans() if plan.key == scenario.WINNER)
    people = rehearsal.crowd(scenario.WINNER, scenario.SEED, NUMBERS[scenario.WINNER])
    same = dict.fromkeys(plan.arms, people.does[plan.control])
    unmoved = rehearsal.Crowd(people.bucket, same)
    ending = rehearsal.rehearse(plan, unmoved, random.Random(1), least=110, most=120)
    assert ending.verdict != "VALUE_PROVEN"


def test_visitors_are_the_same_in_every_run_and_in_no_two_processes() -> None:
    def first(process: int, count: int = 50) -> list[scenario.Visitor]:
        people = scenario.visitors(seed=7, process=process, processes=2)
        return [next(people) for _ in range(count)]

    assert first(0) == first(0)
    assert not {each.unit for each in first(0)} & {each.unit for each in first(1)}
    assert {each.country for each in first(0)} == {"DE", "FR", "NL", "PL", "SE"}


def test_what_is_shown_changes_only_what_it_is_said_to_change() -> None:
    people = scenario.visitors(seed=7, process=0, processes=1)
    plain = {"new_checkout": False, "shipping_hint": False, "green_button": False}
    for visitor in (next(people) for _ in range(500)):

        def does(by: scenario.Visitor = visitor, **shown: bool) -> dict[str, float | None]:
            return dict(scenario.behaviour(by, seed=7, **{**plain, **shown}))

        before = does()
        assert does() == before
        assert does(green_button=True) == before
        broken = does(new_checkout=True)
        assert set(before) ^ set(broken) <= {"purchase", "checkout_error"}
        assert len(before) == len(broken), "a purchase that fails is an error, and no other is"
        hinted = does(shipping_hint=True)
        assert set(hinted) - set(before) <= {"basket"}
        assert set(before) <= set(hinted)


def test_every_plan_is_one_that_can_be_sealed() -> None:
    plans = rehearsal.plans()
    assert tuple(plan.key for plan in plans) == scenario.KEYS
    drafts = {draft["key"]: draft for draft in scenario.flags()}
    for plan in plans:
        assert set(plan.arms) <= set(drafts[plan.flag]["variants"])
        assert plan.prove_by_seconds <= 60
