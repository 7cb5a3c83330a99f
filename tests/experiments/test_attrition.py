"""Units that an arm loses: by an event that everybody still there sends, or by the missing row."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.errors import PlanError, RowError
from experiments.judging.attrition import attrition_p
from experiments.judging.record import verify
from experiments.machine.alarms import LEAST_ATTRITION_P, alarms_of
from experiments.people import interventions
from experiments.replays.calibrate import calibrate
from experiments.replays.replay import replay
from tests.experiments.test_record import rehash, touched

SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
ALIKE = SAME | {"visit": {"control": 0.9, "new": 0.9}}
APART = SAME | {"visit": {"control": 0.9, "new": 0.8}}


def lost(control: tuple[int, int], *others: tuple[int, int]) -> dict[str, dict[str, int]]:
    arms = {"control": control} | {f"t{i}": each for i, each in enumerate(others)}
    return {arm: {"lost": gone, "units": units} for arm, (gone, units) in arms.items()}


# --- the test


def test_the_chance_is_fishers_and_doubled() -> None:
    # Of 1,000 and 1,000 ten were lost, all on one side: 2 · C(1000, 10) / C(2000, 10).
    p = attrition_p(lost((0, 1000), (10, 1000)), "control")
    assert p == pytest.approx(2 * 9.5463e-4, rel=1e-3)
    assert attrition_p(lost((5, 1000), (5, 1000)), "control") == 1.0
    assert attrition_p(lost((0, 1000), (0, 1000)), "control") == 1.0
    # Where nearly all are lost the few that are kept are as telling.
    kept = attrition_p(lost((1000, 1000), (990, 1000)), "control")
    assert kept == pytest.approx(p)


def test_a_thousand_losses_are_told_by_the_curve_as_by_the_sum() -> None:
    below = attrition_p(lost((450, 9000), (550, 9000)), "control")
    above = attrition_p(lost((451, 9000), (551, 9000)), "control")
    assert below is not None
    assert above is not None
    assert above == pytest.approx(below, rel=0.1)


def test_every_treatment_is_compared_and_the_worst_one_pays_for_all() -> None:
    one = attrition_p(lost((10, 1000), (40, 1000)), "control")
    two = attrition_p(lost((10, 1000), (12, 1000), (40, 1000)), "control")
    assert two == pytest.approx(2 * (one or 0))
    assert attrition_p(lost((0, 99), (50, 99)), "control") is None
    assert attrition_p({}, "control") is None


@pytest.mark.parametrize(("units", "other", "rate"), [(900, 100, 0.01), (4000, 4000, 0.2)])
def test_an_equal_loss_rings_as_rarely_as_it_says(units: int, other: int, rate: float) -> None:
    """At one in twenty: the exact test is never above it, the curve about it."""
    rng, runs, rings = random.Random(2), 400, 0
    for _ in range(runs):
        found = lost((binomial(rng, units, rate), units), (binomial(rng, other, rate), other))
        p = attrition_p(found, "control")
        rings += p is not None and p < 0.05
    assert rings <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


def binomial(rng: random.Random, n: int, p: float) -> int:
    # The gaps between successes are geometric.
    found, place = 0, 0
    while True:
        place += 1 + int(math.log(1 - rng.random()) / math.log(1 - p))
        if place > n:
            return found
        found += 1


def test_the_alarm_rings_below_one_in_a_thousand_and_as_loud_as_its_digits() -> None:
    assert alarms_of(0, {"a": 1}, None, LEAST_ATTRITION_P) == {}
    assert alarms_of(0, {"a": 1}, None, 1e-6) == {"attrition": pytest.approx(2.0)}


# --- the plan


@pytest.mark.parametrize(
    ("said", "events", "start", "window"),
    [
        ("visit", ("visit",), 0.0, 5.0),
        (["visit", "login"], ("visit", "login"), 0.0, 5.0),
        ({"event": "visit", "from": "1s", "window": "3s"}, ("visit",), 1.0, 3.0),
    ],
    ids=["an event", "several", "a table"],
)
def test_a_plan_says_which_event_tells_who_is_still_there(
    make_plan: Callable[..., Any], said: Any, events: Any, start: float, window: float
) -> None:
    plan = parse_plan(make_plan(attrition=said))
    assert plan.attrition is not None
    found = (plan.attrition.events, plan.attrition.from_seconds, plan.attrition.window_seconds)
    assert found == (events, start, window)
    assert plan.to_document()["attrition"] == said
    assert parse_plan(plan.to_document()) == plan
    assert "attrition" not in parse_plan(make_plan()).to_document()


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("", "attrition"),
        (7, "attrition"),
        ({"event": "visit", "window": "6s"}, "attrition.window"),
        ({"event": "visit", "from": "5s"}, "attrition.from"),
        ({"event": "visit", "often": True}, "attrition.often"),
        ({"window": "5s"}, "attrition.event"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(
    make_plan: Callable[..., Any], said: Any, field: str
) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(make_plan(attrition=said))
    assert caught.value.field == field


# --- watched


def test_a_loss_that_differs_holds_and_unexplained_it_is_invalid(
    world: Any, make_plan: Any
) -> None:
    world.run(
        make_plan(attrition="visit", policy=make_plan()["policy"] | {"explain_within": "25s"})
    )
    world.traffic(0, 10, 3000, APART)
    world.tick(20)
    experiment = world.experiment
    assert (experiment.state, experiment.held_cause) == ("HELD", "quality")
    assert "lost units unequally" in experiment.note
    look = world.looks[-1]
    assert list(look.data["look"]["metrics"]) == ["purchase", "errors"]
    found = look.data["quality"]["attrition"]
    assert found["new"]["lost"] / found["new"]["units"] == pytest.approx(0.2, abs=0.02)
    assert found["control"]["units"] + found["new"]["units"] == 3000
    line = next(line for line in world.card(21).trust if line.name == "attrition")
    assert (line.good, "unequal" in line.text) == (False, True)
    exported = json.loads(json.dumps(world.export()))
    assert verify(exported).identical
    for path in (("quality", "attrition", "new", "lost"), ("alarms", "attrition")):
        last = len(exported["records"]) - 1
        forged = verify(rehash(touched(exported, ("records", last, "body", *path))))
        assert [d.record for d in forged.differences[:1]] == [last + 1]
    world.tick(44)
    assert world.experiment.state == "HELD"
    world.tick(45)
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "INVALID")


def test_an_explained_loss_goes_on_and_an_equal_one_never_rings(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    world.run(make_plan(attrition={"event": "visit", "window": "4s"}))
    world.traffic(0, 10, 3000, ALIKE)
    world.tick(20)
    assert world.experiment.state == "RUNNING"
    line = next(line for line in world.card(21).trust if line.name == "attrition")
    assert (line.good, "10 %" in line.text) == (True, True)
    exported = json.loads(json.dumps(world.export()))
    exported["records"][2]["body"]["quality"]["attrition"]["new"]["lost"] += 30
    found = verify(rehash(exported)).differences[0]
    assert found.path == "body.quality.attrition_p", "a loss that rings nothing is checked as well"
    world.traffic(20, 26, 3000, APART)
    world.tick(30)
    assert world.experiment.held_cause == "quality"
    world.do(interventions.explain, text="the new page sends no visit", now=31)
    world.tick(40)
    assert world.experiment.state == "RUNNING"
    assert verify(world.export()).identical


def test_who_visits_only_at_first_is_lost_where_later_visits_are_asked_for(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    world.run(make_plan(attrition={"event": "visit", "from": "4s"}))
    world.traffic(0, 10, 400, ALIKE)
    world.tick(20)
    found = world.looks[-1].data["quality"]["attrition"]
    assert all(arm["lost"] == arm["units"] for arm in found.values())


# --- files with a row per unit

WIDE = {
    "key": "w",
    "control": "old",
    "treatments": ["new"],
    "hypothesis": "h",
    "customer": "c@example.org",
    "owner": "o@example.org",
    "failure_demand": False,
    "metrics": [
        {"key": "bought", "role": "success", "kind": "conversion", "mde": 0.1},
        {"key": "money", "role": "guardrail", "kind": "mean", "margin": 0.2, "covariate": "before"},
    ],
    "replay": {
        "exposures": {"unit": "who", "variant": "arm"},
        "outcomes": {"unit": "who"},
    },
}


def files(folder: Path, gone: dict[str, int], units: int = 2000) -> tuple[Path, Path]:
    """Write both files; of each arm's units the last ``gone`` have no row."""
    exposures, outcomes = folder / "e.csv", folder / "o.csv"
    rng = random.Random(4)
    with exposures.open("w") as met, outcomes.open("w") as did:
        met.write("who,arm\n")
        did.write("who,bought,money,before\n")
        for arm in ("old", "new"):
            for i in range(units):
                met.write(f"{arm}{i},{arm}\n")
                if i < units - gone[arm]:
                    did.write(f"{arm}{i},{int(rng.random() < 0.3)},{rng.random():.3f},1.5\n")
    return exposures, outcomes


