"""The card's harm part: every watched metric in one of three words, however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.telling.card_status import CardStatus

MOST_ARMS_NAMED = 4
SHOWN_SAFE = "shown safe"
NOT_YET = "not yet shown safe"
WORSE = "worse"


@dataclass(frozen=True)
class Harm:
    """One watched metric in one arm, in one of three words."""

    metric: str
    role: str
    arm: str
    word: str
    margin: float | None
    low: float | None
    high: float | None
    text: str
    title: str = ""


@dataclass(frozen=True)
class HarmPart:
    """One line about harm around its word: of one metric, or of all that have the word."""

    head: str
    word: str
    tail: str = ""

    @property
    def text(self) -> str:
        """Write the line."""
        return f"{self.head}{self.word}{self.tail}"


def harm_part(
    plan: Plan, decision: Mapping[str, Any], status: CardStatus, *, blind: bool
) -> tuple[Harm, ...]:
    """Say of every watched metric and arm: shown safe, not yet shown safe, or worse."""
    lines = [
        Harm("all", "dropped", arm, WORSE, None, None, None, f"{arm}: {WORSE}, dropped earlier")
        for arm in status.dropped
        if not any(test["arm"] == arm for test in decision["tests"])
    ]
    gone = {line.arm for line in lines}
    for metric in plan.metrics:
        if not metric.decides:
            continue
        # "Worse" of a key such as "latency" would be read as its height.
        name = metric.title if metric.kind == "quantile" else metric.key
        for arm in plan.treatments:
            if arm in gone:
                continue
            test = words.find_test(decision, "harm", metric.key, arm)
            word = _word(metric, arm, decision, test, blind=blind)
            by = " by rare events" if passed(decision, "harm_events", metric.key, arm) else ""
            margin = f" (tolerated loss {words.percent(metric.margin)})" if metric.margin else ""
            others_left = set(plan.treatments) - set(status.dropped)
            left_out = " – dropped" if arm in status.dropped and others_left else ""
            lines.append(
                Harm(
                    metric=metric.key,
                    role=metric.role,
                    arm=arm,
                    word=word,
                    margin=metric.margin,
                    low=None if blind or test is None else test["low"],
                    high=None if blind or test is None else test["high"],
                    text=f"{name}, {arm}: {word}{by}{margin}{left_out}",
                    title=name,
                )
            )
    return tuple(lines)


def grouped_harm(lines: Sequence[Harm]) -> tuple[HarmPart, ...]:
    """Say which metrics are worse, not yet shown safe, and safe: the worst word first."""
    found = []
    for word in (WORSE, NOT_YET, SHOWN_SAFE):
        by_metric: dict[str, list[str]] = {}
        for line in lines:
            if line.word == word:
                by_metric.setdefault(line.metric, []).append(line.arm)
        if by_metric:
            every = len({line.arm for line in lines})
            named = [f"{metric} ({_arms(arms, every)})" for metric, arms in by_metric.items()]
            found.append(HarmPart("", word, f": {words.listed(named)}"))
    return tuple(found)


def _arms(arms: Sequence[str], every: int) -> str:
    if len(arms) == every > 2:
        return "all arms"
    return ", ".join(arms) if len(arms) <= MOST_ARMS_NAMED else f"{len(arms)} arms"


def _word(
    metric: Metric,
    arm: str,
    decision: Mapping[str, Any],
    test: Mapping[str, Any] | None,
    *,
    blind: bool,
) -> str:
    if any(passed(decision, kind, metric.key, arm) for kind in words.HARM_KINDS):
        return WORSE
    if metric.role == "guardrail":
        shown = passed(decision, "noninferiority", metric.key, arm)
        return SHOWN_SAFE if shown else NOT_YET
    if blind or test is None:
        # "Shown safe" would tell the sign of an effect that is not to be seen yet.
        return NOT_YET
    worst = test["low"] if metric.direction == "up" else test["high"]
    if worst is None:
        return NOT_YET
    gain = worst if metric.direction == "up" else -worst
    return SHOWN_SAFE if gain >= 0 else NOT_YET


def passed(decision: Mapping[str, Any], kind: str, metric: str, arm: str) -> bool:
    """Tell whether a test of a decision crossed its bound."""
    test = words.find_test(decision, kind, metric, arm)
    return test is not None and bool(test["passed"])
