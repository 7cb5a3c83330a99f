"""What a change is worth, drawn: its interval against doing nothing, and the break-even mark."""

from __future__ import annotations

from markupsafe import Markup

from experiments.telling.card import Worth
from web.console.svg import Scale, anchor_inside, bar, for_both_screens, line, svg, text

AXIS_HEIGHT = 74


def axis_of_worth(worth: Worth) -> Markup | None:
    """Draw the interval against doing nothing, with the break-even mark on the same axis."""
    estimate = worth.estimate
    if estimate is None:
        return None
    marks = [0.0, estimate]
    marks += [v for v in (worth.low, worth.high, worth.break_even) if v is not None]

    def draw(width: int) -> Markup:
        scale = Scale.over(marks, 20, width - 20, pad=0.12)
        middle = 34
        low = scale(worth.low) if worth.low is not None else 0.0
        high = scale(worth.high) if worth.high is not None else float(width)
        zero = scale(0.0)
        parts = [
            line(0, middle, width, middle, "fs-axis"),
            line(zero, 12, zero, 56, "fs-zero"),
            text(min(max(zero, 45.0), width - 45.0), 70, "doing nothing", "middle"),
            bar(low, middle - 6, max(high - low, 2.0), 12),
            f'<circle cx="{scale(estimate):.1f}" cy="{middle}" r="7" class="fs-estimate"/>',
        ]
        if worth.break_even is not None and worth.break_even != 0.0:
            at = scale(worth.break_even)
            parts.append(line(at, 12, at, 56, "fs-goal"))
            label = worth.break_even_label or "break-even"
            # Beside the other label, not upon it.
            anchor = "start" if at >= zero else "end"
            parts.append(text(at, 9, label, anchor_inside(at, anchor, width)))
        return svg(width, AXIS_HEIGHT, worth.text, parts)

    return for_both_screens(draw)
