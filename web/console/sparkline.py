"""How often something happened by the hour, as a picture the size of a word."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_BAR, _GAP, _HEIGHT = 4, 1, 22


def sparkline(hours: Sequence[int], what: str = "exposures") -> Markup:
    """Draw a bar for each hour, the newest on the right, with the total in words."""
    most = max(hours, default=0)
    width = len(hours) * (_BAR + _GAP)
    bars = []
    for place, count in enumerate(hours):
        if count:
            height = max(round(count / most * (_HEIGHT - 2), 1), 1.5)
            bars.append(
                f'<rect x="{place * (_BAR + _GAP)}" y="{_HEIGHT - 1 - height:g}" '
                f'width="{_BAR}" height="{height:g}"/>'
            )
    said = f"{sum(hours):,} {what} in {len(hours)} hours, {most:,} in the busiest"
    return Markup(  # noqa: S704  numbers, and words of ours
        f'<svg class="fs-spark" viewBox="0 0 {width} {_HEIGHT}" width="{width}" '
        f'height="{_HEIGHT}" role="img" aria-label="{said}"><title>{said}</title>'
        f'<path d="M0 {_HEIGHT - 0.5}H{width}"/>{"".join(bars)}</svg>'
    )
