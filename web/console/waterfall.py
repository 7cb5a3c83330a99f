"""The waterfall: what was predicted, what of it was proven, and what of that was realised."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from experiments.contract.money import money_text
from experiments.value.ledger import Waterfall
from web.console.words import whole

WIDE = 640
NARROW = 340
HEIGHT = 210
_STEPS = ("predicted", "proven", "realised")


def totals(falls: Sequence[Waterfall]) -> dict[str, tuple[dict[str, int], dict[str, int]]]:
    """Add up each step by currency, and count the experiments that have reached it."""
    found: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
    for fall in falls:
        amounts, counts = found.setdefault(
            fall.currency, (dict.fromkeys(_STEPS, 0), dict.fromkeys(_STEPS, 0))
        )
        for step in _STEPS:
            amount = getattr(fall, step)
            if amount is not None:
                amounts[step] += amount
                counts[step] += 1
    return dict(sorted(found.items()))


def said(amounts: dict[str, int], counts: dict[str, int], currency: str) -> str:
    """Say the drawing in words."""
    parts = [
        f"{step} {whole(money_text(amounts[step], currency))} in {_experiments(counts[step])}"
        for step in _STEPS
    ]
    return "; ".join(parts)


def chart_of_steps(amounts: dict[str, int], counts: dict[str, int], currency: str) -> Markup:
    """Draw three bars from one line of zero, twice: for wide screens and for phones."""
    return _draw(amounts, counts, currency, WIDE) + _draw(amounts, counts, currency, NARROW)


def _draw(amounts: dict[str, int], counts: dict[str, int], currency: str, width: int) -> Markup:
    top, bottom = 34, HEIGHT - 40
    most, least = max(0, *amounts.values()), min(0, *amounts.values())
    span = (most - least) or 1

    def up(amount: int) -> float:
        return bottom - (amount - least) / span * (bottom - top)

    zero, room = up(0), width / len(_STEPS)
    parts = [f'<line x1="0" y1="{zero:.1f}" x2="{width}" y2="{zero:.1f}" class="fs-zero"/>']
    for place, step in enumerate(_STEPS):
        middle = (place + 0.5) * room
        edge, wide = up(amounts[step]), room * 0.5
        high, low = min(edge, zero), max(edge, zero)
        name = "fs-loss" if amounts[step] < 0 else "fs-interval"
        text = whole(money_text(amounts[step], currency)) if counts[step] else "none yet"
        tall = max(low - high, 1)
        place_of_bar = f'x="{middle - wide / 2:.1f}" y="{high:.1f}" width="{wide:.1f}"'
        parts += [
            f'<rect {place_of_bar} height="{tall:.1f}" class="{name}"/>',
            _text(middle, high - 6, text),
            _text(middle, HEIGHT - 20, step),
            _text(middle, HEIGHT - 4, _experiments(counts[step])),
        ]
    name = "fs-chart fs-wide" if width == WIDE else "fs-chart fs-phone"
    return Markup(  # noqa: S704  every text in parts is escaped where it enters
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" class="{name}" '
        f'aria-label="{escape(said(amounts, counts, currency))}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(words)}</text>'


def _experiments(count: int) -> str:
    return f"{count} experiment{'' if count == 1 else 's'}"
