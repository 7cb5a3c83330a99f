"""The worker's care of predictions, and where people and programs read what came of them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from sqlmodel import select

from experiments.errors import FencedError
from experiments.moves.lease import Held, acquire
from flags import predictions, services
from flags.changes import apply_change, parse_change
from flags.context_samples import hash_of, record
from flags.models import Prediction
from flags.predictions import LOOKS
from tests.web.api.conftest import Service
from tests.web.managed import ACTOR, Clock, make_app
from web.predictions import look_after_predictions
from web.schedules import carry_out_due

RULE = {
    "do": "add_rule",
    "flag": "gate",
    "rule": {"when": {"attr": "c", "op": "in", "values": ["DE"]}, "serve": "on"},
}


class Shop(Service):
    """A service with one flag that is on, contexts, and a worker whose clock is told."""

    def lead(self) -> Held:
        held = acquire(self.database, "worker", now=self.clock())
        assert held is not None
        return held

    def work(self) -> int:
        return look_after_predictions(self.database, self.lead(), now=self.clock())

    def change(self, *instructions: dict[str, Any]) -> int:
        change = parse_change({"instructions": list(instructions), "comment": "wider"})
        with self.database.write() as session:
            result = apply_change(
                session, "shop", "production", change, actor=ACTOR, now=self.clock()
            )
        return result.revision_number

    def see(self, count: int, germans: int, names: str = "u") -> None:
        people = (
            {"targetingKey": f"{names}{n}", "c": "DE" if n < germans else "US"}
            for n in range(count)
        )
        with self.database.write() as session:
            environment = services.get_environment(session, "shop", "production")
            rows = [(hash_of(each), json.dumps(each), self.clock()) for each in people]
            record(session, environment.id or 0, rows)

    def states(self) -> list[str]:
        with self.database.read() as session:
            query = select(Prediction.state).order_by(
                Prediction.environment_id, Prediction.revision
            )  # type: ignore[arg-type]
            return list(session.exec(query))


@pytest.fixture
def shop(database: Any, tmp_path: Any) -> Shop:
    clock = Clock()
    made = Shop(make_app(database, tmp_path, clock, console=False), database, clock)
    made.project()
    with database.write() as session:
        draft = {"key": "gate", "default": "off", "off": "off"}
        services.create_flag(session, "shop", draft, actor=ACTOR, now=clock())
    made.change({"do": "turn_on", "flag": "gate"})
    return made


def test_a_change_is_predicted_watched_and_an_alarm_is_read_everywhere(shop: Shop) -> None:
    viewer = shop.caller("viewer")
    production = "/projects/shop/environments/production"
    assert viewer.ok("GET", f"{production}/predictions")["items"] == []
    shop.see(200, 50)
    assert shop.work() == 0
    shop.clock.advance(minutes=1)
    editor = shop.caller("editor")
    at = (shop.clock() + dt.timedelta(minutes=1)).isoformat()
    body = {
        "environment": "production",
        "instructions": [RULE],
        "mode": "schedule",
        "at": at,
        "comment": "Germans",
    }
    asked = editor.ok("POST", "/projects/shop/changes", body)
    change = f"/projects/shop/changes/{asked['id']}"
    shop.clock.advance(minutes=1)
    assert carry_out_due(shop.database, shop.lead(), now=shop.clock()) == 1
    assert "prediction" not in viewer.ok("GET", change)
    assert shop.work() == 0
    before = viewer.get(change)
    assert before.get_json()["prediction"]["state"] == "watching"
    shop.clock.advance(minutes=1)
    shop.see(200, 180, "since")
    shop.clock.advance(seconds=LOOKS[0].total_seconds())
    assert shop.work() == 1
    assert shop.work() == 0
    after = viewer.get(change, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    told = after.get_json()["prediction"]
    assert (told["state"], told["alarm"], told["flags"]) == ("parts", True, ["gate"])
    assert told["sentence"].startswith("Moved 90 % of 200 seen since")
    (entry,) = viewer.ok("GET", "/projects/shop/audit?resource=flag:gate&limit=1")["items"]
    assert entry["prediction"] == told
    (entry, *others) = viewer.ok("GET", "/projects/shop/flags/gate/history")["items"]
    assert entry["prediction"] == told
    # Turning it on moved nobody, before and since.
    assert [each["prediction"]["alarm"] for each in others if "prediction" in each] == [False]
    assert viewer.ok("GET", f"{production}/predictions?alarm=true")["items"] == [told]
    assert len(viewer.ok("GET", f"{production}/predictions")["items"]) == 2
    assert viewer.ok("GET", "/projects/shop/environments/staging/predictions")["items"] == []


def test_a_worker_that_lost_its_lease_keeps_nothing(shop: Shop) -> None:
    shop.work()
    shop.see(50, 10)
    held = shop.lead()
    shop.clock.advance(hours=1)
    assert acquire(shop.database, "another", now=shop.clock()) is not None
    shop.change(RULE)
    count = len(shop.states())
    with pytest.raises(FencedError):
        look_after_predictions(shop.database, held, now=shop.clock())
    assert len(shop.states()) == count


def test_one_revision_that_cannot_be_predicted_holds_up_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.work()
    shop.see(50, 10)
    shop.clock.advance(seconds=1)
    broken = shop.change(RULE)
    shop.change({"do": "kill", "flag": "gate"})
    real = predictions.load_flag_set

    def load(session: Any, environment_id: int, number: int | None = None) -> Any:
        if number == broken - 1:
            raise ValueError("cannot be read")
        return real(session, environment_id, number)

    monkeypatch.setattr(predictions, "load_flag_set", load)
    assert shop.work() == 0
    assert shop.states()[1:3] == ["not_predicted", "watching"]
    assert shop.work() == 0


def test_what_was_published_while_nobody_watched_is_passed_over(shop: Shop) -> None:
    shop.see(50, 10)
    shop.change(RULE)
    shop.clock.now += dt.timedelta(hours=1)
    shop.work()
    assert set(shop.states()) == {"not_predicted"}
    count = len(shop.states())
    shop.work()
    assert len(shop.states()) == count
