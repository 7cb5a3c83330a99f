"""What a policy does, in plain words: of a thousand changes, how many. No statistics here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.policies.standard import PROOF_28D_TRIAL, STANDARD_CASE

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Count:
    """One question that every policy answers: how many of a thousand such changes."""

    key: str
    changes: str
    does: str


COUNTS = (
    Count("ship_if_worthless", "changes that do nothing", "ship"),
    Count("false_harm_stop", "changes that do nothing", "are stopped for harm"),
    Count("proof_at_mde", "changes worth their MDE", "are proven by the horizon"),
    Count("ship_if_breached", "such changes that break a guardrail by its margin", "ship"),
    Count("stop_if_breached", "such changes that break a guardrail by its margin", "are stopped"),
)
ENDS = (
    ("end_if_worthless", "a change that does nothing"),
    ("end_at_mde", "a change worth its MDE"),
)


@dataclass(frozen=True)
class Line:
    """Beyond it a policy does what nobody should want without knowing.

    Parameters
    ----------
    word : str
        What such a policy is.
    at : float
        The share that it is measured by, and whether more or less is worse.
    """

    key: str
    word: str
    at: float
    more_is_worse: bool
    said: str


_LINES = (
    Line("ship_if_worthless", "Lax", 0.05, True, "changes that do nothing, {n} would ship"),
    Line("ship_if_breached", "Lax", 0.05, True, "changes that break a guardrail, {n} would ship"),
    Line("false_harm_stop", "Nervous", 0.05, True, "harmless changes, {n} would be stopped"),
    Line("stop_if_breached", "Slow", 0.3, False, "that break a guardrail, {n} would be stopped"),
    Line("proof_at_mde", "Weak", 0.5, False, "worth their MDE, {n} would be proven in time"),
)


def warnings(trial: Document) -> tuple[str, ...]:
    """Say where a policy is far from what ``proof-28d`` does, worst kind first."""
    found = []
    for line in _LINES:
        value = trial[line.key]["value"]
        if value > line.at if line.more_is_worse else value < line.at:
            house = per_thousand(PROOF_28D_TRIAL[line.key]["value"])
            said = line.said.format(n=per_thousand(value))
            found.append(f"{line.word}: of 1,000 {said}; with proof-28d {house}.")
    return tuple(found)


def sentence(trial: Document) -> str:
    """Say what a policy does in two sentences."""
    ship, stop, prove = (
        per_thousand(trial[key]["value"])
        for key in ("ship_if_worthless", "false_harm_stop", "proof_at_mde")
    )
    return (
        f"Of 1,000 changes that do nothing, {ship} ship and {stop} are stopped for harm. "
        f"Of 1,000 worth their MDE, {prove} are proven within {days(trial['horizon_days'])}."
    )


def counted(chance: Document) -> str:
    """Write a chance as a number of a thousand, with its error: twice the standard error."""
    return f"{per_thousand(chance['value'])} ± {math.ceil(2000 * chance['se'])}"


def per_thousand(value: float) -> str:
    """Write a share as a number of a thousand."""
    return f"{round(1000 * value):,}"


def ended(trial: Document, key: str) -> str:
    """Write a mean end in days and in horizons."""
    horizons = trial[key]["value"]
    return f"{days(horizons * trial['horizon_days'])} ({horizons:.2f} of the horizon)"


def days(number: float) -> str:
    """Write a number of a policy's days."""
    return "1 day" if number == 1 else f"{number:.3g} days"


def rests_on(trial: Document) -> str:
    """Say what was tried, and how exact it is."""
    thinned = " (fewer than it has)" if trial["thinned"] else ""
    return (
        f"Tried {trial['runs']:,} times in each of three worlds, {trial['looks']} looks{thinned}: "
        f"{STANDARD_CASE}. ± is twice the simulation's standard error. What a plan of yours has to "
        "expect, its own forecast says."
    )


def trial_lines(name: str, trial: Document | None) -> Iterator[str]:
    """Say what a policy does, line by line, beside ``proof-28d``."""
    if trial is None:
        yield f"{name}: how often it errs is being computed; a worker does that within seconds."
        return
    if "reason" in trial:
        yield f"{name} cannot be tried: {trial['reason']}"
        return
    yield sentence(trial)
    yield from warnings(trial)
    house = PROOF_28D_TRIAL
    for count in COUNTS:
        said = f"of 1,000 {count.changes}, so many {count.does}"
        yield f"  {said}: {counted(trial[count.key])} (proof-28d {counted(house[count.key])})"
    for key, what in ENDS:
        yield f"  {what} ends after {ended(trial, key)} (proof-28d {ended(house, key)})"
    yield rests_on(trial)
