"""How small an effect a metric shows is found out by the worker, from what is recorded."""

from __future__ import annotations

import math
import random
import uuid
from collections import defaultdict
from typing import Any

import pytest
from sqlmodel import select

from experiments.catalogue import demand
from experiments.catalogue import services as catalogue
from experiments.catalogue.definition import parse_entry
from experiments.catalogue.models import MetricSensitivity
from experiments.catalogue.noise import Reading, read_noise
from experiments.catalogue.sensitivity import describe, sense_due
from experiments.errors import FencedError
from experiments.models import Experiment, Look
from experiments.moves.lease import acquire
from experiments.store.base import Event
from flags.actor import Actor
from stats import Baseline, DecisionPlan, MetricSpec, Role, Schedule, World, outlook

ANN = Actor("user", "ann@example.org")
DAY = 86_400.0
UNITS = 700
PURCHASES = 0.7
METRICS: dict[str, dict[str, Any]] = {
    "buyers": {"kind": "conversion", "event": "purchase", "window": "7d"},
    "revenue": {"kind": "mean", "event": "purchase", "window": "7d"},
    "adjusted": {
        "kind": "mean",
        "event": "purchase",
        "window": "7d",
        "covariate_window": "14d",
    },
    "big": {"kind": "quantile", "event": "purchase", "window": "7d", "quantile": 0.9},
    "basket": {
        "kind": "ratio",
        "event": "purchase",
        "numerator": "value",
        "denominator_event": "purchase",
        "window": "7d",
    },
    "never": {"kind": "conversion", "event": "nothing", "window": "7d"},
    "slow": {"kind": "conversion", "event": "purchase", "window": "30d"},
}


def events_of(world: Any, days: float = 60) -> list[Event]:
    """Give visits and purchases of people who stay as rich as they are."""
    rng = random.Random(11)
    now, environment_id = world.at(0).timestamp(), world.environment_id()
    found = []
    for i in range(UNITS):
        size = math.exp(rng.gauss(2.0, 0.8))
        time = now - days * DAY
        while (time := time + rng.expovariate(1 / (3 * DAY))) < now:
            name, value = ("visit", None)
            if rng.random() < PURCHASES:
                name, value = "purchase", size * math.exp(rng.gauss(0, 0.1))
            key = uuid.UUID(int=rng.getrandbits(128)).bytes
            found.append(Event(key, environment_id, time, f"u{i}", name=name, value=value))
    return found


