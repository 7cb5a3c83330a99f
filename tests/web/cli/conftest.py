"""The command as a process, on a terminal or in a pipe, against one real service."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pty
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flags import services
from flags.actor import Actor
from flags.database import Database
from tests.web.conftest import Service
from web.auth import service as auth
from web.cli import main

PROJECT = "web-shop"
REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    error: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def everything(self) -> str:
        return self.out + self.error


@dataclass
class Cli:
    """Runs ``flagstone`` with a service and a key."""

    url: str = "http://127.0.0.1:9"
    token: str = "fs_usr_none"
    project: str = PROJECT
    variables: dict[str, str] = field(default_factory=dict)
    database_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "FLAGSTONE_URL": self.url,
            "FLAGSTONE_TOKEN": self.token,
            "FLAGSTONE_PROJECT": self.project,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLAGSTONE_")}
        return {**inherited, **own, **self.variables}

    def pipe(self, *arguments: str) -> Answer:
        """Run in this process with output that is no terminal."""
        runner = CliRunner()
        result = runner.invoke(main, arguments, env=self.environment, prog_name="flagstone")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: str) -> Any:
        """Run in a pipe, demand success, and give back the document."""
        answer = self.pipe(*arguments)
        assert answer.code == 0, answer.everything
        return answer.json

    def process(self, *arguments: str, **variables: str) -> Answer:
        """Run as a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "web.cli", *arguments],
            env={**self.environment, **variables},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=150,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def terminal(self, *arguments: str, columns: int = 100) -> Answer:
        """Run as a process whose output is a real terminal; colours are taken away."""
        ours, theirs = pty.openpty()
        variables = {**self.environment, "COLUMNS": str(columns), "TERM": "xterm"}
        process = subprocess.Popen(
            [sys.executable, "-m", "web.cli", *arguments],
            env=variables,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says "input/output error" once the other side is closed.
                break
            if not part:
                break
            said += part
        os.close(ours)
        error = process.communicate(timeout=150)[1]
        text = re.sub(r"\x1b\[[0-9;]*m", "", said.decode().replace("\r\n", "\n"))
        return Answer(process.returncode, text, error.decode())


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command with an admin's key to a real service that has one project."""
    folder = tmp_path_factory.mktemp("service")
    url = f"sqlite:///{folder / 'flagstone.db'}"
    service = Service(url, folder).start()
    database = Database(url)
    now = dt.datetime.now(dt.UTC)
    with database.write() as session:
        actor = Actor("system", "test")
        services.create_project(session, key=PROJECT, name="Shop", actor=actor, now=now)
        token, _row = auth.create_token(
            session,
            auth.TokenKind.USER,
            name="cli",
            role=auth.Role.ADMIN,
            created_by="test",
            now=now,
        )
    database.dispose()
    yield Cli(service.url, token, database_url=url)
    service.terminate()


@pytest.fixture
def own(cli: Cli) -> Cli:
    """The command with a project that no other test uses: what is counted there is its own."""
    own = dataclasses.replace(cli, project=f"p-{uuid.uuid4().hex[:8]}")
    database = Database(cli.database_url)
    with database.write() as session:
        services.create_project(
            session,
            key=own.project,
            name="Shop",
            actor=Actor("system", "test"),
            now=dt.datetime.now(dt.UTC),
        )
    database.dispose()
    return own


@pytest.fixture
def alone() -> Cli:
    """The command without any service."""
    return Cli()


@pytest.fixture
def new_key() -> str:
    """A key that no other test uses."""
    return f"flag-{uuid.uuid4().hex[:8]}"
