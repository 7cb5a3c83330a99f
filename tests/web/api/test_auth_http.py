"""Signing in over HTTP: cookies, forgery, lock-out, limits, and headers on everything."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.test import TestResponse

from web import security
from web.auth.models import LoginSession, User
from web.auth.service import update_user

EMAIL = "ada@example.org"
PASSWORD = "a long enough password"
SAME = {"Origin": "http://localhost"}


def sign_in(client: FlaskClient, password: str = PASSWORD, **options: Any) -> TestResponse:
    body = {"email": EMAIL, "password": password}
    return client.post("/api/v1/session", json=body, **options)


@pytest.fixture
def client(service: Any) -> FlaskClient:
    service.person(EMAIL)
    app: Flask = service.app
    return app.test_client()


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = response.get_json()
    assert document["status"] == status
    return document


def test_a_session_cookie_is_out_of_reach_of_scripts_and_other_sites(client: FlaskClient) -> None:
    cookie = sign_in(client).headers["Set-Cookie"]
    assert cookie.startswith("fs_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    secure = sign_in(client, base_url="https://localhost")
    assert "Secure" in secure.headers["Set-Cookie"]


def test_signing_in_gives_a_new_session_and_ends_the_one_before(
    client: FlaskClient, service: Any
) -> None:
    client.set_cookie("fs_session", "planted-by-somebody")
    sign_in(client)
    first = client.get_cookie("fs_session")
    assert first is not None
    assert first.value != "planted-by-somebody"
    sign_in(client)
    second = client.get_cookie("fs_session")
    assert second is not None
    assert second.value != first.value
    client.set_cookie("fs_session", first.value)
    problem(client.get("/api/v1/whoami"), 401)
    with service.database.read() as session:
        assert len(session.exec(select(LoginSession)).all()) == 1


def test_wrong_password_and_unknown_account_look_the_same(client: FlaskClient) -> None:
    wrong = problem(sign_in(client, "wrong password"), 401)
    body = {"email": "nobody@example.org", "password": "wrong password"}
    unknown = problem(client.post("/api/v1/session", json=body), 401)
    assert wrong == unknown
    assert wrong["code"] == "unauthenticated"


def test_a_refusal_says_how_to_authenticate(client: FlaskClient) -> None:
    response = client.get("/api/v1/whoami")
    assert problem(response, 401)["hint"]
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="flagstone"'


def test_repeated_failures_shut_the_account_with_a_growing_delay(
    client: FlaskClient, service: Any
) -> None:
    for _ in range(5):
        problem(sign_in(client, "wrong password"), 401)
    locked = sign_in(client)
    assert problem(locked, 429)["code"] == "too_many_attempts"
    assert locked.headers["Retry-After"] == "15"
    service.clock.advance(seconds=15)
    problem(sign_in(client, "wrong password"), 401)
    assert sign_in(client).headers["Retry-After"] == "30"
    service.clock.advance(seconds=30)
    assert sign_in(client).status_code == 201


def test_one_address_has_only_so_many_attempts_over_all_accounts(
    client: FlaskClient, service: Any
) -> None:
    for number in range(security.ATTEMPTS_PER_ADDRESS):
        body = {"email": f"user{number}@example.org", "password": "wrong password"}
        problem(client.post("/api/v1/session", json=body), 401)
    problem(sign_in(client), 429)
    elsewhere = sign_in(client, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == 201
    service.clock.advance(seconds=security.ATTEMPT_WINDOW_SECONDS)
    assert sign_in(client).status_code == 201


def test_set_up_codes_can_be_guessed_only_so_often(service: Any) -> None:
    client = service.app.test_client()
    body = {"code": "guess", "email": EMAIL, "password": PASSWORD}
    statuses = [client.post("/api/v1/setup", json=body).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]


def test_a_shut_out_person_is_out_at_once(client: FlaskClient, service: Any) -> None:
    service.person("root@example.org")
    sign_in(client)
    assert client.get("/api/v1/whoami").status_code == 200
    with service.database.write() as session:
        user = session.exec(select(User).where(User.email == EMAIL)).one()
        update_user(session, user.id, disabled=True)
    problem(client.get("/api/v1/whoami"), 401)
    problem(sign_in(client), 401)


def test_a_session_is_over_after_seven_days(client: FlaskClient, service: Any) -> None:
    sign_in(client)
    service.clock.advance(days=6.99)
    assert client.get("/api/v1/whoami").status_code == 200
    service.clock.advance(days=0.01)
    problem(client.get("/api/v1/whoami"), 401)


def test_signing_out_takes_the_cookie_and_ends_the_session(client: FlaskClient) -> None:
    token = sign_in(client).get_json()["csrf_token"]
    cookie = client.get_cookie("fs_session")
    assert cookie is not None
    response = client.delete("/api/v1/session", headers={"X-CSRF-Token": token})
    assert response.status_code == 204
    assert client.get_cookie("fs_session") is None
    client.set_cookie("fs_session", cookie.value)
    problem(client.get("/api/v1/whoami"), 401)


def test_a_new_password_ends_every_other_session(client: FlaskClient, service: Any) -> None:
    other = service.app.test_client()
    sign_in(other)
    token = sign_in(client).get_json()["csrf_token"]
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    headers = {"X-CSRF-Token": token}
    wrong = {**body, "current_password": "x"}
    problem(client.post("/api/v1/session/password", json=wrong, headers=headers), 401)
    weak = {**body, "new_password": "short"}
    refused = problem(client.post("/api/v1/session/password", json=weak, headers=headers), 400)
    assert "it needs 10" in refused["detail"]
    assert client.post("/api/v1/session/password", json=body, headers=headers).status_code == 201
    assert client.get("/api/v1/whoami").status_code == 200
    problem(other.get("/api/v1/whoami"), 401)
    problem(sign_in(other), 401)


def test_a_key_has_no_password(service: Any, admin: Any) -> None:
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    assert problem(admin.post("/session/password", body), 403)["code"] == "not_allowed"


FORGED = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "file://"},
    {"Origin": "http://[bad"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"X-CSRF-Token": "made-up"},
]


def test_a_signed_in_browser_cannot_be_made_to_write_by_another_site(
    client: FlaskClient, service: Any
) -> None:
    service.project()
    token = sign_in(client).get_json()["csrf_token"]
    before = service.written()
    for headers in FORGED:
        response = client.post("/api/v1/projects/shop/flags", json={"key": "a"}, headers=headers)
        assert problem(response, 403)["code"] == "cross_site_request", headers
    # A foreign page's form cannot say that it is JSON; ours carries the token.
    form = {"data": {"key": "a"}, "headers": SAME}
    problem(client.post("/api/v1/projects/shop/flags", **form), 403)
    evil = {"X-CSRF-Token": token, "Origin": "https://evil.example"}
    response = client.post("/api/v1/projects/shop/flags", json={"key": "a"}, headers=evil)
    problem(response, 403)
    assert service.written() == before
    for number, headers in enumerate(
        [
            SAME,
            {"Sec-Fetch-Site": "same-origin"},
            {"X-CSRF-Token": token},
            {"Origin": "http://localhost:80"},
        ]
    ):
        body = {"key": f"flag-{number}"}
        response = client.post("/api/v1/projects/shop/flags", json=body, headers=headers)
        assert response.status_code == 201, headers


def test_a_form_token_is_of_one_session_and_one_day(client: FlaskClient, service: Any) -> None:
    other = service.app.test_client()
    stolen = sign_in(other).get_json()["csrf_token"]
    own = sign_in(client).get_json()["csrf_token"]
    problem(client.delete("/api/v1/session", headers={"X-CSRF-Token": stolen}), 403)
    problem(client.delete("/api/v1/session", headers={"X-CSRF-Token": own[:-1]}), 403)
    assert client.delete("/api/v1/session", headers={"X-CSRF-Token": own}).status_code == 204


def test_another_site_cannot_sign_a_browser_in(client: FlaskClient) -> None:
    refused = sign_in(client, headers={"Origin": "https://evil.example"})
    assert problem(refused, 403)["field"] == "Origin"
    assert client.get_cookie("fs_session") is None


def test_a_key_needs_no_proof_of_origin(service: Any, admin: Any) -> None:
    body = {"key": "shop"}
    made = admin.post("/projects", body, headers={"Origin": "https://tools.example"})
    assert made.status_code == 201


BAD_AUTHORIZATIONS = [
    "",
    "Bearer",
    "Bearer ",
    "Basic YWRhOmFkYQ==",
    "Bearer fs_usr_short",
    "Bearer fs_usr_" + "A" * 43,
    "Bearer fs_usr_" + "A" * 42 + "\xff",
    "Bearer " + "A" * 5000,
]


def test_a_bad_authorization_header_is_401_even_beside_a_good_cookie(client: FlaskClient) -> None:
    sign_in(client)
    for header in BAD_AUTHORIZATIONS:
        response = client.get("/api/v1/whoami", headers={"Authorization": header})
        assert problem(response, 401)["field"] == "Authorization", header


def test_revoked_and_expired_keys_are_refused(service: Any, admin: Any) -> None:
    soon = "2026-12-01T10:00:00+00:00"
    made = admin.ok("POST", "/tokens", {"name": "ci", "role": "viewer", "expires_at": soon})
    caller = type(admin)(admin.client, made["token"])
    assert caller.get("/whoami").status_code == 200
    service.clock.advance(hours=1)
    problem(caller.get("/whoami"), 401)
    made = admin.ok("POST", "/tokens", {"name": "ci", "role": "viewer"})
    caller = type(admin)(admin.client, made["token"])
    admin.ok("POST", f"/tokens/{made['id']}/revoke")
    problem(caller.get("/whoami"), 401)


def test_every_answer_carries_the_security_headers(client: FlaskClient) -> None:
    for response in (sign_in(client), client.get("/api/v1/whoami"), client.get("/nowhere")):
        headers = response.headers
        policy = headers["Content-Security-Policy"]
        for part in (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
        ):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" not in headers
    secure = client.get("/api/v1/whoami", base_url="https://localhost")
    assert "max-age" in secure.headers["Strict-Transport-Security"]


def test_no_password_session_or_key_reaches_the_log(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(0):
        sign_in(client, "wrong password")
        sign_in(client)
        client.get("/api/v1/whoami", headers={"Authorization": "Bearer fs_usr_secret"})
    cookie = client.get_cookie("fs_session")
    assert cookie is not None
    for secret in (PASSWORD, "wrong password", cookie.value, "fs_usr_secret"):
        assert secret not in caplog.text
