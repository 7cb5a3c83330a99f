"""What the worker reads of an experiment's data, for a look, a comparison, or between looks."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from experiments.contract.source import Source
from experiments.judging.freshness import Freshness, freshness
from experiments.judging.quality import Quality, imbalance_p, quality_of
from experiments.measuring.measure import Measured, measure
from experiments.monitoring.due import Due
from experiments.sources.services import source_of
from experiments.store.promises import EventStore
from flags.database import Database


@dataclass(frozen=True)
class DataRead:
    """Sums, and what is known about the data themselves.

    Parameters
    ----------
    source : Source, optional
        Where the rows were, if they were not in the store.
    """

    measured: Measured
    fresh: Freshness
    quality: Quality
    source: Source | None


def read_data(
    database: Database,
    store: EventStore,
    due: Due,
    *,
    since: dt.datetime,
    offset: float,
    winner: str | None = None,
) -> DataRead:
    """Read an experiment's data as of ``offset`` seconds after ``since``.

    Parameters
    ----------
    winner : str, optional
        The arm that ships: then it is compared with its holdback since it shipped. What its units
        did before that is no longer from before the change, and is not compared.
    """
    plan, environment_id = due.plan, due.experiment.environment_id
    with database.read() as session:
        source = source_of(session, due.experiment.project_id, plan)
    start = since.timestamp()
    measured = measure(
        store,
        plan,
        environment_id=environment_id,
        start=start,
        offset=offset,
        # Cut where the proof was cut: the same metric is measured.
        marks=due.marks,
        source=source,
        winner=winner,
    )
    analysis, before = measured.analysis, winner is None
    newest = analysis.newest_event
    fresh = freshness(
        plan.policy.stale_seconds,
        offset=offset,
        newest=None if newest is None else newest - start,
        counts=analysis.counts,
        enrol_seconds=plan.enrol_seconds if before else None,
        looks=due.looks if before else (),
        step=due.position.step if before else 0,
    )
    quality = quality_of(
        plan,
        quarantined=analysis.quarantined,
        bots=sum(analysis.bots.values()),
        fresh=fresh,
        imbalance_p=imbalance_p(measured.sums, plan.control) if before else None,
        lost=measured.lost,
    )
    return DataRead(measured, fresh, quality, source)
