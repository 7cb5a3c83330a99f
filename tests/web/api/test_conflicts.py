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


HERE = f"{P}/environments/staging"
BEA = "bea@example.org"
LAYER = f"{HERE}/layers/till"
# What somebody reads and what another does meanwhile; what the first would do then to the same
# address, if not another; and which fields both would write.
GUARDED: list[tuple[str, tuple[str, Any], tuple[str, Any], list[str]]] = [
    (HERE, ("PATCH", {"approvals_needed": 2}),
     ("PATCH", {"approvals_needed": 1, "production": False}), ["approvals_needed"]),
    (f"{HERE}/holdout", ("PUT", {"share": 0.05}), ("PUT", {"share": 0.08}), ["share"]),
    (f"{HERE}/holdout", ("PUT", {"share": 0.09}), ("DELETE", None), []),
    (LAYER, ("PUT", {"description": "two"}), ("PUT", {"description": "three"}), ["description"]),
    (LAYER, ("PUT", {"description": "four"}), ("DELETE", None), []),
    (f"{HERE}/context-sample", ("PUT", {"on": False}), ("PUT", {"on": True}), ["on"]),
    ("/members/1", ("PATCH", {"role": "editor"}), ("PATCH", {"role": "viewer"}), ["role"]),
    (f"{P}/members/{BEA}", ("PUT", {"role": "approver"}), ("DELETE", None), []),
    (f"{P}/webhooks/1", ("PATCH", {"name": "mail"}), ("DELETE", None), []),
]  # fmt: skip


def test_nobody_writes_over_what_moved_since_they_read_it(shop: Any, admin: Any) -> None:
    person = {"email": BEA, "password": "a long enough password", "role": "viewer"}
    assert admin.ok("POST", "/members", person)["id"] == 1
    admin.ok("PUT", f"{P}/members/{BEA}", {"role": "editor"})
    hook = {"name": "chat", "url": "https://example.org/a"}
    assert admin.ok("POST", f"{P}/webhooks", hook)["id"] == 1
    admin.ok("PUT", LAYER, {"description": "one"})
    for path, (how, meanwhile), (method, body), both in GUARDED:
        read = admin.get(path).headers["ETag"]
        assert admin.get(path, headers={"If-None-Match": read}).status_code == 304, path
        admin.ok(how, path, meanwhile)
        moved = admin.get(path, headers={"If-None-Match": read})
        assert moved.status_code == 200, path
        before, shown = shop.written(), moved.get_json()
        options = {} if body is None else {"json": body}
        refused = admin.call(method, path, headers={"If-Match": read}, **options)
        assert refused.status_code == 412, (method, path)
        assert refused.get_json()["code"] == "version_conflict"
        assert (shop.written(), admin.ok("GET", path)) == (before, shown)
        found = refused.get_json()["conflict"]
        # Of what would be taken away all is told, but for what moves by itself.
        assert found["theirs"]["after"].items() <= shown.items()
        assert set(both) <= found["theirs"]["after"].keys() != set()
        assert found["yours"] == {"before": {}, "after": body or {}}
        assert (found["both"], found["base"]) == (both, None)
        held = {"headers": {"If-Match": moved.headers["ETag"]}, **options}
        assert admin.call(method, path, **held).status_code < 300, (method, path)


def test_a_role_in_one_place_is_guarded_by_what_was_read_of_the_person(
    shop: Any, admin: Any
) -> None:
    person = {"email": BEA, "password": "a long enough password", "role": "viewer"}
    admin.ok("POST", "/members", person)
    path, here = f"{P}/members/{BEA}", f"{HERE}/members/{BEA}"
    read = admin.get(path).headers["ETag"]
    now = admin.call("PUT", here, json={"role": "editor"}).headers["ETag"]
    assert admin.call("DELETE", here, headers={"If-Match": read}).status_code == 412
    assert admin.call("DELETE", here, headers={"If-Match": now}).status_code == 204


def test_a_new_revision_is_no_reason_to_refuse_settings(shop: Any, admin: Any) -> None:
    read = admin.get(HERE).headers["ETag"]
    admin.ok("POST", f"{P}/flags", {"key": "checkout"})
    admin.ok("POST", f"{P}/flags/checkout/environments/staging/on", {})
    assert admin.get(HERE, headers={"If-None-Match": read}).status_code == 200
    done = admin.call("PATCH", HERE, json={"after_hours": 3}, headers={"If-Match": read})
    assert done.status_code == 200
    # The same ETag guards the revision, where flags are changed.
    late = {"If-Match": done.headers["ETag"]}
    off = f"{P}/flags/checkout/environments/staging/off"
    assert admin.call("POST", off, json={}, headers={"If-Match": read}).status_code == 412
    assert admin.call("POST", off, json={}, headers=late).status_code == 200
    # A revision alone says nothing of the settings.
    refused = admin.call("PATCH", HERE, json={"after_hours": 4}, headers={"If-Match": '"2"'})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "If-Match")


def test_what_was_used_of_a_budget_is_seen_and_refuses_no_edit(shop: Any, admin: Any) -> None:
    key = admin.ok("POST", f"{P}/tokens", {
        "kind": "usr", "name": "ci", "role": "editor", "budget": {"share_per_day": 1},
    })  # fmt: skip
    path = f"{P}/tokens/{key['id']}"
    read = admin.get(path).headers["ETag"]
    admin.ok("POST", f"{P}/flags", {"key": "checkout"})
    ci = type(admin)(admin.client, key["token"])
    ci.ok("POST", f"{P}/flags/checkout/environments/staging/on", {})
    now = admin.get(path, headers={"If-None-Match": read})
    assert now.status_code == 200
    assert now.get_json()["allowances"]["staging"]["left_today"] == 0
    renamed = admin.call("PATCH", path, json={"name": "build"}, headers={"If-Match": read})
    assert renamed.status_code == 200


def test_the_etag_of_an_answer_is_good_for_the_next_write(shop: Any, admin: Any) -> None:
    """What is answered to who writes is what a GET would say of it, to the microsecond."""
    made = admin.post(f"{P}/environments", {"key": "dev"})
    person = {"email": BEA, "password": "a long enough password", "role": "viewer"}
    admin.ok("POST", "/members", person)
    for path, etag, bodies in (
        (f"{P}/environments/dev", made.headers["ETag"], [{"after_hours": 2}, {"after_hours": 3}]),
        ("/members/1", admin.get("/members/1").headers["ETag"], [{"role": "editor"}] * 2),
    ):
        for body in bodies:
            assert admin.get(path).headers["ETag"] == etag, path
            done = admin.call("PATCH", path, json=body, headers={"If-Match": etag})
            assert done.status_code == 200, path
            etag = done.headers["ETag"]
