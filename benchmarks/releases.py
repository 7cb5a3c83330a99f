"""How fast a guarded release turns back, and how often for nothing: whole releases, simulated.

    PYTHONPATH=.:sdk python benchmarks/releases.py --runs 200

Units come as a Poisson stream and are dealt by the coin that the flag's hash is; every look is
built and decided by the code that decides live (`experiments.judging.looks`), every step taken when
`experiments.rules.releasing` waits for nothing. No database and no events: their sums are drawn.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.contract.parsing import parse_plan
from experiments.contract.plan import Plan
from experiments.contract.policy import look_schedule
from experiments.judging.looks import build_look, decide, finding_of, look_document
from experiments.judging.quality import Quality
from experiments.machine import lifecycle
from experiments.machine.lifecycle import Outcome, Position, State
from experiments.rules.releasing import Standing, waits_for
from stats import LookData, Moments

START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Ending:
    """How one release ended: its verdict, after how long, and who had met the variant by then."""

    verdict: str
    hours: float
    step: int
    treated: int
    crashes: int


def plan_of(**changes: Any) -> Plan:
    """Give the release of the benchmark: crashes are watched, 1 to 100 % in five steps."""
    return parse_plan(
        {
            "flag": "app",
            "control": "old",
            "variant": "new",
            "customer": "customer",
            "owner": "owner",
            "guards": [{"key": "crash", "window": "1m", "rare": True, "direction": "down"}],
            "steps": [1, 5, 25, 50, 100],
            "hold": "1h",
            **changes,
        }
    )


def simulate(
    plan: Plan, units_per_hour: float, rates: tuple[float, float], rng: np.random.Generator
) -> Ending:
    """Run one release to its end.

    Parameters
    ----------
    rates : tuple of float
        Crash rate on control, then on the variant.
    """
    assert plan.release is not None
    window = plan.metrics[0].window_seconds
    position = Position(plan.treatments, last_step=len(plan.release.steps) - 1, is_release=True)
    position = lifecycle.start(lifecycle.seal(position).position).position
    hold_until = plan.release.steps[0].hold_seconds
    met = np.zeros(2)
    crashed = np.zeros(2)
    looks: list[LookData] = []
    before = 0.0
    for offset in look_schedule(plan.policy, plan.deadline_seconds):
        # Who comes in the last window of a stretch matures in the next one: a shift of a minute.
        share = plan.release.steps[position.step].share
        hours = max(0.0, offset - window) / 3600 - before
        before += hours
        came = rng.poisson(units_per_hour * share * hours, 2)
        met += came
        crashed += rng.binomial(came, rates)
        sums = {
            plan.metrics[0].key: {
                arm: Moments.conversions(n, k)
                for arm, n, k in zip(plan.arms, met, crashed, strict=True)
            }
        }
        look = build_look(
            plan,
            number=len(looks) + 1,
            offset=offset,
            counts={arm: int(n) for arm, n in zip(plan.arms, met, strict=True)},
            sums=sums,
            quality=Quality(newest_event_age_seconds=0.0),
            earlier=looks[-1:],
        )
        looks.append(look)
        move = lifecycle.look(position, finding_of(decide(plan, looks), look))
        position = move.position
        if position.state is State.ROLLED_BACK:
            break
        newest = {"look": look_document(look), "offset": offset, "ramp_step": position.step}
        at = START + dt.timedelta(seconds=offset)
        standing = Standing(
            step=position.step,
            share=share,
            hold_until=START + dt.timedelta(seconds=hold_until),
            started_at=START,
            started_by="owner",
        )
        if waits_for(plan, standing, newest, at):
            continue
        if position.state is State.RUNNING:
            position = lifecycle.release(position, shown=False).position
            break
        position = lifecycle.widen(position).position
        hold_until = offset + plan.release.steps[position.step].hold_seconds
    assert position.verdict is not None
    return Ending(position.verdict, offset / 3600, position.step, int(met[1]), int(crashed[1]))


def report(name: str, endings: list[Ending]) -> None:
    """Print one line of the table."""
    back = [each for each in endings if each.verdict == Outcome.HARM]
    share = len(back) / len(endings)
    error = 1.96 * math.sqrt(max(share * (1 - share), 1e-9) / len(endings))
    verdicts = {
        each.value: sum(e.verdict == each for e in endings) / len(endings)
        for each in (Outcome.RELEASED, Outcome.NOT_PROVEN_IN_TIME, Outcome.INVALID)
    }
    line = f"{name:<58} harm {share:.4f} ± {error:.4f}  released {verdicts['RELEASED']:.3f}"
    line += f"  late {verdicts['NOT_PROVEN_IN_TIME']:.3f}  invalid {verdicts['INVALID']:.3f}"
    if back:
        hours = np.quantile([each.hours for each in back], [0.1, 0.5, 0.9])
        crashes = np.median([each.crashes for each in back])
        treated = np.median([each.treated for each in back])
        line += f"  hours {hours[0]:.2f} / {hours[1]:.2f} / {hours[2]:.2f}"
        line += f"  crashes {crashes:.0f} of {treated:.0f} units"
    print(line)


def main() -> None:
    """Simulate releases with and without a crash, and print how they end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    stay = [{"share": 0.01, "hold": "7d"}]
    cases = [
        ("no effect, 50,000 units/h, 1-5-25-50 %", {}, 50_000, (0.001, 0.001)),
        ("no effect, 5,000 units/h, 1-5-25-50 %", {}, 5_000, (0.001, 0.001)),
        ("no effect, 5,000 units/h, crash rate 0.02", {}, 5_000, (0.02, 0.02)),
        ("1/1000 to 20/1000, 500 units/h, steps go on", {"minimum_units": 0}, 500, (0.001, 0.02)),
        ("1/1000 to 20/1000, 500 units/h, 100 units a step", {}, 500, (0.001, 0.02)),
        ("1/1000 to 20/1000, 500 units/h, 500 a step", {"minimum_units": 500}, 500, (0.001, 0.02)),
        ("1/1000 to 20/1000, 500 units/h, stays at 1 %", {"steps": stay}, 500, (0.001, 0.02)),
        ("1/1000 to 20/1000, 500 units/h get it (1 % of 50,000)", {}, 50_000, (0.001, 0.02)),
    ]
    for name, changes, units, rates in cases:
        plan = plan_of(**changes)
        report(name, [simulate(plan, units, rates, rng) for _ in range(options.runs)])


if __name__ == "__main__":
    main()
