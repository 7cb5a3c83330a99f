"""Secrets stay secret: out of every log, compared in constant time, kept as hashes."""

from __future__ import annotations

import ast
import datetime as dt
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import experiments
import flags
import web
from flags import services
from flags.actor import Actor
from flags.database import Database
from tests.web.conftest import wait_until
from tests.web.security.conftest import KEYS
from web.auth import login
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.passwords import MINIMUM_LENGTH, verify_password
from web.webhooks import services as webhooks
from web.webhooks.models import Delivery
from web.webhooks.networks import parse_networks

PASSWORD = "correct horse battery staple"
WRONG = "Tr0ub4dor-and-3-more"
SECRET_WORDS = ("secret", "password", "token", "csrf", "signature", "code_hash", "digest")


def use_every_secret(client: Any, walls: Any) -> list[str]:
    """Sign in, make, use and misuse one of everything that is secret; give all of it."""
    secrets = [PASSWORD, WRONG]
    email = "ada@example.org"
    client.post("/api/v1/session", json={"email": email, "password": WRONG})
    signed = client.post("/api/v1/session", json={"email": email, "password": PASSWORD})
    assert signed.status_code == 201
    token = signed.get_json()["csrf_token"]
    cookie = client.get_cookie(SESSION_COOKIE)
    headers = {"X-CSRF-Token": token}
    shop = "/api/v1/projects/shop"
    secrets += [cookie.value, token]
    for path, body, field in (
        ("/api/v1/tokens", {"name": "ci", "role": "admin"}, "token"),
        (f"{shop}/tokens", {"kind": "srv", "name": "a", "environment": "staging"}, "token"),
        (f"{shop}/webhooks", {"name": "a", "url": "https://a.example/PATH-SECRET"}, "secret"),
        (f"{shop}/webhooks/{walls.values['webhook_id']}/rotate", {}, "secret"),
        (
            f"{shop}/environments/production/kill-hooks",
            {"name": "a", "scope": "flags", "names": [KEYS["flag_key"]]},
            "secret",
        ),
    ):
        answer = client.post(path, json=body, headers=headers)
        assert answer.status_code < 300, answer.get_data(as_text=True)
        secrets.append(answer.get_json()[field])
    hook = secrets[-1]
    for body in ({"alert": "x"}, {}, {"alerts": 7}):
        client.post(f"/hooks/kill/{hook}", json=body)
    client.post(f"/hooks/kill/{hook[:-1]}", json={"alert": "x"})
    for key in secrets[4:]:
        bearer = {"Authorization": f"Bearer {key}"}
        for path in ("/api/v1/whoami", "/api/v1/projects/nope", "/sdk/v1/flagset", "/hooks/kill"):
            client.get(path, headers=bearer)
            client.post(path, data=b"{", headers=bearer, content_type="application/json")
    return [*secrets, "PATH-SECRET"]


