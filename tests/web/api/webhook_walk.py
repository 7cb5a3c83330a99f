"""A webhook from its making to its end, over every route that it has."""

from __future__ import annotations

from typing import Any

P = "/projects/shop"
URL = "https://hooks.example.com/services/T0/B0"


def a_kill_hook_from_first_to_last(admin: Any) -> None:
    here = f"{P}/environments/production/kill-hooks"
    admin.ok("POST", f"{P}/flags", {"key": "guarded"})
    body = {"name": "alerts", "scope": "flags", "names": ["guarded"]}
    made = admin.ok("POST", here, body)
    assert made["secret"].startswith("fs_hook_")
    (listed,) = admin.ok("GET", here)["items"]
    assert "secret" not in listed
    assert admin.ok("POST", f"{here}/{made['id']}/revoke")["revoked_at"]


def a_webhook_from_first_to_last(admin: Any) -> None:
    body = {"name": "ours", "url": URL, "environments": ["production"], "kinds": ["flag"]}
    made = admin.ok("POST", f"{P}/webhooks", body)
    here = f"{P}/webhooks/{made['id']}"
    assert made["secret"].startswith("whsec_")
    assert "secret" not in admin.ok("GET", here)
    assert [each["url"] for each in admin.ok("GET", f"{P}/webhooks")["items"]] == [URL]
    version = {"If-Match": f'"{made["version"]}"'}
    edited = admin.ok("PATCH", here, {"kinds": [], "form": "slack"}, headers=version)
    assert (edited["kinds"], edited["form"]) == ([], "slack")
    stale = admin.call("PATCH", here, json={"name": "other"}, headers=version)
    assert stale.status_code == 412
    rotated = admin.ok("POST", f"{here}/rotate", {"overlap_hours": 1})
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"]
    sent = admin.ok("POST", f"{here}/test")
    assert (sent["kind"], sent["state"], sent["attempts"]) == ("webhook.test", "waiting", [])
    (listed,) = admin.ok("GET", f"{here}/deliveries?state=waiting")["items"]
    assert listed == admin.ok("GET", f"{here}/deliveries/{sent['id']}") == sent
    assert admin.ok("POST", f"{here}/deliveries/{sent['id']}/replay")["state"] == "waiting"
    again = admin.ok("POST", f"{here}/replay", {"since": "2020-01-01T00:00:00Z"})
    assert again == {"messages": 0}  # the worker has given nothing out yet
    assert not admin.ok("PATCH", here, {"enabled": False})["enabled"]
    assert admin.post(f"{here}/test").status_code == 409
    assert admin.call("DELETE", here).status_code == 204
    assert admin.get(here).status_code == 404


def notices_are_read(viewer: Any) -> None:
    found = viewer.ok("GET", f"{P}/notifications")
    assert found["unread"] == len([each for each in found["items"] if each["unread"]])
    read = viewer.ok("POST", f"{P}/notifications/read", {"up_to": 10**6})
    assert read == {"unread": 0}
