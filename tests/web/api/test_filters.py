"""Every list that people search is narrowed in one language."""

from __future__ import annotations

from typing import Any

import pytest

P = "/projects/shop"
PROD = f"{P}/environments/production"
BOB, MIA = (
    {"email": f"{name}@example.org", "password": "a long enough password"}
    for name in ("bob", "mia")
)


@pytest.fixture
def furnished(shop: Any, admin: Any, editor: Any) -> Any:
    for flag in ("checkout", "search"):
        admin.ok("POST", f"{P}/flags", {"key": flag})
    for person, role in ((BOB, "viewer"), (MIA, "none")):
        admin.ok("POST", "/members", {**person, "name": person["email"][:3], "role": role})
    admin.ok("PUT", f"{P}/members/{MIA['email']}", {"role": "approver"})
    limits = {"role": "editor", "budget": {"share_per_day": 0.1}}
    admin.ok("PUT", f"{P}/environments/staging/members/{BOB['email']}", limits)
    admin.ok("POST", f"{P}/tokens", {
        "kind": "usr", "name": "ci", "role": "editor", "budget": {"kill_only": True},
        "environments": ["staging"], "expires_at": "2026-12-24T00:00:00Z",
    })  # fmt: skip
    for number, name in enumerate(("sdk one", "sdk two")):
        place = ("production", "staging")[number]
        key = admin.ok("POST", f"{P}/tokens", {"kind": "srv", "name": name, "environment": place})
    admin.ok("POST", f"{P}/tokens/{key['id']}/revoke")
    admin.ok("POST", f"{P}/webhooks", {
        "name": "chat", "url": "https://chat.example.org/x", "form": "slack",
        "kinds": ["flag.killed"], "environments": ["production"],
    })  # fmt: skip
    admin.ok("POST", f"{P}/webhooks", {"name": "ours", "url": "https://example.org/a"})
    for name, scope, names in (("alerts", "flags", ["checkout"]), ("pager", "owner", ["growth"])):
        body = {"name": name, "scope": scope, "names": names}
        hook = admin.ok("POST", f"{PROD}/kill-hooks", body)
    admin.ok("POST", f"{PROD}/kill-hooks/{hook['id']}/revoke")
    condition = {"attr": "country", "op": "in", "values": ["at"]}
    for name in ("eu", "beta users"):
        instruction = {"do": "add_segment", "segment": name.replace(" ", "-"),
                       "name": name, "condition": condition}  # fmt: skip
        admin.ok("POST", f"{P}/changes", {
            "environment": "production", "instructions": [instruction]
        })  # fmt: skip
    admin.ok("PATCH", PROD, {"approvals_needed": 1, "after": "staging"})
    for caller, flag, place in ((editor, "checkout", "production"), (admin, "search", "staging")):
        asked = caller.ok("POST", f"{P}/changes", {
            "environment": place, "flag": flag, "instructions": [{"do": "turn_on"}],
            "mode": "request", "comment": f"the {flag} of Vienna",
        })  # fmt: skip
    admin.ok("POST", f"{P}/changes/{asked['id']}/decline", {"comment": "not now"})
    return admin


# By list, what is shown of an entry, and which entries each filter leaves.
FOUND: dict[tuple[str, str], dict[str, list[str]]] = {
    (f"{P}/tokens", "name"): {
        "": ["sdk two", "sdk one", "ci"],
        "sdk": ["sdk two", "sdk one"],
        "kind:usr": ["ci"],
        "-kind:usr env:prod*": ["sdk one"],
        "env:staging": ["sdk two", "ci"],
        "is:live": ["sdk one", "ci"],
        "is:revoked": ["sdk two"],
        "is:unused has:budget": ["ci"],
        "role:editor,approver": ["ci"],
        "ends:<=2026-12-24": ["ci"],
        "used:<1d": [],
        "by:me created:today": ["sdk two", "sdk one", "ci"],
        "-by:me": [],
    },
    ("/tokens", "name"): {"role:admin": ["admin"], "name:ed* is:live": ["editor"]},
    ("/members", "email"): {
        "": [BOB["email"], MIA["email"]],
        "role:none": [MIA["email"]],
        "-is:disabled bob": [BOB["email"]],
        "email:M*": [MIA["email"]],
    },
    (f"{P}/members", "email"): {
        "": [BOB["email"], MIA["email"]],
        "may:approver": [MIA["email"]],
        "may:editor env:staging has:budget": [BOB["email"]],
        "role:approver": [MIA["email"]],
        "everywhere:viewer": [BOB["email"]],
    },
    (f"{P}/webhooks", "name"): {
        "form:slack kind:flag* env:production": ["chat"],
        "-form:slack": ["ours"],
        "is:failing": [],
        "is:enabled chat.example": ["chat"],
    },
    (f"{PROD}/kill-hooks", "name"): {
        "-is:revoked": ["alerts"],
        "scope:owner": ["pager"],
        "kills:check*": ["alerts"],
        "growth is:unused": ["pager"],
    },
    (f"{PROD}/segments", "key"): {
        "": ["beta-users", "eu"],
        '"beta users"': ["beta-users"],
        "key:e*": ["eu"],
        "created:>1d": [],
    },
    (f"{P}/environments", "key"): {
        "is:production": ["production"],
        "is:reviewed after:staging": ["production"],
        "-is:reviewed": ["staging"],
    },
    (f"{P}/changes", "comment"): {
        "": ["the search of Vienna", "the checkout of Vienna"],
        "is:waiting": ["the checkout of Vienna"],
        "-is:waiting": ["the search of Vienna"],
        "state:declined,stale": ["the search of Vienna"],
        "env:prod*": ["the checkout of Vienna"],
        "-env:prod*": ["the search of Vienna"],
        "flag:check* vienna": ["the checkout of Vienna"],
        "-flag:checkout": ["the search of Vienna"],
        "by:me": ["the search of Vienna"],
        "by:editor*": ["the checkout of Vienna"],
        "is:scheduled": [],
        "at:<1d": [],
        "created:today changed:<1h": ["the search of Vienna", "the checkout of Vienna"],
    },
}


def test_every_list_is_found_by_what_it_shows(furnished: Any) -> None:
    for (path, shown), filters in FOUND.items():
        for text, names in filters.items():
            query = {"filter": text, "fields": shown}
            found = furnished.call("GET", path, query_string=query).get_json()
            assert [each.get(shown) for each in found["items"]] == names, (path, text, found)


def test_pages_are_cut_out_of_what_was_found(furnished: Any) -> None:
    for path, text in ((f"{P}/tokens", "sdk"), (f"{P}/changes", "Vienna -flag:zzz")):
        query = {"filter": text, "limit": "1"}
        first = furnished.call("GET", path, query_string=query).get_json()
        query["cursor"] = first["next_cursor"]
        second = furnished.call("GET", path, query_string=query).get_json()
        assert second["next_cursor"] is None
        assert first["items"][0]["id"] > second["items"][0]["id"]


def test_what_a_list_cannot_be_asked_for_is_refused(shop: Any, admin: Any) -> None:
    admin.ok("POST", f"{P}/flags", {"key": "checkout"})
    for path, _shown in FOUND:
        refused = admin.call("GET", path, query_string={"filter": "colour:red"})
        assert (refused.status_code, refused.get_json()["field"]) == (400, "filter"), path
        assert "at character 1" in refused.get_json()["detail"]
