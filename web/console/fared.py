"""The rules that a plan sealed, in words, and how each fared at the newest look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.contract.words import difference
from experiments.telling.card_parts import Evidence

# In the order in which somebody asks: may it ship, is it safe, does it harm, is it hopeless.
_ORDER = ("ship", "noninferiority", "harm", "harm_events", "futility", "explore")
# What a rule came to: crossed, or not.
_CAME_TO = {
    "ship": (("shown better", "good"), ("not shown yet", "neutral")),
    "noninferiority": (("shown safe", "good"), ("not yet shown safe", "neutral")),
    "harm": (("worse", "bad"), ("no harm shown", "neutral")),
    "futility": (("out of reach", "attention"), ("still in reach", "neutral")),
    "explore": (("decides nothing", "neutral"), ("decides nothing", "neutral")),
}


@dataclass(frozen=True)
class Fared:
    """One rule: what it does and when, what was seen, and what came of it.

    ``evidence`` is the test's z and ``bound`` the one to cross; both natural logarithms of
    e-values where events are weighed one by one.
    """

    rule: str
    metric: str
    arm: str
    seen: str
    evidence: str
    bound: str
    result: str
    tone: str


def how_each_fared(plan: Plan, evidence: Iterable[Evidence]) -> Iterator[Fared]:
    """Say of every rule how it fared, those that may ship first."""
    rows = [row for row in evidence if row.kind in _ORDER]
    for row in sorted(rows, key=lambda each: _ORDER.index(each.kind)):
        metric = plan.metric(row.metric)
        crossed, not_crossed = _CAME_TO["harm" if row.kind == "harm_events" else row.kind]
        result, tone = crossed if row.passed else not_crossed
        if row.reason and not row.passed and row.kind != "explore":
            result = row.reason
        yield Fared(
            _rule(row.kind, metric),
            row.metric,
            row.arm,
            "–" if row.estimate is None else difference(metric, row.estimate),
            *_numbers(row),
            result,
            tone,
        )


def _numbers(row: Evidence) -> tuple[str, str]:
    pair = (row.z, row.bound) if row.log_e is None else (row.log_e, row.log_e_bound)
    found, bound = ("–" if each is None else f"{each:.3f}" for each in pair)
    return (found if row.log_e is None else f"ln E {found}"), bound


def _rule(kind: str, metric: Metric) -> str:
    if kind == "ship":
        return "ships once it is shown better than doing nothing"
    if kind == "noninferiority":
        worse = f" more than {metric.margin * 100:g} %" if metric.margin else ""
        return f"ships only once it is shown not{worse} worse"
    if kind == "futility":
        least = f"a gain of {metric.mde * 100:g} %" if metric.mde else "a gain worth having"
        return f"gives up once {least} is out of reach"
    if kind == "explore":
        return "is only looked at"
    return "turns everybody back once it is shown worse"
