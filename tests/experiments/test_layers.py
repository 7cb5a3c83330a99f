"""Experiments of one layer never meet the same unit at the same time."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from experiments.machine.lifecycle import State
from experiments.moves import layers
from experiments.people import services
from flags import services as flag_services
from flags.actor import Actor
from flags.errors import NotFoundError, StateError, VersionConflictError

OWNER = Actor("user", "owner@example.org")
PLACE = ("shop", "production")
CUSTOMER = Actor("user", "customer@example.org")
FLAG = {
    "type": "string",
    "variants": {"control": {"value": "old"}, "new": {"value": "new"}},
    "default": "control",
    "off": "control",
}
THIRD = {"key": "third", "treatments": ["third"], "weights": {"control": 1, "third": 1}}


def make_layer(world: Any, key: str = "checkout", description: str = "") -> Any:
    with world.database.write() as session:
        layer, _new = layers.put_layer(
            session, *PLACE, key, description=description, actor=OWNER, now=world.at(0)
        )
    return layer


def see(world: Any, key: str = "checkout") -> Any:
    with world.database.read() as session:
        environment = flag_services.get_environment(session, *PLACE)
        return layers.get_layer(session, environment, key)


def add_flag(world: Any, key: str) -> None:
    with world.database.write() as session:
        flag_services.create_flag(
            session, "shop", {**FLAG, "key": key}, actor=OWNER, now=world.at(0)
        )
    world.edit({"do": "turn_on", "flag": key})


def begin(world: Any, document: dict[str, Any], now: float = 0) -> Any:
    world.create(document, now)
    world.do(services.seal, key=document["key"], now=now)
    return world.do(services.start, key=document["key"], now=now)


def met(
    world: Any, flags: list[str], units: int = 20_000, prefix: str = "user-"
) -> dict[str, Counter[str]]:
    """Give for each unit how often each experiment's rule splits it."""
    compiled, now = world.compiled(), world.at(0).timestamp()
    found: dict[str, Counter[str]] = {}
    for i in range(units):
        context = {"targetingKey": f"{prefix}{i}"}
        rules: Counter[str] = Counter()
        for flag in flags:
            details = compiled.evaluate(flag, context, now)
            if details.track:
                rules[str(details.rule_id)] += 1
        found[context["targetingKey"]] = rules
    return found


def test_of_twenty_thousand_units_none_meets_two_experiments_of_a_layer(
    world: Any, make_plan: Any
) -> None:
    make_layer(world)
    add_flag(world, "search")
    begin(world, make_plan(layer="checkout", layer_share=0.5))
    begin(world, make_plan(key="search", flag="search", layer="checkout", layer_share=0.3))
    begin(
        world,
        make_plan(**THIRD, layer="checkout", layer_share=0.2),
    )
    found = met(world, ["checkout", "search"])
    assert all(sum(rules.values()) == 1 for rules in found.values()), "each unit is somebody's"
    shares = Counter(rule for rules in found.values() for rule in rules)
    for rule, share in {"exp-button": 0.5, "exp-search": 0.3, "exp-third": 0.2}.items():
        assert shares[rule] / 20_000 == pytest.approx(share, abs=0.012)
    layer = see(world)
    assert [(h.experiment, h.share) for h in layer.holders] == [
        ("button", 0.5),
        ("search", 0.3),
        ("third", 0.2),
    ]
    assert layer.free_share == 0


