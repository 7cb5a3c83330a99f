"""Recorded exposures and outcomes, read once and whole: a bad row is named, nothing is half read.

Files are CSV with a header, in UTF-8. What each column means is said by the plan's ``[replay]``
tables.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from experiments.contract.columns import ExposureColumns, OutcomeColumns
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.errors import PlanError, RowError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0}


@dataclass(frozen=True)
class Exposures:
    """Who met what, when: one entry per unit that met one arm.

    Parameters
    ----------
    index : dict
        Place of every unit in the arrays.
    arm : array of int
        Index into the plan's arms.
    first : array of float, optional
        First exposure, POSIX seconds; ``None`` for files without times.
    quarantined : int
        Units that met several arms; they are nowhere else.
    """

    index: dict[str, int]
    arm: Ints
    first: Floats | None
    rows: int
    quarantined: int


@dataclass(frozen=True)
class WideOutcome:
    """One value per unit, in the order of the exposures.

    Parameters
    ----------
    present : array of bool, optional
        Which units have a row; the others are lost, and count for no metric. ``None``: all.
    """

    values: Floats
    covariates: Floats | None
    denominators: Floats | None = None
    present: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class LongOutcome:
    """Events of one metric: place of the unit, time, value; and those that a ratio divides by."""

    unit: Ints
    time: Floats | None
    value: Floats
    denominator: LongOutcome | None = None


def read_exposures(path: Path, plan: Plan) -> Exposures:
    """Read who met what.

    Raises
    ------
    RowError
        At the first row that cannot be read.
    """
    columns = plan.exposures
    if columns is None:
        raise PlanError("the plan has no [replay.exposures] table", field="replay.exposures")
    table = _Table(path)
    variant_at = table.column(columns.variant)
    unit_at = None if columns.unit is None else table.column(columns.unit)
    time_at = None if columns.time is None else table.column(columns.time)
    arms = _arm_numbers(plan, columns)
    index: dict[str, int] = {}
    arm_of: list[int] = []
    first: list[float] = []
    twice: set[int] = set()
    rows = 0
    for line, row in table.rows():
        rows += 1
        unit = str(rows) if unit_at is None else row[unit_at]
        if not unit:
            raise RowError(path.name, line, columns.unit or "", "no unit")
        value = row[variant_at]
        if value not in arms:
            known = ", ".join(arms)
            raise RowError(path.name, line, columns.variant, f"{value!r} is no arm ({known})")
        arm = arms[value]
        time = 0.0 if time_at is None else _time(path, line, str(columns.time), row[time_at])
        place = index.setdefault(unit, len(arm_of))
        if place == len(arm_of):
            arm_of.append(arm)
            first.append(time)
        elif arm_of[place] != arm:
            twice.add(place)
        else:
            first[place] = min(first[place], time)
    if not rows:
        raise RowError(path.name, 1, "", "no rows after the header")
    keep = [place for place in range(len(arm_of)) if place not in twice]
    moved = {old: new for new, old in enumerate(keep)}
    return Exposures(
        index={unit: moved[old] for unit, old in index.items() if old in moved},
        arm=np.array([arm_of[i] for i in keep], dtype=np.int64),
        first=None if time_at is None else np.array([first[i] for i in keep]),
        rows=rows,
        quarantined=len(twice),
    )


def _arm_numbers(plan: Plan, columns: ExposureColumns) -> dict[str, int]:
    place = {arm: number for number, arm in enumerate(plan.arms)}
    if columns.arms:
        return {value: place[arm] for value, arm in columns.arms}
    return place


def read_wide(path: Path, plan: Plan, exposures: Exposures) -> dict[str, WideOutcome]:
    """Read outcomes with one row per unit and one column per metric.

    A unit without a row was lost; if that happened to all of them, the file is not theirs.
    """
    columns = plan.outcomes or OutcomeColumns(row_number=True)
    table = _Table(path)
    unit_at = None if columns.unit is None else table.column(columns.unit)
    places = [(m, table.column(m.column or m.key)) for m in plan.metrics]
    covariates = [(m, table.column(m.covariate)) for m in plan.metrics if m.covariate]
    below = {
        m.key: m.ratio.denominator_column or m.ratio.denominator_event
        for m in plan.metrics
        if m.ratio is not None
    }
    below_at = {key: table.column(name) for key, name in below.items()}
    size = len(exposures.arm)
    values = {metric.key: np.zeros(size) for metric in plan.metrics}
    before = {metric.key: np.zeros(size) for metric, _at in covariates}
    denominators = {key: np.zeros(size) for key in below}
    seen = np.zeros(size, dtype=bool)
    for number, (line, row) in enumerate(table.rows(), start=1):
        unit = str(number) if unit_at is None else row[unit_at]
        place = exposures.index.get(unit)
        if place is None:
            continue
        if seen[place]:
            raise RowError(path.name, line, columns.unit or "", f"unit {unit!r} has two rows")
        seen[place] = True
        for metric, at in places:
            values[metric.key][place] = _outcome(path, line, metric, row[at])
        for metric, at in covariates:
            before[metric.key][place] = _number(path, line, str(metric.covariate), row[at])
        for key, at in below_at.items():
            denominators[key][place] = _number(path, line, below[key], row[at])
    if size and not seen.any():
        raise RowError(path.name, 1, columns.unit or "", "no unit of the exposures has a row")
    present = None if seen.all() else seen
    return {
        metric.key: WideOutcome(
            values[metric.key], before.get(metric.key), denominators.get(metric.key), present
        )
        for metric in plan.metrics
    }


def read_long(path: Path, plan: Plan, exposures: Exposures) -> dict[str, LongOutcome]:
    """Read outcomes with one row per event; events of units that met nothing are passed over."""
    columns = plan.outcomes
    if columns is None or columns.event is None or columns.unit is None:
        raise PlanError(
            "outcomes with one row per event need the columns unit and event",
            field="replay.outcomes",
        )
    for number, metric in enumerate(plan.metrics):
        if metric.kind == "funnel" or (metric.kind == "retention" and columns.time is None):
            why = "order of its steps" if metric.kind == "funnel" else "times of its events"
            raise PlanError(
                f"{metric.key} is a {metric.kind}, and the {why} is not read from events here",
                field=f"metrics[{number}].kind",
                hint="give one row per unit, with a column of 0 and 1 for it",
            )
    table = _Table(path)
    unit_at, event_at = table.column(columns.unit), table.column(columns.event)
    time_at = None if columns.time is None else table.column(columns.time)
    value_at = None if columns.value is None else table.column(columns.value)
    wanted: dict[str, tuple[list[int], list[float], list[float]]] = {
        event: ([], [], [])
        for metric in plan.metrics
        for event in (*metric.events, *(metric.ratio.denominator_events if metric.ratio else ()))
    }
    for line, row in table.rows():
        time = 0.0 if time_at is None else _time(path, line, str(columns.time), row[time_at])
        place = exposures.index.get(row[unit_at])
        found = wanted.get(row[event_at])
        if place is None or found is None:
            continue
        # An event without a number adds nothing to a mean; counts and conversions need none.
        text = "" if value_at is None else row[value_at]
        value = _number(path, line, str(columns.value), text) if text else 0.0
        found[0].append(place)
        found[1].append(time)
        found[2].append(value)

    def outcome(events: tuple[str, ...], denominator: LongOutcome | None = None) -> LongOutcome:
        # One list after the other: what is asked of them does not hang on their order.
        units, times, values = ([x for e in events for x in wanted[e][k]] for k in range(3))
        return LongOutcome(
            unit=np.array(units, dtype=np.int64),
            time=None if time_at is None else np.array(times),
            value=np.array(values),
            denominator=denominator,
        )

    return {
        metric.key: outcome(
            metric.events, outcome(metric.ratio.denominator_events) if metric.ratio else None
        )
        for metric in plan.metrics
    }


class _Table:
    """A CSV file with a header."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                self.header = next(csv.reader(file), [])
        except UnicodeDecodeError as error:
            raise RowError(path.name, 1, "", "the file is not UTF-8 text") from error
        except OSError as error:
            raise RowError(path.name, 0, "", error.strerror or "cannot be opened") from error
        if len(set(self.header)) != len(self.header):
            raise RowError(path.name, 1, "", "two columns have the same name")

    def column(self, name: str) -> int:
        if name not in self.header:
            known = ", ".join(self.header)
            raise RowError(self.path.name, 1, name, f"no such column (there are: {known})")
        return self.header.index(name)

    def rows(self) -> Iterator[tuple[int, Sequence[str]]]:
        width = len(self.header)
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            try:
                next(reader)
                for row in reader:
                    if not row:
                        continue
                    if len(row) != width:
                        reason = f"{len(row)} cells, but the header has {width}"
                        raise RowError(self.path.name, reader.line_num, "", reason)
                    yield reader.line_num, row
            except (csv.Error, UnicodeDecodeError) as error:
                raise RowError(self.path.name, reader.line_num, "", str(error)) from error


def _outcome(path: Path, line: int, metric: Metric, text: str) -> float:
    column = metric.column or metric.key
    if not metric.binary:
        return _number(path, line, column, text)
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise RowError(path.name, line, column, f"{text!r} is neither true nor false")
    return value


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RowError(path.name, line, column, f"{text!r} is not a number")
    return value


def _time(path: Path, line: int, column: str, text: str) -> float:
    try:
        return _finite(float(text))
    except ValueError:
        pass
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        reason = f"{text!r} is not a time (ISO 8601, or POSIX seconds)"
        raise RowError(path.name, line, column, reason) from None
    # A file that names no zone was written in one; UTC for all keeps the differences right.
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value
