"""The errors that a user of the service can cause, one tree.

::

    FlagstoneError
    ├── InvalidInputError        the request cannot be understood or would break the model
    ├── NotFoundError            there is no such project, environment, flag, ...
    ├── AlreadyExistsError       the key is taken
    ├── VersionConflictError     the resource moved since the caller read it
    ├── NotAllowedError          the caller may not do this
    │   ├── NeedsApprovalError   not before others have approved it
    │   └── OverBudgetError      more than the caller's budget allows
    └── StateError               not possible in the present state of the resource
        ├── NotInvertibleError   what was done is nothing that can be undone
        ├── UndoConflictError    a later change touched what would be undone
        ├── StaleChangeError     a change would not do any more what was approved
        └── NotYetElsewhereError what it serves must be on in another environment first

``web.problems`` turns each class into an HTTP status, by one table.
"""

from __future__ import annotations

from typing import Any


class FlagstoneError(Exception):
    """Base of every error that is the caller's to mend.

    Parameters
    ----------
    message : str
        One sentence that says what is wrong.
    field : str, optional
        Path of the offending input, such as ``instructions[0].rule.when.op``.
    hint : str, optional
        What to do about it.
    """

    code = "error"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class InvalidInputError(FlagstoneError):
    """The input cannot be understood, or would break the model."""

    code = "invalid_input"


class NotFoundError(FlagstoneError):
    """There is no such thing, or the caller may not know of it."""

    code = "not_found"


class AlreadyExistsError(FlagstoneError):
    """The key is taken."""

    code = "already_exists"


class VersionConflictError(FlagstoneError):
    """The resource moved since the caller read it.

    ``conflict`` says what moved, and what the caller's change would have made of what they read
    (:mod:`flags.conflicts`), where that is known.
    """

    code = "version_conflict"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        conflict: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, field=field, hint=hint)
        self.conflict = conflict


class NotAllowedError(FlagstoneError):
    """The caller is known, but may not do this."""

    code = "not_allowed"


class NeedsApprovalError(NotAllowedError):
    """The environment wants this change to be approved by others first."""

    code = "needs_approval"


class OverBudgetError(NotAllowedError):
    """The change does more than the caller's budget allows; the hint says what is left."""

    code = "over_budget"


class StateError(FlagstoneError):
    """Not possible in the present state of the resource."""

    code = "wrong_state"


class NotInvertibleError(StateError):
    """What was done is nothing that can be undone."""

    code = "not_invertible"


class UndoConflictError(StateError):
    """A later change touched what would be undone."""

    code = "undo_conflict"


class NotYetElsewhereError(StateError):
    """What a change serves must have been on in another environment first."""

    code = "not_yet_elsewhere"


class StaleChangeError(StateError):
    """A change would not do any more what was asked for and approved.

    Parameters
    ----------
    approved, present : dict
        The fields that differ, by path: as they were approved, and as they would become now.
    """

    code = "stale"

    def __init__(
        self, message: str, *, approved: dict[str, Any], present: dict[str, Any], hint: str
    ) -> None:
        super().__init__(message, hint=hint)
        self.approved = approved
        self.present = present
