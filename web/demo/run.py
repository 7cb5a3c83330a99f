"""Run the demo: start the service and the shop, watch what the service decides, sum up.

This module only watches. It creates flags and plans over REST as a user would, and from then on
reads; every verdict and every flag change is the service's own.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from flags.database import Database
from web.auth import service as auth
from web.cli.output import CommandError
from web.cli.remote import Remote
from web.demo import scenario
from web.migrate import upgrade
from web.settings import Settings

SHOP_PROCESSES = 2
START_SECONDS = 30.0
POLL_SECONDS = 0.25
STOP_SECONDS = 8.0
EMAIL = "owner@shop.example"
_COLOURS = {
    "HARM": "bold red",
    "INVALID": "bold red",
    "VALUE_PROVEN": "bold green",
    "FUTILE": "bold yellow",
    "NOT_PROVEN_IN_TIME": "bold yellow",
}


@dataclass
class _Watch:
    """What has been seen so far."""

    started: float
    verdicts: dict[str, tuple[float, str]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    # (process, revision) → when that process came to serve it
    applied: dict[tuple[int, int], float] = field(default_factory=dict)
    visitors: int = 0

    def elapsed(self, at: float | None = None) -> float:
        return (time.time() if at is None else at) - self.started


def demo(*, seconds: float | None, open_browser: bool, port: int, seed: int | None) -> None:
    """Show the whole path; end after ``seconds``, else when the owner presses Ctrl-C.

    Raises
    ------
    CommandError
        If the service does not start, or if an experiment ends without a verdict in time.
    """
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="flagstone-demo-"))
    interrupted = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    began = time.time()
    try:
        with contextlib.ExitStack() as stack:
            settings = Settings(data_directory=folder, port=port, ready_file=folder / "ready.json")
            remote, password = _prepare(settings)
            url = stack.enter_context(_service(settings, folder))
            remote = Remote(url, remote.token, scenario.PROJECT)
            _introduce(console, url, password)
            key = _configure(remote)
            lines: queue.Queue[dict[str, Any]] = queue.Queue()
            stack.enter_context(_shop(url, key, seed, lines))
            if open_browser and sys.stdout.isatty():
                webbrowser.open(f"{url}/")
            watch = _Watch(started=time.time())
            deadline = None if seconds is None else began + seconds - STOP_SECONDS
            _follow(console, remote, watch, lines, deadline, interrupted)
            _sum_up(console, remote, watch, settings)
            if seconds is None and sys.stdout.isatty() and not interrupted.is_set():
                console.print("\nThe shop goes on; look around. Ctrl-C ends everything.")
                with contextlib.suppress(KeyboardInterrupt):
                    interrupted.wait()
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return
    finally:
        signal.signal(signal.SIGTERM, previous)
        shutil.rmtree(folder, ignore_errors=True)
    missing = [p["key"] for p in scenario.plans() if p["key"] not in watch.verdicts]
    if missing and not interrupted.is_set():
        raise CommandError(
            f"no verdict yet on: {', '.join(missing)}", hint="give it more --seconds"
        )


def _prepare(settings: Settings) -> tuple[Remote, str]:
    """Make the database, the first administrator, the project and a personal token."""
    upgrade(settings.database_url)
    password = secrets.token_urlsafe(9)
    now = dt.datetime.now(dt.UTC)
    database = Database(settings.database_url)
    try:
        with database.write() as session:
            code = auth.ensure_setup_code(session)
            if code is None:
                message = "a fresh database has no user"
                raise RuntimeError(message)
            first = auth.FirstRun(
                email=EMAIL,
                password=password,
                project_key=scenario.PROJECT,
                project_name="Shop",
            )
            auth.complete_setup(session, code, first, now=now)
            token, _row = auth.create_token(
                session,
                auth.TokenKind.USER,
                name="demo",
                created_by=EMAIL,
                now=now,
                role=auth.Role.ADMIN,
            )
    finally:
        database.dispose()
    return Remote("", token, scenario.PROJECT), password


@contextlib.contextmanager
def _service(settings: Settings, folder: Path) -> Iterator[str]:
    """Start ``flagstone serve`` as a process of its own; give its address."""
    log_path = folder / "service.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "web.serve"],
            env={**os.environ, **settings.to_environment()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield _await_ready(settings, process, log_path)
        finally:
            _stop([process])


def _await_ready(settings: Settings, process: subprocess.Popen[bytes], log_path: Path) -> str:
    ready_file = settings.ready_file
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if ready_file is not None and ready_file.exists():
            url: str = json.loads(ready_file.read_text(encoding="utf-8"))["url"]
            return url
        if process.poll() is not None:
            break
        time.sleep(0.05)  # A file of another process: there is no event to wait for.
    tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])
    raise CommandError(f"the service did not start; its last words were:\n{tail}")


def _introduce(console: Console, url: str, password: str) -> None:
    console.print(f"\n[bold]Flagstone[/bold] runs at [link={url}]{url}[/link]")
    console.print(f"  sign in as [bold]{EMAIL}[/bold]  password [bold]{password}[/bold]\n")


def _configure(remote: Remote) -> str:
    """Create flags, a 10 % rollout and three sealed experiments; return a server key."""
    for draft in scenario.flags():
        remote.post(remote.project_path("flags"), draft)
    instructions: list[dict[str, Any]] = [
        {"do": "turn_on", "flag": draft["key"]} for draft in scenario.flags()
    ]
    instructions.append(
        {
            "do": "add_rule",
            "flag": scenario.ROLLOUT_FLAG,
            "rule": {
                "id": "first-tenth",
                "serve": {"split": {"weights": {"on": 100}, "coverage": 0.1}},
            },
        }
    )
    remote.post(
        remote.project_path("changes"),
        {
            "environment": scenario.ENVIRONMENT,
            "comment": "Open the shop: a plain 10 % rollout, three flags for experiments",
            "mode": "apply",
            "instructions": instructions,
        },
    )
    created = remote.post(
        remote.project_path("tokens"),
        {"kind": "srv", "name": "shop processes", "environment": scenario.ENVIRONMENT},
    )
    for plan in scenario.plans():
        remote.post(remote.project_path("experiments"), plan)
        for step in ("seal", "start"):
            remote.post(remote.project_path("experiments", plan["key"], step))
    key: str = created["token"]
    return key


@contextlib.contextmanager
def _shop(
    url: str, key: str, seed: int | None, lines: queue.Queue[dict[str, Any]]
) -> Iterator[None]:
    """Run the shop's processes; what they print comes out of ``lines``."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(SHOP_PROCESSES):
            process = subprocess.Popen(  # noqa: S603  our own module
                [
                    sys.executable,
                    *("-m", "web.demo.shop", "--url", url),
                    *("--process", str(number), "--processes", str(SHOP_PROCESSES)),
                    *("--seed", str(scenario.SEED if seed is None else seed)),
                ],
                env={**os.environ, "FLAGSTONE_SDK_KEY": key},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            processes.append(process)
            if process.stdout is not None:
                threading.Thread(
                    target=_read_lines, args=(process.stdout, lines), daemon=True
                ).start()
        yield
    finally:
        _stop(processes)


def _read_lines(stream: IO[bytes], lines: queue.Queue[dict[str, Any]]) -> None:
    for line in stream:
        with contextlib.suppress(ValueError):
            lines.put(json.loads(line))


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _follow(
    console: Console,
    remote: Remote,
    watch: _Watch,
    lines: queue.Queue[dict[str, Any]],
    deadline: float | None,
    interrupted: threading.Event,
) -> None:
    """Tell the story as it happens, until every experiment has its verdict or time is up."""
    keys = [plan["key"] for plan in scenario.plans()]
    with console.status("visitors are coming") as status:
        while not interrupted.is_set() and (deadline is None or time.time() < deadline):
            _drain(watch, lines)
            for key in keys:
                _report(console, remote, watch, key)
            status.update(
                f"{watch.elapsed():.0f} s, "
                + ", ".join(f"{key}: look {watch.looks.get(key, 0)}" for key in keys)
            )
            if len(watch.verdicts) == len(keys):
                # One more breath, so that the last revision has reached every process.
                interrupted.wait(1.0)
                _drain(watch, lines)
                return
            interrupted.wait(POLL_SECONDS)


def _drain(watch: _Watch, lines: queue.Queue[dict[str, Any]]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            line = lines.get_nowait()
            if line.get("revision") is not None and "at" in line:
                watch.applied.setdefault((line["process"], line["revision"]), line["at"])


def _report(console: Console, remote: Remote, watch: _Watch, key: str) -> None:
    document = remote.get(remote.project_path("experiments", key))
    watch.looks[key] = document.get("looks", 0)
    state, verdict = document["state"], document.get("verdict")
    if watch.states.get(key) != state:
        watch.states[key] = state
        if verdict is None:
            console.print(f"[dim]{watch.elapsed():5.1f} s[/dim]  {key}: {state.lower()}")
    if verdict is not None and verdict != "CONTINUE" and key not in watch.verdicts:
        at = dt.datetime.fromisoformat(document["verdict_at"]).timestamp()
        watch.verdicts[key] = (at, verdict)
        colour = _COLOURS.get(verdict, "bold")
        console.print(
            f"[dim]{watch.elapsed(at):5.1f} s[/dim]  {key}: "
            f"[{colour}]{verdict}[/{colour}] – {document['sentence']}"
        )


def _sum_up(console: Console, remote: Remote, watch: _Watch, settings: Settings) -> None:
    """Say what happened, when, and how many met the broken variant before it was gone."""
    table = Table(title="What happened", title_justify="left", header_style="bold")
    for heading in ("experiment", "verdict", "after", "looks", "met the change", "now"):
        table.add_column(heading)
    met = _people_who_met(settings)
    for plan in scenario.plans():
        key = plan["key"]
        at, verdict = watch.verdicts.get(key, (None, "no verdict yet"))
        table.add_row(
            key,
            verdict,
            "–" if at is None else f"{watch.elapsed(at):.1f} s",
            str(watch.looks.get(key, 0)),
            f"{met.get(key, 0):,} visitors",
            watch.states.get(key, "").lower(),
        )
    console.print()
    console.print(table)
    if scenario.BROKEN in watch.verdicts:
        _tell_of_the_rollback(console, remote, watch, met.get(scenario.BROKEN, 0))
        card = remote.get(remote.project_path("experiments", scenario.BROKEN, "card.txt"))
        console.print(f"\n{card}", markup=False, highlight=False)


def _tell_of_the_rollback(console: Console, remote: Remote, watch: _Watch, met: int) -> None:
    at, verdict = watch.verdicts[scenario.BROKEN]
    if verdict != "HARM":
        return
    revision = _revision_of_the_end(remote)
    reached = [when for (_process, number), when in watch.applied.items() if number >= revision]
    first = {
        process: min(
            (w for (p, n), w in watch.applied.items() if p == process and n >= revision),
            default=None,
        )
        for process in range(SHOP_PROCESSES)
    }
    late = [when - at for when in first.values() if when is not None]
    console.print(
        f"\nThe broken checkout was turned off {watch.elapsed(at):.1f} s after the start. "
        f"{met:,} visitors had met it."
    )
    if reached and len(late) == SHOP_PROCESSES:
        console.print(
            f"Revision {revision} was served by all {SHOP_PROCESSES} shop processes "
            f"{max(late):.2f} s after the look was due; nobody touched anything."
        )


def _revision_of_the_end(remote: Remote) -> int:
    document = remote.get(remote.project_path("experiments", scenario.BROKEN, "record"))
    revisions = [
        record["body"]["flag"]["revision"]
        for record in document["records"]
        if (record["body"].get("flag") or {}).get("revision")
    ]
    return int(max(revisions, default=0))


def _people_who_met(settings: Settings) -> dict[str, int]:
    """Count, in the event store, the visitors who met each experiment's treatment."""
    from experiments.store.embedded import EmbeddedStore

    database = Database(settings.database_url)
    try:
        with database.read() as session:
            from flags.services import get_environment

            environment = get_environment(session, scenario.PROJECT, scenario.ENVIRONMENT)
            environment_id = environment.id or 0
    finally:
        database.dispose()
    store = EmbeddedStore(settings.events_directory)
    with store.relations(environment_id) as connection:
        rows = connection.execute(
            "SELECT flag, count(DISTINCT unit) FROM exposures "
            "WHERE variant = 'treatment' GROUP BY flag"
        ).fetchall()
    return {str(flag): int(units) for flag, units in rows}
