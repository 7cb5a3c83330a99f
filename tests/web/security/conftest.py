"""Two shops that must know nothing of each other, and every operation of the API.

The operations come from the OpenAPI document, and the pages' routes from the application: a new one
is in these tests the moment it exists. What a test must know of it (an address's values) is asked
for by name where it is missing.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlmodel import Session, select
from werkzeug.test import TestResponse

from experiments.catalogue import services as catalogue
from experiments.models import Request
from experiments.moves import layers
from experiments.people import services as experiments
from experiments.policies import services as policies
from experiments.sources import services as sources
from flags import change_requests, changes, services
from flags.actor import Actor
from flags.database import Database
from flags.models import AuditEntry, Revision
from flags.request_rows import Writing
from tests.forecasting import stated
from tests.web.console.conftest import plan
from tests.web.managed import Clock, Managed, make_app
from web.api import limits
from web.api.openapi import openapi_document
from web.auth import service as auth
from web.auth.guard import SESSION_COOKIE
from web.auth.models import Token, User
from web.security import CSRF_HEADER
from web.webhooks import kill_hooks
from web.webhooks import services as webhooks
from web.webhooks.models import Webhook

OWNER = Actor("user", "owner@example.org")
CANARY = "zanzibar"
"""Stands in every text of the shop: whoever must not see the shop must not see it."""

# What the shop has, by the names of the paths' parameters; the ids are read when it is made.
KEYS = {
    "project_key": "shop",
    "environment_key": "production",
    "other_key": "staging",
    "flag_key": f"{CANARY}-flag",
    "segment_key": f"{CANARY}-segment",
    "experiment_key": f"{CANARY}-test",
    "release_key": f"{CANARY}-test",
    "metric_key": f"{CANARY}-metric",
    "policy_name": f"{CANARY}-policy",
    "layer_key": f"{CANARY}-layer",
    "source_key": f"{CANARY}-source",
    "event_name": f"{CANARY}-event",
    "email": "owner@example.org",
    "number": "2",
}


@dataclass(frozen=True)
class Operation:
    """One operation of the API, as its document describes it."""

    method: str
    path: str
    name: str
    role: str | None

    def names(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def at(self, values: dict[str, str]) -> str:
        missing = [name for name in self.names() if name not in values]
        assert not missing, f"say in KEYS of tests/web/security what {missing} is in the shop"
        return re.sub(r"{(\w+)}", lambda match: values[match[1]], self.path)


@dataclass
class Walls(Managed):
    """The app with a shop full of secrets, and an empty project beside it."""

    values: dict[str, str] = field(default_factory=dict)

    def operations(self) -> list[Operation]:
        said = openapi_document(self.app)["paths"]
        found = []
        for path, methods in said.items():
            for method, each in methods.items():
                role = re.search(r"Needs the role `(\w+)`", each["description"])
                name = each["operationId"]
                found.append(Operation(method.upper(), path, name, role and role[1]))
        assert len(found) > 130
        return found

    def key(self, role: str, project: str | None = None) -> dict[str, str]:
        """Give the header of a key with a role, everywhere or in one project."""
        with self.database.write() as session:
            project_id = None if project is None else services.get_project(session, project).id
            plain, _ = auth.create_token(
                session,
                auth.TokenKind.USER,
                name=role,
                role=auth.Role(role),
                project_id=project_id,
                created_by="test",
                now=self.clock(),
            )
        return {"Authorization": f"Bearer {plain}"}

    def browser(self, role: str = "admin") -> FlaskClient:
        """Give the browser of somebody who is signed in."""
        email = f"{role}@example.org"
        with self.database.write() as session:
            user = auth.find_user(session, email)
            if user is None:
                user = User(email=email, role=role, password_hash="none", created_at=self.clock())
                session.add(user)
                session.flush()
            plain = auth.start_session(session, user, now=self.clock())
        client = self.app.test_client()
        client.set_cookie(SESSION_COOKIE, plain)
        return client

    def token_of(self, client: FlaskClient) -> dict[str, str]:
        """Give the header that proves that a request comes from our own pages."""
        token = client.get("/api/v1/whoami").get_json()["csrf_token"]
        return {CSRF_HEADER: token}

    def written(self) -> tuple[int, ...]:
        return self.count(Revision, AuditEntry, Token, Webhook)


def send(client: FlaskClient, operation: Operation, path: str, **options: Any) -> TestResponse:
    if operation.method not in {"GET", "DELETE"}:
        options.setdefault("json", {})
    return client.open(path, method=operation.method, **options)


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A database file to copy, and the numbers of what is in it."""
    file = tmp_path_factory.mktemp("walls") / "walls.db"
    database = Database(f"sqlite:///{file}")
    database.create_all()
    clock = Clock()
    made = Walls(make_app(database, file.parent, clock, console=False), database, clock)
    made.project()
    made.project("blog")
    with database.write() as session:
        values = {**KEYS, **furnish(session, made)}
    database.dispose()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file, values


