"""Open one source's engine: lazily, to read only, and never saying where it is.

Each engine's driver is imported here, when somebody uses it; a missing one names the extra that
brings it. The address is read from the environment variable that the source names, and cut out of
whatever an engine says when it fails.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from experiments.contract.source import Source
from experiments.errors import SourceError

if TYPE_CHECKING:
    from ibis.backends.sql import SQLBackend

# What pip must bring for an engine: the module that proves it, and our extra.
_DRIVERS = {
    "postgresql": ("psycopg", "postgresql"),
    "spark": ("pyspark", "spark"),
    "clickhouse": ("clickhouse_connect", "clickhouse"),
    "bigquery": ("google.cloud.bigquery", "bigquery"),
    "snowflake": ("snowflake.connector", "snowflake"),
    "trino": ("trino", "trino"),
}
# Whose errors are the engine's; any other error within the block is a fault of ours.
_ENGINES = {
    *("duckdb", "ibis", "sqlglot", "psycopg", "pyspark", "py4j", "pyarrow", "grpc"),
    *("clickhouse_connect", "google", "snowflake", "trino", "requests", "urllib3"),
}
_LONGEST_REASON = 500


@contextmanager
def opened(source: Source, environment: Mapping[str, str] | None = None) -> Iterator[SQLBackend]:
    """Connect to a source's engine for as long as the block runs.

    Parameters
    ----------
    source : Source
        What to open.
    environment : mapping of str to str, optional
        Where ``source.url_env`` is looked up; the process's own environment by default.

    Raises
    ------
    SourceError
        If the variable is not set, the driver is missing, or the engine cannot be reached; also in
        place of whatever the engine raises within the block.
    """
    address = address_of(source, os.environ if environment is None else environment)
    _require_driver(source)
    with saying(source, address, "url_env", "cannot be opened"):
        backend, close = _OPEN[source.kind](source, address)
    try:
        with saying(source, address, None, "failed"):
            yield backend
    finally:
        close()


def address_of(source: Source, environment: Mapping[str, str]) -> str:
    """Read the address out of the environment variable that the source names."""
    address = environment.get(source.url_env, "").strip()
    if not address:
        raise SourceError(
            f"source {source.key!r}: the environment variable {source.url_env} is not set",
            field="url_env",
            hint=f"set {source.url_env} for the worker, and where you run flagstone sources check",
        )
    return address


@contextmanager
def saying(source: Source, address: str, field: str | None, what: str) -> Iterator[None]:
    """Turn whatever an engine raises into one sentence without its address or password."""
    from flags.errors import FlagstoneError

    try:
        yield
    except FlagstoneError:
        raise
    except Exception as error:
        if field is None and not is_engine_error(error):
            raise
        reason = _without_secrets(str(error), address)
        raise SourceError(
            f"source {source.key!r} {what}: {reason}", field=field, hint=_hint(source, field)
        ) from None


def is_engine_error(error: Exception) -> bool:
    """Tell an engine's complaint from a fault of ours."""
    library = type(error).__module__.partition(".")[0].lstrip("_")
    return library in _ENGINES or isinstance(error, OSError)


def _without_secrets(reason: str, address: str) -> str:
    try:
        parts = urlsplit(address)
        secrets = [address, parts.netloc, parts.password or ""]
    except ValueError:
        secrets = [address]
    for secret in secrets:
        if secret:
            reason = reason.replace(secret, "…")
    reason = " ".join(reason.split()) or "no reason given"
    return reason[:_LONGEST_REASON] + ("…" if len(reason) > _LONGEST_REASON else "")


def _hint(source: Source, field: str | None) -> str | None:
    if field == "url_env":
        return f"is {source.url_env} right, and may this machine reach it?"
    return None


def _require_driver(source: Source) -> None:
    if source.kind not in _DRIVERS:
        return
    module, extra = _DRIVERS[source.kind]
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise SourceError(
            f"source {source.key!r} needs {module}, which is not installed ({error})",
            field="kind",
            hint=f"pip install 'flagstone[{extra}]'",
        ) from None


_Opened = tuple["SQLBackend", Callable[[], None]]


def _open_duckdb(source: Source, address: str) -> _Opened:
    import duckdb

    if not Path(address).is_file():
        raise SourceError(
            f"source {source.key!r}: {source.url_env} names no file",
            field="url_env",
            hint="the path of a DuckDB file",
        )
    return _lock(duckdb.connect(address, read_only=True), [])


def _open_parquet(source: Source, address: str) -> _Opened:
    import duckdb

    folder = Path(address)
    if not folder.is_dir():
        raise SourceError(
            f"source {source.key!r}: {source.url_env} names no folder",
            field="url_env",
            hint="the path of a folder with exposures.parquet, or exposures/*.parquet",
        )
    connection = duckdb.connect()
    for name, pattern in _parquet_tables(folder):
        quoted = name.replace('"', '""')
        files = str(pattern).replace("'", "''")
        connection.execute(
            f"""CREATE VIEW "{quoted}" AS """  # noqa: S608
            f"SELECT * FROM read_parquet('{files}', union_by_name = true)"
        )
    return _lock(connection, [str(folder)])


def _parquet_tables(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give each table of a folder: a file ``name.parquet``, or a folder ``name`` of such files."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix == ".parquet":
            yield path.stem, path
        elif path.is_dir() and next(path.glob("**/*.parquet"), None) is not None:
            yield path.name, path / "**" / "*.parquet"


def _lock(connection: Any, folders: list[str]) -> _Opened:
    # SQL of a plan runs here, with this process's rights: no other file, no network, no way back.
    import ibis

    backend: SQLBackend = ibis.duckdb.from_connection(connection)
    if folders:
        connection.execute("SET allowed_directories = $folders", {"folders": folders})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return backend, connection.close


def _open_postgresql(source: Source, address: str) -> _Opened:
    import ibis
    import psycopg

    _check_scheme(source, address, ("postgresql", "postgres"))
    connection = psycopg.connect(
        address,
        autocommit=True,
        connect_timeout=10,
        application_name="flagstone",
        options="-c default_transaction_read_only=on",
    )
    return ibis.postgres.from_connection(connection), connection.close


def _open_spark(_source: Source, address: str) -> _Opened:
    import ibis
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("flagstone")
    if address.startswith("sc://"):
        session = builder.remote(address).getOrCreate()
    else:
        session = builder.master(address).config("spark.ui.enabled", "false").getOrCreate()
    # SQL of a plan may name tables, not any file that Spark can read.
    session.conf.set("spark.sql.runSQLOnFiles", "false")
    # A session takes seconds to start: it stays until the process ends.
    return ibis.pyspark.connect(session), lambda: None


def _open_by_url(source: Source, address: str) -> _Opened:
    import ibis

    _check_scheme(source, address, (source.kind,))
    backend: SQLBackend = ibis.connect(address)
    return backend, backend.disconnect


def _check_scheme(source: Source, address: str, schemes: tuple[str, ...]) -> None:
    if address.partition("://")[0] not in schemes:
        raise SourceError(
            f"source {source.key!r}: {source.url_env} is no address of {source.kind}",
            field="url_env",
            hint=f"it begins with {schemes[0]}://",
        )


_OPEN: Mapping[str, Callable[[Source, str], _Opened]] = {
    "duckdb": _open_duckdb,
    "parquet": _open_parquet,
    "postgresql": _open_postgresql,
    "spark": _open_spark,
    "clickhouse": _open_by_url,
    "bigquery": _open_by_url,
    "snowflake": _open_by_url,
    "trino": _open_by_url,
}
