"""Dealt anew, nothing is different: what is found then is false, and how often is what counts."""

from __future__ import annotations

import itertools
import random
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as sps

from experiments.contract.parsing import parse_plan
from experiments.errors import PlanError
from experiments.replays.calibrate import Calibration, calibrate, calibrate_recorded, share_of
from experiments.replays.deals import Recorded, deal_anew, deal_labels, lifted_outcome, with_looks
from experiments.replays.endings import ENDS, end_deals
from experiments.replays.replay import read_recorded, recorded_units, replay_recorded
from experiments.replays.replay_files import LongOutcome, WideOutcome
from stats import Verdict

PLANS = Path(__file__).parent / "plans"
DATASETS = {
    "cookie_cats": "cookie_cats/cookie_cats.csv",
    "hillstrom": "hillstrom_email/hillstrom.csv",
    "lalonde": "lalonde_nsw/nsw_mixtape.csv",
}
DAY = 86400.0


def read_dataset(shared_dir: Path, name: str) -> tuple[Path, dict[str, Any]]:
    file = shared_dir / "datasets" / DATASETS[name]
    if not file.is_file():
        pytest.skip(f"no data beside the checkout ({file.name} is absent)")
    return file, tomllib.loads((PLANS / f"{name}.toml").read_text())


def mixed(recorded: Recorded, lifted: dict[str, Any], arm: Any) -> dict[str, Any]:
    """Let treated units have the lifted outcome, and the others what was recorded."""
    treated = arm > 0
    outcomes: dict[str, Any] = dict(recorded.outcomes)
    for key, other in lifted.items():
        plain = outcomes[key]
        if isinstance(plain, WideOutcome):
            values = np.where(treated, other.values, plain.values)
            outcomes[key] = WideOutcome(values, plain.covariates)
            continue
        parts = [(plain, ~treated[plain.unit]), (other, treated[other.unit])]
        timed = plain.time is not None
        outcomes[key] = LongOutcome(
            np.concatenate([o.unit[keep] for o, keep in parts]),
            np.concatenate([o.time[keep] for o, keep in parts]) if timed else None,
            np.concatenate([o.value[keep] for o, keep in parts]),
        )
    return outcomes


def assert_as_replayed(recorded: Recorded, deals: int, seed: int = 3) -> Counter[tuple[str, int]]:
    """Hold every deal's end against a replay of the same labels; count the ends."""
    plan, rng = recorded.plan, np.random.default_rng(99)
    lifts = {m.key: (1 if m.direction == "up" else -1) * (m.mde or 0) for m in plan.success_metrics}
    lifted = {
        (key, lift): lifted_outcome(recorded, plan.metric(key), lift, rng)
        for key, lift in lifts.items()
    }
    plain = {(m.key, 0.0): recorded.outcomes[m.key] for m in plan.metrics if m.decides}
    dealt = deal_anew(recorded, plain | lifted, deals, np.random.default_rng(seed))
    labels = deal_labels(
        plan, len(recorded.exposures.arm), deals, np.random.default_rng(seed)
    ).astype(np.int64)
    ends: Counter[tuple[str, int]] = Counter()
    worlds: list[dict[str, float]] = [{}, lifts]
    for world, ended in zip(worlds, end_deals(recorded, dealt, worlds), strict=True):
        for deal in range(deals):
            arm = labels[:, deal]
            chosen = {key: lifted[key, lift] for key, lift in world.items()}
            outcomes = mixed(recorded, chosen, arm)
            exposures = replace(recorded.exposures, arm=arm)
            truly = replay_recorded(plan, exposures, outcomes)
            found = ENDS[ended.verdicts[deal]].value, int(ended.looks[deal]) + 1
            assert found == (truly.verdict, len(truly.looks)), f"deal {deal}"
            ends[found] += 1
    return ends


# Real experiments.


