"""Charts as SVG drawn here: real text, a spoken alternative, no script, printable.

Colours come from classes, never from attributes, so that both themes and the content security
policy hold. Numbers are those of the stored looks; nothing is computed but positions.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from experiments.card import Worth
from experiments.models import Look

WIDE = 640
NARROW = 340
AXIS_HEIGHT = 74
CHART_HEIGHT = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 30
# Before many units have come an interval is so wide that it would flatten all that follows.
_CLIP = 6.0
_TESTS = frozenset({"ship", "noninferiority"})


@dataclass(frozen=True)
class Chart:
    """One drawing, what it is called, and what its dashed line means."""

    title: str
    svg: Markup
    dashes: str = ""


def axis_of_worth(worth: Worth) -> Markup | None:
    """Draw the interval against doing nothing, with the break-even mark on the same axis."""
    estimate = worth.estimate
    if estimate is None:
        return None
    marks = [0.0, estimate]
    marks += [v for v in (worth.low, worth.high, worth.break_even) if v is not None]

    def draw(width: int) -> Markup:
        scale = _Scale.over(marks, 20, width - 20, pad=0.12)
        middle = 34
        low = scale(worth.low) if worth.low is not None else 0.0
        high = scale(worth.high) if worth.high is not None else float(width)
        zero = scale(0.0)
        parts = [
            _line(0, middle, width, middle, "fs-axis"),
            _line(zero, 12, zero, 56, "fs-zero"),
            _text(min(max(zero, 45.0), width - 45.0), 70, "doing nothing", "middle"),
            _bar(low, middle - 6, max(high - low, 2.0), 12),
            f'<circle cx="{scale(estimate):.1f}" cy="{middle}" r="7" class="fs-estimate"/>',
        ]
        if worth.break_even is not None and worth.break_even != 0.0:
            at = scale(worth.break_even)
            parts.append(_line(at, 12, at, 56, "fs-goal"))
            label = worth.break_even_label or "break-even"
            # Beside the other label, not upon it.
            anchor = "start" if at >= zero else "end"
            parts.append(_text(at, 9, label, _anchor_inside(at, anchor, width)))
        return _svg(width, AXIS_HEIGHT, worth.text, parts)

    return _for_both_screens(draw)


def chart_of_looks(
    worth: Worth,
    looks: Sequence[Look],
    started: dt.datetime | None,
    plan: Mapping[str, Any],
) -> Chart:
    """Draw how estimate and repeated interval went, look by look."""
    title = f"{worth.metric}, {worth.arm} against {plan['control']}"
    points = _points(worth, looks, started)
    if len(points) < 2:
        return Chart(title, Markup(""))
    percent = any(
        metric["key"] == worth.metric and metric["kind"] == "conversion"
        for metric in plan["metrics"]
    )
    said = f"{title}: {len(points)} looks, at the last one {worth.text}"

    def draw(width: int) -> Markup:
        return _svg(width, CHART_HEIGHT, said, _looks_drawn(worth, points, width, percent=percent))

    return Chart(title, _for_both_screens(draw), worth.break_even_label)


@dataclass(frozen=True)
class _Point:
    """What one look said of one metric in one arm."""

    number: int
    seconds: float
    estimate: float
    low: float | None
    high: float | None


def _points(worth: Worth, looks: Sequence[Look], started: dt.datetime | None) -> list[_Point]:
    return [
        _Point(
            look.number,
            (look.at - started).total_seconds(),
            float(test["estimate"]),
            test["low"],
            test["high"],
        )
        for look in looks
        for test in look.decision.get("tests", ())
        if started is not None
        and (test["metric"], test["arm"]) == (worth.metric, worth.arm)
        and test["kind"] in _TESTS
        and test["estimate"] is not None
    ]


def _looks_drawn(worth: Worth, points: Sequence[_Point], width: int, *, percent: bool) -> list[str]:
    typical = max(abs(point.estimate) for point in points[-3:])
    reach = _CLIP * max(typical, abs(worth.break_even or 0.0), 1e-12)
    lows = [_bounded(point.low, -reach, reach, -reach) for point in points]
    highs = [_bounded(point.high, -reach, reach, reach) for point in points]
    estimates = [_bounded(point.estimate, -reach, reach, 0.0) for point in points]
    marks = [0.0, *lows, *highs, *([worth.break_even] if worth.break_even is not None else [])]
    across = _Scale.over([0.0, *(p.seconds for p in points)], _LEFT, width - _RIGHT, pad=0.0)
    up = _Scale.over(marks, CHART_HEIGHT - _BOTTOM, _TOP, pad=0.04)
    times = [across(point.seconds) for point in points]
    edge = [*zip(times, highs, strict=True), *reversed([*zip(times, lows, strict=True)])]
    band = " ".join(f"{x:.1f},{up(value):.1f}" for x, value in edge)
    path = " ".join(f"{x:.1f},{up(v):.1f}" for x, v in zip(times, estimates, strict=True))
    parts = []
    for value in up.ticks():
        parts.append(_line(_LEFT, up(value), width - _RIGHT, up(value), "fs-grid"))
        parts.append(_text(_LEFT - 8, up(value) + 4, _number(value, percent=percent), "end"))
    parts += [
        f'<polygon points="{band}" class="fs-band"/>',
        _line(_LEFT, up(0.0), width - _RIGHT, up(0.0), "fs-zero"),
        f'<polyline points="{path}" class="fs-path"/>',
        *(
            _dot(x, up(v), f"look {p.number}: {_number(p.estimate, percent=percent)}")
            for p, x, v in zip(points, times, estimates, strict=True)
        ),
        _text(_LEFT, CHART_HEIGHT - 8, "start", "start"),
        _text(width - _RIGHT, CHART_HEIGHT - 8, f"look {points[-1].number}", "end"),
    ]
    if worth.break_even:
        at = up(worth.break_even)
        parts.append(_line(_LEFT, at, width - _RIGHT, at, "fs-goal"))
        parts.append(_text(width - _RIGHT, at - 5, worth.break_even_label, "end"))
    return parts


def _for_both_screens(draw: Callable[[int], Markup]) -> Markup:
    # One drawing that shrinks would make its letters unreadable on a phone; the style sheet shows
    # the one that fits, and hides the other from readers of the screen too.
    return draw(WIDE) + draw(NARROW)


def _bounded(value: float | None, least: float, most: float, otherwise: float) -> float:
    if value is None or not math.isfinite(value):
        return otherwise
    return min(max(float(value), least), most)


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


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _anchor_inside(x: float, wanted: str, width: int) -> str:
    room = 130 / width
    if wanted == "start" and x > width * (1 - room):
        return "end"
    if wanted == "end" and x < width * room:
        return "start"
    return wanted


def _svg(width: int, height: int, said: str, parts: Sequence[str]) -> Markup:
    name = "fs-chart fs-wide" if width == WIDE else "fs-chart fs-phone"
    return Markup(  # noqa: S704  every text in parts is escaped where it enters
        f'<svg viewBox="0 0 {width} {height}" role="img" class="{name}" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )
