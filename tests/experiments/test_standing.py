"""Standing audits and the holdout's effect: read once a day, beside everything else."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from experiments.models import Experiment, StandingRow
from experiments.monitoring import standing, standing_audit, standing_reading
from experiments.moves import holdout, layers
from experiments.moves.lease import acquire
from experiments.people import services
from experiments.store.base import Event
from experiments.telling import audits
from experiments.telling.audits import Audit, Tally, exact_bounds, list_audits, tally
from flags.actor import Actor

OWNER = Actor("user", "owner@example.org")
CUSTOMER = Actor("user", "customer@example.org")
PLACE = ("shop", "production")
DAY = 86400.0


def stand(world: Any, seconds: float) -> int:
    """Take what is due at that time, with no other tick."""
    taken = 0
    held = acquire(world.database, "worker-1", now=world.at(seconds), seconds=30)
    assert held is not None
    while standing.stand_due(world.database, world.store, held, world.at(seconds)):
        taken += 1
        assert taken < 20
    return taken


def readings(world: Any, kind: str) -> list[StandingRow]:
    with world.database.read() as session:
        query = select(StandingRow).where(StandingRow.kind == kind).order_by(StandingRow.id)
        found = list(session.exec(query))
        session.expunge_all()
    return found


def found_audits(world: Any) -> list[Audit]:
    with world.database.read() as session:
        return list_audits(session, world.environment_id())


def test_every_layer_is_audited_once_a_day_by_itself(world: Any, make_plan: Any) -> None:
    with world.database.write() as session:
        layers.put_layer(session, *PLACE, "till", description="", actor=OWNER, now=world.at(0))
    document = make_plan(layer="till", layer_share=1.0)
    document["metrics"][0]["mde"] = 0.005
    world.run(document)
    world.traffic(0, 50, 600, {"purchase": {"control": 0.2, "new": 0.4}})
    assert stand(world, 60) == 0, "the day is not over"
    assert stand(world, DAY + 200) == 1
    assert stand(world, DAY + 300) == 0, "once a day"
    (audit,) = found_audits(world)
    assert (audit.layer, audit.looks, audit.verdict) == ("till", 1, "CONTINUE")
    assert audit.metrics == ("1-purchase", "2-errors")
    (row,) = readings(world, "audit")
    # Dealt as anybody can compute: the first digit of an md5.
    salt = f"audit-{world.environment_id()}-{row.period}:till"
    assert row.data["salt"] == salt
    digits = [hashlib.md5(f"{salt}.u0-{i}".encode()).hexdigest()[0] for i in range(600)]
    expected = {"a": sum(d < "8" for d in digits), "b": sum(d >= "8" for d in digits)}
    assert row.data["look"]["counts"] == expected
    purchases = row.data["look"]["metrics"]["1-purchase"]
    assert sum(arm["s1"] + arm["n"] * arm.get("shift", 0) for arm in purchases.values()) == (
        pytest.approx(180, abs=1.5)
    ), "all units of both arms of the experiment, dealt anew"
    # After a downtime only the newest look is taken.
    assert stand(world, 4 * DAY + 200) == 1
    assert [r.data["offset"] % DAY for r in readings(world, "audit")] == [0, 0]
    assert world.tick(4 * DAY + 260).errors == ()


def test_a_period_ends_with_a_verdict_and_the_next_deals_anew(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 50, 600, {"purchase": {"control": 0.2, "new": 0.2}})
    stand(world, DAY + 200)
    stand(world, 30 * DAY)
    first = found_audits(world)[-1]
    assert (first.layer, first.is_over, first.is_false, first.counts) == ("", True, False, True)
    assert first.verdict in {"NOT_PROVEN_IN_TIME", "FUTILE"}
    card = world.card(60)
    world.tick(20)
    (line,) = [line for line in world.card(60).trust if line.name == "audits"]
    assert line.good
    assert "0 of 1 audit of nothing gave a false verdict" in line.text
    assert "0 to 97" in line.text or "0 to 98" in line.text
    assert card is not None
    assert standing_audit.audit_salt(1, "", 1) != standing_audit.audit_salt(1, "", 2)


def test_an_audit_that_finds_something_is_counted_as_false(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    period = int(world.at(0).timestamp() // standing_reading.PERIOD)
    salt = standing_audit.audit_salt(world.environment_id(), "", period)
    events = []
    time, environment_id = world.at(5).timestamp(), world.environment_id()
    for i in range(3000):
        unit = f"v{i}"
        is_b = hashlib.md5(f"{salt}.{unit}".encode()).hexdigest()[0] >= "8"
        place = {"environment_id": environment_id, "unit": unit}
        events.append(
            Event(
                id=uuid.UUID(int=10**6 + i).bytes,
                time=time,
                flag="checkout",
                variant="control",
                rule="exp-button",
                revision=1,
                **place,
            )
        )
        # Somebody's data that do depend on the arm: what an audit is there to find.
        if i % (20 if is_b else 4) == 0:
            events.append(
                Event(id=uuid.UUID(int=10**7 + i).bytes, time=time + 1, name="purchase", **place)
            )
    for i in range(0, len(events), 1000):
        world.store.append(events[i : i + 1000])
    stand(world, DAY + 200)
    (audit,) = found_audits(world)
    assert (audit.verdict, audit.is_false) == ("HARM", True)
    assert tally([audit]) == Tally(1, 1)
    assert stand(world, 2 * DAY + 200) == 0, "what is over is not looked at again"


def test_the_bounds_are_exact() -> None:
    # scipy.stats.beta.ppf of SciPy 1.17.1, as Clopper and Pearson's formula has it.
    assert exact_bounds(0, 9) == pytest.approx((0, 0.3362671), abs=1e-6)
    assert exact_bounds(1, 9) == pytest.approx((0.0028091, 0.4824965), abs=1e-6)
    assert exact_bounds(5, 100) == pytest.approx((0.0164319, 0.1128349), abs=1e-6)
    assert exact_bounds(50, 2000) == pytest.approx((0.0186111, 0.0328278), abs=1e-6)
    assert exact_bounds(0, 0) == (0.0, 1.0)
    assert exact_bounds(3, 3)[1] == 1.0
    assert Tally(9, 0).text == (
        "0 of 9 audits of nothing gave a false verdict (95 % bounds 0 to 34 %)"
    )
    assert Tally(0, 0, 1).text == "none is over yet"
    assert Tally(100, 5).keeps_promise
    assert not Tally(100, 15).keeps_promise


def test_an_audit_of_too_few_units_is_not_counted_and_claims_need_a_metric(
    sqlite_world: Any, make_plan: Any
) -> None:
    audit = Audit("", 1, 3, sqlite_world.at(0), 150, ("m",), "NOT_PROVEN_IN_TIME")
    assert tally([audit]) == Tally(0, 0)
    world = sqlite_world
    document = make_plan(claim="no_harm")
    document["metrics"] = [m for m in document["metrics"] if m["role"] == "guardrail"]
    world.create(document)
    plan = standing_audit.audit_plan("production", [world.experiment])
    assert plan is not None
    (metric,) = plan.metrics
    assert (metric.role, metric.mde, metric.direction) == ("success", 0.5, "down")
    document["metrics"][0] |= {"kind": "mean", "cap_quantile": 0.9}
    world.do(services.replace_plan, document=document)
    assert standing_audit.audit_plan("production", [world.experiment]) is None


def test_everything_shipped_is_compared_with_those_held_out(world: Any) -> None:
    with world.database.write() as session:
        row = holdout.set_holdout(session, *PLACE, share=0.10, actor=OWNER, now=world.at(0))
    world.run()
    with world.database.write() as session:
        experiment = services.get_experiment(session, *PLACE, "button")
        experiment.verdict, experiment.winner = "VALUE_PROVEN", "new"
    world.do(services.confirm, actor=CUSTOMER, now=10)
    rng = np.random.default_rng(3)
    compiled, time = world.compiled(), world.at(20).timestamp()
    environment_id = world.environment_id()
    events, bought = [], {"held": [0, 0], "open": [0, 0]}
    for i in range(8000):
        unit = f"h{i}"
        details = compiled.evaluate(holdout.FLAG, {"targetingKey": unit}, time)
        assert details.track
        assert details.variant is not None
        place = {"environment_id": environment_id, "unit": unit}
        events.append(
            Event(
                id=uuid.UUID(int=10**6 + i).bytes,
                time=time,
                flag=holdout.FLAG,
                variant=details.variant,
                rule=details.rule_id,
                revision=1,
                **place,
            )
        )
        buys = rng.random() < (0.30 if details.variant == "open" else 0.15)
        bought[details.variant][0] += buys
        bought[details.variant][1] += 1
        if buys:
            events.append(
                Event(id=uuid.UUID(int=10**7 + i).bytes, time=time + 1, name="purchase", **place)
            )
    for i in range(0, len(events), 1000):
        world.store.append(events[i : i + 1000])
    assert stand(world, DAY + 200) >= 1
    (reading,) = readings(world, "holdout")
    assert reading.subject == holdout.rule_id(row)
    assert reading.data["experiments"] == ["button"]
    by_key = {each["metric"]: each for each in reading.data["metrics"]}
    assert set(by_key) == {"purchase", "errors"}
    found = by_key["purchase"]
    rates = {side: yes / of for side, (yes, of) in bought.items()}
    assert found["estimate"] == pytest.approx(rates["open"] - rates["held"])
    assert found["held"] == pytest.approx(rates["held"])
    assert 0 < found["low"] < found["estimate"] < found["high"]
    assert stand(world, DAY + 400) == 0, "once a day"
    with world.database.read() as session:
        assert session.exec(select(Experiment)).one().state == "SHIPPING"


def test_a_reading_that_fails_is_not_tried_every_second(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    world.run()
    calls = []

    class Broken:
        def tables(self, *_place: Any, **_times: Any) -> Any:
            calls.append(1)
            raise RuntimeError("no disk")

    held = acquire(world.database, "worker-1", now=world.at(DAY + 200), seconds=30)
    for second in range(3):
        if second == 0:
            with pytest.raises(RuntimeError):
                standing.stand_due(world.database, Broken(), held, world.at(DAY + 200))  # type: ignore[arg-type]
        else:
            assert not standing.stand_due(world.database, Broken(), held, world.at(DAY + 200))  # type: ignore[arg-type]
    assert len(calls) == 1
    assert audits.KIND == "audit"
