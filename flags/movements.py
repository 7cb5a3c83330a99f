"""A change in every environment that it alters: the documents on either side, and the whole after.

What a flag is everywhere changes every environment; its state changes the one alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from flags.models import Environment
from flags.publish import flag_set_document, load_flags, load_segments, validate
from flags.workspace import FlagCopy, SegmentCopy, Workspace
from flagstone.engine import FlagSet


@dataclass(frozen=True, slots=True)
class Movement:
    """One environment on either side of a change.

    ``before`` holds the documents of the flags that differ, ``None`` where one was not published;
    ``segments_before`` likewise. ``after`` is what would be published, and ``flags`` and
    ``segments`` the same as copies.
    """

    environment: Environment
    before: Mapping[str, dict[str, Any] | None]
    segments_before: Mapping[str, Any]
    after: FlagSet
    flags: Mapping[str, FlagCopy]
    segments: Mapping[str, SegmentCopy]

    def document(self, key: str) -> dict[str, Any] | None:
        """Give a flag as it would be published."""
        flag = self.flags.get(key)
        return None if flag is None else document_or_none(flag)


def document_or_none(flag: FlagCopy) -> dict[str, Any] | None:
    """Give a flag as it is published; None for an archived one."""
    return None if flag.archived else flag.document()


def movements(
    session: Session, workspace: Workspace, environment: Environment, others: list[Environment]
) -> Iterator[Movement]:
    """Give the environments that the change of a working copy alters, its own first."""
    yield Movement(
        environment,
        {key: document_or_none(workspace.flags_before[key]) for key in workspace.changed_flags()},
        {
            key: (old := workspace.segments_before[key]) and old.document()
            for key in workspace.changed_segments()
        },
        _validated(environment, workspace.flags, workspace.segments),
        workspace.flags,
        workspace.segments,
    )
    shared = workspace.changed_everywhere()
    for other in others if shared else []:
        there, segments = load_flags(session, other), load_segments(session, other)
        before = {key: document_or_none(there[key]) for key in shared}
        for key in shared:
            there[key].adopt(workspace.flags[key])
        after = _validated(other, there, segments)
        yield Movement(other, before, {}, after, there, segments)


def _validated(
    environment: Environment, flags: dict[str, FlagCopy], segments: dict[str, SegmentCopy]
) -> FlagSet:
    return validate(flag_set_document(environment.key, environment.revision + 1, flags, segments))
