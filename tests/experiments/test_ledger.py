"""The value ledger: every move's entries, sums that hold, and a chain that a sceptic recomputes."""

from __future__ import annotations

import datetime as dt
import json
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import sqlalchemy as sa

from experiments.contract.effects import Effect, effects_at
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.machine import lifecycle
from experiments.machine.lifecycle import Comparison, Finding, Outcome, Position, State
from experiments.models import Look
from experiments.moves.enact import plan_of, position_of
from experiments.people import overrides, services
from experiments.value import ledger
from experiments.value.entering import note_move
from experiments.value.entries import Facts, entries_for
from experiments.value.formulas import Entry, compute
from experiments.value.ledger import entry_document, first_fault
from experiments.value.priors import priors_of
from flags import services as flag_services

from .conftest import CUSTOMER, OWNER, START, World, plan_document

MONTH = dt.timedelta(days=30.4375)


def money(**changes: Any) -> dict[str, Any]:
    return {
        "per_unit": {"low": 0.5, "likely": 1, "high": 2},
        "eligible_units_per_month": 10_000,
        "run_per_month": 100,
        "support_per_month": 20,
        "cleanup": 300,
        "build": 5000,
    } | changes


def plan_with_money(**changes: Any) -> Plan:
    document = plan_document(value=money(**changes))
    document["policy"]["day"] = "1d"
    return parse_plan(document)


@dataclass
class Story:
    """One experiment's moves, and the ledger that they write."""

    plan: Plan = field(default_factory=plan_with_money)
    position: Any = None
    book: list[Entry] = field(default_factory=list)
    facts: Facts = field(default_factory=lambda: Facts(now=START, started_at=START))

    def __post_init__(self) -> None:
        self.position = Position(treatments=("new", "third"), last_step=0)

    def know(self, months: float = 0, **facts: Any) -> Story:
        self.facts = replace(self.facts, now=START + months * MONTH, **facts)
        return self

    def move(self, **position: Any) -> list[Entry]:
        """Go to a position, whoever may lead there, and give what was entered."""
        after = replace(self.position, **position)
        return self.go(after)

    def go(self, after: Any) -> list[Entry]:
        new = entries_for(self.plan, self.position, after, self.facts, self.book)
        self.book += new
        self.position = after
        return new

    def started(self) -> Story:
        self.move(state=State.SEALED)
        self.move(state=State.RUNNING, step=0)
        return self

    def proven(self, effect: Effect, months: float = 1.0) -> Story:
        self.know(months, effects={"new": effect}, baseline=0.2)
        self.move(verdict=Outcome.VALUE_PROVEN, winner="new")
        return self

    @property
    def balance(self) -> int:
        return sum(entry.amount for entry in self.book if entry.adds)


def kinds(entries: list[Entry]) -> list[str]:
    return [entry.kind.value for entry in entries]


GOOD = Effect(0.03, se=0.01, low=0.01, high=0.05, prior_mean=0.0, prior_sd=0.01, units=1000)
BAD = Effect(-0.03, se=0.01, low=-0.05, high=-0.01, prior_mean=0.0, prior_sd=0.01, units=1000)


def test_the_seal_enters_what_the_change_has_cost_to_build() -> None:
    story = Story()
    (built,) = story.move(state=State.SEALED)
    assert (built.kind, built.amount, built.adds) == ("BUILD", -500_000, True)


def test_a_plan_without_money_enters_nothing() -> None:
    story = Story(plan=parse_plan(plan_document())).started().proven(GOOD)
    story.move(state=State.ROLLED_BACK)
    assert story.book == []


def test_the_prediction_is_entered_once_when_the_control_is_known() -> None:
    story = Story().started().know(baseline=0.2)
    (predicted,) = story.move()
    # The MDE of 10 % of 0.2 is 0.02: 0.02 · 10,000 · 12 · 1.00 − (120 · 12 + 300).
    assert (predicted.kind, predicted.amount, predicted.adds) == ("PREDICTED", 66_000, False)
    assert story.move() == []
    expecting = Story(plan=plan_with_money(expected_effect=0.2)).started().know(baseline=0.2)
    assert expecting.move()[0].amount == 306_000


