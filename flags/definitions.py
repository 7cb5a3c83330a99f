"""What a change makes of an environment, told so that two moments can be compared.

An approval is of what comes out, not of words: the same instruction does something else once
somebody moved the flag. The definitions are those of the flags and segments that the change
touches, whole and as they would be afterwards, and the conditions of the segments that those flags
rest upon. They leave out version numbers, and other flags: a prerequisite may be on or off, its
owner decides about that. (Whom a change moves is another question: :mod:`flags.effects`.)
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from flags.canonical import same
from flags.conditions import segments_of
from flags.diff import differences
from flags.errors import StaleChangeError
from flags.workspace import FlagCopy, Workspace

Definitions = dict[str, dict[str, Any]]
_MOST_NAMED = 3


def definitions_after(
    workspace: Workspace, flags: Collection[str] = (), segments: Collection[str] = ()
) -> Definitions:
    """Give what was made of the flags and segments of a working copy.

    Parameters
    ----------
    flags, segments : collection of str
        Keys to tell of even if nothing about them changed.
    """
    touched = dict.fromkeys([*workspace.changed_flags(), *flags])
    named = dict.fromkeys([*workspace.changed_segments(), *segments])
    told = {key: _flag(workspace.flags.get(key)) for key in sorted(touched)}
    defined = {
        key: None if (found := workspace.segments.get(key)) is None else found.document()
        for key in sorted(named)
    }
    rests_on = _rests_on(workspace, touched, named)
    # A copy: what is stored must not change with the workspace.
    return copy.deepcopy({"flags": told, "segments": defined, "rests_on": rests_on})


def check_definitions(workspace: Workspace, approved: Mapping[str, Any]) -> None:
    """Refuse if the working copy did not become what was approved.

    Raises
    ------
    StaleChangeError
        With the fields that differ.
    """
    present = definitions_after(workspace, approved["flags"], approved["segments"])
    if same(present, approved):
        return
    was, would_be = differences(dict(approved), present)
    paths = [_short(path) for path in dict.fromkeys([*was, *would_be])]
    named = ", ".join(paths[:_MOST_NAMED])
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    raise StaleChangeError(
        f"the environment moved: this would not do any more what was asked for ({named}{more})",
        approved=was,
        present=would_be,
        hint="edit the change (or send the edit empty) to renew it, and have it approved again",
    )


def _flag(flag: FlagCopy | None) -> dict[str, Any] | None:
    if flag is None:
        return None
    whole = flag.whole()
    del whole["version"]
    # What was not said is not told: what was approved before there were these fields still holds.
    for name, unsaid in (("expires", None), ("kind", "temporary")):
        if whole[name] == unsaid:
            del whole[name]
    return whole


def _rests_on(
    workspace: Workspace, flags: Collection[str], segments: Collection[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting: list[str] = []
    for key in flags:
        if key in workspace.flags:
            for rule in workspace.flags[key].state["rules"]:
                waiting += segments_of(rule["when"])
    for key in segments:
        if key in workspace.segments:
            waiting += segments_of(workspace.segments[key].condition)
    while waiting:
        key = waiting.pop()
        if key in found or key in segments or key not in workspace.segments:
            continue
        found[key] = workspace.segments[key].condition
        waiting += segments_of(found[key])
    return dict(sorted(found.items()))


def _short(path: str) -> str:
    return path.removeprefix("flags.").removeprefix("segments.")
