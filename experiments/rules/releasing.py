"""What a release waits for before its next step: pure, for the worker, the card and the page.

Only facts that were stored count: the newest look's sums, the step's hold, who approved.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.contract.release import ReleaseStep


@dataclass(frozen=True)
class Waiting:
    """One thing that is missing, in a word for programs and in a few for people."""

    kind: str
    text: str


@dataclass(frozen=True)
class Standing:
    """Where a release stands among its steps.

    Parameters
    ----------
    step : int
        From 0.
    share : float
        Part of the audience that has the variant.
    started_by : str
        Who may not approve.
    approved : frozenset of int
        Steps that somebody else has approved.
    """

    step: int
    share: float
    hold_until: dt.datetime | None
    started_at: dt.datetime
    started_by: str
    approved: frozenset[int] = frozenset()


def waits_for(
    plan: Plan, standing: Standing, newest: Mapping[str, Any] | None, now: dt.datetime
) -> tuple[Waiting, ...]:
    """Say what the next step waits for; nothing, when it may be taken.

    Parameters
    ----------
    newest : mapping, optional
        What was stored with the newest look.
    """
    step = _step(plan, standing)
    found: list[Waiting] = []
    hold_until = standing.hold_until
    if hold_until is not None and now < hold_until:
        found.append(Waiting("hold", f"its hold until {words.moment(hold_until)}"))
    elif not _seen(standing, newest):
        found.append(Waiting("look", "a look at the whole of this step"))
    units = matured_units(plan, newest)
    if units < step.minimum_units:
        found.append(
            Waiting(
                "sample",
                f"{step.minimum_units:,} units in each group, watched to the end "
                f"({units:,.0f} so far)",
            )
        )
    if step.approval and standing.step not in standing.approved:
        found.append(Waiting("approval", f"approval by anybody but {standing.started_by}"))
    if newest is not None and newest.get("alarm") and "hold" not in {each.kind for each in found}:
        found.append(Waiting("data", f"data to be trusted again ({newest['alarm']})"))
    return tuple(found)


def matured_units(plan: Plan, newest: Mapping[str, Any] | None) -> float:
    """Count the units of the smaller group that were watched to the end of every window."""
    if newest is None:
        return 0.0
    sums = newest["look"]["metrics"]
    return min(
        float(sums.get(metric.key, {}).get(arm, {}).get("n", 0.0))
        for metric in plan.metrics
        if metric.decides
        for arm in plan.arms
    )


def all_shown_safe(plan: Plan, decision: Mapping[str, Any] | None) -> bool:
    """Tell whether there are guards with a tolerance, and all of them were shown to keep it."""
    wanted = {metric.key for metric in plan.metrics if metric.role == "guardrail"}
    shown = {
        test["metric"]
        for test in (decision or {}).get("tests", [])
        if test["kind"] == "noninferiority" and test["passed"]
    }
    return bool(wanted) and wanted <= shown


def _step(plan: Plan, standing: Standing) -> ReleaseStep:
    assert plan.release is not None
    return plan.release.steps[standing.step]


def _seen(standing: Standing, newest: Mapping[str, Any] | None) -> bool:
    """Tell whether a look read the data up to the end of the present step's hold."""
    if newest is None or newest["ramp_step"] < standing.step:
        return False
    if standing.hold_until is None:
        return True
    instant = standing.started_at + dt.timedelta(seconds=newest["offset"])
    return instant >= standing.hold_until
