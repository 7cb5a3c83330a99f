"""What the engine promises, tried with few replicas; the benchmark tries it with all of them.

Every limit is the document's and three Monte Carlo standard errors. Seeds are fixed.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibrations import LINES, Finding, Line, Run
from benchmarks.calibrations.longitudinal import SCENARIOS, panel, verdicts
from benchmarks.calibrations.paths import Design, conversions
from benchmarks.calibrations.peer import GbStats
from benchmarks.calibrations.plans import _paths
from benchmarks.calibrations.values import clicks, purchases, unit_sums
from stats import ConsecutiveSums, correlation, event_detection

#: Replicas of each line: enough to see it broken, few enough to wait for.
REPLICAS = {
    "A1": 2000,
    "A2": 4000,
    "A3": 500,
    "A4": 500,
    "A5": 100,
    "A6": 100,
    "A7": 2000,
    "P1": 2000,
    "P2": 1500,
    "P3": 1000,
    "P4": 2,
    "F1": 2000,
    "F2": 1000,
    "C1": 1500,
    "C2": 1500,
    "D1": 2000,
    "D2": 1000,
    "S1": 2000,
    "E1": 1000,
    "Z1": 2,
    "X1": 2,
}


def test_every_line_of_the_document_has_a_short_version() -> None:
    assert list(REPLICAS) == sorted(LINES, key=list(LINES).index)
    assert len(LINES) == 21


@pytest.mark.parametrize("name", REPLICAS)
def test_a_promise_is_kept(name: str) -> None:
    missed = [f for f in LINES[name].run(REPLICAS[name], calibration.SEED, None) if not f.ok]
    assert missed == []


# --- the simulated worlds are what they say


def test_conversions_are_drawn_at_their_rates_and_units_add_up() -> None:
    design = Design(split=0.2, units=20_000)
    sums = conversions(np.random.default_rng(1), 400, design, (0.10, 0.12))
    assert sums[0, -1, :, 0].tolist() == [16_000, 4_000]
    assert np.all(np.diff(sums, axis=1) >= 0)
    rates = sums[:, -1, :, 1].mean(axis=0) / sums[0, -1, :, 0]
    assert rates == pytest.approx([0.10, 0.12], rel=0.01)


def test_purchases_have_the_moments_of_a_lognormal_that_few_pay() -> None:
    design = Design(units=2_000, days=4, horizon_days=4)
    sums = purchases(np.random.default_rng(2), 2000, design, sigma=0.5)
    n, s1, s2, s3 = sums[:, -1].sum(axis=(0, 1))
    expected = [0.05 * math.exp(k * k * 0.125) for k in (1, 2, 3)]
    assert [s1 / n, s2 / n, s3 / n] == pytest.approx(expected, rel=0.03)


def test_a_look_without_a_buyer_adds_nothing() -> None:
    design = Design(units=40, days=4, horizon_days=4)
    sums = purchases(np.random.default_rng(3), 50, design, buyers=(0.02, 0.02))
    steps = np.diff(sums[..., 1], axis=1)
    assert np.all(steps >= 0)
    assert 0.5 < np.mean(steps == 0) < 1


def test_half_the_buyers_at_twice_the_value_have_the_mean_and_twice_the_square() -> None:
    design = Design(units=4_000, days=2, horizon_days=2)
    how = {"buyers": (0.05, 0.025), "worth": (1.0, 2.0)}
    sums = purchases(np.random.default_rng(4), 2000, design, sigma=0.5, **how)
    (_, c1, c2, _), (_, t1, t2, _) = sums[:, -1].sum(axis=0)
    assert t1 / c1 == pytest.approx(1, rel=0.02)
    assert t2 / c2 == pytest.approx(2, rel=0.03)


def test_units_are_summed_with_their_products() -> None:
    design = Design(units=60, days=3, horizon_days=3)
    sums = unit_sums(np.random.default_rng(5), 4, design, clicks)
    assert sums.shape == (4, 3, 2, 10)
    assert np.all(sums[..., 7] ** 2 <= sums[..., 2] * sums[..., 5] * (1 + 1e-12))
    assert sums[0, :, 1, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.what)
def test_sums_of_a_panel_fit_from_look_to_look(scenario: object) -> None:
    sums, pairs = panel(scenario, 2, np.random.default_rng(6))
    for row in pairs[0, 1:].reshape(-1, 10):
        ConsecutiveSums(*map(float, row))
    assert np.array_equal(pairs[:, 1:, :, 3:6], sums[:, :-1, :, :3])
    arms = [ConsecutiveSums(*map(float, pairs[0, -1, arm])) for arm in (0, 1)]
    assert 0.5 < correlation(*arms) < 1


def test_decide_is_asked_wherever_a_bound_could_be_crossed() -> None:
    sums, pairs = panel(SCENARIOS[1], 3, np.random.default_rng(7))
    # Every unit of treatment has twice as much, so every look that may be tested is beyond it.
    sums[:, :, 1, 1:] *= [2, 4, 8]
    pairs[:, :, 1, 1:] *= [2, 4, 1, 2, 4, 1, 2, 2, 4]
    found = verdicts(sums, pairs)
    assert (found.up >= 0).all()
    assert (found.down < 0).all()


def test_the_event_test_ends_as_its_exact_distribution_says() -> None:
    run = Run("E1", 1000, 1000, 1)
    ends = _paths(run, 2 / 3, 0)
    exact = event_detection(2.0, 0.5, 120)
    for events in (40, 73, 120):
        assert np.mean(ends <= events) == pytest.approx(exact[events], abs=0.05)


# --- the command


def a_line(value: float) -> Line:
    def simulate(run: Run):
        yield run.share("heads", run.rng(0).random(run.replicas) < value, at_most=0.5)

    return Line("Q1", "a coin", simulate, replicas=400)


@pytest.mark.parametrize(("value", "status", "answer"), [(0.3, 0, "ok"), (0.9, 1, "MISSED")])
def test_the_command_fails_exactly_when_a_target_is_missed(
    value: float, status: int, answer: str, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(calibration.LINES, "Q1", a_line(value))
    assert calibration.main(["Q1"]) == status
    told = capsys.readouterr().out
    assert answer in told
    assert "≤ 0.5 " in told
    assert f"{1 - status} of 1 targets met" in told


def test_the_command_says_when_there_is_no_gbstats(
    monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(GbStats, "installed", classmethod(lambda cls: None))
    assert calibration.main(["X1"]) == 0
    assert "gbstats is not installed" in capsys.readouterr().out


def test_the_command_refuses_a_line_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        calibration.main(["A99"])
    assert stop.value.code == 2
    assert "A99" in capsys.readouterr().err


def test_equal_seeds_find_the_same_whatever_else_is_run() -> None:
    first = LINES["A7"].run(50, 5, None)
    LINES["A1"].run(20, 5, None)
    assert LINES["A7"].run(50, 5, None) == first
    assert LINES["A7"].run(50, 6, None) != first


def test_fewer_replicas_widen_the_limits_by_three_standard_errors() -> None:
    hits = np.zeros(100)
    few, all_of_them = Run("Q1", 100, 10_000, 1), Run("Q1", 100, 100, 1)
    wide = few.share("x", hits, at_least=0.5, at_most=0.9)
    assert wide.at_most == pytest.approx(0.9 + 3 * 0.03)
    assert wide.at_least == pytest.approx(0.5 - 3 * 0.05)
    exact = all_of_them.share("x", hits, at_least=0.5, at_most=0.9)
    assert (exact.at_least, exact.at_most) == (0.5, 0.9)


def test_a_finding_that_is_nan_is_never_ok() -> None:
    assert not Finding("x", math.nan, at_least=0.0, at_most=1.0).ok
    assert Finding("x", 1.0, at_least=0.0, at_most=1.0).ok


# --- gbstats beside ours, with a stand-in of its formulas' shape where it is not installed


class FakeStatistic(SimpleNamespace):
    """One arm."""


def test_arrays_that_disagree_with_gbstats_own_answers_are_reported(monkeypatch) -> None:
    peer = GbStats.__new__(GbStats)
    peer._critical, peer._rng, peer.checked = {}, np.random.default_rng(0), 0
    peer._statistics = SimpleNamespace(ProportionStatistic=FakeStatistic)
    monkeypatch.setattr(GbStats, "_critical_of", lambda self, units: 3.0)
    monkeypatch.setattr(GbStats, "side", lambda self, control, treatment: 0)
    sums = conversions(np.random.default_rng(8), 5, Design(units=2_000), (0.1, 0.1))
    up, down = peer.crossed(sums, binary=True)
    assert not np.any(up | down)
    assert peer.checked > 0
    monkeypatch.setattr(GbStats, "side", lambda self, control, treatment: 1)
    with pytest.raises(AssertionError, match="gbstats says 1"):
        peer.crossed(sums, binary=True)
