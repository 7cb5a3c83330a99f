"""What people may do with an experiment, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import PlanError, SealBrokenError
from experiments.people import services
from experiments.people.finding import Wanted, find_experiments
from flags.actor import Actor
from flags.audit import entries, verify_chain
from flags.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    StateError,
)
from flags.services import get_project

OWNER = Actor("user", "owner@example.org")
PLACE = ("shop", "production")


def test_a_draft_is_sealed_started_and_stopped_by_people(world: Any) -> None:
    world.create()
    assert world.experiment.state == "DRAFT"
    assert world.experiment.plan_hash is None
    sealed = world.do(services.seal)
    assert (sealed.state, len(sealed.plan_hash)) == ("SEALED", 64)
    started = world.do(services.start, now=5)
    assert (started.state, started.coverage) == ("RUNNING", 1.0)
    assert started.started_at == world.at(5)
    assert started.next_look_at == world.at(15)
    (rule,) = world.flag()["rules"]
    assert (rule["id"], rule["track"]) == ("exp-button", True)
    assert [arm["variant"] for arm in rule["serve"]["split"]["to"]] == ["control", "new"]
    assert rule["serve"]["split"]["salt"] == f"exp-{started.id}:button"
    stopped = world.do(services.stop, actor=Actor("user", "anyone"), reason="wrong colour", now=6)
    assert (stopped.state, stopped.verdict) == ("ROLLED_BACK", "OVERRIDE_STOP")
    assert "anyone: wrong colour" in stopped.note
    assert set(world.served().values()) == {"control"}
    assert [r["kind"] for r in world.records] == ["seal", "start", "action", "end"]


def test_every_step_is_in_the_audit_of_the_environment(world: Any) -> None:
    world.run()
    world.do(services.stop, reason="enough")
    with world.database.read() as session:
        project = get_project(session, "shop")
        assert project.id is not None
        found = entries(session, project.id, resource="experiment:button", limit=None)
        assert [entry.action for entry in reversed(found)] == [
            "experiment_create",
            "experiment_seal",
            "experiment_start",
            "experiment_action",
        ]
        assert verify_chain(entries(session, project.id, limit=None)) is None


def test_what_was_never_started_is_abandoned_and_the_flag_untouched(sqlite_world: Any) -> None:
    world = sqlite_world
    before = world.flag()
    world.create()
    world.do(services.seal)
    stopped = world.do(services.stop, reason="no time")
    assert (stopped.state, stopped.verdict) == ("ABANDONED", None)
    assert world.flag() == before


def test_a_key_is_never_used_twice(world: Any) -> None:
    world.create()
    with pytest.raises(AlreadyExistsError):
        world.create()


def test_a_sealed_plan_cannot_be_edited_and_a_draft_can(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    world = sqlite_world
    world.create()
    world.do(services.replace_plan, document=make_plan(coverage=0.5))
    assert world.experiment.plan["coverage"] == 0.5
    with pytest.raises(InvalidInputError):
        world.do(services.replace_plan, document=make_plan(flag="other"))
    with pytest.raises(PlanError):
        world.do(services.replace_plan, document=make_plan(customer=""))
    world.do(services.seal)
    with pytest.raises(StateError, match="sealed"):
        world.do(services.replace_plan, document=make_plan())


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ({"do": "turn_off"}, "is off"),
        ({"do": "kill"}, "killed"),
        ({"do": "remove_variant", "variant": "new"}, "no variant 'new'"),
        ({"do": "archive"}, "no flag"),
        ({"do": "add_rule", "rule": {"id": "all", "when": True, "serve": "new"}}, "everybody"),
    ],
    ids=lambda value: value["do"] if isinstance(value, dict) else "",
)
def test_a_flag_that_cannot_carry_it_stops_the_start_and_nothing_is_written(
    sqlite_world: Any, prepare: Any, words: str
) -> None:
    world = sqlite_world
    world.create()
    world.do(services.seal)
    world.edit(prepare)
    with pytest.raises(StateError, match=words):
        world.do(services.start)
    assert world.experiment.state == "SEALED"
    assert [r["kind"] for r in world.records] == ["seal"]


def test_steps_out_of_order_are_refused(sqlite_world: Any) -> None:
    world = sqlite_world
    world.create()
    with pytest.raises(StateError):
        world.do(services.start)
    with pytest.raises(StateError):
        world.do(services.confirm)
    world.do(services.seal)
    with pytest.raises(StateError):
        world.do(services.seal)
    world.do(services.start)
    with pytest.raises(StateError):
        world.do(services.confirm, actor=Actor("user", "customer@example.org"))
    with pytest.raises(InvalidInputError, match="reason"):
        world.do(services.stop, reason="  ")


def test_only_the_customer_confirms(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    better = {"purchase": {"control": 0.2, "new": 0.35}, "error": {"control": 0.1, "new": 0.1}}
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 2000, better)
        world.tick(second + 10)
    with pytest.raises(NotAllowedError, match=r"customer@example\.org"):
        world.do(services.confirm, now=31)
    shipped = world.do(services.confirm, actor=Actor("user", "Customer@Example.org"), now=31)
    assert shipped.state == "SHIPPING"
    stopped = world.do(services.stop, reason="regret", now=40)
    assert (stopped.state, stopped.verdict) == ("ROLLED_BACK", "OVERRIDE_STOP")
    assert set(world.served().values()) == {"control"}


def test_experiments_are_listed_newest_first_and_found_by_their_place(
    world: Any, make_plan: Callable[..., Any]
) -> None:
    world.create()
    world.create(make_plan(key="other", environment="staging"))
    with world.database.read() as session:
        listed = find_experiments(session, "shop")
        assert [experiment.key for experiment in listed] == ["other", "button"]
        only = find_experiments(session, "shop", Wanted("production"))
        assert [experiment.key for experiment in only] == ["button"]
        assert find_experiments(session, "shop", Wanted(state="SEALED")) == []
        assert find_experiments(session, "shop", Wanted(flag_keys=["none"])) == []
        for place in (("shop", "production", "x"), ("shop", "moon", "button"), ("x", "y", "z")):
            with pytest.raises(NotFoundError):
                services.get_experiment(session, *place)


def test_one_experiment_of_a_flag_at_a_time(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    world = sqlite_world
    world.run()
    world.create(make_plan(key="second"))
    world.do(services.seal, key="second")
    with pytest.raises(StateError, match="already carries"):
        world.do(services.start, key="second")


def test_services_and_card_import_no_statistics() -> None:
    code = (
        "import sys, experiments.people.services, experiments.telling.card\n"
        "import experiments.machine.lifecycle\n"
        "print([m for m in ('numpy', 'scipy', 'stats', 'duckdb') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "[]\n"


def test_what_was_edited_by_hand_since_the_proof_is_not_confirmed(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    better = {"purchase": {"control": 0.2, "new": 0.35}, "error": {"control": 0.1, "new": 0.1}}
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 2000, better)
        world.tick(second + 10)
    world.edit({"do": "set_coverage", "rule": "exp-button", "value": 0.1})
    with pytest.raises(SealBrokenError, match="edited by hand"):
        world.do(services.confirm, actor=Actor("user", "customer@example.org"), now=31)