def test_what_ships_enters_its_shrunk_net_benefit_its_run_and_its_waiting() -> None:
    story = Story().started().proven(GOOD)
    story.know(1.5, proven_at=START + MONTH)
    run, waiting, proven = story.move(state=State.SHIPPING)
    assert kinds([run, waiting, proven]) == ["RUN", "WAITING", "PROVEN"]
    assert run.amount == -18_000
    # Half of 0.03 is kept: variances are equal. Half a month of 10,000 units.
    assert (waiting.amount, waiting.adds) == (-7_500, False)
    assert proven.amount == 180_000 - 174_000
    # The raw interval: 0.01 at half a euro, 0.05 at two.
    assert (proven.low, proven.high) == (60_000 - 174_000, 1_200_000 - 174_000)
    assert proven.memo["effect"]["estimate"] == 0.03
    assert proven.memo["effect"]["shrunk"] == pytest.approx(0.015)
    assert story.balance == -500_000 - 18_000 + 6_000


def test_harm_enters_what_it_cost_and_what_was_avoided() -> None:
    story = Story().started().know(0.5, effects={"new": BAD}, baseline=0.2)
    predicted, exposed, run, avoided = story.move(
        state=State.ROLLED_BACK, verdict=Outcome.HARM, dropped=frozenset({"new", "third"})
    )
    assert kinds([predicted, exposed, run, avoided]) == [
        "PREDICTED",
        "EXPOSURE_LOSS",
        "RUN",
        "AVOIDED_LOSS",
    ]
    assert exposed.amount == -1500
    assert (avoided.amount, avoided.adds) == (180_000 + 174_000, False)


def test_an_arm_that_is_dropped_early_is_counted_once() -> None:
    story = Story().started().know(0.5, effects={"new": GOOD, "third": BAD})
    (exposed,) = story.move(dropped=frozenset({"third"}))
    assert set(exposed.memo["arms"]) == {"third"}
    worse = replace(GOOD, estimate=-0.01)
    story.know(1, effects={"new": worse, "third": BAD})
    new = story.move(state=State.ROLLED_BACK, verdict=Outcome.FUTILE)
    assert [set(e.memo["arms"]) for e in new if e.kind == "EXPOSURE_LOSS"] == [{"new"}]


def test_an_invalid_experiment_enters_no_effect() -> None:
    story = Story().started().know(0.5, effects={"new": BAD})
    entered = story.move(state=State.ROLLED_BACK, verdict=Outcome.INVALID)
    assert kinds(entered) == ["RUN"]
    # Nor does an override that leans on it.
    entered = story.move(state=State.SHIPPING, verdict=named("OVERRIDE_SHIP"))
    assert kinds(entered) == ["OVERRIDE"]
    assert "evidence" not in entered[0].memo


def test_a_proof_that_nobody_confirmed_enters_only_its_waiting() -> None:
    story = Story().started().proven(GOOD).know(2, proven_at=START + MONTH)
    assert kinds(story.move(state=State.ROLLED_BACK)) == ["RUN", "WAITING"]


def test_a_stop_by_hand_remembers_what_was_given_up() -> None:
    story = Story().started().know(1, effects={"new": GOOD}, baseline=None)
    _run, given_up = story.move(state=State.ROLLED_BACK, verdict=Outcome.OVERRIDE_STOP)
    assert (given_up.kind, given_up.amount, given_up.adds) == ("OVERRIDE", -6_000, False)


def test_verification_replaces_the_promise_by_what_the_holdback_says() -> None:
    story = Story().started().proven(GOOD)
    story.move(state=State.SHIPPING)
    before = story.balance
    story.move(state=named("VERIFYING"))
    story.know(2, holdback=replace(GOOD, estimate=0.02))
    taken_back, realised = story.move(state=named("CLEANUP"), verdict=named("CONFIRMED"))
    assert (taken_back.kind, taken_back.amount, taken_back.adds) == ("PROVEN", -6_000, True)
    assert (realised.kind, realised.amount) == ("REALISED", 120_000 - 174_000)
    assert story.balance == before - 6_000 - 54_000


def test_late_harm_is_an_escaped_defect_with_its_cost() -> None:
    story = Story().started().proven(GOOD)
    story.move(state=State.SHIPPING)
    story.know(3, holdback=BAD)
    new = story.move(state=State.ROLLED_BACK, verdict=named("LATE_HARM"))
    assert kinds(new) == ["PROVEN", "RUN", "ESCAPED_DEFECT"]
    assert [entry.amount for entry in new] == [-6_000, -24_000, -30_000]


