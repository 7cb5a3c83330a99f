"""Recorded experiments of other people: the machine finds what they found, and prints it."""

from __future__ import annotations

import csv
import json
import random
import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import PlanError, RowError
from experiments.replays.replay import ReplayResult, replay

PLANS = Path(__file__).parent / "plans"


def plan_of(name: str, **success: Any) -> dict[str, Any]:
    document = tomllib.loads((PLANS / f"{name}.toml").read_text())
    document["metrics"][0] |= success
    return document


def run(shared_dir: Path, folder: str, name: str, plan: str, **success: Any) -> ReplayResult:
    file = shared_dir / "datasets" / folder / name
    if not file.is_file():
        pytest.skip(f"no data beside the checkout ({file.name} is absent)")
    return replay(file, file, plan_of(plan, **success))


def expected_of(shared_dir: Path, folder: str) -> dict[str, Any]:
    text = (shared_dir / "datasets" / folder / "expected.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def exactly(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-300)


def check_rates(row: Any, expected: dict[str, Any]) -> None:
    assert (row.control_n, row.control_sum) == (expected["n_c"], expected["x_c"])
    assert (row.treatment_n, row.treatment_sum) == (expected["n_t"], expected["x_t"])
    assert row.control_mean == exactly(expected["p_c"])
    assert row.treatment_mean == exactly(expected["p_t"])
    assert row.difference == exactly(expected["diff"])
    assert row.relative == exactly(expected["rel"])
    assert row.z == exactly(expected["z_pooled"])
    assert row.z_p_value == exactly(expected["p_two_sided_pooled"])
    # The reference took 1.959964 for the normal quantile, which is 1.5e-8 off.
    interval = [row.wald_low, row.wald_high]
    assert interval == pytest.approx(expected["ci95_wald"], rel=1e-9, abs=1e-9)


def check_means(row: Any, expected: dict[str, Any]) -> None:
    assert (row.control_n, row.treatment_n) == (expected["n_c"], expected["n_t"])
    assert row.control_mean == exactly(expected["mean_c"])
    assert row.treatment_mean == exactly(expected["mean_t"])
    assert row.difference == exactly(expected["diff"])
    assert row.t == exactly(expected["t"])
    assert row.df == exactly(expected["df"])
    assert row.p_value == exactly(expected["p"])
    assert [row.low, row.high] == [exactly(x) for x in expected["ci95"]]


def test_cookie_cats_goes_back_to_gate_30(shared_dir: Path) -> None:
    result = run(shared_dir, "cookie_cats", "cookie_cats.csv", "cookie_cats")
    assert (result.verdict, result.dropped) == ("HARM", ("gate_40",))
    assert result.card.instruction == "Keep gate_30: gate_40 does harm."
    assert "retention_7 fell by 4.31 %" in result.card.sentence
    assert "everybody belongs back on gate_30" in result.card.sentence
    assert {(line.metric, line.word) for line in result.card.harm} == {
        ("retention_7", "worse"),
        ("retention_1", "not yet shown safe"),
    }
    expected = expected_of(shared_dir, "cookie_cats")["reference_computed"]
    rows = {row.metric: row for row in result.evidence}
    check_rates(rows["retention_1"], expected["r1"])
    check_rates(rows["retention_7"], expected["r7"])
    check_means(rows["sum_gamerounds"], expected["rounds"])
    for number in ("-0.008201298315", "-3.16436", "0.1902013423", "45,489"):
        assert number in result.text


def test_a_suspicious_split_of_cookie_cats_does_not_invalidate(shared_dir: Path) -> None:
    result = run(shared_dir, "cookie_cats", "cookie_cats.csv", "cookie_cats")
    expected = expected_of(shared_dir, "cookie_cats")["reference_computed"]["srm"]
    assert [result.split.chi2, result.split.p_value] == [exactly(x) for x in expected]
    assert result.looks[-1].decision["srm_p"] == pytest.approx(expected[1], rel=1e-9)
    # The evidence is about 3 to 1, and the alarm is at 1000 to 1.
    assert 0 < result.split.log_e < 2
    assert next(line for line in result.card.trust if line.name == "split").good


def test_hillstroms_mails_are_both_worth_it_and_the_mens_is_shipped(shared_dir: Path) -> None:
    result = run(shared_dir, "hillstrom_email", "hillstrom.csv", "hillstrom")
    assert (result.verdict, result.winner) == ("VALUE_PROVEN", "mens")
    worth = {line.arm: line for line in result.card.worth}
    assert worth["mens"].proven
    assert worth["womens"].proven
    assert worth["mens"].low is not None
    assert worth["womens"].low is not None
    assert worth["mens"].low > worth["womens"].low
    expected = expected_of(shared_dir, "hillstrom_email")["reference_computed"]
    arms = {"mens": "Mens E-Mail", "womens": "Womens E-Mail"}
    for row in result.evidence:
        theirs = expected[arms[row.arm]]
        if row.metric == "spend":
            check_means(row, theirs["spend"])
        else:
            check_rates(row, theirs["conv" if row.metric == "conversion" else "visit"])
    assert len(result.evidence) == 6
    assert [result.split.chi2, result.split.p_value] == [exactly(x) for x in expected["srm"]]


def test_the_training_is_worth_more_than_nothing_but_not_more_than_a_thousand(
    shared_dir: Path,
) -> None:
    result = run(shared_dir, "lalonde_nsw", "nsw_mixtape.csv", "lalonde")
    assert (result.verdict, result.winner) == ("VALUE_PROVEN", "training")
    assert "1794.34" in result.text
    assert "Welch t 2.67415, df 307.132, p 0.007893" in result.text
    assert "0.178047 over all units" in result.text
    (row,) = result.evidence
    assert row.theta_total == pytest.approx(0.17805, abs=5e-6)
    # Within arms is what decides: an effect on earnings cannot leak into it.
    assert row.theta_within == pytest.approx(0.166668, abs=1e-6)
    assert result.card.worth[0].estimate == pytest.approx(row.adjusted_difference, rel=1e-9)
    assert "adjusted for re75 (4,554.8 to 6,349.14 as counted)" in result.card.sentence
    more = run(shared_dir, "lalonde_nsw", "nsw_mixtape.csv", "lalonde", superiority_margin=1000)
    assert more.verdict == "NOT_PROVEN_IN_TIME"
    assert not more.proven
    assert more.card.worth[0].break_even == 1000
    plain = run(shared_dir, "lalonde_nsw", "nsw_mixtape.csv", "lalonde", covariate=None)
    assert plain.verdict == "VALUE_PROVEN"
    assert "CUPED" not in plain.text


def test_the_trainings_numbers_are_those_of_the_original_file(
    shared_dir: Path, tmp_path: Path
) -> None:
    """The reference read single-precision values; the CSV shows them cut to seven digits."""
    original = shared_dir / "datasets" / "lalonde_nsw" / "nsw_mixtape.csv"
    if not original.is_file():
        pytest.skip("no data beside the checkout (nsw_mixtape.csv is absent)")
    copy = tmp_path / "single.csv"
    with original.open(newline="") as source, copy.open("w", newline="") as target:
        rows = csv.reader(source)
        writer = csv.writer(target)
        header = next(rows)
        writer.writerow(header)
        for row in rows:
            for name in ("re75", "re78"):
                at = header.index(name)
                row[at] = repr(struct.unpack("f", struct.pack("f", float(row[at])))[0])
            writer.writerow(row)
    (row,) = replay(copy, copy, plan_of("lalonde")).evidence
    expected = expected_of(shared_dir, "lalonde_nsw")["reference_computed"]
    assert row.difference == exactly(expected["diff"])
    assert row.t == exactly(expected["welch_t"])
    assert row.df == exactly(expected["welch_df"])
    assert row.p_value == exactly(expected["welch_p"])
    assert row.theta_total == exactly(expected["cuped_theta_re75"])


# Long files with times, made here.

DAY = 86400.0

LONG_PLAN: dict[str, Any] = {
    "key": "recorded",
    "control": "old",
    "treatments": ["new"],
    "hypothesis": "New sells more.",
    "customer": "customer",
    "owner": "owner",
    "prove_by": "28d",
    "metrics": [
        {"key": "buy", "role": "success", "kind": "conversion", "window": "2d", "mde": 0.05},
        {"key": "revenue", "role": "explore", "kind": "mean", "event": "buy", "window": "2d"},
    ],
    "replay": {
        "exposures": {"unit": "who", "variant": "arm", "time": "at"},
        "outcomes": {"unit": "who", "event": "what", "time": "at", "value": "worth"},
    },
}


def write_long(
    folder: Path, rate: float, *, units: int = 12000, days: int = 28
) -> tuple[Path, Path]:
    rng = random.Random(5)
    exposures, outcomes = folder / "exposures.csv", folder / "outcomes.csv"
    with exposures.open("w") as met, outcomes.open("w") as did:
        met.write("who,arm,at\n")
        did.write("who,what,at,worth\n")
        for i in range(units):
            at = days * DAY * i / units
            arm = rng.choice(["old", "new"])
            met.write(f"u{i},{arm},{at}\n")
            if rng.random() < (rate if arm == "new" else 0.2):
                did.write(f"u{i},buy,{at + rng.random() * DAY},{rng.randint(1, 90)}\n")
                did.write(f"u{i},look,{at},\n")
        did.write(f"stranger,buy,{DAY},5\n")
    return exposures, outcomes


def test_history_is_walked_day_by_day_and_stops_where_the_machine_would_have_stopped(
    tmp_path: Path,
) -> None:
    result = replay(*write_long(tmp_path, 0.12), LONG_PLAN)
    assert result.verdict == "HARM"
    offsets = [look.offset / DAY for look in result.looks]
    assert offsets == list(range(1, len(offsets) + 1))
    assert len(offsets) < 10
    assert f"On day {len(offsets)} of 28" in result.card.sentence
    # Only who had two whole days counts, and enrolment is open.
    last = result.looks[-1].look
    assert last["metrics"]["buy"]["old"]["n"] < last["counts"]["old"]


def test_a_proof_falls_on_a_whole_week(tmp_path: Path) -> None:
    result = replay(*write_long(tmp_path, 0.26), LONG_PLAN)
    assert result.verdict == "VALUE_PROVEN"
    assert result.looks[-1].offset / DAY in {7, 14, 21, 28}
    assert result.card.next.what == "live, customer would confirm now"


def test_data_that_end_early_decide_nothing(tmp_path: Path) -> None:
    result = replay(*write_long(tmp_path, 0.2, units=800, days=10), LONG_PLAN)
    assert result.verdict == "CONTINUE"
    assert result.card.next.what == "nothing was decided when the data ended"
    assert result.looks[-1].offset <= 12 * DAY


def test_the_sums_are_those_of_a_plain_reading(tmp_path: Path) -> None:
    exposures, outcomes = write_long(tmp_path, 0.2, units=900, days=10)
    result = replay(exposures, outcomes, LONG_PLAN)
    look_at = result.looks[-1].offset
    with exposures.open() as file:
        met = {row["who"]: (row["arm"], float(row["at"])) for row in csv.DictReader(file)}
    money: dict[str, float] = {}
    with outcomes.open() as file:
        for row in csv.DictReader(file):
            if row["what"] != "buy" or row["who"] not in met:
                continue
            first, time = met[row["who"]][1], float(row["at"])
            if first <= time < first + 2 * DAY and time < look_at:
                money[row["who"]] = money.get(row["who"], 0) + float(row["worth"])
    for arm in ("old", "new"):
        mature = [u for u, (a, first) in met.items() if a == arm and first + 2 * DAY <= look_at]
        sums = result.looks[-1].look["metrics"]["revenue"][arm]
        assert sums["n"] == len(mature)
        assert sums["s1"] == sum(money.get(u, 0) for u in mature)
        assert sums["s2"] == sum(money.get(u, 0) ** 2 for u in mature)
        bought = result.looks[-1].look["metrics"]["buy"][arm]
        assert bought["s1"] == sum(1 for u in mature if u in money)


def test_units_that_met_both_arms_count_nowhere(tmp_path: Path) -> None:
    exposures, outcomes = write_long(tmp_path, 0.2, units=500)
    with exposures.open("a") as file:
        file.write("both,old,0\nboth,new,5\nu0,old,99\nu0,new,99\n")
    result = replay(exposures, outcomes, LONG_PLAN)
    assert result.quarantined == 2
    assert sum(result.looks[-1].look["counts"].values()) <= 499


WIDE_PLAN: dict[str, Any] = {
    **{key: value for key, value in LONG_PLAN.items() if key != "replay"},
    "metrics": [
        {"key": "buy", "role": "success", "kind": "conversion", "mde": 0.05, "column": "bought"},
        {"key": "money", "role": "explore", "kind": "mean"},
    ],
    "replay": {"exposures": {"unit": "who", "variant": "arm"}},
}
GOOD = "who,arm,bought,money\na,old,1,2.5\nb,new,TRUE,0\nc,new,no,-1e3\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("who,arm,bought,money\na,old,1,2\nb,third,1,2\n", 3, "arm", "'third' is no arm"),
        ("who,arm,bought,money\na,old,1,2\n,new,1,2\n", 3, "who", "no unit"),
        ("who,arm,bought,money\na,old,maybe,2\n", 2, "bought", "neither true nor false"),
        ("who,arm,bought,money\na,old,1,\n", 2, "money", "not a number"),
        ("who,arm,bought,money\na,old,1,nan\n", 2, "money", "not a number"),
        ("who,arm,bought,money\na,old,1\n", 2, "", "3 cells, but the header has 4"),
        ("who,arm,bought,money\na,old,1,2\na,old,1,2\n", 3, "who", "two rows"),
        ("who,arm,money\na,old,1\n", 1, "bought", "no such column"),
        ("who,arm,arm,money\na,old,1,2\n", 1, "", "same name"),
        ("who,arm,bought,money\n", 1, "", "no rows"),
    ],
)
def test_a_bad_row_is_named_by_file_line_column_and_reason(
    tmp_path: Path, text: str, line: int, column: str, reason: str
) -> None:
    file = tmp_path / "data.csv"
    file.write_text(text)
    with pytest.raises(RowError) as caught:
        replay(file, file, WIDE_PLAN)
    error = caught.value
    assert (error.file, error.line, error.column) == ("data.csv", line, column)
    assert reason in error.reason
    assert f"data.csv, line {line}" in error.message


