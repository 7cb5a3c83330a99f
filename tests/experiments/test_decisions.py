"""A dozen simulated experiments through the driver of the benchmark, so that it cannot rot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from benchmarks import decisions
from benchmarks.trials.machine import Machine
from benchmarks.trials.naive import judge
from benchmarks.trials.results import NAIVE, PROMISES, Judged, Result, forecasts, report, result_of
from benchmarks.trials.trial import Trial
from benchmarks.trials.worlds import (
    DAY,
    MEASURES,
    Design,
    Visitors,
    draw_visitors,
    sized_targets,
    truths,
)
from experiments.people import services
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from stats import Truth

DESIGN = Design(visitors_per_day=100, days=14, looks="few")
WORLDS = list(PROMISES)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(DESIGN, tmp_path_factory.mktemp("trials"))
    for number in range(10):
        machine.begin(WORLDS[number % 5], f"e{number}", np.random.SeedSequence([1, number]))
    days = list(machine.run())
    assert days == sorted(days)
    yield machine
    machine.close()


def test_experiments_end_by_themselves_and_nothing_is_wrong_with_any(machine: Machine) -> None:
    assert len(machine.trials) == 10
    for trial in machine.trials:
        assert trial.faults == [], trial.key
        assert trial.ended is not None
        assert trial.ended <= (DESIGN.days + 4) * DAY
        assert trial.over is not None
        verified = trial.over - trial.ended > 14 * DAY
        assert verified is (result_of(trial, DESIGN).afterwards in {"CONFIRMED", "NOT_CONFIRMED"})
    ends = {result_of(trial, DESIGN).by["machine"].end for trial in machine.trials}
    assert {"ship", "harm", "futile"} <= ends <= {"ship", "harm", "futile", "not proven"}
    assert machine.looks >= sum(trial.looks for trial in machine.trials) > 40


def test_who_met_the_treatment_met_it_before_the_end(machine: Machine) -> None:
    for trial in machine.trials:
        met = trial.visitors.times[(trial.arm == 1) & trial.tracked]
        assert met.size > 0
        if trial.state == "ROLLED_BACK":
            assert met.max() <= trial.ended
            assert not trial.tracked[trial.visitors.times > (trial.ended or 0)].any()


def test_shipping_that_leaves_its_path_is_noticed(machine: Machine) -> None:
    (trial,) = (t for t in machine.trials if t.state == "SHIPPING")
    assert trial.ended is not None
    assert trial.over is not None
    times, served, counted = trial.visitors.times, trial.arm.copy(), trial.tracked.copy()
    during = (times > trial.ended) & (times <= trial.over)

    def noticed(where: Any, arm: int, what: str, *, tracked: bool = True) -> bool:
        trial.arm[where], trial.tracked[where] = arm, tracked
        found = machine.faults_of(trial)
        trial.arm[:], trial.tracked[:] = served, counted
        return any(what in fault for fault in found)

    assert noticed(during, 1, "nobody was held back")
    assert noticed(during, 0, "while it shipped only")
    assert noticed(during & (served == 1), 1, "was not counted", tracked=False)
    assert noticed(times > trial.over, 0, "were kept from what was verified")
    assert machine.faults_of(trial) == []


def rolled_back_early(machine: Machine) -> list[Trial]:
    early = 13 * DAY
    return [t for t in machine.trials if t.state == "ROLLED_BACK" and (t.ended or 0) < early]


def test_a_treatment_that_is_served_after_a_rollback_is_noticed(machine: Machine) -> None:
    trial = rolled_back_early(machine)[0]
    place = int(np.searchsorted(trial.visitors.times, trial.ended or 0, side="right")) + 1
    before = int(trial.arm[place])
    trial.arm[place] = 1
    assert any("after the rollback" in fault for fault in machine.faults_of(trial))
    trial.arm[place] = before
    trial.tracked[place] = True
    assert any("still recorded" in fault for fault in machine.faults_of(trial))
    trial.tracked[place] = False
    trial.arm[0], before = 1 - trial.arm[0], int(trial.arm[0])
    trial.tracked[0], tracked = True, bool(trial.tracked[0])
    assert any("another arm" in fault for fault in machine.faults_of(trial))
    trial.arm[0], trial.tracked[0] = before, tracked
    assert machine.faults_of(trial) == []


def test_a_flag_that_still_serves_the_treatment_is_noticed(machine: Machine) -> None:
    trial = rolled_back_early(machine)[0]
    _edit(machine, trial, {"do": "set_default", "variant": "new"})
    rule = f"exp-{trial.key}"
    _edit(machine, trial, {"do": "remove_rule", "rule": rule})
    assert any("still serves" in fault for fault in machine.faults_of(trial))


def _edit(machine: Machine, trial: Trial, instruction: dict[str, Any]) -> None:
    from benchmarks.trials.machine import ENVIRONMENT, PROJECT, START

    with machine.database.write() as session:
        apply_change(
            session,
            PROJECT,
            ENVIRONMENT,
            parse_change({"flag": trial.flag, "instructions": [instruction]}),
            actor=Actor("user", "somebody@example.org"),
            now=START,
        )
    machine.forget_flags()


def test_a_look_that_is_missing_and_a_record_that_was_edited_are_noticed(machine: Machine) -> None:
    trial = rolled_back_early(machine)[-1]
    assert machine.faults_of(trial) == []
    with machine.database.read() as session:
        row = services.get_experiment(session, "shop", "production", trial.key).id
    with machine.database.write() as session:
        where = f"experiment_id = {row} AND number = 2"
        session.execute(sa.text("DROP TRIGGER IF EXISTS looks_append_only"))
        session.execute(sa.text(f"DELETE FROM looks WHERE {where}"))
    faults = machine.faults_of(trial)
    assert any("numbered" in fault for fault in faults)
    assert any("promised look is missing" in fault for fault in faults)
    assert any("does not verify" in fault for fault in faults)


def test_visitors_are_what_the_plan_was_sized_for() -> None:
    design = Design(visitors_per_day=2000)
    truth = Truth({measure.key: 0.1 for measure in MEASURES})
    visitors = draw_visitors(design, "x", truth, np.random.SeedSequence(3))
    for measure in MEASURES:
        today, changed = visitors.outcomes[measure.key]
        error = math.sqrt(measure.baseline.variance / len(visitors))
        assert abs(today.mean() - measure.baseline.mean) < 4 * error
        assert today.var() == pytest.approx(measure.baseline.variance, rel=0.05)
        assert changed.mean() / today.mean() == pytest.approx(1.1, abs=0.01)
    good = [measure.sign * visitors.outcomes[measure.key][0] for measure in MEASURES]
    alike = np.corrcoef(good)[np.triu_indices(len(MEASURES), 1)]
    assert 0.15 < alike.min() < alike.mean() < 0.35
    assert alike.mean() == pytest.approx(0.26, abs=0.05)


def test_targets_are_those_that_the_visitors_suffice_for() -> None:
    found = forecasts(DESIGN, 500)
    assert 0.74 < found["success = MDE"].proven().value < 0.86
    assert set(found) == set(WORLDS) == set(truths(sized_targets(DESIGN)))
    larger = sized_targets(Design(visitors_per_day=400, days=14, looks="few"))
    assert all(larger[key] < target for key, target in sized_targets(DESIGN).items())


def flat(success: tuple[float, float]) -> Visitors:
    """Everybody of an arm does the same share; nothing else happens."""
    count = DESIGN.visitors
    places = np.arange(count)
    rates = np.stack([((places * 7919) % 1000 < 1000 * rate).astype(float) for rate in success])
    outcomes = {m.key: np.stack([rates[0], rates[0]]) for m in MEASURES} | {"purchase": rates}
    times = np.linspace(0, DESIGN.days * DAY, count, endpoint=False)
    delays = {m.key: np.zeros(count) for m in MEASURES}
    return Visitors([f"u{i}" for i in places], times, outcomes, delays)


@pytest.mark.parametrize(
    ("success", "daily", "end"),
    [((0.3, 0.6), True, True), ((0.6, 0.3), False, False), ((0.3, 0.3), True, True)],
)
def test_the_usual_rules_ship_what_they_do_not_see_lose(
    success: tuple[float, float], daily: bool, end: bool
) -> None:
    visitors, dealt = flat(success), np.arange(DESIGN.visitors) // 2 % 2
    assert judge("daily", DESIGN, visitors, dealt).ships is daily
    assert judge("end", DESIGN, visitors, dealt) == type(judge("end", DESIGN, visitors, dealt))(
        end, DESIGN.days
    )
    if success[0] != success[1]:
        assert judge("daily", DESIGN, visitors, dealt).days < DESIGN.days


def made_up(world: str, end: str, number: int, *, faults: tuple[str, ...] = ()) -> Result:
    judged = Judged(end, 10.0, 9.0, 300.0)
    return Result(
        world, f"e{number}", 12, {"machine": judged} | dict.fromkeys(NAIVE, judged), faults
    )


def test_a_rate_is_missed_only_when_chance_does_not_explain_it() -> None:
    lines: list[str] = []
    forecast = forecasts(DESIGN, 500)
    few = [made_up(WORLDS[0], "ship" if i < 2 else "futile", i) for i in range(30)]
    assert report(few, forecast, lines.append) == 0
    many = [made_up(WORLDS[0], "ship" if i < 6 else "futile", i) for i in range(30)]
    assert report(many, forecast, lines.append) == 1 + (6 / 30 > 0.19)
    assert any("MISSED" in line for line in lines)
    hurt = [made_up(WORLDS[1], "ship", 1, faults=("a promised look is missing",))]
    assert report(hurt, forecast, lines.append) == 1
    assert any(line.startswith("FAULT e1") for line in lines)
    late = [replace(made_up(WORLDS[1], "ship", i), afterwards="CONFIRMED") for i in range(30)]
    assert report(late, forecast, lines.append) == 0
    late[:5] = [replace(each, afterwards="LATE_HARM") for each in late[:5]]
    assert report(late, forecast, lines.append) == 1


def test_results_can_be_kept_and_reported_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [made_up(world, "futile", i) for i, world in enumerate(WORLDS)]
    kept.append(
        Result(
            "success = MDE",
            "e9",
            3,
            {r: Judged("ship", 7.0, math.inf, math.inf) for r in ("machine", *NAIVE)},
            (),
        )
    )
    file = tmp_path / "kept.jsonl"
    file.write_text("".join(json.dumps(result.to_document()) + "\n" for result in kept))
    assert [Result.read(json.loads(line)) for line in file.read_text().splitlines()] == kept
    assert decisions.main(["--load", str(file), "--forecasts", "500"]) == 0
    assert "6 experiments" in capsys.readouterr().out
