"""SVG drawn by the server: scales, lines and texts that both themes and every printer can show.

Colours come from classes, never from attributes, so that both themes and the content security
policy hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDE = 640
NARROW = 340


def for_both_screens(draw: Callable[[int], Markup]) -> Markup:
    """Draw once for wide screens and once for phones."""
    # One drawing that shrinks would make its letters unreadable on a phone; the style sheet shows
    # the one that fits, and hides the other from readers of the screen too.
    return draw(WIDE) + draw(NARROW)


def bounded(value: float | None, least: float, most: float, otherwise: float) -> float:
    """Keep a number within bounds, whatever it is."""
    if value is None or not math.isfinite(value):
        return otherwise
    return min(max(float(value), least), most)


def number(value: float, *, percent: bool) -> str:
    """Write a difference for an axis, with its sign."""
    if value == 0:
        return "0"
    shown = value * 100 if percent else value
    sign = "+" if shown > 0 else "−"
    return f"{sign}{abs(shown):.3g}{' pt' if percent else ''}"


@dataclass(frozen=True)
class Scale:
    """A straight line from values to places on the page."""

    first: float
    last: float
    begin: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float, *, pad: float) -> Scale:
        """Span all values, with some air at both ends."""
        first, last = min(values), max(values)
        if first == last:
            last = first + 1.0
        air = (last - first) * pad
        return cls(first - air, last + air, begin, end)

    def __call__(self, value: float) -> float:
        """Give the place of a value."""
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


def line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    """Draw a line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{name}"/>'


def dot(x: float, y: float, radius: float, name: str, said: str) -> str:
    """Draw a dot that says what it is."""
    title = f"<title>{escape(said)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{name}">{title}</circle>'


def bar(x: float, y: float, width: float, height: float) -> str:
    """Draw an interval."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" '
        'class="fs-interval"/>'
    )


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Write words; they are escaped here."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def anchor_inside(x: float, wanted: str, width: int) -> str:
    """Choose on which side of a place its words fit on the page."""
    room = 130 / width
    if wanted == "start" and x > width * (1 - room):
        return "end"
    if wanted == "end" and x < width * room:
        return "start"
    return wanted


def svg(width: int, height: int, said: str, parts: Sequence[str]) -> Markup:
    """Put parts together as a picture with a spoken alternative."""
    screen = {WIDE: " fs-wide", NARROW: " fs-phone"}.get(width, "")
    return Markup(  # noqa: S704  every text in parts is escaped where it enters
        f'<svg viewBox="0 0 {width} {height}" role="img" class="fs-chart{screen}" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )
