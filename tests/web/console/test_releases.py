"""Releases over forms: from their text to an approved step; beside experiments in the list."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.contract.parsing import parse_plan
from experiments.people.services import get_experiment
from web.console.releases import TEMPLATE

HERE = "/projects/shop/environments/production"
PAGE = f"{HERE}/experiments/checkout-on"
RELEASE = """flag = "checkout"
variant = "on"
customer = "customer@example.org"
owner = "checkout team"
guards = ["crash"]
steps = [1, 5, 25, 50, 100]
"""


def test_a_release_goes_from_its_text_to_an_approved_step(small_console: Any) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    editor = small_console.person("editor")
    text = RELEASE.replace("[1,", "[{ share = 0.01, approval = true },")
    page = editor.follow(
        editor.press(f"{HERE}/new-release", "Save the draft of this text", {"plan": text})
    )
    assert "Start when ready." in page.words
    assert not [form for form in page.forms if "Seal the plan" in form.buttons]
    page = editor.follow(editor.press(PAGE, "Start"))
    words = " ".join(page.words.split())
    assert "Steps 1 of 5" in words
    assert f"waits for approval by anybody but {editor.email}" in words
    assert "Waits for somebody else to approve" in words
    assert not [form for form in page.forms if form.action.endswith("/approve")]
    assert page.attributes(aria_current="step")
    other = small_console.person("admin")
    page = other.follow(other.press(PAGE, "Approve step 1"))
    assert "waits for approval" not in " ".join(page.words.split())
    listed = " ".join(other.page(f"{HERE}/experiments").words.split())
    assert "ramping, step 1 of 5" in listed
    response = other.press(PAGE, "Stop the release", {"reason": "enough"})
    assert "ended here" in other.follow(response).words
    assert small_console.state_of("checkout-on") == "ROLLED_BACK"


def test_a_bad_release_keeps_its_text_and_names_the_field(small_console: Any) -> None:
    editor = small_console.person("editor")
    text = RELEASE.replace("1, 5, 25, 50", "1, 75")
    answer = editor.press(f"{HERE}/new-release", "Save the draft of this text", {"plan": text})
    assert answer.status_code == 400
    said = answer.get_data(as_text=True)
    assert "steps[1].share" in said
    assert "75" in said


FORM = {
    "flag": "checkout",
    "variant": "on",
    "owner": "checkout team",
    "steps": "1, 25 %, 100",
    "hold": "2h",
    "minimum_units": "50",
    "approval": "first",
    "guards": "error, refund",
    "max_wait": "3d",
}


def test_a_release_goes_from_its_form_to_a_draft(small_console: Any) -> None:
    editor = small_console.person("editor")
    page = editor.follow(editor.press(f"{HERE}/new-release", "Save the draft", FORM))
    assert "Start when ready." in page.words
    with small_console.database.read() as session:
        plan = get_experiment(session, "shop", "production", "checkout-on").plan
    assert (plan["flag"], plan["control"], plan["treatments"]) == ("checkout", "off", ["on"])
    assert (plan["customer"], plan["owner"]) == ("editor@example.org", "checkout team")
    steps = [(each["share"], each["hold"]) for each in plan["release"]["steps"]]
    assert steps == [(0.01, "2h"), (0.25, "2h")]
    assert [each.get("approval") for each in plan["release"]["steps"]] == [True, False]
    assert {each["minimum_units"] for each in plan["release"]["steps"]} == {50}
    assert plan["release"]["max_wait"] == "3d"
    assert [each["event"] for each in plan["metrics"]] == ["error", "refund"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": "1, half"}, "steps"),
        ({"steps": "50, 20"}, "steps"),
        ({"minimum_units": "many"}, "minimum_units"),
        ({"hold": "soon"}, "hold"),
        ({"guards": " , "}, "guards"),
        ({"flag": "nope"}, "flag"),
    ],
)
def test_a_form_that_is_wrong_comes_back_with_its_words_and_the_field(
    small_console: Any, read_page: Any, change: dict[str, str], field: str
) -> None:
    editor = small_console.person("editor")
    answer = editor.press(f"{HERE}/new-release", "Save the draft", FORM | change)
    assert answer.status_code in {400, 404, 409, 422}
    page = read_page(answer.get_data(as_text=True))
    (wrong,) = page.attributes(aria_invalid="true")
    assert wrong["name"] == field
    assert page.form("Save the draft").fields["owner"] == "checkout team"


def test_somebody_who_may_not_approve_is_told_on_the_page(small_console: Any) -> None:
    small_console.change("checkout", {"do": "turn_on"})
    editor = small_console.person("editor")
    editor.press(f"{HERE}/new-release", "Save the draft of this text", {"plan": RELEASE})
    page = editor.follow(editor.press(PAGE, "Start"))
    form = page.form("Stop the release")
    form.action = f"{PAGE}/release/approve"
    answer = editor.send(PAGE, form)
    assert answer.status_code == 409
    assert "needs no approval" in answer.get_data(as_text=True)


def test_the_text_to_begin_with_is_a_release(small_console: Any) -> None:
    assert parse_plan(f'control = "old"\n{TEMPLATE}').release is not None
    text = small_console.person("editor").page(f"{HERE}/new-release").form("Save the draft of")
    assert 'customer = "editor@example.org"' in text.fields["plan"]
