"""What an experiment has found, as data for other programs: rows for a spreadsheet, one document.

The rule of the card holds here too: numbers that would mislead are left out, and the reason stands
in their place. Decision records hold every sum from the first look on, for ``flagstone verify``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

from sqlmodel import Session

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Outcome
from experiments.models import Experiment, Look
from experiments.moves.enact import plan_of
from experiments.people import services
from experiments.telling.card import Card
from experiments.telling.compared import COLUMNS as HOLDBACK_COLUMNS
from experiments.telling.compared import ComparedRow, compared_rows
from experiments.telling.explored import COLUMNS as SEGMENT_COLUMNS
from experiments.telling.explored import explored_document, segment_rows
from experiments.telling.tables import write_csv

FORMAT = "flagstone-results-1"

_PROOF = ("ship", "noninferiority")
_ESTIMATES = (*_PROOF, "harm", "explore", "futility")


@dataclass(frozen=True)
class ResultRow:
    """One metric in one treatment at one look; the columns of the CSV, in this order.

    Parameters
    ----------
    look, at, day : int, str, float
        Number of the look, its scheduled instant (ISO 8601, UTC), and days since the start.
    look_verdict, may_ship, is_final : str, bool, bool
        What the look said, whether it could prove anything, and whether it was the last promised.
    metric, role, kind, unit, direction, arm, control : str
        As in the plan; ``unit`` is that of means and estimate, ``arm`` the treatment.
    units_control, units_arm : int, optional
        Units exposed by then.
    matured_control, matured_arm : float, optional
        Units whose window has passed: the ones that count.
    mean_control, mean_arm : float, optional
        As counted (a ratio: all numerators over all denominators).
    estimate, se, low, high : float, optional
        Difference, arm minus control, its standard error, and the repeated interval, in ``unit``;
        an end that is empty is unbounded.
    relative, relative_low, relative_high : float, optional
        The same divided by control's mean.
    harm_z, harm_bound, harm_alpha_spent, harm_passed
        Harm is found at ``z <= bound``.
    events_log_e, events_log_e_bound, events_passed
        The exact test of a rare event: natural logarithm of the evidence; found at ``>=``.
    proof, proof_z, proof_bound, proof_alpha_spent, proof_passed
        ``ship`` or ``noninferiority``, shown at ``z >= bound``.
    futility_z, futility_bound, futility_alpha_spent, futility_passed
        Given up at ``z <= bound``.
    note : str, optional
        Why a test did not act at this look.
    hidden_because : str, optional
        Why numbers are left out.
    """

    look: int
    at: str
    day: float
    look_verdict: str
    may_ship: bool
    is_final: bool
    metric: str
    role: str
    kind: str
    unit: str
    direction: str
    arm: str
    control: str
    units_control: int | None = None
    units_arm: int | None = None
    matured_control: float | None = None
    matured_arm: float | None = None
    mean_control: float | None = None
    mean_arm: float | None = None
    estimate: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    harm_z: float | None = None
    harm_bound: float | None = None
    harm_alpha_spent: float | None = None
    harm_passed: bool | None = None
    events_log_e: float | None = None
    events_log_e_bound: float | None = None
    events_passed: bool | None = None
    proof: str | None = None
    proof_z: float | None = None
    proof_bound: float | None = None
    proof_alpha_spent: float | None = None
    proof_passed: bool | None = None
    futility_z: float | None = None
    futility_bound: float | None = None
    futility_alpha_spent: float | None = None
    futility_passed: bool | None = None
    note: str | None = None
    hidden_because: str | None = None


COLUMNS = tuple(field.name for field in fields(ResultRow))


@dataclass(frozen=True)
class Results:
    """Everything that is known of one experiment, and why some of it is not shown."""

    experiment: Experiment
    plan: Plan
    card: Card
    looks: tuple[Look, ...]
    records: tuple[Mapping[str, Any], ...]
    comparisons: tuple[Look, ...] = ()

    @property
    def hidden(self) -> str | None:
        """Say why effects are not shown, or ``None``."""
        return self.card.worth_hidden if self.looks else None


def read_results(session: Session, experiment: Experiment, *, now: dt.datetime) -> Results:
    """Read an experiment with its card, looks and records."""
    return Results(
        experiment,
        plan_of(experiment),
        services.get_card(session, experiment, now=now),
        tuple(services.looks(session, experiment)),
        tuple(services.records(session, experiment)),
        tuple(services.comparisons(session, experiment)),
    )


def results_for(by: str | None) -> Callable[[Results], str]:
    """Choose the writer of a CSV: of looks, ``segment``, or ``holdback``."""
    return {"segment": segments_csv, "holdback": holdback_csv}.get(by or "", results_csv)


def results_csv(results: Results) -> str:
    """Write one row per look, metric and treatment; a new experiment has the head only."""
    return write_csv(COLUMNS, (astuple(row) for row in result_rows(results)))


def segments_csv(results: Results) -> str:
    """Write one row per look, segment, metric and treatment; all of them are exploratory."""
    looks = () if results.hidden else results.looks
    rows = segment_rows(results.plan, looks)
    return write_csv(SEGMENT_COLUMNS, (astuple(row) for row in rows))


def holdback_csv(results: Results) -> str:
    """Write one row per look at the holdback and metric; the head only until something ships."""
    return write_csv(HOLDBACK_COLUMNS, (astuple(row) for row in _compared(results)))


def _compared(results: Results) -> Iterator[ComparedRow]:
    return compared_rows(results.plan, () if results.hidden else results.comparisons)


def result_rows(results: Results) -> Iterator[ResultRow]:
    """Give one row per look, metric and treatment, oldest look first."""
    for look in results.looks:
        for metric in results.plan.metrics:
            for arm in results.plan.treatments:
                yield _row(results, look, metric, arm)


def _row(results: Results, look: Look, metric: Metric, arm: str) -> ResultRow:
    plan, seen, hidden = results.plan, look.data["look"], results.hidden
    tests = _tests(look, metric.key, arm)
    counts = seen["counts"]
    # Who came is no effect; how many matured and what they did is not to be seen yet.
    values: dict[str, Any] = {
        "units_control": counts.get(plan.control),
        "units_arm": counts.get(arm),
        "hidden_because": hidden,
    }
    if hidden is None:
        values |= _numbers(plan, seen, metric, arm, tests)
    elif results.card.verdict != Outcome.INVALID:
        # The card says "worse" from the first look on, too.
        values |= {"harm_passed": _passed(tests, "harm")}
        values |= {"events_passed": _passed(tests, "harm_events")}
    return ResultRow(
        look=look.number,
        at=_instant(look.at),
        day=look.data["offset"] / plan.policy.day_seconds,
        look_verdict=look.verdict,
        may_ship=seen["may_ship"],
        is_final=seen["is_final"],
        metric=metric.key,
        role=metric.role,
        kind=metric.kind,
        unit=metric.unit,
        direction=metric.direction,
        arm=arm,
        control=plan.control,
        **values,
    )


def _numbers(
    plan: Plan,
    seen: Mapping[str, Any],
    metric: Metric,
    arm: str,
    tests: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    sums, means = seen["metrics"].get(metric.key, {}), words.means(seen, metric.key)
    values: dict[str, Any] = {
        "matured_control": sums.get(plan.control, {}).get("n"),
        "matured_arm": sums.get(arm, {}).get("n"),
        "mean_control": means.get(plan.control),
        "mean_arm": means.get(arm),
    }
    known = next((t for k in _ESTIMATES if (t := tests.get(k)) and t["estimate"] is not None), None)
    if known is not None:
        names = ("estimate", "se", "low", "high", "relative", "relative_low", "relative_high")
        values |= {name: known.get(name) for name in names}
    proof = next((kind for kind in _PROOF if kind in tests), None)
    for head, kind in (("harm", "harm"), ("proof", proof), ("futility", "futility")):
        if kind is not None and kind in tests:
            values |= {
                f"{head}_{n}": tests[kind][n] for n in ("z", "bound", "alpha_spent", "passed")
            }
    if (events := tests.get("harm_events")) is not None:
        values |= {f"events_{name}": events.get(name) for name in ("log_e", "log_e_bound")}
        values |= {"events_passed": events["passed"]}
    notes = dict.fromkeys(test["reason"] for test in tests.values() if test["reason"])
    return values | {"proof": proof, "note": "; ".join(notes) or None}


def _tests(look: Look, metric: str, arm: str) -> dict[str, Mapping[str, Any]]:
    return {
        test["kind"]: test
        for test in look.decision.get("tests", ())
        if (test["metric"], test["arm"]) == (metric, arm)
    }


def _passed(tests: Mapping[str, Mapping[str, Any]], kind: str) -> bool | None:
    return tests[kind]["passed"] if kind in tests else None


def results_document(results: Results) -> dict[str, Any]:
    """Give all of it as one JSON document, every list a table that a notebook can load.

    ``sums`` are the sufficient statistics, one entry per look, metric and arm, control included:
    whoever doubts an estimate can compute it from them.
    """
    experiment, shown = results.experiment, results.hidden is None
    return {
        "format": FORMAT,
        "experiment": {
            "key": experiment.key,
            "flag": experiment.flag_key,
            "environment": results.plan.environment,
            "state": experiment.state,
            "verdict": experiment.verdict,
            "winner": experiment.winner,
            "sentence": results.card.sentence,
            "sealed_at": _instant(experiment.sealed_at),
            "started_at": _instant(experiment.started_at),
            "verdict_at": _instant(experiment.verdict_at),
            "ended_at": _instant(experiment.ended_at),
        },
        "hidden_because": results.hidden,
        "plan": experiment.plan,
        "plan_hash": experiment.plan_hash,
        "looks": [_look(results.plan, look, shown=shown) for look in results.looks],
        "sums": [entry for look in results.looks if shown for entry in _sums(look)],
        "tests": [
            {"look": look.number, **test}
            for look in results.looks
            if shown
            for test in look.decision.get("tests", ())
        ],
        "results": [asdict(row) for row in result_rows(results)],
        "comparisons": [asdict(row) for row in _compared(results)],
        **explored_document(results.plan, results.looks if shown else ()),
        "records": [
            {
                name: record[name]
                for name in ("number", "kind", "at", "actor", "sentence", "previous_hash", "hash")
            }
            for record in results.records
        ],
    }


def _look(plan: Plan, look: Look, *, shown: bool) -> dict[str, Any]:
    seen, quality = look.data["look"], look.data["quality"]
    return {
        "look": look.number,
        "at": _instant(look.at),
        "day": look.data["offset"] / plan.policy.day_seconds,
        "spending_time": seen["spending_time"],
        "may_ship": seen["may_ship"],
        "may_be_futile": seen["may_be_futile"],
        "is_final": seen["is_final"],
        "verdict": look.verdict,
        "winner": look.decision.get("winner") if shown else None,
        "alarm": look.data.get("alarm"),
        "srm_log_e": look.decision.get("srm_log_e"),
        **{f"units_{arm}": seen["counts"].get(arm) for arm in plan.arms},
        **{f"quality_{name}": value for name, value in quality.items() if name != "attrition"},
        **{
            f"quality_{name}_{arm}": each[name]
            for arm, each in quality.get("attrition", {}).items()
            for name in ("units", "lost")
        },
    }


def _sums(look: Look) -> Iterator[dict[str, Any]]:
    seen = look.data["look"]
    for metric, arms in seen["metrics"].items():
        means = words.means(seen, metric)
        for arm, sums in arms.items():
            head = {"look": look.number, "metric": metric, "arm": arm, "mean": means.get(arm)}
            yield {**head, **sums}


def _instant(at: dt.datetime | None) -> Any:
    return None if at is None else at.astimezone(dt.UTC).isoformat()
