"""Event files: their columns, how they are written so that a crash leaves all or nothing, merged.

``time_us`` is an integer count of microseconds, sorted and delta-coded: that is most of the
compression. Ids are not kept here; the inbox's file knows which events are in (see the README).
"""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.store.base import MICROSECONDS, SECONDS_PER_DAY

DAY_US = SECONDS_PER_DAY * MICROSECONDS
_EPOCH = dt.date(1970, 1, 1).toordinal()
_ROW_GROUP = 122_880  # DuckDB's own vector of work for one thread


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of event file.

    Parameters
    ----------
    name : str
        Folder, and the name of the view for analysis.
    schema : pyarrow.Schema
        Columns, in the inbox's order.
    sort : tuple of str
        Order of the rows in a file.
    dictionary : tuple of str
        Columns with few different values.
    """

    name: str
    schema: pa.Schema
    sort: tuple[str, ...]
    dictionary: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.schema.names)


EXPOSURES = Kind(
    "exposures",
    pa.schema(
        [
            pa.field("environment_id", pa.int64(), nullable=False),
            pa.field("time_us", pa.int64(), nullable=False),
            pa.field("unit", pa.string(), nullable=False),
            pa.field("flag", pa.string(), nullable=False),
            pa.field("variant", pa.string(), nullable=False),
            pa.field("rule", pa.string()),
            pa.field("revision", pa.int64()),
            pa.field("attributes", pa.string()),
        ]
    ),
    ("environment_id", "flag", "time_us"),
    ("environment_id", "flag", "variant", "rule", "revision", "attributes"),
)
TRACKS = Kind(
    "tracks",
    pa.schema(
        [
            pa.field("environment_id", pa.int64(), nullable=False),
            pa.field("time_us", pa.int64(), nullable=False),
            pa.field("unit", pa.string(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("value", pa.float64()),
        ]
    ),
    ("environment_id", "name", "time_us"),
    ("environment_id", "name", "value"),
)
KINDS = (EXPOSURES, TRACKS)


@dataclass(frozen=True, slots=True)
class EventFile:
    """One line of the manifest.

    Parameters
    ----------
    path : str
        Relative to the store's folder, with forward slashes.
    kind : str
        Name of the :class:`Kind`.
    day : int
        Days since 1970-01-01 (UTC) of every event inside.
    rows, bytes : int
        How much is inside.
    """

    path: str
    kind: str
    day: int
    rows: int
    bytes: int


def table_of(kind: Kind, rows: Iterable[list[tuple[Any, ...]]]) -> pa.Table:
    """Turn chunks of rows into one table in memory."""
    batches = [
        pa.record_batch(
            [
                pa.array(column, field.type)
                for column, field in zip(zip(*chunk, strict=True), kind.schema, strict=True)
            ],
            schema=kind.schema,
        )
        for chunk in rows
    ]
    return pa.Table.from_batches(batches, kind.schema)


def split_by_day(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Cut a table into days of event time, in order."""
    days = pc.divide(table["time_us"], DAY_US)
    for day in sorted(pc.unique(days).to_pylist()):
        yield day, table.filter(pc.equal(days, day))


def write_file(directory: Path, kind: Kind, day: int, table: pa.Table) -> EventFile:
    """Write one file and make it last: on return its content and its name are on the disk.

    It does not exist for readers until the manifest says so.
    """
    relative = f"{kind.name}/{_date(day)}/{uuid.uuid4().hex}.parquet"
    path = directory / relative
    _make_folder(path.parent, upto=directory)
    temporary = path.with_suffix(".tmp")
    pq.write_table(
        table.sort_by([(column, "ascending") for column in kind.sort]),
        temporary,
        compression="zstd",
        row_group_size=_ROW_GROUP,
        use_dictionary=list(kind.dictionary),
        column_encoding={"time_us": "DELTA_BINARY_PACKED", "unit": "DELTA_BYTE_ARRAY"},
    )
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    size = temporary.stat().st_size
    temporary.replace(path)
    _sync_folder(path.parent)
    return EventFile(relative, kind.name, day, table.num_rows, size)


def merge_files(directory: Path, kind: Kind, files: Iterable[EventFile]) -> EventFile:
    """Write the rows of several files of one day into a new one; the old ones stay."""
    chosen = list(files)
    tables = [pq.ParquetFile(directory / file.path).read() for file in chosen]
    table = pa.concat_tables([_whole(kind, t) for t in tables])
    return write_file(directory, kind, chosen[0].day, table)


def _whole(kind: Kind, table: pa.Table) -> pa.Table:
    """Give a file's rows with every column; what an older release did not write is null."""
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in kind.schema
    ]
    return pa.table(columns, schema=pa.schema([f.with_nullable(True) for f in kind.schema])).cast(
        kind.schema
    )


def _date(day: int) -> str:
    return dt.date.fromordinal(_EPOCH + day).isoformat()


def _make_folder(folder: Path, *, upto: Path) -> None:
    if folder.is_dir():
        return
    if folder != upto:
        _make_folder(folder.parent, upto=upto)
    folder.mkdir(exist_ok=True)
    # A new folder is only an entry of its parent: without this, a power cut loses the file in it.
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # pragma: no cover  folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
