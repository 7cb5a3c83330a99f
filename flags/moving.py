"""From a change of one environment, and its sample, to whom it moves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from flags.context_samples import load_sample
from flags.effects import Effect, effect_of
from flags.models import Environment
from flagstone.engine import FlagSet, parse_condition, parse_flag


def effect_in(
    session: Session,
    environment: Environment,
    after: FlagSet,
    flags_before: Mapping[str, dict[str, Any] | None],
    segments_before: Mapping[str, Any],
    now: dt.datetime,
) -> Effect:
    """Say whom a change moves in one environment.

    Parameters
    ----------
    after : FlagSet
        What would be published.
    flags_before, segments_before : mapping
        Documents of what differs, as they were; ``None`` where there was nothing.
    now : datetime
        When the sample is evaluated.
    """
    assert environment.id is not None
    return effect_of(
        before_of(after, flags_before, segments_before, environment),
        after,
        load_sample(session, environment.id, now=now),
        flags=flags_before,
        segments=segments_before,
        now=now.timestamp(),
    )


def before_of(
    after: FlagSet,
    flags_before: Mapping[str, dict[str, Any] | None],
    segments_before: Mapping[str, Any],
    environment: Environment,
) -> FlagSet:
    """Give the flag set before a change, from the one after it and the documents that differ."""
    # The rest is shared with the flag set after the change, since reading it is slow.
    flags, segments = dict(after.flags), dict(after.segments)
    for key, document in flags_before.items():
        flags.pop(key, None)
        if document is not None:
            flags[key] = parse_flag(document)
    for key, old in segments_before.items():
        segments.pop(key, None)
        if old is not None:
            segments[key] = parse_condition(old["condition"])
    return FlagSet(flags, segments, after.environment, environment.revision)
