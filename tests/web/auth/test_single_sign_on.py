"""Single sign-on against a real issuer on loopback, and against one that lies."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import werkzeug.serving
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import select

from flags.database import Database
from web.app import create_flask_app
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.models import ExternalIdentity, LoginSession, User
from web.auth.oidc_settings import OidcSettings
from web.auth.roles import Role
from web.settings import Settings, SettingsError

mock = pytest.importorskip("oidc_provider_mock", reason="no provider to sign in with here")
pytest.importorskip("authlib", reason="the extra oidc is not installed")

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@elsewhere.net"
PEOPLE = {
    "ada-1": {"email": "Ada@Example.org", "email_verified": True, "name": "Ada"},
    "bob-1": {"email": BOB, "email_verified": True, "groups": ["shop", "platform"]},
    "bob-2": {"email": BOB, "email_verified": True},
    "eve-1": {"email": EVE, "email_verified": True},
    "unsure-1": {"email": ADA, "email_verified": False},
    "mute-1": {"email": ADA},
}
Claims = dict[str, Any]


@dataclass
class Issuer:
    """The issuer in a thread, and what it is to say wrongly."""

    app: Flask
    url: str = ""
    lie: Callable[[Claims], Claims] | None = None
    sign: Callable[[Any, Claims], str] | None = None
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/oauth2/token" or self.lie is self.sign is None:
            return self.app.wsgi_app(environ, start_response)
        answer: list[Any] = []
        body = b"".join(self.app.wsgi_app(environ, lambda *given: answer.extend(given)))
        if not answer[0].startswith("200"):
            start_response(*answer[:2])
            return [body]
        document = json.loads(body)
        document["id_token"] = self._resigned(document["id_token"])
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(document).encode()]

    def _resigned(self, token: str) -> str:
        from joserfc import jwt
        from joserfc.jwk import RSAKey

        with self.app.test_request_context("/"):
            self.app.preprocess_request()
            from oidc_provider_mock._storage import storage

            key = RSAKey.import_key(storage.jwk.as_dict(is_private=True))
        claims = dict(jwt.decode(token, key).claims)
        claims = claims if self.lie is None else self.lie(claims)
        if self.sign is not None:
            return self.sign(key, claims)
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    users = [mock.User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
    issuer = Issuer(mock.app(user_claims=users))
    server = werkzeug.serving.make_server("localhost", 0, issuer, threaded=True)
    issuer.url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield issuer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def issuer(running: Issuer) -> Iterator[Issuer]:
    yield running
    running.lie = running.sign = None


@dataclass
class Here:
    """Our service, which trusts the issuer."""

    app: Flask
    database: Database
    issuer: Issuer

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def go(self, browser: FlaskClient, following: str = "") -> str:
        """Press the button; give the address at the issuer."""
        query = {"next": following} if following else {}
        answer = browser.get("/login/oidc", query_string=query)
        assert answer.status_code == 302, answer.get_data(as_text=True)
        return answer.location

    def allow(self, address: str, sub: str) -> str:
        """Be somebody at the issuer; give the address that it sends the browser back to."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", f"{parts.path}?{parts.query}", f"sub={sub}", form)
        answer = connection.getresponse()
        location = answer.headers["Location"]
        connection.close()
        assert answer.status == 302
        return location.removeprefix("http://localhost")

    def sign_in(self, sub: str, browser: FlaskClient | None = None, following: str = "") -> Any:
        browser = browser or self.browser()
        return browser.get(self.allow(self.go(browser, following), sub))

    def users(self) -> dict[str, str]:
        with self.database.read() as session:
            return {user.email: user.role for user in session.exec(select(User))}

    def made(self) -> tuple[int, int]:
        with self.database.read() as session:
            sessions = session.exec(select(LoginSession)).all()
            return len(sessions), len(session.exec(select(ExternalIdentity)).all())


@pytest.fixture
def here(sqlite_database: Database, tmp_path: Path, issuer: Issuer) -> Callable[..., Here]:
    """Give a maker of services on SQLite: what is asked here is the protocol."""
    return maker(sqlite_database, tmp_path, issuer)


@pytest.fixture
def here_on_both(database: Database, tmp_path: Path, issuer: Issuer) -> Callable[..., Here]:
    return maker(database, tmp_path, issuer)


