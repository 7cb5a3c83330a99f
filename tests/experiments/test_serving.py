"""What is written into the flag moves nobody who stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.contract.parsing import parse_plan
from experiments.rules import serving
from flags.errors import StateError
from flagstone.engine import compile_flag_set, parse_flag_set

UNITS = [f"unit-{i}" for i in range(400)]


def served(
    plan: Any, rules: list[dict[str, Any]], others: str = "else"
) -> dict[str, tuple[str | None, bool]]:
    document = {
        "schema": 1,
        "environment": "production",
        "version": 1,
        "segments": {},
        "flags": {
            "checkout": {
                "key": "checkout",
                "type": "string",
                "version": 1,
                "client": False,
                "variants": {arm: {"value": arm} for arm in plan.arms} | {"else": {"value": ""}},
                "enabled": True,
                "killed": False,
                "off": "else",
                "prerequisites": [],
                "targets": [],
                "rules": rules,
                "default": others,
                "metadata": {},
            }
        },
    }
    compiled = compile_flag_set(parse_flag_set(document))
    found = (compiled.evaluate("checkout", {"targetingKey": u}, 0.0) for u in UNITS)
    return {u: (d.variant, d.track) for u, d in zip(UNITS, found, strict=True)}


@st.composite
def plans(draw: st.DrawFn) -> Any:
    treatments = [f"t{i}" for i in range(draw(st.integers(1, 3)))]
    arms = ["control", *treatments]
    return parse_plan(
        {
            "key": "x",
            "flag": "checkout",
            "control": "control",
            "treatments": treatments,
            "weights": {arm: draw(st.integers(1, 9)) for arm in arms},
            "hypothesis": "h",
            "customer": "c",
            "owner": "o",
            "prove_by": "28d",
            "metrics": [
                {
                    "key": "m",
                    "role": "success",
                    "kind": "count",
                    "event": "e",
                    "window": "1d",
                    "mde": 0.1,
                }
            ],
        }
    )


@settings(max_examples=40, deadline=None)
@given(plans(), st.floats(0.01, 1), st.floats(0.01, 1), st.data())
def test_widening_and_dropping_move_nobody_who_stays(
    plan: Any, one: float, other: float, data: st.DataObject
) -> None:
    small, large = sorted((one, other))
    dropped = data.draw(st.sets(st.sampled_from(plan.treatments)))
    before = served(plan, serving.experiment_rules(plan, "s", small, ()))
    wider = served(plan, serving.experiment_rules(plan, "s", large, ()))
    after = served(plan, serving.experiment_rules(plan, "s", large, dropped))
    for unit in UNITS:
        if before[unit][1]:
            assert wider[unit] == before[unit], "who is in stays in, in the same arm"
        if wider[unit][0] in dropped:
            assert after[unit] == ("control", False), "dropped: control, and not tracked"
        else:
            assert after[unit] == wider[unit], "dropping one arm moves nobody else"


@settings(max_examples=40, deadline=None)
@given(
    plans(),
    st.floats(0.01, 1),
    st.booleans(),
    st.lists(st.floats(0.05, 0.95), min_size=1, max_size=3),
    st.data(),
)
def test_those_held_back_never_met_the_change_and_nobody_loses_the_winner(
    plan: Any, coverage: float, on_control: bool, shares: list[float], data: st.DataObject
) -> None:
    winner = data.draw(st.sampled_from(plan.treatments))
    others = "control" if on_control else "else"
    before = served(plan, serving.experiment_rules(plan, "s", coverage, ()), others)
    met = {unit for unit, (variant, _track) in before.items() if variant != "control"}
    having = {unit for unit, (variant, _track) in before.items() if variant == winner}
    held_back = None
    for share in [*sorted(shares), 0.95]:
        rules = serving.shipping_rules(
            plan, "s", winner, share, coverage=coverage, others_on_control=on_control
        )
        now = served(plan, rules, others)
        got = {unit for unit, (variant, _track) in now.items() if variant == winner}
        assert having <= got, "nobody who has the winner loses it"
        assert set(now.values()) <= {("control", True), (winner, True), ("control", False)}
        tracked = {unit for unit, seen in now.items() if seen == ("control", True)}
        assert not tracked & met, "who is held back was on control all along"
        assert held_back in {None, frozenset(tracked)}, "the same units from first to last"
        having, held_back = got, frozenset(tracked)
    assert set(now.values()) <= {("control", True), (winner, True)}
    split, rest = serving.shipping_split(
        plan, winner, 0.95, coverage=coverage, others_on_control=on_control
    )
    widths = [sum(high - low for low, high in each["ranges"]) for each in split]
    assert (sum(widths), rest) == (10_000, [])
    assert widths[0] <= 500


def flag(**changes: Any) -> dict[str, Any]:
    return {
        "key": "checkout",
        "version": 3,
        "variants": {"control": {}, "new": {}},
        "enabled": True,
        "killed": False,
        "rules": [],
    } | changes


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "no flag"),
        (flag(variants={"control": {}}), "no variant 'new'"),
        (flag(killed=True), "killed"),
        (flag(enabled=False), "is off"),
        (flag(rules=[{"id": "exp-button", "when": True, "serve": "control"}]), "already has"),
        (flag(rules=[{"id": "all", "when": True, "serve": "new"}]), "serves everybody"),
        (
            flag(rules=[{"id": "other", "when": {"segment": "x"}, "serve": "new", "track": True}]),
            "already carries",
        ),
    ],
)
def test_a_flag_that_cannot_carry_the_experiment_is_refused(
    make_plan: Callable[..., Any], document: Any, words: str
) -> None:
    with pytest.raises(StateError, match=words) as caught:
        serving.check_flag(parse_plan(make_plan()), document)
    assert caught.value.hint


def test_rules_that_are_there_keep_their_say(make_plan: Callable[..., Any]) -> None:
    plan = parse_plan(make_plan())
    staff = {"id": "staff", "when": {"segment": "staff"}, "serve": "new"}
    rules = serving.experiment_rules(plan, "s", 0.5, ())
    (added,) = serving.instructions_to(plan, flag(rules=[staff]), rules)
    assert (added["do"], added["position"]) == ("add_rule", 1)