@pytest.mark.parametrize("name", DATASETS)
def test_false_verdicts_on_a_real_experiment_are_as_rare_as_promised(
    shared_dir: Path, name: str
) -> None:
    file, plan = read_dataset(shared_dir, name)
    found = calibrate(file, file, plan)
    print(name, {(w.name, v.value): s.count for w in found.worlds for v, s in w.shares.items()})
    assert found.times == 2000
    assert found.kept
    null = found.worlds[0]
    for verdict in (Verdict.HARM, Verdict.VALUE_PROVEN):
        share = null.shares[verdict]
        assert share.promised == 0.025
        # Not far above, by chance: of 2,000 it would be more once in 10,000 times.
        assert share.count <= sps.binom.ppf(0.9999, 2000, 0.025)
    # One tenth of the error is kept for looks after the planned one: the rest is used.
    assert null.proven.high > 0.0225
    assert all(world.one_by_one == 0 for world in found.worlds)
    assert sum(share.count for share in null.shares.values()) == 2000


@pytest.mark.parametrize("name", DATASETS)
def test_deals_of_a_real_experiment_end_as_a_replay_of_them(shared_dir: Path, name: str) -> None:
    file, plan = read_dataset(shared_dir, name)
    assert_as_replayed(with_looks(*read_recorded(file, file, plan)), 24)


# History with times, made here.

BUY = {"key": "buy", "role": "success", "kind": "conversion", "window": "2d", "mde": 0.3}
CALM = {"key": "errors", "role": "guardrail", "kind": "count", "window": "1d", "direction": "down",
        "event": "error", "margin": 0.4}  # fmt: skip
SPENT = {"key": "spent", "role": "safety", "kind": "mean", "event": "buy", "window": "2d"}
LONG: dict[str, Any] = {
    "key": "history",
    "control": "old",
    "treatments": ["new"],
    "hypothesis": "New sells more.",
    "customer": "customer",
    "owner": "owner",
    "prove_by": "28d",
    "metrics": [BUY, CALM, SPENT],
    "replay": {
        "exposures": {"unit": "who", "variant": "arm", "time": "at"},
        "outcomes": {"unit": "who", "event": "what", "time": "at", "value": "worth"},
    },
}


def history(
    folder: Path, *, units: int = 3000, days: float = 28, arms: tuple[str, ...] = ("old", "new")
) -> tuple[Path, Path]:
    rng = random.Random(8)
    exposures, outcomes = folder / "exposures.csv", folder / "outcomes.csv"
    with exposures.open("w") as met, outcomes.open("w") as did:
        met.write("who,arm,at\n")
        did.write("who,what,at,worth\n")
        for i in range(units):
            at = days * DAY * i / units
            met.write(f"u{i},{rng.choice(arms)},{at}\n")
            for _time in range(rng.choice([0, 0, 0, 0, 1, 2])):
                worth = round(rng.lognormvariate(3, 1), 2)
                did.write(f"u{i},buy,{at + rng.expovariate(1) * DAY},{worth}\n")
            for _time in range(rng.choice([0, 0, 1, 3])):
                did.write(f"u{i},error,{at + rng.random() * 3 * DAY},\n")
    return exposures, outcomes


def recorded_of(files: tuple[Path, Path], plan: dict[str, Any], **changed: Any) -> Recorded:
    return with_looks(*read_recorded(*files, plan | changed))


def test_deals_of_a_history_end_as_a_replay_of_them(tmp_path: Path) -> None:
    recorded = recorded_of(history(tmp_path), LONG)
    ends = assert_as_replayed(recorded, 40)
    assert len({verdict for verdict, _look in ends}) >= 3
    assert len({look for _verdict, look in ends}) >= 5


def test_values_that_go_on_growing_end_as_a_replay_of_them(tmp_path: Path) -> None:
    metrics = [BUY | {"window": "0s"}, SPENT | {"window": "0s", "role": "guardrail", "margin": 0.5}]
    ends = assert_as_replayed(recorded_of(history(tmp_path), LONG, metrics=metrics), 25)
    assert len({look for _verdict, look in ends}) >= 4


