"""Charts as SVG drawn here: real text, a spoken alternative, no script, printable.

Colours come from classes, never from attributes, so that both themes and the content security
policy hold. Numbers are those of the stored looks; nothing is computed but positions.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from experiments.card import Worth
from experiments.models import Look

WIDTH = 640
AXIS_HEIGHT = 74
CHART_HEIGHT = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 30
# Before many units have come an interval is so wide that it would flatten all that follows.
_CLIP = 6.0


@dataclass(frozen=True)
class Chart:
    """One drawing and what it is called."""

    title: str
    svg: Markup


def axis_of_worth(worth: Worth) -> Markup | None:
    """Draw the interval against doing nothing, with the break-even mark on the same axis."""
    if worth.estimate is None:
        return None
    marks = [0.0, worth.estimate]
    marks += [v for v in (worth.low, worth.high, worth.break_even) if v is not None]
    scale = _Scale.over(marks, 20, WIDTH - 20, pad=0.12)
    middle = 34
    low = scale(worth.low) if worth.low is not None else 0.0
    high = scale(worth.high) if worth.high is not None else float(WIDTH)
    parts = [
        _line(0, middle, WIDTH, middle, "fs-axis"),
        _line(scale(0.0), 12, scale(0.0), 56, "fs-zero"),
        _text(scale(0.0), 70, "doing nothing", "middle", "fs-label"),
        _bar(low, middle - 6, max(high - low, 2.0), 12),
        f'<circle cx="{scale(worth.estimate):.1f}" cy="{middle}" r="7" class="fs-estimate"/>',
    ]
    if worth.break_even is not None and worth.break_even != 0.0:
        at = scale(worth.break_even)
        parts.append(_line(at, 12, at, 56, "fs-goal"))
        label = worth.break_even_label or "break-even"
        # Beside the other label, not upon it.
        anchor = "start" if at >= scale(0.0) else "end"
        parts.append(_text(at, 9, label, _anchor_inside(at, anchor), "fs-label"))
    return _svg(AXIS_HEIGHT, worth.text, parts)


def chart_of_looks(
    worth: Worth,
    looks: Sequence[Look],
    started: dt.datetime | None,
    plan: Mapping[str, Any],
) -> Chart:
    """Draw how estimate and repeated interval went, look by look."""
    title = f"{worth.metric}, {worth.arm} against {plan['control']}"
    points = [
        (look, test)
        for look in looks
        for test in look.decision.get("tests", ())
        if test["metric"] == worth.metric
        and test["arm"] == worth.arm
        and test["kind"] in {"ship", "noninferiority"}
        and test["estimate"] is not None
    ]
    if len(points) < 2 or started is None:
        return Chart(title, Markup(""))
    times = [(look.at - started).total_seconds() for look, _test in points]
    estimates = [float(test["estimate"]) for _look, test in points]
    reach = _CLIP * max(max(abs(v) for v in estimates[-3:]), abs(worth.break_even or 0.0), 1e-12)
    lows = [_bounded(test["low"], -reach, reach, -reach) for _look, test in points]
    highs = [_bounded(test["high"], -reach, reach, reach) for _look, test in points]
    marks = [0.0, *lows, *highs, *([worth.break_even] if worth.break_even is not None else [])]
    across = _Scale.over([0.0, *times], _LEFT, WIDTH - _RIGHT, pad=0.0)
    up = _Scale.over(marks, CHART_HEIGHT - _BOTTOM, _TOP, pad=0.04)
    band = " ".join(
        f"{across(t):.1f},{up(v):.1f}"
        for t, v in [*zip(times, highs, strict=True), *reversed([*zip(times, lows, strict=True)])]
    )
    path = " ".join(
        f"{across(t):.1f},{up(min(max(v, -reach), reach)):.1f}"
        for t, v in zip(times, estimates, strict=True)
    )
    percent = worth.unit == "points"
    parts = []
    for value in up.ticks():
        parts.append(_line(_LEFT, up(value), WIDTH - _RIGHT, up(value), "fs-grid"))
        parts.append(
            _text(_LEFT - 8, up(value) + 4, _number(value, percent=percent), "end", "fs-label")
        )
    parts += [
        f'<polygon points="{band}" class="fs-band"/>',
        _line(_LEFT, up(0.0), WIDTH - _RIGHT, up(0.0), "fs-zero"),
        f'<polyline points="{path}" class="fs-path"/>',
        *(
            _dot(across(t), up(min(max(v, -reach), reach)), _spoken(look, v, percent=percent))
            for (look, _test), t, v in zip(points, times, estimates, strict=True)
        ),
        _text(_LEFT, CHART_HEIGHT - 8, "start", "start", "fs-label"),
        _text(WIDTH - _RIGHT, CHART_HEIGHT - 8, f"look {points[-1][0].number}", "end", "fs-label"),
    ]
    if worth.break_even:
        at = up(worth.break_even)
        parts.append(_line(_LEFT, at, WIDTH - _RIGHT, at, "fs-goal"))
        parts.append(_text(WIDTH - _RIGHT, at - 5, worth.break_even_label, "end", "fs-label"))
    said = f"{title}: {len(points)} looks, at the last one {worth.text}"
    return Chart(title, _svg(CHART_HEIGHT, said, parts))


def _bounded(value: float | None, least: float, most: float, otherwise: float) -> float:
    if value is None or not math.isfinite(value):
        return otherwise
    return min(max(float(value), least), most)


def _spoken(look: Look, value: float, *, percent: bool) -> str:
    return f"look {look.number}: {_number(value, percent=percent)}"


def _number(value: float, *, percent: bool) -> str:
    if value == 0:
        return "0"
    shown = value * 100 if percent else value
    sign = "+" if shown > 0 else "−"
    return f"{sign}{abs(shown):.3g}{' pt' if percent else ''}"


@dataclass(frozen=True)
class _Scale:
    """A straight line from values to places on the page."""

    first: float
    last: float
    begin: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float, *, pad: float) -> _Scale:
        """Span all values, with some air at both ends."""
        first, last = min(values), max(values)
        if first == last:
            last = first + 1.0
        air = (last - first) * pad
        return cls(first - air, last + air, begin, end)

    def __call__(self, value: float) -> float:
        share = (value - self.first) / (self.last - self.first)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Give some three to six round values within."""
        span = self.last - self.first
        step = 10.0 ** math.floor(math.log10(span / 3))
        for factor in (5.0, 2.0, 1.0):
            if span / (step * factor) >= 3:
                step *= factor
                break
        count = math.ceil(self.first / step)
        found = []
        while count * step <= self.last:
            found.append(count * step)
            count += 1
        return found


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{name}"/>'


def _dot(x: float, y: float, said: str) -> str:
    title = f"<title>{escape(said)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" class="fs-estimate">{title}</circle>'


def _bar(x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" '
        'class="fs-interval"/>'
    )


def _text(x: float, y: float, words: str, anchor: str, name: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{name}">'
        f"{escape(words)}</text>"
    )


def _anchor_inside(x: float, wanted: str) -> str:
    if wanted == "start" and x > WIDTH * 0.7:
        return "end"
    if wanted == "end" and x < WIDTH * 0.3:
        return "start"
    return wanted


def _svg(height: int, said: str, parts: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704  every text in parts is escaped where it enters
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" class="fs-chart" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )
