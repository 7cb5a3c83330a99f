"""Metrics whose values go on growing after a unit entered: the correlation clock.

The correlation of consecutive looks is estimated inside each experiment from the sums over its own
units, as `decide` does; `decide` itself says what crosses. A bound is never lower than the quantile
of all the error spent by its look, so `decide` is asked only where a statistic is beyond that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from benchmarks.calibrations.line import Finding, Line, Run
from benchmarks.calibrations.paths import Array, Sides
from stats import (
    ConsecutiveSums,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Policy,
    Role,
    Verdict,
    decide,
    score_arrays,
)

_DAYS = 28
_ARMS = ("control", "treatment")
_METRIC = MetricSpec("y", Role.SUCCESS)
_PLAN = DecisionPlan(_ARMS, (0.5, 0.5), (_METRIC,))
_POLICY = Policy()
# Mean of what a unit adds in a day, and mean chance to convert on a day.
_DAILY_RATE, _DAILY_CHANCE = 0.5, 0.05


@dataclass(frozen=True)
class Scenario:
    """What grows, whether units differ, and when they enter.

    ``units`` are those of both arms: all of them on the first day, or as many every day. Each unit
    is assigned by a coin, so arms differ in how long their units have been there.
    """

    what: str
    grows: str
    differ: bool
    units: int
    uniform: bool


# A mean per exposure day of units that all entered on the first day is their total, rescaled.
SCENARIOS = (
    Scenario("total, units differ, all on day 1", "total", True, 1000, False),
    Scenario("total, units alike, all on day 1", "total", False, 1000, False),
    Scenario("total, units differ, entering daily", "total", True, 128, True),
    Scenario("total, units alike, entering daily", "total", False, 128, True),
    Scenario("ever converted, all on day 1", "ever", True, 1000, False),
    Scenario("ever converted, entering daily", "ever", True, 128, True),
    Scenario("mean per day, units differ, entering daily", "mean", True, 128, True),
    Scenario("mean per day, units alike, entering daily", "mean", False, 128, True),
)


def panel(scenario: Scenario, replicas: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw units day by day; return the sums of every look.

    Returns
    -------
    tuple of ndarray, shapes (replicas, looks, 2, 4) and (replicas, looks, 2, 10)
        ``n, s1, s2, s3`` of the units present, and the fields of `ConsecutiveSums`.
    """
    size = scenario.units * (_DAYS if scenario.uniform else 1)
    entered = np.arange(size) // scenario.units
    treated = (rng.random((replicas, size)) < 0.5).astype(float)
    pace = rng.gamma(1.0, 1.0, (replicas, size)) if scenario.differ else np.ones((replicas, size))
    grown, before = np.zeros((replicas, size)), np.zeros((replicas, 0))
    sums, pairs = np.empty((replicas, _DAYS, 2, 4)), np.empty((replicas, _DAYS, 2, 10))
    for day in range(_DAYS):
        present = scenario.units * (day + 1) if scenario.uniform else size
        here, arm = grown[:, :present], treated[:, :present]
        if scenario.grows == "ever":
            chance = -np.expm1(-_DAILY_CHANCE * pace[:, :present])
            np.maximum(here, rng.random(here.shape, dtype=np.float32) < chance, out=here)
        else:
            here += rng.poisson(_DAILY_RATE * pace[:, :present])
        now = here / (day + 1 - entered[:present]) if scenario.grows == "mean" else here
        powers = [np.ones_like(now), now, now * now, now**3]
        sums[:, day] = np.stack([_by_arm(power, arm) for power in powers], axis=-1)
        past = sums[:, day - 1] if day else np.zeros_like(sums[:, 0])
        old = before.shape[1]
        both = [_by_arm(x, arm[:, :old]) for x in (now[:, :old], now[:, :old] * before)]
        # n, now1, now2; n_before, before1, before2; nobody leaves, so all of them are in both.
        parts = [sums[:, day, :, :3], past[..., :3], past[..., :2], np.stack(both, axis=-1)]
        pairs[:, day] = np.concatenate(parts, axis=-1)
        before = now.copy()
    return sums, pairs


def _by_arm(values: Array, treated: Array) -> Array:
    """Add up control's and treatment's units: shape (replicas, 2)."""
    treatment = np.einsum("ru,ru->r", values, treated)
    control = np.einsum("ru,ru->r", values, 1 - treated)
    return np.stack([control, treatment], axis=-1)


def verdicts(sums: Array, pairs: Array) -> Sides:
    """Ask `decide` at every look that could cross a bound, until one does."""
    times = [(k + 1) / _DAYS for k in range(_DAYS)]
    z = score_arrays(sums[:, :, 0], sums[:, :, 1])[-1]
    least = {
        side: np.array([-special.ndtri(spending.spent(t)) for t in times])
        for side, spending in (
            ("up", _POLICY.proof_spending(_PLAN, _METRIC)),
            ("down", _POLICY.harm_spending(_PLAN, _METRIC)),
        )
    }
    crossed = np.full((2, len(z)), -1)
    candidates = (z >= least["up"]) | (z <= -least["down"])
    for row in np.flatnonzero(candidates.any(axis=1)):
        looks = [_look(k, times[k], sums[row, k], pairs[row, k]) for k in range(_DAYS)]
        for k in np.flatnonzero(candidates[row]):
            verdict = decide(looks[: k + 1], _PLAN, _POLICY).verdict
            side = {Verdict.VALUE_PROVEN: 0, Verdict.HARM: 1}.get(verdict)
            if side is not None and crossed[side, row] < 0:
                crossed[side, row] = k
    return Sides(crossed[0], crossed[1])


def _look(k: int, time: float, sums: Array, pairs: Array) -> LookData:
    arms = {name: Moments(*map(float, row)) for name, row in zip(_ARMS, sums, strict=True)}
    counts = {name: int(arm.n) for name, arm in arms.items()}
    consecutive = {}
    if k:
        rows = zip(_ARMS, pairs, strict=True)
        consecutive["y"] = {name: ConsecutiveSums(*map(float, row)) for name, row in rows}
    return LookData(k + 1, time, True, True, False, counts, {"y": arms}, consecutive)


def a6(run: Run) -> Iterator[Finding]:
    for k, scenario in enumerate(SCENARIOS):
        rng = run.rng(k)
        ours, theirs = [], []
        for part in run.parts(100):
            sums, pairs = panel(scenario, part, rng)
            ours.append(verdicts(sums, pairs))
            if run.gbstats is not None:
                theirs.append(Sides.of(*run.gbstats.crossed(sums, binary=False)))
        found, peer = Sides.joined(ours), Sides.joined(theirs) if theirs else None
        for side, name in (("down", "harm"), ("up", "ship")):
            yield run.share(
                f"{scenario.what}: {name}",
                getattr(found, side) >= 0,
                at_least=0.010,
                at_most=0.035,
                peer=None if peer is None else getattr(peer, side) >= 0,
            )


LINES = (Line("A6", "A/A of growing totals, correlation clock, daily looks", a6, replicas=2000),)
