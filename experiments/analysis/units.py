"""One row per unit: its arm, its first exposure, and whether it counts.

Status and place of a unit:

- `COUNTED`: it met one arm and nothing else; ``arm`` is the arm's place, from 1.
- `QUARANTINED`: it met an arm and another variant of the rule.
- `OUTSIDE`: it met no arm, or came after the enrolment.
- `BOT`: it would count, but has more events than any person (`without_bots`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import ibis

from experiments.analysis.definitions import AnalysisQuery

COUNTED, QUARANTINED, OUTSIDE, BOT = range(4)
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Instants:
    """The times of a query: numbers, or expressions that the engine is told when it runs."""

    start: Any
    look_at: Any
    enrol_until: Any = None

    @staticmethod
    def of(query: AnalysisQuery) -> Instants:
        """Take the numbers that the query names."""
        return Instants(query.start, query.look_at, query.enrol_until)


def exposed_units(exposures: ibis.Table, query: AnalysisQuery, instants: Instants) -> ibis.Table:
    """Give ``unit, status, arm, entered, last_seen, exposures`` for every unit that was exposed.

    Parameters
    ----------
    exposures : ibis.Table
        Columns ``unit, variant, time``; ``environment_id``, ``flag`` and ``rule`` if it holds more
        than one of them. ``time`` is POSIX seconds.
    """
    rows = rows_of_query(exposures, query, instants, "variant")
    # A variant that is no arm has place 0: it counts as another one, but never as an arm.
    place = ibis.cases(
        *((rows.variant == arm, number) for number, arm in enumerate(query.arms, 1)), else_=0
    ).cast("int64")
    found = rows.group_by("unit").aggregate(
        arm=place.max(),
        least=place.min(),
        entered=rows.time.min(),
        last_seen=rows.time.max(),
        exposures=rows.count(),
    )
    outside = found.arm == 0
    if instants.enrol_until is not None:
        # Who enters after the last day of enrolment is not the experiment's, whatever it met.
        outside |= found.entered > instants.enrol_until
    status = ibis.cases((outside, OUTSIDE), (found.least != found.arm, QUARANTINED), else_=COUNTED)
    return found.select(
        "unit", "arm", "entered", "last_seen", "exposures", status=status.cast("int64")
    )


def rows_of_query(
    exposures: ibis.Table, query: AnalysisQuery, instants: Instants, *columns: str
) -> ibis.Table:
    """Give ``unit``, ``time`` and some other columns of the exposures that a query is about."""
    rows = exposures
    wanted = {"environment_id": query.environment_id, "flag": query.flag, "rule": query.rule}
    for column, value in wanted.items():
        if value is not None and column in rows.columns:
            rows = rows.filter(rows[column] == value)
    time = rows.time.cast("float64")
    rows = rows.select(*columns, unit=rows.unit.cast("string"), time=time)
    return rows.filter(rows.time >= instants.start, rows.time <= instants.look_at)


def bot_or_status(row: ibis.Table, most_events_per_day: float) -> ibis.Value:
    """Give the status of a unit, now that its outcomes are counted.

    A bot has more events a day than any person, on the average from its first exposure to its
    newest event, and one day at least: so a few bursts of a person are not enough, and a bot
    that has fallen silent stays one.
    """
    events = row.exposures + row.outcomes
    days = (ibis.greatest(row.newest, row.last_seen) - row.entered) / SECONDS_PER_DAY
    is_bot = (events > most_events_per_day) & (events > days * most_events_per_day)
    status = ibis.cases(((row.status == COUNTED) & is_bot, BOT), else_=row.status)
    return cast("ibis.Value", status)
