"""Guarded releases: steps that wait for the harm bounds, and go back by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.contract.parsing import parse_plan
from experiments.contract.promise import promise_lines
from experiments.judging.record import verify
from experiments.models import Experiment
from experiments.moves.release_state import release_facts
from experiments.people import releases, services
from experiments.people.outcomes import outcomes
from experiments.rules.release_rules import Served, grown
from experiments.telling.card import CardStatus, build_card, card_text
from flags.actor import Actor
from flags.errors import InvalidInputError, NotAllowedError, NotFoundError, StateError
from tests.experiments.conftest import CUSTOMER, OWNER, PLACE, START, World

SECOND = Actor("user", "second@example.org")
CALM = {"crash": {"control": 0.02, "new": 0.02}}
CRASHES = {"crash": {"control": 0.0, "new": 0.5}}
POLICY = {"name": "short", "looks": [{"every": "2s"}], "settle": "0s", "stale": "1h"}


def release_document(**changes: Any) -> dict[str, Any]:
    """Give a release of 1, 5, 25, 50 and 100 %, ten seconds each, looked at every two."""
    document: dict[str, Any] = {
        "key": "button",
        "flag": "checkout",
        "variant": "new",
        "customer": CUSTOMER.name,
        "guards": [{"key": "crash", "window": "2s", "rare": True, "direction": "down"}],
        "steps": [1, 5, 25, 50, 100],
        "hold": "10s",
        "minimum_units": 0,
        "max_wait": "60s",
        "policy": POLICY,
    }
    return document | changes


def begin(world: World, now: float = 0, **changes: Any) -> Experiment:
    with world.database.write() as session:
        releases.create(
            session, "shop", release_document(**changes), actor=OWNER, now=world.at(now)
        )
    return world.do(releases.start, now=now)


def shares(world: World, count: int = 20_000) -> dict[str, float]:
    """Give which part of so many units is served what, and is tracked."""
    compiled, now = world.compiled(), world.at(0).timestamp()
    found: dict[str, float] = {}
    for i in range(count):
        details = compiled.evaluate("checkout", {"targetingKey": f"x{i}"}, now)
        name = f"{details.variant}{' tracked' if details.track else ''}"
        found[name] = found.get(name, 0) + 1 / count
    return found


def facts(world: World, seconds: float) -> dict[str, Any]:
    with world.database.read() as session:
        experiment = services.get_experiment(session, *PLACE, "button")
        looks = services.looks(session, experiment)
        newest = looks[-1].data if looks else None
        found = release_facts(session, experiment, newest, world.at(seconds))
    assert found is not None
    return found


def waits(world: World, seconds: float) -> list[str]:
    return [each["kind"] for each in facts(world, seconds)["waits_for"]]


def run(world: World, begin: float, end: float, rates: Any = None, units: int = 400) -> None:
    """Let people come, and the worker tick every second."""
    for second in range(round(begin), round(end)):
        world.traffic(second, second + 1, units, rates or CALM)
        world.tick(second + 1)


# --- from the first step to everybody


def test_a_release_reaches_everybody_step_by_step_and_waits_to_be_cleaned_up(world: World) -> None:
    begin(world, steps=[5, 50, 100])
    assert shares(world)["new tracked"] == pytest.approx(0.05, abs=0.01)
    seen = []
    for second in range(0, 26, 2):
        world.traffic(second, second + 2, 500, CALM)
        world.tick(second + 2)
        seen.append((world.experiment.state, world.experiment.ramp_step))
    assert list(dict.fromkeys(seen)) == [("RAMPING", 0), ("RUNNING", 1), ("CLEANUP", 1)]
    assert (world.experiment.verdict, world.experiment.coverage) == ("RELEASED", 1.0)
    assert set(world.served().values()) == {"new"}
    assert "no harm seen in crash" in world.experiment.note
    text = card_text(world.card(44))
    assert "Everybody has new: take the flag out of the code." in text
    assert "proven" not in text.lower()
    # Gap-free and recomputable, like everything the machine decides.
    assert [look.number for look in world.looks] == list(range(1, len(world.looks) + 1))
    result = verify(world.export())
    assert (result.identical, result.complete, result.looks) == (True, True, len(world.looks))


def test_a_step_is_compared_with_as_many_on_control_and_touches_nobody_else(
    sqlite_world: Any,
) -> None:
    begin(sqlite_world, steps=[{"share": 0.05}, {"share": 0.25}])
    found = shares(sqlite_world)
    assert found["new tracked"] == pytest.approx(0.05, abs=0.005)
    assert found["control tracked"] == pytest.approx(0.05, abs=0.005)
    assert found["control"] == pytest.approx(0.9, abs=0.01)


def test_crashes_of_a_small_canary_turn_everybody_back_from_the_first_events_on(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    begin(world, steps=[1, 50, 100], hold="40s")
    world.traffic(0, 12, 4000, CRASHES)
    for second in range(2, 14, 2):
        world.tick(second)
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "HARM")
    assert set(world.served().values()) == {"control"}
    # Too few units for any other test: the events themselves were the evidence.
    assert world.looks[-1].data["look"]["counts"]["new"] < 60
    assert "rare event crash" in world.experiment.note
    assert "Keep control: new does harm." in card_text(world.card(12))


def test_guards_with_tolerances_that_were_kept_are_shown_to_do_no_harm(sqlite_world: Any) -> None:
    world = sqlite_world
    guard = {"key": "crash", "window": "2s", "margin": 0.9}
    begin(world, steps=[50, 100], guards=[guard], hold="20s")
    rates = {"crash": {"control": 0.3, "new": 0.2}}
    for second in range(0, 24, 2):
        world.traffic(second, second + 2, 400, rates)
        world.tick(second + 2)
    assert (world.experiment.state, world.experiment.verdict) == ("CLEANUP", "NO_HARM_PROVEN")
    assert "shown to stay within what is tolerated" in world.experiment.note
    assert "Everybody has new" in card_text(world.card(24))


# --- what a step waits for


def test_a_step_waits_for_its_hold_a_look_at_all_of_it_and_the_sample(sqlite_world: Any) -> None:
    world = sqlite_world
    begin(world, steps=[5, 50, 100], minimum_units=50)
    assert waits(world, 1) == ["hold", "sample"]
    world.traffic(0, 8, 300, CALM)
    world.tick(8)
    assert waits(world, 9) == ["hold", "sample"]
    # The hold is over, but the newest look saw its first eight seconds only.
    assert waits(world, 10.5) == ["look", "sample"]
    world.tick(12)
    assert waits(world, 12) == ["sample"]
    assert facts(world, 12)["waits_for"][0]["text"].startswith("50 units in each group")
    world.traffic(12, 13, 2000, CALM)
    world.tick(14)
    assert world.experiment.ramp_step == 0
    world.tick(16)
    assert world.experiment.ramp_step == 1


def test_a_step_is_approved_by_anybody_but_who_started(sqlite_world: Any) -> None:
    world = sqlite_world
    begin(world, steps=[{"share": 0.05, "approval": True}, {"share": 0.5}])
    run(world, 0, 13, units=200)
    assert world.experiment.ramp_step == 0
    assert waits(world, 13) == ["approval"]
    text = card_text(world.card(13))
    assert "Approve the step" in text
    assert f"anybody but {OWNER.name}" in text
    same = Actor("user", OWNER.name.upper())
    for who, message in ((OWNER, "started"), (same, "started"), (Actor("token", "ci"), "program")):
        with pytest.raises(NotAllowedError, match=message):
            world.do(releases.approve, who, now=13)
    world.do(releases.approve, SECOND, now=13)
    assert facts(world, 13)["approved"] == [0]
    with pytest.raises(StateError, match="approved already"):
        world.do(releases.approve, SECOND, now=13)
    world.tick(14)
    assert world.experiment.ramp_step == 1
    with pytest.raises(StateError, match="needs no approval"):
        world.do(releases.approve, SECOND, now=14)
    said = [record["sentence"] for record in world.records if record["kind"] == "action"]
    assert said == [f"{SECOND.name} approved step 1 of 3 (5 %)."]


def test_approving_does_not_replace_what_else_is_missing(sqlite_world: Any) -> None:
    world = sqlite_world
    begin(world, steps=[{"share": 0.05, "approval": True}, {"share": 0.5}], minimum_units=10**6)
    world.do(releases.approve, SECOND, now=1)
    run(world, 0, 13, units=50)
    assert (world.experiment.ramp_step, waits(world, 13)) == (0, ["sample"])


def test_a_release_that_waits_for_too_long_goes_back(sqlite_world: Any) -> None:
    world = sqlite_world
    begin(world, steps=[{"share": 0.05, "approval": True}], max_wait="10s", policy=POLICY)
    world.traffic(0, 18, 600, CALM)
    for second in range(2, 22, 2):
        world.tick(second)
    found = world.experiment
    assert (found.state, found.verdict) == ("ROLLED_BACK", "NOT_PROVEN_IN_TIME")
    assert set(world.served().values()) == {"control"}
    assert "the time is up before everybody could be given new" in found.note


def test_after_a_downtime_one_step_is_taken_per_look_and_harm_comes_first(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    begin(world, steps=[5, 25, 50, 100])
    world.traffic(0, 10, 400, CALM)
    world.tick(50)
    assert (world.experiment.ramp_step, len(world.looks)) == (1, 1)
    world.tick(51)
    assert world.experiment.ramp_step == 1
    world.traffic(51, 54, 2000, CRASHES)
    world.tick(61)
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "HARM")


def test_a_broken_split_is_invalid_and_goes_back(sqlite_world: Any) -> None:
    world = sqlite_world
    begin(world, steps=[50, 100], hold="60s")
    compiled, time = world.compiled(), world.at(0).timestamp()
    units = [f"u{i}" for i in range(800)]
    variant = {u: compiled.evaluate("checkout", {"targetingKey": u}, time).variant for u in units}
    world.expose([u for u in units if variant[u] == "new" or hash(u) % 3 == 0], 1)
    world.tick(4)
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "INVALID")


def test_an_edit_by_hand_holds_the_release(sqlite_world: Any) -> None:
    world = sqlite_world
    begin(world, steps=[5, 50, 100])
    world.edit({"do": "remove_rule", "rule": "exp-button"})
    run(world, 0, 14, units=50)
    assert (world.experiment.state, world.experiment.held_cause) == ("HELD", "seal")
    assert world.experiment.ramp_step == 0


# --- a rollout that is there already


def rollout(world: World, weights: dict[str, int], coverage: float = 1.0, **rule: Any) -> None:
    serve = {"split": {"weights": weights, "coverage": coverage}}
    world.edit({"do": "add_rule", "rule": {"id": "slowly", "when": True, "serve": serve, **rule}})


@pytest.mark.parametrize(
    ("weights", "coverage"), [({"new": 10, "control": 90}, 1.0), ({"new": 1}, 0.1)]
)
def test_a_plain_rollout_goes_on_guarded_and_nobody_loses_the_variant(
    sqlite_world: Any, weights: dict[str, int], coverage: float
) -> None:
    world = sqlite_world
    rollout(world, weights, coverage)
    before = world.served(3000)
    begin(world, steps=[1, 5, 25, 50, 100])
    after = world.served(3000)
    assert after == before
    # It goes on at the last step that asks for no more people than have it.
    assert (world.experiment.ramp_step, facts(world, 0)["share"]) == (1, 0.1)
    assert [rule["id"] for rule in world.flag()["rules"]] == ["exp-button"]
    assert shares(world)["control tracked"] == pytest.approx(0.1, abs=0.01)
    run(world, 0, 13, units=100)
    wider = world.served(3000)
    assert world.experiment.ramp_step == 2
    assert all(wider[unit] == "new" for unit in before if before[unit] == "new")
    assert sum(v == "new" for v in wider.values()) / 3000 == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("weights", "rule", "changes", "field", "words"),
    [
        ({"new": 60, "control": 40}, {}, {}, "flag", "nobody is left"),
        ({"new": 30, "control": 70}, {}, {"steps": [1, 25, 100]}, "steps", "no step"),
        ({"new": 10, "third": 90}, {}, {}, "flag", "third"),
        (
            {"new": 10},
            {"when": {"attr": "x", "op": "in", "values": ["1"]}},
            {},
            "audience",
            "audience",
        ),
        ({"new": 10}, {"end": "2027-01-01T00:00:00Z"}, {}, "flag", "for a time"),
    ],
)
def test_a_rollout_that_would_move_people_is_refused_with_field_and_hint(
    sqlite_world: Any,
    weights: dict[str, int],
    rule: dict[str, Any],
    changes: dict[str, Any],
    field: str,
    words: str,
) -> None:
    rollout(sqlite_world, weights, **rule)
    with pytest.raises(StateError, match=words) as caught:
        begin(sqlite_world, **changes)
    assert (caught.value.field, bool(caught.value.hint)) == (field, True)
    assert sqlite_world.experiment.state == "DRAFT"


def test_control_is_what_everybody_else_has(sqlite_world: Any) -> None:
    with pytest.raises(StateError, match="everybody has control") as caught:
        begin(sqlite_world, control="third")
    assert caught.value.field == "control"


@given(
    st.lists(st.integers(0, 9), unique=True, max_size=4),
    st.lists(st.floats(0.0001, 0.5), min_size=1, max_size=5),
)
def test_steps_only_grow_and_each_has_a_twin_of_its_size(
    had: list[int], steps: list[float]
) -> None:
    """Whatever buckets a rollout had: who has the variant keeps it, and no twin ever gets it."""
    having = [[1000 * place, 1000 * place + 400] for place in sorted(had)]
    served = Served("s", having, [])
    for share in sorted(steps):
        wider = grown(served, share)
        new, twins = (buckets(ranges) for ranges in (wider.having, wider.twins))
        assert buckets(served.having) <= new
        assert buckets(served.twins) <= twins
        assert len(new) == len(twins) == max(round(share * 10_000), len(buckets(having)))
        assert not new & twins
        served = wider


def buckets(ranges: list[list[int]]) -> set[int]:
    found = [bucket for low, high in ranges for bucket in range(low, high)]
    assert len(found) == len(set(found))
    return set(found)


# --- reading what an engineer writes


def test_a_short_release_becomes_a_whole_plan_that_reads_back_the_same() -> None:
    short = release_document(guards=["crash", {"key": "slow", "margin": 0.1}], control="control")
    plan = parse_plan(short | {"owner": "o"})
    assert parse_plan(plan.to_document()) == plan
    assert [step.share for step in plan.release.steps] == [0.01, 0.05, 0.25, 0.5]
    crash, slow = plan.metrics
    assert (crash.role, crash.rare, crash.direction) == ("safety", True, "down")
    assert (slow.role, slow.margin, slow.window_seconds) == ("guardrail", 0.1, 5.0)
    assert (plan.prove_by_seconds, plan.deadline_seconds) == (40.0, 100.0)
    default = parse_plan({**short, "owner": "o", "policy": None})
    assert default.policy.name == "release-1d"
    assert parse_plan(default.to_document()) == default


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": [1, 75, 100]}, "steps[1].share"),
        ({"steps": [5, 5]}, "steps[1].share"),
        ({"steps": ["x"]}, "steps[0]"),
        ({"steps": [100]}, "steps"),
        ({"steps": 5}, "steps"),
        ({"hold": "1s"}, "steps[0].hold"),
        ({"guards": []}, "guards"),
        ({"guards": [7]}, "guards[0]"),
        ({"guards": [{"key": "a", "role": "success", "mde": 0.1}]}, "guards"),
        ({"guards": [{"key": "a", "window": "0s"}]}, "guards[0].window"),
        ({"variant": "control"}, "variant"),
        ({"customer": None}, "customer"),
        ({"claim": "value"}, "claim"),
        ({"max_wait": "90d"}, "policy.looks"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_release_is_refused_with_the_field_as_it_was_written(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_plan(release_document(control="control", owner="o") | changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"coverage": 0.5}, "coverage"),
        ({"authorised_in_advance": True}, "authorised_in_advance"),
        ({"planned_units": 1000}, "planned_units"),
        ({"prove_by": "2h"}, "prove_by"),
        ({"weights": {"control": 1, "new": 9}}, "weights"),
        ({"treatments": ["new", "third"], "weights": None}, "treatments"),
        ({"claim": "no_harm"}, "release"),
        ({"release": None}, "release"),
    ],
)
def test_what_belongs_to_experiments_is_refused_of_a_release(
    changes: dict[str, Any], field: str
) -> None:
    whole = parse_plan(release_document(control="control", owner="o")).to_document()
    with pytest.raises(InvalidInputError) as caught:
        parse_plan(whole | changes)
    assert caught.value.field == field


def test_a_release_is_not_found_among_experiments_nor_one_among_releases(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    world.create()
    with pytest.raises(NotFoundError, match="not a release"):
        world.do(releases.start)


# --- the card


@pytest.mark.parametrize(
    ("state", "verdict", "instruction", "who"),
    [
        ("DRAFT", None, "Start when ready.", OWNER.name),
        ("SEALED", None, "Start when ready.", OWNER.name),
        ("RAMPING", None, "Wait: no harm is seen", "the machine, by itself"),
        ("RUNNING", None, "Wait: no harm is seen", "the machine, by itself"),
        ("HELD", None, "Stop it or let it run out", "the machine, by itself"),
        ("CLEANUP", "RELEASED", "Everybody has new: take the flag", OWNER.name),
        ("CLEANUP", "NO_HARM_PROVEN", "Everybody has new: take the flag", OWNER.name),
        ("CLOSED", "RELEASED", "Nothing left to do: new stays", OWNER.name),
        ("CLOSED", "HARM", "Nothing left to do: control stays", OWNER.name),
        ("ROLLED_BACK", "HARM", "Keep control: new does harm.", OWNER.name),
        ("ROLLED_BACK", "INVALID", "Keep control and repair the release", OWNER.name),
        ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", "Keep control: the release waited", OWNER.name),
        ("ROLLED_BACK", "OVERRIDE_STOP", "Keep control: the release was stopped", OWNER.name),
        ("ABANDONED", None, "Nothing to do", OWNER.name),
    ],
)
def test_every_card_of_a_release_says_what_to_do_and_who_is_next_and_accountable(
    state: str, verdict: str | None, instruction: str, who: str
) -> None:
    plan = parse_plan(release_document(control="control", owner=OWNER.name))
    told = {"step": 1, "share": 0.05, "started_by": "x", "waits_for": []}
    begun = state not in {"DRAFT", "SEALED", "ABANDONED"}
    status = CardStatus(
        state=state,
        verdict=verdict,
        winner="new" if verdict in {"RELEASED", "NO_HARM_PROVEN"} else None,
        started_at=START if begun else None,
        release=told if begun else None,
    )
    card = build_card(plan, status)
    assert card.instruction.startswith(instruction)
    assert card.next.who == who
    text = card_text(card)
    assert f"for {CUSTOMER.name} (customer)" in text
    assert "Release button on flag checkout" in text
    if state in {"RAMPING", "RUNNING"}:
        assert "step 3 of 5 (25 %)" in " ".join(text.split())


def test_what_was_promised_is_told_as_a_release() -> None:
    short = release_document(control="control", owner="o", steps=[1, 50])
    short["steps"][1] = {"share": 0.5, "approval": True}
    text = " ".join(promise_lines(parse_plan(short)))
    assert "new for 1 % and 50 % of the audience, then for everybody" in text
    assert "Step 2 waits for another person." in text
    assert "proven" not in text


def test_a_release_is_harm_and_flag_debt_but_no_claim_among_the_outcomes(
    sqlite_world: Any,
) -> None:
    world = sqlite_world
    begin(world)
    world.do(services.stop, reason="enough", now=5)
    with world.database.read() as session:
        project = world.experiment.project_id
        found = {each.key: each for each in outcomes(session, project, now=world.at(9))}
    assert found["proof_rate"].n == 0
    assert found["time_to_market"].n == 0
