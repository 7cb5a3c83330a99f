"""How small an effect each metric of the catalogue can show, found out by the worker once a day.

What is recorded of it (:mod:`experiments.catalogue.noise`) is put to the rule that decides. What is
not known is said in words: no number stands for it.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.catalogue.models import MetricRow, MetricSensitivity
from experiments.catalogue.noise import DAYS, FEWEST_DAYS, PAST_SECONDS, Reading, read_noise
from experiments.catalogue.services import entry_of
from experiments.catalogue.usage import uses_of
from experiments.contract.document import format_duration
from experiments.contract.metric import Metric
from experiments.contract.words import percent, plain
from experiments.moves.lease import Held, check_fence, take_turns
from experiments.store.promises import EventStore
from flags.database import Database
from flags.models import Environment
from stats import (
    Baseline,
    DecisionPlan,
    MetricSpec,
    Role,
    Schedule,
    StatsError,
    World,
    outlook,
)

log = logging.getLogger(__name__)

Document = dict[str, Any]

FRESH, RETRY = dt.timedelta(days=1), dt.timedelta(hours=1)
# No further metric is begun in a tick that has worked for so long.
_BUDGET_SECONDS = 1.0
_DAY = 86_400.0


def sense_due(
    database: Database,
    store: EventStore,
    held: Held,
    now: dt.datetime,
    *,
    budget_seconds: float = _BUDGET_SECONDS,
) -> int:
    """Find out about metrics whose sensitivity is missing, old, or of another version.

    Parameters
    ----------
    held : Held
        The worker's lease: only its holder writes.
    budget_seconds : float
        No further one is begun after that; at least one is made.

    Returns
    -------
    int
        How many were made.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    return take_turns(
        lambda: _due(database, now),
        lambda metric_id: _renew(database, store, held, metric_id, now),
        budget_seconds=budget_seconds,
    )


def _due(database: Database, now: dt.datetime) -> int | None:
    """Find whose turn it is: whoever waits longest."""
    query = (
        select(MetricRow.id)
        .outerjoin(MetricSensitivity, col(MetricSensitivity.metric_id) == col(MetricRow.id))
        .where(
            col(MetricRow.archived).is_(False),
            sa.or_(
                col(MetricSensitivity.metric_id).is_(None),
                col(MetricSensitivity.renew_at) <= now,
                col(MetricSensitivity.metric_version) != col(MetricRow.version),
            ),
        )
        .order_by(col(MetricSensitivity.computed_at).nulls_first(), col(MetricRow.id))
        .limit(1)
    )
    with database.read() as session:
        return session.exec(query).first()


def _renew(
    database: Database, store: EventStore, held: Held, metric_id: int, now: dt.datetime
) -> int:
    with database.read() as session:
        row = session.get_one(MetricRow, metric_id)
        moved = [use for use in uses_of(session, row) if use.effects]
        environment = _production(session, row.project_id)
        session.expunge_all()
    try:
        metric = entry_of(row, row.key).metric
        found = Reading(reason="there is no environment yet")
        if environment is not None and environment.id is not None:
            found = read_noise(store, environment.id, metric, now.timestamp())
        document = describe(metric, found)
    except Exception as error:
        # It must neither keep the others from theirs nor be tried again every second.
        log.exception("the sensitivity of metric %s could not be found out", row.key)
        document = describe(entry_of(row, row.key).metric, Reading(reason=f"it failed: {error}"))
    document["environment"] = None if environment is None else environment.key
    document["moved"] = {
        "experiments": len(moved),
        "moved": sum(any(effect.moved for effect in use.effects) for use in moved),
    }
    document["sentence"] = sentence_of(document)
    with database.write() as session:
        check_fence(session, held)
        session.merge(
            MetricSensitivity(
                metric_id=metric_id,
                metric_version=row.version or 0,
                computed_at=now,
                renew_at=now + (RETRY if document["provable"] is None else FRESH),
                document=document,
            )
        )
    return 1


def _production(session: Session, project_id: int) -> Environment | None:
    """Give the environment that counts: production, or else the first."""
    query = select(Environment).where(Environment.project_id == project_id)
    order = (col(Environment.production).desc(), col(Environment.position), col(Environment.id))
    return session.exec(query.order_by(*order).limit(1)).first()


