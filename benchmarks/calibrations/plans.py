"""Plans of many metrics, the sample ratio, and the exact event test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from benchmarks.calibrations.line import Finding, Line, Run
from benchmarks.calibrations.paths import Array
from benchmarks.calibrations.peer import Flags
from stats import (
    Baseline,
    DecisionPlan,
    MetricSpec,
    OperatingCharacteristics,
    Role,
    Schedule,
    Simulated,
    World,
    event_log_e,
    operating_characteristics,
    outlook,
    sample_ratio_arrays,
)

_KEYS = ("buys", "signs up", "returns", "searches")
_PLAN = DecisionPlan(
    ("control", "treatment"),
    (0.5, 0.5),
    (
        MetricSpec(_KEYS[0], Role.SUCCESS, binary=True, mde=0.05),
        *(MetricSpec(key, Role.GUARDRAIL, binary=True, margin=0.05) for key in _KEYS[1:]),
    ),
)
_WORLD = World({key: Baseline.of_rate(0.10) for key in _KEYS}, 0.3)


@lru_cache(maxsize=1)
def _schedule() -> Schedule:
    """Plan the units with which all four tests together have 80 % power by the horizon."""
    units = 100_000.0
    for _ in range(4):
        needed = outlook(_PLAN, _WORLD, Schedule.daily(_PLAN, units), days=28, power=0.8).binding
        units = needed.required.control + needed.required.treatment
    # To the deadline of two horizons.
    return Schedule.daily(_PLAN, units, days=56, horizon_days=28)


def _characteristics(run: Run) -> OperatingCharacteristics:
    return operating_characteristics(
        _PLAN, world=_WORLD, schedule=_schedule(), rng=run.rng(0), replicas=run.replicas
    )


def _chance(
    run: Run, what: str, found: Simulated, *, least: float = 0.0, most: float = math.inf
) -> Finding:
    return Finding(what, found.value, found.se, run.widened(least, -1), run.widened(most, 1))


def d1(run: Run) -> Iterator[Finding]:
    found = _characteristics(run)
    yield _chance(run, "worthless: shipped", found.ship_when_worthless, most=0.030)
    yield _chance(run, "a guardrail at its margin: shipped", found.ship_when_breached, most=0.030)
    yield _chance(run, "worthless: stopped for harm", found.false_harm_stop, most=0.030)


def d2(run: Run) -> Iterator[Finding]:
    found = _characteristics(run)
    yield _chance(run, "worth its MDE: shipped by the horizon", found.proof_at_mde, least=0.75)


# --- sample ratio

_BLOCKING = math.log(1000)


def _alarms(run: Run, share: float, looks: int, scenario: int) -> Array:
    """Units at the first alarm of 1,000 new ones per look; infinite where there is none."""
    counts = np.cumsum(run.rng(scenario).binomial(1000, share, (run.replicas, looks)), axis=1)
    total = np.arange(1, looks + 1) * 1000
    log_e, _, _ = sample_ratio_arrays(np.stack([total - counts, counts], axis=-1), [0.5, 0.5])
    alarm = log_e >= _BLOCKING
    units: Array = np.where(alarm.any(axis=1), total[alarm.argmax(axis=1)], np.inf)
    return units


def s1(run: Run) -> Iterator[Finding]:
    yield run.share(
        "50/50: alarm at any of 112 looks", _alarms(run, 0.5, 112, 0) < np.inf, at_most=0.002
    )
    yield run.median("52/48: median units at the alarm", _alarms(run, 0.48, 112, 1), at_most=15_000)


# --- rare events

_EVENTS = 1000


@lru_cache(maxsize=1)
def _beyond() -> Flags:
    """Tell which counts of control and treatment are evidence enough."""
    control, treatment = np.indices((_EVENTS + 1, _EVENTS + 1))
    possible = control + treatment <= _EVENTS
    table = np.full(control.shape, -np.inf)
    table[possible] = event_log_e(control[possible], treatment[possible], 0.5)
    found: Flags = table >= math.log(1 / 0.025)
    return found


def _paths(run: Run, share: float, scenario: int) -> Array:
    """Follow the evidence event by event: the event at which it is enough; infinite if never."""
    beyond, rng, ends = _beyond(), run.rng(scenario), []
    for part in run.parts(1000):
        on_treatment = np.cumsum(rng.random((part, _EVENTS)) < share, axis=1)
        on_control = np.arange(1, _EVENTS + 1) - on_treatment
        found = beyond[on_control, on_treatment]
        ends.append(np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf))
    return np.concatenate(ends)


def e1(run: Run) -> Iterator[Finding]:
    twice = _paths(run, 2 / 3, 0)
    yield run.median("twice the errors: median events until found", twice, at_most=95)
    alike = _paths(run, 0.5, 1)
    what = f"as many errors: stopped within {_EVENTS} events"
    yield run.share(what, alike < np.inf, at_most=0.025)


LINES = (
    Line("D1", "one success metric and three guardrails, correlated 0.3", d1),
    Line("D2", "the same, planned for 80 % by the horizon", d2),
    Line("S1", "sample-ratio evidence at 1 in 1,000, 112 looks of 1,000 units", s1),
    Line("E1", "exact event test at 0.025, 50/50, after every event", e1),
)