def test_a_shipped_change_that_is_stopped_keeps_what_it_brought_until_then() -> None:
    story = Story().started().proven(GOOD)
    story.move(state=State.SHIPPING)
    story.know(3)
    new = story.move(state=State.ROLLED_BACK, verdict=Outcome.OVERRIDE_STOP)
    assert kinds(new) == ["PROVEN", "RUN", "REALISED"]
    assert [entry.amount for entry in new] == [-6_000, -24_000, 30_000]
    assert new[-1].memo["holdback"] is False


def test_an_override_earns_nothing_until_the_holdback_says_so() -> None:
    story = Story().started().know(1, effects={"new": BAD}, baseline=0.2)
    story.move(state=State.ROLLED_BACK, verdict=Outcome.FUTILE)
    before = story.balance
    story.know(2, predicted=0.25)
    (override,) = story.move(state=State.SHIPPING, verdict=named("OVERRIDE_SHIP"), winner="new")
    assert (override.adds, override.amount) == (False, 600_000 - 174_000)
    assert override.memo["evidence"]["estimate"] == -0.03
    assert story.balance == before
    story.know(4, holdback=GOOD)
    new = story.move(state=named("CLEANUP"), verdict=named("CONFIRMED"))
    assert kinds(new) == ["REALISED"]
    assert story.balance == before + 6_000


def test_flag_debt_adds_after_a_roll_back_only() -> None:
    back = Story().started().know(1)
    back.move(state=State.ROLLED_BACK, verdict=Outcome.NOT_PROVEN_IN_TIME)
    (debt,) = back.know(4).move(state=named("CLOSED"))
    assert (debt.kind, debt.amount, debt.adds) == ("FLAG_DEBT", -6_000, True)
    kept = Story().started().proven(GOOD)
    kept.move(state=State.SHIPPING)
    kept.move(state=named("CLEANUP"))
    (debt,) = kept.know(4).move(state=named("CLOSED"))
    assert (debt.amount, debt.adds) == (-6_000, False)


def named(word: str) -> Any:
    """Give a state or verdict by its name, whether or not the lifecycle has it yet."""
    for enum in (State, Outcome):
        if word in enum.__members__:
            return enum[word]
    return word


# --- in the database


def priced_world(world: World) -> World:
    document = plan_document(value=money())
    world.run(document)
    return world


def rows_of(world: World) -> list[Any]:
    with world.database.read() as session:
        project = flag_services.get_project(session, "shop")
        assert project.id is not None
        return ledger.entries(session, project.id, limit=None)[::-1]


def documents_of(world: World) -> list[dict[str, Any]]:
    return [entry_document(row, "shop", "button") for row in rows_of(world)]


def test_a_real_experiment_writes_its_ledger_to_the_end(world: World) -> None:
    priced_world(world)
    rates = {"purchase": {"control": 0.2, "new": 0.3}, "error": {"control": 0.1, "new": 0.1}}
    world.traffic(0, 90, 3000, rates)
    for second in (10, 50, 90):
        world.tick(second)
    assert world.experiment.verdict == "VALUE_PROVEN"
    world.do(services.confirm, CUSTOMER, now=100)
    rows = rows_of(world)
    assert [row.kind for row in rows] == ["BUILD", "PREDICTED", "RUN", "WAITING", "PROVEN"]
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    proven = rows[-1].memo["effect"]
    assert abs(proven["shrunk"]) < abs(proven["estimate"])
    assert first_fault(documents_of(world)) is None
    with world.database.read() as session:
        (balance,) = ledger.balances(session, rows[0].project_id, now=world.at(100))
        (fall,) = ledger.waterfalls(session, rows[0].project_id)
    assert balance.amount == sum(row.amount for row in rows if row.adds)
    assert balance.accrued == 0
    assert (fall.predicted, fall.proven, fall.realised) == (rows[1].amount, rows[4].amount, None)


def test_the_same_move_is_entered_once(sqlite_world: World) -> None:
    priced_world(sqlite_world)
    with sqlite_world.database.write() as session:
        experiment = services.get_experiment(session, "shop", "production", "button")
        plan = plan_of(experiment)
        after = position_of(experiment, plan)
        before = replace(after, state=State.DRAFT)
        for _again in range(3):
            move = (session, experiment, plan, before, replace(after, state=State.SEALED))
            note_move(*move, None, OWNER, START)
    # The seal's own entry, and one for the move that was made up here: not three.
    assert [row.kind for row in rows_of(sqlite_world)] == ["BUILD", "BUILD"]


