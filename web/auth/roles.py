"""Roles, each with all the rights of the one below."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from flags.errors import InvalidInputError


class Role(StrEnum):
    """What somebody may do.

    ``none`` may not even know that it is there; ``viewer`` reads; ``editor`` writes flags and
    experiments; ``approver`` also approves what others ask for; ``admin`` also people, keys, and
    how many approvals are needed.
    """

    NONE = "none"
    VIEWER = "viewer"
    EDITOR = "editor"
    APPROVER = "approver"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Where the role stands; a higher one has all the rights of a lower one."""
        return _RANK[self]

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what ``needed`` may."""
        return self.rank >= needed.rank


_RANK = {role: rank for rank, role in enumerate(Role)}


# A bare string at the door: ``parse_role`` says which roles there are.
RoleName = Annotated[
    str, Field(max_length=1024, json_schema_extra={"enum": [role.value for role in Role]})
]
# A key without any right would be no key.
KeyRoleName = Annotated[
    str,
    Field(
        max_length=1024,
        json_schema_extra={"enum": [role.value for role in Role if role is not Role.NONE]},
    ),
]


def parse_role(text: str, *, field: str = "role") -> Role:
    """Return the role of that name, or say which ones there are."""
    try:
        return Role(text)
    except ValueError:
        names = ", ".join(Role)
        message = f"there is no role {text!r}"
        raise InvalidInputError(message, field=field, hint=f"one of {names}") from None