def maker(database: Database, tmp_path: Path, issuer: Issuer) -> Callable[..., Here]:
    def make(*, password_login: bool = True, **settings: Any) -> Here:
        given = {"default_role": Role.VIEWER, "domains": ("example.org",), **settings}
        oidc = OidcSettings(issuer=issuer.url, client_id="flagstone", client_secret="s", **given)
        app = create_flask_app(
            Settings(
                database_url=database.url,
                data_directory=tmp_path,
                oidc=oidc,
                password_login=password_login,
            ),
            database,
        )
        with database.write() as session:
            # An installation that is set up; nobody signs in as this one.
            now = dt.datetime.now(dt.UTC)
            session.add(User(email="root@x", role="admin", password_hash="-", created_at=now))
        return Here(app, database, issuer)

    return make


def refused(answer: Any, words: str, status: int = 403) -> None:
    html = answer.get_data(as_text=True)
    assert (answer.status_code, words in html) == (status, True), html
    assert not any(SESSION_COOKIE in cookie for cookie in answer.headers.getlist("Set-Cookie"))


def test_a_person_comes_in_and_is_made_the_first_time(
    here_on_both: Callable[..., Here],
) -> None:
    flagstone = here_on_both()
    browser = flagstone.browser()
    page = browser.get("/login").get_data(as_text=True)
    assert "Sign in with localhost" in page
    address = flagstone.go(browser, "/api/v1/whoami")
    asked = {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert set(asked["scope"].split()) == {"openid", "email", "profile"}
    assert len(asked["state"]) >= 32
    assert len(asked["nonce"]) >= 32
    assert asked["code_challenge"]
    browser.set_cookie(SESSION_COOKIE, "one that somebody else knows")
    answer = browser.get(flagstone.allow(address, "ada-1"))
    assert (answer.status_code, answer.location) == (303, "/api/v1/whoami")
    who = browser.get("/api/v1/whoami").get_json()
    assert (who["name"], who["role"]) == (ADA, "viewer")
    assert browser.get_cookie(SESSION_COOKIE).value != "one that somebody else knows"
    assert browser.get_cookie("fs_sign_in", path="/login/oidc") is None
    flagstone.sign_in("ada-1")
    assert flagstone.users() == {"root@x": "admin", ADA: "viewer"}
    assert flagstone.made() == (2, 1)
    headers = {"X-CSRF-Token": who["csrf_token"]}
    assert browser.delete("/api/v1/session", headers=headers).status_code == 204
    assert browser.get("/api/v1/whoami").status_code == 401


def test_signing_in_ends_the_session_that_the_browser_had(here: Callable[..., Here]) -> None:
    flagstone = here()
    browser, thief = flagstone.browser(), flagstone.browser()
    flagstone.sign_in("ada-1", browser)
    before = browser.get_cookie(SESSION_COOKIE).value
    thief.set_cookie(SESSION_COOKIE, before)
    assert thief.get("/api/v1/whoami").status_code == 200
    flagstone.sign_in("bob-1", browser)
    assert browser.get_cookie(SESSION_COOKIE).value != before
    assert thief.get("/api/v1/whoami").status_code == 401


def test_groups_give_the_highest_role_at_each_sign_in(here: Callable[..., Here]) -> None:
    roles = (("shop", Role.VIEWER), ("platform", Role.APPROVER))
    flagstone = here(roles=roles, default_role=None)
    flagstone.sign_in("bob-1")
    assert flagstone.users()[BOB] == "approver"
    with flagstone.database.write() as session:
        user = session.exec(select(User).where(User.email == BOB)).one()
        auth.update_user(session, user.id or 0, role=Role.ADMIN)
    flagstone.sign_in("bob-1")
    assert flagstone.users()[BOB] == "approver"


def test_without_a_role_for_newcomers_only_who_is_known_comes_in(
    here: Callable[..., Here],
) -> None:
    flagstone = here(default_role=None)
    refused(flagstone.sign_in("ada-1"), "nobody of this address is known here")
    with flagstone.database.write() as session:
        now = dt.datetime.now(dt.UTC)
        session.add(User(email=ADA, role="editor", password_hash="-", created_at=now))
    assert flagstone.sign_in("ada-1").status_code == 303
    assert flagstone.users()[ADA] == "editor"


@pytest.mark.parametrize(
    ("sub", "words"),
    [
        ("eve-1", "people of this address do not sign in here"),
        ("unsure-1", "has not verified your e-mail address"),
        ("mute-1", "has not verified your e-mail address"),
    ],
)
def test_who_is_not_ours_or_not_proved_stays_outside(
    here: Callable[..., Here], sub: str, words: str
) -> None:
    flagstone = here()
    refused(flagstone.sign_in(sub), words)
    assert (flagstone.users(), flagstone.made()) == ({"root@x": "admin"}, (0, 0))


def test_an_address_that_changed_hands_over_there_brings_nobody_in(
    here: Callable[..., Here],
) -> None:
    flagstone = here()
    assert flagstone.sign_in("bob-1").status_code == 303
    refused(flagstone.sign_in("bob-2"), "another account over there has this address")


def test_who_is_shut_out_here_stays_outside(here: Callable[..., Here]) -> None:
    flagstone = here()
    assert flagstone.sign_in("ada-1").status_code == 303
    with flagstone.database.write() as session:
        user = session.exec(select(User).where(User.email == ADA)).one()
        auth.update_user(session, user.id or 0, disabled=True)
    refused(flagstone.sign_in("ada-1"), "shut out here")
    assert flagstone.made()[0] == 0


LIES: dict[str, Callable[[Claims], Claims]] = {
    "nonce": lambda c: c | {"nonce": "another"},
    "no nonce": lambda c: {k: v for k, v in c.items() if k != "nonce"},
    "audience": lambda c: c | {"aud": "another-client"},
    "audience, though we asked": lambda c: c | {"aud": "another-client", "azp": "flagstone"},
    "one audience of several": lambda c: c | {"aud": ["flagstone", "x"], "azp": "x"},
    "issuer": lambda c: c | {"iss": "https://login.example.com"},
    "expired": lambda c: c | {"exp": c["iat"] - 3600},
    "from tomorrow": lambda c: c | {"iat": c["iat"] + 86400, "exp": c["exp"] + 86400},
    "nobody": lambda c: {k: v for k, v in c.items() if k != "sub"},
}


@pytest.mark.parametrize("name", LIES)
def test_an_id_token_that_is_not_for_this_attempt_is_not_believed(
    here: Callable[..., Here], issuer: Issuer, name: str
) -> None:
    flagstone = here()
    issuer.lie = LIES[name]
    refused(flagstone.sign_in("ada-1"), "is not to be believed")
    assert flagstone.made() == (0, 0)


def by_a_stranger(_key: Any, claims: Claims) -> str:
    from joserfc import jwt
    from joserfc.jwk import RSAKey

    return jwt.encode({"alg": "RS256"}, claims, RSAKey.generate_key(2048))


def _parts(header: Claims, claims: Claims) -> str:
    parts = [json.dumps(each).encode() for each in (header, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def by_nobody(_key: Any, claims: Claims) -> str:
    return _parts({"alg": "none"}, claims) + "."


def by_the_public_key(key: Any, claims: Claims) -> str:
    text = _parts({"alg": "HS256", "kid": key.kid}, claims)
    signature = hmac.digest(key.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize("sign", [by_a_stranger, by_nobody, by_the_public_key])
def test_an_id_token_that_the_issuer_did_not_sign_is_not_believed(
    here: Callable[..., Here], issuer: Issuer, sign: Callable[[Any, Claims], str]
) -> None:
    flagstone = here()
    issuer.sign = sign
    refused(flagstone.sign_in("ada-1"), "is not to be believed")


def test_an_answer_counts_in_the_browser_that_asked_and_once(here: Callable[..., Here]) -> None:
    flagstone = here()
    browser, other = flagstone.browser(), flagstone.browser()
    address = flagstone.go(browser)
    kept = browser.get_cookie("fs_sign_in", path="/login/oidc").value
    back = flagstone.allow(address, "ada-1")
    refused(other.get(back), "this browser has not asked to sign in")
    flagstone.go(other)
    refused(other.get(back), "belongs to another attempt")
    assert browser.get(back).status_code == 303
    # Even with the cookie kept, the issuer takes a code once.
    browser.set_cookie("fs_sign_in", kept, path="/login/oidc")
    refused(browser.get(back), "does not take this code")
    again = flagstone.go(browser)
    state = parse_qs(urlsplit(again).query)["state"][0]
    denied = browser.get(f"/login/oidc/callback?error=access_denied&state={state}")
    refused(denied, "did not let you in")


def test_one_is_led_back_to_our_own_pages_only(here: Callable[..., Here]) -> None:
    flagstone = here()
    for bad in ("https://evil.example", "//evil.example", "/\\evil.example"):
        assert flagstone.sign_in("ada-1", following=bad).location == "/"


def test_passwords_can_be_switched_off(here: Callable[..., Here]) -> None:
    flagstone = here(password_login=False)
    browser = flagstone.browser()
    assert 'type="password"' not in browser.get("/login").get_data(as_text=True)
    credentials = {"email": "root@x", "password": "a long enough password"}
    answer = browser.post("/api/v1/session", json=credentials)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "not_allowed")
    assert flagstone.sign_in("ada-1").status_code == 303


def test_an_issuer_that_is_away_or_another_one_is_said_so(here: Callable[..., Here]) -> None:
    flagstone = here()
    gone = OidcSettings(issuer="http://localhost:9", client_id="x")
    # Reached by another name, it says of itself that it is another one.
    posing = OidcSettings(issuer=flagstone.issuer.url.replace("localhost", "127.0.0.1") + "/x",
                          client_id="x")  # fmt: skip
    for oidc in (gone, posing):
        settings = Settings(database_url=flagstone.database.url, oidc=oidc)
        app = create_flask_app(settings, flagstone.database)
        refused(app.test_client().get("/login/oidc"), "cannot be reached", 503)


def test_without_single_sign_on_there_is_nothing_of_it(here: Callable[..., Here]) -> None:
    database = here().database
    client = create_flask_app(Settings(database_url=database.url), database).test_client()
    assert client.get("/login/oidc").status_code == 404
    assert client.get("/login/oidc/callback").status_code == 404


GOOD = {
    "FLAGSTONE_OIDC_ISSUER": "https://login.example.com",
    "FLAGSTONE_OIDC_CLIENT_ID": "flagstone",
    "FLAGSTONE_OIDC_CLIENT_SECRET": "secret-word",
    "FLAGSTONE_OIDC_DOMAINS": "Example.org, example.com",
    "FLAGSTONE_OIDC_ROLES": "cn=platform,ou=x=admin",
    "FLAGSTONE_PASSWORD_LOGIN": "off",
}


def test_the_settings_travel_and_the_secret_is_not_shown() -> None:
    with pytest.raises(SettingsError, match="FLAGSTONE_OIDC_ROLES"):
        Settings.from_environment(GOOD)
    good = GOOD | {"FLAGSTONE_OIDC_ROLES": "platform=admin"}
    settings = Settings.from_environment(good)
    assert settings.oidc is not None
    assert (settings.oidc.domains, settings.password_login) == (
        ("example.org", "example.com"),
        False,
    )
    assert Settings.from_environment(settings.to_environment()) == settings
    assert "secret-word" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLAGSTONE_OIDC_ISSUER", "http://login.example.com"),
        ("FLAGSTONE_OIDC_ISSUER", "login.example.com"),
        ("FLAGSTONE_OIDC_ISSUER", "https://login.example.com?x=1"),
        ("FLAGSTONE_OIDC_CLIENT_ID", ""),
        ("FLAGSTONE_OIDC_DEFAULT_ROLE", "king"),
        ("FLAGSTONE_OIDC_ROLES", "platform"),
        ("FLAGSTONE_PASSWORD_LOGIN", "perhaps"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(variable: str, value: str) -> None:
    good = GOOD | {"FLAGSTONE_OIDC_ROLES": "platform=admin"}
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment(good | {variable: value})


def test_no_password_without_another_way_is_refused() -> None:
    with pytest.raises(SettingsError, match="FLAGSTONE_PASSWORD_LOGIN"):
        Settings.from_environment({"FLAGSTONE_PASSWORD_LOGIN": "off"})
