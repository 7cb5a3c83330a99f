"""What cannot be proven does not start, unless the customer signs for it."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.errors import ForecastPendingError, NotFeasibleError
from experiments.judging.record import verify
from experiments.people import services
from experiments.planning.feasibility import OLDEST
from flags.actor import Actor
from flags.audit import entries
from flags.errors import InvalidInputError, NotAllowedError, StateError
from flags.services import get_project
from tests.experiments.conftest import plan_document
from tests.forecasting import stated

CUSTOMER = Actor("user", "Customer@Example.org")
PLACE = ("shop", "production", "button")


def start(world: Any, now: float = 0) -> Any:
    """Start without the forecast that the world's own step makes first."""
    with world.database.write() as session:
        return services.start(session, *PLACE, actor=CUSTOMER, now=world.at(now))


def sealed(world: Any, **changes: Any) -> None:
    world.create(stated(plan_document(**changes)))
    world.do(services.seal)


def test_nothing_starts_before_its_forecast(world: Any) -> None:
    sealed(world)
    with pytest.raises(ForecastPendingError) as caught:
        start(world)
    assert (caught.value.code, caught.value.retry_after_seconds) == ("forecast_pending", 1)
    assert world.experiment.state == "SEALED"
    world.forecast(1)
    assert start(world, 2).state == "RUNNING"


def test_an_old_forecast_means_that_no_worker_lives_and_starts_nothing(sqlite_world: Any) -> None:
    world = sqlite_world
    sealed(world)
    world.forecast(0)
    late = OLDEST.total_seconds() + 1
    with pytest.raises(ForecastPendingError):
        start(world, late)
    world.forecast(late)
    assert start(world, late).state == "RUNNING"


@pytest.mark.parametrize(
    ("changes", "field", "risk", "words"),
    [
        ({"expected": {}}, "expected.units_per_day", "no_traffic", "nobody is known to come"),
        (
            {"expected": {"units_per_day": 1e7, "metrics": {"purchase": {"baseline": 0.2}}}},
            "metrics[1].event",
            "no_data",
            "no event 'error' has been recorded",
        ),
        (
            {
                "expected": {
                    "units_per_day": 100,
                    "metrics": {"purchase": {"baseline": 0.2}, "errors": {"baseline": 0.1}},
                }
            },
            "metrics[0].mde",
            "mde",
            "but not a rise of 10 % in purchase",
        ),
    ],
)
def test_a_start_is_refused_with_the_field_and_the_reason(
    sqlite_world: Any, changes: dict[str, Any], field: str, risk: str, words: str
) -> None:
    world = sqlite_world
    sealed(world, **changes)
    world.forecast(0)
    with pytest.raises(NotFeasibleError) as caught:
        start(world)
    refused = caught.value
    assert (refused.code, refused.field) == ("not_feasible", field)
    assert words in refused.message
    assert refused.hint is not None
    assert risk in refused.hint
    assert world.experiment.state == "SEALED"


def test_what_the_customer_signs_for_starts(world: Any) -> None:
    sealed(world, expected={})
    world.forecast(0)
    world.do(services.accept, actor=CUSTOMER, risks=["no_traffic"], now=1)
    with pytest.raises(NotFeasibleError, match="purchase has no data"):
        start(world)
    world.do(services.accept, actor=CUSTOMER, risks=["no_data"], now=2)
    assert "Customer@Example.org accepts no_data." in world.card(2).sentence
    # A signature outlives the next forecast of the same plan.
    world.forecast(100)
    assert start(world, 101).state == "RUNNING"
    kinds = [(r["kind"], r["body"].get("do")) for r in world.records]
    assert kinds == [("seal", None), ("action", "accept"), ("action", "accept"), ("start", None)]
    signed = world.records[2]
    assert signed["actor"] == "user:Customer@Example.org"
    assert signed["body"]["risks"] == ["no_data"]
    assert signed["body"]["forecast"]["risks"][0]["risk"] == "no_traffic"
    assert verify(world.export()).identical
    with world.database.read() as session:
        project = get_project(session, "shop")
        assert project.id is not None
        found = entries(session, project.id, resource="experiment:button", limit=None)
        assert [entry.action for entry in found].count("experiment_accept") == 2


def test_only_the_customer_signs_and_only_what_is_sealed_and_foretold(sqlite_world: Any) -> None:
    world = sqlite_world
    world.create(plan_document(expected={}))
    with pytest.raises(StateError, match="sealed plan"):
        world.do(services.accept, actor=CUSTOMER, risks=["mde"])
    world.do(services.seal)
    with pytest.raises(ForecastPendingError):
        world.do(services.accept, actor=CUSTOMER, risks=["mde"])
    world.forecast(0)
    for actor in (
        Actor("user", "owner@example.org"),
        Actor("token", CUSTOMER.name),
        Actor("system", CUSTOMER.name),
    ):
        with pytest.raises(NotAllowedError, match="only the customer"):
            world.do(services.accept, actor=actor, risks=["mde"])
    for risks in ([], ["weather"], ["mde", "weather"]):
        with pytest.raises(InvalidInputError) as caught:
            world.do(services.accept, actor=CUSTOMER, risks=risks)
        assert caught.value.field == "risks"
    world.do(services.accept, actor=CUSTOMER, risks=["mde", "no_traffic", "no_data"])
    assert start(world).state == "RUNNING"
    with pytest.raises(StateError):
        world.do(services.accept, actor=CUSTOMER, risks=["mde"])


def test_a_plan_cannot_sign_for_its_customer(sqlite_world: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        sqlite_world.create(plan_document(accepted_risks=["mde"]))
    assert caught.value.field == "accepted_risks"
