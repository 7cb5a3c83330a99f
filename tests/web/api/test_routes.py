"""Every route does what it is for, and is written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from sqlmodel import select

import web.api
from experiments.judging.record import verify
from experiments.models import Experiment, Look
from experiments.value.ledger import first_fault
from flags.audit import verify_chain
from flags.database import Database
from tests.web.api.conftest import Person
from tests.web.api.documented import Answers
from tests.web.api.webhook_walk import (
    a_kill_hook_from_first_to_last,
    a_webhook_from_first_to_last,
    notices_are_read,
)
from web.app import create_flask_app
from web.auth.guard import needed_role
from web.settings import Settings

P = "/projects/shop"
PROD = f"{P}/environments/production"
ENVIRONMENT = "/projects/<project_key>/environments/<environment_key>"
PLAN: dict[str, Any] = {
    "key": "checkout",
    "flag": "team/check.out v2",
    "environment": "production",
    "control": "off",
    "treatments": ["on"],
    "customer": "ada@example.org",
    "owner": "checkout team",
    "hypothesis": "One page makes more visitors buy.",
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
    "expected": {"units_per_day": 900, "metrics": {"purchases": {"baseline": 0.1}}},
}


# What this walk through all routes never sends; each has a test of its own beside it.
ONLY_READ_WHERE_SENT: dict[str, set[str]] = {}


class Visits:
    """Remembers which routes answered with success."""

    def __init__(self, app: Flask) -> None:
        self.seen: set[tuple[str, str]] = set()
        app.after_request(self._note)

    def _note(self, response: Response) -> Response:
        if response.status_code < 400 and request.url_rule is not None:
            self.seen.add((request.method, request.url_rule.rule))
        return response


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1"):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield method, rule.rule


def documented_form(method: str, rule: str) -> str:
    path = re.sub(r"<(?:[^:<>]*:)?(\w+)>", r"{\1}", rule.removeprefix("/api/v1"))
    return f"{method} {path}"


@pytest.fixture
def bare_app(tmp_path: Path) -> Iterator[Flask]:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield create_flask_app(Settings(data_directory=tmp_path), database, console=False)
    database.dispose()


def test_every_route_is_listed_in_the_readme_with_its_role(bare_app: Flask) -> None:
    readme = (Path(web.api.__file__).parent / "README.md").read_text()
    listed = dict(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (\S+) \|", readme, re.MULTILINE))
    found = {}
    for rule in bare_app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1"):
            role = needed_role(bare_app.view_functions[rule.endpoint])
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                found[documented_form(method, rule.rule)] = "–" if role is None else str(role)
    assert listed == found


def test_every_post_that_writes_as_somebody_takes_an_idempotency_key(bare_app: Flask) -> None:
    without = {
        rule.rule.removeprefix("/api/v1")
        for rule in bare_app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") and "POST" in (rule.methods or set())
        if not hasattr(bare_app.view_functions[rule.endpoint], "__wrapped__")
    }
    # Public ones have no caller to remember it for; evaluation writes nothing; a revocation is the
    # same when it is done twice; and no fast hash of a body with a password is to be stored.
    assert without == {
        "/setup",
        "/session",
        "/session/password",
        "/members",
        "/tokens/<int(max=2147483647):token_id>/revoke",
        "/projects/<project_key>/tokens/<int(max=2147483647):token_id>/revoke",
        "/projects/<project_key>/environments/<environment_key>/evaluate",
        "/projects/<project_key>/evaluate",
        "/projects/<project_key>/notifications/read",
        f"{ENVIRONMENT}/kill-hooks/<int(max=2147483647):hook_id>/revoke",
    }


def test_every_route_works(service: Any) -> None:
    visits, answers = Visits(service.app), Answers(service.app)
    people_and_keys(service)
    flags_and_their_past(service.caller("admin"))
    promotions(service.caller("editor"))
    a_source_from_first_to_last(service.caller("admin"))
    a_metric_and_its_events(service.caller("editor"))
    a_policy_from_draft_to_archive(service, service.caller("editor"))
    a_layer_from_first_to_last(service.caller("editor"))
    a_holdout_from_first_to_last(service.caller("admin"))
    a_sample_of_contexts(service)
    what_is_foreseen(service.caller("viewer"))
    experiment_from_draft_to_shipping(service)
    requests_and_money(service.caller("editor"))
    a_release_from_first_to_last(service)
    changes_that_wait(service)
    a_webhook_from_first_to_last(service.caller("admin"))
    a_kill_hook_from_first_to_last(service.caller("admin"))
    notices_are_read(service.caller("viewer"))
    the_documentation(service.caller("viewer"))
    assert visits.seen == set(routes(service.app))
    assert answers.faults == []
    assert answers.never_read(service.app) == ONLY_READ_WHERE_SENT
    with service.database.read() as session:
        from flags.models import AuditEntry

        assert verify_chain(session.exec(select(AuditEntry)).all()) is None


def the_documentation(caller: Any) -> None:
    assert caller.ok("GET", "/openapi.json")["openapi"] == "3.1.0"
    page = caller.get("/docs")
    assert page.mimetype == "text/html"
    assert "change_flags" in page.get_data(as_text=True)


def people_and_keys(service: Any) -> None:
    from web.auth.service import ensure_setup_code

    with service.database.write() as session:
        code = ensure_setup_code(session)
    client = service.app.test_client()
    password = "correct horse battery"
    first = {"code": code, "email": "ada@example.org", "password": password, "project": "shop"}
    made = client.post("/api/v1/setup", json=first)
    assert made.status_code == 201
    assert made.get_json()["user"]["role"] == "admin"
    signed = client.post("/api/v1/session", json={"email": "ada@example.org", "password": password})
    assert signed.status_code == 201
    headers = {"X-CSRF-Token": signed.get_json()["csrf_token"]}
    who = client.get("/api/v1/whoami").get_json()
    assert (who["kind"], who["name"], who["role"]) == ("user", "ada@example.org", "admin")
    assert who["csrf_token"]
    changed = client.post(
        "/api/v1/session/password",
        json={"current_password": password, "new_password": password + "!"},
        headers=headers,
    )
    assert changed.status_code == 201
    headers = {"X-CSRF-Token": changed.get_json()["csrf_token"]}
    token = client.post("/api/v1/tokens", json={"name": "ci", "role": "admin"}, headers=headers)
    assert token.status_code == 201
    assert client.delete("/api/v1/session", headers=headers).status_code == 204
    assert client.get("/api/v1/whoami").status_code == 401

    admin = service.caller("admin")
    assert [t["name"] for t in admin.ok("GET", "/tokens")["items"]] == ["admin", "ci"]
    again = admin.ok("POST", f"/tokens/{token.get_json()['id']}/rotate", {})
    assert again["old_secret_until"] == "2026-12-01T10:00:00Z"
    revoked = admin.ok("POST", f"/tokens/{token.get_json()['id']}/revoke")
    assert revoked["live"] is False
    bob = {"email": "bob@example.org", "password": password, "role": "viewer", "name": "Bob"}
    member = admin.ok("POST", "/members", bob)
    assert member["role"] == "viewer"
    assert "password" not in str(member)
    assert admin.ok("PATCH", f"/members/{member['id']}", {"role": "editor"})["role"] == "editor"
    assert [m["email"] for m in admin.ok("GET", "/members")["items"]] == [
        "ada@example.org",
        "bob@example.org",
    ]

    assert admin.ok("POST", "/projects", {"key": "blog", "name": "Blog"})["name"] == "Blog"
    assert [p["key"] for p in admin.ok("GET", "/projects")["items"]] == ["blog", "shop"]
    assert admin.ok("GET", P)["key"] == "shop"
    key = admin.ok("POST", f"{P}/tokens", {"kind": "srv", "name": "web", "environment": "staging"})
    assert key["token"].startswith("fs_srv_")
    (listed,) = admin.ok("GET", f"{P}/tokens")["items"]
    assert listed["environment"] == "staging"
    assert "token" not in listed
    rotated = admin.ok("POST", f"{P}/tokens/{key['id']}/rotate", {"overlap_seconds": 60})
    assert rotated["token"] != key["token"]
    assert rotated["old_secret_until"] == "2026-12-01T09:01:00Z"
    member = admin.ok("PUT", f"{P}/members/bob@example.org", {"role": "viewer"})
    assert member["may"] == {"production": "viewer", "staging": "viewer"}
    here = f"{P}/environments/staging/members/bob@example.org"
    assert admin.ok("PUT", here, {"role": "approver"})["environments"] == {"staging": "approver"}
    assert [m["everywhere"] for m in admin.ok("GET", f"{P}/members")["items"]] == [
        "admin",
        "editor",
    ]
    assert admin.call("DELETE", here).status_code == 204
    assert admin.call("DELETE", f"{P}/members/bob@example.org").status_code == 204
    assert admin.ok("POST", f"{P}/tokens/{key['id']}/revoke")["revoked_at"]
    entry = admin.ok("GET", f"{P}/audit?resource=token:{key['id']}")["items"][0]
    assert entry["action"] == "revoke_token"
    assert key["token"] not in str(admin.ok("GET", f"{P}/audit"))
    pages = [admin.ok("GET", f"{P}/audit/export?limit=3")]
    while (cursor := pages[-1]["next_cursor"]) is not None:
        pages.append(admin.ok("GET", f"{P}/audit/export?limit=3&cursor={cursor}"))
    assert verify_chain([each for part in pages for each in part["items"]]) is None
    assert len(pages) > 1

    made = admin.ok("POST", f"{P}/environments", {"key": "dev", "name": "Development"})
    assert made["production"] is False
    keys = [e["key"] for e in admin.ok("GET", f"{P}/environments")["items"]]
    assert keys == ["production", "staging", "dev"]
    clients = admin.ok("GET", f"{P}/environments/dev/instances?stale=true")
    assert (clients["items"], clients["fallbacks"]) == ([], [])
    events = admin.ok("GET", f"{P}/environments/dev/events?hours=720")
    assert (events["recent"], events["quality"]) == ([], [])
    assert set(clients["counts"]) == {"current", "behind", "without_flags", "silent"}
    assert admin.get(f"{P}/environments/dev").headers["ETag"] == f'"{made["revision"]}"'


def flags_and_their_past(admin: Any) -> None:
    flag = "team/check.out v2"
    made = admin.post(f"{P}/flags", {"key": flag, "name": "Checkout", "comment": "a start"})
    assert made.status_code == 201
    assert made.get_json()["environments"]["production"]["enabled"] is False
    for path in (f"{P}/flags/team/check.out v2", f"{P}/flags/team%2Fcheck.out%20v2"):
        found = admin.get(path)
        assert found.get_json()["key"] == flag
        assert admin.get(path, headers={"If-None-Match": found.headers["ETag"]}).status_code == 304
    here = f"{P}/flags/{flag}/environments/production"
    assert admin.ok("POST", f"{here}/on", {"comment": "go"})["after"][flag]["enabled"] is True
    state = admin.get(here)
    assert state.headers["ETag"] == '"v2"'
    assert state.get_json()["sentence"]
    change = {
        "environment": "production",
        "comment": "beta first",
        "instructions": [
            {
                "do": "add_segment",
                "segment": "beta",
                "condition": {"attr": "plan", "op": "in", "values": ["beta"]},
            },
            {
                "do": "add_rule",
                "flag": flag,
                "rule": {"id": "beta", "when": {"segment": "beta"}, "serve": "off"},
            },
        ],
    }
    preview = admin.ok("POST", f"{P}/changes", {**change, "mode": "preview"})
    assert preview["changed"] is True
    assert preview["verdict"] == "only_narrows"
    assert preview["witness"]["flag"] == flag
    assert preview["witness"]["before"] != preview["witness"]["after"]
    assert preview["blast_radius"]["moved"] is None
    assert "No context was seen" in preview["blast_radius"]["sentence"]
    revision = admin.ok("GET", f"{PROD}")["revision"]
    assert preview["revision"] == revision
    applied = admin.post(f"{P}/changes", change, headers={"If-Match": f'"{revision}"'})
    assert applied.get_json()["revision"] == revision + 1
    assert applied.headers["ETag"] == f'"{revision + 1}"'

    assert [s["key"] for s in admin.ok("GET", f"{PROD}/segments")["items"]] == ["beta"]
    assert admin.ok("GET", f"{PROD}/segments/beta")["condition"]["attr"] == "plan"
    numbers = [r["number"] for r in admin.ok("GET", f"{PROD}/revisions")["items"]]
    assert numbers == list(range(revision + 1, 0, -1))
    newest = admin.ok("GET", f"{PROD}/revisions/{revision + 1}")
    assert newest["flag_set"]["flags"][flag]["rules"][0]["id"] == "beta"
    diff = admin.ok("GET", f"{PROD}/revisions/{revision + 1}?diff={revision}")["diff"]
    assert "segments.beta" in diff["after"]
    history = admin.ok("GET", f"{P}/flags/{flag}/history?environment=production")["items"]
    assert [entry["comment"] for entry in history] == ["beta first", "go", "a start"]
    undo = f"{P}/audit/{history[0]['id']}/undo"
    assert admin.ok("POST", undo)["mode"] == "preview"
    together = {"mode": "apply", "together": True}
    undone = admin.ok("POST", undo, together, headers={"If-Match": f'"{revision + 1}"'})
    assert (undone["after"][flag]["rules"], undone["segments_after"]) == ([], {"beta": None})
    again = admin.post(undo, together)
    assert (again.status_code, again.get_json()["code"]) == (409, "undo_conflict")
    newest = admin.ok("GET", f"{P}/audit?resource=flag:{flag}&environment=production")["items"][0]
    redo = f"{P}/audit/{newest['id']}/undo"
    assert admin.ok("POST", redo, {**together, "comment": "beta after all"})["changed"] is True
    (first,) = admin.ok("GET", f"{P}/audit?resource=project:shop")["items"]
    refused = admin.post(f"{P}/audit/{first['id']}/undo")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_invertible")
    assert admin.post(f"{P}/audit/2147483647/undo").status_code == 404

    for key in ("a", "b", "c"):
        admin.ok("POST", f"{P}/flags", {"key": f"list/{key}", "description": "One of Three"})
    cursor, met = "", []
    while cursor is not None:
        found = admin.ok("GET", f"{P}/flags?filter=three%20list&limit=2&cursor={cursor}")
        met.append([item["key"] for item in found["items"]])
        cursor = found["next_cursor"]
    assert met == [["list/a", "list/b"], ["list/c"]]
    (item,) = admin.ok("GET", f"{P}/flags?filter=list/a&environment=staging")["items"]
    assert list(item["environments"]) == ["staging"]
    archive = {"environment": "production", "instructions": [{"do": "archive", "flag": "list/a"}]}
    admin.ok("POST", f"{P}/changes", archive)
    assert len(admin.ok("GET", f"{P}/flags")["items"]) == 3
    assert [f["key"] for f in admin.ok("GET", f"{P}/flags?archived=true")["items"]] == ["list/a"]

    ask = {"flag": flag, "context": {"targetingKey": "u1", "plan": "beta"}, "explain": True}
    answer = admin.ok("POST", f"{PROD}/evaluate", ask)
    assert (answer["value"], answer["rule"]) == (False, "beta")
    everywhere = admin.ok("POST", f"{P}/evaluate", ask)["environments"]
    here, staging, *_ = everywhere
    assert [each["environment"] for each in (here, staging)] == ["production", "staging"]
    assert here["items"][0].items() <= answer.items()
    assert (here["revision"], here["problem"]) == (answer["revision"], None)
    assert staging["items"][0]["reason"] == "DISABLED"
    long_ago = admin.ok("POST", f"{P}/evaluate", {**ask, "at": "2001-01-01T00:00:00Z"})
    assert all("no revision yet" in each["problem"] for each in long_ago["environments"])
    assert answer["explanation"]["text"]
    everything = admin.ok("POST", f"{PROD}/evaluate", {"context": {}})
    values = {item["flag"]: item["value"] for item in everything["items"]}
    assert values == {flag: True, "list/b": False, "list/c": False}
    assert admin.ok("POST", f"{PROD}/import?preview=true", {"flags": {}})["changed"] is False


def promotions(editor: Any) -> None:
    editor.ok("POST", f"{P}/flags/list/b/environments/dev/on")
    editor.ok("POST", f"{P}/flags/list/c/environments/dev/on")
    diff = f"{P}/environments/dev/diff?to=staging&targets=true&segments=true"
    first = editor.ok("GET", f"{diff}&limit=1")
    (shown,) = first["items"]
    assert (shown["key"], shown["state_target"], shown["state_after"]) == ("list/b", "off", "on")
    assert shown["fields"][0] == {
        "field": "enabled",
        "source": True,
        "target": False,
        "after": True,
        "carried": True,
    }
    assert first["differ"] == 2
    rest = editor.ok("GET", f"{diff}&cursor={first['next_cursor']}")
    assert ([each["key"] for each in rest["items"]], rest["next_cursor"]) == (["list/c"], None)
    assert editor.ok("GET", f"{diff}&flag=list/c")["differ"] == 1
    tree = editor.ok("GET", f"{P}/files")
    assert tree["base"]["dev"]
    same = {name: tree[name] for name in ("flags", "segments", "base")}
    assert editor.ok("POST", f"{P}/files/import", same)["changed"] is False
    tree["flags"]["list/c"]["environments"]["dev"]["enabled"] = False
    told = editor.ok("POST", f"{P}/files/import", same)
    assert told["environments"]["dev"]["flags"] == ["list/c"]
    assert editor.ok("GET", f"{P}/files")["base"] == tree["base"]
    told = editor.ok("GET", f"{P}/flags/list/b/lifecycle")
    assert (told["verdict"], told["flag"]) == ("moving", "list/b")
    assert editor.ok("GET", f"{P}/lifecycle?verdict=moving&limit=1")["items"]
    here, to = f"{P}/flags/list/b/environments/dev/promote", {"to": "staging"}
    preview = editor.ok("POST", here, {**to, "mode": "preview"})
    assert preview["sentence"] == shown["sentence_after"]
    assert preview["verdict"] in {"only_widens", "no_op"}
    version = editor.ok("GET", f"{P}/flags/list/b/environments/staging")["version"]
    done = editor.ok("POST", here, to, headers={"If-Match": f'"v{version}"'})
    assert done["after"]["list/b"]["enabled"] is True
    whole = f"{P}/environments/dev/promote"
    none = editor.post(whole, {**to, "flags": []})
    assert (none.status_code, none.get_json()["field"]) == (400, "instructions")
    one = editor.ok("POST", whole, {**to, "flags": ["list/c"], "mode": "preview"})
    assert list(one["after"]) == ["list/c"]
    revision = editor.ok("GET", f"{P}/environments/staging")["revision"]
    match = {"If-Match": f'"{revision}"'}
    assert editor.ok("POST", whole, to, headers=match)["changed"] is True
    assert editor.ok("GET", diff)["items"] == []
    assert editor.post(whole, {**to, "only_segments": ["nix"]}).status_code == 404
    entry = editor.ok("GET", f"{P}/flags/list/c/history?environment=staging")["items"][0]
    assert (entry["action"], entry["comment"]) == ("promote", "Promoted from dev")


def changes_that_wait(service: Any) -> None:
    bob = Person(service, "second", "admin")
    editor = service.caller("editor")
    protected = "/projects/blog/environments/staging"
    bob.ok("PATCH", protected, {"approvals_needed": 1})
    editor.ok("POST", "/projects/blog/flags", {"key": "waits"})

    def ask(do: str) -> tuple[str, Any]:
        body = {"environment": "staging", "instructions": [{"do": do, "flag": "waits"}]}
        made = editor.ok("POST", "/projects/blog/changes", {**body, "mode": "request"})
        return f"/projects/blog/changes/{made['id']}", made

    here, _ = ask("turn_on")
    edited = editor.ok("PATCH", here, {"comment": "go"})
    approval = {"content_hash": edited["content_hash"]}
    assert bob.ok("POST", f"{here}/approve", approval)["state"] == "approved"
    assert editor.ok("POST", f"{here}/apply")["state"] == "applied"
    assert editor.ok("GET", here)["outcome"]["by"].startswith("token:")
    there, _ = ask("turn_off")
    bob.ok("POST", f"{there}/decline", {"comment": "not today"})
    elsewhere, _ = ask("turn_off")
    editor.ok("POST", f"{elsewhere}/withdraw")
    states = [each["state"] for each in editor.ok("GET", "/projects/blog/changes")["items"]]
    assert states == ["withdrawn", "declined", "applied"]
    bob.ok("PATCH", protected, {"approvals_needed": 0})


def forecast_and_accept(service: Any, url: str) -> None:
    found = service.forecast()
    assert found == 1
    editor = service.caller("editor")
    forecast = editor.ok("GET", f"{url}/forecast")
    assert (forecast["status"], forecast["deadlines"][-1]["day"]) == ("ready", 28)
    assert editor.post(f"{url}/accept", {"risks": ["mde"]}).status_code == 403
    client, headers = sign_in_ada(service)
    body = {"risks": ["mde"]}
    accepted = client.post(f"/api/v1{url}/accept", json=body, headers=headers)
    assert accepted.status_code == 200, accepted.get_data(as_text=True)
    assert [each["risk"] for each in editor.ok("GET", f"{url}/forecast")["accepted"]] == ["mde"]


def sign_in_ada(service: Any) -> tuple[Any, dict[str, str]]:
    client = service.app.test_client()
    signed = client.post(
        "/api/v1/session",
        json={"email": "ada@example.org", "password": "correct horse battery!"},
    )
    return client, {"X-CSRF-Token": signed.get_json()["csrf_token"]}


def requests_and_money(editor: Any) -> None:
    asked = {"title": "Pay by invoice", "class": "value", "asker": "a shop"}
    made = editor.post(f"{P}/requests", asked)
    url = f"{P}/requests/{made.get_json()['id']}"
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    edited = editor.ok("PATCH", url, {"title": "Invoices"}, headers={"If-Match": '"1"'})
    assert (edited["title"], edited["class"], edited["asker"]) == ("Invoices", "value", "a shop")
    stale = editor.call("PATCH", url, json={"title": "x"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    wrong = editor.call("PATCH", url, json={"title": "x"}, headers={"If-Match": '"v1"'})
    assert wrong.status_code == 400
    link = {"flag": PLAN["flag"], "relation": "resolves"}
    assert editor.ok("POST", f"{url}/link", link)["state"] == "linked"
    assert editor.post(f"{url}/link", {**link, "flag": "nope"}).status_code == 404
    assert editor.ok("POST", f"{url}/resolve", {"note": "done"})["resolved_at"]
    assert editor.post(f"{url}/resolve", {}).status_code == 409
    assert editor.ok("GET", url)["state"] == "resolved"
    for number in range(3):
        editor.ok("POST", f"{P}/requests", {"title": f"Broken {number}", "class": "failure"})
    first = editor.ok("GET", f"{P}/requests?class=failure&limit=2")
    rest = editor.ok("GET", f"{P}/requests?class=failure&cursor={first['next_cursor']}")
    titles = [each["title"] for each in first["items"] + rest["items"]]
    assert titles == ["Broken 2", "Broken 1", "Broken 0"]
    (found,) = editor.ok("GET", f"{P}/requests?state=resolved&flag={PLAN['flag']}")["items"]
    assert found["note"] == "done"

    money = {"per_unit": 1, "eligible_units_per_month": 1000, "build": 50}
    plan = {**PLAN, "key": "priced", "value": money}
    assert editor.ok("POST", f"{P}/experiments", plan)["plan"]["value"]["build"] == 50
    editor.ok("POST", f"{P}/experiments/priced/seal")
    entered = editor.ok("GET", f"{P}/ledger?experiment=priced")
    assert [(each["kind"], each["amount"]) for each in entered["items"]] == [("BUILD", -5000)]
    assert entered["balances"][0]["amount"] == -5000
    assert first_fault(entered["items"]) is None
    csv = editor.get(f"{P}/ledger.csv").get_data(as_text=True).splitlines()
    assert csv[0].startswith("number,at,experiment,kind,amount")
    assert ",priced,BUILD,-50.00," in csv[1]
    found = {each["key"]: each for each in editor.ok("GET", f"{P}/outcomes")["items"]}
    assert found["failure_demand"]["text"] == "75 %"
    assert found["proof_rate"]["value"] is None


def a_policy_from_draft_to_archive(service: Any, editor: Any) -> None:
    url = f"{P}/policies/ours-14d"
    body = {"horizon": "14d", "alpha_ship": 0.2, "description": "Two weeks."}
    made = editor.call("PUT", url, json=body)
    # What is being computed has no ETag: it will be another under the same version.
    assert (made.status_code, made.headers.get("ETag")) == (201, None)
    drafted = made.get_json()
    assert (drafted["state"], drafted["version"], drafted["characteristics"]) == (
        *("checking", 1),
        None,
    )
    refused = editor.call("POST", f"{url}/publish")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "trial_pending")
    assert refused.headers["Retry-After"] == "1"
    assert service.try_policies() == 1
    checked = editor.get(url)
    assert (checked.headers["ETag"], checked.get_json()["state"]) == ('"1"', "checked")
    assert editor.get(url, headers={"If-None-Match": '"1"'}).status_code == 304
    assert editor.call("PUT", url, json=body, headers={"If-Match": '"7"'}).status_code == 412
    moved = editor.call("POST", f"{url}/publish", headers={"If-Match": '"7"'})
    assert moved.status_code == 412
    headers = {"If-Match": '"1"', "Idempotency-Key": "once"}
    for _ in range(2):
        published = editor.call("POST", f"{url}/publish", headers=headers)
        assert (published.status_code, published.headers["ETag"]) == (200, '"2"')
    assert published.get_json()["published_version"] == 2
    assert [each["state"] for each in editor.ok("GET", url)["history"]] == ["published", "checked"]
    built_in = editor.call("PUT", f"{P}/policies/proof-28d", json=body)
    assert (built_in.status_code, "built in" in built_in.get_json()["detail"]) == (409, True)
    house = editor.ok("GET", f"{P}/policies/proof-28d")
    assert (house["state"], house["characteristics"]["warnings"]) == ("built_in", [])
    listed = editor.ok("GET", f"{P}/policies")["items"]
    assert [each["name"] for each in listed] == ["proof-28d", "release-1d", "ours-14d"]
    assert editor.ok("POST", f"{url}/archive")["archived"] is True
    assert len(editor.ok("GET", f"{P}/policies")["items"]) == 2
    (archived,) = editor.ok("GET", f"{P}/policies?archived=true")["items"]
    assert (archived["name"], archived["state"]) == ("ours-14d", "archived")
    assert editor.call("PUT", url, json=body).status_code == 409
    assert editor.ok("POST", f"{url}/unarchive")["version"] == 4
    missing = editor.get(f"{P}/policies/nothing")
    assert (missing.status_code, missing.get_json()["field"]) == (404, "policy")


def a_metric_and_its_events(editor: Any) -> None:
    url = f"{P}/metrics/purchase"
    body = {"kind": "conversion", "event": "purchase", "window": "7d", "owner": "ada@example.org"}
    made = editor.call("PUT", url, json=body)
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    found = editor.get(url)
    assert editor.get(url, headers={"If-None-Match": found.headers["ETag"]}).status_code == 304
    longer = {**body, "window": "14d"}
    assert editor.call("PUT", url, json=longer, headers={"If-Match": '"7"'}).status_code == 412
    again = editor.call("PUT", url, json=longer, headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["ETag"]) == (200, '"2"')
    refused = editor.call("PUT", url, json={**body, "mde": 0.1})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "mde")
    document = editor.ok("GET", url)
    assert [each["definition"]["window"] for each in document["history"]] == ["14d", "7d"]
    assert document["measures"].startswith("Share of units with purchase within 14 days")
    assert editor.ok("GET", f"{url}/use") == {"experiments": [], "sensitivity": None}
    (listed,) = editor.ok("GET", f"{P}/metrics")["items"]
    assert (listed["key"], listed["experiments"], listed["sensitivity"]) == ("purchase", 0, None)
    assert editor.ok("POST", f"{url}/archive")["archived"] is True
    assert editor.ok("GET", f"{P}/metrics")["items"] == []
    assert len(editor.ok("GET", f"{P}/metrics?archived=true")["items"]) == 1
    assert editor.ok("POST", f"{url}/unarchive")["version"] == 4

    types = f"{P}/event-types"
    assert editor.ok("GET", types) == {"items": [], "next_cursor": None, "unclassified": []}
    first = editor.call("PUT", types, json={"name": "refund", "demand": "failure"})
    assert (first.status_code, first.headers["ETag"]) == (201, '"1"')
    refused = editor.call("PUT", types, json={"name": "refund", "demand": "bad"})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "demand")
    (listed,) = editor.ok("GET", types)["items"]
    assert (listed["name"], listed["demand"]) == ("refund", "failure")


def a_source_from_first_to_last(admin: Any) -> None:
    url = f"{P}/sources/warehouse"
    tracks = {"table": "events", "name": "event"}
    body = {"kind": "postgresql", "url_env": "WAREHOUSE_URL", "tracks": tracks}
    made = admin.call("PUT", url, json=body)
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert admin.ok("GET", url)["tracks"] == {**tracks, "unit": "unit", "time": "time"}
    (listed,) = admin.ok("GET", f"{P}/sources")["items"]
    assert (listed["key"], listed["version"]) == ("warehouse", 1)
    other = {**body, "kind": "trino"}
    assert admin.call("PUT", url, json=other, headers={"If-Match": '"7"'}).status_code == 412
    again = admin.call("PUT", url, json=other, headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["ETag"]) == (200, '"2"')
    refused = admin.call("PUT", url, json={**body, "url_env": "FLAGSTONE_DATABASE_URL"})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "url_env")
    assert admin.call("DELETE", url).status_code == 204
    assert admin.get(url).status_code == 404


def a_sample_of_contexts(service: Any) -> None:
    url = f"{PROD}/context-sample"
    assert service.caller("viewer").ok("GET", url) == {
        "on": True,
        "size": 0,
        "limit": 1000,
        "units": 0,
        "complete": True,
        "oldest": None,
        "newest": None,
        "aside": 0,
        "keep_days": 7,
    }
    assert service.caller("editor").call("PUT", url, json={"on": False}).status_code == 403
    admin = service.caller("admin")
    off = admin.call("PUT", url, json={"on": False, "comment": "names in contexts"})
    assert (off.status_code, off.get_json()["on"]) == (200, False)
    (entry,) = admin.ok("GET", f"{P}/audit?environment=production&limit=1")["items"]
    assert entry["action"] == "switch_context_sample"
    assert entry["after"] == {"sample_contexts": False}
    assert admin.call("PUT", url, json={"on": True}).get_json()["on"] is True


def what_is_foreseen(viewer: Any) -> None:
    found = viewer.ok("GET", f"{PROD}/outage-preview")
    assert (found["instances"], found["flags"]) == (0, [])
    assert viewer.ok("GET", f"{PROD}/predictions?alarm=true")["items"] == []
    assert viewer.get(f"{PROD}/predictions?alarm=perhaps").status_code == 400


def a_holdout_from_first_to_last(admin: Any) -> None:
    url = f"{PROD}/holdout"
    assert admin.ok("GET", url)["on"] is False
    revision = admin.ok("GET", PROD)["revision"]
    made = admin.call("PUT", url, json={"share": 0.05}).get_json()
    assert (made["on"], made["share"], made["intact"], made["effect"]) == (True, 0.05, True, None)
    refused = admin.call("PUT", url, json={"share": 0.2})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "share")
    assert admin.call("PUT", url, json={"share": 0.01}).status_code == 409
    stale = admin.call("PUT", url, json={"share": 0.1}, headers={"If-Match": '"9"'})
    assert stale.status_code == 412
    assert admin.call("DELETE", url).get_json() == {
        "on": False,
        "share": 0.0,
        "flag": "flagstone-holdout",
    }
    assert admin.call("DELETE", url).status_code == 404
    assert admin.ok("GET", PROD)["revision"] == revision + 3
    found = admin.ok("GET", f"{PROD}/audits")
    assert (found["items"], found["tally"]["audits"]) == ([], 0)
    assert found["tally"]["sentence"] == "none yet"


def a_layer_from_first_to_last(editor: Any) -> None:
    url = f"{PROD}/layers/till"
    made = editor.call("PUT", url, json={"description": "The way to the till."})
    assert (made.status_code, made.get_json()["free_share"]) == (201, 1.0)
    assert editor.call("PUT", url, json={}, headers={"If-Match": '"7"'}).status_code == 412
    again = editor.call("PUT", url, json={"description": "Till."}, headers={"If-Match": '"1"'})
    assert (again.status_code, again.get_json()["version"]) == (200, 2)
    assert editor.ok("GET", url)["description"] == "Till."
    (listed,) = editor.ok("GET", f"{PROD}/layers")["items"]
    assert (listed["key"], listed["experiments"], listed["free"]) == ("till", [], [[0, 10000]])
    assert editor.call("PUT", f"{PROD}/layers/Not%20A%20Key", json={}).status_code == 400
    assert editor.call("DELETE", url).status_code == 204
    assert editor.get(url).status_code == 404


def people_step_in(editor: Any, url: str, as_ada: Callable[[str], Any]) -> None:
    """Override a stop by two people, and close in the end."""
    said = {"arm": "on", "reason": "legal", "text": "the law", "predicted_effect": 0.05}
    missing = editor.post(f"{url}/override", said)
    assert (missing.status_code, missing.get_json()["field"]) == (400, "review_at")
    said |= {"review_at": "2090-01-01T00:00:00Z"}
    wrong = editor.post(f"{url}/override", said | {"reason": "because"})
    assert (wrong.status_code, wrong.get_json()["field"]) == (400, "reason")
    asked = editor.ok("POST", f"{url}/override", said)
    assert (asked["state"], asked["request"]["arm"]) == ("ROLLED_BACK", "on")
    assert editor.post(f"{url}/approve").status_code == 403
    assert editor.ok("POST", f"{url}/decline", {"note": "not yet"})["request"] is None
    editor.ok("POST", f"{url}/override", said)
    shipped = as_ada("approve").get_json()
    assert (shipped["state"], shipped["verdict"]) == ("SHIPPING", "OVERRIDE_SHIP")
    assert shipped["override"]["second"] == "ada@example.org"
    assert editor.post(f"{url}/explain", {"text": "nothing"}).status_code == 409
    assert editor.post(f"{url}/extend", {"by": "7d"}).status_code == 409
    editor.ok("POST", f"{url}/stop", {"reason": "the end"})
    closed = editor.ok("POST", f"{url}/close", {"note": "out of the code"})
    assert closed["state"] == "CLOSED"
    assert [each["verdict"] for each in closed["verdicts"]] == [
        *("OVERRIDE_STOP", "OVERRIDE_SHIP", "OVERRIDE_STOP")
    ]


def experiment_from_draft_to_shipping(service: Any) -> None:
    editor = service.caller("editor")
    url = f"{P}/experiments/checkout"
    rules = {"do": "remove_rule", "flag": PLAN["flag"], "rule": "beta"}
    editor.ok("POST", f"{P}/changes", {"environment": "production", "instructions": [rules]})
    assert editor.ok("POST", f"{P}/experiments", PLAN)["state"] == "DRAFT"
    first = editor.ok("GET", f"{P}/experiments?limit=1")
    assert len(first["items"]) == 1
    assert first["next_cursor"] is None or len(first["next_cursor"]) < 20
    assert editor.ok("GET", f"{P}/experiments?group=planned&filter=CHECKOUT")["items"]
    assert editor.ok("GET", f"{P}/experiments?group=ended")["items"] == []
    assert editor.ok("GET", f"{url}/forecast")["status"] == "pending"
    assert editor.ok("POST", f"{url}/seal")["plan_hash"]
    forecast_and_accept(service, url)
    assert editor.ok("POST", f"{url}/start", {})["state"] == "RAMPING"
    (listed,) = editor.ok("GET", f"{P}/experiments?environment=production")["items"]
    assert (listed["key"], listed["environment"], listed["looks"]) == ("checkout", "production", 0)
    found = editor.ok("GET", url)
    assert found["plan"]["customer"] == "ada@example.org"
    assert editor.ok("GET", f"{url}/looks")["items"] == []
    assert editor.ok("GET", f"{url}/looks/now") == {"status": "none", "reading": None}
    reader = service.caller("viewer")
    asked = reader.ok("POST", f"{url}/looks/now", {})
    assert (asked["status"], asked["reading"]) == ("pending", None)
    assert editor.ok("POST", f"{url}/looks/now")["asked_at"] == asked["asked_at"]
    card = editor.get(f"{url}/card.txt")
    assert card.content_type == "text/plain; charset=utf-8"
    assert "ada@example.org" in card.get_data(as_text=True)
    table = editor.get(f"{url}/results.csv")
    assert table.content_type == "text/csv; charset=utf-8"
    assert table.get_data(as_text=True).startswith("look,at,day,")
    segments = editor.get(f"{url}/results.csv?by=segment").get_data(as_text=True)
    assert segments.startswith("look,attribute,what,value,metric,arm,")
    assert editor.get(f"{url}/results.csv?by=country").status_code in {400, 422}
    found = editor.ok("GET", f"{url}/results.json")
    assert (found["format"], found["looks"]) == ("flagstone-results-1", [])
    record = editor.ok("GET", f"{url}/record")
    assert [each["kind"] for each in record["records"]] == ["seal", "action", "start"]
    assert verify(record).identical

    with service.database.write() as session:
        experiment = session.exec(select(Experiment)).one()
        experiment.state, experiment.held_cause, experiment.held_from = "HELD", "quality", "RUNNING"
        told = {"offset": 1.0, "prospects": {"by_extension": [[86400.0, 0.7]]}}
        place = {"experiment_id": experiment.id, "number": 1, "at": experiment.created_at}
        session.add(Look(**place, verdict="CONTINUE", data=told, decision={}))
        session.add(experiment)
    explained = editor.ok("POST", f"{url}/explain", {"text": "testers switched arms"})
    assert (explained["state"], explained["held_cause"]) == ("RUNNING", None)
    assert editor.post(f"{url}/extend", {"by": "1d"}).status_code == 403
    client, headers = sign_in_ada(service)
    signed_body: dict[str, Any] = {"json": {}, "headers": headers}
    extended = client.post(f"/api/v1{url}/extend", json={"by": "1d"}, headers=headers)
    assert extended.get_json()["extension_seconds"] == 86400
    with service.database.write() as session:
        experiment = session.exec(select(Experiment)).one()
        experiment.state, experiment.verdict, experiment.winner = "RUNNING", "VALUE_PROVEN", "on"
        session.add(experiment)
    refused = editor.post(f"{url}/confirm")
    assert refused.status_code == 403
    confirmed = client.post(f"/api/v1{url}/confirm", **signed_body)
    assert confirmed.get_json()["state"] == "SHIPPING"
    assert editor.ok("POST", f"{url}/stop", {"reason": "the end"})["state"] == "ROLLED_BACK"
    people_step_in(editor, url, lambda verb: client.post(f"/api/v1{url}/{verb}", **signed_body))


def a_release_from_first_to_last(service: Any) -> None:
    editor = service.caller("editor")
    flag = {"key": "paint", "type": "string", "default": "old", "off": "old"}
    editor.ok(
        "POST", f"{P}/flags", flag | {"variants": {"old": {"value": "1"}, "new": {"value": "2"}}}
    )
    on = {"do": "turn_on", "flag": "paint"}
    editor.ok("POST", f"{P}/changes", {"environment": "production", "instructions": [on]})
    body = {
        "flag": "paint",
        "variant": "new",
        "guards": ["crash"],
        "steps": [{"share": 0.01, "approval": True}, 50, 100],
        "customer": "ada@example.org",
    }
    drafted = editor.ok("POST", f"{P}/releases", body)
    assert (drafted["key"], drafted["state"], drafted["release"]) == ("paint-new", "DRAFT", None)
    url = f"{P}/releases/paint-new"
    started = editor.ok("POST", f"{url}/start")
    assert (started["state"], started["release"]["share"]) == ("RAMPING", 0.01)
    refused = editor.post(f"{url}/approve")
    assert refused.status_code == 403
    client, headers = sign_in_ada(service)
    approved = client.post(f"/api/v1{url}/approve", json={}, headers=headers).get_json()
    assert approved["release"]["approved"] == [0]
    (listed,) = editor.ok("GET", f"{P}/releases?environment=production&flag=paint")["items"]
    kinds = [each["kind"] for each in listed["release"]["waits_for"]]
    assert (listed["release"]["steps"], kinds) == (3, ["hold", "sample"])
    assert editor.ok("GET", url)["plan"]["claim"] == "release"
    assert "ada@example.org" in editor.get(f"{url}/card.txt").get_data(as_text=True)
    assert editor.get(f"{P}/releases/checkout/card.txt").status_code == 404
    assert editor.ok("POST", f"{url}/stop", {"reason": "enough"})["verdict"] == "OVERRIDE_STOP"
    assert verify(editor.ok("GET", f"{url}/record")).identical
