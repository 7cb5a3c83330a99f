"""Empty states that work: the first flag, the first call, the first guardrail, the first plan."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.catalogue import services as catalogue
from experiments.planning.rough import rough
from flags import services
from flags.heartbeats import Heartbeat
from flags.heartbeats import record as record_heartbeats
from tests.web.console.conftest import HERE, Browser, Console
from web.auth.models import Token
from web.console.plan_form import DEFAULTS, feasibility, plan_of_form, price
from web.console.starts import STARTS

CONNECT = f"{HERE}/connect"
STEPS = {
    "hypothesis": "One page makes more visitors buy.",
    "key": "one-page",
    "flag": "checkout",
    "control": "off",
    "treatment": "on",
    "customer": "editor@example.org",
    "owner": "checkout team",
    "success": "purchase",
    "per_day": "9000",
    "baseline": "11",
    "guardrail": "refund",
}


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
def test_a_template_makes_a_flag_that_is_off_and_one_click_from_its_use(
    small_console: Console, start: Any
) -> None:
    small_console.change("checkout", {"do": "archive"})
    editor = small_console.person("editor")
    page = editor.page(f"{HERE}/flags")
    form = next(each for each in page.forms if each.fields.get("template") == start.name)
    answer = editor.send(f"{HERE}/flags", form)
    assert answer.location.endswith(f"{HERE}/flags/{start.key}")
    assert small_console.document(start.key)["enabled"] is False
    editor.follow(editor.press(answer.location, "Turn on"))
    said = editor.page(answer.location).words
    expected = {"rollout": "10 % of users get on; everyone else gets off"}
    assert expected.get(start.name, "everyone gets on") in said


def test_a_template_whose_key_is_taken_leads_to_the_long_form(small_console: Console) -> None:
    editor = small_console.person("editor")
    before = small_console.written()
    token = editor.page(f"{HERE}/flags/checkout").form("Turn on").fields["csrf_token"]
    form = {"csrf_token": token, "template": "brake", "key": "checkout"}
    answer = editor.client.post(f"{HERE}/start-flag", data=form)
    assert answer.location.endswith("/new-flag?key=checkout")
    assert small_console.written() == before


def test_a_template_begins_without_its_rule_where_others_must_approve(
    small_console: Console,
) -> None:
    small_console.change("checkout", {"do": "archive"})
    admin = small_console.person("admin")
    path = f"{HERE}/changes"
    admin.press(path, "Save", {"approvals_needed": "1"})
    form = next(
        each
        for each in admin.page(f"{HERE}/flags").forms
        if each.fields.get("template") == "rollout"
    )
    assert admin.send(f"{HERE}/flags", form).status_code == 303
    assert small_console.document("new-checkout")["rules"] == []


def heartbeat(console: Console, environment_id: int) -> Heartbeat:
    now = console.clock()
    return Heartbeat(
        environment_id=environment_id,
        id="i-1",
        sdk="flagstone-python 0.1.0",
        runtime="cpython 3.11",
        host=None,
        revision=1,
        etag=None,
        source="stream",
        started_at=now,
        seen_at=now,
        events={},
        unknown_flags=[],
        defaults=None,
        defaults_complete=True,
    )


def test_a_flag_listens_for_the_first_call_and_stops_when_it_came(
    small_console: Console,
) -> None:
    viewer = small_console.person("viewer")
    page = viewer.page(f"{HERE}/flags/checkout")
    assert "Nobody asks for it yet" in page.words
    assert 'client.get_boolean("checkout"' in page.words
    assert "http://localhost/ofrep/v1/evaluate/flags/checkout" in page.words
    (ear,) = page.attributes(id="listen")
    assert ear["hx-trigger"] == "every 2s"
    with small_console.database.write() as session:
        environment = services.get_environment(session, "shop", "production").id or 0
        record_heartbeats(session, [heartbeat(small_console, environment)])
    answer = viewer.get(str(ear["hx-get"]), headers={"HX-Request": "true"})
    text = answer.get_data(as_text=True)
    assert "Connected." in text
    assert "heard from flagstone-python 0.1.0 on cpython 3.11" in text
    assert "hx-trigger" not in text
    assert "Nobody asks for it yet" not in viewer.page(f"{HERE}/flags/checkout").words
    staging = "/projects/shop/environments/staging/flags/checkout"
    assert "Nobody asks for it yet" in viewer.page(staging).words


def test_a_used_key_is_a_sign_of_life_in_its_own_environment(small_console: Console) -> None:
    now = small_console.clock()
    with small_console.database.write() as session:
        for name, used in (("production", None), ("staging", now)):
            environment = services.get_environment(session, "shop", name)
            session.add(
                Token(
                    kind="srv",
                    name=f"{name} service",
                    secret_hash=name,
                    project_id=environment.project_id,
                    environment_id=environment.id,
                    created_by="system:test",
                    created_at=now,
                    last_used_at=used,
                )
            )
    viewer = small_console.person("viewer")
    assert "Listening" in viewer.page(CONNECT).words
    staging = viewer.page("/projects/shop/environments/staging/connect")
    assert "heard from the key staging service" in " ".join(staging.words.split())


def test_the_first_guardrail_is_one_field(small_console: Console) -> None:
    editor = small_console.person("editor")
    page = editor.page(f"{HERE}/metrics")
    assert "Kill works already" in page.words
    answer = editor.press(f"{HERE}/metrics", "Add the guardrail", {"event": "Refund: asked for"})
    assert answer.status_code == 303
    with small_console.database.read() as session:
        (row,) = catalogue.list_metrics(session, "shop")
        assert row.key == "refund-asked-for"
    refused = editor.client.post(
        f"{HERE}/metrics/guardrail",
        data={**page.form("Add the guardrail").fields, "event": ""},
    )
    assert refused.status_code == 400


def test_four_steps_draft_the_plan_that_they_say(small_console: Console) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    editor = small_console.person("editor")
    path = f"{HERE}/new-experiment"
    priced = {**STEPS, "per_unit": "0.9", "eligible": "120000", "cleanup": "1500"}
    answer = editor.press(path, "Save the draft", priced)
    assert answer.status_code == 303, answer.get_data(as_text=True)[-3000:]
    assert answer.location.endswith("/experiments/one-page")
    sheet = " ".join(editor.page(f"{answer.location}/plan").words.split())
    for words in (
        "One page makes more visitors buy.",
        "editor@example.org is the customer",
        "Proof by 28 days after the start",
        "One more success brings 0.9 EUR",
        "A draft: nothing is promised yet",
        "refund",
    ):
        assert words in sheet
    editor.press(answer.location, "Seal the plan")
    assert "SHA-256 of the plan" in editor.page(f"{answer.location}/plan").words


def test_a_step_that_is_wrong_comes_back_filled_in(small_console: Console) -> None:
    editor = small_console.person("editor")
    path = f"{HERE}/new-experiment"
    before = small_console.written()
    for wrong, field in (({"mde": "many"}, "mde"), ({"prove_by": "0"}, "prove_by")):
        answer = editor.press(path, "Save the draft", {**STEPS, **wrong})
        assert answer.status_code in {400, 409, 422}
        text = answer.get_data(as_text=True)
        assert 'value="One page makes more visitors buy."' in text
        (shown,) = [tag for tag in text.split("<input") if f'id="{field}"' in tag]
        assert 'aria-invalid="true"' in shown.partition(">")[0]
    assert small_console.written() == before


def test_the_feasibility_line_changes_with_the_numbers(editor: Browser) -> None:
    path = f"{HERE}/new-experiment"
    checked = editor.press(path, "Check", {**STEPS, "check": "yes"})
    assert checked.status_code == 200
    assert "Feasible: about" in checked.get_data(as_text=True)
    form = editor.page(path).form("Check")
    live = editor.client.post(f"{path}/check", data={**form.fields, **STEPS, "per_day": "40"})
    assert "Not within 28 days" in live.get_data(as_text=True)


def test_rough_sizes_are_those_of_the_textbook() -> None:
    # 16 p (1 - p) / d^2 in each group, times the price of looking often.
    found = rough(baseline=0.1, effect=0.1, units_per_day=1000, prove_by_days=28, window_days=7)
    assert found is not None
    assert found.units / 2 == pytest.approx(1.15 * 16 * 0.1 * 0.9 / 0.01**2, rel=0.06)
    assert found.days == pytest.approx(found.units / 1000 + 7)
    more = rough(baseline=0.1, effect=0.1, units_per_day=2000, prove_by_days=28, window_days=7)
    assert more is not None
    assert more.provable == pytest.approx(found.provable / 2**0.5)
    for wrong in ({"baseline": 0.0}, {"baseline": 0.9, "effect": 0.2}, {"units_per_day": 0.0}):
        numbers = {"baseline": 0.1, "effect": 0.1, "units_per_day": 1000.0, **wrong}
        assert rough(**numbers, prove_by_days=28, window_days=7) is None


def test_the_form_says_what_it_lacks_and_what_it_is_worth() -> None:
    form = {**DEFAULTS, **STEPS}
    assert feasibility({**form, "per_day": ""}).startswith("With people a day")
    assert feasibility({**form, "mde": "x"}) == "Not yet: 'x' is not a percentage."
    assert feasibility({**form, "prove_by": "3"}).startswith("Not within 3 days: nobody")
    assert price(form) == ""
    worth = price({**form, "per_unit": "2", "eligible": "10000", "cleanup": "200"})
    assert worth.startswith("If it moves 5 %, it brings about 1,100 EUR in 12 months")
    plan = plan_of_form(form, "staging")
    assert plan["expected"] == {"units_per_day": 9000, "metrics": {"purchase": {"baseline": 0.11}}}
    assert "value" not in plan
