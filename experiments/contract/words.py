"""Numbers, times and causes in plain words: what records, cards and replays say to people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.contract.document import format_duration
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Outcome
from flags.words import moment as moment

MINUS = "−"
MOST_LOG_E = math.log(1e6)
HARM_KINDS = ("harm", "harm_events")
"""The tests that can stop an arm, as `stats` names them."""


def plain(value: float, digits: int = 4) -> str:
    """Write a number for people: ``12,345``, ``0.0812``, ``1,794.34``."""
    if not math.isfinite(value):
        return "unbounded"
    size = abs(value)
    if size >= 1000:
        text = f"{size:,.2f}".rstrip("0").rstrip(".")
    else:
        text = f"{size:.{digits}g}"
        if "e" in text:
            text = f"{size:.{digits}f}".rstrip("0").rstrip(".") if size >= 1e-4 else text
    return (MINUS if value < 0 else "") + text


def signed(value: float) -> str:
    """Write a number with its sign, also when it is positive."""
    return plain(value) if value <= 0 else f"+{plain(value)}"


def percent(share: float) -> str:
    """Write a share between 0 and 1 as per cent."""
    return f"{plain(100 * share, 3)} %"


def signed_percent(share: float) -> str:
    """Write a relative change as per cent, with its sign."""
    return f"{signed(float(f'{100 * share:.3g}'))} %"


def difference(metric: Metric, value: float) -> str:
    """Write a difference in the metric's unit: percentage points for shares."""
    if metric.is_share:
        return f"{signed(float(f'{100 * value:.3g}'))} points"
    return signed(float(f"{value:.6g}"))


def interval(metric: Metric, low: float | None, high: float | None) -> str:
    """Write the interval of a difference: ``between … and …``, or its one end that is known."""
    if low is None and high is None:
        return "without a bound yet"
    if low is None or high is None:
        end = "at least" if high is None else "at most"
        known = low if high is None else high
        assert known is not None
        return f"{end} {difference(metric, known)}"
    return f"between {difference(metric, low)} and {difference(metric, high)}"


def level(metric: Metric, value: float) -> str:
    """Write a mean in the metric's unit: per cent for shares."""
    return percent(value) if metric.is_share else plain(float(f"{value:.6g}"))


def days(plan: Plan, seconds: float) -> str:
    """Write a stretch of time in the policy's days, and say so where a day is not a day."""
    day = plan.policy.day_seconds
    count = f"{seconds / day:.3g}"
    unit = "day" if count == "1" else "days"
    return f"{count} {unit}" + ("" if day == 86400 else f" of {format_duration(day)}")


def day_of(plan: Plan, offset: float) -> str:
    """Write where in the experiment an instant lies: ``day 3 of 28``."""
    return day_within(plan, offset, plan.deadline_seconds)


def day_within(plan: Plan, offset: float, length: float) -> str:
    """Write where in a stretch of time an instant lies."""
    day = plan.policy.day_seconds
    total = max(1, math.ceil(length / day - 1e-9))
    return f"day {max(1, math.ceil(offset / day - 1e-9))} of {total}"


def odds(log_e: float | None) -> str:
    """Write evidence, given by its natural logarithm: ``1,340 to 1``."""
    if log_e is None or log_e > MOST_LOG_E:
        return "more than a million to 1"
    return f"{plain(float(f'{math.exp(log_e):.3g}'))} to 1"


def listed(names: Sequence[str]) -> str:
    """Join names: ``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def means(look: Mapping[str, Any], metric: str) -> dict[str, float]:
    """Give every arm's mean (or ratio) of a metric at a look, where there is one."""
    arms = look["metrics"].get(metric, {})
    parts = {arm: _above_and_below(sums) for arm, sums in arms.items()}
    return {arm: above / below for arm, (above, below) in parts.items() if below}


def below_the_line(look: Mapping[str, Any], metric: str, arm: str) -> float:
    """Give what the sum of an arm is divided by: its units, or a ratio's denominators."""
    sums = look["metrics"].get(metric, {}).get(arm)
    return 0.0 if sums is None else _above_and_below(sums)[1]


def _above_and_below(sums: Mapping[str, float]) -> tuple[float, float]:
    n = sums["n"]
    if "m1" in sums:
        above, below = (sums[f"{x}1"] + n * sums.get(f"{x}_shift", 0.0) for x in ("m", "d"))
        return above, below
    return sums["s1"] + n * sums.get("shift", 0.0), n


def find_test(
    decision: Mapping[str, Any], kind: str, metric: str, arm: str
) -> Mapping[str, Any] | None:
    """Find one test of a decision document."""
    for test in decision["tests"]:
        if (test["kind"], test["metric"], test["arm"]) == (kind, metric, arm):
            return test  # type: ignore[no-any-return]
    return None