def test_no_secret_reaches_a_log(
    walls: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    with walls.database.write() as session:
        auth.create_user(
            session,
            email="ada@example.org",
            password=PASSWORD,
            role=auth.Role.ADMIN,
            now=walls.clock(),
        )
    client = walls.app.test_client()
    secrets = use_every_secret(client, walls)
    # The worst moment to be careless is an error that nobody foresaw.
    from web.webhooks import kill_hooks

    def fail(*_: Any, **__: Any) -> None:
        message = "unforeseen"
        raise RuntimeError(message)

    monkeypatch.setattr(auth, "authenticate", fail)
    monkeypatch.setattr(kill_hooks, "act", fail)
    body = {"email": "ada@example.org", "password": PASSWORD}
    assert client.post("/api/v1/session", json=body).status_code == 500
    said = caplog.text + repr([each.__dict__ for each in caplog.records])
    assert "incident" in said
    assert [each for each in secrets if each in said] == []


def test_a_statement_that_fails_is_logged_without_what_it_carried(
    walls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk is told of with the statement; its values may be secrets."""
    caplog.set_level(logging.DEBUG)
    with walls.database.write() as session:
        for table in ("webhooks", "users"):
            session.execute(
                sa.text(
                    f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} "
                    "BEGIN INSERT INTO not_there VALUES (1); END"
                )
            )
    headers, client = walls.key("admin"), walls.app.test_client(use_cookies=False)
    hook = {"name": "a", "url": "https://a.example/PATH-SECRET"}
    person = {"email": "eve@example.org", "password": PASSWORD, "role": "viewer"}
    for path, body in (("/api/v1/projects/shop/webhooks", hook), ("/api/v1/members", person)):
        assert client.post(path, json=body, headers=headers).status_code >= 400
    assert caplog.text.count("not_there") >= 2
    for secret in ("whsec_", "PATH-SECRET", "argon2", PASSWORD):
        assert secret not in caplog.text


def test_no_secret_reaches_the_log_of_a_running_service(
    tmp_path: Path, make_service: Callable[..., Any]
) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    nobody = "http://127.0.0.1:9"
    service = make_service(
        url,
        FLAGSTONE_OIDC_ISSUER=nobody,
        FLAGSTONE_OIDC_CLIENT_ID="flagstone",
        FLAGSTONE_OIDC_CLIENT_SECRET="OIDC-SECRET",
        FLAGSTONE_WEBHOOK_NETWORKS="127.0.0.0/8",
    )
    secrets = ["fs_usr_" + "s" * 43, "fs_hook_" + "s" * 43, PASSWORD, "sessioncookie" * 4]
    with service.client(secrets[0]) as client:
        client.cookies.set(SESSION_COOKIE, secrets[3])
        for path in ("/api/v1/whoami", "/sdk/v1/flagset", "/ofrep/v1/evaluate/flags", "/nowhere"):
            client.get(path)
            client.post(path, json={"password": PASSWORD})
        client.post(f"/hooks/kill/{secrets[1]}", json={"alert": "x"})
        client.post(f"/hooks/kill/{secrets[1]}?key={secrets[1]}", content=b"\xff")
        client.post("/api/v1/session", json={"email": "a@b.example", "password": PASSWORD})
        client.get("/login/oidc")
        client.get("/login/oidc/callback?state=STATE-SECRET&code=CODE-SECRET")
    secrets += ["OIDC-SECRET", "STATE-SECRET", "CODE-SECRET", "PATH-SECRET"]
    secrets.append(tell_a_deaf_receiver(url, f"{nobody}/PATH-SECRET"))
    service.terminate()
    log = service.log.read_text()
    assert "make the first account" in log
    assert [each for each in secrets if each in log] == []


def tell_a_deaf_receiver(url: str, receiver: str) -> str:
    """Have the worker send to somebody who does not answer; give the webhook's secret."""
    database = Database(url)
    now = dt.datetime.now(dt.UTC)
    by: dict[str, Any] = {"actor": Actor("system", "test"), "now": now}
    with database.write() as session:
        services.create_project(session, key="shop", **by)
        secret, hook = webhooks.create_webhook(
            session,
            "shop",
            name="deaf",
            url=receiver,
            allowed=parse_networks("127.0.0.0/8"),
            **by,
        )
        sent = webhooks.try_webhook(session, "shop", hook.id or 0, **by)
        number = sent.delivery.id

    def tried() -> bool:
        with database.read() as session:
            return session.get_one(Delivery, number).attempts > 0

    wait_until(tried)
    database.dispose()
    return secret


def test_secrets_are_compared_in_constant_time_or_found_by_their_hash() -> None:
    """`==` on a secret tells its beginning to who can measure: no module may use it."""
    found = []
    folders = [Path(str(each.__file__)).parent for each in (web, flags, experiments)]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            if not any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
                continue
            sides = [node.left, *node.comparators]
            names = [each for side in sides for each in named(side)]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue
            if any(word in name for name in names for word in SECRET_WORDS):
                found.append(f"{path.name}: {ast.unparse(node)}")
    assert set(found) == KNOWN, "use hmac.compare_digest, or look the secret up by its hash"


# None of these has a secret on a side that a caller chooses: rows are looked up by a hash, two
# stored hashes are held against each other, and the digest is that of a public answer.
KNOWN = {
    "key_uses.py: col(Token.old_secret_hash) == secret_hash",
    "key_uses.py: col(Token.secret_hash) == secret_hash",
    "kill_hooks.py: KillHook.secret_hash == hash_token(plain)",
    "login.py: fresh.password_hash != user.password_hash",
    "ofrep.py: digest == tag",
    "tokens.py: Token.old_secret_hash == given",
    "tokens.py: Token.secret_hash == given",
}


def named(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [*named(node.func)] if isinstance(node, ast.Call) else []


def test_the_database_keeps_no_secret_that_opens_anything(walls: Any) -> None:
    with walls.database.write() as session:
        auth.create_user(
            session,
            email="ada@example.org",
            password=PASSWORD,
            role=auth.Role.ADMIN,
            now=walls.clock(),
        )
    secrets = use_every_secret(walls.app.test_client(), walls)
    dump = []
    with walls.database.engine.connect() as connection:
        for table in sa.inspect(walls.database.engine).get_table_names():
            if table != "webhooks":  # its secret signs, so that a hash would not do
                dump += connection.execute(sa.text(f'SELECT * FROM "{table}"')).all()
    kept = repr(dump)
    assert [each for each in secrets[:-1] if each in kept] == []
    assert "whsec_" not in kept


@pytest.mark.parametrize("password", ["short", "x" * (MINIMUM_LENGTH - 1), "a" * 20, "password123"])
def test_no_door_takes_a_weak_password(walls: Any, password: str) -> None:
    headers = walls.key("admin")
    client = walls.app.test_client(use_cookies=False)
    person = {"email": "eve@example.org", "password": password, "role": "viewer"}
    assert client.post("/api/v1/members", json=person, headers=headers).status_code == 400
    path = f"/api/v1/members/{walls.values['member_id']}"
    changed = client.patch(path, json={"password": password}, headers=headers)
    assert changed.status_code == 400, changed.get_data(as_text=True)
    assert changed.get_json()["field"] == "password"


def test_whether_an_account_is_there_cannot_be_told_by_the_time_that_a_refusal_takes(
    walls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One password is verified in each case, by a hash of the same cost."""
    with walls.database.write() as session:
        made: dict[str, Any] = {"role": auth.Role.VIEWER, "now": walls.clock()}
        auth.create_user(session, email="ada@example.org", password=PASSWORD, **made)
        shut = auth.create_user(session, email="shut@example.org", password=PASSWORD, **made)
        shut.disabled = True
        session.add(shut)
    costs: list[str] = []

    def verify(stored: str, password: str) -> bool:
        costs.append(stored.rpartition("$")[0].rpartition("$")[0])
        return verify_password(stored, password)

    monkeypatch.setattr(login, "verify_password", verify)
    client = walls.app.test_client()
    answers = []
    for email in ("ada@example.org", "shut@example.org", "ghost@example.org"):
        body = {"email": email, "password": WRONG}
        answers.append(client.post("/api/v1/session", json=body).get_json()["detail"])
    assert len(costs) == 3
    assert len(set(costs)) == len(set(answers)) == 1


def test_guesses_shut_an_account_whatever_door_they_come_by(walls: Any) -> None:
    with walls.database.write() as session:
        auth.create_user(
            session,
            email="ada@example.org",
            password=PASSWORD,
            role=auth.Role.VIEWER,
            now=walls.clock(),
        )
    client = walls.app.test_client()
    for number in range(5):
        body = {"email": "ada@example.org", "password": f"{WRONG}{number}"}
        if number % 2:
            token = client.get("/login").get_data(as_text=True)
            token = token.split('name="csrf_token" value="')[1].split('"')[0]
            answer = client.post("/login", data={**body, "csrf_token": token})
        else:
            answer = client.post("/api/v1/session", json=body)
        assert answer.status_code == 401, number
    right = {"email": "ada@example.org", "password": PASSWORD}
    shut = client.post("/api/v1/session", json=right)
    assert shut.status_code == 429
    assert int(shut.headers["Retry-After"]) >= 1
    walls.clock.advance(minutes=20)
    assert client.post("/api/v1/session", json=right).status_code == 201
