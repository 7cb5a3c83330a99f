"""An experiment on a source: refused before its start if it cannot be read, then run to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from experiments.errors import PlanError, SourceError
from experiments.judging.record import verify
from experiments.people import services
from experiments.sources import services as sources
from flags.actor import Actor
from flags.errors import NotFoundError, StateError
from tests.experiments.sources.conftest import URL

ADMIN = Actor("user", "admin@example.org")
SOURCE = {
    "kind": "duckdb",
    "url_env": URL,
    "tracks": {"sql": "select unit, name, amount as value, at_time as time from done"},
}
WORSE = {"purchase": {"control": 0.2, "new": 0.1}, "error": {"control": 0.1, "new": 0.1}}


class Warehouse:
    """A DuckDB file beside the world, and its declaration."""

    def __init__(self, world: Any, path: Path) -> None:
        self.world, self.path = world, path
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "CREATE TABLE done (unit VARCHAR, name VARCHAR, amount DOUBLE, at_time TIMESTAMPTZ)"
            )

    def declare(self, document: dict[str, Any] = SOURCE, key: str = "warehouse") -> Any:
        with self.world.database.write() as session:
            row, _ = sources.put_source(
                session, "shop", key, document, actor=ADMIN, now=self.world.at(0)
            )
            return row.version

    def delete(self) -> None:
        with self.world.database.write() as session:
            sources.delete_source(session, "shop", "warehouse", actor=ADMIN, now=self.world.at(0))

    def take_over(self) -> None:
        """Move what happened out of our store's reach: into the warehouse, under other names."""
        store = self.world.store
        with store.tables(self.world.environment_id()) as (_, tracks):
            found = tracks.select("unit", "name", "value", "time").to_pyarrow().to_pylist()
        rows = [tuple(row.values()) for row in found]
        with duckdb.connect(str(self.path)) as connection:
            connection.executemany("INSERT INTO done VALUES ($1, $2, $3, to_timestamp($4))", rows)


@pytest.fixture
def warehouse(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv(URL, str(path))
    return Warehouse(world, path)


def plan(make_plan: Any, **change: Any) -> dict[str, Any]:
    """Read outcomes that our SDKs never named: only the source has them."""
    document: dict[str, Any] = make_plan(source="warehouse")
    return document | change


def begun(warehouse: Warehouse, make_plan: Any) -> Any:
    world = warehouse.world
    warehouse.declare()
    world.create(plan(make_plan))
    world.do(services.seal)
    world.tick(0)
    world.do(services.start)
    return world


def test_an_experiment_on_a_source_is_stopped_for_harm(
    warehouse: Warehouse, make_plan: Any
) -> None:
    world = warehouse.world
    document = plan(make_plan)
    warehouse.declare()
    world.create(document)
    world.do(services.seal)
    with pytest.raises(StateError, match="has not looked into source") as early:
        world.do(services.start)
    assert early.value.field == "source"
    assert world.tick(0).errors == ()
    world.do(services.start)
    world.traffic(0, 10, 3000, WORSE)
    warehouse.take_over()
    result = world.tick(10)
    assert (result.looks, result.errors) == (1, ())
    assert (world.experiment.state, world.experiment.verdict) == ("ROLLED_BACK", "HARM")
    assert verify(world.export()).identical


def test_sums_come_from_the_source_and_not_from_our_tracks(
    warehouse: Warehouse, make_plan: Any
) -> None:
    world = begun(warehouse, make_plan)
    world.traffic(0, 10, 300, WORSE)
    world.tick(10)
    look = world.looks[0].data["look"]
    assert sum(look["counts"].values()) == 300
    assert all(sums["s1"] == 0 for sums in look["metrics"]["purchase"].values())


def test_who_was_lost_is_told_by_the_source(warehouse: Warehouse, make_plan: Any) -> None:
    world = warehouse.world
    warehouse.declare()
    world.create(plan(make_plan, attrition="visit"))
    world.do(services.seal)
    world.tick(0)
    world.do(services.start)
    world.traffic(0, 5, 600, WORSE | {"visit": {"control": 0.9, "new": 0.5}})
    warehouse.take_over()
    world.tick(10)
    found = world.looks[0].data["quality"]["attrition"]
    assert sum(arm["units"] for arm in found.values()) == 600
    assert [round(arm["lost"] / arm["units"], 1) for arm in found.values()] == [0.1, 0.5]


def test_a_source_that_cannot_be_read_refuses_the_start_with_its_field(
    warehouse: Warehouse, make_plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = warehouse.world
    metrics = [dict(metric) for metric in make_plan()["metrics"]]
    metrics[1]["sql"] = "select unit, at_time as time from refunds"
    warehouse.declare()
    world.create(plan(make_plan, metrics=metrics))
    world.do(services.seal)
    assert world.tick(0).errors == ()
    with pytest.raises(SourceError, match="refunds") as caught:
        world.do(services.start)
    assert (caught.value.field, bool(caught.value.hint)) == ("metrics[1].sql", True)
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("CREATE TABLE refunds (unit VARCHAR, at_time TIMESTAMPTZ)")
    world.tick(10)
    with pytest.raises(SourceError):
        world.do(services.start, now=10)
    monkeypatch.delenv(URL)
    world.tick(31)
    with pytest.raises(SourceError) as caught:
        world.do(services.start, now=31)
    assert caught.value.field == "url_env"
    monkeypatch.setenv(URL, str(warehouse.path))
    world.tick(62)
    world.do(services.start, now=62)


def test_an_engine_that_is_down_is_an_error_and_stops_nothing_else(
    warehouse: Warehouse, make_plan: Any
) -> None:
    world = begun(warehouse, make_plan)
    warehouse.path.rename(warehouse.path.with_suffix(".away"))
    result = world.tick(10)
    assert result.looks == 0
    (error,) = result.errors
    assert URL in error
    assert str(warehouse.path) not in error
    warehouse.path.with_suffix(".away").rename(warehouse.path)
    assert world.tick(11).looks == 1


def test_a_plan_is_not_sealed_on_a_source_that_is_missing_or_has_no_rows_for_a_metric(
    warehouse: Warehouse, make_plan: Any
) -> None:
    world = warehouse.world
    world.create(plan(make_plan))
    with pytest.raises(PlanError) as caught:
        world.do(services.seal)
    assert caught.value.field == "source"
    warehouse.declare({"kind": "duckdb", "url_env": URL})
    with pytest.raises(PlanError) as caught:
        world.do(services.seal)
    assert caught.value.field == "metrics[0].sql"
    assert world.experiment.state == "DRAFT"


def test_a_source_stays_as_it_is_while_an_experiment_is_sealed_on_it(
    warehouse: Warehouse, make_plan: Any
) -> None:
    world = warehouse.world
    assert warehouse.declare() == 1
    world.create(plan(make_plan))
    assert warehouse.declare(SOURCE | {"kind": "parquet"}) == 2
    world.do(services.seal)
    assert warehouse.declare(SOURCE | {"kind": "parquet"}) == 2
    for change in (warehouse.declare, warehouse.delete):
        with pytest.raises(StateError, match="'button' was sealed on source"):
            change()
    world.do(services.stop, reason="enough")
    assert warehouse.declare() == 3
    warehouse.delete()
    with pytest.raises(NotFoundError):
        warehouse.delete()