def test_less_that_is_better_ends_as_a_replay_of_it(tmp_path: Path) -> None:
    metrics = [
        BUY | {"direction": "down"},
        CALM | {"role": "success", "mde": 0.3, "margin": None},
    ]
    metrics[1].pop("margin")
    ends = assert_as_replayed(recorded_of(history(tmp_path), LONG, metrics=metrics), 25)
    assert "VALUE_PROVEN" in {verdict for verdict, _look in ends}


def test_data_that_end_early_leave_deals_undecided_as_a_replay_does(tmp_path: Path) -> None:
    recorded = recorded_of(history(tmp_path, units=1500, days=13), LONG)
    assert not recorded.looks[-1].is_final
    ends = assert_as_replayed(recorded, 30)
    assert "CONTINUE" in {verdict for verdict, _look in ends}
    found = calibrate_recorded(recorded, times=60)
    assert Verdict.NOT_PROVEN_IN_TIME not in found.worlds[0].shares
    assert found.worlds[0].shares[Verdict.CONTINUE].count > 0


def test_time_that_is_told_by_units_ends_as_a_replay_of_it(tmp_path: Path) -> None:
    recorded = recorded_of(history(tmp_path), LONG, planned_units=2500, prove_by="35d")
    times = [look.spending_time for look in recorded.looks]
    assert recorded.looks[-1].is_final
    assert len(times) < 35
    assert_as_replayed(recorded, 25)
    # Nobody comes for days at the end: the clock stands still, and the deadline moves it.
    late = recorded_of(history(tmp_path, days=20), LONG, planned_units=10_000)
    times = [look.spending_time for look in late.looks]
    assert any(a == b for a, b in itertools.pairwise(times))
    assert_as_replayed(late, 15)


ARMS = ("old", "new", "other")


def test_deals_to_three_arms_end_as_a_replay_of_them(tmp_path: Path) -> None:
    changed = {"treatments": ["new", "other"], "weights": {"old": 2, "new": 1, "other": 1}}
    metrics = [BUY | {"mde": 0.12}, CALM]
    recorded = recorded_of(history(tmp_path, arms=ARMS), LONG, metrics=metrics, **changed)
    ends = assert_as_replayed(recorded, 25)
    assert len({verdict for verdict, _look in ends}) >= 3
    found = calibrate_recorded(recorded, times=300)
    # One by one only where a bound is near.
    assert all(world.one_by_one < 100 for world in found.worlds)
    assert found.worlds[0].one_by_one > 0


def test_a_split_that_is_not_the_plans_is_invalid_as_in_a_replay(tmp_path: Path) -> None:
    for arms, weights, other in (
        (ARMS[:2], {"old": 1, "new": 1}, (("old", 56), ("new", 44))),
        (ARMS, {"old": 1, "new": 1, "other": 1}, (("old", 40), ("new", 34), ("other", 26))),
    ):
        changed = {"treatments": list(arms[1:]), "weights": weights}
        honest = recorded_of(history(tmp_path, arms=arms), LONG, **changed)
        # Dealt by one coin, and judged by a plan with another.
        judged = replace(honest, plan=replace(honest.plan, weights=other))
        lifted = {(m.key, 0.0): honest.outcomes[m.key] for m in honest.plan.metrics}
        dealt = deal_anew(honest, lifted, 60, np.random.default_rng(2))
        labels = deal_labels(honest.plan, 3000, 60, np.random.default_rng(2)).astype(np.int64)
        (ended,) = end_deals(judged, dealt, [{}])
        for deal in range(60):
            exposures = replace(honest.exposures, arm=labels[:, deal])
            truly = replay_recorded(judged.plan, exposures, honest.outcomes)
            found = ENDS[ended.verdicts[deal]].value, int(ended.looks[deal]) + 1
            assert found == (truly.verdict, len(truly.looks))
        assert 0 < (ended.verdicts == ENDS.index(Verdict.INVALID)).sum() < 60


def wide(folder: Path, arms: tuple[str, ...], units: int = 1500) -> Path:
    rng = random.Random(4)
    file = folder / "wide.csv"
    with file.open("w") as out:
        out.write("who,arm,at,money,before\n")
        for i in range(units):
            before = rng.gauss(10, 3)
            money = before + rng.gauss(0, 2)
            out.write(f"u{i},{rng.choice(arms)},{28 * DAY * i / units},{money},{before}\n")
    return file


