"""A/A tests of conversions: how often what does nothing is shipped, or stopped for harm."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.calibrations.line import Finding, Line, Run
from benchmarks.calibrations.paths import Design, Sides, of_conversions


def rates_of_sides(
    run: Run,
    what: str,
    found: tuple[Sides, Sides | None],
    limits: dict[str, tuple[float, float]],
) -> Iterator[Finding]:
    """Report how often each side that has limits was ever crossed."""
    ours, theirs = found
    for side, name in (("down", "harm"), ("up", "ship")):
        if name in limits:
            low, high = limits[name]
            peer = None if theirs is None else getattr(theirs, side) >= 0
            hit = getattr(ours, side) >= 0
            yield run.share(f"{what}: {name}", hit, at_least=low, at_most=high, peer=peer)


def a1(run: Run) -> Iterator[Finding]:
    found = of_conversions(run, Design(looks_per_day=4), (0.10, 0.10), 0)
    limits = {"harm": (0.015, 0.030), "ship": (0.015, 0.030)}
    yield from rates_of_sides(run, "10 %, 50/50", found, limits)


def a2(run: Run) -> Iterator[Finding]:
    for k, (split, name) in enumerate(((0.05, "95/5"), (0.5, "50/50"))):
        design = Design(split, looks_per_day=4)
        found = of_conversions(run, design, (0.01, 0.01), k)
        yield from rates_of_sides(run, f"1 %, {name}", found, {"harm": (0.0, 0.030)})
    # Not among the document's criteria, but in 1.2: what the skewness correction and its cap are
    # for. A small arm's rare errors come in lumps, and a huge gain of a small arm is no harm.
    small = Design(0.05, looks_per_day=4)
    found = of_conversions(run, small, (0.01, 0.01), 2, direction="down")
    yield from rates_of_sides(run, "1 % errors, 95/5", found, {"harm": (0.0, 0.030)})
    found = of_conversions(run, small, (0.001, 0.005), 3)
    yield from rates_of_sides(run, "five times 0.1 %, 95/5", found, {"harm": (0.0, 0.030)})


def a7(run: Run) -> Iterator[Finding]:
    found = of_conversions(run, Design(days=84), (0.10, 0.10), 0)
    limits = {"harm": (0.0, 0.030), "ship": (0.0, 0.030)}
    yield from rates_of_sides(run, "10 %, 50/50, three horizons", found, limits)


LINES = (
    Line("A1", "A/A conversion, 28 days of 4 looks", a1),
    Line("A2", "A/A rare conversion, 28 days of 4 looks", a2),
    Line("A7", "A/A conversion, extended to three horizons", a7),
)
