"""What stands between what a caller read and what is there now: a three-way difference.

From the revision that the caller read (the base) to what is there now (theirs), and from the base
to what the caller's change would have made of it (yours), field by field. Where no field is in
both, the same change can be sent again as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from flags.diff import differences
from flags.edits import apply_instruction
from flags.errors import FlagstoneError, NotFoundError
from flags.instructions import Change
from flags.reverts import revert
from flags.workspace import Workspace

Documents = dict[str, dict[str, Any]]


def conflict_of(
    workspace: Workspace, change: Change, base_number: int, newest_number: int
) -> dict[str, Any] | None:
    """Compare base, theirs and yours; None where there is no such base.

    The working copies are used up: nothing may be done with them afterwards.
    """
    if not 1 <= base_number < newest_number:
        return None
    try:
        base_set = workspace.earlier(base_number)
    except NotFoundError:
        return None
    live = _plain({key: flag.document() for key, flag in workspace.live_flags().items()})
    then = _plain(base_set["flags"])
    touched = {key for key in (getattr(each, "flag", None) for each in change.instructions) if key}
    theirs = differences(_only(then, touched), _only(live, touched))
    found: dict[str, Any] = {
        "base": base_number,
        "newest": newest_number,
        "theirs": {"before": theirs[0], "after": theirs[1]},
        "elsewhere": sorted(
            key for key in (then.keys() | live.keys()) - touched if then.get(key) != live.get(key)
        ),
        "yours": None,
        "both": [],
    }
    try:
        yours = _yours(workspace, change, base_set, touched)
    except FlagstoneError as error:
        return {**found, "reason": error.message}
    found["yours"] = {"before": yours[0], "after": yours[1]}
    found["both"] = sorted(_paths(theirs) & _paths(yours))
    return found


def conflict_without_base(theirs: Mapping[str, Any], yours: Mapping[str, Any]) -> dict[str, Any]:
    """Compare what is there with what was to replace it, where what the caller read is not kept."""
    return {
        "base": None,
        "newest": None,
        "theirs": {"before": {}, "after": dict(theirs)},
        "yours": {"before": {}, "after": dict(yours)},
        "both": sorted(name for name in yours if name in theirs and theirs[name] != yours[name]),
        "elsewhere": [],
    }


def base_of_flag(
    workspace: Workspace, flag_key: str, version: int, newest_number: int
) -> int | None:
    """Return the newest revision in which a flag had a version, None if it never had it.

    A flag's version never falls from one revision to the next, so that halving finds it.
    """
    low, high, base = 1, newest_number, None
    while low <= high:
        middle = (low + high) // 2
        try:
            flag = workspace.earlier(middle)["flags"].get(flag_key)
        except NotFoundError:
            return None
        there = 0 if flag is None else flag["version"]
        if there <= version:
            base = middle if flag is not None and there == version else base
            low = middle + 1
        else:
            high = middle - 1
    return base


def _yours(
    workspace: Workspace, change: Change, base_set: Mapping[str, Any], touched: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    keys = [key for key in touched if key in base_set["flags"] and key in workspace.flags]
    for key in keys:
        revert(workspace, copy.deepcopy(base_set), key, "instructions")
    before = _plain({key: workspace.flags[key].document() for key in keys})
    for index, instruction in enumerate(change.instructions):
        apply_instruction(workspace, instruction, f"instructions[{index}]")
    after = {key: workspace.flags[key] for key in keys}
    return differences(
        before, _plain({key: flag.document() for key, flag in after.items() if not flag.archived})
    )


def _plain(documents: Mapping[str, Mapping[str, Any]]) -> Documents:
    # Versions count changes; here the changes themselves are told. Copied, since edits are done in
    # place.
    return {
        key: {name: copy.deepcopy(value) for name, value in each.items() if name != "version"}
        for key, each in documents.items()
    }


def _only(documents: Documents, keys: Iterable[str]) -> Documents:
    return {key: documents[key] for key in keys if key in documents}


def _paths(pair: tuple[dict[str, Any], dict[str, Any]]) -> set[str]:
    return pair[0].keys() | pair[1].keys()
