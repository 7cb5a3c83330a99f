"""Time ``stats.decide`` on this machine.

    python benchmarks/stats_speed.py [REPEATS]

Prints the median milliseconds of deciding the last of 28 daily looks, and of 74 looks (48 hourly,
then daily), from an empty cache and from a warm one, and of one further look on a known schedule.
The exit status is 1 when a limit is missed.
"""

from __future__ import annotations

import statistics
import sys
import time

from stats import DecisionPlan, LookData, MetricSpec, Moments, Role, decide
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
DAILY = [day / 28 for day in range(1, 29)]
HOURLY = [hour / 672 for hour in range(1, 49)] + [day / 28 for day in range(3, 29)]


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


def milliseconds(schedule: list[LookData], *, cold: bool, repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        if cold:
            clear_cache()
        start = time.perf_counter()
        decide(schedule, PLAN)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def next_look(schedule: list[LookData], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        clear_cache()
        decide(schedule[:-1], PLAN)
        start = time.perf_counter()
        decide(schedule, PLAN)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def main() -> int:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    missed = False
    for name, times, limit in (("28 daily", DAILY, 50.0), ("48 hourly + 26 daily", HOURLY, 250.0)):
        for apart in (False, True):
            schedule = looks(times, apart=apart)
            cold = milliseconds(schedule, cold=True, repeats=repeats)
            warm = milliseconds(schedule, cold=False, repeats=repeats)
            more = next_look(schedule, repeats)
            units = "own units per metric" if apart else "same units"
            print(
                f"{name + ' looks, ' + units:<45} from scratch {cold:6.1f} ms (limit {limit:.0f})"
                f"   cached {warm:5.2f} ms   next look {more:5.2f} ms"
            )
            missed = missed or cold > limit
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