def test_a_missing_row_is_a_lost_unit_and_as_many_in_both_arms_change_nothing(
    tmp_path: Path,
) -> None:
    result = replay(*files(tmp_path, {"old": 100, "new": 104}), WIDE)
    assert result.verdict == "NOT_PROVEN_IN_TIME"
    counts, sums = result.looks[-1].look["counts"], result.looks[-1].look["metrics"]["bought"]
    assert (counts["new"], sums["new"]["n"]) == (2000, 1896)
    line = next(line for line in result.card.trust if line.name == "attrition")
    assert line.good
    assert "5 % of old and 5.2 % of new lost" in line.text


def test_rows_that_are_missing_more_in_one_arm_are_invalid(tmp_path: Path) -> None:
    result = replay(*files(tmp_path, {"old": 100, "new": 200}), WIDE)
    assert result.verdict == "INVALID"
    cause = "since the arms lost units unequally (5 % of old, 10 % of new)"
    assert cause in " ".join(result.text.split())
    assert result.card.worth == ()


def test_a_whole_file_shows_no_attrition_and_a_strange_one_is_refused(tmp_path: Path) -> None:
    result = replay(*files(tmp_path, {"old": 0, "new": 0}), WIDE)
    assert "attrition" not in {line.name for line in result.card.trust}
    exposures, outcomes = files(tmp_path, {"old": 0, "new": 0}, units=200)
    outcomes.write_text("who,bought,money,before\nsomebody,1,1,1\n")
    with pytest.raises(RowError, match="no unit of the exposures has a row"):
        replay(exposures, outcomes, WIDE)


def test_lost_units_are_dealt_and_count_for_no_metric(tmp_path: Path) -> None:
    document = WIDE | {"metrics": WIDE["metrics"][:1]}  # type: ignore[index]
    found = calibrate(*files(tmp_path, {"old": 20, "new": 400}, 500), document, times=40)
    assert found.units == 1000
    assert found.kept


def test_a_replay_takes_no_event_for_it(make_plan: Callable[..., Any]) -> None:
    with pytest.raises(PlanError, match="not read by a replay") as caught:
        parse_plan(WIDE | {"attrition": "visit"})
    assert caught.value.field == "attrition"