MONEY: dict[str, Any] = LONG | {
    "metrics": [
        {"key": "money", "role": "success", "kind": "mean", "mde": 0.03, "covariate": "before"}
    ],
    "replay": {"exposures": {"unit": "who", "variant": "arm", "time": "at"}},
}


@pytest.mark.parametrize("arms", [ARMS[:2], ARMS])
def test_a_covariate_is_taken_out_as_in_a_replay(tmp_path: Path, arms: tuple[str, ...]) -> None:
    file = wide(tmp_path, arms)
    recorded = recorded_of((file, file), MONEY, treatments=list(arms[1:]))
    ends = assert_as_replayed(recorded, 15)
    assert len({verdict for verdict, _look in ends}) >= 2
    found = calibrate_recorded(recorded, times=20)
    assert found.worlds[0].one_by_one == (0 if len(arms) == 2 else 20)


# The coin.


def test_the_coin_is_the_plans_and_knows_nothing_of_the_recorded_labels() -> None:
    plan = parse_plan(LONG | {"weights": {"old": 3, "new": 1}})
    labels = deal_labels(plan, 4000, 500, np.random.default_rng(1))
    per_deal = (labels == 1).sum(axis=0)
    # How many a treatment gets is chance: binomial, not fixed.
    assert sps.chisquare([per_deal.sum(), 2_000_000 - per_deal.sum()], [5e5, 15e5]).pvalue > 0.001
    assert per_deal.var() == pytest.approx(4000 * 3 / 16, rel=0.25)
    # A unit's labels in two deals, and two units' labels, have nothing to do with each other.
    assert abs(np.corrcoef(labels[:, 0], labels[:, 1])[0, 1]) < 0.07
    assert abs(np.corrcoef(labels[0], labels[1])[0, 1]) < 0.2


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 9999), (5000, 2500, 2500), (7, 300)])
def test_every_arm_gets_its_weight(weights: tuple[int, ...]) -> None:
    arms = ["old", *(f"n{i}" for i in range(len(weights) - 1))]
    plan = parse_plan(
        LONG | {"treatments": arms[1:], "weights": dict(zip(arms, weights, strict=True))}
    )
    labels = deal_labels(plan, 2000, 200, np.random.default_rng(5))
    counts = np.bincount(labels.ravel().astype(int), minlength=len(weights))
    expected = np.array(weights) / sum(weights) * labels.size
    assert len(counts) == len(weights)
    assert sps.chisquare(counts, expected).pvalue > 0.001


