"""From the decision to the end: shipping by steps, the holdback, late harm, clean-up, closing."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.contract import words
from experiments.contract.parsing import parse_plan
from experiments.judging import holdback
from experiments.judging.record import verify
from experiments.people import services
from experiments.people.results import holdback_csv, read_results, results_document
from flags.actor import Actor
from stats import Moments
from tests.experiments.test_monitor import _exposures

CUSTOMER = Actor("user", "customer@example.org")
SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
WORSE = {"purchase": {"control": 0.4, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
BETTER = {"purchase": {"control": 0.2, "new": 0.3}, "error": {"control": 0.1, "new": 0.1}}


def prove(world: Any, document: Any = None) -> None:
    """Run until the change is proven (second 30), and let the customer confirm at 40."""
    world.run(document)
    for second in range(0, 30, 10):
        world.traffic(second, second + 10, 3000, BETTER)
        world.tick(second + 10)
    world.do(services.confirm, actor=CUSTOMER, now=40)


def verified(world: Any, rates: Any, until: int = 90, units: int = 4000) -> None:
    """Let traffic come while what ships is compared with its holdback."""
    world.tick(40)
    for second in range(40, until, 10):
        world.traffic(second, second + 10, units, rates)
        world.tick(second + 10)


def test_a_shipped_change_is_verified_confirmed_and_then_served_to_everybody(world: Any) -> None:
    prove(world)
    assert world.experiment.state == "SHIPPING"
    verified(world, BETTER)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("CLEANUP", "CONFIRMED")
    assert [each["verdict"] for each in experiment.verdicts] == ["VALUE_PROVEN", "CONFIRMED"]
    assert set(world.served(500).values()) == {"new"}
    (told,) = experiment.realised["metrics"]
    assert told["metric"] == "purchase"
    assert told["low"] < 0.1 < told["high"]
    assert (told["beyond_mark"], told["contradicted"]) == (True, False)
    units = experiment.realised["units"]
    assert 0.03 < units["control"] / sum(units.values()) < 0.07
    card = world.card(95)
    assert card.tone == "good"
    assert any(line.startswith("realised") for line in card.realised)
    assert card.worth, "what was proven before stays on the card"
    result = verify(world.export())
    assert result.identical, result.sentence
    assert result.complete


def _metric(world: Any) -> Any:
    return parse_plan(world.experiment.plan).metric("purchase")


def test_nothing_that_was_met_before_the_verification_counts_in_it(sqlite_world: Any) -> None:
    world = sqlite_world
    prove(world)
    world.tick(40)
    world.tick(50)
    look = world.compared[-1]
    assert look.data["look"]["counts"] == {"control": 0, "new": 0}


def test_an_effect_that_does_not_last_is_not_confirmed_and_said_so(sqlite_world: Any) -> None:
    world = sqlite_world
    prove(world)
    less = {"purchase": {"control": 0.21, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
    verified(world, less)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("CLEANUP", "NOT_CONFIRMED")
    (told,) = experiment.realised["metrics"]
    assert not told["beyond_mark"]
    assert "not confirmed" in experiment.note
    (line,) = [each for each in world.card(95).realised if each.startswith("realised")]
    assert f"between {words.difference(_metric(world), told['low'])} and " in line
    # The same for other programs: every look at those held back, the last with its estimate.
    with world.database.read() as session:
        found = read_results(
            session,
            services.get_experiment(session, "shop", "production", "button"),
            now=world.at(95),
        )
    rows = results_document(found)["comparisons"]
    assert {(row["arm"], row["control"]) for row in rows} == {("new", "control")}
    assert len(rows) == 2 * len(world.compared)
    last = next(row for row in reversed(rows) if row["metric"] == "purchase")
    assert (last["is_final"], last["look_verdict"]) == (True, "NOT_CONFIRMED")
    assert (last["estimate"], last["se"]) == (told["estimate"], told["se"])
    assert (last["final_low"], last["final_high"]) == (told["low"], told["high"])
    assert last["final_high"] - last["final_low"] == pytest.approx(2 * 1.96 * last["se"], rel=1e-3)
    # Harm may be found at any look: its end lies further out than that of the one last look.
    assert last["low"] < last["final_low"]
    assert [row["final_low"] for row in rows if not row["is_final"]] == [None] * (len(rows) - 2)
    text = holdback_csv(found)
    assert text.startswith("look,at,since,step,look_verdict,is_final,metric,")
    assert len(text.splitlines()) == 1 + len(rows)
    assert set(world.served(300).values()) == {"new"}
    assert verify(world.export()).identical


def test_a_verification_without_data_confirms_nothing(sqlite_world: Any) -> None:
    world = sqlite_world
    prove(world)
    for second in range(40, 100, 10):
        world.tick(second)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("CLEANUP", "NOT_CONFIRMED")
    assert experiment.realised["metrics"][0]["estimate"] is None
    assert "could not be compared" in experiment.note


def test_harm_against_the_holdback_turns_everybody_back(world: Any) -> None:
    prove(world)
    verified(world, WORSE, until=60)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "LATE_HARM")
    assert set(world.served().values()) == {"control"}
    assert "escaped defect" in experiment.note
    assert experiment.realised["verdict"] == "LATE_HARM"
    card = world.card(61)
    assert "escaped defect" in card.cost
    assert "were held back" in card.cost
    assert card.tone == "bad"
    result = verify(world.export())
    assert result.identical, result.sentence
    assert result.complete


def test_the_winner_ships_by_steps_and_those_held_back_are_the_same_throughout(
    sqlite_world: Any, make_plan: Any
) -> None:
    world = sqlite_world
    policy = make_plan()["policy"] | {"ship_ramp": [{"share": 0.75, "hold": "20s"}]}
    prove(world, make_plan(policy=policy))
    before = world.served(2000)
    assert 0.7 < list(before.values()).count("new") / 2000 < 0.8
    world.traffic(40, 50, 500, BETTER)
    world.tick(50)
    assert (world.experiment.state, world.experiment.ship_step) == ("SHIPPING", 0)
    world.tick(60)
    assert (world.experiment.state, world.experiment.ship_step) == ("VERIFYING", 1)
    after = world.served(2000)
    assert 0.93 < list(after.values()).count("new") / 2000 < 0.97
    assert {u for u, arm in before.items() if arm == "new"} < {
        u for u, arm in after.items() if arm == "new"
    }
    assert [look.data["holdback"]["step"] for look in world.compared] == [0, 0]
    spent = [
        sum(test["alpha_spent"] for test in look.decision["tests"] if test["kind"] == "harm")
        for look in world.compared
    ]
    assert 0 < max(spent) < 0.025 * 0.1, "the steps have a tenth of the alpha together"


def test_a_step_of_shipping_waits_for_a_look_that_saw_it(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    policy = make_plan()["policy"] | {"ship_ramp": [{"share": 0.75, "hold": "5s"}]}
    prove(world, make_plan(policy=policy))
    world.tick(46)
    assert world.experiment.ship_step == 1, "the step's last look is at its end"
    assert len(world.compared) == 1


def test_a_split_that_is_not_the_served_one_ends_the_verification(sqlite_world: Any) -> None:
    world = sqlite_world
    prove(world)
    world.tick(40)
    compiled, now = world.compiled(), world.at(45).timestamp()
    units = [f"lost{i}" for i in range(6000)]
    variant = {u: compiled.evaluate("checkout", {"targetingKey": u}, now).variant for u in units}
    # Half of those who have the winner never reported it.
    kept = [u for i, u in enumerate(units) if variant[u] == "control" or i % 2]
    world.expose(kept, 45)
    world.tick(50)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "INVALID")
    assert world.card(51).realised == ()
    assert verify(world.export()).identical


def test_what_ships_and_is_edited_by_hand_is_held_and_in_the_end_invalid(sqlite_world: Any) -> None:
    world = sqlite_world
    prove(world)
    world.tick(40)
    world.edit(
        {"do": "set_weights", "rule": "exp-button:ship", "weights": {"control": 1, "new": 1}}
    )
    world.tick(50)
    experiment = world.experiment
    assert (experiment.state, experiment.held_cause, experiment.held_from) == (
        "HELD",
        "seal",
        "VERIFYING",
    )
    assert (experiment.verdict, experiment.winner) == ("VALUE_PROVEN", "new")
    world.tick(90)
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "INVALID")


@pytest.mark.parametrize("how", ["archive", "remove_rule"])
def test_an_ended_experiment_closes_when_nothing_of_it_is_left(world: Any, how: str) -> None:
    world.run()
    world.do(services.stop, reason="enough", now=5)
    world.tick(6)
    assert world.experiment.state == "ROLLED_BACK"
    edit = {"do": "archive"} if how == "archive" else {"do": how, "rule": "exp-button"}
    world.edit(edit, now=7)
    world.tick(8)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("CLOSED", "OVERRIDE_STOP")
    assert experiment.closed_at == world.at(8)
    assert experiment.ended_at == world.at(5)
    result = verify(world.export())
    assert result.identical
    assert result.complete
    world.tick(9)
    assert world.records[-1]["body"]["do"] == "close"


def test_the_policy_says_how_a_winner_ships(make_plan: Any) -> None:
    policy = make_plan()["policy"]
    plan = parse_plan(make_plan())
    assert [step.share for step in plan.policy.ship_steps] == [0.95]
    del policy["ship_ramp"], policy["verify"]
    plan = parse_plan(make_plan(policy=policy))
    assert [(s.share, s.hold_seconds / 86400) for s in plan.policy.ship_steps] == [
        (0.75, 1),
        (0.95, 14),
    ]
    assert "verify" not in plan.to_document()["policy"], "unsaid rules are not written"
    again = parse_plan(make_plan(policy=policy | {"verify": "3d", "explain_within": "1h"}))
    assert parse_plan(again.to_document()) == again


@pytest.mark.parametrize(
    ("ramp", "field"),
    [
        ([{"share": 0.96, "hold": "1d"}], "share"),
        ([{"share": 0.5, "hold": "1d"}, {"share": 0.5, "hold": "1d"}], "share"),
        ([{"share": 0.5, "hold": "0s"}], "hold"),
    ],
)
def test_a_ramp_that_leaves_no_holdback_is_refused(make_plan: Any, ramp: Any, field: str) -> None:
    from experiments.errors import PlanError

    with pytest.raises(PlanError) as caught:
        parse_plan(make_plan(policy=make_plan()["policy"] | {"ship_ramp": ramp}))
    assert str(caught.value.field).endswith(field)


def test_a_late_report_of_what_was_met_before_shipping_counts_nowhere(sqlite_world: Any) -> None:
    """An SDK that has not heard of the decision yet still reports the experiment's own rule."""
    world = sqlite_world
    prove(world)
    world.tick(40)
    units = [f"slow{i}" for i in range(400)]
    world.store.append(_exposures(world, units, "control", second=45))
    world.expose(units, 46)
    world.tick(50)
    look = world.compared[-1].data
    assert sum(look["look"]["counts"].values()) == 400
    assert look["quality"]["quarantined"] == 0


