"""What a plan can prove is said before anybody meets the change, by the rule that will decide."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.contract.policy import look_schedule
from experiments.errors import FencedError, PlanError
from experiments.judging.looks import build_look, decide, decision_plan
from experiments.judging.quality import Quality
from experiments.judging.record import verify
from experiments.measuring.today import Arrivals, MeasuredBaseline, Today, read_today
from experiments.models import Forecast
from experiments.moves.lease import acquire
from experiments.people import services
from experiments.planning.feasibility import read_forecast
from experiments.planning.forecast import forecast
from experiments.planning.forecast_words import forecast_lines
from experiments.planning.foretelling import enrolled, schedule_of, simulated_looks
from experiments.planning.renewal import FRESH, RETRY, forecast_due
from flags.actor import Actor
from stats import Baseline, Moments, Schedule, Verdict, World, operating_characteristics, outlook
from stats.planning.worlds import standard_truths
from tests.experiments.conftest import plan_document

OWNER = Actor("user", "owner@example.org")
RATES = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}


def world_plan(**changes: Any) -> dict[str, Any]:
    """Give the world's plan with what it states of today."""
    expected = {
        "units_per_day": 5000,
        "metrics": {"purchase": {"baseline": 0.2}, "errors": {"baseline": 0.1}},
    }
    return plan_document(**{"expected": expected, **changes})


@pytest.fixture
def promise() -> Callable[..., dict[str, Any]]:
    return world_plan


def by_hand(share: float = 1.0) -> Schedule:
    """The schedule of the world's plan: 500 units a second from 0 to 95, watched for 5 s."""
    looks = [10.0 * k for k in range(1, 11) if k <= 10 * share]
    units = [500.0 * (at - 5) / 2 for at in looks]
    return Schedule(
        tuple(at / 100 for at in looks),
        tuple((n, n) for n in units),
        tuple(at >= 30 for at in looks),
        tuple(at >= 30 for at in looks),
    )


WORLD = World({"purchase": Baseline.of_rate(0.2), "errors": Baseline.of_rate(0.1)})


def test_a_forecast_is_what_the_planning_of_the_rule_says(promise: Callable[..., Any]) -> None:
    plan = parse_plan(promise())
    found = forecast(plan, Today(), runs=200)
    decides = decision_plan(plan)
    assert [each["day"] for each in found["deadlines"]] == [2.5, 5, 10]
    for share, deadline in zip((0.25, 0.5, 1.0), found["deadlines"], strict=True):
        if share == 0.25:
            reasons = {each["reason"] for each in deadline["metrics"]}
            assert reasons == {"the policy lets no proof fall that early"}
            continue
        wanted = outlook(decides, WORLD, by_hand(share), days=1)
        for mine, theirs in zip(deadline["metrics"], wanted.metrics, strict=True):
            assert mine["metric"] == theirs.metric
            assert mine["detectable"] == pytest.approx(theirs.detectable, rel=1e-5)
            assert mine["power"] == pytest.approx(theirs.power, rel=1e-5)
            assert mine["lacking"] == pytest.approx(theirs.lacking, rel=1e-5)
            assert mine["required"] == list(theirs.required.whole)
        assert deadline["enough"] is wanted.is_enough
    tried = operating_characteristics(
        decides,
        world=WORLD,
        schedule=by_hand(),
        rng=np.random.default_rng(int(plan_hash(plan.to_document())[:16], 16)),
        truths={k: v for k, v in standard_truths(decides).items() if k != "harmful"},
        replicas=200,
    )
    operating = found["operating"]
    assert operating["runs"] == 200
    for name, chance in (
        ("proof_at_mde", tried.proof_at_mde),
        ("ship_if_worthless", tried.ship_when_worthless),
        ("ship_if_breached", tried.ship_when_breached),
        ("false_harm_stop", tried.false_harm_stop),
    ):
        assert operating[name] == pytest.approx(
            {"value": chance.value, "se": chance.se}, rel=1e-5
        ), name


