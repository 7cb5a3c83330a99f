"""The chart of ``flagstone plan`` as SVG: what can be seen, day by day, one panel per metric.

No font, script or picture from outside, and no background: every colour stands out from white and
from black about equally, so the file can be put on any page. Dots are filled where a deadline is
enough, so that nothing rests on colour alone; title and description say the same in words.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from stats import Role
from web.cli.plan_words import at_day, percent, verdict

if TYPE_CHECKING:
    from stats import Deadline, Duration
    from web.cli.plan_wish import Wish

_WIDTH, _PANEL = 760, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 128, 34, 30
_INK, _CURVE, _WANTED = "#6f7680", "#2f7fd1", "#c2620e"
_STYLE = (
    f"text{{font:13px system-ui,sans-serif;fill:{_INK}}}"
    ".head{font-size:16px;font-weight:600}.name{font-size:14px;font-weight:600}"
    f".axis{{stroke:{_INK};stroke-width:1;fill:none}}"
    f".grid{{stroke:{_INK};stroke-width:1;opacity:.22}}"
    f".curve{{stroke:{_CURVE};stroke-width:2.5;fill:none;stroke-linejoin:round}}"
    f".dot{{stroke:{_CURVE};stroke-width:2.5}}"
    f".wanted{{stroke:{_WANTED};stroke-width:1.5;stroke-dasharray:6 4}}"
    f".goal{{fill:{_WANTED}}}.seen{{fill:{_CURVE};font-weight:600}}"
    f".day{{stroke:{_INK};stroke-width:1.5;stroke-dasharray:2 3}}"
)


def chart(wish: Wish, found: Duration, curve: Sequence[Deadline]) -> str:
    """Draw the curves; a deadline that is not reached yet has a hollow dot."""
    sentences = list(verdict(wish, found))
    head = textwrap.wrap(sentences[0], 84)
    body = [line for text in sentences[1:3] for line in textwrap.wrap(text, 98)]
    top = 30 + 22 * len(head) + 18 * len(body)
    metrics = found.wanted.metrics
    height = top + _PANEL * len(metrics) + 26
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    named = 'aria-labelledby="title description"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {named}>',
        f'<title id="title">{escape(sentences[0])}</title>',
        f'<desc id="description">{escape(_description(sentences, found))}</desc>',
        f"<style>{_STYLE}</style>",
    ]
    parts += [_text(20, 28 + 22 * k, line, "head") for k, line in enumerate(head)]
    first = 28 + 22 * len(head)
    parts += [_text(20, first + 18 * k, line) for k, line in enumerate(body)]
    for place in range(len(metrics)):
        parts.append(f'<g transform="translate(0 {top + place * _PANEL})">')
        parts += _panel(wish, curve, place)
        parts.append("</g>")
    parts += _legend(height - 14)
    parts.append("</svg>\n")
    return "\n".join(parts)


def _description(sentences: Sequence[str], found: Duration) -> str:
    weeks = (
        f"{deadline.days} days: "
        + ", ".join(f"{metric.metric} {percent(metric.detectable)}" for metric in deadline.metrics)
        for deadline in found.deadlines
    )
    return " ".join(
        [*sentences[1:], "Smallest effects that are shown, by deadline:", "; ".join(weeks)]
    )


def _panel(wish: Wish, curve: Sequence[Deadline], place: int) -> Iterator[str]:
    outlooks = [deadline.metrics[place] for deadline in curve]
    target, last = outlooks[0].target, curve[-1].days
    seen = [metric.detectable for metric in outlooks if math.isfinite(metric.detectable)]
    low = min([target, *seen])
    top = _round_up(min(max([1.15 * target, *seen]), 10 * low))
    wide, high = _WIDTH - _LEFT - _RIGHT, _PANEL - _TOP - _BOTTOM

    def x(day: float) -> float:
        return round(_LEFT + wide * day / last, 1)

    def y(value: float) -> float:
        return round(_TOP + high * (1 - value / top), 1)

    success = outlooks[0].role is Role.SUCCESS
    name = outlooks[0].metric
    kind = "smallest effect that is proven (MDE)" if success else f"{name}: tightest margin shown"
    yield _text(_LEFT, _TOP - 14, kind, "name")
    for k in range(5):
        value = top * k / 4
        yield f'<path class="{"grid" if k else "axis"}" d="M{_LEFT} {y(value)}H{_LEFT + wide}"/>'
        yield _text(_LEFT - 8, y(value) + 4, percent(value) if k else "0", anchor="end")
    yield from _days(wish, curve, x, y(0))
    yield f'<path class="day" d="M{x(wish.days)} {y(0)}V{_TOP}"/>'
    yield f'<path class="wanted" d="M{_LEFT} {y(target)}H{_LEFT + wide}"/>'
    steps = [last * k / 160 for k in range(161)]
    points = [(day, at_day(curve, place, day)) for day in steps]
    line = " ".join(f"{x(day)},{y(value)}" for day, value in points if value <= top)
    if line:
        yield f'<polyline class="curve" points="{line}"/>'
    for deadline, metric in zip(curve, outlooks, strict=True):
        if metric.detectable <= top:
            enough = metric.lacking <= 1
            fill = _CURVE if enough else "none"
            yield (
                f'<circle class="dot" cx="{x(deadline.days)}" cy="{y(metric.detectable)}" r="4"'
                f' fill="{fill}"/>'
            )
    goal, reached = y(target) + 4, outlooks[-1].detectable
    beside = y(reached) + 4 if reached <= top else None
    if beside is not None and abs(beside - goal) < 15:
        # Two labels at nearly one height: the smaller number stays below.
        goal, beside = (goal, goal + 16) if reached <= target else (goal, goal - 16)
    yield _text(_LEFT + wide + 8, goal, f"{percent(target)} wanted", "goal")
    if beside is not None:
        yield _text(_LEFT + wide + 8, beside, f"{percent(reached)} seen", "seen")


def _days(wish: Wish, curve: Sequence[Deadline], x: object, base: float) -> Iterator[str]:
    assert callable(x)
    taken: list[float] = []
    wanted_first = sorted(curve, key=lambda d: (d.days not in {wish.days, curve[-1].days}, d.days))
    for deadline in wanted_first:
        at = x(deadline.days)
        if all(abs(at - other) >= 34 for other in taken):
            taken.append(at)
            yield f'<path class="axis" d="M{at} {base}v5"/>'
            yield _text(at, base + 19, str(deadline.days), anchor="middle")
    yield _text(x(curve[-1].days) + 30, base + 19, "days")


def _round_up(value: float) -> float:
    """Find a round number whose quarters are round too."""
    power = 10 ** math.floor(math.log10(value))
    return next(
        float(k * power) for k in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if k * power >= value
    )


def _legend(y: float) -> Iterator[str]:
    for x, fill, text in (
        (_LEFT + 4, _CURVE, "enough by this day"),
        (_LEFT + 166, "none", "not yet"),
    ):
        yield f'<circle class="dot" cx="{x}" cy="{y - 4}" r="4" fill="{fill}"/>'
        yield _text(x + 12, y, text)
    yield f'<path class="day" d="M{_LEFT + 258} {y + 2}V{y - 12}"/>'
    yield _text(_LEFT + 266, y, "deadline")


def _text(x: float, y: float, text: str, name: str = "", anchor: str = "") -> str:
    look = f' class="{name}"' if name else ""
    side = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{look}{side}>{escape(text)}</text>'
