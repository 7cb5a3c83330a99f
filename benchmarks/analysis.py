"""Our analysis of ten million events against SQL that somebody types for the very same sums.

Both read the same Parquet files in processes of their own, in turn, on two threads; what they find
is compared before anything is printed.

    python benchmarks/analysis.py [--events 10000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import ibis

from experiments.measuring.aggregate import AnalysisQuery, MetricDefinition, analyse_tables

DAY = 86_400.0
START = 20_000 * DAY
LOOK = START + 28 * DAY
ARMS = ("control", "new")
METRICS = (
    MetricDefinition("bought", "conversion", "purchase", 7 * DAY),
    MetricDefinition("signed up", "conversion", "signup", 1 * DAY),
    MetricDefinition("failed", "conversion", "error", 1 * DAY),
    MetricDefinition("orders", "count", "purchase", 7 * DAY),
    MetricDefinition("views", "count", "view", 7 * DAY),
    MetricDefinition("revenue", "mean", "purchase", 7 * DAY),
    MetricDefinition("capped revenue", "mean", "purchase", 7 * DAY, cap=90.0),
    MetricDefinition("seconds", "mean", "view", 7 * DAY),
    MetricDefinition("came back", "retention", "view", 7 * DAY, from_seconds=1 * DAY),
    MetricDefinition(
        "order value",
        "ratio",
        "purchase",
        7 * DAY,
        numerator="value",
        denominator_event="purchase",
    ),
)


def write_events(folder: Path, events: int) -> None:
    """Write a tenth of the events as exposures, the rest as what units did in four weeks."""
    units, exposures = events // 20, events // 10
    with duckdb.connect() as connection:
        connection.execute(
            f"""COPY (
                SELECT 1 AS environment_id, 'unit-' || (i % {units}) AS unit, 'checkout' AS flag,
                       'exp-42' AS rule,
                       CASE hash(i % {units}) % 2 WHEN 0 THEN 'control' ELSE 'new' END AS variant,
                       {START} + floor(hash(i, 1) % 20_000_000 / 1e1) AS time
                FROM range({exposures}) AS t(i)
            ) TO '{folder}/exposures.parquet'"""
        )
        connection.execute(
            f"""COPY (
                SELECT 1 AS environment_id, 'unit-' || (hash(i, 2) % {units}) AS unit,
                       ['view', 'view', 'view', 'purchase', 'signup', 'error', 'click',
                        'click'][(hash(i, 3) % 8)::INT + 1] AS name,
                       round(hash(i, 4) % 100_000 / 1e3, 2) AS value,
                       {START} + floor(hash(i, 5) % 24_192_000) / 10 AS time
                FROM range({events - exposures}) AS t(i)
            ) TO '{folder}/tracks.parquet'"""
        )


def ours(folder: Path) -> dict[str, dict[str, list[float]]]:
    with duckdb.connect(config={"threads": 2}) as connection:
        tables = ibis.duckdb.from_connection(connection)
        query = AnalysisQuery(1, "checkout", "exp-42", ARMS, START, LOOK, None, METRICS)
        found = analyse_tables(
            tables.read_parquet(folder / "exposures.parquet"),
            tables.read_parquet(folder / "tracks.parquet"),
            query,
        )
    return {key: {a: list(sums) for a, sums in arms.items()} for key, arms in found.moments.items()}


def by_hand(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Do what somebody types: the same units and sums, no bots, no compensation."""
    week, day = f"time < entered + {7 * DAY}", f"time < entered + {DAY}"
    mature = {7 * DAY: f"entered + {7 * DAY} <= {LOOK}", DAY: f"entered + {DAY} <= {LOOK}"}
    revenue = f"sum(value) FILTER (name = 'purchase' AND {week})"
    values = {
        "bought": f"bool_or(name = 'purchase' AND {week})::INT",
        "signed up": f"bool_or(name = 'signup' AND {day})::INT",
        "failed": f"bool_or(name = 'error' AND {day})::INT",
        "orders": f"count(*) FILTER (name = 'purchase' AND {week})",
        "views": f"count(*) FILTER (name = 'view' AND {week})",
        "revenue": revenue,
        "capped revenue": f"least(coalesce({revenue}, 0), 90)",
        "seconds": f"sum(value) FILTER (name = 'view' AND {week})",
        "came back": f"bool_or(name = 'view' AND time >= entered + {DAY} AND {week})::INT",
    }
    columns = [f"{expression} AS y{k}" for k, expression in enumerate(values.values())]
    sums, names = [], []
    for k, metric in enumerate(METRICS):
        kept = f"FILTER ({mature[metric.window_seconds]})"
        m, d = f"y{k}", ""
        if metric.kind == "ratio":
            m, d = "y5", "y3"
        terms = ["count(*)"] + [f"sum({m}{f' * {m}' * p})" for p in range(3)]
        if d:
            terms += [f"sum({d}{f' * {d}' * p})" for p in range(3)]
            terms += [f"sum({m} * {d})", f"sum({m} * {d} * {d})", f"sum({m} * {m} * {d})"]
        if metric.binary:
            terms = [terms[0], *[terms[1]] * 3]
        names.append((metric.key, len(terms)))
        sums += [f"{term} {kept}" for term in terms]
    with duckdb.connect(config={"threads": 2}) as connection:
        rows = connection.execute(
            f"""
            WITH units AS (
                SELECT unit, min(variant) AS arm, min(time) AS entered
                FROM '{folder}/exposures.parquet'
                WHERE environment_id = 1 AND flag = 'checkout' AND rule = 'exp-42'
                  AND time BETWEEN {START} AND {LOOK}
                GROUP BY unit HAVING min(variant) = max(variant)
            ),
            outcomes AS (
                SELECT unit, {", ".join(columns)}
                FROM '{folder}/tracks.parquet' JOIN units USING (unit)
                WHERE environment_id = 1 AND name IN ('purchase', 'signup', 'error', 'view')
                  AND time >= entered AND time BETWEEN {START} AND {LOOK}
                GROUP BY unit
            )
            SELECT arm, {", ".join(sums)} FROM units LEFT JOIN outcomes USING (unit) GROUP BY arm
            """
        ).fetchall()
    found: dict[str, dict[str, list[float]]] = {key: {} for key, _ in names}
    for arm, *row in rows:
        for key, width in names:
            found[key][arm] = [float(x) for x in row[:width]]
            row = row[width:]
    return found