@pytest.fixture
def walls(furnished: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[Walls]:
    file, values = furnished
    shutil.copy(file, tmp_path / "walls.db")
    database = Database(f"sqlite:///{tmp_path / 'walls.db'}")
    clock = Clock()
    made = Walls(make_app(database, tmp_path, clock, console=True), database, clock, values)
    # A minute's requests are fewer than there are routes, and time stands still.
    limits.register(made.app, 1_000_000)
    yield made
    database.dispose()


def furnish(session: Session, walls: Walls, text: str = CANARY) -> dict[str, str]:
    """Put one of everything into the shop, with a text wherever there is one; give the numbers."""
    by: dict[str, Any] = {"actor": OWNER, "now": walls.clock()}
    flag = KEYS["flag_key"]
    services.create_flag(
        session, "shop", {"key": flag, "name": text, "default": "off", "off": "off"}, **by
    )
    segment = {"do": "add_segment", "segment": KEYS["segment_key"], "condition": True}
    change = {"comment": text, "instructions": [{"do": "turn_on", "flag": flag}, segment]}
    changes.apply_change(session, "shop", "production", changes.parse_change(change), **by)
    waiting = {
        "mode": "request",
        "comment": text,
        "instructions": [{"do": "set_default", "flag": flag, "variant": "on"}],
    }
    request = change_requests.submit(
        session,
        "shop",
        "production",
        changes.parse_change(waiting),
        by=Writing(OWNER),
        now=walls.clock(),
    )
    metric = {"kind": "conversion", "event": "purchase", "window": "7d", "description": text}
    catalogue.put_metric(session, "shop", KEYS["metric_key"], metric, **by)
    policies.put_policy(session, "shop", KEYS["policy_name"], {"description": text}, **by)
    layers.put_layer(session, "shop", "production", KEYS["layer_key"], description=text, **by)
    source = {"kind": "duckdb", "url_env": "CANARY_URL", "exposures": {"table": CANARY}}
    sources.put_source(session, "shop", KEYS["source_key"], source, **by)
    draft = plan(key=KEYS["experiment_key"], flag=flag, hypothesis=text)
    experiments.create_experiment(session, "shop", stated(draft), **by)
    shop = services.get_project(session, "shop")
    production = services.get_environment(session, "shop", "production")
    asked = Request(
        project_id=shop.id or 0,
        title=text[:200],
        demand="value",
        asker=text,
        state="open",
        created_at=walls.clock(),
        created_by=str(OWNER),
    )
    session.add(asked)
    _, webhook = webhooks.create_webhook(
        session, "shop", name=text[:100], url=f"https://{CANARY}.example/x", **by
    )
    sent = webhooks.try_webhook(session, "shop", webhook.id or 0, **by)
    _, hook = kill_hooks.create_hook(
        session, "shop", "production", name=text[:100], scope="flags", names=[flag], **by
    )
    _, token = auth.create_token(
        session,
        auth.TokenKind.SERVER,
        name=text[:100],
        project_id=shop.id,
        environment_id=production.id,
        created_by=OWNER,
        now=walls.clock(),
    )
    owner = User(email=OWNER.name, role="viewer", password_hash="none", created_at=walls.clock())
    session.add(owner)
    session.flush()
    return {
        "entry_id": str(session.exec(select(AuditEntry.id).limit(1)).one()),
        "change_id": str(request.id),
        "request_id": str(asked.id),
        "webhook_id": str(webhook.id),
        "delivery_id": str(sent.delivery.id),
        "hook_id": str(hook.id),
        "token_id": str(token.id),
        "member_id": str(owner.id),
    }
