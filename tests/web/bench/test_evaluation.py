"""``flagstone bench eval``: the questions are fair, and the verdicts follow from the figures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from web.bench import cases
from web.bench.evaluation import (
    CLIENT,
    OURS,
    Figure,
    Run,
    bench,
    goals_beside_peers,
    measure,
    runs,
    table,
)
from web.bench.ours import client_engine, engine
from web.cli import main


def question(case: str, **more: Any) -> cases.Question:
    return cases.Question(case, people=cases.people(case), **more)


@pytest.mark.parametrize(
    ("case", "share"),
    [
        (cases.BOOLEAN, 1.0),
        (cases.ROLLOUT, 0.5),
        (cases.TARGETING, 0.6 * 0.7 * 0.9 * 0.2),
        (cases.RULES, 1.0),
        (cases.MEMBERSHIP, 1.0),
        (cases.PASSING, 0.2),
    ],
)
def test_as_many_people_get_a_flag_as_its_case_says(case: str, share: float) -> None:
    for one in (engine(question(case)), client_engine(question(case))):
        on = sum(one.answer(one.function(*given)) for given in one.arguments)
        assert on / cases.PEOPLE == pytest.approx(share, abs=0.05)


def test_the_flag_that_is_asked_stands_among_as_many_others_as_wanted() -> None:
    flags = cases.our_flag_set(question(cases.RULES, filling=99))["flags"]
    assert len(flags) == 100
    assert len(flags["asked"]["rules"]) == 20


def test_a_measurement_has_figures_of_engine_and_client_for_every_case() -> None:
    run = Run("short", threads=2, flags=10, recording=False)
    measure(run, [], 0.1, cases.CASES)
    assert set(run.figures) == set(cases.CASES)
    for row in run.figures.values():
        assert set(row) == {OURS, CLIENT}
        assert 0 < row[OURS].low <= row[OURS].median <= row[OURS].high
        assert row[OURS].ratio == pytest.approx(1)
        assert row[CLIENT].client_ratio == pytest.approx(1)
        # Which is faster is for the benchmark to say, not for a busy machine.
        assert row[CLIENT].ratio is not None
        assert row[CLIENT].ratio > 0
    assert "membership of 10,000" in table(run)


def test_recorded_exposures_are_measured_at_the_client() -> None:
    run = Run("recording", threads=1, flags=1, recording=True)
    measure(run, [], 0.05, (cases.ROLLOUT,))
    assert set(run.figures[cases.ROLLOUT]) == {CLIENT}


def figure(ratio: float) -> Figure:
    return Figure(1.0, 1.0, 1.0, ratio, ratio)


@pytest.mark.parametrize(("slowest", "met"), [(1.69, False), (1.71, True)])
def test_a_goal_is_as_good_as_its_worst_case(slowest: float, met: bool) -> None:
    run = Run("made up", 1, 1, recording=False)
    run.figures = {case: {OURS: figure(1), "eppo": figure(20)} for case in cases.CASES}
    run.figures[cases.RULES]["eppo"] = figure(slowest)
    every, mean = goals_beside_peers(run)
    assert (every.name, every.met, mean.met) == ("eppo, every case", met, True)
    assert cases.RULES in every.measured


def test_the_full_measurement_has_each_setting_that_the_readme_names() -> None:
    titles = [run.title for run in runs(full=True)]
    assert titles[0] == runs(full=False)[0].title
    assert len(titles) == len(set(titles)) == 5


def test_the_report_says_of_each_goal_whether_it_was_met() -> None:
    said: list[str] = []
    report = bench(0.1, ["nobody"], evaluations=20_000, say=said.append)
    assert json.loads(json.dumps(report))["goals"] == report["goals"]
    assert {goal["name"] for goal in report["goals"]} >= {
        "parse of 1,000 flags",
        "import of flagstone",
        "memory of a flag",
        "p99 of 50 % rollout",
        "10 flags against 5,000",
    }
    assert any(line.startswith("met ") for line in said)
    assert 0 < report["loading"]["flagstone"]["bytes"] < 50_000


def test_a_peer_that_nobody_knows_is_refused_by_name() -> None:
    ended = CliRunner().invoke(main, ["bench", "eval", "--peer", "acme"])
    assert ended.exit_code == 1
    assert "'acme'" in ended.output
    assert "eppo" in ended.output