def effect(
    plan: Plan, decision: Mapping[str, Any], look: Mapping[str, Any], key: str, arm: str
) -> str:
    """Say what happened to a metric: ``purchase fell by 12.3 % (20.1 % to 17.6 %) in new``."""
    metric = plan.metric(key)
    test = next(
        (
            t
            for t in decision["tests"]
            if t["metric"] == key and t["arm"] == arm and t["estimate"] is not None
        ),
        None,
    )
    if test is None:
        return f"{metric.subject} in {arm}"
    estimate = test["estimate"]
    verb = "rose" if estimate > 0 else "fell"
    if estimate == 0:
        return f"{metric.subject} did not move in {arm}"
    by = (
        percent(abs(float(f"{test['relative']:.3g}")))
        if test["relative"] is not None
        else difference(metric, abs(estimate)).lstrip("+")
    )
    arm_means = means(look, key)
    levels = ""
    if plan.control in arm_means and arm in arm_means:
        before, after = (level(metric, arm_means[name]) for name in (plan.control, arm))
        levels = f" ({before} to {after})"
        if metric.covariate is not None:
            # Else the two means would seem to contradict the change.
            levels = f", adjusted for {metric.covariate} ({before} to {after} as counted),"
    return f"{metric.subject} {verb} by {by}{levels} in {arm}"


def rare_events(
    plan: Plan,
    test: Mapping[str, Any],
    look: Mapping[str, Any],
) -> str:
    """Say how many units of which arm met a rare event, and how strong and needed evidence is.

    ``8 of 9 units in new and 0 of 84 in control (evidence 969 to 1, needed 160 to 1)``
    """
    met = listed(
        [
            f"{sums['s1']:,.0f} of {sums['n']:,.0f} {unit}in {arm}"
            for arm, unit in ((test["arm"], "units "), (plan.control, ""))
            if (sums := look["metrics"].get(test["metric"], {}).get(arm)) is not None
        ]
    )
    return f"{met} (evidence {odds(test['log_e'])}, needed {odds(test['log_e_bound'])})"


def harm_causes(plan: Plan, decision: Mapping[str, Any], look: Mapping[str, Any]) -> list[str]:
    """Say what every harm test that crossed its bound has found, once per metric and arm."""
    passed = [test for test in decision["tests"] if test["kind"] in HARM_KINDS and test["passed"]]
    by_events = {(t["metric"], t["arm"]): t for t in passed if t["kind"] == "harm_events"}
    causes = []
    for metric, arm in dict.fromkeys((test["metric"], test["arm"]) for test in passed):
        test = by_events.get((metric, arm))
        if test is None:
            causes.append(effect(plan, decision, look, metric, arm))
        else:
            causes.append(f"the rare event {metric} met {rare_events(plan, test, look)}")
    return causes


def started_sentence(plan: Plan, coverage: float) -> str:
    """Say that the first units take part."""
    total = sum(weight for _arm, weight in plan.weights)
    split = listed([f"{arm} {percent(weight / total)}" for arm, weight in plan.weights])
    return f"Started: {percent(coverage)} of the audience take part ({split} of them)."


def shipped_sentence(plan: Plan, winner: str | None, share: float | None = None) -> str:
    """Say who is served what from now on; without a share, at the first step of shipping."""
    steps = plan.policy.ship_steps
    share = steps[0].share if share is None else share
    if share < steps[-1].share:
        return (
            f"{winner} is served to {percent(share)}; up to 5 % stay on {plan.control}, held back "
            f"for comparison, and the rest follows."
        )
    return f"{winner} is served to 95 %; 5 % stay on {plan.control}, held back for comparison."


def comparison_sentence(
    plan: Plan,
    *,
    verdict: str | None,
    offset: float,
    length: float,
    look: Mapping[str, Any],
    decision: Mapping[str, Any],
    held: bool = False,
) -> str | None:
    """Say what a comparison with the holdback led to; ``None`` when it led to nothing."""
    if verdict is None:
        return None
    winner = decision["winner"]
    on = f"On {day_within(plan, offset, length)} against the units held back"
    back = f"everybody is back on {plan.control}"
    if verdict == Outcome.INVALID and held:
        return f"The rule was edited by hand, so nothing can be compared. {on} {back}."
    if verdict == Outcome.INVALID:
        return f"{on} the split was no longer the served one, so no number can be trusted: {back}."
    if verdict == Outcome.LATE_HARM:
        cause = listed(harm_causes(plan, decision, look)) or "a harm bound was crossed"
        met = f"{look['counts'].get(winner, 0):,} met {winner} in that time"
        return f"{on} {cause}, worse than chance explains: {back}. {met}: an escaped defect."
    told = realised_text(plan, decision["realised"])
    if verdict == Outcome.CONFIRMED:
        return f"{on} the effect is confirmed: {told}. Everybody gets {winner}."
    return f"{on} the effect is not confirmed: {told}. Everybody gets {winner} all the same."


