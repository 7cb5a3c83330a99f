"""Roles per project and environment: the most specific word wins, and nothing leaks."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.api.conftest import Api, Person
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.models import User
from web.auth.rights import Rights
from web.auth.roles import Role
from web.auth.uses import uses_of

P = "/projects/shop"
ROLES = st.sampled_from(list(Role))


@pytest.fixture
def admin(shop: Any) -> Api:
    """An administrator of everything, in a shop with one flag of two variants."""
    admin: Api = shop.caller("admin")
    admin.ok("POST", f"{P}/flags", {"key": "checkout"})
    return admin


class SignedIn(Person):
    """Somebody who is signed in, without a password that would take its time."""

    def __init__(self, service: Any, role: str) -> None:
        with service.database.write() as session:
            user = User(
                email="ada@example.org", role=role, password_hash="-", created_at=service.clock()
            )
            session.add(user)
            session.flush()
            plain = auth.start_session(session, user, now=service.clock())
        self.client = service.app.test_client()
        self.client.set_cookie(SESSION_COOKIE, plain)
        self.csrf = ""
        self.csrf = self.ok("GET", "/whoami")["csrf_token"]


def person(shop: Any, admin: Api, everywhere: str, **roles: str) -> Person:
    """Sign somebody in with a role for everything, ``project``, and by environment."""
    ada = SignedIn(shop, everywhere)
    for place, role in roles.items():
        here = P if place == "project" else f"{P}/environments/{place}"
        admin.ok("PUT", f"{here}/members/ada@example.org", {"role": role})
    return ada


def turn_on(environment: str) -> dict[str, Any]:
    instruction = {"do": "turn_on", "flag": "checkout"}
    return {"environment": environment, "comment": "c", "instructions": [instruction]}


@given(ROLES, st.none() | ROLES, st.none() | ROLES)
def test_the_most_specific_role_holds_and_admin_everywhere_always(
    everywhere: Role, project: Role | None, environment: Role | None
) -> None:
    rights = Rights(
        everywhere,
        {} if project is None else {1: project},
        {} if environment is None else {2: (1, environment)},
    )
    said = [role for role in (environment, project, everywhere) if role is not None]
    holds = Role.ADMIN if everywhere is Role.ADMIN else said[0]
    assert rights.in_environment(1, 2) is holds
    elsewhere = Role.ADMIN if everywhere is Role.ADMIN else (project or everywhere)
    assert rights.in_environment(1, 3) is elsewhere
    assert rights.highest_in(1).rank >= max(holds.rank, rights.in_project(1).rank)
    assert rights.in_project(9) is everywhere
    # Whatever is hidden makes the caller one for whom reading sessions are narrowed.
    if rights.hidden([(1, 2)]) and rights.highest_in(1) is not Role.NONE:
        assert rights.may_hide


def test_an_environments_role_stands_in_place_of_its_projects(shop: Any, admin: Api) -> None:
    ada = person(shop, admin, "none", project="editor", production="viewer")
    assert ada.ok("POST", f"{P}/changes", turn_on("staging"))["changed"]
    assert ada.refused("POST", f"{P}/changes", turn_on("production")) == (403, "not_allowed")
    verb = f"{P}/flags/checkout/environments/production/kill"
    assert ada.refused("POST", verb) == (403, "not_allowed")
    assert ada.ok("GET", f"{P}/environments/production")["key"] == "production"
    assert ada.ok("GET", "/whoami")["may"] == {
        "shop": {"production": "viewer", "staging": "editor"}
    }


def test_a_role_in_one_environment_lets_read_the_project_and_nothing_of_the_others(
    shop: Any, admin: Api
) -> None:
    admin.ok("POST", f"{P}/changes", turn_on("production"))
    (entry, *_) = admin.ok("GET", f"{P}/audit?environment=production")["items"]
    waiting = admin.ok("POST", f"{P}/changes", turn_on("production") | {"mode": "request",
        "instructions": [{"do": "kill", "flag": "checkout"}]})  # fmt: skip
    ada = person(shop, admin, "none", staging="editor")
    assert [e["key"] for e in ada.ok("GET", f"{P}/environments")["items"]] == ["staging"]
    assert list(ada.ok("GET", f"{P}/flags/checkout")["environments"]) == ["staging"]
    assert ada.ok("POST", f"{P}/changes", turn_on("staging"))["changed"]
    (flag,) = ada.ok("GET", f"{P}/flags")["items"]
    assert list(flag["environments"]) == ["staging"]
    seen = ada.ok("GET", f"{P}/audit?limit=500")["items"]
    assert len(seen) < len(admin.ok("GET", f"{P}/audit?limit=500")["items"])
    assert entry["id"] not in {each["id"] for each in seen}
    assert ada.ok("GET", f"{P}/changes")["items"] == []
    given = ada.ok("POST", f"{P}/evaluate", {"context": {}})["environments"]
    assert [each["environment"] for each in given] == ["staging"]
    exported = ada.ok("GET", f"{P}/audit/export?limit=500")["items"]
    assert len({each["chain"] for each in exported}) == 2  # the project's, and staging's
    same = [
        ("GET", f"{P}/environments/production", f"{P}/environments/nowhere", None),
        ("GET", f"{P}/changes/{waiting['id']}", f"{P}/changes/4711", None),
        ("POST", f"{P}/changes/{waiting['id']}/withdraw", f"{P}/changes/4711/withdraw", {}),
        ("PATCH", f"{P}/changes/{waiting['id']}", f"{P}/changes/4711", {}),
        ("POST", f"{P}/audit/{entry['id']}/undo", f"{P}/audit/4711/undo", {}),
        ("GET", f"{P}/audit?environment=production", f"{P}/audit?environment=nowhere", None),
        ("PUT", f"{P}/environments/production/members/ada@example.org",
         f"{P}/environments/nowhere/members/ada@example.org", {"role": "admin"}),
    ]  # fmt: skip
    for method, path, nothing, body in same:
        hidden, missing = ada.call(method, path, body), ada.call(method, nothing, body)
        assert hidden.status_code == missing.status_code == 404, path
        said = hidden.get_json()["detail"].replace("production", "nowhere")
        number = str(waiting["id"]) if "changes" in path else str(entry["id"])
        assert said.replace(number, "4711") == missing.get_json()["detail"], path
    hidden = ada.call("POST", f"{P}/changes", turn_on("production"))
    missing = ada.call("POST", f"{P}/changes", turn_on("nowhere"))
    said = hidden.get_json()["detail"].replace("production", "nowhere")
    assert (hidden.status_code, said) == (404, missing.get_json()["detail"])


def test_what_a_flag_is_everywhere_needs_the_role_in_every_environment(
    shop: Any, admin: Api
) -> None:
    ada = person(shop, admin, "none", project="editor", production="viewer")
    archive = turn_on("staging") | {"instructions": [{"do": "archive", "flag": "checkout"}]}
    for mode in ("apply", "preview", "request"):
        assert ada.refused("POST", f"{P}/changes", archive | {"mode": mode})[0] == 403
    admin.ok("PUT", f"{P}/environments/production/members/ada@example.org", {"role": "editor"})
    assert ada.ok("POST", f"{P}/changes", archive)["changed"]
    # One who may not even know of the other environment is refused without its name.
    (entry,) = admin.ok("GET", f"{P}/audit?environment=staging&limit=1")["items"]
    admin.ok("PUT", f"{P}/environments/production/members/ada@example.org", {"role": "none"})
    answer = ada.call("POST", f"{P}/audit/{entry['id']}/undo", {"mode": "apply"})
    assert answer.status_code == 403
    assert "production" not in answer.get_data(as_text=True)


def test_a_project_without_a_role_is_not_there(shop: Any, admin: Api) -> None:
    shop.project("blog")
    ada = person(shop, admin, "none", project="viewer")
    hidden, missing = ada.call("GET", "/projects/blog"), ada.call("GET", "/projects/nowhere")
    assert hidden.status_code == missing.status_code == 404
    detail = hidden.get_json()["detail"].replace("blog", "nowhere")
    assert detail == missing.get_json()["detail"]
    assert [p["key"] for p in ada.ok("GET", "/projects")["items"]] == ["shop"]
    admin.ok("DELETE", f"{P}/members/ada@example.org")
    assert ada.refused("GET", P) == (404, "not_found")
    assert ada.ok("GET", "/whoami")["may"] == {}


def test_a_role_for_everything_is_narrowed_in_a_project(shop: Any, admin: Api) -> None:
    ada = person(shop, admin, "editor", project="viewer")
    assert ada.refused("POST", f"{P}/flags", {"key": "b"}) == (403, "not_allowed")
    admin.ok("DELETE", f"{P}/members/ada@example.org")
    assert ada.ok("POST", f"{P}/flags", {"key": "b"})["key"] == "b"


def test_a_projects_admin_manages_it_and_nothing_else(shop: Any, admin: Api) -> None:
    shop.project("blog")
    shop.person("bob@example.org", "viewer")
    ada = person(shop, admin, "viewer", project="admin")
    ada.ok("PUT", f"{P}/members/bob@example.org", {"role": "approver"})
    assert ada.refused("PUT", "/projects/blog/members/ada@example.org", {"role": "admin"})[0] == 403
    assert ada.refused("GET", "/members")[0] == 403
    assert ada.refused("POST", "/tokens", {"name": "x", "role": "admin"})[0] == 403
    assert ada.refused("PUT", f"{P}/members/root@example.org", {"role": "none"})[0] == 404
    shop.person("root@example.org", "admin")
    refused = ada.refused("PUT", f"{P}/members/root@example.org", {"role": "none"})
    assert refused == (409, "wrong_state")
    entry = ada.ok("GET", f"{P}/audit?resource=member:bob@example.org")["items"][0]
    assert (entry["action"], entry["after"]) == ("set_role", {"role": "approver"})
    assert entry["actor"] == "user:ada@example.org"


def test_an_environments_admin_manages_that_environment_only(shop: Any, admin: Api) -> None:
    ada = person(shop, admin, "none", project="viewer", staging="admin")
    here = f"{P}/environments/staging"
    ada.ok("PATCH", here, {"approvals_needed": 1})
    ada.ok("PUT", f"{here}/members/ada@example.org", {"role": "admin"})
    for method, path, body in (
        ("PATCH", f"{P}/environments/production", {"approvals_needed": 0}),
        ("PUT", f"{P}/members/ada@example.org", {"role": "admin"}),
        ("PUT", f"{P}/environments/production/members/ada@example.org", {"role": "admin"}),
        ("POST", f"{P}/tokens", {"kind": "usr", "name": "x", "role": "admin"}),
        ("GET", f"{P}/tokens", None),
        ("POST", f"{P}/flags", {"key": "new"}),
    ):
        assert ada.refused(method, path, body)[0] == 403, path


def test_who_becomes_admin_of_everything_has_no_other_roles_left(shop: Any, admin: Api) -> None:
    ada = person(shop, admin, "none", project="viewer", production="none")
    (number,) = [m["id"] for m in admin.ok("GET", "/members")["items"]]
    admin.ok("PATCH", f"/members/{number}", {"role": "admin"})
    assert ada.ok("POST", f"{P}/changes", turn_on("production"))["changed"]
    shop.person("root@example.org", "admin")
    admin.ok("PATCH", f"/members/{number}", {"role": "none"})
    assert ada.refused("GET", P) == (404, "not_found")


def test_a_key_for_some_environments_sees_and_changes_those_only(shop: Any, admin: Api) -> None:
    body = {"kind": "usr", "name": "ci", "role": "editor", "environments": ["staging"]}
    made = admin.ok("POST", f"{P}/tokens", body)
    assert made["environments"] == ["staging"]
    ci = Api(admin.client, made["token"])
    assert ci.ok("POST", f"{P}/changes", turn_on("staging"))["changed"]
    assert ci.post(f"{P}/changes", turn_on("production")).status_code == 404
    assert [e["key"] for e in ci.ok("GET", f"{P}/environments")["items"]] == ["staging"]
    archive = turn_on("staging") | {"instructions": [{"do": "archive", "flag": "checkout"}]}
    assert ci.post(f"{P}/changes", archive).status_code == 403
    assert ci.post(f"{P}/flags", {"key": "b"}).status_code == 403


def test_a_rotated_key_and_its_old_secret_overlap_for_as_long_as_was_said(
    shop: Any, admin: Api
) -> None:
    made = admin.ok("POST", f"{P}/tokens", {"kind": "usr", "name": "ci", "role": "viewer"})
    path = f"{P}/tokens/{made['id']}/rotate"
    rotated = admin.ok("POST", path, {"overlap_seconds": 600})
    old, new = Api(admin.client, made["token"]), Api(admin.client, rotated["token"])
    assert (old.get(P).status_code, new.get(P).status_code) == (200, 200)
    assert old.ok("GET", "/whoami")["name"] == new.ok("GET", "/whoami")["name"]
    shop.clock.advance(seconds=600)
    assert (old.get(P).status_code, new.get(P).status_code) == (401, 200)
    at_once = admin.ok("POST", path, {"overlap_seconds": 0})
    assert (new.get(P).status_code, at_once["old_secret_until"]) == (401, None)
    newest = Api(admin.client, at_once["token"])
    admin.ok("POST", f"{P}/tokens/{made['id']}/rotate", {"overlap_seconds": 60})
    admin.ok("POST", f"{P}/tokens/{made['id']}/revoke")
    assert newest.get(P).status_code == 401
    assert admin.post(path, {}).status_code == 409
    assert made["token"] not in str(admin.ok("GET", f"{P}/audit"))


def test_the_last_use_of_a_key_is_kept_outside_of_the_request(shop: Any, admin: Api) -> None:
    made = admin.ok("POST", f"{P}/tokens", {"kind": "usr", "name": "ci", "role": "viewer"})
    ci = Api(admin.client, made["token"])
    first = shop.clock()
    ci.ok("GET", P)
    shop.clock.advance(seconds=20)
    ci.ok("GET", P)

    def used() -> str | None:
        found = admin.ok("GET", f"{P}/tokens")["items"]
        return next(each["last_used_at"] for each in found if each["id"] == made["id"])

    assert used() is None
    uses_of(shop.app).write()
    assert used() == first.isoformat().replace("+00:00", "Z")
    shop.clock.advance(minutes=2)
    ci.ok("GET", P)
    uses_of(shop.app).write()
    assert used() == (first + dt.timedelta(seconds=140)).isoformat().replace("+00:00", "Z")


def test_whoever_may_not_know_of_an_environment_hears_of_no_clients_there(
    shop: Any, admin: Api
) -> None:
    ada = person(shop, admin, "none", project="editor", staging="none")
    both = admin.post(f"{P}/flags", {"key": "mine"}).headers["Flagstone-Made"]
    assert len(both.split(",")) == 2
    one = ada.call("POST", f"{P}/flags", {"key": "hers"})
    assert one.status_code == 201, one.get_json()
    assert len(one.headers["Flagstone-Made"].split(",")) == 1
