"""People step in: quality alarms explained, more time, shipping by hand, closing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from experiments.errors import SealBrokenError
from experiments.judging.record import verify
from experiments.people import interventions, overrides, services
from flags.actor import Actor
from flags.errors import InvalidInputError, NotAllowedError, StateError
from tests.experiments.test_monitor import _exposures

CUSTOMER = Actor("user", "customer@example.org")
OWNER = Actor("user", "owner@example.org")
OTHER = Actor("user", "second@example.org")
BETTER = {"purchase": {"control": 0.2, "new": 0.3}, "error": {"control": 0.1, "new": 0.1}}
SAME = {"purchase": {"control": 0.2, "new": 0.2}, "error": {"control": 0.1, "new": 0.1}}
WORSE = {"purchase": {"control": 0.2, "new": 0.1}, "error": {"control": 0.1, "new": 0.1}}
HOPEFUL = {"purchase": {"control": 0.2, "new": 0.2275}, "error": {"control": 0.1, "new": 0.1}}


def short(make_plan: Any, **policy: Any) -> Any:
    return make_plan(policy=make_plan()["policy"] | policy)


def met_both(world: Any, units: int, prefix: str = "both") -> None:
    names = [f"{prefix}{i}" for i in range(units)]
    world.store.append(_exposures(world, names, "control"))
    world.store.append(_exposures(world, names, "new"))


def asked(world: Any, actor: Actor = OWNER, now: float = 20, **changes: Any) -> Any:
    said = {
        "arm": "new",
        "reason": "legal",
        "text": "the authority wants it",
        "predicted_effect": 0.05,
        "review_at": world.at(900),
    }
    return world.do(overrides.override, actor=actor, now=now, **said | changes)


# --- held for the data


def test_a_quality_alarm_waits_for_its_explanation_and_lets_nobody_more_in(
    world: Any, make_plan: Any
) -> None:
    ramp = [{"coverage": 0.5, "hold": "10s"}]
    world.run(short(make_plan, ramp=ramp, explain_within="40s"))
    world.traffic(0, 10, 3000, SAME)
    met_both(world, 100)
    world.tick(10)
    experiment = world.experiment
    assert (experiment.state, experiment.held_cause, experiment.held_from) == (
        "HELD",
        "quality",
        "RAMPING",
    )
    assert (experiment.explain_by, experiment.coverage) == (world.at(50), 0.5)
    card = world.card(11)
    assert "Explain what is wrong" in card.instruction
    assert (card.next.who, card.next.at) == (OWNER.name, world.at(50))
    assert next(line for line in card.trust if line.name == "seal").good
    world.tick(20)
    assert world.experiment.coverage == 0.5, "the ramp stands still"
    with pytest.raises(InvalidInputError) as caught:
        world.do(interventions.explain, text=" ", now=21)
    assert caught.value.field == "text"
    world.do(interventions.explain, text="testers switched arms", now=21)
    experiment = world.experiment
    assert (experiment.state, experiment.held_cause) == ("RAMPING", None)
    world.tick(30)
    assert world.experiment.state == "RUNNING", "the explained alarm holds it no more"
    # Twice as loud is news.
    met_both(world, 200, "more")
    world.tick(40)
    assert (world.experiment.state, world.experiment.held_cause) == ("HELD", "quality")
    assert verify(world.export()).identical


def test_an_alarm_that_nobody_explains_is_invalid(sqlite_world: Any, make_plan: Any) -> None:
    world = sqlite_world
    world.run(short(make_plan, explain_within="15s"))
    world.traffic(0, 10, 3000, SAME)
    met_both(world, 100)
    world.tick(10)
    world.tick(24)
    assert world.experiment.state == "HELD"
    world.tick(25)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "INVALID")
    assert set(world.served().values()) == {"control"}
    assert "Nobody explained" in experiment.note


def test_harm_is_stopped_while_an_alarm_waits(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.traffic(0, 10, 600, SAME)
    met_both(world, 100)
    world.tick(10)
    assert world.experiment.held_cause == "quality"
    world.traffic(10, 20, 4000, WORSE)
    world.tick(20)
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "HARM")


def test_a_silent_feed_holds_and_a_fresh_one_goes_on_by_itself(world: Any, make_plan: Any) -> None:
    world.run(short(make_plan, stale="15s"))
    world.traffic(0, 10, 600, SAME)
    world.tick(10)
    assert world.experiment.state == "RUNNING"
    world.tick(30)
    experiment = world.experiment
    assert (experiment.state, experiment.held_cause, experiment.explain_by) == (
        "HELD",
        "stale",
        None,
    )
    assert "Mend the feed" in world.card(31).instruction
    with pytest.raises(StateError, match="nothing to explain"):
        world.do(interventions.explain, text="?", now=31)
    world.traffic(30, 40, 600, SAME)
    world.tick(40)
    assert (world.experiment.state, world.experiment.held_cause) == ("RUNNING", None)
    world.tick(70)
    assert world.experiment.held_cause == "stale"
    world.tick(100)
    assert world.experiment.verdict == "NOT_PROVEN_IN_TIME", "the clock never stopped"


# --- more time


def hopeful(world: Any, document: Any = None, until: int = 60) -> None:
    world.run(document)
    for second in range(0, until, 10):
        world.traffic(second, second + 10, 500, HOPEFUL)
        world.tick(second + 10)
    assert world.experiment.verdict is None


def test_an_extension_moves_every_deadline_once_and_spends_no_error_again(world: Any) -> None:
    hopeful(world)
    told = world.looks[-1].data["prospects"]
    assert (told["arm"], told["metric"]) == ("new", "purchase")
    assert [length for length, _chance in told["by_extension"]] == [25, 50, 75, 100]
    with pytest.raises(NotAllowedError, match="only the customer"):
        world.do(interventions.extend, by="50s", now=61)
    for by, words in (("0s", "longer than nothing"), ("2h", "promised"), ("soon", "duration")):
        with pytest.raises(InvalidInputError, match=words) as caught:
            world.do(interventions.extend, actor=CUSTOMER, by=by, now=61)
        assert (caught.value.field, bool(caught.value.hint)) == ("by", True)
    with pytest.raises(StateError, match="not known") as few:
        world.do(interventions.extend, actor=CUSTOMER, by="5s", now=61)
    assert few.value.hint == "at least 25s"
    world.do(interventions.extend, actor=CUSTOMER, by="50s", now=61)
    with pytest.raises(StateError, match="done once"):
        world.do(interventions.extend, actor=CUSTOMER, by="50s", now=62)
    world.traffic(60, 100, 400, SAME)
    world.tick(100)
    assert world.experiment.state == "RUNNING", "the old deadline is a look like any other"
    assert not world.looks[-1].data["look"]["is_final"]
    assert "09:02:30" in world.card(101).next.when, "the card knows the new last look"
    world.traffic(100, 140, 400, SAME)
    world.tick(150)
    final = world.looks[-1].data["look"]
    assert (final["is_final"], final["spending_time"]) == (True, 1.5)
    assert sum(final["counts"].values()) > sum(world.looks[-2].data["look"]["counts"].values())
    spent = [
        max(t["alpha_spent"] for t in look.decision["tests"] if t["kind"] == "ship")
        for look in world.looks[-2:]
    ]
    assert spent[0] + 1e-9 >= 0.0225, "nine tenths by the promised deadline"
    assert spent[1] <= 0.025
    assert world.experiment.verdict is not None
    assert verify(world.export()).identical


def test_without_hope_or_with_a_broken_seal_there_is_no_extension(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    with pytest.raises(StateError, match="not known"):
        world.do(interventions.extend, actor=CUSTOMER, by="50s", now=5)
    for second in (0, 10):
        world.traffic(second, second + 10, 600, SAME)
        world.tick(second + 10)
    with pytest.raises(StateError, match="chance of") as caught:
        world.do(interventions.extend, actor=CUSTOMER, by="50s", now=21)
    assert "50 %" in str(caught.value.hint)
    world.edit({"do": "set_coverage", "rule": "exp-button", "value": 0.5})
    with pytest.raises(SealBrokenError):
        world.do(interventions.extend, actor=CUSTOMER, by="50s", now=21)


# --- by hand


def test_shipping_without_a_proof_is_predicted_and_scored_by_the_holdback(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 600, SAME)
    world.tick(10)
    experiment = asked(world)
    assert (experiment.state, experiment.verdict, experiment.request) == (
        "SHIPPING",
        "OVERRIDE_SHIP",
        None,
    )
    assert experiment.override["predicted"]["relative"] == 0.05
    served = list(world.served(2000).values())
    assert 0.93 < served.count("new") / 2000 < 0.97, "the holdback is kept"
    world.tick(20)
    for second in range(20, 70, 10):
        world.traffic(second, second + 10, 3000, BETTER)
        world.tick(second + 10)
    experiment = world.experiment
    assert (experiment.state, experiment.verdict) == ("CLEANUP", "CONFIRMED")
    assert [v["verdict"] for v in experiment.verdicts] == ["OVERRIDE_SHIP", "CONFIRMED"]
    assert experiment.realised["predicted"]["relative"] == 0.05
    card = world.card(71)
    assert any(line.startswith("predicted") for line in card.realised)
    result = verify(world.export())
    assert result.identical, result.sentence


def test_against_a_verdict_a_second_person_signs_in_and_approves(world: Any) -> None:
    world.run()
    world.traffic(0, 10, 3000, WORSE)
    world.tick(10)
    assert world.experiment.verdict == "HARM"
    experiment = asked(world)
    assert (experiment.state, experiment.verdict) == ("ROLLED_BACK", "HARM")
    assert experiment.request["by"] == OWNER.name
    assert set(world.served().values()) == {"control"}, "nothing happens before"
    assert verify(world.export()).complete, "asking moves nothing: the end stays the end"
    assert "approve or decline" in world.card(21).next.what
    with pytest.raises(NotAllowedError, match="somebody else"):
        world.do(overrides.approve, actor=Actor("user", "OWNER@example.org"), now=22)
    with pytest.raises(NotAllowedError, match="program"):
        world.do(overrides.approve, actor=Actor("token", "ci"), now=22)
    world.do(overrides.decline, actor=OTHER, note="no", now=23)
    assert world.experiment.request is None
    with pytest.raises(StateError, match="no override waits"):
        world.do(overrides.approve, actor=OTHER, now=24)
    asked(world, now=25)
    experiment = world.do(overrides.approve, actor=OTHER, now=26)
    assert (experiment.state, experiment.verdict, experiment.dropped) == (
        "SHIPPING",
        "OVERRIDE_SHIP",
        [],
    )
    assert (experiment.override["second"], experiment.override["against"]) == (OTHER.name, "HARM")
    assert "new" in set(world.served().values())
    assert [v["verdict"] for v in experiment.verdicts] == ["HARM", "OVERRIDE_SHIP"]
    went_on = verify(world.export())
    assert (went_on.identical, went_on.complete) == (True, False), "it went on from its end"
    stopped = world.do(services.stop, reason="enough", now=30)
    assert (stopped.state, stopped.verdict) == ("ROLLED_BACK", "OVERRIDE_STOP")


def test_a_request_lapses_when_the_experiment_moves(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    world.edit({"do": "set_coverage", "rule": "exp-button", "value": 0.5})
    world.tick(5)
    assert world.experiment.state == "HELD"
    asked(world, now=6)
    assert world.experiment.request is not None, "a broken seal is not overridden by one person"
    world.do(services.stop, reason="enough", now=7)
    assert world.experiment.request is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"arm": "control"}, "arm"),
        ({"reason": "because"}, "reason"),
        ({"text": "  "}, "text"),
        ({"predicted_effect": -2.0}, "predicted_effect"),
        ({"predicted_effect": float("nan")}, "predicted_effect"),
        ({"review_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "review_at"),
        ({"review_at": dt.datetime(2030, 1, 1)}, "review_at"),
    ],
)
def test_an_override_says_everything_or_is_refused(
    sqlite_world: Any, changes: Any, field: str
) -> None:
    world = sqlite_world
    world.run()
    with pytest.raises(InvalidInputError) as caught:
        asked(world, **changes)
    assert (caught.value.field, bool(caught.value.hint)) == (field, True)
    assert world.experiment.state == "RUNNING"


@pytest.mark.parametrize("edit", ["archive", "kill", "turn_off"])
def test_what_nobody_would_get_is_not_shipped(sqlite_world: Any, edit: str) -> None:
    world = sqlite_world
    world.run()
    world.do(services.stop, reason="enough", now=5)
    world.edit({"do": edit})
    with pytest.raises(StateError) as caught:
        asked(world)
    assert caught.value.field == "flag"


# --- over


def test_somebody_declares_that_the_code_is_gone(sqlite_world: Any) -> None:
    world = sqlite_world
    world.run()
    with pytest.raises(StateError, match="cannot be closed"):
        world.do(interventions.close, note="gone", now=4)
    world.do(services.stop, reason="enough", now=5)
    with pytest.raises(InvalidInputError) as caught:
        world.do(interventions.close, note="", now=6)
    assert caught.value.field == "note"
    closed = world.do(interventions.close, note="removed in release 12", now=7)
    assert (closed.state, closed.closed_at) == ("CLOSED", world.at(7))
    result = verify(world.export())
    assert result.identical
    assert result.complete


# --- what was learned


def test_what_was_learned_waits_for_a_verdict_and_changes_nothing_that_was_decided(
    world: Any, make_plan: Any
) -> None:
    world.run(make_plan())
    with pytest.raises(StateError, match="nothing is decided yet"):
        world.do(interventions.learn, text="a guess", now=1)
    assert world.experiment.learned == ""
    world.traffic(0, 10, 3000, WORSE)
    world.tick(10)
    decided = world.experiment
    assert (decided.state, decided.verdict) == ("ROLLED_BACK", "HARM")
    assert "write down what was learned" in world.card(11).next.what
    world.do(interventions.learn, text="  One page hides the price.\n", now=12)
    world.do(interventions.learn, text="One page hides the price: show it.", now=13)
    world.do(interventions.learn, text="One page hides the price: show it.", now=14)
    after = world.experiment
    assert (after.learned, after.learned_by, after.learned_at) == (
        "One page hides the price: show it.",
        OWNER.name,
        world.at(13),
    )
    assert (after.state, after.verdict, after.note, after.ended_at) == (
        decided.state,
        decided.verdict,
        decided.note,
        decided.ended_at,
    )
    assert "learned" not in world.card(15).next.what
    record = world.export()
    said = [each["body"].get("text") for each in record["records"] if each["kind"] == "action"]
    assert said == ["One page hides the price.", "One page hides the price: show it."]
    result = verify(record)
    assert (result.identical, result.complete) == (True, True)
    forged = record | {"experiment": record["experiment"] | {"verdict": "VALUE_PROVEN"}}
    assert "experiment.verdict" in verify(forged).sentence, "words hide no forged head"


@pytest.mark.parametrize(("text", "why"), [(" ", "needs a reason"), ("x" * 2001, "too many")])
def test_words_that_say_nothing_or_too_much_are_refused(
    sqlite_world: Any, make_plan: Any, text: str, why: str
) -> None:
    sqlite_world.run(make_plan())
    with pytest.raises(InvalidInputError, match=why) as caught:
        sqlite_world.do(interventions.learn, text=text, now=1)
    assert caught.value.field == "text"
