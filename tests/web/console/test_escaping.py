"""What people typed is shown as they typed it, on every page, and never becomes markup."""

from __future__ import annotations

import re
from typing import Any

import pytest

from experiments.people import services as experiment_services
from flags.actor import Actor
from web.auth import service as auth

HERE = "/projects/shop/environments/production"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}</textarea></title>"
PAGES = [
    f"{HERE}/flags",
    f"{HERE}/flags?filter=%3Cscript%3Ealert(1)%3C/script%3E",
    f"{HERE}/flags/checkout",
    f"{HERE}/flags/checkout?done=%3Cscript%3E",
    f"{HERE}/new-flag?key=%3Cscript%3Ealert(1)%3C/script%3E",
    f"{HERE}/experiments",
    f"{HERE}/experiments/one-page",
    f"{HERE}/metrics",
    f"{HERE}/metrics/evil",
    f"{HERE}/policies",
    f"{HERE}/policies/evil",
    f"{HERE}/policies/evil/edit",
    f"{HERE}/keys",
    f"{HERE}/audit",
    f"{HERE}/revisions/5",
    f"{HERE}/flags/%3Cscript%3Ealert(1)%3C/script%3E",
    f"{HERE}/experiments/%3Cscript%3Ealert(1)",
    "/projects/%3Cscript%3Ealert(1)/environments/x/flags",
    "/switch?to=%3Cscript%3Ealert(1)&tab=%3Cscript%3E",
    "/%3Cscript%3Ealert(1)",
]


@pytest.fixture
def shop(small_console: Any, plan: Any) -> Any:
    """A shop in which every text is an attack."""
    small_console.project("evil", EVIL)
    evil_flag = {
        "key": EVIL.replace("?", "").replace("#", ""),
        "type": "string",
        "description": EVIL,
        "owner": EVIL,
        "variants": {EVIL: {"value": EVIL}, "b": {"value": EVIL}},
    }
    small_console.flag(**evil_flag)
    small_console.change(
        evil_flag["key"],
        {"do": "turn_on"},
        {"do": "add_targets", "variant": EVIL, "keys": [EVIL], "by": EVIL},
        {"do": "add_segment", "segment": "evil", "condition": True, "name": EVIL},
        {
            "do": "add_rule",
            "rule": {
                "id": EVIL,
                "when": {"attr": EVIL, "op": "in", "values": [EVIL]},
                "serve": {"split": {"weights": {EVIL: 1, "b": 1}, "coverage": 0.5}},
            },
        },
        comment=EVIL,
    )
    small_console.change("checkout", {"do": "turn_on"}, {"do": "kill"}, comment=EVIL)
    small_console.change("checkout", {"do": "unkill"})
    small_console.metric("evil", event=[EVIL, "b"], owner=EVIL, description=EVIL)
    small_console.policy("evil", description=EVIL)
    small_console.event(EVIL, "neutral", EVIL)
    document = plan(hypothesis=EVIL, customer=EVIL, owner=f"{EVIL}, the owner")
    document["metrics"][0] |= {"key": EVIL[:60], "event": EVIL[:60]}
    small_console.experiment(document, "seal", "start")
    place = ("shop", "production", "one-page")
    with small_console.database.write() as session:
        experiment_services.stop(
            session,
            *place,
            reason=EVIL,
            actor=Actor("user", EVIL),
            now=small_console.clock(),
        )
        auth.create_token(
            session,
            auth.TokenKind.USER,
            name=EVIL[:100],
            role=auth.Role.VIEWER,
            project_id=1,
            created_by=f"user:{EVIL}",
            now=small_console.clock(),
        )
    small_console.change("checkout", {"do": "kill"}, comment=EVIL)
    return small_console


def assert_harmless(html: str) -> None:
    own = re.sub(r'<script src="/static/[^"]+"( defer)?></script>', "", html)
    assert "<script" not in own.lower()
    assert "<img" not in own.lower()
    # No quotation mark of an attack ends an attribute.
    for attributes in re.findall(r"<[a-z]+((?:\s+[^<>]*)?)>", own):
        assert "onerror" not in re.sub(r'"[^"]*"', "", attributes)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_runs_what_somebody_typed(shop: Any, path: str) -> None:
    admin = shop.person("admin")
    response = admin.get(path)
    html = response.get_data(as_text=True)
    assert response.status_code in {200, 404}
    assert response.mimetype == "text/html"
    assert_harmless(html)


def test_the_evil_flag_is_shown_with_all_its_words(shop: Any) -> None:
    admin = shop.person("admin")
    page = admin.page(f"{HERE}/flags")
    (link,) = [x for x in page.links if "alert" in x]
    response = admin.get(link)
    assert_harmless(response.get_data(as_text=True))
    assert EVIL in admin.page(link).words
    assert EVIL in admin.page(f"{HERE}/experiments/one-page").words
    assert EVIL in admin.page(f"{HERE}/audit").words
    assert EVIL in admin.page(f"{HERE}/flags/checkout").words
    assert EVIL in page.words


def test_what_comes_back_with_an_error_is_harmless_too(shop: Any) -> None:
    admin = shop.person("admin")
    answers = [
        admin.press(
            f"{HERE}/new-flag",
            "Create flag",
            {"key": EVIL + "?", "description": EVIL, "owner": EVIL, "variants": EVIL, "type": EVIL},
        ),
        admin.press(
            f"{HERE}/flags/checkout",
            "Add rule",
            dict.fromkeys(("share", "attr", "op", "values", "comment", "variant"), EVIL),
        ),
        admin.press(
            f"{HERE}/flags/checkout",
            "Add rule",
            {"share": "10", "comment": EVIL, "attr": EVIL, "values": EVIL, "preview": "yes"},
        ),
        admin.press(f"{HERE}/flags/checkout", "Pause", {"do": EVIL}),
        admin.press(f"{HERE}/new-experiment", "Save the draft of this text", {"plan": EVIL}),
        admin.press(
            f"{HERE}/new-experiment", "Save the draft of this text", {"plan": f'key = "{EVIL[:8]}"'}
        ),
        admin.press(f"{HERE}/keys", "Make key", {"name": EVIL, "kind": EVIL, "role": EVIL}),
        shop.visitor().press(
            "/login?next=" + "/%22%3E%3Cscript%3E", "Sign in", {"email": EVIL, "password": EVIL}
        ),
    ]
    for answer in answers:
        assert answer.status_code in {200, 400, 401}
        assert_harmless(answer.get_data(as_text=True))
    assert "Preview" in answers[2].get_data(as_text=True)
