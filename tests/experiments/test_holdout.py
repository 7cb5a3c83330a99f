"""Who is held out gets control of everything, and counts in nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from experiments.moves import holdout, layers
from experiments.people import services
from flags import services as flag_services
from flags.actor import Actor
from flags.errors import InvalidInputError, NotFoundError, StateError, VersionConflictError

OWNER = Actor("user", "owner@example.org")
CUSTOMER = Actor("user", "customer@example.org")
PLACE = ("shop", "production")


def hold(world: Any, share: float, now: float = 0, **extra: Any) -> Any:
    with world.database.write() as session:
        return holdout.set_holdout(
            session, *PLACE, share=share, actor=OWNER, now=world.at(now), **extra
        )


def let_in(world: Any, now: float = 0) -> None:
    with world.database.write() as session:
        holdout.end_holdout(session, *PLACE, actor=OWNER, now=world.at(now))


def revision(world: Any) -> int:
    number: int = world.flag_set()["version"]
    return number


def split(world: Any, units: int = 4000) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what the holdout's flag and the experiment's say of so many units."""
    compiled, now = world.compiled(), world.at(0).timestamp()
    contexts = [{"targetingKey": f"x{i}"} for i in range(units)]
    sides = {c["targetingKey"]: compiled.evaluate(holdout.FLAG, c, now) for c in contexts}
    served = {c["targetingKey"]: compiled.evaluate("checkout", c, now) for c in contexts}
    return sides, served


def held_units(world: Any, units: int = 4000) -> set[str]:
    sides, served = split(world, units)
    held = {unit for unit, side in sides.items() if side.variant == "held"}
    assert all(served[unit].variant == "control" for unit in held)
    assert not any(served[unit].track for unit in held), "who is held counts in no experiment"
    return held


def test_units_that_are_held_get_control_of_what_runs_and_of_what_ships(world: Any) -> None:
    world.run()
    before = revision(world)
    row = hold(world, 0.08)
    assert revision(world) == before + 2, "the flag is made, then all is published at once"
    held = held_units(world)
    assert len(held) / 4000 == pytest.approx(0.08, abs=0.015)
    _sides, served = split(world)
    assert all(each.track for unit, each in served.items() if unit not in held)
    assert world.tick(1).moves == 0, "the experiment is not edited by hand"
    assert world.experiment.state == "RUNNING"
    with world.database.write() as session:
        experiment = services.get_experiment(session, *PLACE, "button")
        experiment.verdict, experiment.winner = "VALUE_PROVEN", "new"
    world.do(services.confirm, actor=CUSTOMER, now=2)
    assert held_units(world) == held
    _sides, served = split(world)
    got = Counter(each.variant for unit, each in served.items() if unit not in held)
    assert got["new"] / (4000 - len(held)) == pytest.approx(0.95, abs=0.012)
    assert holdout.rule_id(row) == "holdout-1"


def test_what_starts_while_units_are_held_leaves_them_out(world: Any) -> None:
    hold(world, 0.05)
    world.run()
    assert held_units(world)
    before = revision(world)
    let_in(world, now=1)
    assert revision(world) == before + 1, "one revision, for all rules together"
    _sides, served = split(world)
    assert all(each.track for each in served.values())
    assert [rule["id"] for rule in world.flag()["rules"]] == ["exp-button"]
    assert world.flag()["rules"][0]["when"] is True
    assert world.tick(1).moves == 0
    with pytest.raises(NotFoundError):
        let_in(world)


def test_it_only_grows_and_whoever_was_held_stays_held(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    hold(world, 0.02)
    few = held_units(world)
    tracked = {u for u, side in split(world)[0].items() if side.track and side.variant == "open"}
    hold(world, 0.10, now=1)
    many = held_units(world)
    assert few < many
    assert not tracked & many, "nobody who was compared as open is held later"
    with pytest.raises(StateError, match="only grows") as caught:
        hold(world, 0.05)
    assert caught.value.field == "share"
    for share in (0.0, -0.1, 0.11, float("nan")):
        with pytest.raises(InvalidInputError):
            hold(world, share)
    with pytest.raises(VersionConflictError):
        hold(world, 0.1, expected_version=77)
    let_in(world, now=2)
    hold(world, 0.10, now=3)
    assert len(held_units(world) & many) < 0.5 * len(many), "the next one draws anew"


def test_an_audience_a_layer_and_a_dropped_arm_go_with_it(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    with world.database.write() as session:
        layers.put_layer(session, *PLACE, "all", description="", actor=OWNER, now=world.at(0))
    world.run(
        make_plan(
            treatments=["new", "third"],
            weights={"control": 1, "new": 1, "third": 1},
            layer="all",
            layer_share=0.5,
            audience={"attr": "country", "op": "in", "values": ["de"]},
        )
    )
    before = world.flag()["rules"]
    hold(world, 0.10)
    compiled, now = world.compiled(), world.at(0).timestamp()
    for i in range(2000):
        context = {"targetingKey": f"x{i}", "country": "de"}
        if compiled.evaluate(holdout.FLAG, context, now).variant == "held":
            details = compiled.evaluate("checkout", context, now)
            assert (details.variant, details.track) == ("control", False)
    let_in(world)
    assert world.flag()["rules"] == before, "to the last condition as they were"


def test_an_experiment_that_was_edited_by_hand_stays_so(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    rule = {**world.flag()["rules"][0], "when": {"attr": "country", "op": "in", "values": ["de"]}}
    world.edit(
        {"do": "update_rule", "rule": {k: rule[k] for k in ("id", "when", "serve", "track")}}
    )
    hold(world, 0.05)
    world.tick(1)
    assert (world.experiment.state, world.experiment.held_cause) == ("HELD", "seal")


def test_a_flag_of_the_holdout_that_somebody_touched_is_noticed(sqlite_world: Any) -> None:
    world = sqlite_world
    row = hold(world, 0.05)

    def intact() -> bool:
        with world.database.read() as session:
            environment = flag_services.get_environment(session, *PLACE)
            return holdout.is_intact(session, environment, row)

    assert intact()
    world.edit({"do": "kill", "flag": holdout.FLAG})
    assert not intact()
    hold(world, 0.06, now=1)


def test_who_is_held_gets_control_whatever_the_default_is(sqlite_world: Any) -> None:
    world = sqlite_world
    world.edit({"do": "set_default", "variant": "third"})
    world.run()
    hold(world, 0.10)
    assert held_units(world)
    world.do(services.stop, reason="over", now=1)
    assert held_units(world)
    assert [rule["id"] for rule in world.flag()["rules"]] == ["exp-button"]
