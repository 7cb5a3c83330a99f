"""The monitor looks on time, once, and acts by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from experiments.judging.record import verify
from experiments.machine.lifecycle import State
from experiments.people import services
from flags.actor import Actor

CUSTOMER = Actor("user", "customer@example.org")
SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
WORSE = {"purchase": {"control": 0.2, "new": 0.1}, "error": {"control": 0.1, "new": 0.1}}
BETTER = {"purchase": {"control": 0.2, "new": 0.3}, "error": {"control": 0.1, "new": 0.1}}


def test_harm_turns_the_flag_back_by_itself(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 3000, WORSE)
    before = world.flag()
    assert set(world.served().values()) == {"control", "new"}
    result = world.tick(10)
    assert (result.elected, result.looks, result.errors) == (True, 1, ())
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "HARM")
    assert set(world.served().values()) == {"control"}
    after = world.flag()
    assert after["version"] == before["version"] + 1
    (rule,) = after["rules"]
    assert (rule["id"], rule["serve"], rule.get("track")) == ("exp-button", "control", None)
    look = world.records[-2]
    assert look["kind"] == "look"
    assert look["body"]["flag"]["before"] == before["version"]
    assert look["body"]["flag"]["after"] == after["version"]
    assert "purchase fell by" in look["sentence"]
    assert world.records[-1]["kind"] == "end"
    assert verify(world.export()).identical


def test_a_proven_change_waits_for_its_customer_and_then_ships(world: Any) -> None:
    world.run()
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER)
        world.tick(second + 10)
        if second < 20:
            assert world.experiment.verdict is None, "nothing is proven before the minimum"
    experiment = world.experiment
    assert (experiment.state, experiment.verdict, experiment.winner) == (
        "RUNNING",
        "VALUE_PROVEN",
        "new",
    )
    assert experiment.confirm_by == world.at(90)
    with pytest.raises(Exception, match="only the customer"):
        world.do(services.confirm, now=40)
    world.do(services.confirm, actor=CUSTOMER, now=40)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("SHIPPING", "VALUE_PROVEN")
    served = list(world.served(2000).values())
    assert 0.93 < served.count("new") / 2000 < 0.97
    assert set(served) == {"new", "control"}
    assert verify(world.export()).identical


def test_nobody_confirming_rolls_back(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER)
        world.tick(second + 10)
    world.tick(89)
    assert world.experiment.state == "RUNNING"
    world.tick(90)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "VALUE_PROVEN")
    assert set(world.served().values()) == {"control"}
    assert "did not confirm" in experiment.note


def test_a_change_authorised_in_advance_ships_by_itself(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    world.run(make_plan(authorised_in_advance=True))
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER)
        world.tick(second + 10)
    assert world.experiment.state == "VERIFYING"
    assert "Authorised in advance" in world.records[-2]["sentence"]


def test_silence_at_the_deadline_rolls_back(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 400, SAME)
    for second in range(10, 100, 10):
        world.tick(second)
    assert world.experiment.state == "RUNNING"
    world.tick(100)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "NOT_PROVEN_IN_TIME")
    assert world.looks[-1].data["look"]["is_final"]
    assert set(world.served().values()) == {"control"}


def test_an_idea_that_cannot_reach_its_least_effect_is_given_up(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    for second in range(0, 50, 10):
        world.traffic(second, second + 10, 6000, SAME)
        world.tick(second + 10)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "FUTILE")


def test_a_split_that_is_not_the_planned_one_invalidates(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 10, 2000, SAME)
    # Half of those who met the new variant never reported it.
    compiled = world.compiled()
    lost = [f"lost{i}" for i in range(3000)]
    now = world.at(0).timestamp()
    kept = [
        unit
        for unit in lost
        if compiled.evaluate("checkout", {"targetingKey": unit}, now).variant == "control"
    ]
    world.store.append(_exposures(world, kept[:900], "control"))
    world.tick(10)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "INVALID")
    card = world.card(11)
    assert card.worth == ()
    assert card.harm == ()


def _exposures(world: Any, units: list[str], variant: str, second: float = 5) -> list[Any]:
    environment_id = world.environment_id()
    return [_exposure(world, environment_id, unit, variant, second) for unit in units]


def _exposure(world: Any, environment_id: int, unit: str, variant: str, second: float = 5) -> Any:
    from experiments.store.base import Event

    return Event(
        id=world._id(),
        environment_id=environment_id,
        time=world.at(second).timestamp(),
        unit=unit,
        flag="checkout",
        variant=variant,
        rule="exp-button",
        revision=1,
    )


def test_only_the_harmed_arm_is_dropped(world: Any, make_plan: Any) -> None:
    world.run(make_plan(treatments=["new", "third"], weights={"control": 1, "new": 1, "third": 1}))
    rates = {
        "purchase": {"control": 0.2, "new": 0.05, "third": 0.2},
        "error": {"control": 0.1, "new": 0.1, "third": 0.1},
    }
    before = world.served(300)
    world.traffic(0, 10, 4000, rates)
    world.tick(10)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict, experiment.dropped) == ("RUNNING", None, ["new"])
    after = world.served(300)
    moved = {unit for unit in before if before[unit] != after[unit]}
    assert moved == {unit for unit in before if before[unit] == "new"}
    assert {after[unit] for unit in moved} == {"control"}
    # The next look is not disturbed by those who are on control now without being tracked.
    world.traffic(10, 20, 4000, rates)
    world.tick(20)
    assert world.experiment.state == "RUNNING"
    assert world.looks[1].data["quality"]["quarantined"] == 0
    assert world.looks[1].decision["srm_log_e"] < 3
    assert verify(world.export()).identical
    card = world.card(21)
    assert any(line.text == "new: worse, dropped earlier" for line in card.harm)


def test_the_ramp_widens_only_after_a_look_has_seen_the_step(world: Any, make_plan: Any) -> None:
    policy = make_plan()["policy"] | {
        "ramp": [{"coverage": 0.1, "hold": "10s"}, {"coverage": 0.5, "hold": "10s"}]
    }
    world.run(make_plan(policy=policy, coverage=0.8))
    world.traffic(0, 10, 100, SAME)
    units = [f"x{i}" for i in range(500)]

    def inside() -> set[str]:
        compiled = world.compiled()
        now = world.at(0).timestamp()
        return {
            unit
            for unit in units
            if compiled.evaluate("checkout", {"targetingKey": unit}, now).track
        }

    steps = [inside()]
    assert world.experiment.coverage == 0.1
    world.tick(5)
    assert world.experiment.coverage == 0.1
    # Two steps are due after a downtime, but one look has been taken: one step.
    world.tick(25)
    assert (world.experiment.coverage, world.experiment.state) == (0.5, "RAMPING")
    steps.append(inside())
    world.tick(26)
    assert world.experiment.coverage == 0.5
    world.tick(30)
    assert (world.experiment.coverage, world.experiment.state) == (0.8, "RUNNING")
    steps.append(inside())
    assert steps[0] < steps[1] < steps[2]
    assert [record["kind"] for record in world.records] == [
        "seal",
        "start",
        "look",
        "ramp",
        "look",
        "ramp",
    ]


def test_a_downtime_invents_no_looks(world: Any) -> None:
    world.run()
    world.traffic(0, 40, 400, SAME)
    world.tick(10)
    world.tick(47)
    world.tick(48)
    assert [look.number for look in world.looks] == [1, 2]
    assert [look.data["offset"] for look in world.looks] == [10, 40]
    assert world.experiment.next_look_at == world.at(50)


def test_a_worker_that_slept_past_the_deadline_takes_the_last_look_at_the_deadline(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 40, 400, SAME)
    world.tick(1000)
    (look,) = world.looks
    assert look.data["offset"] == 100
    assert world.experiment.verdict == "NOT_PROVEN_IN_TIME"


def test_a_rule_edited_by_hand_breaks_the_seal(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 3000, BETTER)
    world.edit({"do": "set_weights", "rule": "exp-button", "weights": {"control": 10, "new": 90}})
    edited = world.flag()["rules"]
    world.tick(10)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("HELD", None)
    assert "edited by hand" in experiment.note
    assert world.flag()["rules"] == edited, "the flag stays as edited"
    assert not next(line for line in world.card(11).trust if line.name == "seal").good
    for second in range(20, 100, 10):
        world.tick(second)
    assert world.experiment.state == "HELD", "nothing can be proven, and nothing given up"
    world.tick(100)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "INVALID")
    assert set(world.served().values()) == {"control"}


def test_harm_is_stopped_even_while_the_seal_is_broken(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 10, 3000, WORSE)
    world.edit(
        {
            "do": "update_rule",
            "rule": {"id": "exp-button", "when": {"attr": "x", "op": "exists"}},
        }
    )
    world.tick(10)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "INVALID")
    (rule,) = world.flag()["rules"]
    assert rule["serve"] == "control"


@pytest.mark.parametrize(
    "edit",
    [
        {"do": "kill"},
        {"do": "turn_off"},
        {"do": "remove_rule", "rule": "exp-button"},
        {"do": "archive"},
    ],
    ids=lambda edit: edit["do"],
)
def test_a_flag_that_is_taken_away_breaks_the_seal_and_still_ends(
    sqlite_world: Any, edit: dict[str, Any]
) -> None:
    world = sqlite_world
    world.run()
    world.edit(edit)
    world.tick(1)
    assert world.experiment.state == "HELD"
    result = world.tick(100)
    assert result.errors == ()
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "INVALID")


def test_a_look_and_its_consequence_are_one_transaction(world: Any) -> None:
    """The flag cannot be turned back: then there is no look and no record of it either."""
    import sqlalchemy as sa

    world.run()
    world.traffic(0, 10, 3000, WORSE)
    records = len(world.records)

    def refuse(*_args: Any) -> None:
        raise RuntimeError("no revision today")

    from flags.models import Revision

    sa.event.listen(Revision, "before_insert", refuse)
    try:
        (error,) = world.tick(10).errors
        assert "no revision today" in error
    finally:
        sa.event.remove(Revision, "before_insert", refuse)
    assert world.looks == []
    assert len(world.records) == records
    assert world.experiment.state == "RUNNING"
    world.tick(10)
    assert world.experiment.verdict == "HARM"


def test_one_experiments_trouble_does_not_keep_the_others_unprotected(
    sqlite_world: Any, make_plan: Any
) -> None:
    import sqlalchemy as sa

    world = sqlite_world
    world.run()
    with world.database.write() as session:
        session.execute(
            sa.text("UPDATE experiments SET rule = :rule"), {"rule": '{"broken": true}'}
        )
        # A first experiment whose plan cannot be read any more.
        session.execute(sa.text("UPDATE experiments SET plan = :plan"), {"plan": '{"key": "x"}'})
    result = world.tick(10)
    assert len(result.errors) == 1
    assert result.elected


def test_people_who_met_two_arms_count_nowhere_and_many_of_them_keep_it_from_shipping(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    world.run()
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER)
    both = [f"both{i}" for i in range(400)]
    world.store.append(_exposures(world, both, "control"))
    world.store.append(_exposures(world, both, "new"))
    world.tick(30)
    (look,) = world.looks
    assert look.data["quality"]["quarantined"] == 400
    assert "400 of" in look.data["alarm"]
    assert not look.data["look"]["may_ship"]
    assert world.experiment.verdict is None


def test_looks_with_no_events_at_all_are_taken_and_stop_nothing(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    for second in range(10, 60, 10):
        assert world.tick(second).errors == ()
    assert len(world.looks) == 5
    assert world.experiment.state == State.RUNNING
    assert "no fresh events" in world.looks[-1].data["alarm"]


class Meanwhile:
    """An event store during whose reading something else happens."""

    def __init__(self, store: Any, happens: Callable[[], Any]) -> None:
        self.store, self.happens = store, happens

    @contextmanager
    def tables(self, *args: Any, **options: Any) -> Iterator[Any]:
        self.happens()
        with self.store.tables(*args, **options) as tables:
            yield tables


def test_a_person_who_stops_during_a_look_has_the_last_word(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 3000, WORSE)
    world.store = Meanwhile(world.store, lambda: world.do(services.stop, reason="enough", now=10))
    result = world.tick(10)
    assert (result.looks, result.errors) == (0, ())
    assert world.looks == []
    assert world.experiment.verdict == "OVERRIDE_STOP"


def test_a_rule_edited_during_a_look_breaks_the_seal_before_anything_ships(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    world.run(make_plan(authorised_in_advance=True))
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER)
    store = world.store
    weights = {"control": 10, "new": 90}
    world.store = Meanwhile(
        store,
        lambda: world.edit({"do": "set_weights", "rule": "exp-button", "weights": weights}),
    )
    assert world.tick(30).looks == 0
    world.store = store
    world.tick(30)
    assert (world.experiment.state, len(world.looks)) == ("HELD", 1)
    assert len(set(world.served().values())) == 2