def one(which: str, folder: Path) -> None:
    # Both start warm: what Python imports is not what is compared.
    with tempfile.TemporaryDirectory() as small:
        write_events(Path(small), 1000)
        {"ours": ours, "hand": by_hand}[which](Path(small))
    started = time.perf_counter()
    found = {"ours": ours, "hand": by_hand}[which](folder)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "bytes": peak, "found": found}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], Path(options.one[1]))
        return
    with tempfile.TemporaryDirectory(prefix="flagstone-bench-") as folder:
        write_events(Path(folder), options.events)
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "hand": []}
        for _ in range(options.rounds):
            for which, results in runs.items():
                command = [sys.executable, __file__, "--one", which, folder]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                results.append(json.loads(output))
    worst = 0.0
    for key, arms in runs["ours"][0]["found"].items():  # type: ignore[attr-defined]
        for arm, sums in arms.items():
            for a, b in zip(sums, runs["hand"][0]["found"][key][arm], strict=True):  # type: ignore[index]
                worst = max(worst, abs(a - b) / max(abs(b), 1.0))
                assert math.isclose(a, b, rel_tol=1e-9), (key, arm, a, b)
    ratio = statistics.median(
        a["seconds"] / b["seconds"] for a, b in zip(runs["ours"], runs["hand"], strict=True)
    )
    print(f"{options.events:,} events, {len(METRICS)} metrics; sums differ by {worst:.1e} at most")
    for which, results in runs.items():
        seconds = statistics.median(r["seconds"] for r in results)
        peak = max(r["bytes"] for r in results) / 1e6
        print(f"  {which:<5} {seconds:>7.2f} s   {peak:>6.0f} MB at most")
    print(f"  ours / by hand, paired: {ratio:.2f}  (limit 1.3)")


if __name__ == "__main__":
    main()
