"""A change done to a working copy: every instruction, and what must hold of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flags.canonical import canonical_bytes
from flags.conflicts import base_of_flag, conflict_of
from flags.edits import apply_instruction, refuse_cycle
from flags.errors import FlagstoneError, InvalidInputError, VersionConflictError
from flags.instructions import Change, PutState, Undo
from flags.inversion import check_undone
from flags.models import Environment
from flags.plain import MAX_FLAG_BYTES
from flags.references import check_references
from flags.workspace import Workspace

_READ_AGAIN = "read it again, and decide anew"


def do_change(workspace: Workspace, change: Change) -> None:
    """Do every instruction, then ask what only the whole must hold.

    Raises
    ------
    InvalidInputError
        The workspace may then be changed in part: nobody may write it.
    """
    for index, instruction in enumerate(change.instructions):
        apply_instruction(workspace, instruction, f"instructions[{index}]")
    # Only now: an instruction may name a segment that a later one adds.
    check_references(workspace, change)
    for index, instruction in enumerate(change.instructions):
        # Two states that are put one after the other may be a circle in between.
        if isinstance(instruction, PutState):
            refuse_cycle(workspace, instruction.flag, f"instructions[{index}].prerequisites")
    if any(isinstance(instruction, Undo) for instruction in change.instructions):
        check_undone(workspace)
    _check_sizes(workspace)


def _check_sizes(workspace: Workspace) -> None:
    for key in workspace.changed_flags():
        size = len(canonical_bytes(workspace.flags[key].document()))
        if size > MAX_FLAG_BYTES:
            raise InvalidInputError(
                f"flag {key!r} would take {size:,} bytes; at most {MAX_FLAG_BYTES:,} are allowed",
                field="instructions",
                hint="use fewer target keys, or smaller values",
            )


def anticipate(load: Callable[[], Workspace], changes: Sequence[Change]) -> Workspace:
    """Give the environment as changes will have left it, without those that will fail."""
    workspace, done = load(), list[Change]()
    for change in changes:
        try:
            do_change(workspace, change)
        except FlagstoneError:
            # It was done in part: begin again with those before it.
            workspace = load()
            for each in done:
                do_change(workspace, each)
        else:
            done.append(change)
    workspace.settle()
    return workspace


def check_versions(
    environment: Environment,
    workspace: Workspace,
    change: Change,
    expected_version: int | None,
    expected_flag_versions: Mapping[str, int] | None,
) -> None:
    """Refuse a change that was decided on what is not there any more.

    Raises
    ------
    VersionConflictError
        With what each side changed since.
    """
    newest = environment.revision
    if expected_version is not None and expected_version != environment.revision:
        raise VersionConflictError(
            f"environment {environment.key!r} is at revision {environment.revision}, "
            f"and not at {expected_version} any more",
            hint=_READ_AGAIN,
            conflict=conflict_of(workspace, change, expected_version, newest),
        )
    for key, expected in (expected_flag_versions or {}).items():
        flag = workspace.flags.get(key)
        if flag is not None and flag.version != expected:
            base = base_of_flag(workspace, key, expected, newest)
            raise VersionConflictError(
                f"flag {key!r} is at version {flag.version} in {environment.key!r}, "
                f"and not at {expected} any more",
                hint=_READ_AGAIN,
                conflict=None if base is None else conflict_of(workspace, change, base, newest),
            )