def test_a_unit_without_an_outcome_is_exposed_and_counts_for_no_metric(tmp_path: Path) -> None:
    exposures, outcomes = tmp_path / "e.csv", tmp_path / "o.csv"
    exposures.write_text("who,arm\na,old\nb,old\n")
    outcomes.write_text("who,bought,money\na,1,2\n")
    result = replay(exposures, outcomes, WIDE_PLAN)
    line = next(line for line in result.card.trust if line.name == "attrition")
    assert "50 % of old lost (too few units to compare)" in line.text


def test_a_bad_time_is_named(tmp_path: Path) -> None:
    exposures, outcomes = tmp_path / "e.csv", tmp_path / "o.csv"
    exposures.write_text("who,arm,at\na,old,2026-03-01\nb,new,yesterday\n")
    outcomes.write_text("who,what,at,worth\n")
    with pytest.raises(RowError, match="'yesterday' is not a time") as caught:
        replay(exposures, outcomes, LONG_PLAN)
    assert (caught.value.line, caught.value.column) == (3, "at")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RowError, match="not UTF-8"):
        replay(file, file, WIDE_PLAN)
    with pytest.raises(RowError, match="No such file"):
        replay(tmp_path / "none.csv", file, WIDE_PLAN)


def test_a_plan_without_replay_tables_is_refused(tmp_path: Path, make_plan: Any) -> None:
    file = tmp_path / "data.csv"
    file.write_text(GOOD)
    with pytest.raises(PlanError, match="replay"):
        replay(file, file, make_plan())


def test_thin_data_are_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text(GOOD)
    result = replay(file, file, WIDE_PLAN)
    assert result.verdict == "NOT_PROVEN_IN_TIME"
    assert "too few units" in result.text
