"""Shipping by hand reaches everybody in the end: whoever asks and whoever approves pays for it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments.people import overrides, services
from flags.actor import Actor
from flags.budgets import used_today
from flags.errors import OverBudgetError
from flags.granted import Budget, set_budget
from flags.services import get_environment
from tests.experiments.conftest import PLACE
from tests.experiments.test_interventions import WORSE, asked

ADA = Actor("user", "ada@example.org")
NUMBERS = itertools.count(600_000_000)
DAY = 24 * 3600


def limit(world: Any, actor: str, budget: Budget) -> None:
    with world.database.write() as session:
        set_budget(session, actor, budget)


def used(world: Any, actor: str, now: float) -> int:
    with world.database.read() as session:
        environment = get_environment(session, *PLACE)
        return used_today(session, actor, environment, world.at(now))


@pytest.fixture
def harmful(sqlite_world: Any) -> Any:
    """Give an experiment whose verdict is harm, so that a second person has to approve."""
    sqlite_world.run()
    sqlite_world.traffic(0, 10, 3000, WORSE)
    sqlite_world.tick(10)
    assert sqlite_world.experiment.verdict == "HARM"
    return sqlite_world


def test_a_key_that_may_not_move_everybody_cannot_even_ask(harmful: Any) -> None:
    limit(harmful, "token:7", Budget(share_per_change=0.99))
    with pytest.raises(OverBudgetError, match="100 %"):
        asked(harmful, Actor("token", "ci#7"))
    limit(harmful, "token:7", Budget(kill_only=True))
    with pytest.raises(OverBudgetError, match="kill"):
        asked(harmful, Actor("token", "ci#7"))
    assert harmful.experiment.request is None


def test_a_budget_that_was_narrowed_meanwhile_refuses_the_approval(harmful: Any) -> None:
    asked(harmful, Actor("token", "ci#7"))
    limit(harmful, "token:7", Budget(share_per_day=0.5))
    with pytest.raises(OverBudgetError):
        harmful.do(overrides.approve, actor=ADA, now=21)
    assert harmful.experiment.state == "ROLLED_BACK"
    assert used(harmful, "token:7", 22) == 0


def test_shipping_by_hand_without_a_verdict_is_paid_whole(sqlite_world: Any) -> None:
    sqlite_world.run()
    limit(sqlite_world, "token:7", Budget(share_per_change=0.99))
    with pytest.raises(OverBudgetError):
        asked(sqlite_world, Actor("token", "ci#7"))
    limit(sqlite_world, "token:7", Budget(share_per_change=1))
    assert asked(sqlite_world, Actor("token", "ci#7")).state == "SHIPPING"
    assert used(sqlite_world, "token:7", 21 + 2 * DAY) == 1_000_000, "kept until it ends"


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    per_day=st.sampled_from([0.5, 1.0]),
    steps=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.01, 11.0, 23.9, 24.1])),
        min_size=1,
        max_size=5,
    ),
)
@example(per_day=1.0, steps=[(True, False, 0.01), (True, False, 11.0), (True, True, 24.1)])
@example(per_day=1.0, steps=[(False, True, 0.01), (True, False, 11.0), (False, True, 11.0)])
def test_no_sequence_of_overrides_exceeds_a_budget(
    harmful: Any, per_day: float, steps: list[tuple[bool, bool, float]]
) -> None:
    """Asked by the limited key or another, approved by the limited person or another, over days."""
    number = next(NUMBERS)
    key, free = Actor("token", f"ci#{number}"), Actor("user", "owner@example.org")
    bea = Actor("user", f"bea{number}@example.org")
    limited = {f"token:{number}", str(bea)}
    for each in limited:
        limit(harmful, each, Budget(share_per_day=per_day))
    now = getattr(harmful, "later", 100.0)
    ended: dict[str, list[float]] = {each: [] for each in limited}
    for by_key, by_bea, hours in steps:
        now += hours * 3600
        asker, approver = key if by_key else free, bea if by_bea else ADA
        payers = limited & {f"token:{number}" if by_key else "", str(approver)}
        may_ask = not by_key or per_day == 1
        may = per_day == 1 and all(now - DAY >= end for who in payers for end in ended[who])
        try:
            asked(harmful, asker, now=now, review_at=harmful.at(now + DAY))
            assert may_ask
            harmful.do(overrides.approve, actor=approver, now=now)
        except OverBudgetError:
            assert not (may_ask and (may or not payers)), "refused without need"
        else:
            assert may or not payers, "more was shipped than was granted"
            harmful.do(services.stop, actor=ADA, reason="enough", now=now + 1)
            for who in payers:
                ended[who].append(now + 1)
        assert all(used(harmful, who, now + 1) <= per_day * 1_000_000 for who in limited)
        if harmful.experiment.request is not None:
            harmful.do(overrides.decline, actor=ADA, note="no", now=now + 1)
    harmful.later = now + 2 * DAY