def test_an_override_enters_what_it_promises(sqlite_world: World) -> None:
    priced_world(sqlite_world)
    sqlite_world.traffic(0, 10, 300, {"purchase": {"control": 0.3, "new": 0.3}})
    sqlite_world.tick(10)
    asked = {"arm": "new", "reason": "strategy", "text": "A partner needs it."}
    review = {"predicted_effect": 0.25, "review_at": sqlite_world.at(10**6)}
    sqlite_world.do(overrides.override, CUSTOMER, now=20, **asked, **review)
    (entry,) = [row for row in rows_of(sqlite_world) if row.kind == "OVERRIDE"]
    assert (entry.memo["promised"], entry.adds) == (0.25, False)
    assert entry.amount > 0


def test_what_runs_is_counted_to_date_and_not_entered(sqlite_world: World) -> None:
    priced_world(sqlite_world)
    with sqlite_world.database.read() as session:
        project = flag_services.get_project(session, "shop").id
        assert project is not None
        (balance,) = ledger.balances(session, project, now=sqlite_world.at(30.4375 * 10))
    assert (balance.amount, balance.accrued) == (-500_000, -12_000)


def test_entries_cannot_be_changed_or_deleted(sqlite_world: World) -> None:
    priced_world(sqlite_world)
    for spoil in (lambda s, row: setattr(row, "amount", 1), lambda s, row: s.delete(row)):
        with (
            pytest.raises(TypeError, match="append-only"),
            sqlite_world.database.write() as session,
        ):
            spoil(session, session.get(ledger.LedgerEntry, 1))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE ledger_entries SET amount = amount + 1 WHERE number = 1", "was altered"),
        ("UPDATE ledger_entries SET memo = '{}' WHERE number = 1", "was altered"),
        ("DELETE FROM ledger_entries WHERE number = 1", "stands where 1 belongs"),
        ("UPDATE ledger_entries SET previous_hash = hash WHERE number = 2", "does not continue"),
    ],
)
def test_a_ledger_that_was_tampered_with_says_where(
    sqlite_world: World, change: str, says: str
) -> None:
    priced_world(sqlite_world)
    sqlite_world.do(services.stop, reason="enough", now=100)
    assert len(rows_of(sqlite_world)) == 2
    with sqlite_world.database.write() as session:
        session.execute(sa.text(change))
    assert says in (first_fault(documents_of(sqlite_world)) or "")


def test_an_amount_that_its_memo_does_not_give_is_found_behind_a_good_hash(
    sqlite_world: World,
) -> None:
    priced_world(sqlite_world)
    (document,) = documents_of(sqlite_world)
    document["amount"] += 1
    document["hash"] = ledger.hash_of(document)
    assert first_fault([document]) == "entry 1 is -499999 cents, but its memo gives -500000"
    document["memo"] = {"formula": "magic"}
    document["hash"] = ledger.hash_of(document)
    assert "cannot be computed" in (first_fault([document]) or "")


def past_experiment(world: World, number: int, lift: float, **changes: Any) -> None:
    """Store an experiment that has ended, with what its last look said."""
    document = plan_document(key=f"past-{number}")
    document["metrics"][0] |= changes.pop("metric", {})
    world.create(document)
    with world.database.write() as session:
        row = services.get_experiment(session, "shop", "production", f"past-{number}")
        row.state, row.verdict, row.ended_at = "ROLLED_BACK", "FUTILE", START
        for name, each in changes.items():
            setattr(row, name, each)
        session.add(row)
        assert row.id is not None
        test = {"kind": "ship", "metric": "purchase", "arm": "new", "low": None, "high": None}
        sums = {"n": 1000.0, "s1": 200.0, "s2": 200.0, "s3": 200.0}
        look = {
            "counts": {"control": 1000, "new": 1000},
            "metrics": {"purchase": {"control": sums}},
        }
        session.add(
            Look(
                experiment_id=row.id,
                number=1,
                at=START,
                verdict="FUTILE",
                data={"look": look},
                decision={"tests": [test | {"estimate": 0.2 * lift, "se": 0.2 * 0.02}]},
            )
        )


