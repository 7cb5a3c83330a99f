"""One small experiment, written into every engine that runs here, with the engine's own types."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.analysis.definitions import AnalysisQuery, MetricDefinition
from experiments.contract.source import parse_source
from experiments.store.base import Event, attributes_text, whole_microseconds
from experiments.store.embedded import EmbeddedStore
from tests.conftest import unavailable

# A quarter to midnight in UTC: a wrong zone or a lost fraction moves events out of their windows.
START = 1_767_311_100.25
FLAG, RULE = "checkout", "exp-42"
ODD = 'it\'s "odd"; -- ü'
URL = "TEST_SOURCE_URL"
COUNTRIES = ("DE", "", 'it\'s "ü"', "FR")
SAID = ("land", "old")
TRACKS = {"table": "done", "unit": "who", "name": "what", "value": "amount", "time": "moment"}

METRICS = (
    MetricDefinition("converted", "conversion", "buy", 30.0),
    MetricDefinition("odd", "conversion", ODD, 60.0),
    MetricDefinition("orders", "count", "buy", 60.0),
    MetricDefinition("revenue", "mean", "buy", 60.0, covariate_seconds=50.0),
    MetricDefinition("capped", "mean", "buy", 60.0, cap=90.0),
    MetricDefinition("dearest", "mean", "buy", 45.5, aggregation="max"),
    MetricDefinition(
        "value per view", "ratio", "buy", 60.0, numerator="value", denominator_event="view"
    ),
    MetricDefinition("came back", "retention", "view", 60.0, from_seconds=20.0),
    MetricDefinition("bought at last", "funnel", "buy", 60.0, steps=("view", ODD, "buy")),
    MetricDefinition("slow", "quantile", "view", 60.0, threshold=0.5),
    MetricDefinition("slowest", "quantile", "view", 60.0, threshold=0.9, of_units=True),
)


def query(**change: Any) -> AnalysisQuery:
    values: dict[str, Any] = {
        "environment_id": 1,
        "flag": FLAG,
        "rule": RULE,
        "arms": ("control", "new", "third"),
        "start": START,
        "look_at": START + 200,
        "enrol_until": START + 150,
        "metrics": METRICS,
    }
    return AnalysisQuery(**(values | change))


def _event(**values: Any) -> Event:
    return Event(id=uuid.uuid4().bytes, environment_id=1, **values)


def make_events() -> list[Event]:
    """Give exposures and tracks of 400 units, on all edges that matter."""
    rng = random.Random(11)
    events = []
    for number in range(400):
        unit = f"ünit-{number}"
        at = whole_microseconds(START + rng.uniform(-10, 170))
        arm = rng.choice(("control", "new", "third", "control", "stranger"))
        flag, rule = rng.choice(((FLAG, RULE),) * 8 + (("other", RULE), (FLAG, "another")))
        exposure = {"flag": flag, "rule": rule, "revision": 3}
        said = {"land": COUNTRIES[number % 4], "old": "yes" if number % 7 else ""}
        told = attributes_text({name: text for name, text in said.items() if text})
        first = _event(time=at, unit=unit, variant=arm, **exposure)
        events.append(first._replace(attributes=told))
        if rng.random() < 0.3:
            again = arm if rng.random() < 0.8 else "new"
            later = whole_microseconds(at + rng.uniform(0, 20))
            events.append(_event(time=later, unit=unit, variant=again, **exposure))
        for _ in range(rng.randrange(12)):
            name = rng.choice(("buy", "view", "view", ODD, "noise"))
            value = None if rng.random() < 0.1 else round(rng.lognormvariate(0, 2), 4)
            edges = (0.0, 20.0, 30.0, 45.5, 60.0, -50.0)
            offset = rng.choice(edges) if rng.random() < 0.2 else rng.uniform(-60, 80)
            time = whole_microseconds(at + offset)
            events.append(_event(time=time, unit=unit, name=name, value=value))
    return events


@dataclass(frozen=True)
class Rows:
    """The events as two tables with names of their own."""

    seen: pa.Table
    done: pa.Table


def _told(event: Event, name: str) -> str | None:
    told: dict[str, str] = json.loads(event.attributes or "{}")
    return told.get(name)


def _when(seconds: float) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=round(seconds * 1e6))


@pytest.fixture(scope="session")
def events() -> list[Event]:
    return make_events()


@pytest.fixture(scope="session")
def rows(events: list[Event]) -> Rows:
    stamp = pa.timestamp("us", tz="UTC")
    seen = [e for e in events if e.flag is not None]
    done = [e for e in events if e.flag is None]
    return Rows(
        pa.table(
            {
                "who": [e.unit for e in seen],
                "feature": [e.flag for e in seen],
                "allocation": [e.rule for e in seen],
                "Group": [e.variant for e in seen],
                "country": [_told(e, "land") for e in seen],
                "is_old": [_told(e, "old") for e in seen],
                "moment": pa.array([_when(e.time) for e in seen], stamp),
            }
        ),
        pa.table(
            {
                "who": [e.unit for e in done],
                "what": [e.name for e in done],
                "amount": pa.array([e.value for e in done], pa.float64()),
                "moment": pa.array([_when(e.time) for e in done], stamp),
            }
        ),
    )


@pytest.fixture(scope="session")
def store(events: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """The same events as our SDKs would have sent them."""
    opened = EmbeddedStore(tmp_path_factory.mktemp("events"))
    opened.append(events)
    yield opened
    opened.close()


def document(kind: str, **change: Any) -> dict[str, Any]:
    """Give the source that holds the rows, as its owner would declare it."""
    made = {
        "key": "warehouse",
        "kind": kind,
        "url_env": URL,
        "exposures": {
            "table": "seen",
            "unit": "who",
            "variant": "Group",
            "time": "moment",
            "flag": "feature",
            "rule": "allocation",
            "attributes": {"land": "country", "old": "is_old"},
        },
        "tracks": TRACKS,
    } | change
    return {name: value for name, value in made.items() if value is not None}


def source(kind: str, **change: Any) -> Any:
    return parse_source(document(kind, **change))


def fill_duckdb(path: Path, rows: Rows) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.register("given_seen", rows.seen)
        connection.register("given_done", rows.done)
        # Without a zone here, with one elsewhere.
        connection.execute("SET timezone = 'UTC'")
        for name in ("seen", "done"):
            connection.execute(
                f"CREATE TABLE {name} AS "
                f"SELECT * REPLACE (moment::TIMESTAMP AS moment) FROM given_{name}"
            )


def fill_parquet(folder: Path, rows: Rows) -> None:
    pq.write_table(rows.seen, folder / "seen.parquet")
    (folder / "done").mkdir()
    half = rows.done.num_rows // 2
    pq.write_table(rows.done.slice(0, half), folder / "done" / "part-0.parquet")
    pq.write_table(rows.done.slice(half), folder / "done" / "part-1.parquet")


def fill_postgresql(url: str, rows: Rows) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        # A server far from UTC must change nothing.
        database = connection.info.dbname
        cursor.execute(f"ALTER DATABASE \"{database}\" SET timezone = 'Asia/Kolkata'")
        cursor.execute(
            'CREATE TABLE seen (who varchar(40), feature text, allocation text, "Group" text, '
            "country text, is_old text, moment timestamptz)"
        )
        cursor.execute("CREATE TABLE done (who text, what text, amount float8, moment timestamptz)")
        for name, table in (("seen", rows.seen), ("done", rows.done)):
            with cursor.copy(f"COPY {name} FROM STDIN") as copy:
                for row in zip(*table.to_pydict().values(), strict=True):
                    copy.write_row(row)


@pytest.fixture(scope="session")
def java() -> str:
    """A Java that Spark can use; none of another kind is looked for."""
    path = shutil.which("java")
    home = os.environ.get("JAVA_HOME")
    if home:
        path = shutil.which("java", path=str(Path(home) / "bin")) or path
    if path is None:
        unavailable("no Java on this machine (Debian: apt-get install openjdk-17-jre-headless)")
        raise AssertionError
    said = subprocess.run([path, "-version"], capture_output=True, text=True)
    if said.returncode != 0:
        unavailable(f"Java does not start: {said.stderr.strip()}")
    return path


@pytest.fixture(scope="session")
def spark(java: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One small Spark session for the whole process, with nothing left behind."""
    sql = pytest.importorskip("pyspark.sql", reason="no PySpark")
    folder = tmp_path_factory.mktemp("spark")
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.driver.memory": "512m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        "spark.sql.catalogImplementation": "in-memory",
        # A session far from UTC must change nothing.
        "spark.sql.session.timeZone": "Asia/Kolkata",
        "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={folder} -XX:+UseSerialGC "
        "-XX:TieredStopAtLevel=1 -Duser.timezone=America/New_York",
    }
    builder = sql.SparkSession.builder.master("local[1]").appName("tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    process = session.sparkContext._gateway.proc
    yield session
    session.stop()
    # The JVM waits for the end of our standard input, which pytest keeps open.
    session.sparkContext._gateway.shutdown()
    process.stdin.close()
    process.wait(timeout=120)


def fill_spark(session: Any, folder: Path, rows: Rows) -> None:
    for name, table in (("seen", rows.seen), ("done", rows.done)):
        pq.write_table(table, folder / f"{name}.parquet")
        session.read.parquet(str(folder / f"{name}.parquet")).createOrReplaceTempView(name)


ENGINES = [
    "duckdb",
    "parquet",
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("spark", marks=pytest.mark.spark),
]


@pytest.fixture
def address(
    request: pytest.FixtureRequest, engine: str, rows: Rows, tmp_path: Path
) -> dict[str, str]:
    """Fill an engine, and give the environment in which its address is found."""
    if engine == "duckdb":
        fill_duckdb(tmp_path / "warehouse.duckdb", rows)
        return {URL: str(tmp_path / "warehouse.duckdb")}
    if engine == "parquet":
        fill_parquet(tmp_path, rows)
        return {URL: str(tmp_path)}
    if engine == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        fill_postgresql(url, rows)
        return {URL: url}
    fill_spark(request.getfixturevalue("spark"), tmp_path, rows)
    return {URL: "local[1]"}
