"""The supervisor: migrate, bind once, start the processes, keep them running, stop them in time.

It serves nothing itself. A crashed process is started again, with growing pauses; SIGTERM and
SIGINT end everything within five seconds; and if the supervisor is killed, its processes notice
(:mod:`web.lifeline`) and end too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flags.errors import FlagstoneError
from web.settings import Settings
from web.signals import on_request_to_end

logger = logging.getLogger("flagstone.supervisor")

STOP_SECONDS = 4.0
LOOK_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 5.0
# A process that ran this long had not failed at its start.
STEADY_SECONDS = 10.0


class StartError(FlagstoneError):
    """The service cannot start; the message says what is in the way."""

    code = "cannot_start"


@dataclass
class _Child:
    """One place among the processes, and who has it now."""

    name: str
    arguments: Sequence[str]
    descriptors: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    due: float = field(default=0.0)


class Supervisor:
    """One running service.

    Parameters
    ----------
    settings : Settings
        How to run. Port 0 takes any free port; ``url`` tells which.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = ""
        self.setup_url: str | None = None
        self._children: list[_Child] = []
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._ready_read, self._ready_write = os.pipe()
        self._listener: socket.socket | None = None
        # In the data folder: after a SIGKILL nothing of ours is left anywhere else.
        self._metrics = settings.data_directory / f"metrics-{os.getpid()}"

    def start(self) -> str:
        """Migrate, bind, start every process; return the address of the service."""
        settings = self.settings
        settings.data_directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._metrics, ignore_errors=True)
        self._metrics.mkdir()
        self._listener = _bind(settings.host, settings.port)
        port = self._listener.getsockname()[1]
        self.url = f"http://{_printable(settings.host)}:{port}"
        code = _prepare_database(settings)
        if code is not None:
            self.setup_url = f"{self.url}/setup?code={code}"
        listener = self._listener.fileno()
        for number in range(settings.workers):
            arguments = ["-m", "web.asgi", "--listener", str(listener)]
            descriptors = (listener, self._ready_write)
            arguments += ["--ready", str(self._ready_write)]
            self._children.append(_Child(f"web {number}", arguments, descriptors))
        self._children.append(_Child("worker", ["-m", "web.worker"], ()))
        for child in self._children:
            self._spawn(child)
        return self.url

    def wait(self, on_ready: Callable[[], None] | None = None) -> None:
        """Keep the processes running until :meth:`stop`; call ``on_ready`` once one answers."""
        while not self._stopping.is_set():
            watched = [self._wake_read]
            if not self._ready.is_set():
                watched.append(self._ready_read)
            readable, _, _ = select.select(watched, [], [], LOOK_SECONDS)
            if self._ready_read in readable:
                os.read(self._ready_read, 64)
                self._ready.set()
                if on_ready is not None:
                    on_ready()
            if not self._stopping.is_set():
                self._look_after_children()

    def stop(self) -> None:
        """Ask :meth:`wait` to return; safe in a signal handler."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """End every process, by SIGTERM and after a while by SIGKILL, and let go of everything."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("process %d did not end in time and is killed", process.pid)
                process.kill()
                process.wait()
        if self._listener is not None:
            self._listener.close()
        for descriptor in (
            self._wake_read,
            self._wake_write,
            self._lifeline_read,
            self._lifeline_write,
            self._ready_read,
            self._ready_write,
        ):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        shutil.rmtree(self._metrics, ignore_errors=True)

    def _spawn(self, child: _Child) -> None:
        environment = {
            **os.environ,
            **self.settings.to_environment(),
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
        }
        child.started = time.monotonic()
        child.process = subprocess.Popen(  # noqa: S603  our own modules
            [sys.executable, *child.arguments, "--lifeline", str(self._lifeline_read)],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(*child.descriptors, self._lifeline_read),
            # Ctrl-C in a terminal reaches the supervisor only, which ends the others in order.
            process_group=0,
        )

    def _look_after_children(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is not None:
                status = child.process.poll()
                if status is None:
                    continue
                if now - child.started >= STEADY_SECONDS:
                    child.pause = FIRST_PAUSE_SECONDS
                logger.error(
                    "%s (process %d) ended with status %d; it starts again in %.1f s",
                    child.name,
                    child.process.pid,
                    status,
                    child.pause,
                )
                self._forget_gauges(child.process.pid)
                child.process = None
                child.due = now + child.pause
                child.pause = min(child.pause * 2, MAX_PAUSE_SECONDS)
            elif now >= child.due:
                self._spawn(child)

    def _forget_gauges(self, pid: int) -> None:
        # Counters of the dead still count; what they had open does not.
        for path in self._metrics.glob(f"gauge_live*_{pid}.db"):
            path.unlink(missing_ok=True)


def serve(settings: Settings, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Run the service until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : Settings
        How to run.
    on_ready : callable, optional
        Gets the address once the service answers.
    """
    supervisor = Supervisor(settings)

    def ready() -> None:
        _say(f"Flagstone answers at {supervisor.url}")
        if supervisor.setup_url is not None:
            _say(f"Nobody can sign in yet: make the first account at {supervisor.setup_url}")
        if settings.ready_file is not None:
            _write_ready_file(settings.ready_file, supervisor.url)
        if on_ready is not None:
            on_ready(supervisor.url)

    with on_request_to_end(supervisor.stop):
        try:
            supervisor.start()
            supervisor.wait(ready)
        finally:
            supervisor.close()


def _prepare_database(settings: Settings) -> str | None:
    """Bring the tables up to date; give the one-time set-up code if there is no user yet."""
    from flags.database import Database
    from web.auth.service import ensure_setup_code
    from web.migrate import MigrationError, upgrade

    try:
        upgrade(settings.database_url)
    except MigrationError as error:
        raise StartError(str(error)) from error
    database = Database(settings.database_url)
    try:
        with database.write() as session:
            return ensure_setup_code(session)
    finally:
        database.dispose()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            hint="set FLAGSTONE_HOST and FLAGSTONE_PORT to an address that is free",
        ) from error
    listener.listen(2048)
    return listener


def _printable(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  shown, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _write_ready_file(path: Path, url: str) -> None:
    document = {"url": url, "port": int(url.rsplit(":", 1)[1]), "pid": os.getpid()}
    # Whoever waits for the file must never read half of it.
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document) + "\n", encoding="utf-8")
    partial.replace(path)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the service with settings from the environment."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"
    )
    try:
        serve(Settings.from_environment())
    except FlagstoneError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"flagstone: {error.message}{hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
