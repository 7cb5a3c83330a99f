"""What a plan can prove and how often it errs, before anybody meets the change.

The rule that will decide is asked, not a table of sample sizes: the plan's own looks, ramp, windows
and error rates, at today's traffic and variance (:mod:`experiments.measuring.today`, or what the
plan states). Runs in the worker; what it finds is plain data that everything else only shows.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select

from experiments.contract.metric import Metric
from experiments.contract.plan import Plan, plan_hash
from experiments.contract.policy import look_schedule
from experiments.contract.release import RELEASE
from experiments.machine.lifecycle import State
from experiments.measuring.today import (
    EXPOSURES,
    Arrivals,
    MeasuredBaseline,
    Today,
    read_today,
    unrecorded,
)
from experiments.models import Experiment, Forecast
from experiments.moves.enact import plan_of
from experiments.moves.lease import Held, check_fence, take_turns
from experiments.planning.forecast_words import MDE, NO_DATA, NO_TRAFFIC, sentence_of, unprovable
from experiments.planning.foretelling import (
    POWER,
    RUNS,
    Known,
    asked_of,
    deadline_of,
    operating_of,
    simulated_looks,
    tidy,
    ways_out_of,
)
from experiments.store.base import EventStore
from flags.database import Database
from flags.models import Environment, Project
from flags.ranges import BUCKETS
from flags.revisions import lock_environment
from stats import Baseline

log = logging.getLogger(__name__)

Document = dict[str, Any]

#: A forecast is of today's traffic: after a day it is made again.
FRESH = dt.timedelta(days=1)
#: While something is not known it may be known soon; of an old draft it is not asked so often.
RETRY, RETRY_OLD = dt.timedelta(minutes=1), dt.timedelta(hours=1)
# No new forecast is begun in a tick that has worked for so long.
_BUDGET_SECONDS = 1.0

# Shares of prove_by at which people ask what can be seen: days 7, 14 and 28 of 28.
_CHECKPOINTS = (0.25, 0.5, 1.0)


def forecast_due(
    database: Database,
    store: EventStore,
    held: Held,
    now: dt.datetime,
    *,
    runs: int = RUNS,
    budget_seconds: float = _BUDGET_SECONDS,
) -> int:
    """Forecast drafts and sealed plans whose forecast is missing, old or of another plan.

    Parameters
    ----------
    held : Held
        The worker's lease: only its holder writes.
    runs : int, default RUNS
        Simulated experiments in each world.
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
        lambda due: _renew(database, store, held, due, now, runs),
        budget_seconds=budget_seconds,
    )


def _due(database: Database, now: dt.datetime) -> int | None:
    """Find whose turn it is: sealed plans first, then whoever waits longest."""
    sealed = col(Experiment.state) == State.SEALED.value
    other_plan = sa.case(
        (sealed, col(Forecast.plan_hash) != col(Experiment.plan_hash)),
        # Only an edit of its plan moves a draft.
        else_=col(Forecast.experiment_version) != col(Experiment.version),
    )
    claim = sa.type_coerce(col(Experiment.plan), sa.JSON)["claim"].as_string()
    query = (
        select(Experiment.id)
        .outerjoin(Forecast, col(Forecast.experiment_id) == col(Experiment.id))
        .where(
            col(Experiment.state).in_([State.DRAFT.value, State.SEALED.value]),
            # A release promises no effect that could be out of reach.
            claim.is_distinct_from(RELEASE),
            sa.or_(
                col(Forecast.experiment_id).is_(None), col(Forecast.renew_at) <= now, other_plan
            ),
        )
        .order_by(sa.desc(sealed), col(Forecast.computed_at), col(Experiment.id))
        .limit(1)
    )
    with database.read() as session:
        return session.exec(query).first()


def _renew(
    database: Database,
    store: EventStore,
    held: Held,
    experiment_id: int,
    now: dt.datetime,
    runs: int,
) -> int:
    with database.read() as session:
        experiment = session.get_one(Experiment, experiment_id)
        environment = session.get_one(Environment, experiment.environment_id)
        project = session.get_one(Project, experiment.project_id)
        session.expunge_all()
    try:
        plan = plan_of(experiment)
        today = Today()
        if plan.source is None:
            today = read_today(store, experiment.environment_id, plan, now.timestamp())
        document = forecast(plan, today, runs=runs)
    except Exception as error:
        # It must neither keep the others from theirs nor be tried again every second.
        log.exception("experiment %s could not be forecast", experiment_id)
        document = _failed(error)
    with database.write() as session:
        check_fence(session, held)
        lock_environment(session, project.key, environment.key)
        present = session.get(Experiment, experiment_id, populate_existing=True)
        if present is None or present.plan != experiment.plan or present.started_at is not None:
            return 0
        row = session.get(Forecast, experiment_id) or Forecast(
            experiment_id=experiment_id,
            plan_hash="",
            experiment_version=0,
            computed_at=now,
            renew_at=now,
            document={},
        )
        row.plan_hash = plan_hash(experiment.plan)
        row.experiment_version = experiment.version or 0
        row.computed_at = now
        row.renew_at = now + _lasts(experiment, document, now)
        row.document = document
        session.add(row)
    return 1


