"""Whether somebody who once wrote may still write, for what happens without them.

Names are those of the audit: ``user:ada@example.org``, ``token:ci#7``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlmodel import Session

from flags.models import Environment
from web.auth.members import rights_of
from web.auth.models import Token
from web.auth.people import find_user
from web.auth.roles import Role
from web.auth.tokens import key_of


def may_still_write(
    session: Session, names: Iterable[str], environment: Environment, *, now: dt.datetime
) -> bool:
    """Tell whether one of them is an editor in the environment now.

    Neither a person who was shut out nor a key that was revoked or is over answers for anything.
    """
    return any(_may_write(session, name, environment, now) for name in names)


def _may_write(session: Session, name: str, environment: Environment, now: dt.datetime) -> bool:
    assert environment.id is not None
    kind, _, own = name.partition(":")
    if kind == "user":
        user = find_user(session, own)
        if user is None or user.disabled:
            return False
        role = rights_of(session, user).in_environment(environment.project_id, environment.id)
        return role.covers(Role.EDITOR)
    token = key_of(session, name)
    return token is not None and _opens(token, environment, now)


def _opens(token: Token, environment: Environment, now: dt.datetime) -> bool:
    if (
        token.revoked_at is not None
        or token.role is None
        or not Role(token.role).covers(Role.EDITOR)
    ):
        return False
    if token.expires_at is not None and token.expires_at <= now:
        return False
    if token.project_id not in {None, environment.project_id}:
        return False
    return token.environment_ids is None or environment.id in token.environment_ids