def test_eight_past_experiments_of_the_metric_make_the_prior(sqlite_world: World) -> None:
    lifts = (0.01, -0.02, 0.03, 0.08, -0.05, 0.02, 0.0)
    for number, lift in enumerate(lifts):
        past_experiment(sqlite_world, number, lift)
    past_experiment(sqlite_world, 91, 5.0, verdict="INVALID")
    past_experiment(sqlite_world, 92, 5.0, ended_at=None, state="SEALED")
    past_experiment(sqlite_world, 93, 5.0, metric={"event": "refund"})
    priced_world(sqlite_world)

    def priors() -> dict[str, Any]:
        with sqlite_world.database.read() as session:
            experiment = services.get_experiment(session, "shop", "production", "button")
            return priors_of(session, experiment, plan_of(experiment))

    assert priors() == {}
    past_experiment(sqlite_world, 8, 0.05)
    (found,) = priors().values()
    assert found["experiments"] == 8
    assert found["mean"] == pytest.approx(statistics.mean([*lifts, 0.05]), abs=1e-9)
    assert 0.0 < found["sd"] < 0.1
    sqlite_world.traffic(0, 10, 300, {"purchase": {"control": 0.3, "new": 0.2}})
    sqlite_world.tick(10)
    look = sqlite_world.looks[0]
    assert look.data["priors"] == {"purchase": found}
    effects = effects_at(
        parse_plan(sqlite_world.experiment.plan),
        look.data["look"],
        look.decision,
        look.data["priors"],
    )
    assert effects["new"].experiments == 8
    assert effects["new"].prior_sd == pytest.approx(found["sd"] * 0.3, rel=0.1)


# --- ten thousand lives


def random_effect(rng: random.Random) -> Effect:
    estimate = rng.gauss(0.005, 0.02)
    se = rng.uniform(0.001, 0.02)
    return Effect(
        estimate,
        se,
        rng.choice([None, estimate - 2 * se]),
        rng.choice([None, estimate + 2 * se]),
        rng.gauss(0, 0.002),
        rng.uniform(0.001, 0.02),
        rng.randrange(0, 100_000),
    )


def random_plan(rng: random.Random) -> Plan:
    optional = {
        "run_per_month": rng.randrange(0, 50_000) / 100,
        "support_per_month": rng.randrange(0, 50_000) / 100,
        "cleanup": rng.randrange(0, 200_000) / 100,
        "build": rng.randrange(0, 900_000) / 100,
        "expected_effect": rng.choice([0.05, 0.2]),
    }
    value = {name: each for name, each in optional.items() if rng.random() < 0.7}
    if rng.random() < 0.3:
        value["half_life_months"] = rng.choice([1, 2.5, 6, 12])
    value["per_unit"] = rng.choice([1.37, {"low": 0.5, "likely": 0.93, "high": 4.01}])
    value["eligible_units_per_month"] = rng.randrange(1_000_000, 10_000_000)
    value["horizon_months"] = rng.randrange(1, 25)
    document = plan_document(value=value, treatments=["new", "third"])
    document["policy"]["day"] = "1d"
    document["weights"] = {"control": 1, "new": 1, "third": 1}
    document["metrics"][0]["direction"] = rng.choice(["up", "down"])
    return parse_plan(document)


def possible_moves(position: Any, rng: random.Random) -> Iterator[Callable[[], Any]]:
    harmed = tuple(arm for arm in ("new", "third") if rng.random() < 0.2)
    verdict = rng.choice(list(Outcome))
    finding = Finding(verdict, rng.choice(["new", "third"]), harmed, is_final=rng.random() < 0.1)
    comparison = Comparison(
        harm=rng.random() < 0.2,
        invalid=rng.random() < 0.1,
        is_final=rng.random() < 0.4,
        confirmed=rng.random() < 0.5,
    )
    yield lambda: lifecycle.seal(position)
    yield lambda: lifecycle.start(position)
    yield lambda: lifecycle.widen(position)
    for _often in range(4):
        yield lambda: lifecycle.look(position, finding)
    yield lambda: lifecycle.confirm(position)
    yield lambda: lifecycle.expire(position)
    yield lambda: lifecycle.stop(position)
    yield lambda: lifecycle.hold(position)
    yield lambda: lifecycle.explain(position)
    yield lambda: lifecycle.lapse(position)
    yield lambda: lifecycle.push(position)
    yield lambda: lifecycle.verify(position)
    yield lambda: lifecycle.close(position)
    yield lambda: lifecycle.override_ship(position, "new")
    for _often in range(3):
        yield lambda: lifecycle.compare(position, comparison)


