"""A management app over a real database, with callers of every role."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flags import services
from flags.database import Database
from flags.models import AuditEntry, Revision
from tests.web.managed import Clock, Managed, make_app
from web.auth import service as auth

PASSWORD = "a long enough password"


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
class Service(Managed):
    """The app with callers who have keys."""

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

    def written(self) -> tuple[int, ...]:
        """Count revisions and audit entries: equal counts mean that nothing was written."""
        return self.count(Revision, AuditEntry)


class Person:
    """Somebody who is signed in."""

    def __init__(self, service: Service, name: str, role: str) -> None:
        service.person(f"{name}@example.org", role)
        self.client = service.app.test_client()
        credentials = {"email": f"{name}@example.org", "password": PASSWORD}
        answer = self.client.post("/api/v1/session", json=credentials)
        self.csrf = answer.get_json()["csrf_token"]

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(
            "/api/v1" + path,
            method=method,
            json={} if body is None and method != "GET" else body,
            headers={"X-CSRF-Token": self.csrf, **named},
        )

    def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.call(method, path, body, **headers)
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.get_json()

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        answer = self.call(method, path, body, **headers)
        return answer.status_code, answer.get_json()["code"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(database: Database, clock: Clock, tmp_path: Path) -> Service:
    return Service(make_app(database, tmp_path, clock, console=False), database, clock)


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