def _lasts(experiment: Experiment, document: Document, now: dt.datetime) -> dt.timedelta:
    if all(risk["risk"] == MDE for risk in document["risks"]):
        return FRESH
    touched = experiment.sealed_at or experiment.created_at
    return RETRY if now - touched < FRESH else RETRY_OLD


def _failed(error: Exception) -> Document:
    reason = f"the forecast failed: {error}"
    risk = _risk(NO_DATA, "plan", reason, "the service's log says more")
    document: Document = {
        "power": POWER,
        "traffic": {"units_per_day": None, "source": None, "stated": None, "measured": None},
        "baselines": {},
        "deadlines": [],
        "ways_out": None,
        "operating": None,
        "risks": [risk],
        "notes": [],
    }
    return document | {"sentence": sentence_of(document)}


def forecast(plan: Plan, today: Today, *, runs: int = RUNS) -> Document:
    """Forecast a plan.

    Parameters
    ----------
    plan : Plan
        As drafted or sealed; equal plans and measurements give equal forecasts.
    today : Today
        What the recorded events say.
    runs : int, default RUNS
        Simulated experiments in each world.

    Returns
    -------
    dict
        Plain data: ``traffic``, ``baselines``, ``deadlines``, ``ways_out`` (None when the deadline
        is enough), ``operating`` (None when something is not known), ``risks`` that keep the
        experiment from starting until they are mended or signed for, ``notes`` and ``sentence``.
    """
    known = _known(plan, today)
    looks = simulated_looks(plan)
    notes = _notes(plan, today, known, looks)
    deadlines: list[Document] = []
    operating = None
    asked = asked_of(plan, known)
    if known.arrivals is not None and asked:
        for share in _CHECKPOINTS:
            instant = share * plan.prove_by_seconds
            deadlines.append(deadline_of(plan, known, known.arrivals, looks, instant, asked))
        operating = operating_of(plan, known, known.arrivals, looks, runs, notes)
    traffic = _traffic(plan, today, known)
    ways_out = ways_out_of(plan, traffic, deadlines[-1]) if deadlines else None
    document: Document = {
        "power": POWER,
        "traffic": traffic,
        "baselines": {metric.key: _baseline(plan, today, metric) for metric in plan.metrics},
        "deadlines": deadlines,
        "ways_out": ways_out,
        "operating": operating,
        "risks": _risks(plan, today, known, deadlines[-1] if deadlines else None),
        "notes": notes,
    }
    return document | {"sentence": sentence_of(document)}


# --- what is known


def _known(plan: Plan, today: Today) -> Known:
    arrivals, stated = today.arrivals, plan.expected
    if stated is not None and stated.units_per_day is not None and today.source != EXPOSURES:
        # Who met the flag is a measurement; units with any event only stand in for them.
        arrivals = Arrivals((stated.units_per_day,), plan.policy.day_seconds)
    if arrivals is not None and plan.layer is not None and today.source != EXPOSURES:
        # Who met the flag before came through some lane already; others are the whole layer.
        part = plan.layer.buckets / BUCKETS
        arrivals = Arrivals(tuple(n * part for n in arrivals.new_units), arrivals.day_seconds)
    baselines = {}
    for metric in plan.metrics:
        found = today.baselines.get(metric.key)
        if found is not None and found.baseline is not None:
            baselines[metric.key] = found.baseline
        elif stated is not None and metric.key in stated.metrics:
            said = stated.metrics[metric.key]
            baselines[metric.key] = (
                Baseline.of_rate(said.baseline)
                if said.deviation is None
                else Baseline.of_mean(said.baseline, said.deviation)
            )
    return Known(arrivals, baselines)


