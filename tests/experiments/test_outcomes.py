"""Outcomes: computed from rows, each with its cases, and no number where there are too few."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.people import requests, services
from experiments.people.figures import Outcome
from experiments.people.outcomes import outcomes
from flags import services as flag_services

from .conftest import CUSTOMER, OWNER, World, plan_document


def found(world: World, seconds: float) -> dict[str, Outcome]:
    with world.database.read() as session:
        project = flag_services.get_project(session, "shop").id
        assert project is not None
        listed = outcomes(session, project, now=world.at(seconds))
    assert len({each.key for each in listed}) == len(listed)
    return {each.key: each for each in listed}


def value(**changes: Any) -> dict[str, Any]:
    return {"per_unit": 1, "eligible_units_per_month": 10_000} | changes


def test_nothing_has_no_number_and_says_so(sqlite_world: World) -> None:
    for each in found(sqlite_world, 0).values():
        assert each.definition.endswith(".")
        if each.key not in {"harm_dose"}:
            assert each.value is None, each.key
            assert each.text == "not enough yet"


def run_through(world: World, number: int, end: str, *, waits: float = 10) -> None:
    """Live one experiment of a flag of its own, from second 100 · number on.

    It starts so many seconds after its seal.
    """
    flag, begin = f"flag-{number}", 100.0 * number
    key = f"try-{number}"
    with world.database.write() as session:
        document = {"key": flag, "type": "string", "default": "control", "off": "control"}
        document["variants"] = {"control": {"value": "a"}, "new": {"value": "b"}}
        flag_services.create_flag(session, "shop", document, actor=OWNER, now=world.at(begin))
    world.edit({"do": "turn_on", "flag": flag}, now=begin)
    world.create(plan_document(key=key, flag=flag, value=value()), now=begin)
    world.do(services.seal, key=key, now=begin + 10)
    world.do(services.start, key=key, now=begin + 10 + waits)
    if end == "stop":
        world.do(services.stop, key=key, now=begin + 50, reason="enough")


def test_times_are_medians_of_the_cases(sqlite_world: World) -> None:
    for number, waits in enumerate((10, 1, 35), 1):
        two = found(sqlite_world, 100 * number)
        run_through(sqlite_world, number, "stop", waits=waits)
    # Two cases are no median yet, and no rate.
    assert (two["time_to_market"].n, two["time_to_market"].value) == (2, None)
    assert (two["proof_rate"].n, two["proof_rate"].value) == (2, None)
    assert two["time_to_market"].text == "not enough yet"
    now = found(sqlite_world, 400)
    assert now["time_to_market"].n == 3
    # The one in the middle, not the mean.
    assert now["time_to_market"].value == pytest.approx(10 / 86400)
    assert now["flag_debt"].value == pytest.approx(150 / 86400)
    assert now["proof_rate"].value == 0.0
    assert now["proof_rate"].n == 3
    assert now["innovation_rate"].value == 1.0
    # Three of the four flags were tried.
    assert now["evidence_coverage"].text == "75 %"
    assert now["draft_to_shipped"].value is None


def test_harm_is_timed_from_exposure_to_restoration_and_dosed(sqlite_world: World) -> None:
    world = sqlite_world
    world.run(plan_document(value=value()))
    world.traffic(0, 90, 3000, {"purchase": {"control": 0.5, "new": 0.1}})
    world.tick(12)
    assert world.experiment.verdict == "HARM"
    now = found(world, 100)
    assert now["time_to_detect"].value == pytest.approx(10 / 3600)
    assert now["time_to_restore"].value == pytest.approx(2 / 60)
    counts = world.looks[-1].data["look"]["counts"]
    assert now["harm_dose"].value == pytest.approx(0.8 * counts["new"], rel=0.05)
    assert (now["time_to_detect"].text, now["time_to_restore"].text) == ("10 seconds", "2 seconds")
    assert now["business_benefit_EUR"].text.startswith("−")


def test_harm_that_control_has_none_of_counts_in_full(sqlite_world: World) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 90, 3000, {"purchase": {"control": 0.5, "new": 0.5}, "error": {"new": 0.3}})
    world.tick(12)
    assert world.experiment.verdict == "HARM"
    counts = world.looks[-1].data["look"]["counts"]
    assert found(world, 100)["harm_dose"].value == counts["new"]


def test_a_value_request_ends_when_its_flag_ships(sqlite_world: World) -> None:
    world = sqlite_world
    with world.database.write() as session:
        for number in range(3):
            made = requests.create_request(
                session,
                "shop",
                title=f"{number}",
                demand="value",
                actor=OWNER,
                now=world.at(-86400),
            )
            assert made.id is not None
            link = (session, "shop", made.id)
            requests.link_request(
                *link, flag_key="checkout", relation="resolves", actor=OWNER, now=world.at(0)
            )
    world.run(plan_document(value=value()))
    rates = {"purchase": {"control": 0.2, "new": 0.4}, "error": {"control": 0.1, "new": 0.1}}
    world.traffic(0, 90, 3000, rates)
    for second in (10, 50, 90):
        world.tick(second)
    world.do(services.confirm, CUSTOMER, now=86400)
    now = found(world, 86400 + 10)
    assert now["customer_time_to_value"].value == pytest.approx(2.0, rel=1e-3)
    assert now["failure_demand"].value == 0.0
    # One case is no median.
    assert (now["draft_to_shipped"].n, now["draft_to_shipped"].value) == (1, None)
    assert now["time_to_proof"].n == 1


def test_money_is_written_with_its_currency() -> None:
    amount = Outcome("x", "x", "x.", "money CHF", 1, 1, -12.5)
    assert amount.text == "−12.50 CHF"
