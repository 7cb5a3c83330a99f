"""A real service in real processes, and the seeds that its tests need."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import sqlalchemy as sa

from flags.database import Database
from flags.models import Environment, Project, Revision
from web.auth.models import Token

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
START_SECONDS = 90.0
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0, every: float = 0.005) -> Any:
    """Ask again and again until the answer is true; fail after ``seconds``.

    A promise of a time says how many; the rest only wait longer on a machine that is busy.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"did not come true within {seconds} s")
        time.sleep(every)


@contextlib.contextmanager
def kept_port() -> Iterator[int]:
    """Keep a port of this machine, so that nobody else gets it; a server may listen there."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


@dataclass
class Control:
    """Puts environments, flag sets and keys into a database, without the domain's services."""

    database: Database

    def environment(self, key: str = "production", project: str = "shop") -> int:
        """Create an environment with no revision."""
        with self.database.write() as session:
            row = session.execute(sa.select(Project.id).where(Project.key == project)).first()
            if row is None:
                parent = Project(key=project, name=project, created_at=NOW)
                session.add(parent)
                session.flush()
                project_id = parent.id
            else:
                project_id = row.id
            assert project_id is not None
            child = Environment(project_id=project_id, key=key, name=key, created_at=NOW)
            session.add(child)
            session.flush()
            assert child.id is not None
            return child.id

    def publish(self, environment_id: int, flags: dict[str, Any] | bytes) -> int:
        """Store the next revision as ``flags.publish`` does; bytes are stored unchecked."""
        with self.database.write() as session:
            environment = session.get_one(Environment, environment_id)
            environment.revision += 1
            body = (
                flags
                if isinstance(flags, bytes)
                else json.dumps(
                    {
                        "schema": 1,
                        "environment": environment.key,
                        "version": environment.revision,
                        "flags": flags,
                        "segments": {},
                    }
                ).encode()
            )
            session.add(
                Revision(
                    environment_id=environment_id,
                    number=environment.revision,
                    etag=hashlib.sha256(body).hexdigest(),
                    flag_set=zlib.compress(body),
                    actor="system:test",
                    created_at=NOW,
                )
            )
            if not self.database.is_sqlite:
                session.execute(
                    sa.text("SELECT pg_notify('flagstone', :payload)"),
                    {"payload": f"{environment_id}:{environment.revision}"},
                )
            return environment.revision

    def key(
        self, environment_id: int, kind: str = "srv", expires_at: dt.datetime | None = None
    ) -> str:
        """Create a key and return it."""
        secret = f"fs_{kind}_{secrets.token_urlsafe(24)}"
        with self.database.write() as session:
            session.add(
                Token(
                    kind=kind,
                    name="test",
                    secret_hash=hashlib.sha256(secret.encode()).hexdigest(),
                    environment_id=environment_id,
                    created_at=NOW,
                    expires_at=expires_at,
                )
            )
        return secret

    def revoke(self, secret: str) -> None:
        """Revoke a key."""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        with self.database.write() as session:
            session.execute(
                sa.update(Token).where(Token.secret_hash == digest).values(revoked_at=NOW)
            )


def boolean_flag(key: str = "checkout", *, version: int = 1, on: bool = True) -> dict[str, Any]:
    """Write a flag that serves one value to everybody."""
    return {
        "key": key,
        "type": "boolean",
        "version": version,
        "client": True,
        "variants": {"on": {"value": True}, "off": {"value": False, "on": False}},
        "enabled": True,
        "killed": False,
        "off": "off",
        "prerequisites": [],
        "targets": [],
        "rules": [],
        "default": "on" if on else "off",
        "metadata": {},
    }


@pytest.fixture
def control(database: Database) -> Control:
    """Seeds for the database of this test."""
    return Control(database)


class Service:
    """``python -m web.serve`` as a process of its own."""

    def __init__(self, database_url: str, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.ready_file = folder / "ready.json"
        self.log = folder / "service.log"
        self._environment = {
            **os.environ,
            "FLAGSTONE_DATABASE_URL": database_url,
            "FLAGSTONE_DATA_DIR": str(folder / "data"),
            "FLAGSTONE_PORT": "0",
            "FLAGSTONE_READY_FILE": str(self.ready_file),
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> Service:
        """Start, and wait until it answers."""
        self.ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "web.serve"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self.process

        def answers() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the service ended:\n{self.log.read_text()[-4000:]}")
            return self.ready_file.exists()

        try:
            wait_until(answers, seconds=START_SECONDS)
        except BaseException:
            self.kill()
            raise
        self.url = json.loads(self.ready_file.read_text())["url"]
        return self

    def terminate(self) -> float:
        """Send SIGTERM; return how many seconds the service took to end."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        return time.monotonic() - started

    def kill(self) -> None:
        """Send SIGKILL to the supervisor; its processes are to notice."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self, secret: str | None = None) -> httpx.Client:
        """Make an HTTP client, with a key."""
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services that end with the test."""
    started: list[Service] = []

    def make(database_url: str, **variables: str) -> Service:
        folder = tmp_path / f"service-{len(started)}"
        folder.mkdir()
        service = Service(database_url, folder, **variables)
        started.append(service)
        return service.start()

    yield make
    for service in started:
        if service.process is not None and service.process.poll() is None:
            service.terminate()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium of this machine, without a window.

    Never of a wider scope: while Playwright is up, this thread counts as inside an event loop, and
    ``asyncio.run`` in any other test of the process would refuse to work. A module's fixtures end
    before the next module begins, in whatever order the tests run.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(name="boolean_flag", scope="session")
def boolean_flag_fixture() -> Callable[..., dict[str, Any]]:
    """Give the maker of boolean flags."""
    return boolean_flag


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture() -> Callable[..., Any]:
    """Give the function that waits for a condition."""
    return wait_until


@pytest.fixture(scope="session")
def control_class() -> type[Control]:
    """Give the class of seeds, for a database that a service has migrated."""
    return Control