def random_life(plan: Plan, rng: random.Random) -> Story:
    position = Position(plan.treatments, last_step=1, authorised=rng.random() < 0.3)
    story = Story(plan=plan)
    story.position = position
    months, proven_at = 0.0, None
    for _move in range(60):
        months += rng.expovariate(2)
        moves = list(possible_moves(story.position, rng))
        try:
            after = rng.choice(moves)().position
        except Exception:  # noqa: BLE001  a move that is refused here is no move
            continue
        # Five of six are refused: what is known is dealt to the others only.
        look = rng.random() < 0.8
        story.know(
            months,
            effects={arm: random_effect(rng) for arm in plan.treatments} if look else {},
            baseline=rng.choice([None, 0.2]),
            holdback=rng.choice([None, random_effect(rng)]),
            predicted=rng.choice([None, 0.1]),
            proven_at=proven_at,
        )
        story.go(after)
        if after.waits_for_customer and proven_at is None:
            proven_at = story.facts.now
        if str(after.state) in {"CLOSED", "ABANDONED"}:
            break
    return story


def sceptic(memo: dict[str, Any]) -> int:
    """Compute an amount in cents from its memo, in fractions, without a line of our arithmetic."""
    formula, sign = memo["formula"], memo.get("sign", 1)
    if formula == "reversal":
        return -int(memo["amount"])
    value = memo["value"]

    def euro(name: str) -> Fraction:
        return Fraction(str(value.get(name, 0)))

    if formula == "sunk":
        return round(-euro("build") * 100)
    each = value["per_unit"]
    each = Fraction(str(each if isinstance(each, float | int) else each["likely"]))
    way = 1 if memo.get("direction") == "up" else -1
    monthly = euro("run_per_month") + euro("support_per_month")
    if formula == "exposure":
        lost = sum(
            max(Fraction(0), -way * Fraction(repr(arm["shrunk"]))) * arm["units"]
            for arm in memo["arms"].values()
        )
        return -round(lost * each * 100)
    seconds = Fraction(repr(memo.get("seconds", 0.0)))
    months = seconds / (Fraction(repr(memo.get("day_seconds", 1.0))) * Fraction("30.4375"))
    if formula == "monthly_costs":
        return -round(monthly * months * 100)
    if formula == "support":
        return -round(euro("support_per_month") * months * 100)
    horizon = value["horizon_months"]
    reach = months if formula == "flow" else Fraction(horizon)
    half = value.get("half_life_months")

    def left(m: int) -> Decimal:
        return Decimal(1) if half is None else Decimal("0.5") ** (Decimal(m) / Decimal(half))

    whole = int(reach)
    full = Fraction(sum((left(m) for m in range(1, whole + 1)), Decimal(0)))
    full += (reach - whole) * Fraction(left(whole + 1))
    shrunk = way * Fraction(repr(memo["effect"]["shrunk"]))
    gross = round(each * value["eligible_units_per_month"] * full * shrunk * 100)
    if formula == "flow":
        return sign * gross
    assert formula == "net_benefit"
    return sign * (gross - round((monthly * horizon + euro("cleanup")) * 100))


def test_ten_thousand_random_lives_sum_to_their_balance_to_the_cent() -> None:
    rng = random.Random(5)
    plans = [random_plan(rng) for _ in range(50)]
    total, seen, states = 0, set(), set()
    for life in range(10_000):
        story = random_life(rng.choice(plans), rng)
        running = 0
        for entry in story.book:
            assert isinstance(entry.amount, int)
            seen.add(entry.kind.value)
            memo = json.loads(json.dumps(entry.memo))
            assert sceptic(memo) == entry.amount
            if life % 10 == 0:
                again = compute(memo)
                assert (again.likely, again.low, again.high) == (
                    entry.amount,
                    entry.low,
                    entry.high,
                )
            running += entry.amount if entry.adds else 0
        states.add(str(story.position.state))
        assert running == story.balance
        # What is promised and not taken back is at most one estimate: nothing is counted twice.
        promises = [e for e in story.book if e.memo["formula"] == "net_benefit" and e.adds]
        back = [e for e in story.book if e.memo["formula"] == "reversal"]
        assert 0 <= len(promises) - len(back) <= 1
        total += running
    assert len(seen) == 11, "every kind was written"
    assert {"CLOSED", "ROLLED_BACK", "ABANDONED"} <= states
    assert total != 0
