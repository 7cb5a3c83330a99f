"""Bad input is a named refusal, never an error of ours, and never half a write."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

P = "/projects/shop"
PROD = f"{P}/environments/production"
FLAG = f"{P}/flags/checkout/environments/production"

MEMBER = {"email": "bob@example.org", "password": "a long enough password", "role": "viewer"}
PLAN: dict[str, Any] = {
    "key": "exp",
    "flag": "checkout",
    "environment": "production",
    "control": "off",
    "treatments": ["on"],
    "weights": {"off": 1, "on": 1},
    "customer": "ada@example.org",
    "owner": "checkout team",
    "hypothesis": "One page makes more visitors buy.",
    "prove_by": "28d",
    "metrics": [
        {
            "key": "purchases",
            "role": "success",
            "kind": "conversion",
            "event": "purchase",
            "window": "1d",
            "mde": 0.05,
        }
    ],
}
INSTRUCTIONS: list[dict[str, Any]] = [
    {"do": "turn_on", "flag": "checkout"},
    {"do": "set_default", "flag": "checkout", "variant": "on"},
    {"do": "add_rule", "flag": "checkout", "rule": {
        "id": "r1", "when": {"all": [{"attr": ["device", "os"], "op": "in", "values": ["ios"]}]},
        "serve": {"split": {"weights": {"on": 50, "off": 50}, "coverage": 0.5}},
        "start": "2026-12-01T09:00:00Z", "track": True}},
    {"do": "add_targets", "flag": "checkout", "variant": "on", "keys": ["u1"]},
    {"do": "add_variant", "flag": "checkout", "variant": "third", "value": True},
    {"do": "set_prerequisites", "flag": "checkout",
     "prerequisites": [{"flag": "other", "variants": ["on"]}]},
    {"do": "add_segment", "segment": "eu",
     "condition": {"attr": "country", "op": "in", "values": ["DE"]}},
    {"do": "revert_to", "revision": 1},
]  # fmt: skip


def change(*instructions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"environment": "production", "instructions": list(instructions), **more}


def rule(**parts: Any) -> dict[str, Any]:
    whole = {"id": "r", "serve": "on", **parts}
    return change({"do": "add_rule", "flag": "checkout", "rule": whole})


@pytest.fixture
def admin(shop: Any) -> Any:
    caller = shop.caller("admin")
    for key in ("checkout", "other"):
        caller.ok("POST", f"{P}/flags", {"key": key})
    caller.ok("POST", f"{P}/experiments", {**PLAN, "key": "drafted"})
    return caller


def check_refusal(response: Any, status: int, where: Any) -> dict[str, Any]:
    text = response.get_data(as_text=True)
    assert response.status_code == status, (where, text)
    assert response.content_type == "application/problem+json", where
    problem: dict[str, Any] = response.get_json()
    assert problem["detail"], where
    assert "Traceback" not in text
    assert "pydantic" not in text
    return problem


def writing_routes(app: Any) -> Iterator[tuple[str, str]]:
    values = {
        "project_key": "shop",
        "environment_key": "production",
        "flag_key": "checkout",
        "experiment_key": "drafted",
        "release_key": "drafted",
        "metric_key": "purchase",
        "policy_name": "ours-14d",
        "request_id": 1,
        "change_id": 1,
        "entry_id": 1,
        "webhook_id": 1,
        "delivery_id": 1,
        "hook_id": 1,
        "token_id": 1,
        "member_id": 1,
    }
    for each in app.url_map.iter_rules():
        if not each.rule.startswith("/api/v1"):
            continue
        for method in (each.methods or set()) & {"POST", "PATCH"}:
            path = re.sub(r"<any\((\w+).*?>", r"\1", each.rule.removeprefix("/api/v1"))
            yield method, re.sub(r"<(?:[^:<>]*:)?(\w+)>", lambda m: str(values[m[1]]), path)


RAW = [
    (b'{"a": 1', 400, None),
    (b"\x00", 400, None),
    (b"not json", 400, None),
    (b"[]", 400, None),
    (b'"text"', 400, None),
    (b"null", 400, None),
    (b'{"a": NaN}', 400, None),
    (b'{"comment": "a", "comment": "b"}', 400, "comment"),
    (b'{"a":' * 1000 + b"1" + b"}" * 1000, 400, None),
    (b'{"a": "' + b"x" * 10_000_000 + b'"}', 413, None),
    (b'{"no_such_field": 1}', 400, None),
    (b'{"a": "\xff"}', 400, None),
    (b'{"a": "\\u0000"}', 400, "a"),
    (b'{"a": "\\ud800"}', 400, "a"),
    (b'{"a": 9007199254740993}', 400, "a"),
]


def test_no_route_takes_a_body_that_is_not_one_plain_object(shop: Any, admin: Any) -> None:
    routes = set(writing_routes(shop.app))
    # Revocations have nothing to say and read no body.
    routes = {route for route in routes if not route[1].endswith("/revoke")}
    assert len(routes) >= 13
    before = shop.written()
    for method, path in sorted(routes):
        for raw, status, field in RAW:
            if status == 413 and path.endswith("/import"):
                raw = raw * 2  # a whole environment may be larger than anything else
            where = (method, path, raw[:40])
            response = admin.call(method, path, data=raw, content_type="application/json")
            problem = check_refusal(response, status, where)
            if field is not None:
                assert problem["field"] == field, where
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/xml"):
            response = admin.call(method, path, data=b'{"a": 1}', content_type=kind)
            problem = check_refusal(response, 415, (method, path, kind))
            assert problem["field"] == "Content-Type"
    assert shop.written() == before


TABLE: list[tuple[str, str, Any, int, str | None]] = [
    # projects and environments
    ("POST", "/projects", {}, 400, "key"),
    ("POST", "/projects", {"key": 1}, 400, "key"),
    ("POST", "/projects", {"key": "No Spaces"}, 400, "key"),
    ("POST", "/projects", {"key": "x" * 65}, 400, "key"),
    ("POST", "/projects", {"key": "a", "name": "n" * 1025}, 400, "name"),
    ("POST", "/projects", {"key": "a", "colour": 1}, 400, "colour"),
    ("POST", "/projects", {"key": "shop"}, 409, "key"),
    ("GET", "/projects/nowhere", None, 404, "project"),
    ("POST", f"{P}/environments", {"key": "production"}, 409, "key"),
    ("POST", f"{P}/environments", {"key": "a", "production": "yes"}, 400, "production"),
    ("GET", f"{P}/environments/nowhere", None, 404, "environment"),
    # flags
    ("POST", f"{P}/flags", {}, 400, "key"),
    ("POST", f"{P}/flags", {"key": "checkout"}, 409, "key"),
    ("POST", f"{P}/flags", {"key": "/a"}, 400, "key"),
    ("POST", f"{P}/flags", {"key": "a?b"}, 400, "key"),
    ("POST", f"{P}/flags", {"key": "a\nb"}, 400, "key"),
    ("POST", f"{P}/flags", {"key": "k" * 257}, 400, "key"),
    ("POST", f"{P}/flags", {"key": "a", "type": "colour"}, 400, "type"),
    ("POST", f"{P}/flags", {"key": "a", "type": "string"}, 400, "variants"),
    ("POST", f"{P}/flags", {"key": "a", "comment": 7}, 400, "comment"),
    ("POST", f"{P}/flags", {"key": "a", "variants": {"on": {"value": 7}}}, 400,
     "variants.on.value"),
    ("POST", f"{P}/flags", {"key": "a", "default": "nix"}, 400, "default"),
    ("POST", f"{P}/flags", {"key": "a", "toggle": True}, 400, "toggle"),
    ("GET", f"{P}/flags/nowhere", None, 404, "flag"),
    ("GET", f"{P}/flags/nowhere/lifecycle", None, 404, "flag"),
    ("POST", f"{P}/files/import", {"flags": []}, 400, "flags"),
    ("POST", f"{P}/files/import", {"flags": {"a": {"key": "a"}}}, 400, "flags.a.type"),
    ("POST", f"{P}/files/import", {"base": {"production": 0}}, 412, "base.production"),
    ("POST", f"{P}/files/import", {"environments": ["moon"]}, 404, "environments"),
    ("GET", f"{P}/lifecycle?verdict=fine", None, 400, "verdict"),
    ("POST", f"{P}/flags", {"key": "a", "expires": "soon"}, 400, "expires"),
    ("POST", f"{P}/flags", {"key": "a", "kind": "eternal"}, 400, "kind"),
    ("PATCH", PROD, {"after": "moon"}, 404, "after"),
    ("PATCH", PROD, {"after": "production"}, 400, "after"),
    ("PATCH", PROD, {"after_hours": -1}, 400, "after_hours"),
    ("POST", f"{P}/changes", change({"do": "turn_on", "flag": "checkout"}, override="x",
     mode="request"), 400, "override"),
    ("GET", f"{PROD}/diff", None, 400, "to"),
    ("GET", f"{PROD}/diff?to=production", None, 400, "to"),
    ("GET", f"{PROD}/diff?to=moon", None, 404, "environment"),
    ("GET", f"{PROD}/diff?to=staging&flag=nowhere", None, 404, "flag"),
    ("POST", f"{FLAG}/promote", {}, 400, "to"),
    ("POST", f"{FLAG}/promote", {"to": "moon"}, 404, "environment"),
    ("POST", f"{FLAG}/promote", {"to": "staging", "mode": "later"}, 400, "mode"),
    ("POST", f"{FLAG}/promote", {"to": "production"}, 400, "instructions[0].source"),
    ("POST", f"{PROD}/promote", {"to": "staging", "flags": ["nix"]}, 404, "instructions[0].flag"),
    ("POST", f"{PROD}/promote", {"to": "staging", "flags": ["a"] * 201}, 400, "flags"),
    ("GET", f"{P}/flags/nowhere/history", None, 404, "flag"),
    ("GET", f"{P}/flags/checkout/environments/nowhere", None, 404, "environment"),
    ("GET", f"{P}/flags?limit=0", None, 400, "limit"),
    ("GET", f"{P}/flags?limit=501", None, 400, "limit"),
    ("GET", f"{P}/flags?limit=many", None, 400, "limit"),
    ("GET", f"{P}/flags?limit=1&limit=2", None, 400, "limit"),
    ("GET", f"{P}/flags?cursor=%ff", None, 400, "cursor"),
    ("GET", f"{P}/flags?cursor=A", None, 400, "cursor"),
    ("GET", f"{P}/flags?colour=red", None, 400, "colour"),
    ("GET", f"{P}/flags?environment=nowhere", None, 404, "environment"),
    ("GET", f"{P}/audit?cursor=YWJj", None, 400, "cursor"),
    ("GET", f"{P}/audit?environment=nowhere", None, 404, "environment"),
    ("GET", f"{PROD}/revisions?cursor=LTE", None, 400, "cursor"),
    ("GET", f"{PROD}/revisions/999", None, 404, "revision"),
    ("GET", f"{PROD}/revisions/99999999999999999999", None, 404, None),
    ("GET", f"{PROD}/revisions/1?diff=999", None, 404, "revision"),
    ("GET", f"{PROD}/revisions/1?diff=x", None, 400, "diff"),
    ("GET", f"{PROD}/segments/nowhere", None, 404, "segment"),
    # verbs and changes
    ("POST", f"{FLAG}/explode", {}, 405, None),
    ("POST", f"{FLAG}/on", {"comment": 7}, 400, "comment"),
    ("POST", f"{P}/flags/nowhere/environments/production/on", {}, 404, "instructions[0].flag"),
    ("POST", f"{P}/flags/checkout/environments/nowhere/on", {}, 404, "environment"),
    ("POST", f"{P}/changes", {"instructions": [INSTRUCTIONS[0]]}, 400, "environment"),
    ("POST", f"{P}/changes", {"environment": "production"}, 400, "instructions"),
    ("POST", f"{P}/changes", change(), 400, "instructions"),
    ("POST", f"{P}/changes", change({"do": "explode"}), 400, "instructions[0].do"),
    ("POST", f"{P}/changes", change({"flag": "checkout"}), 400, "instructions[0].do"),
    ("POST", f"{P}/changes", change(INSTRUCTIONS[0], mode="maybe"), 400, "mode"),
    ("POST", f"{P}/changes", change(INSTRUCTIONS[0], {"do": "kill", "flag": "nix"}), 404,
     "instructions[1].flag"),
    ("POST", f"{P}/changes", {**change(INSTRUCTIONS[0]), "environment": "nix"}, 404,
     "environment"),
    ("POST", f"{P}/changes", change({"do": "turn_on", "flag": "checkout", "by": "me"}), 400,
     "instructions[0].by"),
    ("POST", f"{P}/changes", rule(when={"attr": "a", "op": "regex", "values": ["("]}), 400,
     "instructions[0].rule.when.values"),
    ("POST", f"{P}/changes", rule(when={"attr": "a", "op": "regex", "values": ["(?=x)"]}), 400,
     "instructions[0].rule.when.values"),
    ("POST", f"{P}/changes", rule(when={"attr": "a", "op": "nearly", "values": [1]}), 400,
     "instructions[0].rule.when.op"),
    ("POST", f"{P}/changes", rule(when={"segment": "nowhere"}), 400, None),
    ("POST", f"{P}/changes", rule(serve="nowhere"), 400, "instructions[0].rule.serve"),
    ("POST", f"{P}/changes", rule(start="tomorrow"), 400, "instructions[0].rule.start"),
    ("POST", f"{P}/changes", rule(serve={"split": {"weights": {"on": -1}}}), 400,
     "instructions[0].rule.serve.split.weights.on"),
    ("POST", f"{P}/changes", rule(serve={"split": {"weights": {"on": 1}, "coverage": 2}}), 400,
     "instructions[0].rule.serve.split.coverage"),
    # evaluation
    ("POST", f"{PROD}/evaluate", {"flag": "nowhere", "context": {}}, 404, "flag"),
    ("POST", f"{PROD}/evaluate", {"flag": 7}, 400, "flag"),
    ("POST", f"{PROD}/evaluate", {"context": []}, 400, "context"),
    ("POST", f"{PROD}/evaluate", {"at": "noon"}, 400, "at"),
    ("POST", f"{PROD}/evaluate", {"at": "2026-12-01T09:00:00"}, 400, "at"),
    ("POST", f"{PROD}/evaluate", {"at": "0001-01-01T00:00:00+14:00"}, 400, "at"),
    ("POST", f"{PROD}/evaluate", {"at": "2000-01-01T00:00:00Z"}, 404, "at"),
    ("GET", f"{P}/environments/nix/events/latest", None, 404, "environment"),
    ("GET", f"{P}/environments/staging/events/latest?type=all", None, 400, "type"),
    ("GET", f"{P}/environments/staging/events/latest?since=then", None, 400, "since"),
    ("GET", f"{P}/environments/staging/events/latest?limit=501", None, 400, "limit"),
    # tokens
    ("POST", "/tokens", {"name": "a"}, 400, "role"),
    ("POST", "/tokens", {"name": "a", "role": "king"}, 400, "role"),
    ("POST", "/tokens", {"name": "a", "role": "viewer", "expires_at": "soon"}, 400,
     "expires_at"),
    ("POST", "/tokens", {"name": "a", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"},
     400, "expires_at"),
    ("POST", f"{P}/tokens", {"kind": "srv", "name": "a"}, 400, "environment"),
    ("POST", f"{P}/tokens", {"kind": "srv", "name": "a", "environment": "nix"}, 404,
     "environment"),
    ("POST", f"{P}/tokens", {"kind": "xyz", "name": "a"}, 400, "kind"),
    ("POST", f"{P}/tokens", {"kind": "usr", "name": "a", "role": "viewer",
                             "environment": "staging"}, 400, "environment"),
    ("GET", "/tokens/4711", None, 404, None),
    ("PATCH", "/tokens/4711", {"budget": {"share_per_day": 2}}, 400, "budget.share_per_day"),
    ("PATCH", f"{P}/tokens/4711", {"name": "x"}, 404, None),
    ("PATCH", f"{P}/tokens/4711", {"role": "admin"}, 400, "role"),
    ("POST", "/tokens/4711/revoke", {}, 404, None),
    ("POST", "/tokens/99999999999/revoke", {}, 404, None),
    ("POST", f"{P}/tokens", {"kind": "usr", "name": "a", "role": "none"}, 400, "role"),
    ("POST", f"{P}/tokens", {"kind": "usr", "name": "a", "role": "viewer",
                             "environments": ["nix"]}, 404, "environment"),
    ("POST", f"{P}/tokens", {"kind": "srv", "name": "a", "environment": "staging",
                             "environments": ["staging"]}, 400, "environments"),
    ("POST", "/tokens/4711/rotate", {}, 404, None),
    ("POST", f"{P}/tokens/4711/rotate", {"overlap_seconds": -1}, 400, "overlap_seconds"),
    # kill hooks and notifications
    ("POST", f"{PROD}/kill-hooks", {"name": "a", "scope": "all", "names": ["b"]}, 400, "scope"),
    ("POST", f"{PROD}/kill-hooks", {"name": "a", "scope": "flags", "names": []}, 400, "names"),
    ("POST", f"{PROD}/kill-hooks", {"name": "a", "scope": "flags", "names": ["nix"]}, 400,
     "names[0]"),
    ("POST", f"{PROD}/kill-hooks/77/revoke", {}, 404, None),
    ("GET", f"{P}/notifications?kind=nix", None, 400, "kind[0]"),
    ("POST", f"{P}/notifications/read", {"up_to": -1}, 400, "up_to"),
    # webhooks
    ("POST", f"{P}/webhooks", {"name": "a"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": " ", "url": "https://a.example"}, 400, "name"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "ftp://a.example"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://u:p@a.example"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://a.example/\r\nX: y"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://127.0.0.1/"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://[::ffff:10.0.0.1]/"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://localhost/"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "http://93.184.216.34/"}, 400, "url"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://a.example", "form": "xml"}, 400,
     "form"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://a.example", "kinds": ["nix"]}, 400,
     "kinds[0]"),
    ("POST", f"{P}/webhooks", {"name": "a", "url": "https://a.example",
                               "environments": ["nix"]}, 400, "environments[0]"),
    ("PATCH", f"{P}/webhooks/77", {"name": "a"}, 404, None),
    ("POST", f"{P}/webhooks/77/rotate", {"overlap_hours": 169}, 400, "overlap_hours"),
    ("POST", f"{P}/webhooks/77/replay", {"since": "yesterday"}, 400, "since"),
    ("GET", f"{P}/webhooks/77/deliveries?state=lost", None, 400, "state"),
    # people
    ("PUT", f"{P}/members/bob@example.org", {"role": "king"}, 400, "role"),
    ("PUT", f"{P}/members/bob@example.org", {}, 400, "role"),
    ("PUT", f"{P}/members/bob", {"role": "viewer"}, 400, "email"),
    ("PUT", f"{P}/members/nobody@example.org", {"role": "viewer"}, 404, "email"),
    ("DELETE", f"{P}/members/nobody@example.org", None, 404, "email"),
    ("GET", f"{P}/members/nobody@example.org", None, 404, "email"),
    ("PUT", f"{P}/environments/nix/members/bob@example.org", {"role": "viewer"}, 404,
     "environment"),
    ("DELETE", f"{PROD}/members/nobody@example.org", None, 404, "email"),
    ("POST", "/members", {**MEMBER, "email": "nobody"}, 400, "email"),
    ("POST", "/members", {**MEMBER, "password": "short"}, 400, "password"),
    ("POST", "/members", {**MEMBER, "role": "king"}, 400, "role"),
    ("GET", "/members/4711", None, 404, None),
    ("PATCH", "/members/4711", {"role": "viewer"}, 404, None),
    ("POST", "/session", {"email": "a"}, 400, "password"),
    ("POST", "/setup", {"code": "a", "email": "a@b"}, 400, "password"),
    # experiments
    ("POST", f"{P}/experiments", {}, 400, "key"),
    ("POST", f"{P}/experiments", {**PLAN, "metrics": []}, 400, "metrics"),
    ("POST", f"{P}/experiments", {**PLAN, "environment": "nix"}, 404, "environment"),
    ("POST", f"{P}/experiments", {**PLAN, "key": "drafted"}, 409, "key"),
    ("POST", f"{P}/experiments", {**PLAN, "mood": "good"}, 400, "mood"),
    ("GET", f"{P}/experiments/nowhere", None, 404, "experiment"),
    ("GET", f"{P}/experiments/nowhere/record", None, 404, "experiment"),
    ("GET", f"{P}/experiments/drafted?environment=nix", None, 404, "environment"),
    ("GET", f"{P}/experiments/drafted?environment=staging", None, 404, "key"),
    ("POST", f"{P}/experiments/drafted/start", {}, 409, None),
    ("POST", f"{P}/experiments/drafted/confirm", {}, 409, None),
    ("POST", f"{P}/experiments/drafted/stop", {}, 400, "reason"),
    ("POST", f"{P}/experiments/drafted/stop", {"reason": " "}, 400, "reason"),
    ("POST", f"{P}/experiments/drafted/explode", {}, 404, None),
    # an experiment is none of the releases, whatever is done to it
    ("GET", f"{P}/releases/drafted", None, 404, "key"),
    ("POST", f"{P}/releases/drafted/start", {}, 404, "key"),
    ("POST", f"{P}/releases/drafted/stop", {"reason": "none"}, 404, "key"),
    ("POST", f"{P}/experiments", {**PLAN, "key": "b", "policy": "ours"}, 400, "policy"),
    # policies
    ("PUT", f"{P}/policies/Ours", {}, 400, "name"),
    ("PUT", f"{P}/policies/ours", {"alpha_ship": 2}, 400, "alpha_ship"),
    ("PUT", f"{P}/policies/ours", {"looks": "daily"}, 400, "looks"),
    ("POST", f"{P}/policies/ours/publish", {}, 404, "policy"),
    ("POST", f"{P}/policies/proof-28d/archive", {}, 409, None),
    # addresses
    ("GET", "/nowhere", None, 404, None),
    ("DELETE", "/projects", None, 405, None),
    ("GET", f"{P}/flags/a%00b", None, 400, None),
    ("GET", f"{P}/flags?filter=a%00b", None, 400, None),
    ("GET", "/projects/%ff%fe", None, 404, "project"),
]  # fmt: skip


def test_every_bad_request_is_refused_by_name_and_writes_nothing(shop: Any, admin: Any) -> None:
    before = shop.written()
    wrong = []
    for method, path, body, status, field in TABLE:
        options = {} if body is None else {"json": body}
        response = admin.call(method, path, **options)
        problem = response.get_json()
        if (response.status_code, field or problem.get("field")) != (status, problem.get("field")):
            wrong.append((method, path, body, problem))
        assert response.content_type == "application/problem+json", path
    assert wrong == []
    assert shop.written() == before


BAD_IF_MATCH = ["17", '"x"', '"1", "2"', '""', "v", '"v"', "\xe9", '"' + "1" * 30 + '"']


def test_an_if_match_that_nobody_gave_is_400(admin: Any) -> None:
    for given in BAD_IF_MATCH:
        response = admin.post(f"{FLAG}/on", headers={"If-Match": given})
        assert check_refusal(response, 400, given)["field"] == "If-Match"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("metrics/m", {}),
        ("sources/s", {}),
        ("policies/p", {}),
        ("event-types", {"name": "buy", "demand": "value"}),
        ("environments/production/holdout", {"share": 0.05}),
    ],
)
def test_an_if_match_of_a_flag_guards_nothing_else(
    admin: Any, path: str, body: dict[str, Any]
) -> None:
    response = admin.call("PUT", f"{P}/{path}", json=body, headers={"If-Match": '"v3"'})
    assert check_refusal(response, 400, path)["field"] == "If-Match"


def test_if_match_lets_the_first_of_two_writers_win(shop: Any, admin: Any) -> None:
    revision = admin.get(PROD).headers["ETag"]
    version = admin.get(FLAG).headers["ETag"]
    assert admin.post(f"{FLAG}/on", headers={"If-Match": version}).status_code == 200
    before = shop.written()
    for etag in (version, revision, f"W/{revision}"):
        response = admin.post(f"{FLAG}/kill", headers={"If-Match": etag})
        assert check_refusal(response, 412, etag)["code"] == "version_conflict"
        body = change({"do": "kill", "flag": "checkout"})
        response = admin.post(f"{P}/changes", body, headers={"If-Match": etag})
        check_refusal(response, 412, etag)
    preview = change({"do": "kill", "flag": "checkout"}, mode="preview")
    response = admin.post(f"{P}/changes", preview, headers={"If-Match": revision})
    check_refusal(response, 412, preview)
    response = admin.post(f"{P}/changes", preview, headers={"If-Match": version})
    check_refusal(response, 400, preview)
    both = change({"do": "kill", "flag": "checkout"}, {"do": "kill", "flag": "other"})
    response = admin.post(f"{P}/changes", both, headers={"If-Match": version})
    assert check_refusal(response, 400, both)["field"] == "If-Match"
    assert shop.written() == before
    assert admin.post(f"{FLAG}/kill", headers={"If-Match": "*"}).status_code == 200


NASTY: list[Any] = [
    None,
    True,
    -1,
    1.5,
    2**53 - 1,
    "",
    "a" * 70_000,
    "\u202e\x01",
    [],
    {"": {"": []}},
]


def mutations(document: Any) -> Iterator[Any]:
    """Give the document with every value, one at a time, replaced by each nasty one."""

    def places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in items:
            yield (*path, key)
            if isinstance(child, dict | list):
                yield from places(child, (*path, key))

    for place in places(document, ()):
        for nasty in NASTY:
            changed = copy.deepcopy(document)
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = nasty
            yield changed


def test_no_value_in_any_place_breaks_the_service_or_leaves_half_a_write(
    shop: Any, admin: Any
) -> None:
    bodies: list[tuple[str, Any]] = [
        (f"{P}/flags", {"key": "k", "type": "string", "owner": "o", "client": True,
                        "variants": {"a": {"value": "x", "on": True}}, "default": "a",
                        "off": "a", "metadata": {"m": 1}}),
        ("/projects", {"key": "p", "name": "n"}),
        (f"{P}/environments", {"key": "e", "name": "n", "production": False}),
        (f"{P}/tokens", {"kind": "srv", "name": "n", "environment": "staging",
                         "expires_at": "2027-01-01T00:00:00Z"}),
        (f"{PROD}/evaluate", {"flag": "checkout", "context": {"targetingKey": "u"},
                              "at": "2027-01-01T00:00:00Z", "explain": True}),
        (f"{P}/experiments", PLAN),
        *((f"{P}/changes", change(each, comment="c", mode="preview")) for each in INSTRUCTIONS),
    ]  # fmt: skip
    statuses = set()
    before = shop.written()
    for path, document in bodies:
        for body in mutations(document):
            response = admin.post(path, body)
            statuses.add(response.status_code)
            where = (path, json.dumps(body)[:2000])
            assert response.status_code < 500, (where, response.get_data(as_text=True))
            if response.status_code >= 400:
                check_refusal(response, response.status_code, where)
                assert shop.written() == before, where
            elif not path.endswith("/evaluate"):
                before = shop.written()
    assert {200, 201, 400, 404} <= statuses
