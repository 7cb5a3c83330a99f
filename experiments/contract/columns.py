"""Which columns of a replayed file say who met what, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader


@dataclass(frozen=True)
class ExposureColumns:
    """Where a replayed file says who met what."""

    variant: str
    unit: str | None = None
    row_number: bool = False
    time: str | None = None
    arms: tuple[tuple[str, str], ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Give the mapping as plain data."""
        document: dict[str, Any] = {"variant": self.variant}
        document |= {"unit": self.unit} if self.unit else {"row_number": True}
        if self.time:
            document["time"] = self.time
        if self.arms:
            document["arms"] = dict(self.arms)
        return document


@dataclass(frozen=True)
class OutcomeColumns:
    """Where a replayed file says what happened; ``event`` is given for one row per event."""

    unit: str | None = None
    row_number: bool = False
    event: str | None = None
    time: str | None = None
    value: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Give the mapping as plain data."""
        document: dict[str, Any] = {"unit": self.unit} if self.unit else {"row_number": True}
        for name in ("event", "time", "value"):
            if getattr(self, name):
                document[name] = getattr(self, name)
        return document


def read_replay(reader: Reader, arms: set[str]) -> tuple[ExposureColumns, OutcomeColumns]:
    """Read a plan's ``replay`` table: the columns of both files."""
    replay = Reader(reader.take("replay"), "replay")
    table = Reader(
        replay.take("exposures", hint="where the exposures' columns are"), "replay.exposures"
    )
    names = table.take("arms", {})
    if not isinstance(names, Mapping) or not set(names.values()) <= arms:
        raise table.fault("arms", "must lead from values in the file to arms of the plan", None)
    unit, row_number = _read_unit(table)
    exposures = ExposureColumns(
        variant=table.text("variant", hint="the column that says which arm"),
        unit=unit,
        row_number=row_number,
        time=table.text("time", None),
        arms=tuple((str(value), arm) for value, arm in names.items()),
    )
    table.finish()
    if replay.has("outcomes"):
        table = Reader(replay.take("outcomes"), "replay.outcomes")
        unit, row_number = _read_unit(table)
        outcomes = OutcomeColumns(
            unit=unit,
            row_number=row_number,
            event=table.text("event", None),
            time=table.text("time", None),
            value=table.text("value", None),
        )
        table.finish()
    else:
        outcomes = OutcomeColumns(exposures.unit, exposures.row_number)
    replay.finish()
    return exposures, outcomes


def _read_unit(table: Reader) -> tuple[str | None, bool]:
    row_number = table.boolean("row_number", default=False)
    hint = "the column that says who, or row_number = true"
    unit = table.text("unit", None)
    if (unit is None) != row_number:
        raise table.fault("unit", "is missing or given twice", hint)
    return unit, row_number
