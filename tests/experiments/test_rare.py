"""Rare trouble stops a small canary before any ordinary test may be asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.contract import words
from experiments.contract.document import sha256_of
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.judging.looks import build_look, decide, look_document
from experiments.judging.quality import Quality
from experiments.judging.record import NO_HASH, verify
from experiments.replays.replay import replay
from experiments.telling.card import Card, CardStatus, build_card, card_text
from stats import Moments

CANARY = {"control": 95, "new": 5}
NOBODY_CRASHES = {"purchase": {"control": 0.2, "new": 0.2}}
CRASHES = NOBODY_CRASHES | {"error": {"new": 0.9}}


def canary(document: dict[str, Any], *, rare: bool = True) -> dict[str, Any]:
    """Make the errors of a plan rare, and its treatment a twentieth of the units."""
    document = copy.deepcopy(document) | {"weights": CANARY}
    document["metrics"][1]["rare"] = rare
    return document


def only(tests: list[dict[str, Any]], kind: str, metric: str) -> dict[str, Any]:
    (found,) = [t for t in tests if (t["kind"], t["metric"]) == (kind, metric)]
    return found


def test_a_few_crashes_stop_a_canary_that_is_too_small_for_the_score(
    world: Any, make_plan: Callable[..., Any]
) -> None:
    world.run(canary(make_plan()))
    world.traffic(0, 5, 90, CRASHES)
    assert (world.tick(10).looks, world.experiment.verdict) == (1, "HARM")
    assert set(world.served().values()) == {"control"}
    (look,) = [record for record in world.records if record["kind"] == "look"]
    tests = look["body"]["decision"]["tests"]
    assert "too few units" in only(tests, "harm", "errors")["reason"]
    exact = only(tests, "harm_events", "errors")
    assert exact["passed"]
    # Half of alpha_harm goes to the guardrails, and half of that to each of the two tests.
    assert exact["alpha_spent"] == 0.025 / 2 / 2
    sums = look["body"]["look"]["metrics"]["errors"]
    met, units = int(sums["new"]["s1"]), int(sums["new"]["n"])
    assert 4 <= met <= 9
    assert (
        f"the rare event errors met {met} of {units} units in new "
        f"and 0 of {int(sums['control']['n'])} in control (evidence "
    ) in look["sentence"]
    assert ", needed 160 to 1), worse than chance explains" in look["sentence"]
    assert verify(world.export()).identical


def test_the_same_canary_runs_on_where_nobody_said_rare(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    sqlite_world.run(canary(make_plan(), rare=False))
    sqlite_world.traffic(0, 5, 90, CRASHES)
    sqlite_world.tick(10)
    assert len(sqlite_world.looks) == 1
    assert sqlite_world.experiment.verdict is None


def test_crashes_on_control_alone_stop_nothing(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    sqlite_world.run(canary(make_plan()))
    sqlite_world.traffic(0, 5, 90, NOBODY_CRASHES | {"error": {"control": 0.5}})
    sqlite_world.tick(10)
    (look,) = sqlite_world.looks
    assert not only(look.decision["tests"], "harm_events", "errors")["passed"]
    assert sqlite_world.experiment.verdict is None


def test_a_forger_who_takes_the_event_test_out_of_the_plan_is_found(
    sqlite_world: Any, make_plan: Callable[..., Any]
) -> None:
    sqlite_world.run(canary(make_plan()))
    sqlite_world.traffic(0, 5, 90, CRASHES)
    sqlite_world.tick(10)
    forged = sqlite_world.export()
    seal = next(record for record in forged["records"] if record["kind"] == "seal")
    del seal["body"]["plan"]["metrics"][1]["rare"]
    previous = NO_HASH
    for record in forged["records"]:
        record["plan_hash"] = sha256_of(seal["body"]["plan"]) if record["plan_hash"] else None
        record["previous_hash"] = previous
        del record["hash"]
        record["hash"] = previous = sha256_of(record)
    forged["experiment"]["plan_hash"] = sha256_of(seal["body"]["plan"])
    found = verify(forged)
    assert not found.identical
    assert "body.decision" in found.differences[0].path


def card_of(plan: Plan, crashes: tuple[int, int], units: tuple[int, int], **status: Any) -> Card:
    """Build a card from counts; nobody buys more or less."""
    arms = dict(zip(plan.arms, units, strict=True))
    sums = {
        "purchase": {arm: Moments.conversions(n, n // 5) for arm, n in arms.items()},
        "errors": {
            arm: Moments.conversions(n, met)
            for (arm, n), met in zip(arms.items(), crashes, strict=True)
        },
    }
    quality = Quality(newest_event_age_seconds=1.0)
    look = build_look(plan, number=1, offset=40, counts=arms, sums=sums, quality=quality)
    return build_card(
        plan,
        CardStatus(**({"state": "RUNNING", "plan_hash": "f" * 64} | status)),
        look=look_document(look),
        decision=decide(plan, [look]).to_document(),
        quality=quality.to_document(),
        offset=40,
    )


def test_the_card_says_what_the_event_test_found_and_what_it_cost(
    make_plan: Callable[..., Any],
) -> None:
    plan = parse_plan(canary(make_plan()))
    card = card_of(plan, (0, 6), (84, 8), state="ROLLED_BACK", verdict="HARM")
    (harm,) = [line for line in card.harm if line.metric == "errors"]
    assert (harm.word, harm.text) == (
        "worse",
        "errors, new: worse by rare events (tolerated loss 50 %)",
    )
    assert card.cost.startswith("8 met new, 84 control, in 4 days of 10s: ")
    assert card.cost.endswith(": about 6 more errors in new than on control.")
    (row,) = [row for row in card.evidence if row.kind == "harm_events"]
    assert row.text.startswith(
        "harm_events errors new: 6 of 8 units in new and 0 of 84 in control (evidence "
    )
    assert row.text.endswith("needed 160 to 1) crossed, alpha spent 0.0063")
    assert row.log_e is not None
    assert row.log_e_bound == pytest.approx(5.0752, abs=1e-4)
    assert row.log_e > row.log_e_bound
    assert "worse by rare events" in card_text(card)


def test_evidence_that_is_not_enough_is_said_with_what_is_needed(
    make_plan: Callable[..., Any],
) -> None:
    card = card_of(parse_plan(canary(make_plan())), (2, 1), (84, 8))
    (harm,) = [line for line in card.harm if line.metric == "errors"]
    assert harm.word == "not yet shown safe"
    assert "rare" not in harm.text
    (row,) = [row for row in card.evidence if row.kind == "harm_events"]
    assert "needed 160 to 1) not crossed" in row.text
    assert card.cost == "8 met new, 84 control, in 4 days of 10s."


def test_enough_units_and_rare_events_say_the_cause_once(make_plan: Callable[..., Any]) -> None:
    """Both tests cross; a busy owner reads one cause and one loss."""
    plan = parse_plan(canary(make_plan()))
    card = card_of(plan, (19, 60), (1900, 100), verdict="HARM")
    crossed = {row.kind for row in card.evidence if row.passed and row.metric == "errors"}
    assert crossed >= {"harm", "harm_events"}
    assert card.cost.count("errors") == 1
    assert "about 59 more errors in new" in card.cost
    counts = {"control": Moments.conversions(1900, 19), "new": Moments.conversions(100, 60)}
    look = build_look(
        plan,
        number=1,
        offset=40,
        counts={"control": 1900, "new": 100},
        sums={"errors": counts},
        quality=Quality(newest_event_age_seconds=1.0),
    )
    (cause,) = words.harm_causes(plan, decide(plan, [look]).to_document(), look_document(look))
    assert cause == (
        "the rare event errors met 60 of 100 units in new and 19 of 1,900 in control "
        "(evidence more than a million to 1, needed 160 to 1)"
    )


def test_a_replayed_history_is_stopped_by_its_rare_events(
    tmp_path: Path, make_plan: Callable[..., Any]
) -> None:
    exposures, outcomes = tmp_path / "exposures.csv", tmp_path / "outcomes.csv"
    met, did = ["who,arm,at"], ["who,what,at"]
    for i in range(95):
        arm = "new" if i % 12 == 5 else "control"
        met.append(f"u{i},{arm},{i / 20}")
        did += [f"u{i},error,{i / 20 + 1}"] if arm == "new" else []
    # History went on for a day more, without anybody new.
    did.append("u0,other,15")
    exposures.write_text("\n".join(met) + "\n")
    outcomes.write_text("\n".join(did) + "\n")
    document = canary(make_plan()) | {
        "weights": {"control": 90, "new": 10},
        "replay": {
            "exposures": {"unit": "who", "variant": "arm", "time": "at"},
            "outcomes": {"unit": "who", "event": "what", "time": "at"},
        },
    }
    result = replay(exposures, outcomes, document)
    assert (result.verdict, len(result.looks)) == ("HARM", 1)
    assert "met 8 of 8 units in new and 0 of 87 in control" in result.card.sentence
    assert "everybody belongs back on control" in result.card.sentence
    assert "harm_events errors new: 8 of 8 units in new" in result.text
    document["metrics"][1]["rare"] = False
    assert replay(exposures, outcomes, document).verdict == "CONTINUE"
