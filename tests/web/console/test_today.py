"""Today: what waits for whom, what a day of waiting costs, and what happens by itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import select

from experiments.models import Experiment
from experiments.people.agenda import agenda
from experiments.people.flag_work import Person
from flags import services
from flags.models import ChangeRequest
from web.console.today import PAGE

HERE = "/projects/shop/environments/production"
COSTS = {"run_per_month": 3043.75}
VALUE = {"per_unit": 30, "eligible_units_per_month": 30_437.5, "currency": "EUR"}


def _tasks(console: Any, name: str = "editor@example.org") -> list[Any]:
    with console.database.read() as session:
        environment = services.get_environment(session, "shop", "production")
        who = Person(name, {f"user:{name}"}, {environment.id})
        return agenda(session, "shop", environment, who, now=console.clock())


def test_nothing_needs_anybody_where_nothing_waits(small_console: Any) -> None:
    page = small_console.person("editor").page(f"{HERE}/today")
    assert "Nothing needs anybody." in page.words
    assert "All quiet" in page.words


def test_home_leads_to_today_once_there_is_a_flag(small_console: Any) -> None:
    assert small_console.person("editor").get("/").location == f"{HERE}/today"
    small_console.project("depot")
    there = "/projects/depot/environments/production/flags"
    assert small_console.person("viewer").get("/").location == there


def test_a_proven_change_waits_for_its_customer_at_what_a_day_brings(
    running: Any, plan: Any
) -> None:
    console = running(state="RUNNING", verdict="VALUE_PROVEN", winner="on")
    (task,) = _tasks(console)
    assert (task.who, task.mine, task.verb) == ("editor@example.org", True, "Confirm")
    assert task.per_day is None
    console = running(looks=0, plan={**_plan(console), "value": VALUE})
    (task,) = _tasks(console)
    # One point of 1,000 people a day, 30 EUR each.
    assert (task.per_day, task.currency) == (30_000, "EUR")
    words = " ".join(console.person("editor").page(f"{HERE}/today").words.split())
    assert "1 thing needs a human, 1 of them you. A day of waiting costs 300.00 EUR." in words
    (task,) = _tasks(console, "somebody@example.org")
    assert not task.mine


def _plan(console: Any) -> dict[str, Any]:
    with console.database.read() as session:
        return dict(session.get_one(Experiment, 1).plan)


def test_what_has_a_price_comes_first_then_what_is_urgent(running: Any) -> None:
    console = running(state="HELD", held_cause="stale")
    console.flag("banner", owner="editor@example.org")
    console.change("banner", {"do": "kill"}, comment="it is too loud")
    held, killed = _tasks(console)
    assert (held.experiment, held.verb) == ("one-page", "Explain")
    assert (killed.flag, killed.mine, killed.why) == ("banner", True, "it is too loud")
    console = running(looks=0, state="CLEANUP", plan={**_plan(console), "value": VALUE | COSTS})
    first, second = _tasks(console)
    assert (first.verb, first.per_day) == ("Clean up", 10_000)
    assert second.flag == "banner"


def test_a_change_waits_for_whoever_may_approve_it_and_did_not_write_it(
    small_console: Any, read_page: Any
) -> None:
    editor = small_console.person("editor")
    page = f"{HERE}/flags/checkout"
    shown = editor.press(page, "Turn on")
    form = read_page(shown.get_data(as_text=True)).form("Apply")
    assert editor.send("", form, {"comment": "soon", "mode": "request"}).status_code == 303
    (task,) = _tasks(small_console, "boss@example.org")
    assert (task.verb, task.mine, task.who) == ("Approve", True, "an approver")
    assert "editor@example.org asks. “soon”" in task.why
    (task,) = _tasks(small_console)
    assert not task.mine
    only_mine = editor.page(f"{HERE}/today?for=me")
    assert "Nothing needs you" in only_mine.words


def test_what_happens_by_itself_is_said_with_its_time(running: Any) -> None:
    console = running(looks=0, next_look_at=None, next_ramp_at=None)
    assert "By itself" not in console.person("viewer").page(f"{HERE}/today").words
    later = console.clock() + dt.timedelta(hours=5)
    console = running(looks=0, next_look_at=later)
    words = " ".join(console.person("editor").page(f"{HERE}/today").words.split())
    assert "in 5 hone-page: a look" in words


def test_what_waits_is_shown_in_pages_with_the_way_back(small_console: Any, read_page: Any) -> None:
    editor = small_console.person("editor")
    shown = editor.press(f"{HERE}/flags/checkout", "Turn on")
    form = read_page(shown.get_data(as_text=True)).form("Apply")
    editor.send("", form, {"comment": "soon", "mode": "request"})
    with small_console.database.write() as session:
        (first,) = session.exec(select(ChangeRequest)).all()
        copied = first.model_dump(exclude={"id"})
        session.add_all([ChangeRequest(**copied) for _ in range(PAGE)])
    page = editor.page(f"{HERE}/today")
    assert f"{PAGE + 1} things need a human" in page.words
    assert (page.words.count("Look:"), f"1 to {PAGE} of {PAGE + 1}" in page.words) == (PAGE, True)
    assert f"?from={PAGE}" in page.links
    last = editor.page(f"{HERE}/today?from={PAGE}")
    assert (last.words.count("Look:"), "51 to 51 of 51" in last.words) == (1, True)
    assert "?" in last.links
    # Whatever an address says leads to something that waits.
    for odd in ("from=900", "from=-3", "from=x"):
        assert "Look:" in editor.page(f"{HERE}/today?{odd}").words