def _traffic(plan: Plan, today: Today, known: Known) -> Document:
    stated = plan.expected.units_per_day if plan.expected is not None else None
    source = today.source
    if stated is not None and source != EXPOSURES:
        source = "stated"
    return {
        "units_per_day": None if known.arrivals is None else tidy(known.arrivals.per_day),
        "source": source,
        "stated": stated,
        "measured": None
        if today.arrivals is None
        else {
            "units_per_day": tidy(today.arrivals.per_day),
            "days": len(today.arrivals.new_units),
            "units": today.units,
            "of": today.source,
        },
    }


def _baseline(plan: Plan, today: Today, metric: Metric) -> Document:
    found = today.baselines.get(metric.key)
    if found is not None and found.baseline is not None:
        mean, variance = found.baseline.mean, found.baseline.variance
        return {
            "source": "measured",
            "mean": tidy(mean),
            "sd": tidy(math.sqrt(variance)),
            "units": found.units,
        }
    said = plan.expected.metrics.get(metric.key) if plan.expected is not None else None
    if said is not None:
        rate = said.baseline
        deviation = math.sqrt(rate * (1 - rate)) if said.deviation is None else said.deviation
        return {"source": "stated", "mean": rate, "sd": tidy(deviation), "units": None}
    return {"source": None, "mean": None, "sd": None, "units": None, "reason": _reason(found)}


def _reason(found: MeasuredBaseline | None) -> str:
    return "nothing is measured yet" if found is None or not found.reason else found.reason


def _is_stated(plan: Plan) -> bool:
    return plan.expected is not None and plan.expected.units_per_day is not None


def _notes(plan: Plan, today: Today, known: Known, looks: Sequence[float]) -> list[str]:
    notes = []
    if today.source == "events" and not _is_stated(plan):
        notes.append(
            f"Nobody has met {plan.flag} through a tracked rule yet: units with any recorded event "
            "stand in for its audience."
        )
    if plan.layer is not None and known.arrivals is not None:
        notes.append(
            "Traffic is that of earlier tracked rules, whatever their share of the layer."
            if today.source == EXPOSURES
            else f"Of all units {plan.layer.share:.4g} take part: the share of layer "
            f"{plan.layer.key}."
        )
    if plan.source is not None:
        notes.append(
            f"Source {plan.source} is not read before the start: only what is stated counts."
        )
    if plan.audience is not None and today.source is not None:
        notes.append("The plan's audience may be a part of this traffic only.")
    planned = len(look_schedule(plan.policy, plan.prove_by_seconds))
    if len(looks) < planned:
        notes.append(f"{len(looks)} of {planned} looks are simulated.")
    return notes


# --- what keeps it from starting


def _risks(plan: Plan, today: Today, known: Known, deadline: Document | None) -> list[Document]:
    risks = []
    # What lies in a source is not read before the start: it is not known, which is no fault.
    if known.arrivals is None and plan.source is None:
        risks.append(
            _risk(
                NO_TRAFFIC,
                "expected.units_per_day",
                f"nobody is known to come to {plan.flag}: no event is recorded",
                "send events with an SDK first, or state it: [expected] units_per_day = 900",
            )
        )
    place = {metric.key: f"metrics[{i}]" for i, metric in enumerate(plan.metrics)}
    stated = plan.expected.metrics if plan.expected is not None else {}
    for metric in plan.metrics:
        if not metric.decides or metric.key in stated or plan.source is not None:
            continue
        missing = unrecorded(metric, today.unseen)
        proves = metric.role in {"success", "guardrail"}
        if missing or (proves and metric.key not in known.baselines):
            found = today.baselines.get(metric.key)
            reason = f"no event {missing!r} has been recorded" if missing else _reason(found)
            risks.append(
                _risk(
                    NO_DATA,
                    f"{place[metric.key]}.event",
                    f"{metric.key} has no data: {reason}",
                    "check the event's name, or state what it is like today: "
                    f"[expected.metrics.{metric.key!r}] baseline = …",
                )
            )
    for each in deadline["metrics"] if deadline is not None else ():
        if each["lacking"] is None or each["lacking"] > 1:
            what = "mde" if each["role"] == "success" else "margin"
            risks.append(
                _risk(
                    MDE,
                    f"{place[each['metric']]}.{what}",
                    unprovable(plan.prove_by_seconds / plan.policy.day_seconds, each),
                    "a larger one, more traffic, a more sensitive metric, or do not run it; "
                    "or the customer signs for it",
                )
            )
    return risks


def _risk(risk: str, field: str, reason: str, hint: str) -> Document:
    return {"risk": risk, "field": field, "reason": reason, "hint": hint}
