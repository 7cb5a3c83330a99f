"""Another site cannot make a signed-in browser write: not by any route, not by any form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.security.conftest import send
from tests.web.security.test_walls import address

FOREIGN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
]
# Each is tried on one route: whether a browser vouches is decided in one place.
ODD: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"Referer": "http://localhost/"},
]
# These have no session yet: that they refuse another site's browser is tested beside them.
WITHOUT_SESSION = frozenset({"console.complete_setup", "console.do_login"})


def forms(walls: Any) -> Iterator[tuple[str, str]]:
    for rule in walls.app.url_map.iter_rules():
        if rule.endpoint.startswith("console.") and "POST" in (rule.methods or set()):
            yield rule.endpoint, address(rule, walls.values)


@pytest.mark.parametrize("headers", FOREIGN, ids=[str(each) for each in FOREIGN])
def test_no_route_and_no_form_takes_what_another_site_sends(
    walls: Any, headers: dict[str, str]
) -> None:
    client = walls.browser("admin")
    good = walls.token_of(client)
    before = walls.written()
    # With a browser's word that it comes from elsewhere, even our own token does not help.
    if "Sec-Fetch-Site" in headers or "Origin" in headers:
        headers = {**headers, **good}
    for each in walls.operations():
        if each.method == "GET" or each.role is None:
            continue
        answer = send(client, each, each.at(walls.values), headers=headers)
        assert answer.status_code == 403, (each.name, answer.status_code)
        assert answer.get_json()["code"] == "cross_site_request", each.name
    for endpoint, path in forms(walls):
        if endpoint in WITHOUT_SESSION:
            continue
        answer = client.post(path, data={}, headers=headers)
        assert answer.status_code == 403, (endpoint, answer.status_code)
    assert walls.written() == before


@pytest.mark.parametrize("headers", ODD, ids=[str(each) for each in ODD])
def test_an_odd_origin_is_another_site(walls: Any, headers: dict[str, str]) -> None:
    client = walls.browser("admin")
    answer = client.post("/api/v1/projects", json={"key": "forged"}, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_form_of_another_site_cannot_pass_for_json(walls: Any, kind: str) -> None:
    client = walls.browser("admin")
    body = json.dumps({"key": "forged"})
    answer = client.post("/api/v1/projects/shop/flags", data=body, content_type=kind)
    assert answer.status_code == 403


def test_a_token_of_another_session_or_of_nobody_is_none(walls: Any) -> None:
    client, other = walls.browser("admin"), walls.browser("editor")
    nobody = walls.app.test_client()
    nobody.get("/login")
    for token in (walls.token_of(other)["X-CSRF-Token"], "", "x", "None", "nobody"):
        answer = client.post("/api/v1/projects", json={"key": "x"}, headers={"X-CSRF-Token": token})
        assert answer.status_code == 403
