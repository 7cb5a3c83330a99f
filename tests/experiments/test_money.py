"""Break-even and net benefit: the worked check to the cent, laws, and every fault by its field."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.contract.money import MOST_CENTS, Value, Worth, cents, money_text, months_of_effect
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.errors import PlanError
from experiments.telling.card import card_text

from .conftest import World, plan_document

PlanMaker = Callable[..., dict[str, Any]]

WORKED = {
    "per_unit": 0.90,
    "eligible_units_per_month": 120_000,
    "horizon_months": 12,
    "run_per_month": 400,
    "cleanup": 1500,
}


def priced(**value: Any) -> dict[str, Any]:
    """Give a plan with the worked check's money, changed; ``None`` takes a field away."""
    table = {name: each for name, each in (WORKED | value).items() if each is not None}
    return plan_document(value=table)


def value_of(**changes: Any) -> Value:
    value = parse_plan(priced(**changes)).value
    assert value is not None
    return value


def test_the_worked_check_of_the_design_holds_to_the_cent() -> None:
    value = value_of()
    assert value.break_even == float(Fraction(6300, 1_296_000))
    worth = value.net_benefits(0.015, 0.009, 0.021)
    assert worth == Worth(likely=1_314_000, low=536_400, high=2_091_600)
    assert money_text(worth.low or 0, value.currency) == "5,364.00 EUR"


def test_at_break_even_nothing_is_gained_and_nothing_lost() -> None:
    assert abs(value_of().net_benefit(value_of().break_even)) == 0


def test_money_makes_the_margin_of_the_first_success_metric_the_break_even_effect() -> None:
    plan = parse_plan(priced())
    assert plan.success_metrics[0].superiority_margin == plan.value.break_even  # type: ignore[union-attr]
    assert parse_plan(plan.to_document()) == plan


def test_another_margin_beside_money_is_refused_and_the_same_one_is_not() -> None:
    document = priced()
    document["metrics"][0]["superiority_margin"] = 0.01
    with pytest.raises(PlanError, match=r"break-even is 0\.00486") as caught:
        parse_plan(document)
    assert caught.value.field == "metrics[0].superiority_margin"
    assert caught.value.hint
    document["metrics"][0]["superiority_margin"] = 6300 / 1_296_000
    assert parse_plan(document).value is not None


def test_a_fall_is_worth_money_where_down_is_better(sqlite_world: World) -> None:
    document = priced(run_per_month=0, cleanup=12_960)
    document["metrics"][0] |= {"direction": "down", "mde": 0.3}
    plan = parse_plan(document)
    assert plan.success_metrics[0].superiority_margin == 0.01
    sqlite_world.run(document)
    rates = {"purchase": {"control": 0.5, "new": 0.2}, "error": {"control": 0.2, "new": 0.1}}
    sqlite_world.traffic(0, 90, 3000, rates)
    for second in (10, 20, 30, 40):
        sqlite_world.tick(second)
    card = sqlite_world.card(40)
    assert card.verdict == "VALUE_PROVEN"
    (worth,) = card.worth
    assert worth.estimate < 0 < worth.money.low < worth.money.likely < worth.money.high
    assert worth.break_even == -0.01


def test_half_lives_are_summed_month_by_month() -> None:
    assert months_of_effect(Decimal(12), None) == 12
    # 0.5 + 0.25 + 0.125
    assert months_of_effect(Decimal(3), Decimal(1)) == Decimal("0.875")
    assert float(months_of_effect(Decimal(12), Decimal(6))) == pytest.approx(
        sum(0.5 ** (m / 6) for m in range(1, 13)), rel=1e-15
    )
    assert months_of_effect(Decimal("1.5"), Decimal(1)) == Decimal("0.625")


def test_half_a_cent_goes_to_the_even_one() -> None:
    assert [cents(Decimal(x)) for x in ("0.005", "0.015", "-0.005", "0.0251")] == [0, 2, 0, 3]
    assert cents(Decimal("1e40")) == MOST_CENTS


def test_the_worse_value_of_a_unit_bounds_the_worth_from_below_on_both_sides_of_zero() -> None:
    value = value_of(
        per_unit={"low": 0.5, "likely": 1, "high": 2}, run_per_month=None, cleanup=None
    )
    worth = value.net_benefits(0.0, -0.01, 0.01)
    assert worth == Worth(0, low=-2 * 1_440_000, high=2 * 1_440_000)
    assert value.net_benefits(0.02, 0.01, None) == Worth(2_880_000, 720_000, None)