def test_within_its_lane_an_experiment_splits_by_a_salt_of_its_own(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    make_layer(world)
    begin(world, make_plan(layer="checkout", layer_share=1.0))
    first = world.served(4000)
    world.do(services.stop, reason="over")
    begin(world, make_plan(key="next", layer="checkout"), now=1)
    second = world.served(4000)
    pairs = Counter((first[unit], second[unit]) for unit in first)
    # Were the earlier split to leave a pattern, two of the four would be rare.
    assert min(pairs.values()) > 900


def test_coverage_grows_inside_the_share(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    make_layer(world)
    policy = make_plan()["policy"] | {"ramp": [{"coverage": 0.1, "hold": "10s"}]}
    begin(world, make_plan(layer="checkout", layer_share=0.5, policy=policy))
    few = {unit for unit, rules in met(world, ["checkout"], 4000).items() if rules}
    assert 0.03 < len(few) / 4000 < 0.07
    # A ramp waits until a look has seen somebody.
    world.expose(sorted(few), 5)
    world.tick(10)
    assert world.tick(10.5).errors == ()
    many = {unit for unit, rules in met(world, ["checkout"], 4000).items() if rules}
    assert few < many
    assert 0.45 < len(many) / 4000 < 0.55


def test_without_enough_room_the_start_is_refused_with_who_has_the_rest(
    world: Any, make_plan: Any
) -> None:
    make_layer(world)
    add_flag(world, "search")
    begin(world, make_plan(layer="checkout", layer_share=0.8))
    other = make_plan(key="search", flag="search", layer="checkout", layer_share=0.3)
    world.create(other)
    world.do(services.seal, key="search")
    with pytest.raises(StateError) as caught:
        world.do(services.start, key="search")
    assert caught.value.field == "layer_share"
    assert "20 % free" in caught.value.message
    assert "30 %" in caught.value.message
    assert "button (80 %)" in str(caught.value.hint)
    assert see(world).waiting == ("search",)
    world.do(services.stop, reason="make room")
    assert world.do(services.start, key="search").state == "RUNNING"
    assert see(world).free_share == pytest.approx(0.7)


def test_a_layer_that_does_not_exist_is_refused_at_the_seal(
    sqlite_world: Any, make_plan: Any
) -> None:
    sqlite_world.create(make_plan(layer="nowhere"))
    with pytest.raises(StateError) as caught:
        sqlite_world.do(services.seal)
    assert caught.value.field == "layer"
    assert "flagstone layers create nowhere" in str(caught.value.hint)


def test_an_experiment_beside_a_layer_still_needs_its_flag_alone(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    make_layer(world)
    make_layer(world, "other")
    begin(world, make_plan(layer="checkout", layer_share=0.1))
    for key, fields in (("plain", {}), ("foreign", {"layer": "other", "layer_share": 0.1})):
        world.create(make_plan(key=key, **fields))
        world.do(services.seal, key=key)
        with pytest.raises(StateError, match="tracked rule"):
            world.do(services.start, key=key)


def test_a_stopped_experiment_keeps_its_people_on_control_until_the_next_takes_the_lane(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    make_layer(world)
    begin(world, make_plan(layer="checkout", layer_share=0.5))
    begin(
        world,
        make_plan(**THIRD, layer="checkout", layer_share=0.5),
    )
    before = world.served(2000)
    world.do(services.stop, reason="over")
    after = world.served(2000)
    assert all(after[u] == "third" for u, variant in before.items() if variant == "third")
    assert "new" not in after.values()
    # Not edited by hand: the others' rules moved nothing of theirs.
    assert world.tick(1).moves == 0
    begin(world, make_plan(key="again", layer="checkout", layer_share=0.5), now=2)
    shares = Counter(world.served(2000).values())
    assert shares["new"] > 400, "the rule of what ended does not stand before it"
    assert shares["third"] == Counter(before.values())["third"]


def prove(world: Any, key: str, winner: str) -> None:
    with world.database.write() as session:
        experiment = services.get_experiment(session, *PLACE, key)
        experiment.state, experiment.verdict = State.RUNNING.value, "VALUE_PROVEN"
        experiment.winner = winner
        session.add(experiment)


def test_a_winner_goes_to_the_whole_audience_but_not_to_those_in_another_experiment(
    world: Any, make_plan: Any
) -> None:
    make_layer(world)
    begin(world, make_plan(layer="checkout", layer_share=0.25))
    begin(
        world,
        make_plan(**THIRD, layer="checkout", layer_share=0.25),
    )
    before = met(world, ["checkout"], 4000)
    elsewhere = {
        unit for unit, rules in met(world, ["checkout"], 4000, "x").items() if "exp-third" in rules
    }
    prove(world, "button", "new")
    shipped = world.do(services.confirm, actor=CUSTOMER, now=1)
    assert (shipped.state, shipped.lane) == ("SHIPPING", None)
    assert see(world).free_share == 0.75
    after = met(world, ["checkout"], 4000)
    running = {unit for unit, rules in before.items() if "exp-third" in rules}
    assert all("exp-third" in after[unit] for unit in running)
    others = [rules for unit, rules in after.items() if unit not in running]
    assert all(set(rules) == {"exp-button:ship"} for rules in others)
    got = world.served(4000)
    free = [unit for unit in got if unit not in elsewhere]
    assert sum(got[unit] == "new" for unit in free) / len(free) == pytest.approx(0.95, abs=0.01)
    # A second winner of the flag was never compared with the first.
    prove(world, "third", "third")
    with pytest.raises(StateError, match="never compared") as caught:
        world.do(services.confirm, key="third", actor=CUSTOMER, now=2)
    assert caught.value.field == "flag"
    world.do(services.stop, key="third", reason="over", now=3)
    everybody = met(world, ["checkout"], 4000)
    assert all(set(rules) == {"exp-button:ship"} for rules in everybody.values())
    back = world.do(services.stop, reason="no", now=4)
    assert back.verdict == "OVERRIDE_STOP"
    assert set(world.served(2000).values()) == {"control"}


def test_a_layer_is_described_listed_and_forgotten_when_nobody_needs_it(
    world: Any, make_plan: Any
) -> None:
    made = make_layer(world, description="Everything on the way to the till.")
    assert (made.version, made.free_share) == (1, 1.0)
    again = make_layer(world, description="The till.")
    assert (again.version, again.salt) == (2, made.salt)
    assert make_layer(world, description="The till.").version == 2
    with pytest.raises(VersionConflictError), world.database.write() as session:
        layers.put_layer(
            session,
            *PLACE,
            "checkout",
            description="late",
            expected_version=1,
            actor=OWNER,
            now=world.at(1),
        )
    world.create(make_plan(layer="checkout"))
    world.do(services.seal)

    def forget() -> None:
        with world.database.write() as session:
            layers.delete_layer(session, *PLACE, "checkout", actor=OWNER, now=world.at(1))

    with pytest.raises(StateError, match="button"):
        forget()
    world.do(services.stop, reason="no time")
    forget()
    with pytest.raises(NotFoundError):
        see(world)


def test_two_environments_share_no_buckets(sqlite_world: Any) -> None:
    world = sqlite_world
    here = make_layer(world)
    with world.database.write() as session:
        there, _new = layers.put_layer(
            session, "shop", "staging", "checkout", description="", actor=OWNER, now=world.at(0)
        )
    assert here.salt != there.salt


def test_at_any_time_whatever_starts_and_ends_the_lanes_are_apart(
    sqlite_world: Any, make_plan: Any
) -> None:
    world, rng = sqlite_world, random.Random(11)
    make_layer(world)
    running: list[str] = []
    for i in range(14):
        if running and rng.random() < 0.45:
            world.do(services.stop, key=running.pop(rng.randrange(len(running))), reason="x", now=i)
        else:
            key, share = f"e{i}", rng.choice([0.1, 0.25, 0.4])
            document = make_plan(key=key, layer="checkout", layer_share=share)
            if see(world).free_share >= share:
                begin(world, document, now=i)
                running.append(key)
            else:
                with pytest.raises(StateError, match="free"):
                    begin(world, document, now=i)
        layer = see(world)
        assert [each.experiment for each in layer.holders] == running
        total = sum(each.lane.buckets for each in layer.holders)
        assert total + round(layer.free_share * 10_000) == 10_000
        found = met(world, ["checkout"], 400)
        assert sum(map(bool, found.values())) / 400 == pytest.approx(total / 10_000, abs=0.08)
        assert {rule for rules in found.values() for rule in rules} == {f"exp-{k}" for k in running}


def test_a_lane_in_several_pieces_is_kept_as_a_whole(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    make_layer(world)
    for key in ("e1", "e2", "e3"):
        begin(world, make_plan(key=key, layer="checkout", layer_share=0.3))
    world.do(services.stop, key="e2", reason="make room", now=1)
    begin(world, make_plan(key="wide", layer="checkout", layer_share=0.35), now=2)
    wide = see(world).holders[-1]
    assert wide.lane.ranges == ((3000, 6000), (9000, 9500))
    assert see(world).free == ((9500, 10_000),)
    begin(world, make_plan(key="rest", layer="checkout", layer_share=0.05), now=3)
    assert all(sum(rules.values()) == 1 for rules in met(world, ["checkout"], 4000).values())
