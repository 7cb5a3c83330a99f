"""SIGKILL of the whole service while it takes events in and looks at experiments.

Ten times in all: six with events in a folder and an experiment that is looked at, four with events
in PostgreSQL.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlmodel import col, select

from experiments.judging.record import verify
from experiments.models import Experiment, Look
from experiments.people import services as experiment_services
from experiments.planning.feasibility import forecast_document
from experiments.store.embedded import EmbeddedStore
from experiments.store.postgresql import PostgresStore
from experiments.store.promises import EventStore
from flags import changes, services
from flags.actor import Actor
from flags.database import Database
from flags.models import Revision
from web.auth import service as auth

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 4
KILLS_WITH_POSTGRESQL = 3
ACTOR = Actor("system", "test")
POLICY = {
    "name": "quick",
    "looks": [{"every": "1s"}],
    "minimum": "1800s",
    "ship_every": "1800s",
    "ramp": [],
    "settle": "0s",
    "stale": "1h",
    "day": "1s",
}
PLAN: dict[str, Any] = {
    "key": "checkout",
    "flag": "checkout",
    "control": "control",
    "treatments": ["treatment"],
    "weights": {"control": 50, "treatment": 50},
    "hypothesis": "More visitors buy.",
    "customer": "head of the shop",
    "owner": "checkout team",
    "prove_by": "1h",
    "policy": POLICY,
    "metrics": [
        {
            "key": "purchases",
            "role": "success",
            "kind": "conversion",
            "event": "purchase",
            "window": "1s",
            "mde": 0.1,
        }
    ],
    "expected": {"units_per_day": 100, "metrics": {"purchases": {"baseline": 0.2}}},
}


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def seed(database: Database, wait_until: Callable[..., Any]) -> tuple[str, int]:
    """Make a project with a running experiment; return a server key and its environment."""
    with database.write() as session:
        services.create_project(session, key="shop", name="Shop", actor=ACTOR, now=now())
        draft = {
            "key": "checkout",
            "type": "boolean",
            "variants": {"control": {"value": False, "on": False}, "treatment": {"value": True}},
            "off": "control",
            "default": "control",
        }
        services.create_flag(session, "shop", draft, actor=ACTOR, now=now())
    with database.write() as session:
        change = changes.parse_change({"instructions": [{"do": "turn_on", "flag": "checkout"}]})
        changes.apply_change(session, "shop", "production", change, actor=ACTOR, now=now())
        place = ("shop", "production", "checkout")
        experiment_services.create_experiment(session, "shop", PLAN, actor=ACTOR, now=now())
        experiment_services.seal(session, *place, actor=ACTOR, now=now())

    def is_forecast() -> bool:
        with database.read() as session:
            experiment = experiment_services.get_experiment(session, *place)
            return bool(forecast_document(session, experiment)["status"] == "ready")

    # The service's own worker makes it: nothing starts while none is awake.
    wait_until(is_forecast, seconds=60)
    with database.write() as session:
        experiment_services.start(session, *place, actor=ACTOR, now=now())
        environment = services.get_environment(session, "shop", "production")
        assert environment.id is not None
        plain, _token = auth.create_token(
            session,
            auth.TokenKind.SERVER,
            name="test",
            created_by="test",
            now=now(),
            project_id=environment.project_id,
            environment_id=environment.id,
        )
        return plain, environment.id


class Shop:
    """Sends batches for as long as the service lives, and remembers what was acknowledged.

    Like an SDK it sends again what was not answered: ``unanswered`` of the shop before comes first.
    An event's unit is its id, so that the store can be asked for each of them.
    """

    def __init__(
        self, url: str, key: str, chance: random.Random, unanswered: list[dict[str, Any]]
    ) -> None:
        self.acknowledged: set[str] = set()
        self.unanswered = unanswered
        self._url, self._key, self._chance = url, key, chance
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=60) as client:
            while True:
                if not self.unanswered:
                    self.unanswered = [self._event(number) for number in range(20)]
                try:
                    answer = client.post("/sdk/v1/events", json={"events": self.unanswered})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    self.acknowledged |= {each["unit"] for each in self.unanswered}
                    self.unanswered = []

    def _event(self, number: int) -> dict[str, Any]:
        key = str(uuid.uuid4())
        shared = {"id": key, "unit": key, "time": now().timestamp()}
        if number % 2:
            return {**shared, "type": "track", "name": "purchase"}
        variant = self._chance.choice(["control", "treatment"])
        flag = {"flag": "checkout", "variant": variant, "rule": "exp-checkout", "revision": 1}
        return {**shared, "type": "exposure", **flag}

    def join(self) -> None:
        self._thread.join(100)
        assert not self._thread.is_alive()


def kill_all(process: psutil.Process) -> None:
    """SIGKILL the supervisor and everything that it started, at one time."""
    family = [process, *process.children(recursive=True)]
    for each in family:
        each.kill()
    psutil.wait_procs(family, timeout=60)


def test_kills_lose_no_event_repeat_no_look_and_break_no_record(
    make_service: Callable[..., Any],
    wait_until: Callable[..., Any],
    tmp_path: Path,
) -> None:
    chance = random.Random(20261121)
    service = make_service(f"sqlite:///{tmp_path / 'flagstone.db'}")
    database = Database(f"sqlite:///{tmp_path / 'flagstone.db'}")
    key, environment_id = seed(database, wait_until)
    acknowledged: set[str] = set()
    unanswered: list[dict[str, Any]] = []

    def newest_look() -> int:
        with database.read() as session:
            query = select(Look.number).order_by(col(Look.number).desc()).limit(1)
            return session.exec(query).first() or 0

    for _ in range(KILLS):
        seen = newest_look()
        shop = Shop(service.url, key, chance, unanswered)
        wait_until(lambda shop=shop: len(shop.acknowledged) > 40, seconds=90)
        # A look has been taken, then a random while: the kill falls into intake, drain or look.
        wait_until(lambda seen=seen: newest_look() > seen, seconds=90)
        threading.Event().wait(chance.uniform(0.0, 0.9))
        kill_all(psutil.Process(service.process.pid))
        shop.join()
        acknowledged |= shop.acknowledged
        unanswered = shop.unanswered
        service.start()

    service.terminate()
    check_events(
        EmbeddedStore(service.folder / "data" / "events"),
        environment_id,
        acknowledged,
        {each["unit"] for each in unanswered},
    )
    with database.read() as session:
        experiment = session.exec(select(Experiment)).one()
        numbers = [look.number for look in experiment_services.looks(session, experiment)]
        assert numbers == list(range(1, len(numbers) + 1))
        result = verify(experiment_services.export_record(session, experiment))
        assert result.identical, result.sentence
        assert result.looks == len(numbers) >= KILLS
        revisions = session.exec(
            select(Revision.number)
            .where(Revision.environment_id == environment_id)
            .order_by(col(Revision.number))
        ).all()
        assert revisions == list(range(1, len(revisions) + 1))
    database.dispose()


@pytest.mark.postgresql
def test_kills_lose_and_double_no_event_in_postgresql(
    make_service: Callable[..., Any],
    wait_until: Callable[..., Any],
    control_class: type[Any],
    postgresql_url: str,
    tmp_path: Path,
) -> None:
    chance = random.Random(20261122)
    address = f"sqlite:///{tmp_path / 'flagstone.db'}"
    service = make_service(address, FLAGSTONE_EVENTS_URL=postgresql_url)
    database = Database(address)
    control = control_class(database)
    environment_id = control.environment()
    key = control.key(environment_id)
    database.dispose()
    acknowledged: set[str] = set()
    unanswered: list[dict[str, Any]] = []
    for _ in range(KILLS_WITH_POSTGRESQL):
        shop = Shop(service.url, key, chance, unanswered)
        wait_until(lambda shop=shop: len(shop.acknowledged) > 200, seconds=90)
        # Anywhere in a batch, before or after its commit.
        threading.Event().wait(chance.uniform(0.0, 0.1))
        kill_all(psutil.Process(service.process.pid))
        shop.join()
        acknowledged |= shop.acknowledged
        assert shop.unanswered, "the kill came while a batch was under way"
        unanswered = shop.unanswered
        service.start()

    with service.client(key) as client:
        # The last one too is sent again, and once more by somebody who did not hear the answer.
        for _ in range(2):
            answer = client.post("/sdk/v1/events", json={"events": unanswered})
            assert answer.status_code == 200
    assert answer.json() == {"accepted": 0, "duplicates": len(unanswered)}
    acknowledged |= {each["unit"] for each in unanswered}
    service.terminate()
    store = PostgresStore(postgresql_url)
    check_events(store, environment_id, acknowledged, set())
    store.close()


def check_events(
    store: EventStore, environment_id: int, acknowledged: set[str], maybe: set[str]
) -> None:
    """Every acknowledged event is stored, and no event twice; what was not answered may be."""
    with store.tables(environment_id) as tables:
        units = [unit for table in tables for unit in table.unit.to_pyarrow().to_pylist()]
    assert len(units) == len(set(units)), "an event is there twice"
    assert acknowledged <= set(units), "an acknowledged event is missing"
    assert set(units) <= acknowledged | maybe
