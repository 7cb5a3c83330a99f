"""Real experiments, one look at the horizon each: what is known about them must come out."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from stats import (
    Conversions,
    CovariateMoments,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Role,
    Theta,
    Verdict,
    adjust,
    compare_conversions,
    compare_means,
    decide,
    sample_ratio,
)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def expected(folder: Path) -> dict:
    return json.loads((folder / "expected.json").read_text())["reference_computed"]


def number(cell: str) -> float:
    return float(cell == "TRUE") if cell in ("TRUE", "FALSE") else float(cell)


def by_arm(rows: list[dict[str, str]], arm: str, column: str) -> dict[str, Moments]:
    values = defaultdict(list)
    for row in rows:
        values[row[arm]].append(number(row[column]))
    return {name: Moments.of(numbers) for name, numbers in values.items()}


def one_look(plan: DecisionPlan, metrics: dict[str, dict[str, Moments]]) -> LookData:
    counts = {arm: int(next(iter(metrics.values()))[arm].n) for arm in plan.arms}
    return LookData(1, 1.0, True, True, True, counts, metrics)


def test_cookie_cats_goes_back_to_the_old_gate(shared_dir: Path) -> None:
    folder = shared_dir / "datasets" / "cookie_cats"
    rows, known = read(folder / "cookie_cats.csv"), expected(folder)
    metrics = {
        key: by_arm(rows, "version", key)
        for key in ("retention_7", "retention_1", "sum_gamerounds")
    }
    plan = DecisionPlan(
        ("gate_30", "gate_40"),
        (0.5, 0.5),
        (
            MetricSpec("retention_7", Role.SUCCESS, binary=True, mde=0.02),
            MetricSpec("retention_1", Role.GUARDRAIL, binary=True, margin=0.02),
            MetricSpec("sum_gamerounds", Role.EXPLORE),
        ),
    )
    decision = decide([one_look(plan, metrics)], plan)
    harm = decision.tests[0]
    assert decision.verdict is Verdict.HARM
    assert harm.estimate == pytest.approx(known["r7"]["diff"], rel=1e-9)
    # The arms differ by 1.8 %: the skewness correction moves z by 1.4e-4.
    assert harm.z == pytest.approx(known["r7"]["z_pooled"], abs=2e-4)
    ratio = sample_ratio([known["r1"]["n_c"], known["r1"]["n_t"]], [1, 1])
    assert decision.srm_p == pytest.approx(0.008607987810836262, rel=1e-9)
    assert ratio.log_e == decision.srm_log_e < 3
    rounds = compare_means(
        metrics["sum_gamerounds"]["gate_30"], metrics["sum_gamerounds"]["gate_40"]
    )
    assert rounds.t == pytest.approx(known["rounds"]["t"], rel=1e-9)
    assert rounds.p_value == pytest.approx(known["rounds"]["p"], rel=1e-9)


def test_both_mails_prove_their_value_and_the_mens_mail_ships(shared_dir: Path) -> None:
    folder = shared_dir / "datasets" / "hillstrom_email"
    rows, known = read(folder / "hillstrom.csv"), expected(folder)
    metrics = {key: by_arm(rows, "segment", key) for key in ("visit", "conversion", "spend")}
    plan = DecisionPlan(
        ("No E-Mail", "Womens E-Mail", "Mens E-Mail"),
        (1, 1, 1),
        (
            MetricSpec("visit", Role.SUCCESS, binary=True, mde=0.05),
            MetricSpec("conversion", Role.EXPLORE, binary=True),
            MetricSpec("spend", Role.EXPLORE),
        ),
    )
    decision = decide([one_look(plan, metrics)], plan)
    assert (decision.verdict, decision.winner) == (Verdict.VALUE_PROVEN, "Mens E-Mail")
    assert all(t.passed for t in decision.tests if t.kind == "ship")
    for arm in plan.treatments:
        for metric, name in (("visit", "visit"), ("conversion", "conv")):
            control, treatment = metrics[metric]["No E-Mail"], metrics[metric][arm]
            result = compare_conversions(
                Conversions(control.s1, control.n), Conversions(treatment.s1, treatment.n)
            )
            assert result.difference == pytest.approx(known[arm][name]["diff"], rel=1e-9)
            assert result.z == pytest.approx(known[arm][name]["z_pooled"], rel=1e-9)
            assert result.p_value == pytest.approx(known[arm][name]["p_two_sided_pooled"], rel=1e-9)
        spend = compare_means(metrics["spend"]["No E-Mail"], metrics["spend"][arm])
        assert spend.t == pytest.approx(known[arm]["spend"]["t"], rel=1e-9)
        assert spend.p_value == pytest.approx(known[arm]["spend"]["p"], rel=1e-9)
        assert [spend.low, spend.high] == pytest.approx(known[arm]["spend"]["ci95"], rel=1e-9)


def test_job_training_proves_its_value_but_not_a_thousand_dollars(shared_dir: Path) -> None:
    folder = shared_dir / "datasets" / "lalonde_nsw"
    rows, known = read(folder / "nsw_mixtape.csv"), expected(folder)
    arms = {
        name: [row for row in rows if float(row["treat"]) == float(name)] for name in ("0", "1")
    }
    # The file prints single-precision numbers in their shortest form; this gives them back.
    sums = {
        name: CovariateMoments.of_pairs(
            [float(np.float32(row["re78"])) for row in part],
            [float(np.float32(row["re75"])) for row in part],
        )
        for name, part in arms.items()
    }
    plain = {name: Moments(s.n, s.s1, s.s2, s.s3) for name, s in sums.items()}
    result = compare_means(plain["0"], plain["1"])
    assert result.difference == pytest.approx(known["diff"], rel=1e-12)
    assert result.t == pytest.approx(known["welch_t"], rel=1e-9)
    assert result.p_value == pytest.approx(known["welch_p"], rel=1e-9)
    total = adjust(sums["0"], sums["1"], theta=Theta.TOTAL)
    assert total.theta == pytest.approx(0.17804658165477152, rel=1e-9)
    assert adjust(sums["0"], sums["1"]).theta != pytest.approx(total.theta, rel=1e-3)
    for moments in (plain, sums):
        for margin, verdict in ((0.0, Verdict.VALUE_PROVEN), (1000.0, Verdict.NOT_PROVEN_IN_TIME)):
            metric = MetricSpec("re78", Role.SUCCESS, superiority_margin=margin)
            plan = DecisionPlan(("0", "1"), (260, 185), (metric,))
            assert decide([one_look(plan, {"re78": moments})], plan).verdict is verdict
