"""The worker's forecasts and trials without a worker: what a test starts or publishes needs one."""

from __future__ import annotations

import copy
import datetime as dt
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import ibis

from experiments.contract.plan import Plan
from experiments.measuring.today import Today
from experiments.moves.lease import acquire, release
from experiments.planning import renewal
from experiments.planning.renewal import forecast_due
from experiments.policies.trying import try_due
from flags.database import Database

# Enough to be a forecast; what it says of chances is tested where it matters.
FEW_RUNS = 20


def stated(document: Mapping[str, Any], units_per_day: float = 1e7) -> dict[str, Any]:
    """State in a plan that states nothing what makes every promise provable."""
    if document.get("expected") is not None:
        return dict(document)
    binary = {"conversion", "retention", "funnel"}

    def is_binary(metric: Mapping[str, Any]) -> bool:
        shared = metric["kind"] == "quantile" and metric.get("of") == "units"
        return shared or metric["kind"] in binary

    metrics = {
        metric["key"]: {"baseline": 0.2} if is_binary(metric) else {"baseline": 1, "sd": 1}
        for metric in document["metrics"]
        # What the catalogue says is not in the plan yet.
        if "kind" in metric
    }
    return {**document, "expected": {"units_per_day": units_per_day, "metrics": metrics}}


class NoEvents:
    """A store that nothing was ever recorded in."""

    @contextmanager
    def tables(self, *_: Any, **__: Any) -> Iterator[tuple[ibis.Table, ibis.Table]]:
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE VIEW exposures AS SELECT 1::BIGINT AS environment_id, '' AS unit,"
                " '' AS flag, '' AS rule, '' AS variant, 1::BIGINT AS revision, 1.0::DOUBLE AS time"
                " WHERE false"
            )
            connection.execute(
                "CREATE VIEW tracks AS SELECT 1::BIGINT AS environment_id, '' AS unit, '' AS name,"
                " 1.0::DOUBLE AS value, 1.0::DOUBLE AS time WHERE false"
            )
            backend = ibis.duckdb.from_connection(connection)
            yield backend.table("exposures"), backend.table("tracks")


def _read_once(read: Callable[..., Today]) -> Callable[..., Today]:
    """Ask a store without events once about the same metrics: five queries, written and run."""
    kept: dict[str, Today] = {}

    @functools.wraps(read)
    def once(store: Any, environment_id: int, plan: Plan, now: float) -> Today:
        if not isinstance(store, NoEvents):
            return read(store, environment_id, plan, now)
        # All that can be found there is which of their events were never seen.
        key = repr(plan.metrics)
        if key not in kept:
            kept[key] = read(store, environment_id, plan, now)
        return kept[key]

    return once


def _forecast_once(forecast: Callable[..., Any]) -> Callable[..., Any]:
    """Simulate equal plans in equal traffic once: the seed is fixed, so the forecast is the same.

    Hundreds of tests start the same few experiments and ask nothing of their forecast.
    """
    kept: dict[tuple[str, str, int], Any] = {}

    @functools.wraps(forecast)
    def once(plan: Plan, today: Today, *, runs: int) -> Any:
        key = (repr(plan), repr(today), runs)
        if key not in kept:
            kept[key] = forecast(plan, today, runs=runs)
        return copy.deepcopy(kept[key])

    return once


renewal.read_today = _read_once(renewal.read_today)
renewal.forecast = _forecast_once(renewal.forecast)


def try_now(database: Database, now: dt.datetime, *, runs: int = FEW_RUNS) -> int:
    """Try one policy that nobody has tried, as such a worker."""
    held = acquire(database, "trier", now=now, is_gone=lambda _holder: True)
    assert held is not None
    try:
        return try_due(database, held, now, runs=runs)
    finally:
        release(database, held, now=now)


def forecast_now(
    database: Database, now: dt.datetime, store: Any = None, *, runs: int = FEW_RUNS
) -> int:
    """Forecast whatever is due, as a worker of its own that then lets go of its lease."""
    held = acquire(database, "forecaster", now=now, is_gone=lambda _holder: True)
    assert held is not None
    try:
        return forecast_due(database, store or NoEvents(), held, now, runs=runs, budget_seconds=1e9)
    finally:
        release(database, held, now=now)
