"""A flag's story drawn: one time axis, a lane for each kind of event, people and a metric."""

from __future__ import annotations

import datetime as dt

from markupsafe import Markup

from experiments.people.story import LANES, LOOK, Story
from flags.words import to_the_minute
from web.console.svg import Scale, bounded, dot, for_both_screens, line, number, svg, text

_LANE, _PANEL, _LEFT, _RIGHT, _BELOW = 34, 84, 12, 14, 24
_HOUR = dt.timedelta(hours=1)
_MARKS = {"alarm": "fs-bad-mark", "look": "fs-idle", "approval": "fs-wait-mark"}


def draw(story: Story, now: dt.datetime) -> Markup:
    """Draw a story for wide screens and for phones; empty without anything to draw."""
    if not story.events:
        return Markup("")
    return for_both_screens(lambda width: _drawn(story, width, now))


def _drawn(story: Story, width: int, now: dt.datetime) -> Markup:
    lanes = [lane for lane in LANES if any(event.lane == lane for event in story.events)]
    begin = min(event.at for event in story.events)
    end = max(now, *(event.at for event in story.events))
    if end == begin:
        begin -= dt.timedelta(hours=1)
    across = Scale(begin.timestamp(), end.timestamp(), _LEFT, width - _RIGHT)
    exposed = [each for each in story.exposures if each[0] + _HOUR > begin]
    panels = (
        bool(exposed)
        + (len(story.seen) > 1)
        + (story.metric is not None and len(story.metric.points) > 1)
    )
    bottom = _LANE * len(lanes) + _PANEL * panels + 8
    parts = _axis(across, begin, end, bottom, width)
    for place, lane in enumerate(lanes):
        y = _LANE * place + 26.0
        parts.append(line(_LEFT, y, width - _RIGHT, y, "fs-grid"))
        parts.append(text(_LEFT, y - 10, LANES[lane], "start"))
        if lane == LOOK:
            said = "a look"
            parts += [
                dot(across(each.at.timestamp()), y, 3, "fs-idle", said) for each in story.seen
            ]
        for event in reversed(story.events):
            if event.lane == lane:
                said = f"{to_the_minute(event.at)}: {event.words}"
                x = across(event.at.timestamp())
                parts.append(dot(x, y, 5, _MARKS.get(lane, "fs-estimate"), said))
    top = float(_LANE * len(lanes) + 8)
    if exposed:
        parts += _exposures(exposed, across, begin, end, top)
        top += _PANEL
    if len(story.seen) > 1:
        parts += _people(story, across, top, width)
        top += _PANEL
    if panels > bool(exposed) + (len(story.seen) > 1):
        parts += _metric(story, across, top, width)
    return svg(width, bottom + _BELOW, said_of(story, begin, end), parts)


def said_of(story: Story, begin: dt.datetime, end: dt.datetime) -> str:
    """Say what the drawing shows, for those who do not see it."""
    counted = [
        f"{words.lower()}: {count}"
        for lane, words in LANES.items()
        if (count := sum(event.lane == lane for event in story.events))
    ]
    said = f"From {to_the_minute(begin)} to {to_the_minute(end)}. {', '.join(counted)}."
    if story.exposures:
        total = sum(count for _, count in story.exposures)
        said += f" {total:,} exposures in the last 48 hours."
    if story.seen:
        said += f" {story.seen[-1].people:,} people counted in the experiment."
    if story.metric is not None:
        said += f" {story.metric.text}"
    return f"{said} The table below says the same."


def _axis(
    across: Scale, begin: dt.datetime, end: dt.datetime, bottom: float, width: int
) -> list[str]:
    count = 3 if width < 400 else 5
    shape = "%d %b" if end - begin > dt.timedelta(days=2) else "%H:%M"
    parts = [line(_LEFT, bottom, width - _RIGHT, bottom, "fs-axis")]
    for step in range(count):
        at = begin + (end - begin) * step / (count - 1)
        x = across(at.timestamp())
        anchor = "start" if step == 0 else "end" if step == count - 1 else "middle"
        parts.append(line(x, 6, x, bottom + 4, "fs-grid"))
        parts.append(text(x, bottom + 18, f"{at:{shape}}".lstrip("0"), anchor))
    return parts


def _exposures(
    hours: list[tuple[dt.datetime, int]],
    across: Scale,
    begin: dt.datetime,
    end: dt.datetime,
    top: float,
) -> list[str]:
    most = max(count for _, count in hours)
    up = Scale(0, most, top + _PANEL - 14, top + 22)
    parts = [text(_LEFT, top + 12, f"Exposures by the hour (up to {most:,})", "start")]
    for at, count in hours:
        left = across(max(at, begin).timestamp())
        right = across(min(at + _HOUR, end).timestamp())
        wide, high = max(right - left - 0.5, 1.0), up(0) - up(count)
        parts.append(
            f'<rect x="{left:.1f}" y="{up(count):.1f}" width="{wide:.1f}" height="{high:.1f}" '
            'class="fs-interval"/>'
        )
    return parts


def _people(story: Story, across: Scale, top: float, width: int) -> list[str]:
    most = max(seen.people for seen in story.seen) or 1
    up = Scale(0, most, top + _PANEL - 14, top + 22)
    began = story.experiment.started_at if story.experiment is not None else None
    places = [] if began is None else [(across(began.timestamp()), up(0))]
    places += [(across(seen.at.timestamp()), up(seen.people)) for seen in story.seen]
    return [
        line(_LEFT, up(0), width - _RIGHT, up(0), "fs-grid"),
        f'<polyline points="{_path(places)}" class="fs-path"/>',
        text(_LEFT, top + 12, f"People in the experiment (up to {most:,})", "start"),
    ]


def _metric(story: Story, across: Scale, top: float, width: int) -> list[str]:
    assert story.metric is not None
    assert story.experiment is not None
    began = story.experiment.started_at
    if began is None:
        return []
    points = story.metric.points
    reach = 1.3 * max(*(abs(point.estimate) for point in points), 1e-12)
    up = Scale(-reach, reach, top + _PANEL - 14, top + 22)
    upper, lower, middle = [], [], []
    for point in points:
        x = across(began.timestamp() + point.day * story.day_seconds)
        upper.append((x, up(bounded(point.high, -reach, reach, reach))))
        lower.append((x, up(bounded(point.low, -reach, reach, -reach))))
        middle.append((x, up(point.estimate)))
    newest = number(points[-1].estimate, percent=story.metric.metric.is_share)
    return [
        f'<polygon points="{_path([*upper, *reversed(lower)])}" class="fs-band"/>',
        line(_LEFT, up(0), width - _RIGHT, up(0), "fs-zero"),
        f'<polyline points="{_path(middle)}" class="fs-path"/>',
        text(_LEFT, top + 12, f"{story.metric.title}: {newest}", "start"),
    ]


def _path(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
