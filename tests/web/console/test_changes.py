"""The page of changes that wait, and how one comes to be there from a flag's page."""

from __future__ import annotations

from typing import Any

from flags.models import ChangeRequest
from tests.web.console.conftest import HERE, Console, Page
from tests.web.console.test_today_flags import surprise

FLAG = f"{HERE}/flags/checkout"
CHANGES = f"{HERE}/changes"


def protected(console: Console, needed: int = 1) -> None:
    admin = console.person("admin")
    answer = admin.press(CHANGES, "Save", {"approvals_needed": str(needed)})
    assert answer.status_code == 303


def previewed(response: Any) -> Page:
    assert response.status_code == 200, response.get_data(as_text=True)[-2000:]
    return Page(response.get_data(as_text=True))


def test_where_approval_is_needed_one_asks_and_another_approves(console: Console) -> None:
    protected(console)
    ada, bob = console.person("editor"), console.person("approver")
    page = previewed(ada.press(FLAG, "Turn on", {"comment": "launch"}))
    assert "Another person must approve this" in page.words
    form = page.form("Ask for approval")
    sent = ada.send(FLAG, form, {"comment": "launch", "mode": "request"})
    assert "#change-1" in sent.location
    assert not console.document()["enabled"]
    own = ada.page(CHANGES)
    assert "Somebody else must approve what you wrote." in own.words
    assert "Waits for approval" in ada.page(FLAG).words
    shown = bob.page(CHANGES)
    assert "editor@example.org" in shown.words
    assert "launch" in shown.words
    assert "Change 1 is approved" in bob.follow(bob.press(CHANGES, "Approve")).words
    assert "Approved, not applied yet" in ada.page(FLAG).words
    assert "Change 1 is applied" in ada.follow(ada.press(CHANGES, "Apply")).words
    assert console.document()["enabled"]
    assert "No change waits" in ada.page(CHANGES).words
    assert "revision 3" in ada.page(f"{CHANGES}?state=applied").words


def test_an_approval_is_of_what_the_page_showed(small_console: Console) -> None:
    protected(small_console)
    ada, bob = small_console.person("editor"), small_console.person("approver")
    page = previewed(ada.press(FLAG, "Turn on"))
    ada.send(FLAG, page.form("Ask for approval"), {"comment": "x", "mode": "request"})
    form = bob.page(CHANGES).form("Approve")
    answer = bob.send(CHANGES, form, {"content_hash": "0" * 64})
    assert answer.status_code == 409
    assert "edited" in answer.get_data(as_text=True)


def test_a_change_is_given_its_time_and_taken_back(small_console: Console) -> None:
    ada = small_console.person("editor")
    page = previewed(ada.press(FLAG, "Turn on"))
    given = {"comment": "monday", "mode": "schedule", "at": "2026-12-07T09:00"}
    assert ada.send(FLAG, page.form("Schedule"), given).status_code == 303
    assert "Scheduled for 7 December 2026, 09:00" in ada.page(FLAG).words.replace("\n", " ")
    late = ada.send(FLAG, page.form("Schedule"), {**given, "at": "2026-11-07T09:00"})
    assert late.status_code == 400
    missing = ada.send(FLAG, page.form("Schedule"), {**given, "at": ""})
    assert missing.status_code == 400
    assert "withdrawn" in ada.follow(ada.press(CHANGES, "Withdraw")).words
    assert "Scheduled for" not in ada.page(FLAG).words


def test_a_change_is_edited_and_its_approval_is_void(small_console: Console) -> None:
    ada, bob = small_console.person("editor"), small_console.person("approver")
    page = previewed(ada.press(FLAG, "Turn on"))
    ada.send(FLAG, page.form("Ask for approval"), {"comment": "x", "mode": "request"})
    bob.press(CHANGES, "Approve")
    seen = ada.page(CHANGES).form("Save anew")
    given = {"comment": "on monday", "at": "2026-12-07T09:00"}
    assert "Change 1 is open" in ada.follow(ada.send(CHANGES, seen, given)).words
    shown = ada.page(CHANGES).words.replace("\n", " ")
    assert "7 December 2026, 09:00" in shown
    assert "on monday" in shown
    assert "nobody yet" in shown
    late = ada.send(CHANGES, seen, {"comment": "", "at": ""})
    assert late.status_code == 412, "somebody else wrote it meanwhile"
    assert ada.press(CHANGES, "Save anew", {"at": "2026-11-07T09:00"}).status_code == 400


def test_a_change_is_declined_with_a_reason(small_console: Console) -> None:
    ada, bob = small_console.person("editor"), small_console.person("approver")
    page = previewed(ada.press(FLAG, "Turn on"))
    ada.send(FLAG, page.form("Ask for approval"), {"comment": "x", "mode": "request"})
    assert "not today" in bob.follow(bob.press(CHANGES, "Decline", {"comment": "not today"})).words


def test_to_kill_where_approval_is_needed_says_why_and_does_not_wait(
    small_console: Console,
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    protected(small_console)
    ada = small_console.person("editor")
    assert ada.press(FLAG, "Kill checkout", {"comment": ""}).status_code == 400
    ada.follow(ada.press(FLAG, "Kill checkout", {"comment": "it burns"}))
    assert small_console.document()["killed"]


def test_a_change_that_waits_says_who_may_approve_it_and_what_if_it_goes_wrong(
    running: Any,
) -> None:
    console = running(looks=0, state="RUNNING")
    console.flag("banner")
    protected(console, needed=2)
    ada, bob = console.person("editor"), console.person("approver")
    page = previewed(ada.press(f"{HERE}/flags/banner", "Turn on", {"comment": "launch"}))
    ada.send("", page.form("Ask for approval"), {"comment": "launch", "mode": "request"})
    words = " ".join(ada.page(CHANGES).words.split())
    assert "Who may approve it: admin@example.org, approver@example.org." in words
    assert "If it goes wrong: nothing turns it back by itself" in words
    bob.press(CHANGES, "Approve")
    words = " ".join(ada.page(CHANGES).words.split())
    assert "1 of 2. Who may approve it: admin@example.org." in words
    # Whoever wrote some of it may not approve it.
    with console.database.write() as session:
        row = session.get_one(ChangeRequest, 1)
        row.writers = [*row.writers, "user:admin@example.org"]
        session.add(row)
    words = " ".join(ada.page(CHANGES).words.split())
    assert "Who may approve it: nobody yet" in words
    # On a flag that an experiment watches, harm is turned back.
    with console.database.write() as session:
        row = session.get_one(ChangeRequest, 1)
        after = row.preview["after"]
        row.preview = {**row.preview, "after": {"checkout": after["banner"]}}
        session.add(row)
    page = ada.page(CHANGES)
    words = " ".join(page.words.split())
    assert "one-page watches checkout, and harm turns everybody back by itself" in words
    assert f"{HERE}/experiments/one-page" in page.links


def test_an_applied_change_says_whether_it_moved_as_many_as_predicted(
    small_console: Console,
) -> None:
    protected(small_console)
    ada, bob = small_console.person("editor"), small_console.person("approver")
    page = previewed(ada.press(FLAG, "Turn on", {"comment": "launch"}))
    ada.send("", page.form("Ask for approval"), {"comment": "launch", "mode": "request"})
    bob.press(CHANGES, "Approve")
    ada.press(CHANGES, "Apply")
    applied = f"{CHANGES}?state=applied"
    assert "seen since" not in ada.page(applied).words
    surprise(small_console, 3, looks=1)
    words = " ".join(ada.page(applied).words.split())
    assert "Alarm: Moved 90 % of 50 seen since" in words