@pytest.fixture(scope="module")
def by_hand() -> Any:
    """Give entries and values of the last 28 days, read without any engine."""

    def read(events: list[Event], now: float, window: float = 7 * DAY) -> Any:
        begin = now - 28 * DAY
        entered: dict[str, float] = {}
        for event in sorted(events, key=lambda event: event.time):
            if event.time > begin:
                entered.setdefault(event.unit, event.time)
        values: dict[str, float] = defaultdict(float)
        past: dict[str, float] = defaultdict(float)
        for event in events:
            at = entered.get(event.unit)
            if event.name == "purchase" and at is not None:
                if at <= event.time < at + window:
                    values[event.unit] += event.value or 0.0
                elif at - 14 * DAY <= event.time < at:
                    past[event.unit] += event.value or 0.0
        mature = [unit for unit, at in entered.items() if at + window <= now]
        traffic = [0.0] * 28
        for at in entered.values():
            traffic[int((at - begin) // DAY)] += 1
        return traffic, [values[unit] for unit in mature], [past[unit] for unit in mature]

    return read


def add(world: Any, *keys: str) -> None:
    with world.database.write() as session:
        for key in keys:
            catalogue.put_metric(session, "shop", key, METRICS[key], actor=ANN, now=world.at(0))


def sense(world: Any, seconds: float = 0, **extra: Any) -> int:
    held = acquire(world.database, "worker", now=world.at(seconds), is_gone=lambda _: True)
    assert held is not None
    return sense_due(
        world.database, world.store, held, world.at(seconds), **{"budget_seconds": 1e9, **extra}
    )


def found_of(world: Any) -> dict[str, Any]:
    with world.database.read() as session:
        rows = catalogue.list_metrics(session, "shop")
        found = catalogue.sensitivities(session, rows)
        return {key: each.document for key, each in found.items()}


def moments(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sum((v - mean) ** 2 for v in values) / (len(values) - 1)


def asked(baseline: Baseline, traffic: list[float]) -> float:
    spec = MetricSpec("m", Role.SUCCESS, binary=baseline.binary, mde=0.05)
    plan = DecisionPlan(("a", "b"), (1, 1), (spec,))
    schedule = Schedule.from_traffic(plan, traffic, days=28, window_days=7)
    return outlook(plan, World({"m": baseline}), schedule, days=28).metrics[0].detectable


def test_what_a_metric_can_show_is_what_the_rule_says_of_recorded_events(
    world: Any, by_hand: Any
) -> None:
    events = events_of(world)
    world.store.append(events)
    add(world, *METRICS)
    assert sense(world) == len(METRICS)
    found = found_of(world)
    traffic, values, past = by_hand(events, world.at(0).timestamp())

    mean, variance = moments(values)
    revenue = found["revenue"]
    assert (revenue["units"], revenue["days"]) == (len(values), 28)
    assert revenue["units_per_day"] == pytest.approx(sum(traffic) / 28, rel=1e-5)
    assert revenue["mean"] == pytest.approx(mean, rel=1e-5)
    assert revenue["cv"] == pytest.approx(math.sqrt(variance) / mean, rel=1e-5)
    noisy = Baseline(mean, variance)
    assert revenue["provable"] == pytest.approx(asked(noisy, traffic), rel=1e-4)

    x, before = moments(past)
    shared = sum((v - mean) * (p - x) for v, p in zip(values, past, strict=True))
    rho2 = (shared / (len(values) - 1)) ** 2 / (variance * before)
    assert 0.1 < rho2 < 0.95
    for key, used in (("revenue", False), ("adjusted", True)):
        assert found[key]["covariate"]["variance_ratio"] == pytest.approx(1 - rho2, rel=1e-5)
        assert found[key]["covariate"]["used"] is used
    calm = noisy.with_covariate(rho2)
    assert found["adjusted"]["provable"] == pytest.approx(asked(calm, traffic), rel=1e-4)

    # The histogram of caps has buckets of one per cent.
    large = sorted(value for value in values if value > 0)
    cap = large[math.ceil(0.99 * len(large)) - 1]
    assert revenue["cap"] is None or revenue["cap"]["cap"] == pytest.approx(cap, rel=0.05)

    share = sum(value > 0 for value in values) / len(values)
    assert found["buyers"]["mean"] == pytest.approx(share, rel=1e-5)
    rate = Baseline.of_rate(found["buyers"]["mean"])
    assert found["buyers"]["provable"] == pytest.approx(asked(rate, traffic), rel=1e-3)
    assert 0.05 < found["big"]["mean"] < 0.2
    assert found["basket"]["provable"] is not None
    assert "would leave" in found["revenue"]["sentence"]
    assert "before leaves" in found["adjusted"]["sentence"]
    assert found["never"]["provable"] is None
    assert "the same value, 0" in found["never"]["reason"]
    assert found["slow"]["sentence"].startswith("Not enough data yet: no unit has been watched")


def test_a_cap_is_tried_where_there_are_a_thousand_values(sqlite_world: Any, by_hand: Any) -> None:
    world = sqlite_world
    events = [
        event._replace(unit=f"{event.unit}-{copy}", id=uuid.uuid4().bytes)
        for event in events_of(world)
        for copy in range(3)
    ]
    world.store.append(events)
    metric = parse_entry("revenue", METRICS["revenue"]).metric
    found = read_noise(world.store, world.environment_id(), metric, world.at(0).timestamp())
    _traffic, values, _past = by_hand(events, world.at(0).timestamp())
    large = sorted(value for value in values if value > 0)
    assert found.cap == pytest.approx(large[math.ceil(0.99 * len(large)) - 1], rel=0.02)
    mean, variance = moments([min(value, found.cap or 0) for value in values])
    assert found.capped is not None
    assert (found.capped.mean, found.capped.variance) == pytest.approx((mean, variance))
    ratio = (variance / mean**2) / (found.baseline.variance / found.baseline.mean**2)  # type: ignore[union-attr]
    document = describe(metric, found)
    assert document["cap"]["variance_ratio"] == pytest.approx(ratio, rel=1e-5)
    assert 0 < ratio < 1


@pytest.mark.parametrize(
    ("days", "reason"), [(None, "nothing is recorded yet"), (5, "days of events are recorded")]
)
def test_without_a_week_of_events_it_says_so_and_gives_no_number(
    sqlite_world: Any, days: float | None, reason: str
) -> None:
    if days is not None:
        sqlite_world.store.append(events_of(sqlite_world, days))
    add(sqlite_world, "revenue")
    sense(sqlite_world)
    found = found_of(sqlite_world)["revenue"]
    assert (found["provable"], found["mean"], found["cv"]) == (None, None, None)
    assert reason in found["reason"]
    assert found["sentence"].startswith("Not enough data yet: ")


def test_a_few_weeks_of_events_have_no_past_to_adjust_by(sqlite_world: Any) -> None:
    sqlite_world.store.append(events_of(sqlite_world, 20))
    metric = parse_entry("revenue", METRICS["revenue"]).metric
    now = sqlite_world.at(0).timestamp()
    found = read_noise(sqlite_world.store, sqlite_world.environment_id(), metric, now)
    assert (len(found.new_units), found.covariate) == (19, None)
    assert found.baseline is not None


def test_it_is_found_out_daily_or_when_the_definition_moves_and_one_at_a_time(world: Any) -> None:
    world.store.append(events_of(world))
    add(world, "revenue", "buyers")
    assert [sense(world, budget_seconds=0) for _ in range(3)] == [1, 1, 0]
    assert sense(world, 86_399) == 0
    assert sense(world, 86_400) == 2
    with world.database.write() as session:
        body = {**METRICS["buyers"], "window": "3d"}
        catalogue.put_metric(session, "shop", "buyers", body, actor=ANN, now=world.at(1))
    assert sense(world, 86_401) == 1
    with world.database.write() as session:
        catalogue.set_archived(session, "shop", "buyers", archived=True, actor=ANN, now=world.at(2))
    assert sense(world, 86_402) == 0


def test_what_is_not_known_is_asked_again_within_the_hour(sqlite_world: Any) -> None:
    add(sqlite_world, "revenue")
    assert [sense(sqlite_world, second) for second in (0, 3_599, 3_600)] == [1, 0, 1]


def test_the_worker_does_it_after_its_looks(sqlite_world: Any) -> None:
    add(sqlite_world, "revenue")
    assert sqlite_world.tick(0).errors == ()
    assert set(found_of(sqlite_world)) == {"revenue"}


def test_a_worker_that_lost_its_lease_writes_nothing(sqlite_world: Any) -> None:
    world = sqlite_world
    add(world, "revenue")
    held = acquire(world.database, "first", now=world.at(0))
    assert held is not None
    assert acquire(world.database, "second", now=world.at(0), is_gone=lambda _: True)
    with pytest.raises(FencedError):
        sense_due(world.database, world.store, held, world.at(0))
    with world.database.read() as session:
        assert session.exec(select(MetricSensitivity)).all() == []


def test_a_reading_that_fails_is_said_and_does_not_stop_the_others(
    sqlite_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_world
    add(world, "revenue", "buyers")
    monkeypatch.setattr(world.store, "tables", lambda *_a, **_k: 1 / 0)
    assert sense(world) == 2
    assert all("division by zero" in each["reason"] for each in found_of(world).values())


def test_failure_demand_has_its_sensitivity_too(sqlite_world: Any) -> None:
    world = sqlite_world
    world.store.append(events_of(world))
    with world.database.write() as session:
        for name, its in (("visit", "value"), ("purchase", "failure")):
            demand.set_event_type(session, "shop", name, its, actor=ANN, now=world.at(0))
    sense(world)
    found = found_of(world)["failure-demand"]
    assert found["mean"] == pytest.approx(PURCHASES, abs=0.03)
    assert found["provable"] is not None


@pytest.mark.parametrize(
    ("low", "high", "verdict", "moved"),
    [(0.01, 0.05, "VALUE_PROVEN", 1), (-0.05, -0.01, "HARM", 1), (-0.1, 0.1, "FUTILE", 0),
     (None, 0.1, "FUTILE", 0), (0.01, 0.05, "INVALID", None)],
)  # fmt: skip
def test_experiments_that_ended_tell_how_often_it_moved(
    sqlite_world: Any,
    make_plan: Any,
    low: float | None,
    high: float,
    verdict: str,
    moved: int | None,
) -> None:
    world = sqlite_world
    add(world, "buyers")
    document = make_plan()
    document["metrics"][0] = {"metric": "buyers", "role": "success", "mde": 0.1}
    document |= {"prove_by": "28d", "policy": "proof-28d"}
    document["metrics"].pop()
    world.create(document)
    test = {"metric": "buyers", "arm": "new", "kind": "ship", "estimate": 0.03, "passed": False}
    with world.database.write() as session:
        experiment = session.exec(select(Experiment)).one()
        experiment.verdict, experiment.ended_at = verdict, world.at(5)
        seen = {"metrics": {}, "may_ship": True, "is_final": True}
        session.add(experiment)
        assert experiment.id is not None
        session.add(
            Look(
                experiment_id=experiment.id,
                number=1,
                at=world.at(5),
                verdict=verdict,
                data={"offset": 5.0, "look": seen},
                decision={"tests": [test | {"low": low, "high": high}]},
            )
        )
    sense(world)
    count = {"experiments": 0, "moved": 0} if moved is None else {"experiments": 1, "moved": moved}
    found = found_of(world)["buyers"]
    assert found["moved"] == count
    assert ("ended experiments" in found["sentence"]) is (moved is not None)


def test_an_answer_that_is_no_number_is_a_reason() -> None:
    metric = parse_entry("slow", METRICS["slow"]).metric
    found = Reading((900.0,) * 28, 900, Baseline.of_rate(0.2), "")
    document = describe(metric, found)
    assert document["provable"] is None
    assert "window" in document["reason"]
