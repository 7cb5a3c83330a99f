"""What a plan can prove and how often it errs, before anybody meets the change.

The rule that will decide is asked, not a table of sample sizes: the plan's own looks, ramp, windows
and error rates, at today's traffic and variance (:mod:`experiments.measuring.today`, or what the
plan states). Runs in the worker; what it finds is plain data that everything else only shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.contract.policy import look_schedule
from experiments.measuring.today import EXPOSURES, Arrivals, MeasuredBaseline, Today, unrecorded
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
from flags.ranges import BUCKETS
from stats import Baseline

Document = dict[str, Any]

# Shares of prove_by at which people ask what can be seen: days 7, 14 and 28 of 28.
_CHECKPOINTS = (0.25, 0.5, 1.0)
# Of the mean: with a larger standard error a measurement does not overrule what the plan states.
_LARGEST_ERROR = 0.1


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


def failed_forecast(error: Exception) -> Document:
    """Say in place of a forecast that it failed; nothing starts on it."""
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
        found = _measured(plan, today, metric)
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


def _measured(plan: Plan, today: Today, metric: Metric) -> MeasuredBaseline | None:
    """Give what was measured of a metric, unless what the plan states is the better source.

    Units with any event stand in for an audience, and leave out whoever does nothing; a hundred
    units say little of a rare event.
    """
    found = today.baselines.get(metric.key)
    if found is None or found.baseline is None:
        return found
    if plan.expected is None or metric.key not in plan.expected.metrics:
        return found
    mean, variance = found.baseline.mean, found.baseline.variance
    vague = variance > found.units * (_LARGEST_ERROR * mean) ** 2
    return None if vague or today.source != EXPOSURES else found


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
    found = _measured(plan, today, metric)
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
