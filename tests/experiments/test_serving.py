"""What is written into the flag moves nobody who stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import serving
from experiments.plan import parse_plan
from flags.errors import StateError
from flagstone.engine import compile_flag_set, parse_flag_set

UNITS = [f"unit-{i}" for i in range(400)]


def served(plan: Any, rules: list[dict[str, Any]]) -> dict[str, tuple[str | None, bool]]:
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
                "default": "else",
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


@settings(max_examples=20, deadline=None)
@given(plans())
def test_those_held_back_were_on_control_all_along(plan: Any) -> None:
    # 5 % fit into every control slot that has at least one part in twenty.
    if plan.weight_of["control"] * 20 < sum(plan.weight_of.values()):
        return
    running = served(plan, serving.experiment_rules(plan, "s", 1.0, ()))
    shipping = served(plan, serving.shipping_rules(plan, "s", plan.treatments[0]))
    held_back = {unit for unit, (variant, _track) in shipping.items() if variant == "control"}
    assert held_back <= {unit for unit, (variant, _t) in running.items() if variant == "control"}
    assert {variant for variant, _t in shipping.values()} <= {"control", plan.treatments[0]}


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
