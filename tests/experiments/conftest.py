"""A small world to experiment in: a project, a flag, an event store, and people who behave."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from experiments.models import Experiment, Look
from experiments.monitoring.monitor import TickResult, tick
from experiments.people import services
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
from flags import services as flag_services
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.revisions import load_flag_set
from flagstone.engine import (
    CompiledFlagSet,
    EvaluationDetails,
    compile_flag_set,
    parse_flag_set,
)
from tests.forecasting import forecast_now, stated

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
OWNER = Actor("user", "owner@example.org")
CUSTOMER = Actor("user", "customer@example.org")
PLACE = ("shop", "production")


def plan_document(**changes: Any) -> dict[str, Any]:
    """Give a plan whose days are ten seconds: looks every ten, ships from thirty, ends at 100."""
    document: dict[str, Any] = {
        "key": "button",
        "flag": "checkout",
        "environment": "production",
        "control": "control",
        "treatments": ["new"],
        "weights": {"control": 50, "new": 50},
        "hypothesis": "A bigger button sells more.",
        "customer": CUSTOMER.name,
        "owner": OWNER.name,
        "prove_by": "100s",
        "metrics": [
            {
                "key": "purchase",
                "role": "success",
                "kind": "conversion",
                "event": "purchase",
                "window": "5s",
                "mde": 0.1,
            },
            {
                "key": "errors",
                "role": "guardrail",
                "kind": "conversion",
                "event": "error",
                "window": "5s",
                "direction": "down",
                "margin": 0.5,
            },
        ],
        "policy": {
            "name": "short",
            "looks": [{"every": "10s"}],
            "minimum": "30s",
            "ship_every": "10s",
            "ramp": [],
            "confirm_within": "60s",
            "settle": "0s",
            "day": "10s",
            "ship_ramp": [],
            "verify": "50s",
        },
    }
    return document | changes


@dataclass
class World:
    """Everything between a person's click and a verdict, without the web."""

    database: Database
    store: EmbeddedStore
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    sent: int = 0
    _environment_id: int | None = None

    def at(self, seconds: float) -> dt.datetime:
        return START + dt.timedelta(seconds=seconds)

    def create(self, document: Mapping[str, Any] | None = None, now: float = 0) -> None:
        with self.database.write() as session:
            services.create_experiment(
                session, "shop", stated(document or plan_document()), actor=OWNER, now=self.at(now)
            )

    def do(self, what: Callable[..., Experiment], actor: Actor = OWNER, **extra: Any) -> Experiment:
        now = self.at(extra.pop("now", 0))
        key = extra.pop("key", "button")
        if what is services.start:
            # Nothing starts without a forecast; here no worker has been awake to make it.
            forecast_now(self.database, now)
        with self.database.write() as session:
            return what(session, *PLACE, key, actor=actor, now=now, **extra)

    def run(self, document: Mapping[str, Any] | None = None) -> None:
        """Create, seal and start at second 0."""
        self.create(document)
        self.do(services.seal)
        self.do(services.start)

    def forecast(self, seconds: float = 0, **extra: Any) -> int:
        """Do the worker's forecasts, without any event unless a store is given."""
        return forecast_now(self.database, self.at(seconds), **extra)

    def tick(self, seconds: float, holder: str = "worker-1") -> TickResult:
        return tick(self.database, self.store, holder=holder, now=self.at(seconds))

    @property
    def experiment(self) -> Experiment:
        with self.database.read() as session:
            return services.get_experiment(session, *PLACE, "button")

    @property
    def looks(self) -> list[Look]:
        with self.database.read() as session:
            return services.looks(session, services.get_experiment(session, *PLACE, "button"))

    @property
    def compared(self) -> list[Look]:
        with self.database.read() as session:
            experiment = services.get_experiment(session, *PLACE, "button")
            return services.comparisons(session, experiment)

    @property
    def records(self) -> list[dict[str, Any]]:
        with self.database.read() as session:
            return services.records(session, services.get_experiment(session, *PLACE, "button"))

    def export(self) -> dict[str, Any]:
        with self.database.read() as session:
            experiment = services.get_experiment(session, *PLACE, "button")
            return services.export_record(session, experiment)

    def card(self, seconds: float) -> Any:
        with self.database.read() as session:
            experiment = services.get_experiment(session, *PLACE, "button")
            return services.get_card(session, experiment, now=self.at(seconds))

    def environment_id(self) -> int:
        # Some ask for every event that they make.
        if self._environment_id is None:
            with self.database.read() as session:
                self._environment_id = flag_services.get_environment(session, *PLACE).id
        assert self._environment_id is not None
        return self._environment_id

    def flag_set(self) -> dict[str, Any]:
        with self.database.read() as session:
            environment = flag_services.get_environment(session, *PLACE)
            assert environment.id is not None
            return load_flag_set(session, environment.id)

    def flag(self) -> dict[str, Any]:
        found: dict[str, Any] = self.flag_set()["flags"]["checkout"]
        return found

    def compiled(self) -> CompiledFlagSet:
        return compile_flag_set(parse_flag_set(self.flag_set()))

    def served(self, count: int = 50) -> dict[str, str | None]:
        """Give what so many units are served now."""
        compiled, now = self.compiled(), self.at(0).timestamp()
        units = (f"x{i}" for i in range(count))
        return {u: compiled.evaluate("checkout", {"targetingKey": u}, now).variant for u in units}

    def edit(self, *instructions: dict[str, Any], now: float = 0) -> None:
        """Edit the flag by hand."""
        with self.database.write() as session:
            apply_change(
                session,
                *PLACE,
                parse_change({"flag": "checkout", "instructions": list(instructions)}),
                actor=OWNER,
                now=self.at(now),
            )

    def traffic(
        self,
        begin: float,
        end: float,
        units: int,
        rates: Mapping[str, Mapping[str, float]],
        prefix: str = "u",
        attributes: str | None = None,
    ) -> None:
        """Let new units come in between two instants, meet the flag, and act within 4 s.

        ``rates`` gives for each event and variant the share of units that cause it. Shares are kept
        exactly (rounded per variant), so that a scenario does not hang on luck.
        """
        compiled, environment_id = self.compiled(), self.environment_id()
        events: list[Event] = []
        due: dict[tuple[str, str], float] = {}
        for i in range(units):
            time = self.at(begin + (end - begin) * i / units).timestamp()
            unit = f"{prefix}{begin:g}-{i}"
            details = compiled.evaluate("checkout", {"targetingKey": unit}, time)
            if not details.track or details.variant is None:
                continue
            events.append(self._met(environment_id, unit, details, time, attributes))
            for name, shares in rates.items():
                place = (name, details.variant)
                due[place] = due.get(place, 0.0) + shares.get(details.variant, 0.0)
                if due[place] >= 1:
                    due[place] -= 1
                    later = time + 4 * self.rng.random()
                    events.append(
                        Event(
                            id=self._id(),
                            environment_id=environment_id,
                            time=later,
                            unit=unit,
                            name=name,
                        )
                    )
        self._append(events)

    def expose(self, units: list[str], second: float) -> None:
        """Let units meet the flag, and do nothing."""
        compiled, environment_id = self.compiled(), self.environment_id()
        time = self.at(second).timestamp()
        events = []
        for unit in units:
            details = compiled.evaluate("checkout", {"targetingKey": unit}, time)
            events.append(self._met(environment_id, unit, details, time))
        self._append(events)

    def _met(
        self,
        environment_id: int,
        unit: str,
        details: EvaluationDetails,
        time: float,
        attributes: str | None = None,
    ) -> Event:
        return Event(
            id=self._id(),
            environment_id=environment_id,
            time=time,
            unit=unit,
            flag="checkout",
            variant=details.variant,
            rule=details.rule_id,
            revision=1,
            attributes=attributes,
        )

    def _append(self, events: list[Event]) -> None:
        for i in range(0, len(events), 1000):
            self.store.append(events[i : i + 1000])

    def _id(self) -> bytes:
        self.sent += 1
        return uuid.UUID(int=self.sent).bytes


def make_world(database: Database, directory: Path) -> World:
    with database.write() as session:
        flag_services.create_project(session, key="shop", name="Shop", actor=OWNER, now=START)
        flag_services.create_flag(
            session,
            "shop",
            {
                "key": "checkout",
                "type": "string",
                "variants": {
                    "control": {"value": "old"},
                    "new": {"value": "new"},
                    "third": {"value": "third"},
                },
                "default": "control",
                "off": "control",
            },
            actor=OWNER,
            now=START,
        )
    world = World(database, EmbeddedStore(directory / "events"))
    world.edit({"do": "turn_on"})
    return world


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    """The world on both databases."""
    return make_world(database, tmp_path)


@pytest.fixture
def sqlite_world(sqlite_database: Database, tmp_path: Path) -> World:
    """The world on SQLite only, for what does not depend on the database."""
    return make_world(sqlite_database, tmp_path)


@pytest.fixture
def make_plan() -> Callable[..., dict[str, Any]]:
    """Make a plan document, with changes."""
    return plan_document