def realised_text(plan: Plan, realised: Sequence[Mapping[str, Any]]) -> str:
    """Say what the holdback told of every claimed metric: estimate, interval and mark."""
    return listed([_realised_line(plan, row) for row in realised]) or "nothing was claimed"


def _realised_line(plan: Plan, row: Mapping[str, Any]) -> str:
    metric = plan.metric(row["metric"])
    if row["estimate"] is None:
        return f"{metric.title} could not be compared ({row['reason'] or 'too few units'})"
    low, high = (difference(metric, row[name]) for name in ("low", "high"))
    text = f"{metric.title} {difference(metric, row['estimate'])} (between {low} and {high}"
    return f"{text}; mark {difference(metric, row['mark'])})"


def look_sentence(
    plan: Plan,
    *,
    verdict: str | None,
    offset: float,
    look: Mapping[str, Any],
    decision: Mapping[str, Any],
    winner: str | None = None,
    newly_dropped: Sequence[str] = (),
    alarm: str | None = None,
    held: bool = False,
    unexplained: bool = False,
    replayed: bool = False,
    timeless: bool = False,
) -> str:
    """Say in one sentence what a look led to: cause, when, consequence.

    Parameters
    ----------
    verdict : str, optional
        The verdict that the experiment ends with, or waits with; ``None`` or ``CONTINUE``: it goes
        on.
    newly_dropped : sequence of str
        Arms that this look dropped.
    alarm : str, optional
        What keeps the look from shipping.
    replayed, timeless : bool
        Whether these are recorded data (nobody was moved by this), and without times.
    """
    on = "At the planned end" if timeless else f"On {day_of(plan, offset)}"
    back = f"everybody {'belongs' if replayed else 'is'} back on {plan.control}"
    cause = listed(harm_causes(plan, decision, look)) or "a harm bound was crossed"
    if verdict == Outcome.INVALID:
        if held:
            return f"The rule was edited by hand, so nothing can be proven. {on} {back}."
        if replayed and alarm and decision["verdict"] != Outcome.INVALID:
            return f"{on} no number can be trusted, since {alarm}: {back}."
        if unexplained and decision["verdict"] != Outcome.INVALID:
            return f"{on} nobody had explained what is wrong with the data: {back}."
        return (
            f"{on} the split was no longer the planned one "
            f"({_counts(plan, look)}), so no number can be trusted: {back}."
        )
    if verdict == Outcome.HARM:
        return f"{on} {cause}, worse than chance explains: {back}."
    if verdict in {Outcome.VALUE_PROVEN, Outcome.NO_HARM_PROVEN}:
        return _proven_sentence(plan, verdict, on, look, decision, winner)
    if verdict == Outcome.FUTILE:
        goals = listed(
            [
                f"{metric.subject} can no longer move by {percent(metric.mde or 0)}"
                for metric in plan.success_metrics
            ]
        )
        return f"{on} it is clear that {goals}, the least worth having: {back}."
    if verdict == Outcome.NOT_PROVEN_IN_TIME and plan.release is not None:
        change = listed(plan.treatments)
        return f"{on} the time is up before everybody could be given {change}: {back}."
    if verdict == Outcome.NOT_PROVEN_IN_TIME:
        what = "harmless" if plan.claim == "no_harm" else "worth having"
        return f"{on} the time is up, and the change was not shown {what}: {back}."
    if newly_dropped:
        gone = listed(newly_dropped)
        return f"{on} {cause}: {gone} dropped, those users are on {plan.control}."
    doubt = f" Nothing could ship on these data: {alarm}." if alarm else ""
    return f"{on} (look {look['number']}) nothing is decided yet.{doubt}"


def _proven_sentence(
    plan: Plan,
    verdict: str,
    on: str,
    look: Mapping[str, Any],
    decision: Mapping[str, Any],
    winner: str | None,
) -> str:
    if verdict == Outcome.NO_HARM_PROVEN:
        guards = listed([metric.key for metric in plan.metrics if metric.role == "guardrail"])
        return f"{on} {winner} was shown to do no harm to {guards}."
    proven = [
        effect(plan, decision, look, test["metric"], test["arm"])
        for test in decision["tests"]
        if test["kind"] == "ship" and test["passed"] and test["arm"] == winner
    ]
    return f"{on} {listed(proven) or winner}: shown better than doing nothing."


def lost_shares(attrition: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say which share of its units each arm lost, of arms with any that were watched."""
    return [
        f"{percent(each['lost'] / each['units'])} of {arm}"
        for arm, each in attrition.items()
        if each["units"]
    ]


def _counts(plan: Plan, look: Mapping[str, Any]) -> str:
    return listed([f"{look['counts'].get(arm, 0):,} in {arm}" for arm in plan.arms])
