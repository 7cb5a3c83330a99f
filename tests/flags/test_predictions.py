"""Whom a change was said to move, whom it moved, and when that is an alarm."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from flags import predictions
from flags.context_samples import hash_of, record
from flags.effect_counts import share_of
from flags.models import Notice, Prediction
from flags.predictions import (
    ERROR_RATE,
    LOOKS,
    MIN_SEEN,
    PREDICTED_WITHIN,
    New,
    p_value,
    prediction_document,
    predictions_of,
)
from tests.flags.conftest import NOW, Shop

AFTER = NOW + dt.timedelta(minutes=1)
RULE = {
    "do": "add_rule",
    "rule": {"when": {"attr": "c", "op": "in", "values": ["DE"]}, "serve": "on"},
}


def see(shop: Shop, count: int, germans: int, at: dt.datetime, names: str = "u") -> None:
    people = (
        {"targetingKey": f"{names}{n}", "c": "DE" if n < germans else "US"} for n in range(count)
    )
    with shop.database.write() as session:
        record(session, shop.id(), [(hash_of(each), json.dumps(each), at) for each in people])


@pytest.fixture
def gate(shop: Shop) -> Shop:
    """A flag that is on and gives everybody ``off``."""
    shop.create({"key": "gate", "type": "boolean", "default": "off", "off": "off"})
    shop.change({"do": "turn_on"}, flag="gate")
    return shop


def predict(shop: Shop, now: dt.datetime | None = None) -> Prediction:
    with shop.database.read() as session:
        made = predictions.predict(session, New(shop.id(), shop.number()), now=now or shop.now)
    with shop.database.write() as session:
        session.add(made)
    return made


def look(shop: Shop, now: dt.datetime) -> Prediction:
    with shop.database.write() as session:
        (number,) = [
            each
            for each in predictions.due(session, now)
            if session.get_one(Prediction, each).environment_id == shop.id()
        ]
        found = session.get_one(Prediction, number)
        seen = predictions.observe(session, found, now=now)
        predictions.settle(session, found, seen, now=now)
    return found


def alarms(shop: Shop) -> list[Notice]:
    with shop.database.read() as session:
        query = select(Notice).where(
            Notice.kind == "flag.moved", Notice.project_id == shop.project_id
        )
        return list(session.exec(query))


def test_what_is_predicted_is_counted_over_those_seen_before(gate: Shop) -> None:
    see(gate, 200, 50, NOW - dt.timedelta(hours=1))
    gate.now = AFTER
    gate.change(RULE, flag="gate")
    see(gate, 100, 100, AFTER + dt.timedelta(seconds=1), "later")
    made = predict(gate, AFTER + dt.timedelta(seconds=30))
    assert made.state == "watching"
    assert made.flags == ["gate"]
    assert made.predicted is not None
    assert (made.predicted["count"], made.predicted["size"]) == (50, 200)
    assert made.next_look_at == AFTER + LOOKS[0]
    with gate.database.read() as session:
        assert not [n for n in predictions.unpredicted(session) if n.environment_id == gate.id()]
    gate.change({"do": "kill"}, flag="gate")
    gate.change({"do": "unkill"}, flag="gate")
    with gate.database.read() as session:
        waiting = [n for n in predictions.unpredicted(session) if n.environment_id == gate.id()]
    assert [each.revision for each in waiting] == [made.revision + 1, made.revision + 2]


@pytest.mark.parametrize(
    ("germans", "seen", "states"),
    [
        (75, 300, ["watching", "watching", "agrees"]),
        (90, 300, ["watching", "watching", "agrees"]),
        (130, 300, ["parts"]),
        (0, 300, ["parts"]),
        (20, MIN_SEEN - 1, ["watching", "watching", "not_enough"]),
        (0, 0, ["watching", "watching", "not_enough"]),
    ],
)
def test_what_was_seen_since_agrees_parts_or_is_not_enough(
    gate: Shop, germans: int, seen: int, states: list[str]
) -> None:
    see(gate, 200, 50, NOW - dt.timedelta(hours=1))
    gate.now = AFTER
    gate.change(RULE, flag="gate")
    made = predict(gate)
    see(gate, seen, germans, AFTER + dt.timedelta(minutes=5), "since")
    # What changes later is not this change's.
    gate.change({"do": "kill"}, flag="gate")
    found = [look(gate, AFTER + wait) for wait in LOOKS[: len(states)]]
    assert [each.state for each in found] == states
    last = prediction_document(found[-1])
    assert last["alarm"] is (states[-1] == "parts")
    assert len(alarms(gate)) == last["alarm"]
    if seen:
        assert (last["observed"]["count"], last["observed"]["size"]) == (germans, seen)
    if last["alarm"]:
        (notice,) = alarms(gate)
        assert notice.environments == ["production"]
        assert notice.resource == "flag:gate"
        assert f"Revision {made.revision} of production (gate): Moved" in notice.sentence
        assert "instead of 25 % of 200 seen before" in notice.sentence
        assert last["p_value"] < ERROR_RATE
        assert last["next_look_at"] is None
    with gate.database.read() as session:
        known = predictions_of(session, [(gate.id(), made.revision), (gate.id(), None)])
    assert list(known) == [(gate.id(), made.revision)]


def test_what_cannot_be_predicted_is_not_watched(gate: Shop) -> None:
    gate.now = AFTER
    gate.change(RULE, flag="gate")
    nobody = predict(gate)
    see(gate, 100, 50, AFTER)
    gate.change({"do": "kill"}, flag="gate")
    late = predict(gate, AFTER + PREDICTED_WITHIN + dt.timedelta(seconds=1))
    # A flag that was not there was nobody's.
    gate.create({"key": "new", "type": "boolean"})
    new = predict(gate)
    assert [each.state for each in (nobody, late, new)] == ["not_predicted"] * 3
    with gate.database.read() as session:
        assert predictions_of(session, [(gate.id(), late.revision)]) == {}
        assert predictions.find_predictions(session, gate.id()) == []


def test_the_test_is_fishers() -> None:
    # scipy 1.17.1: fisher_exact([[8, 2], [1, 5]]) and so on.
    cases: list[tuple[tuple[int, int], tuple[int, int], float]] = [
        ((8, 10), (1, 6), 0.03496503496503495),
        ((1, 10), (11, 14), 0.0027594561852200836),
        ((0, 200), (0, 300), 1.0),
        ((25, 100), (25, 100), 1.0),
    ]
    for (a, n), (b, m), expected in cases:
        assert p_value(share_of(a, n), share_of(b, m)) == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_a_p_value_is_one_and_does_not_depend_on_order(n: int, m: int, data: Any) -> None:
    first = share_of(data.draw(st.integers(0, n)), n)
    second = share_of(data.draw(st.integers(0, m)), m)
    found = p_value(first, second)
    assert 0 <= found <= 1
    assert found == pytest.approx(p_value(second, first), rel=1e-6, abs=1e-300)


def test_false_alarms_are_as_rare_as_is_said() -> None:
    rng = random.Random(7)
    level, tests, wrong = 0.05, 1500, 0
    for _ in range(tests):
        share = rng.choice([0.02, 0.25, 0.5])
        counts = [sum(rng.random() < share for _ in range(size)) for size in (200, 60)]
        wrong += p_value(share_of(counts[0], 200), share_of(counts[1], 60)) < level
    # Exact: at most the level, but for three standard errors of this simulation.
    assert wrong / tests <= level + 3 * (level * (1 - level) / tests) ** 0.5
