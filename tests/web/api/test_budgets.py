"""Budgets of keys and members over HTTP, and the token that proves a preview."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.web.api.conftest import Api, Person

P = "/projects/shop"
RULE = {"id": "r", "serve": {"split": {"weights": {"on": 1}, "coverage": 0.0}}}


@pytest.fixture
def admin(shop: Any) -> Api:
    """An administrator, and a flag that is on for nobody yet."""
    admin: Api = shop.caller("admin")
    admin.ok("POST", f"{P}/flags", {"key": "checkout"})
    setup = [{"do": "set_default", "variant": "off"}, {"do": "add_rule", "rule": RULE},
             {"do": "turn_on"}]  # fmt: skip
    for environment in ("production", "staging"):
        body = {"environment": environment, "flag": "checkout", "instructions": setup}
        admin.ok("POST", f"{P}/changes", body)
    return admin


def key(admin: Api, **more: Any) -> Api:
    body = {"kind": "usr", "name": "ci", "role": "editor", **more}
    return Api(admin.client, admin.ok("POST", f"{P}/tokens", body)["token"])


def widen(share: float, **more: Any) -> dict[str, Any]:
    step = {"do": "set_coverage", "flag": "checkout", "rule": "r", "value": share}
    return {"environment": "production", "instructions": [step], **more}


def test_a_key_beyond_its_budget_is_told_what_is_left(admin: Api) -> None:
    ci = key(admin, budget={"share_per_change": 0.2, "share_per_day": 0.25})
    assert ci.ok("POST", f"{P}/changes", widen(0.2))["changed"]
    answer = ci.post(f"{P}/changes", widen(0.3))
    assert answer.status_code == 403
    said = answer.get_json()
    assert (said["code"], said["field"]) == ("over_budget", "instructions")
    assert "5 % is left" in said["detail"]
    assert said["hint"]
    assert ci.ok("POST", f"{P}/changes", widen(0.25))["changed"]
    assert ci.ok("POST", f"{P}/flags/checkout/environments/production/kill")["changed"]
    listed = admin.ok("GET", f"{P}/tokens")["items"][0]
    assert listed["budget"] == {"share_per_change": 0.2, "share_per_day": 0.25}


def test_a_rotated_key_keeps_its_budget_and_what_it_used(admin: Api) -> None:
    made = admin.ok("POST", f"{P}/tokens", {"kind": "usr", "name": "ci", "role": "editor",
                                            "budget": {"share_per_day": 0.1}})  # fmt: skip
    ci = Api(admin.client, made["token"])
    ci.ok("POST", f"{P}/changes", widen(0.1))
    rotated = admin.ok("POST", f"{P}/tokens/{made['id']}/rotate", {})
    again = Api(admin.client, rotated["token"])
    assert again.post(f"{P}/changes", widen(0.05)).get_json()["code"] == "over_budget"


def test_a_preview_token_is_of_this_change_this_base_and_this_caller(shop: Any, admin: Api) -> None:
    ci = key(admin, budget={"require_preview": True})
    refused = ci.post(f"{P}/changes", widen(0.1)).get_json()
    assert (refused["code"], refused["field"]) == ("over_budget", "preview_token")
    seen = ci.ok("POST", f"{P}/changes", widen(0.1, mode="preview"))["preview_token"]
    for body in (widen(0.2, preview_token=seen), widen(0.1, preview_token=seen + "x"),
                 widen(0.1, preview_token=seen, environment="staging")):  # fmt: skip
        assert ci.post(f"{P}/changes", body).status_code == 400
    other = admin.ok("POST", f"{P}/changes", widen(0.1, mode="preview"))["preview_token"]
    assert ci.post(f"{P}/changes", widen(0.1, preview_token=other)).status_code == 400
    assert ci.ok("POST", f"{P}/changes", widen(0.1, preview_token=seen, comment="now"))["changed"]
    late = ci.ok("POST", f"{P}/changes", widen(0.2, mode="preview"))["preview_token"]
    admin.ok("POST", f"{P}/changes", widen(0.15))
    moved = ci.post(f"{P}/changes", widen(0.2, preview_token=late))
    assert (moved.status_code, moved.get_json()["code"]) == (403, "over_budget")
    ask = widen(0.3, mode="request")
    assert ci.post(f"{P}/changes", ask).get_json()["field"] == "preview_token"
    seen = ci.ok("POST", f"{P}/changes", widen(0.3, mode="preview"))["preview_token"]
    assert ci.ok("POST", f"{P}/changes", ask | {"preview_token": seen})["state"] == "open"


def test_who_could_lift_a_budget_gets_none(shop: Any, admin: Api) -> None:
    shop.person("bob@example.org", "viewer")
    budget = {"share_per_day": 0.1}
    for method, path, body in (
        ("POST", f"{P}/tokens", {"kind": "usr", "name": "x", "role": "admin", "budget": budget}),
        ("POST", "/tokens", {"name": "x", "role": "admin", "budget": budget}),
        ("PUT", f"{P}/members/bob@example.org", {"role": "admin", "budget": budget}),
        ("POST", f"{P}/tokens", {"kind": "srv", "name": "x", "environment": "staging",
                                 "budget": budget}),
        ("POST", f"{P}/tokens", {"kind": "usr", "name": "x", "role": "editor",
                                 "budget": {"share_per_day": 2}}),
        ("POST", f"{P}/tokens", {"kind": "usr", "name": "x", "role": "editor",
                                 "budget": {"share": 0.1}}),
    ):  # fmt: skip
        answer = admin.call(method, path, json=body)
        assert answer.status_code == 400, body
        assert answer.get_json()["field"].startswith("budget")


def test_a_release_is_paid_for_when_it_starts_and_every_day_until_it_ends(
    shop: Any, admin: Api
) -> None:
    admin.ok("POST", f"{P}/flags", {"key": "next"})
    setup = [{"do": "set_default", "variant": "off"}, {"do": "turn_on"}]
    body = {"environment": "production", "flag": "next", "instructions": setup}
    admin.ok("POST", f"{P}/changes", body)
    plan = {"flag": "next", "variant": "on", "guards": ["refund"], "customer": "ada@example.org",
            "steps": [{"share": 0.05, "hold": "1h"}, {"share": 0.2, "hold": "1h"}]}  # fmt: skip
    endless = admin.ok("POST", f"{P}/releases", {**plan, "key": "endless"})["key"]
    plan["steps"][1]["approval"] = True  # type: ignore[index]
    ci = key(admin, budget={"share_per_day": 0.22})
    made = ci.post(f"{P}/releases", plan)
    if made.status_code != 201:
        pytest.fail(made.get_data(as_text=True))
    name = made.get_json()["key"]
    # In the end it serves everybody, and nobody has to approve that.
    refused = ci.post(f"{P}/releases/{endless}/start").get_json()
    assert (refused["code"], "100 %" in refused["detail"]) == ("over_budget", True)
    ci.ok("POST", f"{P}/releases/{name}/start")
    shop.clock.advance(days=3)
    # Of 22 % a day, 20 % is promised to the release for as long as it runs.
    assert ci.post(f"{P}/changes", widen(0.05)).get_json()["code"] == "over_budget"
    assert ci.ok("POST", f"{P}/changes", widen(0.02))["changed"]
    ci.ok("POST", f"{P}/releases/{name}/stop", {"reason": "enough"})
    shop.clock.advance(days=1, seconds=1)
    assert ci.ok("POST", f"{P}/changes", widen(0.2))["changed"]


def test_no_two_releases_that_start_at_one_time_exceed_a_day(shop: Any, admin: Api) -> None:
    setup = [{"do": "set_default", "variant": "off"}, {"do": "turn_on"}]
    ci = key(admin, budget={"share_per_day": 0.25})
    names = []
    for number in range(4):
        flag = f"next-{number}"
        admin.ok("POST", f"{P}/flags", {"key": flag})
        body = {"environment": "production", "flag": flag, "instructions": setup}
        admin.ok("POST", f"{P}/changes", body)
        plan = {"flag": flag, "variant": "on", "guards": ["refund"], "customer": "ada@example.org",
                "steps": [{"share": 0.01, "hold": "1h"},
                          {"share": 0.1, "hold": "1h", "approval": True}]}  # fmt: skip
        names.append(ci.ok("POST", f"{P}/releases", plan)["key"])
    gate = threading.Barrier(4)

    def start(name: str) -> tuple[int, str]:
        mine = Api(shop.app.test_client(use_cookies=False), ci.token)
        gate.wait()
        answer = mine.post(f"{P}/releases/{name}/start")
        return answer.status_code, answer.get_json().get("code", "")

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(start, names))
    assert answers == [(200, ""), (200, ""), (403, "over_budget"), (403, "over_budget")]
    # What is promised is kept from everything else that the key might move.
    assert ci.post(f"{P}/changes", widen(0.06)).get_json()["code"] == "over_budget"
    assert ci.ok("POST", f"{P}/changes", widen(0.05))["changed"]


def test_who_approves_a_step_pays_for_what_follows_by_itself(shop: Any, admin: Api) -> None:
    bob = Person(shop, "bob", "viewer")
    admin.ok("POST", f"{P}/flags", {"key": "next"})
    setup = [{"do": "set_default", "variant": "off"}, {"do": "turn_on"}]
    body = {"environment": "production", "flag": "next", "instructions": setup}
    admin.ok("POST", f"{P}/changes", body)
    plan = {"flag": "next", "variant": "on", "guards": ["refund"], "customer": "ada@example.org",
            "steps": [{"share": 0.01, "approval": True},
                      {"share": 0.1, "approval": True}, 50]}  # fmt: skip
    name = admin.ok("POST", f"{P}/releases", plan)["key"]
    admin.ok("POST", f"{P}/releases/{name}/start")
    budget: dict[str, Any] = {"share_per_day": 0.05}
    for allowed in (0.05, 0.1):
        budget["share_per_day"] = allowed
        said = {"role": "approver", "budget": budget}
        admin.ok("PUT", f"{P}/members/bob@example.org", said)
        answer = bob.call("POST", f"{P}/releases/{name}/approve")
        assert (answer.status_code == 200) is (allowed == 0.1), answer.get_data(as_text=True)
    assert answer.get_json()["release"]["approved"] == [0]


def test_whoever_must_preview_first_can_do_all_that_others_can(admin: Api) -> None:
    ci = key(admin, budget={"require_preview": True})

    def told(method: str, path: str, body: Any) -> Any:
        refused = ci.client.open(
            f"/api/v1{path}", method=method, json=body,
            headers={"Authorization": f"Bearer {ci.token}"},
        ).get_json()  # fmt: skip
        assert (refused["code"], refused["field"]) == ("over_budget", "preview_token"), refused
        seen = ci.ok(method, path, {**body, "mode": "preview"})
        assert seen["mode"] == "preview"
        token = {"preview_token": seen["preview_token"]}
        return ci.ok(method, path, {**body, **token})

    flag = f"{P}/flags/checkout/environments"
    assert ci.ok("POST", f"{flag}/staging/off", {"comment": "free"})["changed"]
    assert told("POST", f"{flag}/staging/on", {"comment": "again"})["changed"]
    wider = {**widen(0.4, environment="staging"), "mode": "apply"}
    assert told("POST", f"{P}/changes", wider)["changed"]
    assert told("POST", f"{flag}/staging/promote", {"to": "production", "mode": "apply"})["changed"]
    assert told("POST", f"{P}/changes", {**wider, **widen(0.6, environment="staging")})["changed"]
    everything = {"to": "production", "mode": "apply"}
    assert told("POST", f"{P}/environments/staging/promote", everything)["changed"]
    entry = ci.ok("GET", f"{P}/flags/checkout/history?environment=production")["items"][0]["id"]
    assert told("POST", f"{P}/audit/{entry}/undo", {"mode": "apply"})["changed"]
    files = ci.ok("GET", f"{P}/files")
    files.pop("base")
    for state in files["flags"]["checkout"]["environments"].values():
        state["rules"][0]["serve"]["split"]["coverage"] = 0.9
    done = told("POST", f"{P}/files/import", {**files, "mode": "apply"})
    assert done["published"].keys() == {"production", "staging"}


def test_a_preview_of_files_is_void_when_an_environment_moved(admin: Api) -> None:
    ci = key(admin, budget={"require_preview": True})
    files = ci.ok("GET", f"{P}/files")
    files.pop("base")
    files["flags"]["checkout"]["environments"]["production"]["enabled"] = False
    seen = ci.ok("POST", f"{P}/files/import", files)["preview_token"]
    admin.ok("POST", f"{P}/changes", widen(0.1, environment="staging"))
    late = {**files, "mode": "apply", "preview_token": seen}
    answer = ci.post(f"{P}/files/import", late).get_json()
    assert (answer["code"], answer["field"]) == ("over_budget", "preview_token")
    assert "moved since" in answer["detail"]


def test_files_are_asked_for_environment_by_environment(admin: Api) -> None:
    files = admin.ok("GET", f"{P}/files")
    files.pop("base")
    checkout = files["flags"]["checkout"]
    checkout["variants"]["blue"] = {"value": True}
    for state in checkout["environments"].values():
        state["default"] = "blue"
    files["flags"]["fresh"] = {**checkout, "key": "fresh", "environments": {}}
    body = {**files, "mode": "request", "comment": "from git"}
    answer = admin.post(f"{P}/files/import", body)
    assert answer.status_code == 201, answer.get_json()
    asked = answer.get_json()
    assert asked["created"] == ["fresh"]
    assert [each["environment"] for each in asked["changes"]] == ["production", "staging"]
    assert {each["state"] for each in asked["changes"]} == {"open"}
    # Nothing is served yet.
    assert admin.ok("GET", f"{P}/flags/checkout")["environments"]["staging"]["default"] == "off"


def test_what_is_left_of_a_budget_is_said_before_and_after_it_is_used(admin: Api) -> None:
    ci = key(admin, budget={"share_per_change": 0.2, "share_per_day": 0.25})
    whole = {"used_today": 0.0, "left_today": 0.25, "left": 0.2}
    mine = ci.ok("GET", "/whoami")["allowances"]["shop"]
    assert mine.keys() == {"production", "staging"}
    assert mine["production"] == {"budget": mine["production"]["budget"], **whole}
    seen = ci.ok("POST", f"{P}/changes", widen(0.2, mode="preview"))["budgets"]["production"]
    assert {name: seen[name] for name in whole} == whole
    assert (seen["moves"], seen["refused"]) == (0.2, None)
    assert ci.ok("POST", f"{P}/changes", widen(0.2))["changed"]
    again = ci.ok("POST", f"{P}/changes", widen(0.3, mode="preview"))["budgets"]["production"]
    assert (again["left_today"], again["left"], again["used_today"]) == (0.05, 0.05, 0.2)
    assert "5 % is left" in again["refused"]
    (listed,) = [each for each in admin.ok("GET", f"{P}/tokens")["items"] if each["name"] == "ci"]
    assert listed["allowances"]["production"]["left_today"] == 0.05
    assert listed["allowances"]["staging"]["left_today"] == 0.25
    # To take a feature away costs nothing, and whoever has no budget is told of none.
    off = {"environment": "production", "instructions": [{"do": "kill", "flag": "checkout"}]}
    seen = ci.ok("POST", f"{P}/changes", {**off, "mode": "preview"})["budgets"]["production"]
    assert (seen["moves"], seen["refused"]) == (0.0, None)
    assert "budgets" not in admin.ok("POST", f"{P}/changes", widen(0.3, mode="preview"))
    assert admin.ok("GET", "/whoami")["allowances"] == {}


def test_the_budget_of_a_key_is_changed_and_what_it_used_stays_used(admin: Api) -> None:
    ci = key(admin, budget={"share_per_day": 0.1})
    ci.ok("POST", f"{P}/changes", widen(0.1))
    number = admin.ok("GET", f"{P}/tokens")["items"][0]["id"]
    path = f"{P}/tokens/{number}"
    before = admin.get(path)
    wider = {"budget": {"share_per_day": 0.15}}
    # Its use is no reason to decide anew; a change of it is.
    held = {"headers": {"If-Match": before.headers["ETag"]}}
    answer = admin.call("PATCH", path, json=wider, **held)
    assert answer.status_code == 200
    assert answer.get_json()["allowances"]["production"]["left_today"] == 0.05
    late = admin.call("PATCH", path, json={"budget": None}, **held)
    assert (late.status_code, late.get_json()["code"]) == (412, "version_conflict")
    said = late.get_json()["conflict"]
    assert said["theirs"]["after"] == {"budget": {"share_per_day": 0.15}}
    assert (said["yours"]["after"], said["both"]) == ({"budget": None}, ["budget"])
    assert ci.post(f"{P}/changes", widen(0.2)).get_json()["code"] == "over_budget"
    assert ci.ok("POST", f"{P}/changes", widen(0.15))["changed"]
    entry = admin.ok("GET", f"{P}/audit")["items"]
    edits = [each for each in entry if each["action"] == "edit_token"]
    assert [each["before"] for each in edits] == [{"budget": {"share_per_day": 0.1}}]
    assert admin.ok("PATCH", path, {"budget": None})["budget"] is None
    assert ci.ok("POST", f"{P}/changes", widen(0.9))["changed"]
    # Nobody lifts their own: that takes an administrator, who has none.
    assert ci.call("PATCH", path, json=wider).status_code == 403


def test_what_is_left_to_a_member_is_listed(shop: Any, admin: Api) -> None:
    shop.person("bea@example.org", role="viewer")
    body = {"role": "editor", "budget": {"share_per_day": 0.5}}
    made = admin.ok("PUT", f"{P}/members/bea@example.org", body)
    assert made["allowances"]["production"]["left_today"] == 0.5
    (listed,) = [
        each for each in admin.ok("GET", f"{P}/members")["items"] if each["budget"] is not None
    ]
    assert listed["allowances"] == made["allowances"]
    read = admin.get(f"{P}/members/bea@example.org")
    assert read.get_json() == made
    held = {"headers": {"If-Match": read.headers["ETag"]}}
    path = f"{P}/environments/staging/members/bea@example.org"
    assert admin.call("PUT", path, json={"role": "viewer"}, **held).status_code == 200
    late = admin.call("PUT", f"{P}/members/bea@example.org", json={"role": "viewer"}, **held)
    assert (late.status_code, late.get_json()["conflict"]["both"]) == (412, ["budget", "role"])