def test_the_chance_of_a_proof_is_that_of_units_dealt_one_by_one(
    promise: Callable[..., Any],
) -> None:
    document = promise(expected={"units_per_day": 900, "metrics": {"purchase": {"baseline": 0.2}}})
    document["metrics"] = [document["metrics"][0] | {"mde": 0.15}]
    plan = parse_plan(document)
    promised = forecast(plan, Today(), runs=2000)["operating"]["proof_at_mde"]
    rng = np.random.default_rng(20261122)
    tries, proven = 120, 0
    for _ in range(tries):
        looks: list[Any] = []
        sums = {arm: Moments() for arm in plan.arms}
        before = 0.0
        for at in look_schedule(plan.policy, plan.prove_by_seconds):
            new = round(90 * (at - 5)) - before
            before += new
            for arm, rate in (("control", 0.2), ("new", 0.2 * 1.15)):
                units = int(new) // 2
                sums[arm] += Moments.conversions(units, int((rng.random(units) < rate).sum()))
            looks.append(
                build_look(
                    plan,
                    number=len(looks) + 1,
                    offset=at,
                    counts={arm: int(each.n) for arm, each in sums.items()},
                    sums={"purchase": dict(sums)},
                    quality=Quality(),
                    earlier=looks,
                )
            )
            verdict = decide(plan, looks).verdict
            if verdict is not Verdict.CONTINUE:
                proven += verdict is Verdict.VALUE_PROVEN
                break
    share = proven / tries
    assert 0.3 < promised["value"] < 0.95, "a case that says something"
    assert abs(share - promised["value"]) < 4 * math.sqrt(0.25 / tries)


def test_the_ramp_the_coverage_and_the_end_of_enrolment_count_units(
    promise: Callable[..., Any],
) -> None:
    policy = promise()["policy"] | {
        "ramp": [{"coverage": 0.1, "hold": "10s"}, {"coverage": 0.5, "hold": "20s"}]
    }
    plan = parse_plan(promise(policy=policy, coverage=0.8))
    arrivals = Arrivals((100.0,), 10.0)
    for seconds, units in ((0, 0), (10, 10), (30, 110), (50, 270), (95, 630), (100, 630)):
        assert enrolled(plan, arrivals, seconds) == pytest.approx(units)
    schedule = schedule_of(plan, arrivals, 5.0, (10.0, 100.0))
    assert schedule is not None
    assert schedule.units == ((2.5, 2.5), (315.0, 315.0))
    assert schedule_of(plan, arrivals, 20.0, (10.0, 20.0)) is None


def test_of_a_layer_only_the_share_takes_part(promise: Callable[..., Any]) -> None:
    share = promise(layer="till", layer_share=0.25)
    found = forecast(parse_plan(share), Today(), runs=20)
    assert found["traffic"]["units_per_day"] == 1250
    assert "Of all units 0.25 take part: the share of layer till." in found["notes"]
    whole = forecast(parse_plan(promise()), Today(), runs=20)
    first = [each["deadlines"][-1]["metrics"][0]["detectable"] for each in (whole, found)]
    assert first[1] == pytest.approx(2 * first[0], rel=0.1)


def test_traffic_goes_on_with_the_mean_of_its_last_half() -> None:
    arrivals = Arrivals((100.0, 60.0, 40.0, 20.0), 10.0)
    for seconds, units in ((0, 0), (5, 50), (10, 100), (35, 210), (40, 220), (60, 280)):
        assert arrivals.until(seconds) == pytest.approx(units)
    assert arrivals.per_day == 55


def test_planned_units_are_the_spending_time(promise: Callable[..., Any]) -> None:
    plan = parse_plan(promise(planned_units=2000))
    schedule = schedule_of(plan, Arrivals((500.0,), 10.0), 5.0, simulated_looks(plan))
    assert schedule is not None
    assert schedule.times == pytest.approx((0.125, 0.375, 0.625, 0.875, 1.125))
    slow = schedule_of(plan, Arrivals((100.0,), 10.0), 5.0, simulated_looks(plan))
    assert slow is not None
    assert (slow.times[-1], slow.looks) == (1.0, 10)


def test_thousands_of_looks_are_thinned_and_it_is_said(promise: Callable[..., Any]) -> None:
    policy = promise()["policy"] | {"looks": [{"every": "0.1s"}], "ship_every": "0.5s"}
    plan = parse_plan(promise(policy=policy))
    looks = simulated_looks(plan)
    assert len(looks) <= 120
    assert looks[-1] == 100.0
    assert sum(plan.policy.may_ship(at, 100.0) for at in looks) == 60
    found = forecast(plan, Today(), runs=20)
    assert f"{len(looks)} of 1000 looks are simulated." in found["notes"]


