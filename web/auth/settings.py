"""Values that the service keeps for itself in the database: secrets and one-time codes."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from web.auth.models import Setting

SIGNING_SECRET = "signing_secret"  # noqa: S105  the name of the setting


def get_setting(session: Session, name: str, *, lock: bool = False) -> object:
    """Return a setting's value, or None; ``lock`` holds it until the transaction's end."""
    query = select(Setting).where(Setting.name == name)
    if lock:
        query = query.with_for_update()
    setting = session.exec(query).one_or_none()
    return None if setting is None else setting.value


def set_setting(session: Session, name: str, value: object) -> None:
    """Store a setting's value."""
    session.merge(Setting(name=name, value=value))
    session.flush()


def signing_secret(session: Session) -> str:
    """Return the secret that signs forms' tokens, made at the first call (in a write session)."""
    secret = secrets.token_urlsafe(32)
    # Several processes may start at one time; the first one's secret is everybody's.
    insert = postgresql.insert if _is_postgresql(session) else sqlite.insert
    statement: sa.Executable = (
        insert(Setting).values(name=SIGNING_SECRET, value=secret).on_conflict_do_nothing()
    )
    session.execute(statement)
    return str(get_setting(session, SIGNING_SECRET))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
