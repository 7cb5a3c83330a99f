"""Back to an earlier revision: one flag, or the whole environment.

The earlier state comes back as a *new* revision. What a flag is everywhere (its variants, their
values) comes back too, since a state without its variants means nothing; a variant that came later
stays only where another environment still serves it. A flag that did not exist then is turned off:
that is what its readers had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flags.conditions import segments_of
from flags.errors import NotFoundError
from flags.workspace import SegmentCopy, Workspace, variants_in_use

_STATE = ("enabled", "killed", "off", "default", "prerequisites", "targets", "rules")


def revert(
    workspace: Workspace, document: Mapping[str, Any], flag_key: str | None, at: str
) -> None:
    """Give a flag, or every flag and segment, the state of an earlier flag set."""
    if flag_key is None:
        _revert_segments(workspace, document)
        for key in workspace.flags:
            if key in document["flags"]:
                _revert_flag(workspace, document["flags"][key], at)
            elif not workspace.flags[key].archived:
                workspace.edit(key, at).state["enabled"] = False
        return
    flag = workspace.edit_archived(flag_key, at)
    if flag_key not in document["flags"]:
        raise NotFoundError(
            f"revision {document['version']} has no flag {flag.key!r}",
            field=f"{at}.revision",
            hint="choose a revision made after the flag",
        )
    _revert_flag(workspace, document["flags"][flag_key], at)
    for rule in flag.state["rules"]:
        for key in segments_of(rule["when"]):
            _bring_back_segment(workspace, document, key)


def _revert_flag(workspace: Workspace, earlier: Mapping[str, Any], at: str) -> None:
    flag = workspace.edit_archived(earlier["key"], at)
    flag.archived = False
    flag.client = earlier["client"]
    metadata = dict(earlier["metadata"])
    flag.owner = metadata.pop("owner", "")
    flag.metadata = metadata
    flag.state = {name: earlier[name] for name in _STATE}
    then = earlier["variants"]
    kept: set[str] = set()
    for state in workspace.elsewhere(flag.key).values():
        kept |= variants_in_use(state)
    variants = {name: then[name] for name in flag.variants if name in then}
    variants |= {name: variant for name, variant in then.items() if name not in variants}
    variants |= {
        name: variant
        for name, variant in flag.variants.items()
        if name not in then and name in kept
    }
    flag.variants = variants


def _revert_segments(workspace: Workspace, document: Mapping[str, Any]) -> None:
    then = document["segments"]
    for key in set(workspace.segments) | set(then):
        segment = workspace.note_segment(key)
        if key not in then:
            del workspace.segments[key]
        elif segment is None:
            workspace.segments[key] = SegmentCopy(key, "", then[key])
        else:
            segment.condition = then[key]


def _bring_back_segment(workspace: Workspace, document: Mapping[str, Any], key: str) -> None:
    if key in document["segments"] and workspace.note_segment(key) is None:
        condition = document["segments"][key]
        workspace.segments[key] = SegmentCopy(key, "", condition)
        for inner in segments_of(condition):
            _bring_back_segment(workspace, document, inner)
