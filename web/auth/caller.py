"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from flags.actor import Actor
from flags.errors import NotAllowedError, NotFoundError
from web.auth.models import Token, User
from web.auth.rights import Rights
from web.auth.roles import Role


@dataclass(frozen=True)
class Caller:
    """A signed-in person or a ``usr`` key.

    Attributes
    ----------
    actor : Actor
        How the audit names them: ``user:ada@example.org``, ``token:ci#7``.
    role : Role
        What they may do where nothing more specific is said.
    rights : Rights
        What they may do where.
    project_id : int or None
        The only project that a key may touch; None: any in which it has a role.
    session_id : str or None
        The browser's session, when that is how they are known.
    user_id, token_id : int or None
        The row behind them; exactly one is set.
    """

    actor: Actor
    role: Role
    rights: Rights
    project_id: int | None = None
    session_id: str | None = None
    user_id: int | None = None
    token_id: int | None = None

    @classmethod
    def of_user(cls, user: User, session_id: str, rights: Rights | None = None) -> Caller:
        """Return the caller for a signed-in person."""
        role = Role(user.role)
        return cls(
            Actor("user", user.email),
            role,
            rights or Rights(role),
            session_id=session_id,
            user_id=user.id,
        )

    @classmethod
    def of_token(cls, token: Token) -> Caller:
        """Return the caller for a ``usr`` key; its number tells namesakes apart."""
        assert token.role is not None
        role = Role(token.role)
        rights = Rights(role)
        if token.project_id is not None:
            rights = Rights(Role.NONE, {token.project_id: role})
            if token.environment_ids is not None:
                only = dict.fromkeys(token.environment_ids, (token.project_id, role))
                rights = Rights(Role.NONE, {}, only)
        return cls(
            Actor("token", f"{token.name}#{token.id}"),
            role,
            rights,
            project_id=token.project_id,
            token_id=token.id,
        )

    @property
    def principal(self) -> str:
        """Who this is for counting and remembering, whatever they are called."""
        return f"user:{self.user_id}" if self.user_id is not None else f"token:{self.token_id}"

    def require(self, needed: Role) -> None:
        """Refuse what belongs to no project, unless the role for everything covers it."""
        # Who they are and which projects they have, everybody may ask who is known.
        if needed is not Role.VIEWER:
            refuse_unless(self.role, needed)

    def require_project(self, project_id: int | None, project_key: str) -> None:
        """Refuse a project in which the caller has no role, as if there were none of that name."""
        if project_id is None or not self.rights.highest_in(project_id).covers(Role.VIEWER):
            message = f"there is no project {project_key!r}"
            raise NotFoundError(message, field="project")

    def require_everywhere(self) -> None:
        """Refuse a key that is good for one project where all of them are concerned."""
        if self.project_id is not None:
            message = "this key is good for one project only"
            raise NotAllowedError(message, hint="use a key without a project")


def refuse_unless(role: Role, needed: Role, where: str = "") -> None:
    """Refuse unless a role covers the needed one."""
    if not role.covers(needed):
        here = f" in {where}" if where else ""
        message = f"this needs the role {needed}{here}; you are {role}"
        raise NotAllowedError(message, hint="ask an administrator")
