"""Every route of people, keys, flags and environments, walked from first to last."""

from __future__ import annotations

from typing import Any

from flags.audit import verify_chain
from tests.web.api.conftest import Person

P = "/projects/shop"
PROD = f"{P}/environments/production"


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
    assert admin.ok("PATCH", f"/tokens/{token.get_json()['id']}", {"name": "ci"})["name"] == "ci"
    assert admin.ok("GET", f"/tokens/{token.get_json()['id']}")["allowances"] == {}
    again = admin.ok("POST", f"/tokens/{token.get_json()['id']}/rotate", {})
    assert again["old_secret_until"] == "2026-12-01T10:00:00Z"
    revoked = admin.ok("POST", f"/tokens/{token.get_json()['id']}/revoke")
    assert revoked["live"] is False
    bob = {"email": "bob@example.org", "password": password, "role": "viewer", "name": "Bob"}
    member = admin.ok("POST", "/members", bob)
    assert member["role"] == "viewer"
    assert "password" not in str(member)
    assert admin.ok("GET", f"/members/{member['id']}") == member
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
    assert admin.ok("GET", f"{P}/tokens/{key['id']}")["environment"] == "staging"
    admin.ok("PATCH", f"{P}/tokens/{key['id']}", {"name": "web"})
    rotated = admin.ok("POST", f"{P}/tokens/{key['id']}/rotate", {"overlap_seconds": 60})
    assert rotated["token"] != key["token"]
    assert rotated["old_secret_until"] == "2026-12-01T09:01:00Z"
    member = admin.ok("PUT", f"{P}/members/bob@example.org", {"role": "viewer"})
    assert member["may"] == {"production": "viewer", "staging": "viewer"}
    assert admin.ok("GET", f"{P}/members/bob@example.org") == member
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
    assert (clients["items"], clients["fallbacks"], clients["ofrep"]) == ([], [], [])
    events = admin.ok("GET", f"{P}/environments/dev/events?hours=720")
    assert admin.ok("GET", f"{P}/environments/dev/events/latest?type=event")["items"] == []
    assert (events["recent"], events["quality"]) == ([], [])
    assert set(clients["counts"]) == {"current", "behind", "without_flags", "silent"}
    assert admin.get(f"{P}/environments/dev").headers["ETag"].startswith(f'"{made["revision"]}-')


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
