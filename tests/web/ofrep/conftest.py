"""A real service with the environment of ``cases``, and released clients from npm."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flags.database import Database
from tests.conftest import unavailable
from tests.web.conftest import Control, Service, kept_port, wait_until
from tests.web.ofrep.cases import FLAGS

PROJECT = Path(__file__).parent / "node"
INSTALL_SECONDS = 150


@dataclass
class World:
    """One service, its seeds, and keys of both kinds."""

    service: Service
    control: Control
    environment: int
    server_key: str
    client_key: str

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self.service.url

    def publish(self, **changes: Any) -> None:
        """Publish the environment of ``cases`` with some flags changed; None takes one away."""
        flags = {**FLAGS, **{key.replace("_", "-"): flag for key, flag in changes.items()}}
        self.control.publish(self.environment, {k: f for k, f in flags.items() if f is not None})

    def as_new(self) -> World:
        """Undo what the last test did, and give keys that no other test has."""
        process = self.service.process
        if process is None or process.poll() is not None:
            self.service.start()
        self.publish()
        new = replace(
            self,
            server_key=self.control.key(self.environment),
            client_key=self.control.key(self.environment, "cli"),
        )
        new.until_known()
        return new

    def until_known(self) -> None:
        """Wait until the service knows both keys; each has asked once then."""
        for key in (self.server_key, self.client_key):
            with self.service.client(key) as http:
                wait_until(lambda h=http: h.post("/ofrep/v1/evaluate/flags").status_code == 200)


def make_world(folder: Path, **variables: str) -> Iterator[World]:
    """Start a service in a folder of its own, with the environment of ``cases``."""
    # A restart must find the same address again.
    with kept_port() as port:
        yield from _world_at(str(port), folder, variables)


def _world_at(port: str, folder: Path, variables: dict[str, str]) -> Iterator[World]:
    address = f"sqlite:///{folder / 'flagstone.db'}"
    service = Service(address, folder, **{"FLAGSTONE_PORT": port, **variables}).start()
    database = Database(address)
    try:
        control = Control(database)
        number = control.environment()
        world = World(service, control, number, control.key(number), control.key(number, "cli"))
        world.publish()
        world.until_known()
        yield world
    finally:
        database.dispose()
        if service.process is not None and service.process.poll() is None:
            service.terminate()


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that no test changes."""
    yield from make_world(tmp_path_factory.mktemp("ofrep"))


@pytest.fixture(scope="session")
def lively_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that tests change, one after another."""
    yield from make_world(tmp_path_factory.mktemp("lively"))


@pytest.fixture(scope="session")
def limited_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that lets a key ask twice a minute."""
    folder = tmp_path_factory.mktemp("limited")
    yield from make_world(folder, FLAGSTONE_OFREP_REQUESTS_PER_SECOND="0.0333")


@pytest.fixture
def world(lively_world: World) -> World:
    """A service as it was at first, with keys of this test alone."""
    return lively_world.as_new()


@pytest.fixture
def strict_world(limited_world: World) -> World:
    """A service whose limit each of this test's keys has reached."""
    return limited_world.as_new()


@pytest.fixture(scope="session")
def wide_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service of three web processes that believes a proxy on this machine."""
    folder = tmp_path_factory.mktemp("wide")
    variables = {"FLAGSTONE_WORKERS": "3", "FLAGSTONE_TRUSTED_PROXIES": "127.0.0.1"}
    yield from make_world(folder, **variables)


@pytest.fixture(scope="session")
def node() -> str:
    """Path of Node.js."""
    return _tool("node")


def _tool(name: str) -> str:
    """Find a program of Node.js: the one that the development packages bring, or the machine's."""
    places = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")])
    path = shutil.which(name, path=places)
    if path is None:
        unavailable(f"no {name} (make development installs it)")
        raise AssertionError
    return path


@pytest.fixture(scope="session")
def node_modules(node: str) -> Path:
    """The released clients of package-lock.json, installed outside the tree, once for all runs."""
    npm = _tool("npm")
    names = ("package.json", "package-lock.json")
    content = b"".join((PROJECT / name).read_bytes() for name in names)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flagstone-tests"
    folder = cache / f"ofrep-{hashlib.sha256(content).hexdigest()[:16]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            partial = Path(temporary) / "project"
            partial.mkdir()
            for name in names:
                shutil.copy(PROJECT / name, partial)
            result = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=partial,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
            if result.returncode != 0:
                unavailable(f"npm cannot install the clients: {result.stderr.strip()[-400:]}")
            try:
                partial.rename(folder)
            except OSError:
                # Another run was faster.
                assert folder.is_dir()
    return folder / "node_modules"


class NodeProgram:
    """A Node.js program that answers one line of JSON with another."""

    def __init__(self, node: str, script: Path) -> None:
        self._process = subprocess.Popen(
            [node, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def ask(self, **question: Any) -> Any:
        """Send a question and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._lines.get(timeout=90))

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def make_node_program(node: str, node_modules: Path) -> Iterator[Callable[[str], NodeProgram]]:
    """Start programs of the Node.js project; they end with the session."""
    started: list[NodeProgram] = []

    def make(name: str) -> NodeProgram:
        # Node.js looks for modules beside the script.
        script = node_modules.parent / name
        shutil.copy(PROJECT / name, script)
        started.append(NodeProgram(node, script))
        return started[-1]

    yield make
    for program in started:
        program.close()