def test_the_mde_that_is_not_provable_has_four_ways_out(promise: Callable[..., Any]) -> None:
    stated = promise()["expected"]
    document = promise(expected=stated | {"units_per_day": 500})
    plan = parse_plan(document)
    found = forecast(plan, Today(), runs=20)
    assert [risk["risk"] for risk in found["risks"]] == ["mde"]
    assert found["risks"][0]["field"] == "metrics[0].mde"
    ways = found["ways_out"]
    (larger,) = ways["larger"]
    # Each way, taken alone, is enough; a little less of it is not.
    for factor, enough in ((1.01, True), (0.97, False)):
        wider = copy.deepcopy(document)
        wider["metrics"][0]["mde"] = larger["detectable"] * factor
        more = promise(expected=stated | {"units_per_day": ways["units_per_day"] * factor})
        for changed in (wider, more):
            again = forecast(parse_plan(changed), Today(), runs=20)
            assert again["deadlines"][-1]["enough"] is enough
    text = "\n".join(forecast_lines(found))
    for words in ("Not provable: by day 10", "settle for an MDE of", "new units a day instead of"):
        assert words in text
    assert "a covariate from before" in text
    assert "do not run it" in text
    assert forecast(parse_plan(promise()), Today(), runs=20)["ways_out"] is None


def test_what_is_not_known_is_a_risk_with_its_field(promise: Callable[..., Any]) -> None:
    document = promise()
    del document["expected"]
    unseen = frozenset({"purchase", "error"})
    found = forecast(parse_plan(document), Today(unseen=unseen))
    risks = [(risk["risk"], risk["field"]) for risk in found["risks"]]
    assert risks == [
        ("no_traffic", "expected.units_per_day"),
        ("no_data", "metrics[0].event"),
        ("no_data", "metrics[1].event"),
    ]
    assert found["sentence"].startswith("No forecast: nobody is known to come to checkout")
    explored = copy.deepcopy(document)
    explored["metrics"].append(
        document["metrics"][1] | {"key": "idea", "role": "explore", "margin": None}
    )
    again = forecast(parse_plan(explored), Today(unseen=unseen))
    assert len(again["risks"]) == 3, "what decides nothing keeps nothing from starting"


def test_a_lift_that_no_rate_can_have_is_said_and_not_raised(promise: Callable[..., Any]) -> None:
    document = promise()
    document["metrics"][0]["mde"] = 9.0
    found = forecast(parse_plan(document), Today(), runs=20)
    assert found["operating"] is None
    (risk,) = found["risks"]
    assert "cannot rise by 900" in risk["reason"]


def test_a_break_even_mark_makes_the_provable_effect_larger(promise: Callable[..., Any]) -> None:
    document = promise()
    plain = forecast(parse_plan(document), Today(), runs=20)
    document["metrics"][0]["superiority_margin"] = 0.01
    beyond = forecast(parse_plan(document), Today(), runs=20)
    first, second = (each["deadlines"][-1]["metrics"][0]["detectable"] for each in (plain, beyond))
    # 0.01 of a rate of 0.2 is 5 %, and the treated arm varies a little more.
    assert first + 0.05 < second < first + 0.053
    document["metrics"][0]["superiority_margin"] = 0.03
    (risk,) = forecast(parse_plan(document), Today(), runs=20)["risks"]
    assert "not above its superiority margin" in risk["reason"]


def test_no_harm_alone_is_proven_by_guardrails(promise: Callable[..., Any]) -> None:
    document = promise(claim="no_harm")
    document["metrics"] = document["metrics"][1:]
    document["expected"]["metrics"].pop("purchase")
    found = forecast(parse_plan(document), Today(), runs=200)
    assert found["operating"]["ship_if_worthless"] is None
    assert found["operating"]["proof_at_mde"]["value"] > 0.8
    assert found["risks"] == []


# --- from events


