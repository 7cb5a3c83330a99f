"""The measurements of ``flagstone bench serve``, and the limits they are held against."""

from __future__ import annotations

import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from web.bench.goals import Goal, goal_line
from web.bench.service.control import FLAGS, BenchError, Service, running, wait_for_file
from web.bench.service.load import measure, requests
from web.bench.service.streams import Clients

Say = Callable[[str], object]

WARM_REQUESTS = 2_000
STOP_LIMIT = 5.0


def bench(
    *,
    database_url: str | None = None,
    count: int = 20_000,
    connections: int = 16,
    clients: int = 1_000,
    commits: int = 60,
    rounds: int = 5,
    say: Say = print,
) -> dict[str, Any]:
    """Measure one web process of a service of its own; return figures and goals.

    Parameters
    ----------
    database_url : str, optional
        An empty PostgreSQL database; SQLite in a folder of its own if left out.
    count : int
        Bulk requests in each round.
    connections : int
        Kept-alive connections that send them.
    clients : int
        Event streams, and as many SDKs.
    commits : int
        Revisions that are published to them.
    rounds : int
        How often ours and the limit take turns.
    say : callable, optional
        Gets lines for people.

    Raises
    ------
    BenchError
        If the service does not start or a revision does not arrive.
    """
    _allow_files(4 * clients + 200)
    goals: list[Goal] = []
    figures: dict[str, Any] = {}

    def note(goal: Goal) -> None:
        goals.append(goal)
        say(goal_line(goal))

    with running(database_url) as service:
        kind = "SQLite" if service.control.database.is_sqlite else "PostgreSQL"
        say(f"one web process, {FLAGS} flags, {kind}")
        figures["bulk"] = bulk = _bulk(service, count, connections, rounds)
        note(_at_most("CPU of a bulk answer", bulk["cpu_us"], 150, "µs"))
        rate = bulk["per_second"]
        note(Goal("bulk answers per second", "≥ 5,000", f"{rate:,.0f}", rate >= 5_000))
        say(f"        (a server that only sends as many bytes: {bulk['limit_us']:.0f} µs)")
        figures["streams"] = streams = _streams(service, clients, commits)
        note(_at_most(f"memory of {clients:,} event streams", streams["megabytes"], 20, "MB"))
        note(_at_most("commit to last stream, p99", streams["p99_ms"], 100, "ms"))
        say(f"        (median {streams['median_ms']:.0f} ms, first one {streams['first_ms']:.0f})")
        figures["sdks"] = sdks = _sdks(service, clients, max(10, commits // 3))
        note(_at_most(f"commit to the last of {clients:,} SDKs", sdks["worst_ms"], 250, "ms"))
        say(f"        (median {sdks['median_ms']:.0f} ms)")
        figures["stop"] = stop = _stop(service, clients)
        note(_at_most(f"SIGTERM with {clients:,} streams", stop, STOP_LIMIT, "s"))
    return {
        "database": kind,
        "clients": clients,
        "figures": figures,
        "goals": [asdict(goal) for goal in goals],
    }


def _at_most(name: str, measured: float, limit: float, unit: str) -> Goal:
    return Goal(name, f"≤ {limit:g} {unit}", f"{measured:.1f} {unit}", measured <= limit)


def _allow_files(wanted: int) -> None:
    """Raise the number of open files for us and the processes we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise BenchError(f"needs {wanted} open files, and the system allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bulk(service: Service, count: int, connections: int, turns: int) -> dict[str, float]:
    """Measure rounds of ours and of a server that only sends as many bytes, in turn."""
    prepared = requests(service.control.key)
    body = _first_answer(service.port, prepared[0])
    port_file = service.folder / "bare-port"
    bare = subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-m", "web.bench.service.bare", str(len(body)), str(port_file)]
    )
    try:
        sides = {
            "ours": (service.web.pid, service.port),
            "limit": (bare.pid, int(wait_for_file(port_file, bare))),
        }
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for pid, port in sides.values():
            measure(pid, port, prepared, min(count, WARM_REQUESTS), connections)
        for _ in range(turns):
            for name, (pid, port) in sides.items():
                rounds[name].append(measure(pid, port, prepared, count, connections))
    finally:
        bare.kill()
        bare.wait()
    ours = {key: statistics.median(r[key] for r in rounds["ours"]) for key in rounds["ours"][0]}
    limit = statistics.median(r["cpu_us"] for r in rounds["limit"])
    return {**ours, "limit_us": limit, "bytes": len(body)}


def _first_answer(port: int, request: bytes) -> bytes:
    """Ask until the service knows the key and the flags; return the body."""
    deadline = time.monotonic() + 20
    answer = b""
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        if answer.startswith(b"HTTP/1.1 200"):
            body = answer.split(b"\r\n\r\n", 1)[1]
            if len(json.loads(body)["flags"]) == FLAGS:
                return body
        time.sleep(0.05)
    raise BenchError(f"the service does not answer: {answer[:300]!r}")


def _streams(service: Service, clients: int, commits: int) -> dict[str, float]:
    """Publish to listeners; return memory and milliseconds from commit to first and last."""
    before = service.web.memory_info().rss
    crowd = Clients(service.port, service.control.key, clients, fetching=False)
    try:
        crowd.wait(_revision(service))
        grown = service.web.memory_info().rss - before
        first, last = [], []
        for number in range(commits):
            version = service.control.publish(on=number % 2 == 0)
            committed = time.monotonic()
            times = crowd.wait(version)
            first.append((times[0] - committed) * 1e3)
            last.append((times[-1] - committed) * 1e3)
    finally:
        crowd.close()
    return {
        "megabytes": grown / 1e6,
        "first_ms": statistics.median(first),
        "median_ms": statistics.median(last),
        "p99_ms": statistics.quantiles(last, n=100, method="inclusive")[98],
        "worst_ms": max(last),
    }


def _sdks(service: Service, clients: int, commits: int) -> dict[str, float]:
    """Publish to clients that fetch the flags; return milliseconds from commit to the last."""
    crowd = Clients(service.port, service.control.key, clients, fetching=True)
    last = []
    try:
        crowd.wait(_revision(service))
        for number in range(commits):
            version = service.control.publish(on=number % 2 == 0)
            committed = time.monotonic()
            last.append((crowd.wait(version)[-1] - committed) * 1e3)
    finally:
        crowd.close()
    return {"median_ms": statistics.median(last), "worst_ms": max(last)}


def _revision(service: Service) -> int:
    from flags.models import Environment

    with service.control.database.read() as session:
        return session.get_one(Environment, service.control.environment_id).revision


def _stop(service: Service, clients: int) -> float:
    """Return how many seconds the service takes to end with open streams."""
    crowd = Clients(service.port, service.control.key, clients, fetching=False)
    try:
        crowd.wait(_revision(service))
        started = time.monotonic()
        service.supervisor.terminate()
        service.supervisor.wait(60)
        return time.monotonic() - started
    finally:
        crowd.close()
