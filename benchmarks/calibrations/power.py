"""Conversions that change: when it is found out, what it costs, and what the intervals hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.calibrations.line import Finding, Line, Run, shown
from benchmarks.calibrations.paths import (
    FUTILE,
    HARM,
    VALUE,
    Array,
    Design,
    Integers,
    Sides,
    conversions,
    of_conversions,
)
from benchmarks.calibrations.peer import Flags, GbStats
from stats import (
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Policy,
    Role,
    Verdict,
    boundary,
    decide,
    fieller_interval,
    follow,
    inflation_factor,
    score_arrays,
)

_RATE = 0.10
_LONG = Design(days=84)
_FIXED = Design()
# Spending functions of one metric alone.
_ALONE = _FIXED.plan(MetricSpec("y", Role.SUCCESS, binary=True))
_SHIP = Policy().proof_spending(_ALONE, _ALONE.metrics[0])
_HARM = Policy().harm_spending(_ALONE, _ALONE.metrics[0])


def _rates(lift: float) -> tuple[float, float]:
    return _RATE, _RATE * (1 + lift)


def _by(looks: Integers, horizons: float) -> Flags:
    last = round(horizons * 28) - 1
    found: Flags = (looks >= 0) & (looks <= last)
    return found


def p1(run: Run) -> Iterator[Finding]:
    ours, theirs = of_conversions(run, _LONG, _rates(0.05), 0)
    for horizons, name, least in ((1.0, "one horizon", 0.75), (3.0, "three horizons", 0.95)):
        peer = None if theirs is None else _by(theirs.up, horizons)
        yield run.share(f"shipped by {name}", _by(ours.up, horizons), at_least=least, peer=peer)


def _detection(looks: Integers) -> Array:
    """Time of the detection in horizons; three if there was none."""
    days = np.where(looks >= 0, looks + 1, 84)
    time: Array = days / 28
    return time


def _times(found: tuple[Sides, Sides | None]) -> tuple[Array, Array | None]:
    ours, theirs = found
    return _detection(ours.down), None if theirs is None else _detection(theirs.down)


def p2(run: Run) -> Iterator[Finding]:
    limits = {-0.05: (0.80, 1.03), -0.10: (0.26, 0.27), -0.20: (0.08, 0.085)}
    for k, (lift, (median, mean)) in enumerate(limits.items()):
        ours, theirs = _times(of_conversions(run, _LONG, _rates(lift), k))
        yield run.median(f"{lift:.0%}: median, horizons", ours, at_most=median, peer=theirs)
        yield run.mean(f"{lift:.0%}: mean, horizons", ours, at_most=mean, peer=theirs)


def p3(run: Run) -> Iterator[Finding]:
    for k, (lift, limit) in enumerate({-0.05: 1.15, -0.075: 1.15, -0.10: 1.25}.items()):
        ours, theirs = _times(of_conversions(run, _LONG, _rates(lift), k))
        control, treatment = _rates(lift)
        error = (control * (1 - control) + treatment * (1 - treatment)) / (_FIXED.units / 2)
        # Wald's bound at no chance to miss: 2 log(1/alpha) over the squared drift at the horizon.
        wald = 2 * math.log(1 / 0.025) * error / (treatment - control) ** 2
        what = f"{lift:.1%}: mean over Wald's bound"
        yield run.mean(what, ours, at_most=limit, scale=1 / wald, peer=theirs)


def p4(run: Run) -> Iterator[Finding]:
    days = [day / 28 for day in range(1, 29)]
    factor = inflation_factor(days, boundary(_SHIP, days).bounds, alpha=0.025, power=0.8)
    peer = "" if run.gbstats is None else shown(_inflation_of(run.gbstats, days))
    yield Finding(
        "units for 80 % by the horizon, over a fixed test's", factor, at_most=1.09, peer=peer
    )


def _inflation_of(gbstats: GbStats, days: list[float]) -> float:
    """Solve for gbstats' inflation; its bounds depend on the units, so it is asked again."""
    factor = 1.0
    for _ in range(50):
        critical = gbstats.critical_at(np.array(days) * _FIXED.units * factor)
        found = inflation_factor(days, critical.tolist(), alpha=0.025, power=0.8)
        if abs(found - factor) < 1e-4:
            break
        factor = found
    return factor


# --- futility

_MDE = MetricSpec("y", Role.SUCCESS, binary=True, mde=0.05)


def _endings(run: Run, lift: float, scenario: int) -> tuple[Integers, Array]:
    """Follow the whole rule of one success metric; units are those of 80 % power by the horizon."""
    design = Design(units=round(_FIXED.units * 1.081), days=56)
    rng, verdicts, ends = run.rng(scenario), [], []
    for part in run.parts(1000):
        sums = conversions(rng, part, design, _rates(lift))
        ended = follow(design.schedule, {"y": sums}, design.plan(_MDE))
        verdicts.append(ended.verdicts)
        ends.append(design.times[ended.looks])
    return np.concatenate(verdicts), np.concatenate(ends)


def f1(run: Run) -> Iterator[Finding]:
    _, ends = _endings(run, 0.0, 0)
    yield run.mean("worthless: mean end, horizons", ends, at_most=0.66)
    verdicts, _ = _endings(run, 0.05, 1)
    yield run.share("worth its MDE: called futile", verdicts == FUTILE, at_most=0.11)


