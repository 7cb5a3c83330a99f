"""A management app over a real database, with callers of every role."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import func, select
from werkzeug.test import TestResponse

from flags import services
from flags.actor import Actor
from flags.database import Database
from flags.models import AuditEntry, Revision
from tests.forecasting import forecast_now, try_now
from web.app import create_flask_app
from web.auth import service as auth
from web.settings import Settings

START = dt.datetime(2026, 12, 1, 9, 0, tzinfo=dt.UTC)
ACTOR = Actor("system", "test")
PASSWORD = "a long enough password"


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += dt.timedelta(**parts)


@dataclass
class Api:
    """A caller with a key."""

    client: FlaskClient
    token: str

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.open("/api/v1" + path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json={} if body is None else body, **options)

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Call, demand success, and give back the document."""
        if body is not None:
            options["json"] = body
        response = self.call(method, path, **options)
        assert response.status_code < 300, response.get_data(as_text=True)
        return response.get_json()


@dataclass
class Service:
    """The app under test with its database and clock."""

    app: Flask
    database: Database
    clock: Clock

    def caller(self, role: str, *, project: str | None = None, name: str = "") -> Api:
        with self.database.write() as session:
            project_id = None if project is None else services.get_project(session, project).id
            plain, _ = auth.create_token(
                session,
                auth.TokenKind.USER,
                name=name or role,
                role=auth.Role(role),
                project_id=project_id,
                created_by="test",
                now=self.clock(),
            )
        return Api(self.app.test_client(use_cookies=False), plain)

    def person(self, email: str = "ada@example.org", role: str = "admin") -> None:
        with self.database.write() as session:
            auth.create_user(
                session, email=email, password=PASSWORD, role=auth.Role(role), now=self.clock()
            )

    def project(self, key: str = "shop") -> None:
        with self.database.write() as session:
            now = self.clock()
            services.create_project(session, key=key, name=key.title(), actor=ACTOR, now=now)

    def forecast(self) -> int:
        """Do the worker's forecasts."""
        return forecast_now(self.database, self.clock())

    def try_policies(self) -> int:
        """Do the worker's trial of a policy."""
        return try_now(self.database, self.clock())

    def written(self) -> tuple[int, int]:
        """Count revisions and audit entries: equal counts mean that nothing was written."""
        with self.database.read() as session:
            return (
                session.exec(select(func.count()).select_from(Revision)).one(),
                session.exec(select(func.count()).select_from(AuditEntry)).one(),
            )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(database: Database, clock: Clock, tmp_path: Path) -> Service:
    settings = Settings(database_url=database.url, data_directory=tmp_path)
    app = create_flask_app(settings, database, clock=clock, console=False)
    app.config["TESTING"] = False
    return Service(app, database, clock)


@pytest.fixture
def shop(service: Service) -> Service:
    """A service with the project ``shop`` (``production``, ``staging``)."""
    service.project()
    return service


@pytest.fixture
def admin(service: Service) -> Api:
    return service.caller("admin")


@pytest.fixture
def editor(service: Service) -> Api:
    return service.caller("editor")


@pytest.fixture
def viewer(service: Service) -> Api:
    return service.caller("viewer")