def test_a_true_effect_in_the_data_is_no_effect_once_labels_are_dealt(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    rng = random.Random(2)
    rows = [(f"u{i}", i % 2) for i in range(4000)]
    lines = [f"{who},{'on' if arm else 'off'},{int(rng.random() < 0.2 + 0.4 * arm)}"
             for who, arm in rows]  # fmt: skip
    file.write_text("\n".join(["who,arm,buy", *lines]))
    plan = LONG | {
        "control": "off",
        "treatments": ["on"],
        "metrics": [BUY | {"window": "0s", "mde": 0.1}],
        "replay": {"exposures": {"unit": "who", "variant": "arm"}},
    }
    assert replay_recorded(*read_recorded(file, file, plan)).verdict == "VALUE_PROVEN"
    found = calibrate(file, file, plan, times=1000)
    assert found.kept
    assert found.worlds[0].proven.value < 0.05
    assert found.power.value > 0.6


# The lift.


def total(recorded: Recorded, key: str, outcome: Any) -> float:
    units = recorded_units(recorded.plan, recorded.exposures, {key: outcome}, recorded.offsets[-1])[
        1
    ][key]
    return float(units.values[units.mature].sum())


@pytest.mark.parametrize("lift", [0.3, -0.3, 0.05, -1.0])
@pytest.mark.parametrize("window", ["2d", "0s"])
def test_a_conversion_has_its_lift_exactly(tmp_path: Path, lift: float, window: str) -> None:
    recorded = recorded_of(history(tmp_path), LONG, metrics=[BUY | {"window": window}])
    metric = recorded.plan.metric("buy")
    other = lifted_outcome(recorded, metric, lift, np.random.default_rng(1))
    plain = total(recorded, "buy", recorded.outcomes["buy"])
    assert total(recorded, "buy", other) == plain + round(lift * plain)


@pytest.mark.parametrize(("key", "lift"), [("errors", 0.25), ("errors", -0.4), ("errors", 1.5)])
def test_a_count_of_events_has_its_lift_nearly(tmp_path: Path, key: str, lift: float) -> None:
    recorded = recorded_of(history(tmp_path), LONG)
    other = lifted_outcome(recorded, recorded.plan.metric(key), lift, np.random.default_rng(1))
    plain = total(recorded, key, recorded.outcomes[key])
    assert total(recorded, key, other) == pytest.approx(plain * (1 + lift), rel=0.05)


def test_a_mean_is_scaled_and_a_loss_made_smaller(tmp_path: Path) -> None:
    recorded = recorded_of(history(tmp_path), LONG)
    metric = recorded.plan.metric("spent")
    plain = recorded.outcomes["spent"]
    assert isinstance(plain, LongOutcome)
    other = lifted_outcome(recorded, metric, 0.1, np.random.default_rng(1))
    assert total(recorded, "spent", other) == pytest.approx(1.1 * total(recorded, "spent", plain))
    losses = replace(recorded, outcomes={"spent": replace(plain, value=-plain.value)})
    other = lifted_outcome(losses, metric, 0.1, np.random.default_rng(1))
    assert total(losses, "spent", other) == pytest.approx(-0.9 * total(recorded, "spent", plain))


def test_a_conversion_comes_as_late_as_others_did(tmp_path: Path) -> None:
    recorded = recorded_of(history(tmp_path), LONG)
    plain = recorded.outcomes["buy"]
    other = lifted_outcome(recorded, recorded.plan.metric("buy"), 1.0, np.random.default_rng(1))
    assert isinstance(plain, LongOutcome)
    assert isinstance(other, LongOutcome)
    first = recorded.exposures.first
    assert first is not None
    assert other.time is not None
    old, new = np.split(other.time - first[other.unit], [len(plain.unit)])
    counted = old[(old >= 0) & (old < 2 * DAY)]
    assert sps.ks_2samp(counted, new).pvalue > 0.001
    assert new.max() < 2 * DAY


def test_an_effect_that_the_data_leave_no_room_for_is_refused_by_its_field(tmp_path: Path) -> None:
    recorded = recorded_of(history(tmp_path), LONG, metrics=[CALM, BUY | {"mde": 9.0}])
    with pytest.raises(PlanError, match="buy cannot change by \\+900%") as caught:
        calibrate_recorded(recorded, times=10)
    assert caught.value.field == "metrics[1].mde"
    assert caught.value.hint is not None


def test_a_ratio_is_refused_by_its_field(tmp_path: Path) -> None:
    ratio = {"key": "order", "role": "safety", "kind": "ratio", "event": "buy",
             "numerator": "value", "denominator_event": "buy", "denominator": "count",
             "window": "2d"}  # fmt: skip
    paths = history(tmp_path)
    with pytest.raises(PlanError, match="order is a ratio") as caught:
        calibrate(*paths, LONG | {"metrics": [BUY, ratio]})
    assert caught.value.field == "metrics[1].kind"


def test_a_world_that_cannot_be_is_left_out_and_named(tmp_path: Path) -> None:
    metrics = [BUY | {"direction": "down", "mde": 0.9}, BUY | {"key": "again", "event": "buy",
               "role": "guardrail", "margin": 0.9, "direction": "down", "mde": None}]  # fmt: skip
    metrics[1].pop("mde")
    file = tmp_path / "data.csv"
    lines = [f"u{i},{'old' if i % 2 else 'new'},{int(i % 3 > 0)},{int(i % 5 > 0)}"
             for i in range(600)]  # fmt: skip
    file.write_text("\n".join(["who,arm,buy,again", *lines]))
    plan = LONG | {
        "metrics": [metric | {"window": "0s"} for metric in metrics],
        "replay": {"exposures": {"unit": "who", "variant": "arm"}},
    }
    found = calibrate(file, file, plan, times=100)
    assert [world.name for world in found.worlds] == ["worthless", "worth having"]
    assert [reason.split(":")[0] for reason in found.omitted] == ["harmful", "breached"]


# The figures.


@pytest.mark.parametrize(("count", "of"), [(0, 2000), (56, 2000), (7, 10), (10, 10), (1, 1)])
def test_bounds_are_those_of_clopper_and_pearson(count: int, of: int) -> None:
    share = share_of(count, of)
    theirs = sps.binomtest(count, of).proportion_ci(0.99, method="exact")
    assert (share.low, share.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_a_share_is_kept_until_chance_does_not_explain_it() -> None:
    most = max(k for k in range(200) if share_of(k, 2000, 0.025).kept)
    assert sps.binom.sf(most - 1, 2000, 0.025) > 0.004
    assert sps.binom.sf(most, 2000, 0.025) < 0.005
    assert share_of(0, 2000, 0.025).kept
    assert share_of(2000, 2000, None).kept


def test_a_promise_that_is_broken_is_told(tmp_path: Path) -> None:
    """Counts of a fifth of the alpha: the same data break a promise five times as strict."""
    recorded = recorded_of(history(tmp_path), LONG)
    found = calibrate_recorded(recorded, times=2000)
    assert found.kept
    null = found.worlds[0]
    strict = replace(null.shares[Verdict.HARM], promised=0.001)
    assert not strict.kept
    other = replace(null, shares={**null.shares, Verdict.HARM: strict})
    assert not replace(found, worlds=(other, *found.worlds[1:])).kept


def small(tmp_path: Path, seed: int = 1, times: int = 200, **changed: Any) -> Calibration:
    return calibrate_recorded(
        recorded_of(history(tmp_path), LONG, **changed), times=times, seed=seed
    )


def test_equal_seeds_give_equal_figures_and_others_do_not(tmp_path: Path) -> None:
    first, again, other = (small(tmp_path, seed) for seed in (1, 1, 2))
    assert first.to_document() == again.to_document()
    assert first.worlds != other.worlds


def test_a_change_as_good_as_planned_is_proven_more_often_and_earlier_than_its_opposite(
    tmp_path: Path,
) -> None:
    found = small(tmp_path)
    null, good, bad, broken = found.worlds
    assert [world.name for world in found.worlds] == [
        *("worthless", "worth having", "harmful", "breached: errors")
    ]
    assert dict(broken.lifts) == {"buy": 0.3, "errors": 0.4}
    assert found.power == good.proven
    assert good.proven.value > 0.3 > 0.05 > null.proven.value >= bad.proven.value
    assert bad.shares[Verdict.HARM].value > 0.1
    assert broken.proven.promised == 0.025
    assert broken.proven.value < 0.06
    assert bad.mean_end < null.mean_end
    assert good.median_end in found.looks
    assert good.shares[Verdict.FUTILE].promised == 0.1


def test_a_claim_of_no_harm_has_its_power_where_nothing_is_different(tmp_path: Path) -> None:
    found = small(tmp_path, claim="no_harm", metrics=[CALM])
    assert [world.name for world in found.worlds] == ["worthless", "harmful", "breached: errors"]
    assert found.power == found.worlds[0].shares[Verdict.NO_HARM_PROVEN]
    assert found.power.promised is None
    assert found.power.value > 0.5
    assert found.worlds[2].proven.promised == 0.025
    assert found.kept


def test_progress_goes_up_to_all_of_it(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    recorded = recorded_of(history(tmp_path), LONG)
    calibrate_recorded(recorded, times=50, progress=lambda done, total: told.append((done, total)))
    done = [done for done, _total in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert len({total for _done, total in told}) == 1
