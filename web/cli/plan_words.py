"""What ``flagstone plan`` found, in sentences, a table, a drawing of characters, and as a document.

The first sentence is the answer; then what it rests on; then what would help.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stats import Role, Verdict

if TYPE_CHECKING:
    from stats import Deadline, Duration, MetricOutlook, OperatingCharacteristics, Remedies
    from web.cli.plan_wish import Wish

_WIDTH, _HEIGHT = 60, 11
_TRUTHS = {
    "worthless": "nothing changes",
    "worth having": "the MDE is there",
    "harmful": "the MDE is lost",
}


def words(
    wish: Wish,
    found: Duration,
    helping: Remedies,
    curve: Sequence[Deadline],
    tried: OperatingCharacteristics | None,
    *,
    plain: bool = False,
) -> str:
    """Say it to people; ``plain`` draws with ASCII only."""
    parts = ["\n".join(verdict(wish, found))]
    if not found.wanted.is_enough:
        parts.append("\n".join(["What would help, each alone:", *_help(wish, helping)]))
    parts.append("\n".join(_table(found)))
    parts.append("\n".join(_drawing(wish, curve)))
    if tried is not None:
        parts.append("\n".join(_simulated(wish, tried)))
    text = "\n\n".join(parts)
    return text.translate(_ASCII) if plain else text


_ASCII = str.maketrans(
    {
        "\N{NO-BREAK SPACE}": " ",
        "±": "+-",
        "–": "-",
        "·": ".",
        "●": "o",
        "┄": "-",
        "│": "|",
        "└": "+",
        "─": "-",
    }
)


# --- sentences


def percent(share: float, digits: int = 3) -> str:
    """Write a share with so many significant digits, its sign tied to it: 5 %, 0.55 %."""
    return (
        "none"
        if math.isinf(share)
        else f"{float(f'{100 * share:.{digits}g}'):,.15g}\N{NO-BREAK SPACE}%"
    )


def verdict(wish: Wish, found: Duration) -> Iterator[str]:
    """Give the answer first, then what it rests on, a sentence each."""
    wanted = found.wanted
    success, worst = wanted.metrics[0], wanted.binding
    change = "fall" if wish.plan.metrics[0].sign < 0 else "rise"
    goal = f"a {change} of {percent(success.target)} with a power of {percent(wish.power)}"
    arms = len(wish.plan.arms)
    if wanted.is_enough:
        yield f"{wish.days} days are enough to prove {goal}."
        yield f"{_needs(worst)}; {wish.days} days bring {_units(worst.units.whole)}."
        if found.days is not None and found.days < wish.days:
            yield f"{found.days} days would do already."
    else:
        yield f"{wish.days} days are not enough to prove {goal}."
        share = percent(1 / worst.lacking, 2)
        yield (
            f"{_needs(worst)}; {wish.days} days bring {_units(worst.units.whole)}, {share} of that."
        )
        later = f"{found.days} days would do" if found.days else "Half a year would not do either"
        yield f"{later}. What can be seen in {wish.days} days: {_seen(wanted)}."
    cost = max(metric.inflation for metric in wanted.metrics) - 1
    yield (
        f"The bounds for daily looks and proofs at whole weeks cost {percent(cost, 2)} more units"
        " than one look at the end."
    )
    if len(wanted.metrics) > 1:
        power = percent(wanted.power_per_test)
        tests = len(wanted.metrics)
        yield f"Each of the {tests} tests is sized for {power}: a ship needs them all."
    if arms > 2:
        yield f"{arms - 1} treatments share the error; units are those of the smallest arm."


def _needs(worst: MetricOutlook) -> str:
    name = "The effect" if worst.role is Role.SUCCESS else f"Guardrail {worst.metric}"
    margin = "" if worst.role is Role.SUCCESS else f" with its margin of {percent(worst.target)}"
    return f"{name}{margin} needs {_units(worst.required.whole)}"


def _units(whole: tuple[int, int]) -> str:
    control, treatment = whole
    if control == treatment:
        return f"{control:,} units per arm"
    return f"{control:,} units of control and {treatment:,} of treatment"


def _seen(deadline: Deadline) -> str:
    return ", ".join(
        f"an effect of {percent(metric.detectable)}"
        if metric.role is Role.SUCCESS
        else f"{metric.metric} within {percent(metric.detectable)}"
        for metric in deadline.metrics
    )


def _help(wish: Wish, helping: Remedies) -> Iterator[str]:
    if helping.share is not None:
        whole = math.ceil(100 * helping.share - 1e-9)
        yield f"  – take in {whole} % of the traffic instead of {percent(wish.share)}"
    if helping.even_split:
        yield "  – split the units evenly between the arms"
    if helping.correlation is not None:
        lacking = " and ".join(name for name, _ in helping.targets)
        extra = "a further" if wish.has_covariate else "a pre-period"
        value = math.ceil(100 * helping.correlation) / 100
        if value < 0.95:
            yield f"  – {extra} covariate (CUPED) that correlates {value:.2f} with {lacking}"
    changes = [
        f"an MDE of {percent(value)}"
        if name == "metric"
        else f"a margin of {percent(value)} for {name}"
        for name, value in helping.targets
        if math.isfinite(value)
    ]
    if changes:
        yield f"  – settle for {' and '.join(changes)}"
    if helping.days is not None:
        yield f"  – a deadline of {helping.days} days"
    if helping.share is None and wish.share < 1:
        yield "Not even all of the traffic would do."


# --- table


def _table(found: Duration) -> Iterator[str]:
    first = found.deadlines[0].metrics
    heads = ["days", "units per arm", "MDE", "power"]
    heads += [f"{metric.metric} within" for metric in first[1:]]
    rows = []
    for deadline in found.deadlines:
        success, *guardrails = deadline.metrics
        units = " / ".join(f"{n:,}" for n in dict.fromkeys(success.units.whole))
        row = [str(deadline.days), units, percent(success.detectable), percent(success.power, 2)]
        row += [percent(guardrail.detectable) for guardrail in guardrails]
        rows.append([*row, "enough" if deadline.is_enough else ""])
    yield from _aligned([*heads, ""], rows)


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    for row in [heads, *rows]:
        cells = (cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False))
        yield ("  ".join(cells) + "  " + row[-1]).rstrip()


# --- drawing


def at_day(curve: Sequence[Deadline], place: int, day: float) -> float:
    """Read between two deadlines what can be seen: straight on logarithmic axes."""
    points = [(d.days, d.metrics[place].detectable) for d in curve]
    points = [(days, value) for days, value in points if math.isfinite(value)]
    for (a, first), (b, second) in pairwise(points):
        if a <= day <= b:
            part = math.log(day / a) / math.log(b / a)
            return math.exp(math.log(first) * (1 - part) + math.log(second) * part)
    return next((value for days, value in points if days == day), math.inf)


def _drawing(wish: Wish, curve: Sequence[Deadline]) -> Iterator[str]:
    """Draw the MDE over the days."""
    target = curve[0].metrics[0].target
    seen = [d.metrics[0].detectable for d in curve if math.isfinite(d.metrics[0].detectable)]
    if len(curve) < 2 or len(seen) < 2:
        return
    top = min(max(seen[0], target * 1.2), 10 * min(seen[-1], target))
    last = curve[-1].days
    grid = [[" "] * _WIDTH for _ in range(_HEIGHT)]

    def row(value: float) -> int:
        return round((1 - value / top) * (_HEIGHT - 1))

    def column(day: float) -> int:
        return round(day / last * (_WIDTH - 1))

    for x in range(_WIDTH):
        grid[row(target)][x] = "┄"
    for x in range(_WIDTH):
        value = at_day(curve, 0, x / (_WIDTH - 1) * last)
        if value <= top:
            grid[row(value)][x] = "·"
    for deadline in curve:
        if deadline.metrics[0].detectable <= top:
            mark = "●"
            grid[row(deadline.metrics[0].detectable)][column(deadline.days)] = mark
    labels = {0: percent(top, 2), row(target): f"{percent(target)} wanted", _HEIGHT - 1: "0"}
    margin = max(map(len, labels.values()))
    yield "MDE over days"
    for y, cells in enumerate(grid):
        yield f"{labels.get(y, ''):>{margin}} │{''.join(cells)}".rstrip()
    yield f"{'':>{margin}} └{'─' * _WIDTH}"
    ticks = [" "] * (_WIDTH + 4)
    free = 0
    for deadline in sorted(curve, key=lambda d: (d.days not in {wish.days, last}, d.days)):
        text, place = str(deadline.days), column(deadline.days)
        start = place - len(text) + 1
        around = ticks[max(start - 1, 0) : place + 2]
        if start >= free and all(cell == " " for cell in around):
            ticks[start : place + 1] = text
    yield f"{'':>{margin}}  {''.join(ticks).rstrip()} days"


# --- simulation


def _simulated(wish: Wish, tried: OperatingCharacteristics) -> Iterator[str]:
    replicas = next(iter(tried.prospects.values())).replicas
    yield f"Tried {replicas:,} times each, to the deadline of {wish.days} days:"
    heads = ["ships", "stopped for harm", "given up", "unproven", "mean end", "if the truth is"]
    rows = []
    for name, prospect in tried.prospects.items():
        chances = [
            prospect.proven(),
            prospect.stopped(),
            prospect.given_up(),
            prospect.probability(Verdict.NOT_PROVEN_IN_TIME),
        ]
        cells = [
            f"{100 * chance.value:.1f} ±{100 * chance.se:.1f}\N{NO-BREAK SPACE}%"
            for chance in chances
        ]
        days = prospect.mean_end.value * wish.days
        key = name.removeprefix("breached: ")
        truth = _TRUTHS.get(name, f"the MDE is there, and {key} loses its margin")
        rows.append([*cells, f"{days:.1f} days", truth])
    yield from _aligned(heads, rows)


# --- document


def document(
    wish: Wish, found: Duration, helping: Remedies, tried: OperatingCharacteristics | None
) -> dict[str, Any]:
    """Give everything as plain data; what is infinite becomes null."""
    wanted = found.wanted
    told: dict[str, Any] = {
        "days": wish.days,
        "enough": wanted.is_enough,
        "first_enough_days": found.days,
        "power": wish.power,
        "power_per_test": wanted.power_per_test,
        "binding": wanted.binding.metric,
        "deadlines": [
            {
                "days": deadline.days,
                "enough": deadline.is_enough,
                "metrics": [_metric(metric) for metric in deadline.metrics],
            }
            for deadline in found.deadlines
        ],
        "remedies": None,
        "simulated": None,
    }
    if not wanted.is_enough:
        told["remedies"] = {
            "share": helping.share,
            "covariate": helping.correlation,
            "targets": {name: _finite(value) for name, value in helping.targets},
            "even_split": helping.even_split,
            "days": helping.days,
        }
    if tried is not None:
        told["simulated"] = {
            name: {
                "ships": _chance(prospect.proven()),
                "stopped_for_harm": _chance(prospect.stopped()),
                "given_up": _chance(prospect.given_up()),
                "mean_end_days": prospect.mean_end.value * wish.days,
                "replicas": prospect.replicas,
            }
            for name, prospect in tried.prospects.items()
        }
    return told


def _metric(metric: MetricOutlook) -> dict[str, Any]:
    return {
        "metric": metric.metric,
        "role": metric.role.value,
        "target": metric.target,
        "units": list(metric.units.whole),
        "required": list(metric.required.whole),
        "detectable": _finite(metric.detectable),
        "power": metric.power,
        "inflation": metric.inflation,
    }


def _chance(chance: Any) -> Mapping[str, float]:
    return {"value": chance.value, "se": chance.se}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
