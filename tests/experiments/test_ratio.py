"""A ratio divides all of an arm's numerators by all of its denominators, unit by unit summed up."""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.contract import words
from experiments.contract.parsing import parse_plan
from experiments.errors import PlanError
from experiments.judging.looks import look_document, read_look
from experiments.judging.record import verify
from experiments.replays.replay import replay
from experiments.store.base import Event
from stats import RatioMoments, compare_ratios

RATIO = {
    "key": "order-value",
    "role": "success",
    "kind": "ratio",
    "event": "purchase",
    "numerator": "value",
    "denominator_event": "session",
    "window": "5s",
    "mde": 0.1,
}
NAMES = ("m1", "m2", "m3", "d1", "d2", "d3", "md", "md2", "m2d")


def ratio_plan(make_plan: Callable[..., Any], **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = make_plan()
    document["metrics"][0] = RATIO | changes
    return document


def sums_of(pairs: list[tuple[float, float]]) -> dict[str, float]:
    terms = [(m, m**2, m**3, d, d**2, d**3, m * d, m * d**2, m**2 * d) for m, d in pairs]
    added = [math.fsum(term[k] for term in terms) for k in range(9)]
    return {"n": float(len(pairs)), **dict(zip(NAMES, added, strict=True))}


def people(rng: random.Random, units: int, lift: float) -> list[tuple[str, list[float], int]]:
    """Give units with their arm, what they paid, and their sessions; some did nothing."""
    found = []
    for i in range(units):
        arm = "new" if i % 2 else "control"
        sessions = rng.randint(0, 4)
        paid = [
            round(rng.uniform(1, 9) * (1 + lift * (arm == "new")), 2)
            for _ in range(rng.randint(0, sessions))
        ]
        found.append((arm, paid, sessions))
    return found


def send(world: Any, found: list[tuple[str, list[float], int]]) -> None:
    """Put them into the store: within 4 s from the start, and one event each that is too late."""
    environment, begin = world.environment_id(), world.at(0).timestamp()
    events = []

    def event(unit: str, time: float, **what: Any) -> None:
        key = uuid.UUID(int=len(events) + 1).bytes
        events.append(Event(key, environment, begin + time, unit, **what))

    for i, (arm, paid, sessions) in enumerate(found):
        unit, first = f"u{i}", 3 * i / len(found)
        event(unit, first, flag="checkout", variant=arm, rule="exp-button", revision=1)
        for k, value in enumerate(paid):
            event(unit, first + 0.1 * (k + 1), name="purchase", value=value)
        for k in range(sessions):
            event(unit, first + 0.1 * (k + 1), name="session")
        event(unit, first + 5, name="purchase", value=1000.0)
        event(unit, first + 5, name="session")
    for at in range(0, len(events), 1000):
        world.store.append(events[at : at + 1000])


def test_sums_from_the_store_equal_sums_built_by_hand_and_verify(
    world: Any, make_plan: Callable[..., Any]
) -> None:
    found = people(random.Random(3), 600, 0.0)
    world.run(ratio_plan(make_plan))
    send(world, found)
    world.tick(10)
    (look,) = world.looks
    for arm in ("control", "new"):
        pairs = [(math.fsum(paid), float(d)) for a, paid, d in found if a == arm]
        stored = look.data["look"]["metrics"]["order-value"][arm]
        for name, wanted in sums_of(pairs).items():
            assert stored[name] == pytest.approx(wanted, rel=1e-9), name
        read = read_look(look.data["look"]).metrics["order-value"][arm]
        assert isinstance(read, RatioMoments)
    again = look_document(read_look(json.loads(json.dumps(look.data["look"]))))
    assert again == look.data["look"]
    tests = {(t["kind"], t["metric"]): t for t in look.decision["tests"]}
    arms = read_look(look.data["look"]).metrics["order-value"]
    plain = compare_ratios(arms["control"], arms["new"])  # type: ignore[arg-type]
    assert tests["harm", "order-value"]["estimate"] == pytest.approx(plain.difference, rel=1e-9)
    assert verify(world.export()).identical


def test_a_ratio_that_falls_is_harm_and_is_said_in_its_unit(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    found = people(random.Random(4), 1200, -0.5)
    sqlite_world.run(ratio_plan(make_plan))
    send(sqlite_world, found)
    sqlite_world.tick(10)
    assert sqlite_world.experiment.verdict == "HARM"
    halves = {
        arm: (
            math.fsum(sum(paid) for a, paid, _ in found if a == arm),
            sum(d for a, _, d in found if a == arm),
        )
        for arm in ("control", "new")
    }
    before, after = (m / d for m, d in (halves["control"], halves["new"]))
    card = sqlite_world.card(11)
    levels = f"({words.plain(float(f'{before:.6g}'))} to {words.plain(float(f'{after:.6g}'))})"
    assert f"order-value fell by {words.percent(1 - after / before)} {levels}" in card.sentence
    (worth,) = card.worth
    assert worth.unit == "value of purchase per session"
    assert worth.text.startswith("order-value (value of purchase per session), new against control")
    assert worth.control_mean == pytest.approx(before, rel=1e-9)
    assert worth.treatment_mean == pytest.approx(after, rel=1e-9)
    lost = words.plain(float(f"{(before - after) * halves['new'][1]:.3g}"))
    assert f"about {lost} less value of purchase in new" in card.cost


def test_a_replay_of_events_and_one_of_rows_find_the_same_sums(
    tmp_path: Path, make_plan: Callable[..., Any]
) -> None:
    found = people(random.Random(5), 400, 0.0)
    exposures, events = tmp_path / "exposures.csv", tmp_path / "events.csv"
    rows = tmp_path / "rows.csv"
    met, did, wide = ["who,arm"], ["who,what,worth"], ["who,arm,paid,sessions,errors"]
    for i, (arm, paid, sessions) in enumerate(found):
        met.append(f"u{i},{arm}")
        did += [f"u{i},purchase,{value}" for value in paid]
        did += [f"u{i},session," for _ in range(sessions)]
        wide.append(f"u{i},{arm},{math.fsum(paid)},{sessions},0")
    for file, lines in ((exposures, met), (events, did), (rows, wide)):
        file.write_text("\n".join(lines) + "\n")
    document = ratio_plan(make_plan, column="paid", denominator_column="sessions")
    columns = {"unit": "who", "variant": "arm"}
    long = document | {
        "replay": {
            "exposures": columns,
            "outcomes": {"unit": "who", "event": "what", "value": "worth"},
        }
    }
    by_event = replay(exposures, events, long)
    by_row = replay(rows, rows, document | {"replay": {"exposures": columns}})
    for result in (by_event, by_row):
        for arm in ("control", "new"):
            pairs = [(math.fsum(paid), float(d)) for a, paid, d in found if a == arm]
            stored = result.looks[-1].look["metrics"]["order-value"][arm]
            for name, wanted in sums_of(pairs).items():
                assert stored[name] == pytest.approx(wanted, rel=1e-9), name
    arms = {
        arm: RatioMoments.of(
            [math.fsum(paid) for a, paid, _ in found if a == arm],
            [float(d) for a, _, d in found if a == arm],
        )
        for arm in ("control", "new")
    }
    textbook = compare_ratios(arms["control"], arms["new"])
    row = next(row for row in by_event.evidence if row.metric == "order-value")
    assert row.difference == pytest.approx(textbook.difference, rel=1e-9)
    assert row.p_value == pytest.approx(textbook.p_value, rel=1e-9)
    assert row.control_mean == pytest.approx(arms["control"].ratio, rel=1e-9)


def test_an_arm_without_any_denominator_is_no_crash(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    sqlite_world.run(ratio_plan(make_plan))
    send(sqlite_world, [(arm, [], 0) for arm in ("control", "new") * 100])
    late = [look.data["look"]["metrics"]["order-value"] for look in sqlite_world.looks]
    assert late == []
    assert sqlite_world.tick(10).errors == ()
    (look,) = sqlite_world.looks
    reasons = {t["reason"] for t in look.decision["tests"] if t["metric"] == "order-value"}
    assert any("clear of zero" in str(reason) for reason in reasons)
    assert sqlite_world.card(31).worth_hidden is not None
    sqlite_world.tick(30)
    (worth,) = sqlite_world.card(31).worth
    assert (worth.control_mean, worth.estimate) == (None, None)


def test_a_ratio_reads_back_with_what_was_not_said(make_plan: Callable[..., Any]) -> None:
    plan = parse_plan(ratio_plan(make_plan, numerator=None))
    ratio = plan.metric("order-value").ratio
    assert ratio is not None
    assert (ratio.numerator, ratio.denominator) == ("count", "count")
    assert plan.metric("order-value").unit == "purchase per session"
    assert parse_plan(plan.to_document()) == plan
    assert plan.metric("errors").unit == "share of units"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"denominator_event": None}, "denominator_event"),
        ({"denominator_event": "purchase", "numerator": "count"}, "denominator_event"),
        ({"numerator": "median"}, "numerator"),
        ({"denominator": "median"}, "denominator"),
        ({"covariate": "before"}, "covariate"),
        ({"rare": True}, "rare"),
        ({"kind": "mean", "numerator": None}, "denominator_event"),
        ({"kind": "mean", "denominator_event": None}, "numerator"),
    ],
)
def test_a_ratio_that_contradicts_itself_is_refused(
    make_plan: Callable[..., Any], changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(ratio_plan(make_plan, **changes))
    assert caught.value.field == f"metrics[0].{field}"
    assert caught.value.hint
