"""The service, its database and its worker from the command line: what goes wrong is said."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def refused(answer: Any, *words: str, code: int = 1) -> None:
    assert answer.code == code, answer.everything
    assert answer.out == ""
    assert "Traceback" not in answer.error
    for word in words:
        assert word in answer.error


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("db", "upgrade")])
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FLAGSTONE_PORT": "abc"}, ("FLAGSTONE_PORT is 'abc'", "hint: ")),
        ({"FLAGSTONE_DATABASE_URL": "mysql://x"}, ("FLAGSTONE_DATABASE_URL", "hint: ")),
        ({"FLAGSTONE_DATA_DIR": "/proc/nowhere"}, ("/proc/nowhere",)),
    ],
)
def test_bad_settings_are_named(
    alone: Any, command: tuple[str, ...], variables: dict[str, str], words: tuple[str, ...]
) -> None:
    alone.variables = variables
    refused(alone.pipe(*command), *words)


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("db", "upgrade")])
def test_a_data_directory_that_is_a_file_is_named(
    alone: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "data").write_text("")
    alone.variables = {"FLAGSTONE_DATA_DIR": str(tmp_path / "data"), "FLAGSTONE_PORT": "0"}
    refused(alone.pipe(*command), str(tmp_path / "data"))


def test_the_database_is_brought_up_to_date_and_a_second_time_does_nothing(
    alone: Any, tmp_path: Path
) -> None:
    alone.variables = {"FLAGSTONE_DATA_DIR": str(tmp_path / "new" / "data")}
    first = alone.ok("db", "upgrade")
    assert first["upgraded"] is True
    assert alone.ok("db", "upgrade") == first
    assert alone.terminal("db", "upgrade").out == (
        f"The database is up to date ({first['revision']}).\n"
    )


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("db", "upgrade")])
def test_a_newer_version_s_database_is_left_alone(
    alone: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    alone.variables = {"FLAGSTONE_DATA_DIR": str(tmp_path), "FLAGSTONE_PORT": "0"}
    alone.ok("db", "upgrade")
    with sqlite3.connect(tmp_path / "flagstone.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    refused(alone.pipe(*command), "9999", "newer version")


def test_a_file_that_is_no_database_is_said_to_be_none(alone: Any, tmp_path: Path) -> None:
    (tmp_path / "flagstone.db").write_bytes(b"this is no database, whatever its name says" * 100)
    alone.variables = {"FLAGSTONE_DATA_DIR": str(tmp_path)}
    refused(alone.pipe("db", "upgrade"), "the database cannot be used", "not a database")


def test_a_database_server_that_is_away_is_named(alone: Any, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the service is tested without PostgreSQL's driver")
    url = "postgresql://nobody:secret@127.0.0.1:9/nowhere"
    alone.variables = {"FLAGSTONE_DATABASE_URL": url, "FLAGSTONE_DATA_DIR": str(tmp_path)}
    answer = alone.pipe("db", "upgrade")
    refused(answer, "the database cannot be used")
    assert "secret" not in answer.error


def test_a_port_in_use_is_named(alone: Any, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        alone.variables = {"FLAGSTONE_DATA_DIR": str(tmp_path)}
        refused(alone.pipe("serve", "--port", str(port)), f"port {port}", "hint: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_and_its_worker_end_tidily_by_signal(
    alone: Any, tmp_path: Path, wait_until: Callable[..., Any], number: signal.Signals
) -> None:
    variables = {"FLAGSTONE_DATA_DIR": str(tmp_path), "FLAGSTONE_PORT": "0"}
    log = tmp_path / "log"
    for command, said in (("serve", "Flagstone answers at"), ("worker", "ticks")):
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "web.cli", command],
                env={**alone.environment, **variables},
                cwd=REPOSITORY,
                stdout=file,
                stderr=file,
            )
        try:
            wait_until(lambda said=said: said in log.read_text(), seconds=90, every=0.05)
            process.send_signal(number)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
        assert "Traceback" not in log.read_text()


def test_an_interrupted_command_says_so_without_a_traceback(alone: Any, tmp_path: Path) -> None:
    fifo = tmp_path / "plan.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "web.cli", "replay", "--plan", str(fifo)),
            *("--exposures", __file__, "--outcomes", __file__),
        ],
        env=alone.environment,
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background ignores the signal, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # Opening the writing end waits until the command has opened the reading end.
    with fifo.open("w"):
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "Aborted!" in error
    assert "Traceback" not in error


def test_a_reader_that_has_seen_enough_is_no_error_to_talk_of(alone: Any, tmp_path: Path) -> None:
    away, theirs = os.pipe()
    os.close(away)
    variables = {**alone.environment, "FLAGSTONE_DATA_DIR": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, "-m", "web.cli", "db", "upgrade"],
        env=variables,
        cwd=REPOSITORY,
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(theirs)
    assert b"Traceback" not in process.stderr
    assert b"Error" not in process.stderr
