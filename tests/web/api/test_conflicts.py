"""Who changes what somebody else changed first is told what both did."""

from __future__ import annotations

from typing import Any

import pytest

P = "/projects/shop"
ADD = {
    "do": "add_rule",
    "rule": {"id": "eu", "serve": {"split": {"weights": {"on": 1}, "coverage": 0.1}}},
}


@pytest.fixture
def change(shop: Any, editor: Any) -> Any:
    for key in ("checkout", "search"):
        editor.ok("POST", f"{P}/flags", {"key": key})

    def send(*instructions: dict[str, Any], flag: str = "checkout", etag: str = "*") -> Any:
        body = {"environment": "production", "flag": flag, "instructions": list(instructions)}
        return editor.post(f"{P}/changes", body, headers={"If-Match": etag})

    return send


def test_a_conflict_tells_base_theirs_and_yours(change: Any, shop: Any) -> None:
    base = change(ADD).headers["ETag"]
    change({"do": "set_coverage", "rule": "eu", "value": 0.5})
    change({"do": "turn_on"}, flag="search")
    before = shop.written()
    refused = change(
        {"do": "set_coverage", "rule": "eu", "value": 0.2}, {"do": "turn_on"}, etag=base
    )
    assert refused.status_code == 412
    found = refused.get_json()["conflict"]
    (both,) = found["both"]
    assert found["base"] == int(base.strip('"'))
    assert found["newest"] == found["base"] + 2
    assert both in found["theirs"]["after"]
    assert both in found["yours"]["after"]
    assert found["theirs"]["before"][both] == found["yours"]["before"][both]
    assert found["theirs"]["after"][both] != found["yours"]["after"][both]
    assert found["yours"]["after"]["checkout.enabled"] is True
    assert "checkout.enabled" not in found["theirs"]["after"]
    assert found["elsewhere"] == ["search"]
    assert shop.written() == before


def test_changes_of_different_fields_have_nothing_in_both(change: Any) -> None:
    base = change(ADD).headers["ETag"]
    change({"do": "turn_on"})
    refused = change({"do": "set_coverage", "rule": "eu", "value": 0.2}, etag=base).get_json()
    assert refused["conflict"]["both"] == []
    assert refused["conflict"]["theirs"]["after"] == {"checkout.enabled": True}


def test_the_version_of_a_flag_finds_the_revision_that_was_read(change: Any, editor: Any) -> None:
    one = f"{P}/flags/checkout/environments/production"
    change(ADD)
    read = editor.get(one).headers["ETag"]
    number = editor.ok("GET", f"{P}/environments/production")["revision"]
    change({"do": "turn_on"}, flag="search")
    change({"do": "set_coverage", "rule": "eu", "value": 0.5})
    change({"do": "turn_off"}, flag="search")
    refused = editor.post(f"{one}/on", {}, headers={"If-Match": read})
    assert refused.status_code == 412
    found = refused.get_json()["conflict"]
    # The newest revision with that version: another flag's change came after it was read.
    assert (found["base"], found["newest"]) == (number + 1, number + 3)
    assert found["yours"]["after"] == {"checkout.enabled": True}
    assert found["both"] == []


def test_what_could_not_be_done_to_the_base_says_why(change: Any) -> None:
    base = change({"do": "turn_on"}).headers["ETag"]
    change(ADD)
    refused = change({"do": "set_coverage", "rule": "eu", "value": 0.2}, etag=base).get_json()
    assert refused["conflict"]["yours"] is None
    assert "eu" in refused["conflict"]["reason"]


@pytest.mark.parametrize("etag", ['"0"', '"999999999999999"', '"v0"', '"v99"'])
def test_a_base_that_never_was_is_a_plain_conflict(change: Any, etag: str) -> None:
    change({"do": "turn_on"})
    refused = change({"do": "turn_off"}, etag=etag)
    assert refused.status_code == 412
    assert "conflict" not in refused.get_json()


def test_what_keeps_no_earlier_states_is_shown_beside_what_was_sent(shop: Any, admin: Any) -> None:
    admin.ok("POST", "/projects", {"key": "blog"})
    body = {"name": "chat", "url": "https://example.org/a"}
    made = admin.ok("POST", "/projects/blog/webhooks", body)
    path = f"/projects/blog/webhooks/{made['id']}"
    admin.ok("PATCH", path, {"name": "mail"})
    late = admin.call("PATCH", path, json={"name": "pager", "form": "full"},
                      headers={"If-Match": '"1"'})  # fmt: skip
    assert (late.status_code, late.get_json()["code"]) == (412, "version_conflict")
    found = late.get_json()["conflict"]
    assert found["theirs"] == {"before": {}, "after": {"name": "mail", "form": "full"}}
    assert found["yours"]["after"] == {"name": "pager", "form": "full"}
    assert (found["both"], found["base"]) == (["name"], None)
    # A whole document is told whole; nothing was written.
    layer = "/projects/blog/environments/staging/layers/checkout"
    admin.ok("PUT", layer, {"description": "one"})
    admin.ok("PUT", layer, {"description": "two"})
    late = admin.call("PUT", layer, json={"description": "three"}, headers={"If-Match": '"1"'})
    found = late.get_json()["conflict"]
    assert found["theirs"]["after"]["description"] == "two"
    assert found["theirs"]["after"]["key"] == "checkout"
    assert found["both"] == ["description"]
    assert admin.ok("GET", layer)["description"] == "two"
    # To take it away is guarded in the same way.
    gone = admin.call("DELETE", layer, headers={"If-Match": '"1"'})
    assert gone.status_code == 412
