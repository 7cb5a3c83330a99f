"""Who may do what: roles, kinds of keys, and keys of one project."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask

from flags import services
from web.auth import guard
from web.auth import service as auth
from web.auth.roles import Role

VALUES = {
    "project_key": "shop",
    "environment_key": "production",
    "flag_key": "checkout",
    "segment_key": "eu",
    "experiment_key": "exp",
    "release_key": "checkout-on",
    "metric_key": "purchase",
    "policy_name": "ours-14d",
    "layer_key": "checkout",
    "source_key": "warehouse",
    "request_id": "1",
    "change_id": "1",
    "entry_id": "1",
    "webhook_id": "1",
    "delivery_id": "1",
    "hook_id": "1",
    "number": "1",
    "token_id": "1",
    "member_id": "1",
    "email": "nobody@example.org",
}
MANAGED = ("/members", "/tokens", "/webhooks", "/kill-hooks")
LADDER = [None, Role.VIEWER, Role.EDITOR, Role.APPROVER, Role.ADMIN]


def addresses(app: Flask) -> list[tuple[str, str, Role | None]]:
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/v1"):
            continue
        path = re.sub(r"<any\((\w+).*?>", r"\1", rule.rule.removeprefix("/api/v1"))
        path = re.sub(r"<(?:[^:<>]*:)?(\w+)>", lambda match: VALUES[match[1]], path)
        role = guard.needed_role(app.view_functions[rule.endpoint])
        found.extend(
            (method, path, role) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        )
    return found


def test_each_role_passes_the_door_of_its_routes_and_of_no_other(shop: Any) -> None:
    before = shop.written()
    callers = {role: shop.caller(role) for role in ("viewer", "editor", "approver", "admin")}
    callers_with_nothing = shop.app.test_client(use_cookies=False)
    for method, path, needed in addresses(shop.app):
        if needed is None:
            continue
        # A body that no route understands: whoever passes the door fails on it, and writes nothing.
        options: dict[str, Any] = {"data": b"[", "content_type": "application/json"}
        nobody = callers_with_nothing.open("/api/v1" + path, method=method, **options)
        assert nobody.status_code == 401, path
        for role, caller in callers.items():
            if path.endswith("/revoke") and Role(role).covers(needed):
                continue
            status = caller.call(method, path, **options).status_code
            if Role(role).covers(needed):
                assert status not in {401, 403}, (method, path, role)
            else:
                assert status == 403, (method, path, role)
    assert shop.written() == before


def test_a_reader_cannot_write_and_a_writer_cannot_manage(shop: Any) -> None:
    for method, path, needed in addresses(shop.app):
        if needed is None:
            continue
        if method == "GET":
            managed = any(part in path for part in MANAGED)
            assert needed is (Role.ADMIN if managed else Role.VIEWER), path
        elif path.endswith(("/looks/now", "/notifications/read")):
            # Anybody may look at any time: it leaves a question for the worker, and moves nothing.
            assert needed is Role.VIEWER, path
        elif "/session" not in path and not path.endswith("/evaluate"):
            assert needed in {Role.EDITOR, Role.APPROVER, Role.ADMIN}, path
        if any(part in path for part in MANAGED):
            assert needed is Role.ADMIN, path


def test_the_data_planes_keys_do_not_open_this_api(shop: Any) -> None:
    with shop.database.write() as session:
        environment = services.get_environment(session, "shop", "production")
        keys = [
            auth.create_token(
                session,
                kind,
                name="sdk",
                project_id=environment.project_id,
                environment_id=environment.id,
                created_by="test",
                now=shop.clock(),
            )[0]
            for kind in (auth.TokenKind.SERVER, auth.TokenKind.CLIENT)
        ]
    client = shop.app.test_client(use_cookies=False)
    for key in keys:
        for method, path, needed in addresses(shop.app):
            if needed is None:
                continue
            headers = {"Authorization": f"Bearer {key}"}
            response = client.open("/api/v1" + path, method=method, headers=headers)
            assert response.status_code == 403, path
            assert response.get_json()["field"] == "Authorization"


def test_a_key_of_one_project_sees_no_other_and_nothing_of_the_whole(shop: Any) -> None:
    shop.project("blog")
    other = shop.caller("admin")
    other.ok("POST", "/projects/shop/flags", {"key": "checkout"})
    scoped = shop.caller("admin", project="blog")
    before = shop.written()
    for method, path, needed in addresses(shop.app):
        if needed is None or path.startswith(("/whoami", "/session")) or path == "/projects":
            continue
        options = {} if method == "GET" else {"json": {}}
        response = scoped.call(method, path, **options)
        whole = path.startswith(("/members", "/tokens"))
        assert response.status_code == (403 if whole else 404), (method, path)
        assert response.content_type == "application/problem+json"
        if not whole:
            nowhere = scoped.call(method, path.replace("/shop", "/nowhere"), **options)
            said = response.get_json()["detail"].replace("shop", "nowhere")
            assert nowhere.get_json()["detail"] == said, path
    assert shop.written() == before
    assert scoped.post("/projects", {"key": "third"}).status_code == 403
    assert [p["key"] for p in scoped.ok("GET", "/projects")["items"]] == ["blog"]
    assert scoped.ok("GET", "/whoami")["project"] == "blog"
    assert scoped.ok("POST", "/projects/blog/flags", {"key": "a"})["key"] == "a"


def test_a_projects_admin_cannot_make_or_revoke_keys_beyond_the_project(shop: Any) -> None:
    shop.project("blog")
    everywhere = shop.caller("admin")
    foreign = everywhere.ok(
        "POST", "/projects/shop/tokens", {"kind": "usr", "name": "x", "role": "viewer"}
    )
    scoped = shop.caller("admin", project="blog")
    made = scoped.ok("POST", "/projects/blog/tokens", {"kind": "usr", "name": "y", "role": "admin"})
    heir = type(scoped)(scoped.client, made["token"])
    assert heir.ok("GET", "/whoami")["project"] == "blog"
    assert heir.get("/projects/shop").status_code == 404
    response = scoped.post(f"/projects/blog/tokens/{foreign['id']}/revoke")
    assert response.status_code == 404
    listed = everywhere.ok("GET", "/projects/shop/tokens")["items"]
    assert [token["live"] for token in listed] == [True]


def test_a_view_that_does_not_say_whom_it_is_for_is_shut(service: Any) -> None:
    app = service.app
    app.add_url_rule("/open", "api.forgotten", lambda: "secret")
    response = app.test_client().get("/open")
    assert response.status_code == 500
    assert b"secret" not in response.data


def test_the_audit_names_who_did_it(shop: Any) -> None:
    editor = shop.caller("editor", name="deploy")
    editor.ok("POST", "/projects/shop/flags", {"key": "checkout"})
    entry = shop.caller("viewer").ok("GET", "/projects/shop/audit?limit=1")["items"][0]
    assert re.fullmatch(r"token:deploy#\d+", entry["actor"])
    assert entry["resource"] == "flag:checkout"
