"""The list of flags as a work queue."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from experiments.monitoring.activity import sum_up
from experiments.moves.lease import Held, acquire
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
from flags import activity, change_requests, services
from flags.actor import Actor
from flags.changes import parse_change
from flags.request_rows import Writing
from tests.web.console.conftest import HERE, Console
from tests.web.console.test_today_flags import judge

LIST = f"{HERE}/flags"


def ask(console: Console, author: str, *, flag: str = "checkout") -> None:
    change = parse_change({"mode": "request", "flag": flag, "instructions": [{"do": "turn_on"}]})
    with console.database.write() as session:
        change_requests.submit(
            session,
            "shop",
            "production",
            change,
            by=Writing(Actor("user", author)),
            now=console.clock(),
        )


def keys_on(page: Any) -> list[str]:
    found = [link.rpartition("/flags/")[2] for link in page.links if "/flags/" in link]
    return list(dict.fromkeys(found))


def test_what_waits_for_an_approval_needs_those_who_may_give_it(small_console: Console) -> None:
    small_console.flag("banner")
    ask(small_console, "editor@example.org")
    approver = small_console.person("approver")
    editor, viewer = small_console.person("editor"), small_console.person("viewer")
    for role, waits in ((approver, True), (editor, False), (viewer, False)):
        page = role.page(f"{LIST}?filter=needs:me")
        assert keys_on(page) == (["checkout"] if waits else []), role.email
        assert ("Waits for your approval (change 1)" in page.words) is waits
        assert ("Nothing needs you here" in page.words) is not waits
    ask(small_console, "approver@example.org", flag="banner")
    assert keys_on(approver.page(f"{LIST}?filter=needs:me")) == ["checkout"]


def test_a_killed_flag_needs_its_owner_until_somebody_lifts_the_kill(
    small_console: Console,
) -> None:
    small_console.flag("mine", owner="Editor@example.org")
    editor = small_console.person("editor")
    form = editor.page(LIST).form("Kill mine")
    assert form.action.endswith("/do/mine/kill")
    assert editor.send(LIST, form, {"comment": "errors"}).status_code == 303
    page = editor.page(f"{LIST}?filter=needs:me")
    assert keys_on(page) == ["mine"]
    assert "Killed in production" in page.words
    assert keys_on(small_console.person("admin").page(f"{LIST}?filter=needs:me")) == []
    small_console.change("mine", {"do": "unkill"})
    assert keys_on(editor.page(f"{LIST}?filter=needs:me")) == []


def test_a_ramp_says_its_step_and_an_experiment_that_waits_needs_its_people(
    small_console: Console, plan: Any
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    small_console.experiment(plan(), "seal", "start")
    viewer = small_console.person("viewer")
    page = viewer.page(f"{LIST}?filter=state:ramping")
    assert keys_on(page) == ["checkout"]
    assert "ramp 1 of" in page.words
    assert "watched" in page.words
    assert keys_on(viewer.page(f"{LIST}?filter=has:experiment")) == ["checkout"]
    assert keys_on(viewer.page(f"{LIST}?filter=has:release")) == []


def test_a_filter_that_cannot_be_read_says_where_it_stumbles(small_console: Console) -> None:
    viewer = small_console.person("viewer")
    page = viewer.page(f"{LIST}?filter=state:onn", 400)
    assert "state: cannot be 'onn' (at character 7)" in page.words
    assert "one of on, off" in page.words
    # While somebody types, htmx would show nothing of an error.
    answer = viewer.get(f"{LIST}?filter=state:onn", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "at character 7" in answer.get_data(as_text=True)


def test_the_list_and_the_api_find_the_same(small_console: Console) -> None:
    for key in ("banner", "limit", "mail"):
        small_console.flag(key, owner="editor@example.org" if key != "mail" else "")
    small_console.change("banner", {"do": "turn_on"})
    editor = small_console.person("editor")
    for text in ("owner:me", "-state:off", "changed:today%20sort:changed", "key:*m*", "nothing"):
        answer = editor.client.get(
            f"/api/v1/projects/shop/flags?environment=production&filter={text}"
        )
        found = [each["key"] for each in answer.get_json()["items"]]
        assert keys_on(editor.page(f"{LIST}?filter={text}")) == found, text
    refused = editor.client.get("/api/v1/projects/shop/flags?filter=owner:")
    assert (refused.status_code, refused.get_json()["field"]) == (400, "filter")


def test_experiments_and_the_audit_speak_the_same_language(
    small_console: Console, plan: Any
) -> None:
    small_console.change("checkout", {"do": "turn_on"}, comment="launch day")
    small_console.experiment(plan(), "seal")
    small_console.experiment(plan(key="later", owner="growth team"))
    editor = small_console.person("editor")
    for text, found in (
        ("state:sealed", ["one-page"]),
        ("owner:growth*", ["later"]),
        ("customer:me -key:later", ["one-page"]),
        ("is:release", []),
        ("created:<1d buy", ["later", "one-page"]),
        ("started:<1d", []),
        ("-started:<1d", ["later", "one-page"]),
    ):
        answer = editor.client.get(f"/api/v1/projects/shop/experiments?filter={text}").get_json()
        assert [each["key"] for each in answer["items"]] == found, text
        words = editor.page(f"{HERE}/experiments?filter={text}").words
        assert [key for key in ("later", "one-page") if key in words] == found, text
    assert "launch day" in editor.page(f"{HERE}/audit?filter=action:turn_on").words
    assert "launch day" not in editor.page(f"{HERE}/audit?filter=action:kill").words
    for path in ("experiments", "audit"):
        assert "at character 1" in editor.page(f"{HERE}/{path}?filter=colour:red", 400).words
        refused = editor.client.get(f"/api/v1/projects/shop/{path}?filter=colour:red")
        assert (refused.status_code, refused.get_json()["field"]) == (400, "filter")


@pytest.fixture
def held(small_console: Console) -> Held:
    lease = acquire(small_console.database, "test", now=small_console.clock())
    assert lease is not None
    return lease


def test_the_worker_sums_up_exposures_and_what_sdks_name(
    small_console: Console, held: Held, tmp_path: Any
) -> None:
    now = small_console.clock() + dt.timedelta(minutes=30)
    with small_console.database.read() as session:
        environment = services.get_environment(session, "shop", "production").id or 0
    store = EmbeddedStore(tmp_path / "events")
    hour = now.timestamp() // 3600 * 3600
    times = [hour + 60, hour + 61, hour - 60]
    store.append(
        [
            Event(bytes([number] * 16), environment, at, f"u{number}", "checkout", "on", "r")
            for number, at in enumerate(times)
        ]
    )
    assert sum_up(small_console.database, store, held, now=now) == 1
    assert sum_up(small_console.database, store, held, now=now) == 0
    store.close()
    with small_console.database.read() as session:
        found = activity.read(session, environment, ["checkout"], now=now)["checkout"]
    assert found.hours[-2:] == (1, 2)
    small_console.clock.now = now
    page = small_console.person("viewer").page(LIST)
    assert page.attributes(aria_label="3 exposures in 24 hours, 2 in the busiest")
    assert "asked just now" in page.words


def test_a_flag_says_its_age_against_its_expiry_and_what_it_asks_for(
    small_console: Console,
) -> None:
    now = small_console.clock()
    small_console.flag("over", expires=(now + dt.timedelta(days=40)).isoformat())
    small_console.flag("long", expires=(now + dt.timedelta(days=100)).isoformat())
    small_console.clock.advance(days=43)
    small_console.flag("fresh")
    judge(small_console)
    page = small_console.person("viewer").page(LIST)
    words = " ".join(page.words.split())
    for said in ("43 days old, 3 days past expiry", "43 days old, 57 days left", "new today"):
        assert said in words
    # Never turned on: stale; of one whose time is over as well.
    tags = list(page.attributes(**{"class": "fs-tag fs-attention"}))
    assert [str(each["href"]).rpartition("/")[2] for each in tags] == [
        "checkout#lifecycle",
        "long#lifecycle",
        "over#lifecycle",
    ]
    assert "Stale: never turned on in the 43 days since it was made." in str(tags[0]["title"])
    editor = small_console.person("editor")
    found = editor.page(f"{LIST}?filter=is:past_expiry")
    assert keys_on(found) == ["over", "over#lifecycle"]
    small_console.clock.advance(minutes=1)
    small_console.change("long", {"do": "turn_on"})
    assert "long#lifecycle" not in keys_on(editor.page(LIST))


def test_a_kill_out_of_the_list_shows_its_receipt_there_to_who_killed_only(
    small_console: Console,
) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    editor = small_console.person("editor")
    path = f"{LIST}?filter=checkout"
    response = editor.send(path, editor.page(path).form("Kill checkout"), {"comment": "errors"})
    assert (response.status_code, response.location) == (303, f"{LIST}?done=4&filter=checkout")
    page = editor.page(response.location)
    assert "Killed: checkout – errors." in " ".join(page.words.split())
    (receipt,) = page.attributes(id="receipt")
    assert str(receipt["data-say"]).startswith("No SDK was heard")
    assert small_console.document()["killed"]
    assert "Killed: checkout" not in small_console.person("viewer").page(response.location).words
    small_console.clock.advance(minutes=2)
    assert "Killed: checkout" not in editor.page(response.location).words
    for odd in ("3", "0", "-1", "abc", "99999999999999999999"):
        assert "Killed: checkout" not in editor.page(f"{LIST}?done={odd}").words
