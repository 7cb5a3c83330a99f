"""What a look hands to the decision: the schedule says when, the data only what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.judging.looks import (
    build_look,
    decide,
    finding_of,
    look_document,
    read_look,
)
from experiments.judging.quality import Quality
from stats import CovariateMoments, LookData, Moments, Verdict

FRESH = Quality(newest_event_age_seconds=1.0)


def look_at(
    plan: Plan,
    offset: float,
    units: int = 1000,
    rates: tuple[float, float] = (0.2, 0.1),
    new: tuple[float, float] | None = None,
    **options: Any,
) -> LookData:
    sums = {
        metric.key: {
            "control": Moments.conversions(units, round(units * rates[i])),
            "new": Moments.conversions(units, round(units * (new or rates)[i])),
        }
        for i, metric in enumerate(plan.metrics)
    }
    return build_look(
        plan,
        number=options.pop("number", 1),
        offset=offset,
        counts={"control": units, "new": units},
        sums=sums,
        quality=options.pop("quality", FRESH),
        **options,
    )


@pytest.mark.parametrize(
    ("offset", "time", "ships", "futile", "final"),
    [
        (10, 0.1, False, False, False),
        (30, 0.3, True, True, False),
        (100, 1.0, True, True, True),
    ],
)
def test_time_and_permissions_come_from_the_schedule(
    make_plan: Callable[..., Any],
    offset: float,
    time: float,
    ships: bool,
    futile: bool,
    final: bool,
) -> None:
    look = look_at(parse_plan(make_plan()), offset)
    said = (look.spending_time, look.may_ship, look.may_be_futile, look.is_final)
    assert said == (time, ships, futile, final)


def test_with_planned_units_time_is_their_share_and_the_last_one_ends_it_on_a_ship_date(
    make_plan: Callable[..., Any],
) -> None:
    plan = parse_plan(make_plan(planned_units=4000))
    assert look_at(plan, 10, units=1000).spending_time == 0.5
    early = look_at(plan, 10, units=2500)
    assert (early.spending_time, early.is_final) == (1.25, False)
    full = look_at(plan, 40, units=2500)
    assert (full.spending_time, full.is_final, full.may_ship) == (1.25, True, True)
    # Too few by the deadline: it is final all the same, and spends the time that is left.
    late = look_at(plan, 100, units=500)
    assert (late.spending_time, late.is_final) == (1.0, True)


def test_time_never_runs_backwards(make_plan: Callable[..., Any]) -> None:
    plan = parse_plan(make_plan(planned_units=4000))
    first = look_at(plan, 10, units=1000)
    second = look_at(plan, 20, units=900, earlier=[first], number=2)
    assert second.spending_time == first.spending_time


@pytest.mark.parametrize(
    "quality",
    [Quality(quarantined=200, newest_event_age_seconds=1.0), Quality(stale=True)],
    ids=["several arms", "stale"],
)
def test_bad_data_ship_nothing_but_still_show_harm(
    make_plan: Callable[..., Any], quality: Quality
) -> None:
    plan = parse_plan(make_plan())
    better = look_at(plan, 30, units=4000, new=(0.4, 0.1), quality=quality)
    assert decide(plan, [better]).verdict is Verdict.CONTINUE
    trusted = look_at(plan, 30, units=4000, new=(0.4, 0.1))
    assert decide(plan, [trusted]).verdict is Verdict.VALUE_PROVEN
    worse = look_at(plan, 30, new=(0.1, 0.1), quality=quality)
    assert decide(plan, [worse]).verdict is Verdict.HARM


def test_a_look_while_the_customer_thinks_can_find_harm_only(
    make_plan: Callable[..., Any],
) -> None:
    plan = parse_plan(make_plan())
    look = look_at(plan, 100, waits_for_customer=True)
    assert (look.may_ship, look.may_be_futile, look.is_final) == (False, False, False)
    assert decide(plan, [look]).verdict is Verdict.CONTINUE
    later = look_at(plan, 120, new=(0.1, 0.1), waits_for_customer=True)
    assert later.spending_time == 1.2
    assert decide(plan, [later]).verdict is Verdict.HARM


def test_a_claim_of_no_harm_is_proven_by_its_guardrails(make_plan: Callable[..., Any]) -> None:
    document = make_plan(claim="no_harm")
    document["metrics"] = [document["metrics"][1]]
    plan = parse_plan(document)
    look = look_at(plan, 50, units=4000, rates=(0.1,))  # type: ignore[arg-type]
    finding = finding_of(decide(plan, [look]), look)
    assert (finding.verdict, finding.winner) == ("NO_HARM_PROVEN", "new")


floats = st.floats(0, 50)


@given(st.lists(st.tuples(floats, floats), max_size=8), st.booleans(), st.booleans())
def test_a_look_reads_back_to_the_last_bit(
    pairs: list[tuple[float, float]], with_covariate: bool, final: bool
) -> None:
    values, before = [y for y, _ in pairs], [x for _, x in pairs]
    moments = CovariateMoments.of_pairs(values, before) if with_covariate else Moments.of(values)
    look = LookData(3, 0.123, final, True, final, {"a": 5, "b": 7}, {"m": {"a": moments}})
    assert read_look(json.loads(json.dumps(look_document(look)))) == look