def describe(metric: Metric, found: Reading) -> Document:
    """Give what was read as plain data: numbers, or the reason that there is none."""
    baseline = found.baseline
    document: Document = {
        "days": len(found.new_units),
        "units": found.units,
        "units_per_day": None,
        "mean": None,
        "cv": None,
        "provable": None,
        "reason": found.reason,
        "covariate": None,
        "cap": None,
    }
    if found.new_units:
        document["units_per_day"] = _tidy(sum(found.new_units) / len(found.new_units))
    if baseline is None:
        return document
    document["mean"], document["cv"] = _tidy(baseline.mean), _tidy(_cv(baseline))
    if len(found.new_units) < FEWEST_DAYS:
        return document
    past = metric.reading.covariate_seconds
    judged = baseline
    if found.covariate is not None:
        document["covariate"] = {
            "window": format_duration(past or PAST_SECONDS),
            "variance_ratio": _tidy(1 - found.covariate),
            "used": past is not None,
        }
        judged = baseline.with_covariate(found.covariate) if past is not None else baseline
    if found.capped is not None and found.cap is not None:
        document["cap"] = {
            "cap": _tidy(found.cap),
            # Effects are relative, so is the noise that hides them: a cap lowers the mean too.
            "variance_ratio": _tidy((_cv(found.capped) / _cv(baseline)) ** 2),
        }
    try:
        provable = _provable(metric, judged, found.new_units)
    except StatsError as error:
        return {**document, "reason": str(error)}
    if not math.isfinite(provable):
        return {**document, "reason": "no effect could be proven with these units"}
    return {**document, "provable": _tidy(provable), "reason": ""}


def _provable(metric: Metric, baseline: Baseline, new_units: Sequence[float]) -> float:
    """Ask the rule for the smallest relative effect that 28 days prove four times in five."""
    mde = 0.05
    if baseline.binary:
        mde = min(mde, (1 - baseline.mean) / baseline.mean / 2)
    spec = MetricSpec(
        metric.key,
        Role.SUCCESS,
        binary=baseline.binary,
        direction="up" if metric.direction == "up" else "down",
        mde=mde,
    )
    plan = DecisionPlan(("control", "treatment"), (1.0, 1.0), (spec,))
    schedule = Schedule.from_traffic(
        plan, new_units, days=DAYS, window_days=math.ceil(metric.window_seconds / _DAY)
    )
    world = World({metric.key: baseline})
    return outlook(plan, world, schedule, days=DAYS).metrics[0].detectable


def _people(each_day: float) -> str:
    # An average of hundreds is not known to the hundredth of a person.
    return plain(round(each_day) if each_day >= 100 else each_day, 3)


def sentence_of(document: Document) -> str:
    """Say how sensitive a metric is, or what is missing."""
    if document["provable"] is None:
        missing = (
            "Not enough data yet" if document["mean"] is None else "How small is not known yet"
        )
        parts = [f"{missing}: {document['reason']}."]
    else:
        shown = (
            f"Shows an effect of {percent(document['provable'])} within {DAYS} days at "
            f"{_people(document['units_per_day'])} new units a day "
            f"(noise: {plain(document['cv'], 3)} times its mean)."
        )
        parts = [shown]
    covariate, cap, moved = document["covariate"], document["cap"], document["moved"]
    if covariate is not None:
        does = "leaves" if covariate["used"] else "would leave"
        share = percent(covariate["variance_ratio"])
        parts.append(f"The {covariate['window']} before {does} {share} of its variance.")
    if cap is not None:
        share = percent(cap["variance_ratio"])
        parts.append(f"A cap at {plain(cap['cap'], 3)} would leave {share} of it.")
    if moved["experiments"]:
        parts.append(f"Moved in {moved['moved']} of {moved['experiments']} ended experiments.")
    return " ".join(parts)


def _cv(baseline: Baseline) -> float:
    return math.sqrt(baseline.variance) / abs(baseline.mean)


def _tidy(value: float) -> float:
    """Cut a number to six digits: more would differ between processors and say nothing."""
    return float(f"{value:.6g}")
