"""The pages of policies: what each does to 1,000 changes, before any plan may take it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from experiments.contract.policy import RELEASE_1D, LookPhase, Policy, parse_policy
from experiments.contract.shipping import ShipStep
from experiments.policies.models import PolicyRow, PolicyTrial
from tests.web.console.conftest import Page
from web.console.policy_form import document_of, form_of

HERE = "/projects/shop/environments/production"
POLICIES = f"{HERE}/policies"
LAX = {
    "ship_if_worthless": 0.2,
    "false_harm_stop": 0.01,
    "proof_at_mde": 0.9,
    "ship_if_breached": 0.02,
    "stop_if_breached": 0.7,
    "end_if_worthless": 0.5,
    "end_at_mde": 0.8,
}


def found(console: Any, **numbers: float) -> None:
    """Let every policy have been tried, with these numbers."""
    assert console.try_policies() == 1
    shares = {key: {"value": value, "se": 0.002} for key, value in {**LAX, **numbers}.items()}
    with console.database.write() as session:
        for trial in session.exec(select(PolicyTrial)):
            trial.document = {**trial.document, **shares, "runs": 4000}


def test_a_policy_is_written_checked_and_published_by_hand(small_console: Any) -> None:
    editor = small_console.person("editor")
    assert "None of your own yet" in editor.page(POLICIES).words
    form = editor.page(f"{HERE}/new-policy").form("Save the draft of this text")
    assert editor.send(f"{HERE}/new-policy", form).location == f"{POLICIES}/ours-14d"
    page = editor.page(f"{POLICIES}/ours-14d")
    assert "It is being checked" in page.words
    assert "Publish" not in page.words
    assert any(given.get("hx-trigger") == "every 1s" for _tag, given in page.tags)
    found(small_console)
    page = editor.page(f"{POLICIES}/ours-14d")
    assert "Of 1,000 changes that do nothing, 200 ship" in page.words
    assert "Lax: of 1,000 changes that do nothing, 200 would ship; with proof-28d 19." in page.words
    assert "200 ± 4" in page.words
    assert "19 ± 5" in page.words
    assert "7 days (0.50 of the horizon)" in page.words
    assert "Tried 4,000 times in each of three worlds" in page.words
    assert not any(given.get("hx-trigger") for _tag, given in page.tags)
    editor.send(f"{POLICIES}/ours-14d/publish", page.form("Publish: let plans take it"))
    page = editor.page(f"{POLICIES}/ours-14d")
    assert 'A plan takes it by policy = "ours-14d"' in page.words
    listed = editor.page(POLICIES)
    assert "Lax" in listed.words
    assert "version 2" in listed.words
    assert '"ours-14d"' in editor.page(f"{HERE}/new-experiment").words


def test_what_somebody_else_wrote_meanwhile_is_not_published_or_written_over(
    small_console: Any,
) -> None:
    small_console.policy("ours")
    found(small_console)
    editor = small_console.person("editor")
    publish = editor.page(f"{POLICIES}/ours").form("Publish: let plans take it")
    edit = editor.page(f"{POLICIES}/ours/edit").form("Save the draft of this text")
    assert 'name = "ours"' in edit.fields["text"]
    small_console.policy("ours", alpha_ship=0.4)
    for path, form in ((f"{POLICIES}/ours/publish", publish), (f"{POLICIES}/ours/edit", edit)):
        refused = editor.send(path, form, {})
        assert refused.status_code == 412
        assert "somebody changed policy" in refused.get_data(as_text=True)
    with small_console.database.read() as session:
        row = session.exec(select(PolicyRow)).one()
        assert (row.version, row.published) == (2, False)


def test_the_next_version_is_written_from_the_rules_there_are(small_console: Any) -> None:
    small_console.policy("ours", description='Say "two".', ramp=[{"coverage": 0.5, "hold": "1d"}])
    editor = small_console.person("editor")
    form = editor.page(f"{POLICIES}/ours/edit").form("Save the draft of this text")
    editor.send(f"{POLICIES}/ours/edit", form)
    with small_console.database.read() as session:
        assert session.exec(select(PolicyRow)).one().version == 1, "nothing was changed"
    text = form.fields["text"].replace("alpha_ship = 0.025", "alpha_ship = 0.01")
    editor.send(f"{POLICIES}/ours/edit", form, {"text": text})
    page = editor.page(f"{POLICIES}/ours")
    assert "version 2" in page.words
    assert 'ramp = [{coverage = 0.5, hold = "1d"}]' in page.words


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("alpha_ship = ", 400, "this is not TOML"),
        ("alpha_ship = 0.01", 400, "the policy has no name"),
        ('name = "ours"', 400, "there is a policy &#39;ours&#39; already"),
        ('name = "proof-28d"', 409, "built in"),
        ('name = "new"\nalpha_ship = 2', 400, "alpha_ship"),
        ('name = "new"\nminimum = "99d"', 400, "minimum is later than the deadline"),
    ],
)
def test_what_is_wrong_is_said_with_the_text_kept(
    small_console: Any, text: str, status: int, said: str
) -> None:
    small_console.policy("ours")
    editor = small_console.person("editor")
    form = editor.page(f"{HERE}/new-policy").form("Save the draft of this text")
    refused = editor.send(f"{HERE}/new-policy", form, {"text": text})
    html = refused.get_data(as_text=True)
    assert (refused.status_code, said in html) == (status, True)
    assert text.split("\n")[-1].replace('"', "&#34;") in html


ODD = {
    "looks": [{"every": "90m", "until": "3d"}, {"every": "12h", "until": "7d"}, {"every": "1d"}],
    "ramp": [],
    "ship_ramp": [{"share": 0.07, "hold": "1d"}, {"share": 0.333, "hold": "36h"}],
    "alpha_ship": 0.07,
    "alpha_harm": 0.0123456789,
    "epsilon": 0.29,
    "srm_threshold": 512.5,
    "explain_within": "3d",
    "verify": "21d",
}


@pytest.mark.parametrize("document", [{}, RELEASE_1D.to_document(), ODD])
def test_a_form_gives_back_the_rules_that_it_was_filled_in_with(document: dict[str, Any]) -> None:
    policy = parse_policy({**document, "name": "ours"})
    assert parse_policy({**document_of(form_of(document)), "name": "ours"}) == policy


def test_a_policy_is_written_in_a_form(small_console: Any) -> None:
    editor = small_console.person("editor")
    form = editor.page(f"{HERE}/new-policy").form("Save the draft and check it")
    assert (form.fields["alpha_ship"], form.fields["horizon"]) == ("2.5", "28d")
    given = {
        "name": "ours-14d",
        "description": "Two weeks.",
        "horizon": "14d",
        "alpha_ship": "1 %",
        "beta_futility": "",
        "looks": "every 1h until 1d\r\n\r\n12h",
        "ramp": "",
        "ship_ramp": "50 % for 2d",
    }
    assert editor.send(f"{HERE}/new-policy", form, given).location == f"{POLICIES}/ours-14d"
    with small_console.database.read() as session:
        row = session.exec(select(PolicyRow)).one()
    wanted = Policy(
        name="ours-14d",
        horizon_seconds=14 * 86400.0,
        alpha_ship=0.01,
        looks=(LookPhase(3600.0, 86400.0), LookPhase(43200.0)),
        ramp=(),
        ship_ramp=(ShipStep(0.5, 2 * 86400.0),),
    )
    assert (row.description, row.document) == ("Two weeks.", wanted.to_document())
    again = editor.page(f"{POLICIES}/ours-14d/edit").form("Save the draft and check it")
    editor.send(f"{POLICIES}/ours-14d/edit", again)
    editor.send(f"{POLICIES}/ours-14d/edit", again, {"verify": "7d"})
    with small_console.database.read() as session:
        row = session.exec(select(PolicyRow)).one()
    assert (row.version, row.document["verify"], row.description) == (2, "7d", "Two weeks.")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("alpha_ship", "a little"),
        ("alpha_harm", "50"),
        ("horizon", "soon"),
        ("looks", "every day"),
        ("looks", "every 1h until 2d"),
        ("ramp", "10 % for 1d\n5 % for 1d"),
        ("ramp", "10 %"),
        ("ship_ramp", "97 % for 1d"),
        ("srm_threshold", "many"),
        ("name", "Ours!"),
    ],
)
def test_a_fault_stands_at_its_field_and_all_that_was_typed_stays(
    small_console: Any, field: str, text: str
) -> None:
    editor = small_console.person("editor")
    form = editor.page(f"{HERE}/new-policy").form("Save the draft and check it")
    given = {"name": "ours", "description": "Kept.", field: text}
    refused = editor.send(f"{HERE}/new-policy", form, given)
    page = Page(refused.get_data(as_text=True))
    (wrong,) = page.attributes(aria_invalid="true")
    assert (refused.status_code, wrong["id"]) == (400, field)
    kept = page.form("Save the draft and check it").fields
    assert (kept["description"], kept[field].split("\n")) == ("Kept.", text.split("\n"))


def test_a_form_does_not_write_over_what_somebody_else_wrote(small_console: Any) -> None:
    small_console.policy("ours")
    editor = small_console.person("editor")
    form = editor.page(f"{POLICIES}/ours/edit").form("Save the draft and check it")
    small_console.policy("ours", alpha_ship=0.4)
    refused = editor.send(f"{POLICIES}/ours/edit", form, {"description": "Mine."})
    page = Page(refused.get_data(as_text=True))
    assert (refused.status_code, "somebody changed policy" in page.words) == (412, True)
    assert page.form("Save the draft and check it").fields["description"] == "Mine."
    assert "alpha_ship = 0.4" in page.form("Save the draft of this text").fields["text"]


def test_an_archived_policy_is_brought_back_by_a_click(small_console: Any) -> None:
    small_console.policy("ours")
    editor = small_console.person("editor")
    editor.send(f"{POLICIES}/ours/archive", editor.page(f"{POLICIES}/ours").form("Archive"))
    assert "ours" not in editor.page(POLICIES).words.split()
    assert f"{POLICIES}/ours" in editor.page(f"{POLICIES}?archived=true").links
    back = editor.page(f"{POLICIES}/ours").form("Bring it back")
    editor.send(f"{POLICIES}/ours/unarchive", back)
    assert f"{POLICIES}/ours" in editor.page(POLICIES).links


def test_the_houses_policies_have_a_page_and_nothing_to_change(small_console: Any) -> None:
    editor = small_console.person("editor")
    page = editor.page(f"{POLICIES}/proof-28d")
    assert "Of 1,000 changes that do nothing, 19 ship" in page.words
    assert "Write the next version" not in page.words
    assert "It is for releases" in editor.page(f"{POLICIES}/release-1d").words


def test_a_draft_is_told_that_its_policy_moved(small_console: Any, plan: Any) -> None:
    small_console.policy("ours")
    found(small_console)
    editor = small_console.person("editor")

    def publish() -> None:
        form = editor.page(f"{POLICIES}/ours").form("Publish: let plans take it")
        editor.send(f"{POLICIES}/ours/publish", form)

    publish()
    small_console.experiment(plan(policy="ours"))
    page = editor.page(f"{HERE}/experiments/one-page")
    assert "policy ours, version 2" in page.words
    assert f"{POLICIES}/ours" in page.links
    assert "this draft has version" not in page.words
    small_console.policy("ours", alpha_ship=0.01)
    found(small_console)
    publish()
    words = editor.page(f"{HERE}/experiments/one-page").words
    assert "Policy ours: this draft has version 2; the newest is 4." in words
