"""Time the decision engine on this machine, each figure beside its limit.

    python benchmarks/stats_speed.py [REPEATS]

Decisions: the last of 28 daily looks, and of 74 looks (48 hourly, then daily), of a plan of three
metrics, from an empty cache and from a warm one, and one further look of a known schedule. Bounds:
one further look from the stored document of a running test. One look of 1,000 metrics in 20
segments. The operating characteristics of a plan. CPU time, medians. The exit status is 1 when a
limit is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stats import (
    Baseline,
    Bounds,
    DecisionPlan,
    LookData,
    MetricSpec,
    Moments,
    Policy,
    Role,
    Schedule,
    World,
    boundary,
    bounds_document,
    decide,
    heterogeneity_arrays,
    operating_characteristics,
    parse_bounds,
    score_arrays,
)
from stats.sequential.bounds import clear_cache

PLAN = DecisionPlan(
    ("control", "treatment"),
    (0.5, 0.5),
    (
        MetricSpec("conversion", Role.SUCCESS, binary=True, mde=0.05),
        MetricSpec("revenue", Role.GUARDRAIL, margin=0.1),
        MetricSpec("errors", Role.SAFETY, binary=True, direction="down"),
    ),
)
WORLD = World(
    {
        "conversion": Baseline.of_rate(0.1),
        "revenue": Baseline.of_mean(2.5, 11.0),
        "errors": Baseline.of_rate(0.01),
    },
    0.3,
)
DAILY = [day / 28 for day in range(1, 29)]
HOURLY = [hour / 672 for hour in range(1, 49)] + [day / 28 for day in range(3, 29)]
HARM = Policy().harm_spending(PLAN, PLAN.metrics[0])
SHIP = Policy().proof_spending(PLAN, PLAN.metrics[0])


@dataclass(frozen=True)
class Timing:
    """How long something took, and how long it may take; milliseconds."""

    what: str
    taken: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the limit is kept."""
        return self.taken <= self.limit

    def __str__(self) -> str:
        answer = "ok" if self.ok else "MISSED"
        return f"{self.what:<66} {self.taken:9.2f} ms   limit {self.limit:7,.0f} ms   {answer}"


def milliseconds(
    action: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None
) -> float:
    """Return the median CPU time; ``before`` is done each time, and not counted."""
    taken = []
    for _ in range(repeats):
        before()
        start = time.process_time()
        action()
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken)


def looks(times: list[float], *, apart: bool) -> list[LookData]:
    """Make looks without any effect; ``apart`` gives every metric its own number of units."""
    made = []
    for number, spent in enumerate(times, 1):
        metrics = {}
        for k, metric in enumerate(PLAN.metrics):
            n = round(56_000 * spent * (1 - 0.03 * k * apart))
            rate = 0.1 if metric.binary else 2.5
            sums = Moments(n, rate * n, rate * n * (1 if metric.binary else 120), rate * n)
            metrics[metric.key] = {"control": sums, "treatment": sums}
        n = round(56_000 * spent)
        counts = {"control": n, "treatment": n}
        made.append(LookData(number, spent, True, True, False, counts, metrics))
    return made


def decisions(repeats: int) -> list[Timing]:
    found = []
    for name, times, scratch, more in (
        ("28 daily looks", DAILY, 50.0, 3.0),
        ("48 hourly and 26 daily looks", HOURLY, 250.0, 12.0),
    ):
        for apart in (False, True):
            schedule = looks(times, apart=apart)
            label = f"{name}, {'own units per metric' if apart else 'same units'}"

            def whole(schedule: list[LookData] = schedule) -> object:
                return decide(schedule, PLAN)

            def all_but_one(schedule: list[LookData] = schedule) -> object:
                clear_cache()
                return decide(schedule[:-1], PLAN)

            found += [
                Timing(
                    f"{label}: from scratch", milliseconds(whole, repeats, clear_cache), scratch
                ),
                Timing(f"{label}: one more", milliseconds(whole, repeats, all_but_one), more),
                Timing(f"{label}: again", milliseconds(whole, repeats), more),
            ]
    return found


def stored(repeats: int) -> list[Timing]:
    """Go on from the document of a test that has had all looks but the last."""
    found = []
    for name, times in (("28 daily looks", DAILY), ("48 hourly and 26 daily looks", HOURLY)):
        state = Bounds(HARM)
        for spent in times[:-1]:
            state = state.extend(spent)
        text = json.dumps(bounds_document(state))

        def one_more(text: str = text, last: float = times[-1]) -> object:
            return parse_bounds(json.loads(text)).extend(last)

        taken = milliseconds(one_more, 3 * repeats)
        found.append(Timing(f"{name}: one more bound from the stored document", taken, 3.0))
    return found


def segments(repeats: int) -> list[Timing]:
    """Test 1,000 metrics in 20 segments at one look: statistics, bounds, intervals, differences."""
    rng = np.random.default_rng(1)
    # Arms of one size have no skewness to correct, so intervals are difference and bounds.
    n = np.repeat(rng.integers(500, 50_000, (1000, 20, 1)), 2, axis=2).astype(float)
    values = rng.gamma(2.0, 1.0, (1000, 20, 2))
    control, treatment = (
        np.stack([n[..., k], n[..., k] * 2, n[..., k] * (6 + values[..., k]), n[..., k] * 30], -1)
        for k in (0, 1)
    )

    def one_look() -> object:
        upper = boundary(SHIP, DAILY).bounds[-1]
        lower = boundary(HARM, DAILY).bounds[-1]
        difference, se, _, _, _, _, z = score_arrays(control, treatment)
        proven, harmed = z >= upper, z <= -lower
        interval = difference - upper * se, difference + lower * se
        return proven, harmed, interval, heterogeneity_arrays(difference, se)

    return [Timing("1,000 metrics in 20 segments, one look", milliseconds(one_look, repeats), 50.0)]


def plans() -> list[Timing]:
    """Simulate a plan of three metrics in all its worlds, with the default replicas."""
    schedule = Schedule.daily(PLAN, 2 * 57_700)

    def simulate() -> object:
        rng = np.random.default_rng(1)
        return operating_characteristics(PLAN, world=WORLD, schedule=schedule, rng=rng)

    return [Timing("operating characteristics, 20,000 replicas", milliseconds(simulate, 1), 20_000)]


def main() -> int:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    missed = False
    for timings in (decisions(repeats), stored(repeats), segments(repeats), plans()):
        for timing in timings:
            print(timing, flush=True)
            missed = missed or not timing.ok
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
