"""Buckets of a layer: chosen, freed, and never in two hands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.contract.lanes import (
    Lane,
    arranged,
    choose,
    free_ranges,
    lane_of_rule,
    narrowed,
    overlap,
    read_lane,
    width,
)
from experiments.contract.parsing import parse_plan
from experiments.errors import PlanError


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6000)), max_size=25))
def test_reservations_never_overlap_and_nothing_is_refused_that_has_room(
    steps: list[tuple[bool, int]],
) -> None:
    held: list[Any] = []
    for starts, number in steps:
        if not starts:
            if held:
                held.pop(number % len(held))
            continue
        taken = [pair for ranges in held for pair in ranges]
        free = free_ranges(taken)
        assert width(free) == 10_000 - width(taken)
        chosen = choose(free, number)
        assert (chosen is None) == (number > width(free))
        if chosen is not None:
            assert width(chosen) == number
            assert not overlap(chosen, taken)
            assert all(0 <= low < high <= 10_000 for low, high in chosen)
            held.append(chosen)


def test_the_narrowest_piece_that_holds_all_is_taken_before_the_share_is_cut_up() -> None:
    free = free_ranges([(0, 1000), (4000, 5000), (6000, 9000)])
    assert free == ((1000, 4000), (5000, 6000), (9000, 10_000))
    assert free_ranges([(0, 5), (6, 10_000)]) == ((5, 6),)
    assert choose(free, 900) == ((5000, 5900),)
    assert choose(free, 2000) == ((1000, 3000),)
    assert choose(free, 3500) == ((1000, 4000), (5000, 5500))
    assert choose(free, 5001) is None


def test_a_lane_is_read_back_and_found_in_a_rule_however_deep() -> None:
    lane = Lane("checkout", "layer-3:checkout", ((0, 10), (20, 30)))
    assert read_lane(lane.to_document()) == lane
    assert read_lane(None) is None
    when = {"all": [narrowed({"segment": "eu"}, lane.condition()), {"segment": "x"}]}
    assert lane_of_rule({"when": when}, lane.salt) == [[0, 10], [20, 30]]
    assert lane_of_rule({"when": when}, "layer-4:checkout") is None
    # Under `any` or `not` it limits nobody.
    assert lane_of_rule({"when": {"any": [lane.condition()]}}, lane.salt) is None
    assert lane_of_rule({"when": {"not": lane.condition()}}, lane.salt) is None
    assert narrowed(None) is None
    assert narrowed(None, lane.condition()) == lane.condition()


def test_what_ends_in_a_layer_never_stands_before_what_runs() -> None:
    order = ["staff", "exp-a", "exp-b", "late"]
    stopped = arranged(
        order, ["exp-a"], serving=["exp-b"], ended=[], begins=False, is_for_all=False
    )
    assert stopped == ["staff", "exp-b", "exp-a", "late"]
    new = [*stopped, "exp-c"]
    started = arranged(
        new, ["exp-c"], serving=["exp-b"], ended=["exp-a"], begins=True, is_for_all=False
    )
    assert started == ["staff", "exp-b", "exp-c", "exp-a", "late"]
    ships = arranged(
        ["exp-a", "exp-b:ship", "exp-c"],
        ["exp-b", "exp-b:ship"],
        serving=["exp-c"],
        ended=["exp-a"],
        begins=False,
        is_for_all=True,
    )
    assert ships == ["exp-c", "exp-b:ship", "exp-a"]
    assert arranged(order, [], serving=[], ended=[], begins=False, is_for_all=True) == order


def test_a_plan_names_its_layer_and_its_share(make_plan: Any) -> None:
    plan = parse_plan(make_plan(layer="checkout", layer_share=0.25))
    assert plan.layer is not None
    assert (plan.layer.key, plan.layer.buckets) == ("checkout", 2500)
    assert parse_plan(plan.to_document()) == plan
    whole = parse_plan(make_plan(layer="checkout"))
    assert whole.layer is not None
    assert whole.layer.buckets == 10_000
    assert "layer" not in parse_plan(make_plan()).to_document()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"layer": "Not a key"}, "layer"),
        ({"layer": "a", "layer_share": 0}, "layer_share"),
        ({"layer": "a", "layer_share": 1.5}, "layer_share"),
        ({"layer_share": 0.5}, "layer_share"),
    ],
)
def test_a_share_of_no_layer_or_of_nothing_is_refused(
    make_plan: Any, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(make_plan(**fields))
    assert (caught.value.field, bool(caught.value.hint)) == (field, True)
