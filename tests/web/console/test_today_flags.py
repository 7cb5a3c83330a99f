"""Today: flags that had their time, changes that surprised, messages that did not arrive."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import select

from experiments.people.agenda import agenda
from experiments.people.flag_work import Person
from experiments.people.task import Task, in_order
from flags import nudges, predictions, services
from flags.models import Prediction
from tests.web.console.conftest import HERE, Console
from web.lifecycles import lifecycles
from web.webhooks.failing import failing
from web.webhooks.models import Delivery, Webhook
from web.webhooks.services import GIVEN_UP

TODAY = f"{HERE}/today"


def judge(console: Console) -> None:
    """Do the worker's judgement."""
    with console.database.write() as session:
        project = services.get_project(session, "shop")
        found = lifecycles(
            session, "shop", services.list_flags(session, "shop"), now=console.clock()
        )
        nudges.keep(session, project.id or 0, found, now=console.clock())


def tasks(console: Console, name: str = "editor@example.org") -> list[Task]:
    with console.database.read() as session:
        environment = services.get_environment(session, "shop", "production")
        who = Person(name, {f"user:{name}"}, {environment.id or 0})
        return agenda(session, "shop", environment, who, now=console.clock())


def test_flags_that_had_their_time_are_decided_one_by_one_or_together(
    small_console: Console,
) -> None:
    over = (small_console.clock() + dt.timedelta(days=20)).isoformat()
    small_console.flag("z-mine", owner="Editor@example.org", expires=over)
    for number in range(5):
        small_console.flag(f"over-{number}", owner="somebody", expires=over)
    assert tasks(small_console) == []
    small_console.clock.advance(days=40)
    judge(small_console)
    found = tasks(small_console)
    # All were never turned on; that is what speaks for taking them away.
    assert [(each.flag, each.mine, each.cleanup) for each in found] == [
        ("z-mine", True, ""),
        ("checkout", False, ""),
        ("over-0", False, ""),
        (None, False, "stale"),
    ]
    assert found[0].what.startswith("z-mine: Stale: never turned on")
    assert found[3].what == "4 other flags are stale."
    page = small_console.person("editor").page(TODAY)
    assert f"{HERE}/flags/z-mine" in page.links
    assert f"{HERE}/cleanup?verdict=stale" in page.links
    small_console.clock.advance(minutes=1)
    small_console.change("z-mine", {"do": "turn_on"})
    assert [each.flag for each in tasks(small_console)] == ["checkout", "over-0", "over-1", None]
    for key in ("checkout", "over-0"):
        small_console.change(key, {"do": "archive"})
    # One more by name takes no more room than to say that there is one more.
    assert [each.flag for each in tasks(small_console)] == ["over-1", "over-2", "over-3", "over-4"]


def surprise(console: Console, revision: int, looks: int = 1) -> None:
    """Let a change have moved others than was predicted."""
    share = {"count": 5, "share": 0.1, "low": 0.0, "high": 0.2, "size": 50}
    with console.database.write() as session:
        environment = services.get_environment(session, "shop", "production")
        session.add(
            Prediction(
                project_id=environment.project_id,
                environment_id=environment.id or 0,
                revision=revision,
                at=console.clock(),
                flags=["checkout"],
                state=predictions.PARTS,
                predicted=share,
                observed={**share, "count": 45},
                p_value=1e-9,
                looks=looks,
            )
        )


def test_a_change_that_moved_others_than_predicted_waits_until_the_flag_is_changed(
    small_console: Console,
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    surprise(small_console, 3)
    small_console.clock.advance(hours=1)
    (task,) = tasks(small_console)
    assert task.what == "checkout: revision 3 moved other than predicted."
    assert "more than chance explains" in task.why
    assert f"{HERE}/flags/checkout" in small_console.person("viewer").page(TODAY).links
    small_console.change("checkout", {"do": "turn_off"})
    assert tasks(small_console) == []
    surprise(small_console, 4)
    assert len(tasks(small_console)) == 1
    small_console.clock.advance(days=8)
    assert tasks(small_console) == []


def hook(console: Console, **now_is: Any) -> list[str]:
    with console.database.write() as session:
        row = session.exec(select(Webhook)).one()
        for name, value in now_is.items():
            setattr(row, name, value)
        session.add(row)
    with console.database.read() as session:
        return [each.what for each in failing(session, "shop", now=console.clock())]


def test_messages_that_did_not_arrive_wait_for_an_administrator(small_console: Console) -> None:
    small_console.webhook("slack")
    now = small_console.clock()
    assert hook(small_console) == []
    assert hook(small_console, failing_since=now - dt.timedelta(minutes=5)) == []
    late = dt.timedelta(minutes=20)
    assert hook(small_console, failing_since=now - late) == ["slack: the webhook does not answer."]
    with small_console.database.write() as session:
        row = session.exec(select(Delivery)).one()
        row.state, row.ended_at = GIVEN_UP, now - dt.timedelta(days=1)
        session.add(row)
    assert hook(small_console) == ["slack: 1 message was not delivered."]
    disabled = {"enabled": False, "disabled_because": "it failed for five days"}
    assert hook(small_console, **disabled) == [
        "slack: the webhook was disabled, 1 message was not delivered."
    ]
    page = small_console.person("admin").page(TODAY)
    assert f"{HERE}/webhooks/1" in page.links
    assert "it failed for five days" in page.words
    assert "slack" not in small_console.person("editor").page(TODAY).words
    assert hook(small_console, enabled=False, disabled_because="") == []
    small_console.clock.advance(days=15)
    assert hook(small_console, enabled=True, failing_since=None) == []


def test_what_costs_money_comes_before_everything_else() -> None:
    def task(what: str, urgency: int, per_day: int | None = None) -> Task:
        return Task(what, "", "", False, "Look", urgency, per_day=per_day)

    given = [task("stale", 10), task("cheap", 9, 5), task("killed", 1), task("dear", 10, 900)]
    assert [each.what for each in in_order(given)] == ["dear", "cheap", "killed", "stale"]
