"""``POST …/import``: previewed, applied, guarded, refused; over HTTP."""

from __future__ import annotations

from typing import Any

P = "/projects/shop"
IMPORT = f"{P}/environments/production/import"
FLAG_SET: dict[str, Any] = {
    "schema": 1,
    "environment": "elsewhere",
    "version": 9,
    "flags": {
        "checkout": {
            "type": "boolean",
            "variants": {"on": {"value": True}, "off": {"value": False}},
            "enabled": True,
            "default": "on",
            "rules": [{"id": "eu", "when": {"segment": "eu"}, "serve": "off"}],
        }
    },
    "segments": {"eu": {"attr": "country", "op": "in", "values": ["DE"]}},
}


def test_a_preview_is_applied_as_it_was_seen(shop: Any, editor: Any) -> None:
    before = shop.written()
    seen = editor.post(f"{IMPORT}?preview=true", FLAG_SET)
    assert seen.status_code == 200
    assert shop.written() == before
    body = seen.get_json()
    assert (body["mode"], body["changed"], body["created"]) == ("preview", True, ["checkout"])
    assert body["before"] == {"checkout": None}
    assert body["sentences"]["checkout"].startswith("In production, ")
    done = editor.post(
        f"{IMPORT}?comment=moving%20in", FLAG_SET, headers={"If-Match": seen.headers["ETag"]}
    )
    assert done.headers["ETag"] == f'"{body["revision"] + 1}"'
    applied = done.get_json()
    assert (applied["mode"], applied["after"]) == ("apply", body["after"])
    assert applied["published"] == {"production": 2, "staging": 2}
    asked = {"flag": "checkout", "context": {"country": "DE"}}
    answer = editor.ok("POST", f"{P}/environments/production/evaluate", asked)
    assert (answer["value"], answer["rule"]) == (False, "eu")
    (entry,) = editor.ok("GET", f"{P}/flags/checkout/history?environment=production")["items"]
    assert (entry["action"], entry["comment"]) == ("create_flag", "moving in")


def test_an_environment_that_moved_is_a_conflict(shop: Any, editor: Any) -> None:
    tag = editor.post(f"{IMPORT}?preview=true", FLAG_SET).headers["ETag"]
    editor.ok("POST", f"{P}/flags", {"key": "other"})
    before = shop.written()
    refused = editor.post(IMPORT, FLAG_SET, headers={"If-Match": tag})
    assert refused.status_code == 412
    assert shop.written() == before
    one_flag = editor.post(IMPORT, FLAG_SET, headers={"If-Match": '"v1"'})
    assert (one_flag.status_code, one_flag.get_json()["field"]) == (400, "If-Match")


def test_what_is_refused_is_named_and_the_rest_is_done(shop: Any, editor: Any) -> None:
    editor.ok(
        "POST",
        f"{P}/flags",
        {"key": "checkout", "type": "string", "variants": {"a": {"value": "b"}}},
    )
    more = {**FLAG_SET["flags"], "fine": {**FLAG_SET["flags"]["checkout"]}}
    answer = editor.ok("POST", IMPORT, {**FLAG_SET, "flags": more})
    assert answer["created"] == ["fine"]
    assert answer["refused"] == [
        {"name": "checkout", "reason": "exists already, and its type is string"}
    ]


def test_a_repetition_with_the_same_key_is_done_once(shop: Any, editor: Any) -> None:
    headers = {"Idempotency-Key": "one"}
    first = editor.post(IMPORT, FLAG_SET, headers=headers)
    written = shop.written()
    second = editor.post(IMPORT, FLAG_SET, headers=headers)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert (second.get_json(), shop.written()) == (first.get_json(), written)


def test_readers_may_not_and_nonsense_is_refused(shop: Any, viewer: Any, editor: Any) -> None:
    before = shop.written()
    assert viewer.post(f"{IMPORT}?preview=true", FLAG_SET).status_code == 403
    for path, body, status, place in (
        (IMPORT, {}, 400, "flags"),
        (IMPORT, {"flags": {}, "colour": 1}, 400, "colour"),
        (f"{IMPORT}?preview=maybe", FLAG_SET, 400, "preview"),
        (f"{IMPORT}?force=true", FLAG_SET, 400, "force"),
        (f"{P}/environments/moon/import", FLAG_SET, 404, "environment"),
    ):
        answer = editor.post(path, body)
        assert (answer.status_code, answer.get_json()["field"]) == (status, place), path
    assert shop.written() == before


def test_a_whole_environment_may_be_larger_than_other_bodies(shop: Any, editor: Any) -> None:
    """A flag with 60,000 named units is a body of more than a megabyte."""
    flag = {
        **FLAG_SET["flags"]["checkout"],
        "targets": [{"variant": "on", "keys": [f"a-rather-long-unit-{n}" for n in range(60_000)]}],
    }
    document = {**FLAG_SET, "flags": {"checkout": flag}}
    assert editor.post(f"{IMPORT}?preview=true", document).status_code == 200
    assert editor.post(f"{P}/flags", document).status_code == 413
