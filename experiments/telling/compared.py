"""What those held back told about a change that ships, as rows: one per look at them and metric.

Read from what the worker stored with each comparison; nothing is computed here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.models import Look

_KINDS = ("harm", "ship", "noninferiority", "explore")


@dataclass(frozen=True)
class ComparedRow:
    """One metric at one look at the holdback; the columns of its CSV, in this order.

    Parameters
    ----------
    look, at, since, step : int, str, str, int
        Number of the look, its instant, when the present step of shipping began (ISO 8601, UTC),
        and which step that is, from 1; the last is the verification.
    look_verdict, is_final : str, bool
        What the look said, and whether it was the one that estimates the effect.
    arm, control : str
        The variant that ships, and the one on which units are held back.
    units_control, units_arm : int, optional
        Units that met the step.
    matured_control, matured_arm, mean_control, mean_arm : float, optional
        Units whose window has passed, and their means.
    estimate, se : float, optional
        Arm minus control and its standard error, in ``unit``.
    low, high : float, optional
        Repeated interval: its end towards harm holds at all looks of the step together.
    relative, relative_low, relative_high : float, optional
        The same divided by the mean of those held back.
    harm_z, harm_bound, harm_alpha_spent, harm_passed
        Harm is found at ``z <= bound``.
    final_low, final_high : float, optional
        95 % interval of the one estimate at the final look, of metrics that were claimed.
    mark, beyond_mark : float, bool, optional
        What the effect was confirmed against, and whether the estimate lies beyond it.
    note : str, optional
        Why there is no estimate.
    """

    look: int
    at: str
    since: str
    step: int
    look_verdict: str
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
    final_low: float | None = None
    final_high: float | None = None
    mark: float | None = None
    beyond_mark: bool | None = None
    note: str | None = None


COLUMNS = tuple(field.name for field in fields(ComparedRow))


def compared_rows(plan: Plan, comparisons: Iterable[Look]) -> Iterator[ComparedRow]:
    """Give the rows of every look at the holdback, oldest first."""
    for look in comparisons:
        for metric in plan.metrics:
            yield _row(plan, look, metric)


def _row(plan: Plan, look: Look, metric: Metric) -> ComparedRow:
    seen, stage = look.data["look"], look.data["holdback"]
    arm, counts = stage["winner"], seen["counts"]
    sums, means = seen["metrics"].get(metric.key, {}), words.means(seen, metric.key)
    return ComparedRow(
        look=look.number,
        at=look.at.astimezone(dt.UTC).isoformat(),
        since=stage["since"],
        step=stage["step"] + 1,
        look_verdict=look.verdict,
        is_final=seen["is_final"],
        metric=metric.key,
        role=metric.role,
        kind=metric.kind,
        unit=metric.unit,
        direction=metric.direction,
        arm=arm,
        control=plan.control,
        units_control=counts.get(plan.control),
        units_arm=counts.get(arm),
        matured_control=sums.get(plan.control, {}).get("n"),
        matured_arm=sums.get(arm, {}).get("n"),
        mean_control=means.get(plan.control),
        mean_arm=means.get(arm),
        **_effect(look.decision, metric.key, arm),
        **(_final(look.decision, metric.key) if seen["is_final"] else {}),
    )


def _effect(decision: Mapping[str, Any], metric: str, arm: str) -> dict[str, Any]:
    found = (words.find_test(decision, kind, metric, arm) for kind in _KINDS)
    tests = [test for test in found if test is not None]
    values: dict[str, Any] = {}
    # The harm test comes first: its standard error is that of the plain difference.
    known = next((test for test in tests if test["estimate"] is not None), None)
    if known is not None:
        names = ("estimate", "se", "low", "high", "relative", "relative_low", "relative_high")
        values |= {name: known.get(name) for name in names}
    harm = words.find_test(decision, "harm", metric, arm)
    if harm is not None:
        values |= {f"harm_{n}": harm[n] for n in ("z", "bound", "alpha_spent", "passed")}
    notes = dict.fromkeys(test["reason"] for test in tests if test["reason"])
    values["note"] = "; ".join(notes) or None
    return values


def _final(decision: Mapping[str, Any], metric: str) -> dict[str, Any]:
    told: Mapping[str, Any] = next(
        (row for row in decision["realised"] if row["metric"] == metric), {}
    )
    ends = {"final_low": told.get("low"), "final_high": told.get("high")}
    return ends | {name: told.get(name) for name in ("mark", "beyond_mark")}