def test_traffic_and_baselines_come_from_who_met_the_flag(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run(world_plan())
    world.traffic(0, 80, 4000, RATES)
    plan = parse_plan(world.experiment.plan)
    today = read_today(world.store, world.environment_id(), plan, world.at(100).timestamp())
    assert (today.source, today.units, today.unseen) == ("exposures", 4000, frozenset())
    assert today.arrivals is not None
    assert today.arrivals.new_units == pytest.approx((500.0,) * 8, rel=0.01)
    assert today.baselines["purchase"].baseline.mean == pytest.approx(0.2, abs=0.002)
    assert today.baselines["errors"].baseline.mean == pytest.approx(0.1, abs=0.002)
    found = forecast(plan, today, runs=20)
    assert found["traffic"]["source"] == "exposures"
    assert found["traffic"]["stated"] == 5000, "a measurement is not overruled"
    assert {each["source"] for each in found["baselines"].values()} == {"measured"}
    assert "stated" not in found["sentence"]
    # With the feed of yesterday the traffic is what it was while it was fed.
    later = read_today(world.store, world.environment_id(), plan, world.at(5000).timestamp())
    assert later.arrivals == today.arrivals


def test_without_exposures_units_with_any_event_stand_in(sqlite_world: Any) -> None:
    world = sqlite_world
    document = {**world_plan(), "flag": "checkout", "key": "other"}
    world.run(world_plan())
    world.traffic(0, 80, 4000, RATES)
    elsewhere = parse_plan(document | {"flag": "elsewhere"})
    now = world.at(100).timestamp()
    today = read_today(world.store, world.environment_id(), elsewhere, now)
    assert (today.source, today.units) == ("events", 4000)
    assert today.baselines["purchase"].baseline.mean == pytest.approx(0.2, abs=0.002)
    found = forecast(elsewhere, today, runs=20)
    assert found["traffic"]["source"] == "stated", "a stand-in is no measurement"
    assert any("stand in for its audience" in note for note in found["notes"]) is False
    assert "stated, not measured" in found["sentence"]
    assert {each["source"] for each in found["baselines"].values()} == {"stated"}
    unstated = dict(document, flag="elsewhere")
    del unstated["expected"]
    found = forecast(parse_plan(unstated), today, runs=20)
    assert found["traffic"]["source"] == "events"
    assert "stand in for its audience" in found["notes"][0]
    assert "estimated" in found["sentence"]


@pytest.mark.parametrize(("units", "source"), [(395, "stated"), (405, "measured")])
def test_a_vague_measurement_does_not_overrule_what_is_stated(units: int, source: str) -> None:
    """At a rate of 0.2 the standard error is a tenth of it at 400 units."""
    measured = MeasuredBaseline(units, Baseline.of_rate(0.2))
    today = Today(Arrivals((5000.0,), 10.0), "exposures", units, {"purchase": measured})
    found = forecast(parse_plan(world_plan()), today, runs=20)
    assert found["baselines"]["purchase"]["source"] == source
    document = world_plan()
    del document["expected"]["metrics"]["purchase"]
    found = forecast(parse_plan(document), today, runs=20)
    assert found["baselines"]["purchase"]["source"] == "measured", "better than nothing"


def test_means_and_ratios_are_measured_too(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run(world_plan())
    world.traffic(0, 80, 2000, RATES)
    document = world_plan()
    both = {"event": "purchase", "window": "5s", "role": "success", "mde": 0.1}
    document["metrics"] = [
        {**both, "key": "orders", "kind": "count"},
        {**both, "key": "share", "kind": "ratio", "event": "error"}
        | {"denominator_event": "purchase"},
        {**both, "key": "revenue", "kind": "mean"},
    ]
    del document["expected"]
    now = world.at(100).timestamp()
    today = read_today(world.store, world.environment_id(), parse_plan(document), now)
    orders, share = (today.baselines[key].baseline for key in ("orders", "share"))
    assert orders.mean == pytest.approx(0.2, abs=0.005)
    assert orders.variance == pytest.approx(0.16, abs=0.005)
    assert share.mean == pytest.approx(0.5, abs=0.01)
    # Delta method by hand: errors and purchases of a unit are nearly independent here.
    assert share.variance == pytest.approx((0.09 + 0.25 * 0.16) / 0.04, rel=0.2)
    # Events without values: there is no effect relative to 0, and that is said.
    assert today.baselines["revenue"].baseline is None
    assert "units have the same value, 0" in today.baselines["revenue"].reason


def test_units_that_have_not_been_watched_long_enough_are_no_baseline(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run(world_plan())
    world.traffic(0, 80, 400, RATES)
    document = world_plan()
    document["metrics"][0]["window"] = "90s"
    now = world.at(81).timestamp()
    today = read_today(world.store, world.environment_id(), parse_plan(document), now)
    assert today.baselines["purchase"].reason == "no unit has been watched for its window of 90s"
    del document["expected"]
    found = forecast(parse_plan(document), today, runs=20)
    assert found["risks"][0]["field"] == "metrics[0].event"


# --- in the worker


def stored(world: Any) -> Forecast | None:
    with world.database.read() as session:
        found = read_forecast(
            session, services.get_experiment(session, "shop", "production", "button")
        )
        session.expunge_all()
        return found


def test_the_tick_forecasts_drafts_and_says_so_on_the_card(world: Any) -> None:
    world.create(world_plan())
    assert "being computed" in world.card(0).sentence
    world.tick(1)
    row = stored(world)
    assert row is not None
    assert row.document["operating"]["runs"] == 2000
    assert row.document["sentence"] in world.card(2).sentence
    assert world.forecast(2) == 0, "it fits: nothing to do"
    world.do(services.seal, now=3)
    assert world.forecast(4) == 0, "sealing changes nothing in the plan"
    assert world.records[0]["body"]["forecast"]["sentence"] == row.document["sentence"]
    world.do(services.start, now=5)
    assert world.records[1]["body"]["forecast"]["operating"] == row.document["operating"]
    assert verify(world.export()).identical
    assert world.forecast(1e6) == 0, "what has started is not foretold any more"


def test_an_edited_draft_is_forecast_anew(world: Any) -> None:
    world.create(world_plan())
    world.forecast(1)
    before = stored(world)
    document = world_plan()
    document["metrics"][0]["mde"] = 0.2
    world.do(services.replace_plan, document=document, now=2)
    assert stored(world) is None, "what is there is of another plan"
    assert world.forecast(3) == 1
    after = stored(world)
    assert before is not None
    assert after is not None
    assert after.document["deadlines"] != before.document["deadlines"]
    assert after.plan_hash == plan_hash(world.experiment.plan)


def test_a_forecast_is_renewed_after_a_day_and_sooner_where_data_are_missing(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    world.create(world_plan())
    assert world.forecast(0) == 1
    assert world.forecast(FRESH.total_seconds() - 1) == 0
    assert world.forecast(FRESH.total_seconds()) == 1
    document = world_plan(key="blind", expected={})
    begin = FRESH.total_seconds()
    world.create(document, now=begin)
    assert world.forecast(begin) == 1
    assert world.forecast(begin + RETRY.total_seconds() - 1) == 0
    assert world.forecast(begin + RETRY.total_seconds()) == 1


def test_a_worker_that_lost_its_lease_stores_nothing_and_the_next_one_does(world: Any) -> None:
    world.create(world_plan())
    held = acquire(world.database, "first", now=world.at(0))
    assert held is not None
    assert acquire(world.database, "second", now=world.at(60)) is not None
    with pytest.raises(FencedError):
        forecast_due(world.database, world.store, held, world.at(61), runs=20)
    assert stored(world) is None
    again = acquire(world.database, "second", now=world.at(62))
    assert forecast_due(world.database, world.store, again, world.at(62), runs=20) == 1


def test_a_plan_that_cannot_be_forecast_keeps_no_other_from_its_forecast(
    sqlite_world: Any, promise: Callable[..., Any]
) -> None:
    world = sqlite_world
    world.create(promise(key="broken"))
    world.create(world_plan())
    with world.database.write() as session:
        broken = services.get_experiment(session, "shop", "production", "broken")
        broken.plan = {"key": "broken"}
        session.add(broken)
    assert world.forecast(1) == 2
    assert stored(world) is not None
    assert world.forecast(2) == 0, "nor is it tried again at once"


# --- stated


@pytest.mark.parametrize(
    ("expected", "field"),
    [
        ({"units_per_day": 0}, "expected.units_per_day"),
        ({"units": 900}, "expected.units"),
        ({"metrics": {"sales": {"baseline": 0.1}}}, "expected.metrics.sales"),
        ({"metrics": {"purchase": {"baseline": 1.2}}}, "expected.metrics.purchase.baseline"),
        ({"metrics": {"purchase": {"sd": 1}}}, "expected.metrics.purchase.baseline"),
        (
            {"metrics": {"purchase": {"baseline": 0.1, "sd": 1}}},
            "expected.metrics.purchase.sd",
        ),
        (7, "expected"),
    ],
)
def test_what_is_stated_wrongly_is_refused(
    promise: Callable[..., Any], expected: Any, field: str
) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(promise(expected=expected))
    assert caught.value.field == field


def test_what_is_stated_is_sealed_and_read_back(promise: Callable[..., Any]) -> None:
    document = promise(expected={"units_per_day": 900, "metrics": {"errors": {"baseline": 0.1}}})
    plan = parse_plan(document)
    assert parse_plan(plan.to_document()) == plan
    assert plan.to_document()["expected"] == document["expected"]
    del document["expected"]
    assert "expected" not in parse_plan(document).to_document()
    mean = promise()
    mean["metrics"][0]["kind"] = "mean"
    with pytest.raises(PlanError, match="sd is missing"):
        parse_plan(mean)