@pytest.mark.parametrize(
    ("rates", "trusted", "confirmed"),
    [
        (((0.2, 0.3), (0.2, 0.3)), True, True),
        (((0.2, 0.3), (0.2, 0.19)), True, False),
        (((0.2, 0.3), (0.2, 0.3)), False, False),
    ],
)
def test_every_claim_has_to_hold_on_data_that_can_be_trusted(
    make_plan: Any, rates: Any, trusted: bool, confirmed: bool
) -> None:
    document = make_plan()
    second = document["metrics"][0] | {"key": "sign-up", "event": "sign-up"}
    plan = parse_plan(document | {"metrics": [*document["metrics"], second]})
    since, claimed = "2026-03-02T09:00:00+00:00", ("purchase", "sign-up")
    stage = holdback.Stage(0, since, "new", (500, 9500), claimed)
    sums = {
        key: {
            "control": Moments.conversions(100, round(100 * before)),
            "new": Moments.conversions(1900, round(1900 * after)),
        }
        for key, (before, after) in zip(("purchase", "sign-up"), rates, strict=True)
    }
    look = holdback.build_comparison(
        number=1,
        offset=50,
        length=50,
        counts={"control": 100, "new": 1900},
        sums=sums,
        trusted=trusted,
        verifies=True,
    )
    found, told = holdback.compare(plan, stage, [look])
    assert (found.is_final, found.confirmed) == (True, confirmed)
    assert told["verdict"] == ("CONFIRMED" if confirmed else "NOT_CONFIRMED")
