"""A service of the benchmark's own: its processes, its database, its flags."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from flags.database import Database
from flags.models import Environment, Project, Revision
from web.auth.models import Token

FLAGS = 50
START_SECONDS = 40.0


class BenchError(Exception):
    """The measurement cannot go on; the message says why."""


def flag(number: int, *, on: bool = True) -> dict[str, Any]:
    """One of five kinds, as a real flag set mixes them."""
    key = f"flag-{number:02d}"
    rules: list[dict[str, Any]] = []
    split = {
        "split": {
            "by": "targetingKey",
            "hash": "flagstone",
            "salt": key,
            "of": 10000,
            "missing": "skip",
            "to": [
                {"variant": "on", "ranges": [[0, 5000]]},
                {"variant": "off", "ranges": [[5000, 10000]]},
            ],
        }
    }
    kind = number % 5
    if kind == 1:
        rules = [{"id": "all", "when": True, "serve": split}]
    elif kind == 2:
        conditions = [
            {"attr": "country", "op": "in", "values": ["CH", "DE"]},
            {"attr": "email", "op": "ends_with", "values": ["@acme.com"]},
            {"attr": "age", "op": "gte", "values": [18]},
        ]
        rules = [{"id": "some", "when": {"all": conditions}, "serve": split}]
    elif kind == 3:
        rules = [
            {
                "id": f"r{i}",
                "when": {"attr": "plan", "op": "in", "values": [f"plan-{i}"]},
                "serve": "on",
            }
            for i in range(10)
        ]
    elif kind == 4:
        rules = [{"id": "tenth", "when": True, "serve": split, "track": True}]
    return {
        "key": key,
        "type": "boolean",
        "version": 1,
        "client": True,
        "variants": {"on": {"value": True}, "off": {"value": False, "on": False}},
        "enabled": on or number != 0,
        "killed": False,
        "off": "off",
        "prerequisites": [],
        "targets": [],
        "rules": rules,
        "default": "off",
        "metadata": {},
    }


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Control:
    """The database of the service under test."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        with self.database.write() as session:
            project = Project(key="bench", name="bench", created_at=_now())
            session.add(project)
            session.flush()
            environment = Environment(
                project_id=project.id or 0, key="production", name="production", created_at=_now()
            )
            session.add(environment)
            session.flush()
            assert environment.id is not None
            self.environment_id = environment.id
            self.key = f"fs_srv_{secrets.token_urlsafe(32)}"
            session.add(
                Token(
                    kind="srv",
                    name="bench",
                    secret_hash=hashlib.sha256(self.key.encode()).hexdigest(),
                    environment_id=environment.id,
                    created_at=_now(),
                )
            )

    def publish(self, *, on: bool = True) -> int:
        """Commit a revision, whose flags differ by ``on``; return its number."""
        with self.database.write() as session:
            environment = session.get_one(Environment, self.environment_id)
            environment.revision += 1
            document = {
                "schema": 1,
                "environment": "production",
                "version": environment.revision,
                "flags": {f"flag-{n:02d}": flag(n, on=on) for n in range(FLAGS)},
                "segments": {},
            }
            body = json.dumps(document).encode()
            session.add(
                Revision(
                    environment_id=self.environment_id,
                    number=environment.revision,
                    etag=hashlib.sha256(body).hexdigest(),
                    flag_set=zlib.compress(body),
                    actor="system:bench",
                    created_at=_now(),
                )
            )
            if not self.database.is_sqlite:
                session.execute(
                    sa.text("SELECT pg_notify('flagstone', :payload)"),
                    {"payload": f"{environment.id}:{environment.revision}"},
                )
            return environment.revision


@dataclass(slots=True)
class Service:
    """A running service: its supervisor, its one web process, and where it listens."""

    supervisor: subprocess.Popen[bytes]
    web: psutil.Process
    port: int
    control: Control
    folder: Path


@contextlib.contextmanager
def running(database_url: str | None = None) -> Iterator[Service]:
    """Start a service with 50 flags on an empty database; stop it, and remove its folder."""
    with tempfile.TemporaryDirectory(prefix="flagstone-bench-") as name:
        folder = Path(name)
        url = database_url or f"sqlite:///{folder / 'flagstone.db'}"
        environment = {
            **os.environ,
            "FLAGSTONE_DATABASE_URL": url,
            "FLAGSTONE_DATA_DIR": str(folder),
            "FLAGSTONE_PORT": "0",
            "FLAGSTONE_WORKERS": "1",
            "FLAGSTONE_READY_FILE": str(folder / "ready"),
        }
        with (folder / "log").open("wb") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "web.serve"], env=environment, stdout=log, stderr=log
            )
        try:
            port = json.loads(wait_for_file(folder / "ready", supervisor, folder / "log"))["port"]
            control = Control(url)
            control.publish()
            yield Service(supervisor, _web_process(supervisor), port, control, folder)
            control.database.dispose()
        finally:
            supervisor.terminate()
            supervisor.wait()


def wait_for_file(path: Path, process: subprocess.Popen[bytes], log: Path | None = None) -> str:
    """Return what a process writes into a file once it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while not path.exists() or not path.read_text("utf-8"):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text("utf-8", "replace")[-2000:] if log is not None else ""
            raise BenchError(f"a server did not start\n{said}")
        time.sleep(0.02)
    return path.read_text("utf-8")


def _web_process(supervisor: subprocess.Popen[bytes]) -> psutil.Process:
    for child in psutil.Process(supervisor.pid).children():
        if "web.asgi" in child.cmdline():
            return child
    raise BenchError("the service has no web process")