def f2(run: Run) -> Iterator[Finding]:
    verdicts, ends = _endings(run, -0.05, 0)
    yield run.mean("loses its MDE: mean end, horizons", ends, at_most=0.34)
    stopped = (verdicts == FUTILE) | (verdicts == HARM)
    yield run.share("loses its MDE: stopped", stopped, at_least=0.99)
    yield run.share("loses its MDE: shipped", verdicts == VALUE, at_most=0.030)


# --- intervals


def _coverage(run: Run, lift: float, k: int, *, relative: bool) -> tuple[Flags, Flags | None]:
    """Tell in which replicas the intervals of all looks of three horizons hold the truth."""
    rng = run.rng(k)
    ours: list[Flags] = []
    theirs: list[Flags] = []
    times = _LONG.times.tolist()
    upper = np.array(boundary(_SHIP, times).bounds)
    lower = np.array(boundary(_HARM, times).bounds)
    control, treatment = _rates(lift)
    for part in run.parts(500):
        sums = conversions(rng, part, _LONG, (control, treatment))
        if relative:
            ours.append(_fieller_holds(sums, lift, upper, lower))
        else:
            difference, se, *_ = score_arrays(sums[:, :, 0], sums[:, :, 1], binary=True)
            truth = treatment - control
            low, high = difference - upper * se, difference + lower * se
            ours.append(np.asarray(((low <= truth) & (truth <= high)).all(axis=1)))
        if run.gbstats is not None:
            theirs.append(np.asarray(run.gbstats.covers(sums, lift, binary=True).all(axis=1)))
    return np.concatenate(ours), np.concatenate(theirs) if theirs else None


def _fieller_holds(sums: Array, lift: float, upper: Array, lower: Array) -> Flags:
    """Ask `fieller_interval` wherever a limit could be near the truth."""
    n, s1 = sums[..., 0], sums[..., 1]
    mean = s1 / n
    error = mean * (1 - mean) / n
    scale = 1 + lift
    contrast = mean[..., 1] - scale * mean[..., 0]
    z = contrast / np.sqrt(error[..., 1] + scale**2 * error[..., 0])
    held = np.ones(len(sums), dtype=bool)
    for row, look in np.argwhere((z >= 0.99 * upper) | (z <= -0.99 * lower)):
        if held[row]:
            arms = [Moments.conversions(*map(float, sums[row, look, arm, :2])) for arm in (0, 1)]
            found = fieller_interval(
                *arms, low_critical=float(upper[look]), high_critical=float(lower[look])
            )
            held[row] = (found.low is None or found.low <= lift) and (
                found.high is None or lift <= found.high
            )
    return held


def _intervals(run: Run, *, relative: bool) -> Iterator[Finding]:
    for k, lift in enumerate((-0.20, -0.10, -0.05, 0.0, 0.05, 0.10)):
        held, peer = _coverage(run, lift, k, relative=relative)
        yield run.share(f"lift {lift:+.0%}", held, at_least=0.945, at_most=0.965, peer=peer)


def c1(run: Run) -> Iterator[Finding]:
    yield from _intervals(run, relative=False)


def c2(run: Run) -> Iterator[Finding]:
    yield from _intervals(run, relative=True)


# --- a broken treatment


def z1(run: Run) -> Iterator[Finding]:
    """Nobody converts on treatment, every tenth on control: `decide` at its first look."""
    plan = DecisionPlan(
        ("control", "treatment"), (0.5, 0.5), (MetricSpec("y", Role.SUCCESS, binary=True),)
    )
    cases, killed, asked, flagged = 0, 0, 0, 0
    for n in (100, 110, 150, 200, 500, 1000, 10_000, 100_000):
        sums = {
            "control": Moments.conversions(n, n // 10),
            "treatment": Moments.conversions(n, 0),
        }
        for time in (1 / 672, 1 / 112, 1 / 28, 1.0):
            look = LookData(1, time, False, False, False, dict.fromkeys(sums, n), {"y": sums})
            cases, killed = cases + 1, killed + (decide([look], plan).verdict is Verdict.HARM)
        if run.gbstats is not None:
            row = np.array([[[[n, n // 10, n // 10, n // 10], [n, 0, 0, 0]]]], dtype=float)
            asked, flagged = asked + 1, flagged + run.gbstats.crossed(row, binary=True)[1].sum()
    peer = shown(flagged / asked) if asked else ""
    what = f"stopped at the first look, of {cases} sizes and times"
    yield Finding(what, killed / cases, at_least=1.0, peer=peer)


LINES = (
    Line("P1", "+5 % of a 10 % conversion, units of a fixed test, daily looks", p1),
    Line("P2", "harms to a 10 % conversion: time to detect", p2),
    Line("P3", "time to detect, over the least that any test needs", p3),
    Line("P4", "price of looking every day (exact)", p4),
    Line("F1", "futility at 10 %: a worthless idea, and one worth its MDE", f1),
    Line("F2", "futility at 10 %: an idea that loses its MDE", f2),
    Line("C1", "repeated intervals hold the truth at all looks of three horizons", c1),
    Line("C2", "the same, relative (Fieller)", c2),
    Line("Z1", "treatment without a single conversion", z1),
)
