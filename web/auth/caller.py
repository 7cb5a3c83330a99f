"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from flags.actor import Actor
from flags.errors import NotAllowedError, NotFoundError
from web.auth.models import Token, User
from web.auth.roles import Role


@dataclass(frozen=True)
class Caller:
    """A signed-in person or a ``usr`` key.

    Attributes
    ----------
    actor : Actor
        How the audit names them: ``user:ada@example.org``, ``token:ci#7``.
    role : Role
        What they may do.
    project_id : int or None
        The only project that they may touch; None: all of them.
    session_id : str or None
        The browser's session, when that is how they are known.
    user_id, token_id : int or None
        The row behind them; exactly one is set.
    """

    actor: Actor
    role: Role
    project_id: int | None = None
    session_id: str | None = None
    user_id: int | None = None
    token_id: int | None = None

    @classmethod
    def of_user(cls, user: User, session_id: str) -> Caller:
        """Return the caller for a signed-in person."""
        return cls(
            Actor("user", user.email), Role(user.role), session_id=session_id, user_id=user.id
        )

    @classmethod
    def of_token(cls, token: Token) -> Caller:
        """Return the caller for a ``usr`` key; its number tells namesakes apart."""
        assert token.role is not None
        return cls(
            Actor("token", f"{token.name}#{token.id}"),
            Role(token.role),
            project_id=token.project_id,
            token_id=token.id,
        )

    @property
    def principal(self) -> str:
        """Who this is for counting and remembering, whatever they are called."""
        return f"user:{self.user_id}" if self.user_id is not None else f"token:{self.token_id}"

    def require(self, needed: Role) -> None:
        """Refuse unless the role covers the needed one."""
        if not self.role.covers(needed):
            message = f"this needs the role {needed}; you are {self.role}"
            raise NotAllowedError(message, hint="ask an administrator")

    def require_project(self, project_id: int | None, project_key: str) -> None:
        """Refuse another project than the key's own, as if there were none of that name."""
        if self.project_id is not None and self.project_id != project_id:
            message = f"there is no project {project_key!r}"
            raise NotFoundError(message, field="project")

    def require_everywhere(self) -> None:
        """Refuse a key that is good for one project where all of them are concerned."""
        if self.project_id is not None:
            message = "this key is good for one project only"
            raise NotAllowedError(message, hint="use a key without a project")
