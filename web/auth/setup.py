"""The first run: a code printed by the service makes the first administrator and project.

Without the code, whoever reaches a fresh service first would own it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlmodel import Session, col, delete, func, select

from flags.actor import Actor
from flags.errors import NotAllowedError, StateError
from flags.services import create_project
from web.auth.models import Setting, User
from web.auth.people import create_user
from web.auth.roles import Role
from web.auth.settings import get_setting, set_setting

SETUP_CODE = "setup_code_hash"


@dataclass(frozen=True)
class FirstRun:
    """Who and what the set-up creates."""

    email: str
    password: str
    name: str = ""
    project_key: str = "default"
    project_name: str = "Default"


def is_set_up(session: Session) -> bool:
    """Whether there is anybody who could sign in."""
    return session.exec(select(func.count()).select_from(User)).one() > 0


def ensure_setup_code(session: Session) -> str | None:
    """Return a fresh one-time code to print, or None once somebody exists.

    Each call makes the codes before it worthless; only a hash is kept.
    """
    if is_set_up(session):
        session.exec(delete(Setting).where(col(Setting.name) == SETUP_CODE))
        return None
    code = "-".join(secrets.token_hex(4) for _ in range(4))
    set_setting(session, SETUP_CODE, _hash(code))
    return code


def complete_setup(session: Session, code: str, first: FirstRun, *, now: dt.datetime) -> User:
    """Create the first administrator, and a project with ``production`` and ``staging``.

    Raises
    ------
    StateError
        Somebody has been here before.
    NotAllowedError
        The code is not the one that the service printed last.
    """
    stored = get_setting(session, SETUP_CODE, lock=True)
    if is_set_up(session):
        message = "the service is set up already"
        raise StateError(message, hint="sign in, or ask an administrator for an account")
    if not isinstance(stored, str) or not hmac.compare_digest(stored, _hash(code.strip())):
        message = "this is not the set-up code"
        hint = "the service prints it when it starts; a restart prints a new one"
        raise NotAllowedError(message, field="code", hint=hint)
    user = create_user(
        session,
        email=first.email,
        password=first.password,
        role=Role.ADMIN,
        name=first.name,
        now=now,
    )
    actor = Actor("user", user.email)
    create_project(session, key=first.project_key, name=first.project_name, actor=actor, now=now)
    session.exec(delete(Setting).where(col(Setting.name) == SETUP_CODE))
    return user


def _hash(code: str) -> str:
    return hashlib.sha256(code.lower().encode("utf-8", "surrogatepass")).hexdigest()
