"""What an answer carries: the walls of a browser, and nothing that a caller wrote into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import sqlalchemy as sa

from tests.web.security.test_walls import address

EVIL = "a\r\nX-Evil: 1\r\n\r\n<script>"
ELSEWHERE = [
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "/%09/evil.example",
    "javascript:alert(1)",
    "http:evil.example",
    "/\r\nLocation: https://evil.example",
]
PARAMETERS = ("next", "to", "tab", "url", "redirect", "return", "done", "from", "filter", "theme")


def readable(walls: Any) -> Iterator[tuple[str, str]]:
    for rule in walls.app.url_map.iter_rules():
        if "GET" in (rule.methods or set()):
            yield rule.endpoint, address(rule, walls.values)


def test_every_answer_keeps_frames_scripts_and_guesses_out(walls: Any) -> None:
    """And no page writes when it is only read, or puts into a header what its address says."""
    client = walls.browser("admin")
    before = walls.written()
    for endpoint, path in readable(walls):
        answer = client.get(path, query_string=dict.fromkeys(PARAMETERS, EVIL))
        assert_walled(answer, endpoint, walls)
        assert_clean(answer, endpoint)
    assert walls.written() == before


def test_nothing_that_a_caller_writes_becomes_a_header(walls: Any) -> None:
    client = walls.browser("admin")
    values = {**dict.fromkeys(walls.values, quote(EVIL, safe="")), "number": "1"}
    kept = {name: walls.values[name] for name in walls.values if name.endswith("_id")}
    for rule in walls.app.url_map.iter_rules():
        if "GET" in (rule.methods or set()):
            answer = client.get(address(rule, {**values, **kept}))
            assert_clean(answer, rule.endpoint)
    visitor = walls.app.test_client()
    for endpoint, path in readable(walls):
        answer = visitor.get(path, query_string=dict.fromkeys(PARAMETERS, EVIL))
        assert_walled(answer, endpoint, walls)
        assert_clean(answer, endpoint)


def assert_walled(answer: Any, endpoint: str, walls: Any) -> None:
    headers = answer.headers
    policy = dict(
        part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'", endpoint
    assert policy["frame-ancestors"] == "'none'", endpoint
    assert policy["base-uri"] == "'none'", endpoint
    assert policy.get("script-src", "'self'") == "'self'", endpoint
    assert "unsafe-eval" not in headers["Content-Security-Policy"], endpoint
    assert headers["X-Frame-Options"] == "DENY", endpoint
    assert headers["X-Content-Type-Options"] == "nosniff", endpoint
    assert headers["Referrer-Policy"] == "same-origin", endpoint
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", endpoint
    assert "Access-Control-Allow-Origin" not in headers, endpoint
    public = endpoint.endswith("static") or endpoint == "api.get_openapi"
    assert public or "no-store" in headers["Cache-Control"], endpoint


def assert_clean(answer: Any, endpoint: str) -> None:
    assert answer.status_code < 500, endpoint
    assert "X-Evil" not in answer.headers, endpoint
    for name, value in answer.headers:
        assert not set("\r\n<") & set(value), (endpoint, name)
        if name == "Location":
            assert_here(value, endpoint)


def visit(browser: Any, path: str, word: str) -> Any:
    given = dict.fromkeys(PARAMETERS, word)
    return browser.get(path, query_string=given, headers={"Accept": "text/html"})


def test_no_page_sends_a_browser_to_another_site(walls: Any) -> None:
    client, visitor = walls.browser("admin"), walls.app.test_client()
    leads = [
        (browser, path)
        for browser in (client, visitor)
        for _, path in readable(walls)
        if "/api/" not in path and "Location" in visit(browser, path, ELSEWHERE[0]).headers
    ]
    assert len(leads) > 10
    for browser, path in [each for each in leads if each[0] is client] + leads[-3:]:
        for elsewhere in ELSEWHERE:
            answer = visit(browser, path, elsewhere)
            assert_here(answer.headers.get("Location", "/"), path)
    token = walls.token_of(client)
    for number, rule in enumerate(walls.app.url_map.iter_rules()):
        if not rule.endpoint.startswith("console.") or "POST" not in (rule.methods or set()):
            continue
        elsewhere = ELSEWHERE[number % (len(ELSEWHERE) - 1)]
        answer = client.post(
            address(rule, walls.values),
            data=dict.fromkeys(PARAMETERS, elsewhere),
            headers={**token, "Referer": elsewhere},
        )
        if rule.endpoint == "console.logout":
            client = walls.browser("admin")
            token = walls.token_of(client)
        assert_here(answer.headers.get("Location", "/"), rule.endpoint)


def assert_here(location: str, where: str) -> None:
    # As a browser reads it: a backslash is a slash, and white space in front is nothing.
    read = urlsplit(location.strip().replace("\\", "/"))
    assert (read.scheme, read.netloc) == ("", ""), (where, location)
    assert location.startswith("/"), (where, location)


def test_the_cookie_is_out_of_reach_and_only_over_tls_where_there_is_tls(walls: Any) -> None:
    from web.auth import service as auth

    with walls.database.write() as session:
        auth.create_user(
            session,
            email="ada@example.org",
            password="a long enough password",
            role=auth.Role.VIEWER,
            now=walls.clock(),
        )
    body = {"email": "ada@example.org", "password": "a long enough password"}
    for scheme in ("http", "https"):
        client = walls.app.test_client()
        answer = client.post("/api/v1/session", json=body, base_url=f"{scheme}://localhost")
        (cookie,) = answer.headers.getlist("Set-Cookie")
        parts = {part.strip().split("=")[0].lower() for part in cookie.split(";")}
        assert {"httponly", "samesite", "path", "max-age"} <= parts
        assert "SameSite=Lax" in cookie
        assert "domain" not in parts
        assert ("secure" in parts) is (scheme == "https")
        strict = answer.headers.get("Strict-Transport-Security")
        assert bool(strict) is (scheme == "https")


def test_a_session_that_somebody_planted_is_not_taken_over(walls: Any) -> None:
    from web.auth.guard import SESSION_COOKIE

    client = walls.browser("admin")
    planted = client.get_cookie(SESSION_COOKIE).value  # type: ignore[union-attr]
    victim = walls.app.test_client()
    for value in (planted, "chosen-by-eve"):
        from web.auth import service as auth

        email = f"{len(value)}@example.org"
        with walls.database.write() as session:
            auth.create_user(
                session,
                email=email,
                password="a long enough password",
                role=auth.Role.VIEWER,
                now=walls.clock(),
            )
        victim.set_cookie(SESSION_COOKIE, value)
        body = {"email": email, "password": "a long enough password"}
        assert victim.post("/api/v1/session", json=body).status_code == 201
        cookie = victim.get_cookie(SESSION_COOKIE)
        assert cookie is not None
        assert cookie.value != value
        eve = walls.app.test_client()
        eve.set_cookie(SESSION_COOKIE, value)
        assert eve.get("/api/v1/whoami").status_code == 401


def test_no_page_but_those_that_show_the_readers_own_address_repeats_a_host_header(
    walls: Any,
) -> None:
    """And none does where FLAGSTONE_PUBLIC_URL is set; nothing that is kept ever knows of it."""
    client, visitor = walls.browser("admin"), walls.app.test_client()
    cookie = client.get_cookie("fs_session")
    client.set_cookie("fs_session", cookie.value, domain="evil.example")
    repeated = set()
    for browser in (client, visitor):
        for endpoint, path in readable(walls):
            answer = browser.get(
                path, headers={"Accept": "text/html"}, base_url="http://evil.example"
            )
            assert "evil.example" not in answer.headers.get("Location", ""), endpoint
            if "evil.example" in answer.get_data(as_text=True):
                repeated.add(endpoint)
    assert repeated == SHOW_OUR_ADDRESS
    settings = walls.app.extensions["flagstone.settings"]
    walls.app.extensions["flagstone.settings"] = dataclasses.replace(
        settings, public_url="https://flags.example.com"
    )
    paths = dict(readable(walls))
    for endpoint in SHOW_OUR_ADDRESS:
        said = client.get(paths[endpoint], base_url="http://evil.example").get_data(as_text=True)
        assert "evil.example" not in said, endpoint
        assert "https://flags.example.com" in said, endpoint
    with walls.database.engine.connect() as connection:
        for table in sa.inspect(walls.database.engine).get_table_names():
            rows = connection.execute(sa.text(f'SELECT * FROM "{table}"')).all()
            assert "evil.example" not in repr(rows), table


# For a reader who copies it into a program: what their own browser's address line says.
SHOW_OUR_ADDRESS = {
    "api.show_docs",
    "console.show_connection",
    "console.show_flag",
    "console.show_instances",
    "console.show_report",
}
