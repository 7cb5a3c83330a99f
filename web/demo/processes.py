"""The demo's processes: the service and the shop's, which never outlive the demo.

Each holds the reading end of a pipe (:mod:`web.lifeline`): even if the demo is killed without
warning, they end. What they say goes to files, and is shown if one of them dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from web.cli.output import CommandError
from web.lifeline import GRACE_SECONDS

START_SECONDS = 60.0
STOP_SECONDS = 8.0
TAIL_LINES = 15


@dataclass
class Processes:
    """What the demo started, in a folder of its own."""

    folder: Path
    said: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _lifeline: tuple[int, int] = field(default_factory=os.pipe)

    def start_service(self, port: int) -> str:
        """Start the service on a database of its own; give its address once it answers."""
        ready_file = self.folder / "ready.json"
        variables = {
            "FLAGSTONE_DATABASE_URL": "",
            "FLAGSTONE_DATA_DIR": str(self.folder),
            "FLAGSTONE_HOST": "127.0.0.1",
            "FLAGSTONE_PORT": str(port),
            "FLAGSTONE_WORKERS": "1",
            "FLAGSTONE_TRUSTED_PROXIES": "",
            "FLAGSTONE_READY_FILE": str(ready_file),
        }
        process = self._start(
            "service", ["-m", "web.demo.serve", str(self._lifeline[0])], variables
        )
        deadline = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise self._last_words("service", "did not start")
            time.sleep(0.05)  # A file of another process: there is no event to wait for.
        url: str = json.loads(ready_file.read_text(encoding="utf-8"))["url"]
        return url

    def start_shop(self, count: int, url: str, key: str, seed: int) -> None:
        """Start the shop's processes; the JSON lines that they print come out of ``said``."""
        for number in range(count):
            arguments = ["-m", "web.demo.shop", "--url", url, "--lifeline", str(self._lifeline[0])]
            arguments += ["--process", str(number), "--processes", str(count), "--seed", str(seed)]
            process = self._start(
                f"shop process {number + 1}",
                arguments,
                # A proxy of the environment is on the way to elsewhere, never to this machine.
                {"FLAGSTONE_SDK_KEY": key, "NO_PROXY": "*", "no_proxy": "*"},
                stdout=subprocess.PIPE,
            )
            if process.stdout is not None:
                threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def service_log(self) -> str:
        """Give everything that the service said."""
        return self._log("service").read_text(encoding="utf-8", errors="replace")

    def check(self, grace_seconds: float = 0.0) -> None:
        """Raise with its last words if one of the processes has died, or dies within the grace."""
        for name, process in self._running.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
            if process.returncode is not None:
                raise self._last_words(name, f"ended with status {process.returncode}")

    def complaints(self) -> str:
        """Give the last warnings and errors of the service's log, indented; empty if none."""
        found = [
            line
            for line in self.service_log().splitlines()
            if " WARNING " in line or " ERROR " in line or "Error" in line
        ]
        return "\n".join(f"  {line}" for line in found[-TAIL_LINES:])

    @property
    def crashed(self) -> bool:
        """Tell whether the service has ended without being told to."""
        service = self._running.get("service")
        return service is not None and service.poll() is not None

    def stop(self) -> None:
        """End everything: the shop first, so that its last events are taken in."""
        shop = [process for name, process in self._running.items() if name != "service"]
        service = [process for name, process in self._running.items() if name == "service"]
        _end(shop)
        _end(service)
        for process in (*shop, *service):
            if process.stdout is not None:
                with contextlib.suppress(OSError, ValueError):
                    process.stdout.close()
        for descriptor in self._lifeline:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _start(
        self,
        name: str,
        arguments: Sequence[str],
        variables: dict[str, str],
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  our own modules
                [sys.executable, *arguments],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                pass_fds=(self._lifeline[0],),
                # Ctrl-C in a terminal reaches the demo only, which ends the others in order.
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in stream:
                with contextlib.suppress(ValueError):
                    self.said.put(json.loads(line))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def _last_words(self, name: str, what: str) -> CommandError:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])
        return CommandError(f"the {name} {what}; its last words were:\n{tail}")


@contextlib.contextmanager
def processes() -> Iterator[Processes]:
    """Give a place for processes; whatever happens, neither they nor their folder stay."""
    started = Processes(Path(tempfile.mkdtemp(prefix="flagstone-demo-")))
    try:
        yield started
    finally:
        crashed = started.crashed
        started.stop()
        shutil.rmtree(started.folder, ignore_errors=True)
        if crashed:
            # What a dead service left behind ends by its lifeline, and may write until then.
            time.sleep(GRACE_SECONDS + 0.5)
            shutil.rmtree(started.folder, ignore_errors=True)


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
