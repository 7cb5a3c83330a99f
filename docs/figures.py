"""Draw the figures of ``docs/decisions.md``: ``python docs/figures.py`` (part of ``make docs``).

*When it acts* comes from ``stats``: the bounds of the policy ``proof-28d`` for a plan that has a
power of .80 by its deadline. *Worthless changes* comes from the last run in ``benchmarks/README``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from math import sqrt
from pathlib import Path

from stats import Spending, SpendingShape, boundary, inflation_factor
from stats.sequential.drift import fixed_drift

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "figures"
ALPHA, EPSILON, POWER, DAYS = 0.025, 0.1, 0.8, 28
WIDTH = 720
INK, QUIET, GOOD, BAD, GRID = "#1f2933", "#52606d", "#0b6e4f", "#b42318", "#d9e2ec"
# Effects beyond it are drawn at the edge: nobody measures five times the MDE on the first day.
LARGEST = 4.0


def bounds_in_mde() -> tuple[list[float], list[tuple[int, float]]]:
    """Give how bad an effect must look on each day to be stopped, how good each week to ship.

    Returns
    -------
    harm : list of float
        By day, in units of the MDE (negative).
    ship : list of (int, float)
        Day and effect in units of the MDE, at looks that may ship.
    """
    days = [day / DAYS for day in range(1, DAYS + 1)]
    weeks = [day / DAYS for day in range(7, DAYS + 1, 7)]
    harm = boundary(Spending(SpendingShape.KIM_DEMETS, ALPHA, EPSILON, 0.5), days).bounds
    ship = boundary(Spending(SpendingShape.OBRIEN_FLEMING, ALPHA, EPSILON), weeks).bounds
    price = inflation_factor(weeks, ship, alpha=ALPHA, power=POWER)
    # What z an effect as large as the MDE has on average at the deadline.
    drift = fixed_drift(ALPHA, POWER) * sqrt(price)
    return (
        [-bound / (drift * sqrt(time)) for bound, time in zip(harm, days, strict=True)],
        [
            (round(time * DAYS), bound / (drift * sqrt(time)))
            for bound, time in zip(ship, weeks, strict=True)
        ],
    )


def when_it_acts() -> str:
    """Draw on which day what must be measured before something happens by itself."""
    harm, ship = bounds_in_mde()
    left, top, wide, high = 70, 40, WIDTH - 90, 260

    def x(day: float) -> float:
        return left + wide * day / DAYS

    def y(effect: float) -> float:
        inside = max(-LARGEST, min(LARGEST, effect))
        return top + high * (LARGEST - inside) / (2 * LARGEST)

    line = " ".join(f"{x(day):.1f},{y(each):.1f}" for day, each in enumerate(harm, 1))
    parts = [
        _text(left, 20, "How good or bad a change must look before the machine acts", bold=True)
    ]
    for effect, words in ((0, "no difference"), (1, "the least worth having")):
        parts.append(_line(left, y(effect), left + wide, y(effect)))
        parts.append(_text(left + 6, y(effect) - 5, words, QUIET))
    for day in (0, 7, 14, 21, 28):
        parts.append(_line(x(day), top, x(day), top + high))
        parts.append(_text(x(day), top + high + 18, f"day {day}", middle=True))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{BAD}" stroke-width="2.5"/>')
    parts.append(_text(x(9), y(harm[8]) + 28, "below this line: stopped, on that day", BAD))
    for day, effect in ship:
        where = f'cx="{x(day):.1f}" cy="{y(effect):.1f}"'
        parts.append(f'<circle {where} r="5" fill="{GOOD}"/>')
        parts.append(_text(x(day) - 9, y(effect) - 8, f"{effect:.1f} ×", GOOD, end=True))
    parts.append(
        _text(x(8), y(3.4), "at or above a dot: proven, if all guardrails are shown safe", GOOD)
    )
    told = "; ".join(
        f"day {day}: {effect:.1f} times the least worth having" for day, effect in ship
    )
    worse = "; ".join(f"day {day}: {harm[day - 1]:.1f} times" for day in (1, 7, 14, 28))
    return _svg(
        340,
        "How good or bad a change must look before the machine acts",
        f"Proven at or above: {told}. Stopped for harm below: {worse} the least worth having.",
        parts,
    )


def measured_rates() -> list[tuple[str, float, str]]:
    """Read from the last run how many worthless changes each rule shipped, of 1."""
    text = (DOCS.parent / "benchmarks" / "README.md").read_text(encoding="utf-8")
    row = re.search(r"^\| no effect anywhere \|(.*)\|$", text, re.MULTILINE)
    if row is None:
        sys.exit("benchmarks/README.md has no row 'no effect anywhere'")
    cells = [float(each.split()[0].rstrip(";")) for each in row[1].split("|")]
    return [
        ("“Ship unless something lost”", cells[6], QUIET),
        ("“Ship at p < .05”, looked at daily", cells[5], QUIET),
        ("Flagstone (promised: at most 25)", cells[0], GOOD),
    ]


def worthless() -> str:
    """Draw how many of 1,000 worthless changes each rule ships."""
    title = "Of 1,000 changes that do nothing, so many ship"
    left, wide = 250, WIDTH - 330
    parts = [_text(20, 22, title, bold=True)]
    told = []
    for place, (name, rate, colour) in enumerate(measured_rates()):
        y, count = 44 + 34 * place, round(1000 * rate)
        parts.append(_text(left - 10, y + 16, name, end=True))
        parts.append(
            f'<rect x="{left}" y="{y}" width="{wide * rate:.1f}" height="22" fill="{colour}"/>'
        )
        parts.append(_text(left + wide * rate + 8, y + 16, f"{count:,}", colour, bold=True))
        told.append(f"{name}: {count}")
    return _svg(150, title, "; ".join(told) + ".", parts)


def _text(
    x: float,
    y: float,
    words: str,
    colour: str = INK,
    *,
    end: bool = False,
    middle: bool = False,
    bold: bool = False,
) -> str:
    anchor = ' text-anchor="end"' if end else ' text-anchor="middle"' if middle else ""
    weight = ' font-weight="600"' if bold else ""
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{anchor}{weight}>{escaped}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{GRID}"/>'


def _svg(height: int, title: str, description: str, parts: Iterable[str]) -> str:
    escaped = [each.replace("&", "&amp;").replace("<", "&lt;") for each in (title, description)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
            '     aria-labelledby="title description" font-family="sans-serif" font-size="14">',
            f'<title id="title">{escaped[0]}</title>',
            f'<desc id="description">{escaped[1]}</desc>',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


FIGURES = {"when-it-acts.svg": when_it_acts, "worthless.svg": worthless}


def main(arguments: Sequence[str]) -> int:
    """Write the figures; with ``--check`` only say which differ."""
    FOLDER.mkdir(exist_ok=True)
    wrong = []
    for name, draw in FIGURES.items():
        path, drawn = FOLDER / name, draw()
        if "--check" not in arguments:
            path.write_text(drawn, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != drawn:
            wrong.append(name)
    for name in wrong:
        sys.stderr.write(f"docs/figures/{name} is not what is drawn now: make docs\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
