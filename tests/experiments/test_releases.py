"""Guarded releases: steps that wait for the harm bounds, and go back by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import releases, services
from experiments.card import card_text
from experiments.models import Experiment
from experiments.plan import parse_plan
from experiments.record import verify
from experiments.release_state import release_facts
from flags.actor import Actor
from flags.errors import InvalidInputError, NotAllowedError, NotFoundError, StateError
from tests.experiments.conftest import CUSTOMER, OWNER, PLACE, World

SECOND = Actor("user", "second@example.org")
CALM = {"crash": {"control": 0.02, "new": 0.02}}
CRASHES = {"crash": {"control": 0.0, "new": 0.5}}
POLICY = {"name": "short", "looks": [{"every": "2s"}], "settle": "0s", "stale": "1h"}


def release_document(**changes: Any) -> dict[str, Any]:
    """Give a release of 1, 5, 25, 50 and 100 %, ten seconds each, looked at every two."""
    document: dict[str, Any] = {
        "key": "button",
        "flag": "checkout",
        "variant": "new",
        "customer": CUSTOMER.name,
        "guards": [{"key": "crash", "window": "2s", "rare": True, "direction": "down"}],
        "steps": [1, 5, 25, 50, 100],
        "hold": "10s",
        "minimum_units": 0,
        "max_wait": "60s",
        "policy": POLICY,
    }
    return document | changes


def begin(world: World, now: float = 0, **changes: Any) -> Experiment:
    with world.database.write() as session:
        releases.create(
            session, "shop", release_document(**changes), actor=OWNER, now=world.at(now)
        )
    return world.do(releases.start, now=now)


def shares(world: World, count: int = 20_000) -> dict[str, float]:
    """Give which part of so many units is served what, and is tracked."""
    compiled, now = world.compiled(), world.at(0).timestamp()
    found: dict[str, float] = {}
    for i in range(count):
        details = compiled.evaluate("checkout", {"targetingKey": f"x{i}"}, now)
        name = f"{details.variant}{' tracked' if details.track else ''}"
        found[name] = found.get(name, 0) + 1 / count
    return found


def facts(world: World, seconds: float) -> dict[str, Any]:
    with world.database.read() as session:
        experiment = services.get_experiment(session, *PLACE, "button")
        looks = services.looks(session, experiment)
        newest = looks[-1].data if looks else None
        found = release_facts(session, experiment, newest, world.at(seconds))
    assert found is not None
    return found


def waits(world: World, seconds: float) -> list[str]:
    return [each["kind"] for each in facts(world, seconds)["waits_for"]]


def run(world: World, begin: float, end: float, rates: Any = None, units: int = 400) -> None:
    """Let people come, and the worker tick every second."""
    for second in range(round(begin), round(end)):
        world.traffic(second, second + 1, units, rates or CALM)
        world.tick(second + 1)


# --- from the first step to everybody


def test_a_release_reaches_everybody_step_by_step_and_then_waits_to_be_cleaned_up(
    world: World,
) -> None:
    begin(world)
    assert shares(world)["new tracked"] == pytest.approx(0.01, abs=0.003)
    seen = []
    for second in range(44):
        run(world, second, second + 1)
        seen.append((world.experiment.state, world.experiment.ramp_step))
    assert list(dict.fromkeys(seen)) == [
        ("RAMPING", 0),
        ("RAMPING", 1),
        ("RAMPING", 2),
        ("RUNNING", 3),
        ("CLEANUP", 3),
    ]
    assert world.experiment.verdict == "RELEASED"
    assert set(world.served().values()) == {"new"}
    assert "no harm seen in crash" in world.experiment.note
    text = card_text(world.card(44))
    assert "Everybody has new: take the flag out of the code." in text
    assert "shown safe" not in text.replace("not yet shown safe", "")
    # Gap-free and recomputable, like everything the machine decides.
    assert [look.number for look in world.looks] == list(range(1, len(world.looks) + 1))
    result = verify(world.export())
    assert result.identical and result.complete and result.looks == len(world.looks)
