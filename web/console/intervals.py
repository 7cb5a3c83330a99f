"""Estimate and repeated interval over all looks, drawn: one look or a thousand.

Nothing is computed here but positions. Looks that could prove stand out, with their interval where
there is room; all others are small and grey, and what they saw is the band behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from experiments.telling.series import Mark, Point, Series
from web.console.svg import (
    Scale,
    bounded,
    dot,
    for_both_screens,
    line,
    number,
    svg,
    text,
)

HEIGHT = 230
SMALL_WIDTH, SMALL_HEIGHT = 320, 160

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 18, 30
# While few units have come an interval is so wide that it would flatten all that follows: the
# axis is made for what was seen in the last three quarters of the time.
_SETTLED = 0.25
_ROOM = 1.4
_FEW = 12
_MANY = 40
_MOST_WHISKERS = 24
_APART = 13.0
_DAY_STEPS = (0.1, 0.25, 0.5, 1, 2, 7, 14, 28, 56, 91, 182, 364)


def chart_of(series: Series) -> Markup:
    """Draw a series for wide screens and for phones; empty without a look to draw."""
    if not series.points:
        return Markup("")
    return for_both_screens(lambda width: _drawn(series, width, HEIGHT))


def small_chart_of(series: Series) -> Markup:
    """Draw a series once, small, for paper."""
    return _drawn(series, SMALL_WIDTH, SMALL_HEIGHT) if series.points else Markup("")


def _drawn(series: Series, width: int, height: int) -> Markup:
    points, percent = series.points, series.metric.is_share
    reach = _reach(points, series.marks)
    ends = [
        (bounded(p.low, -reach, reach, -reach), bounded(p.high, -reach, reach, reach))
        for p in points
    ]
    middles = [bounded(p.estimate, -reach, reach, 0.0) for p in points]
    heights = [0.0, *middles, *(end for pair in ends for end in pair)]
    heights += [bounded(mark.value, -reach, reach, 0.0) for mark in series.marks]
    up = Scale.over(heights, height - _BOTTOM, _TOP, pad=0.04)
    across = Scale.over([0.0, *(p.day for p in points)], _LEFT, width - _RIGHT - 6, pad=0.0)
    parts = [*_grid(up, across, width, height, percent=percent)]
    if len(points) > 2:
        upper = [(across(p.day), up(high)) for p, (_low, high) in zip(points, ends, strict=True)]
        lower = [(across(p.day), up(low)) for p, (low, _high) in zip(points, ends, strict=True)]
        parts.append(f'<polygon points="{_path([*upper, *reversed(lower)])}" class="fs-band"/>')
    parts.append(line(_LEFT, up(0.0), width - _RIGHT, up(0.0), "fs-zero"))
    if len(points) > 1:
        places = [(across(p.day), up(v)) for p, v in zip(points, middles, strict=True)]
        parts.append(f'<polyline points="{_path(places)}" class="fs-path"/>')
    crowded = sum(point.could_prove for point in points) > _MOST_WHISKERS
    for point, (low, high), middle in zip(points, ends, middles, strict=True):
        x = across(point.day)
        name = "fs-estimate" if point.could_prove else "fs-idle"
        if (point.could_prove and not crowded) or len(points) <= _FEW:
            parts.append(line(x, up(low), x, up(high), f"{name} fs-whisker"))
        small = 1.5 if len(points) > _MANY else 2.5
        large = 2.5 if crowded else 4.0
        radius = large if point.could_prove else small
        parts.append(dot(x, up(middle), radius, name, _said(point, percent=percent)))
    # Words last: nothing is drawn over them.
    parts += _marked(series.marks, up, width, reach)
    return svg(width, height, series.text, parts)


def _reach(points: Sequence[Point], marks: Sequence[Mark]) -> float:
    since = _SETTLED * points[-1].day
    seen = [
        abs(bounded(end, -1e290, 1e290, 0.0))
        for point in points
        if point.day >= since
        for end in (point.low, point.estimate, point.high)
    ]
    known = [*seen, *(abs(bounded(mark.value, -1e290, 1e290, 0.0)) for mark in marks)]
    return _ROOM * max(*known, 1e-12)


def _grid(up: Scale, across: Scale, width: int, height: int, *, percent: bool) -> list[str]:
    parts = []
    for value in up.ticks():
        parts.append(line(_LEFT, up(value), width - _RIGHT, up(value), "fs-grid"))
        parts.append(text(_LEFT - 8, up(value) + 4, number(value, percent=percent), "end"))
    last = across.last
    most = 5 if width < 400 else 9
    step = next((s for s in _DAY_STEPS if last / s <= most), last / most)
    count = 0
    while count * step <= last * (1 + 1e-9):
        words = "start" if count == 0 else f"day {count * step:g}" if count == 1 else ""
        x = across(count * step)
        parts.append(line(x, height - _BOTTOM, x, height - _BOTTOM + 4, "fs-axis"))
        parts.append(text(x, height - 10, words or f"{count * step:g}", "middle"))
        count += 1
    return parts


def _marked(marks: Sequence[Mark], up: Scale, width: int, reach: float) -> list[str]:
    places = sorted((up(bounded(mark.value, -reach, reach, 0.0)), mark.label) for mark in marks)
    lines = [line(_LEFT, at, width - _RIGHT, at, "fs-goal") for at, _label in places]
    words, lowest, above = [], -math.inf, -math.inf
    for at, label in places:
        # Above its line; below, where the line above it would strike the label through.
        y = at - 5 if at - 5 - _APART >= max(lowest, above) else at + _APART
        y = max(y, lowest + _APART)
        words.append(text(_LEFT + 4, y, label, "start"))
        lowest, above = y, at
    return [*lines, *words]


def _said(point: Point, *, percent: bool) -> str:
    ends = [
        "no bound" if end is None else number(end, percent=percent)
        for end in (point.low, point.high)
    ]
    said = f"look {point.look}, day {point.day:.3g}: {number(point.estimate, percent=percent)}"
    said += f" ({ends[0]} to {ends[1]})"
    return said if point.could_prove else f"{said}, could not prove"


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