@given(
    st.integers(1, 10_000),
    st.integers(1, 10**7),
    st.integers(1, 60),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(-1000, 1000),
)
def test_net_benefit_is_exact_to_half_a_cent(
    v: int, units: int, horizon: int, run: int, cleanup: int, per_mille: int
) -> None:
    value = Value(*[Decimal(v) / 100] * 3, Decimal(units), horizon, run=run, cleanup=cleanup)
    exact = Fraction(v * units * horizon * per_mille, 1000) - run * horizon - cleanup
    assert abs(value.net_benefit(per_mille / 1000) - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"per_unit": 0}, "value.per_unit"),
        ({"per_unit": -1}, "value.per_unit"),
        ({"per_unit": "much"}, "value.per_unit"),
        ({"per_unit": None}, "value.per_unit"),
        ({"per_unit": {"low": 2, "likely": 1, "high": 3}}, "value.per_unit"),
        ({"per_unit": {"low": 1, "likely": 1}}, "value.per_unit.high"),
        ({"per_unit": {"low": 0, "likely": 1, "high": 1}}, "value.per_unit.low"),
        ({"eligible_units_per_month": 0}, "value.eligible_units_per_month"),
        ({"eligible_units_per_month": None}, "value.eligible_units_per_month"),
        ({"run_per_month": -1}, "value.run_per_month"),
        ({"cleanup": 0.001}, "value.cleanup"),
        ({"build": -5}, "value.build"),
        ({"horizon_months": 0}, "value.horizon_months"),
        ({"horizon_months": 121}, "value.horizon_months"),
        ({"half_life_months": 0}, "value.half_life_months"),
        ({"currency": "a long name"}, "value.currency"),
        ({"price": 1}, "value.price"),
        ({"per_unit": 1e9, "eligible_units_per_month": 1e12}, "value"),
        ({"cleanup": 1e7}, "value"),
    ],
)
def test_a_fault_in_the_money_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(priced(**changes))
    assert caught.value.field == field


def test_a_claim_of_no_harm_has_no_money() -> None:
    document = priced() | {"claim": "no_harm"}
    document["metrics"] = document["metrics"][1:]
    with pytest.raises(PlanError, match="no metric to count"):
        parse_plan(document)


def test_to_do_nothing_is_always_the_first_alternative() -> None:
    plan = parse_plan(plan_document(alternatives=["a banner"]))
    assert plan.alternatives == ("do nothing", "a banner")
    assert parse_plan(plan.to_document()).alternatives == plan.alternatives
    for wrong in (["a", "do nothing"], ["a", "A"], "a", [1], [""]):
        with pytest.raises(PlanError) as caught:
            parse_plan(plan_document(alternatives=wrong))
        assert caught.value.field == "alternatives"


def test_the_seal_of_a_plan_without_money_is_what_it_was() -> None:
    plan = plan_document()
    # Fields that plans could not name yet when this one was sealed.
    policy = {k: v for k, v in plan["policy"].items() if k not in {"ship_ramp", "verify"}}
    document = parse_plan(plan | {"policy": policy}).to_document()
    assert "value" not in document
    assert "alternatives" not in document
    assert plan_hash(document) == "a76a02c704e96bc95235dba46eb0856f4d3d26afefde77429350da2048cefd60"


def test_the_card_says_what_it_is_worth_and_what_it_has_cost(sqlite_world: World) -> None:
    sqlite_world.run(priced(build=2000, run_per_month=300))
    sqlite_world.traffic(0, 90, 3000, {"purchase": {"control": 0.2, "new": 0.3}})
    for second in (10, 20, 30, 40):
        sqlite_world.tick(second)
    text = " ".join(card_text(sqlite_world.card(40)).split())
    assert "net benefit" in text
    assert "EUR in 12 months, between" in text
    assert "against doing nothing" in text
    assert "break-even +0.394 points" in text
    # 40 seconds are four of the policy's days: 300.00 · 4 / 30.4375.
    assert "In money: 39.43 EUR to run it and 0.00 EUR lost by those who met it." in text
    assert "Built for 2,000.00 EUR, which decides nothing." in text


def test_before_the_first_ship_date_the_card_tells_costs_but_no_loss(sqlite_world: World) -> None:
    sqlite_world.run(priced())
    sqlite_world.traffic(0, 10, 300, {"purchase": {"control": 0.3, "new": 0.2}})
    sqlite_world.tick(10)
    text = " ".join(card_text(sqlite_world.card(10)).split())
    assert "In money: 13.14 EUR to run it." in text
    assert "lost" not in text
