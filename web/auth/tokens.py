"""Keys for programs: 256 random bits, shown once, stored as SHA-256, revocable.

A plain hash is enough (and fast enough to ask for on every request): nobody can guess 256 bits, so
there is nothing for a slow hash to slow down.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.audit import append
from flags.errors import InvalidInputError, NotFoundError
from web.auth.models import Token
from web.auth.roles import Role

logger = logging.getLogger("flagstone.auth")

CHANNEL = "flagstone"
TOKENS_CHANGED = "tokens"
_NAME_LENGTH = 100
_KEY_NAME = re.compile(r"token:.*#(\d{1,9})", re.DOTALL)
_SHAPE = re.compile(r"fs_(srv|cli|usr)_[A-Za-z0-9_-]{43}")


class TokenKind(StrEnum):
    """``srv``: server SDK; ``cli``: client SDK; ``usr``: REST, with a role."""

    SERVER = "srv"
    CLIENT = "cli"
    USER = "usr"


def create_token(
    session: Session,
    kind: TokenKind,
    *,
    name: str,
    created_by: Actor | str,
    now: dt.datetime,
    project_id: int | None = None,
    environment_id: int | None = None,
    role: Role | None = None,
    expires_at: dt.datetime | None = None,
) -> tuple[str, Token]:
    """Create a key; the first of the pair is its text, which nobody can ever read again.

    A server's or client's key belongs to one environment. A ``usr`` key carries a role and, with
    ``project_id``, is good for that project only. The project's audit tells of it.
    """
    name = name.strip()
    if not name or len(name) > _NAME_LENGTH:
        message = f"a key needs a name of 1 to {_NAME_LENGTH} characters"
        raise InvalidInputError(message, field="name", hint="say who will use it")
    if kind is TokenKind.USER:
        if role is None:
            raise InvalidInputError("a usr key needs a role", field="role", hint=", ".join(Role))
        if environment_id is not None:
            message = "a usr key is good for a project, not for one environment"
            raise InvalidInputError(message, field="environment")
    else:
        if project_id is None or environment_id is None:
            message = f"a {kind} key belongs to one environment"
            raise InvalidInputError(message, field="environment")
        if role is not None:
            raise InvalidInputError(f"a {kind} key has no role", field="role")
    if expires_at is not None and expires_at <= now:
        raise InvalidInputError("the key would be over already", field="expires_at")
    plain = f"fs_{kind}_{secrets.token_urlsafe(32)}"
    token = Token(
        kind=kind.value,
        name=name,
        secret_hash=hash_token(plain),
        project_id=project_id,
        environment_id=environment_id,
        role=role.value if role else None,
        created_by=str(created_by),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    _tell_the_audit(session, token, "create_token", created_by, now)
    _tell_the_edge(session)
    return plain, token


def find_token(session: Session, plain: str, *, now: dt.datetime) -> Token | None:
    """Return the key with that text; None if there is none, it is revoked, or it is over."""
    if not _SHAPE.fullmatch(plain):
        return None
    token = session.exec(select(Token).where(Token.secret_hash == hash_token(plain))).one_or_none()
    return token if token is not None and is_live(token, now=now) else None


def is_live(token: Token, *, now: dt.datetime) -> bool:
    """Whether the key opens anything at that time."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def list_tokens(session: Session, *, project_id: int | None) -> Sequence[Token]:
    """Return the keys of a project, or (None) those of no project, newest first."""
    query = select(Token).where(col(Token.project_id) == project_id)
    return session.exec(query.order_by(col(Token.id).desc())).all()


def get_token(session: Session, token_id: int, *, project_id: int | None) -> Token:
    """Return the key of that number in that project (None: of no project)."""
    token = session.get(Token, token_id)
    if token is None or token.project_id != project_id:
        message = f"there is no key number {token_id} here"
        raise NotFoundError(message)
    return token


def revoke_token(
    session: Session, token: Token, *, revoked_by: Actor | str, now: dt.datetime
) -> Token:
    """Shut a key for ever; a second time changes nothing."""
    if token.revoked_at is None:
        token.revoked_at = now
        session.add(token)
        session.flush()
        _tell_the_audit(session, token, "revoke_token", revoked_by, now)
        _tell_the_edge(session)
    return token


def person_behind(session: Session, token_id: int) -> str:
    """Return who made a key: where a key made it, who made that one, as the audit names them."""
    token = session.get(Token, token_id)
    while token is not None:
        maker = _KEY_NAME.fullmatch(token.created_by)
        # A key is younger than the one that made it, so this ends.
        older = None if maker is None else session.get(Token, int(maker[1]))
        if older is None or older.id is None or token.id is None or older.id >= token.id:
            return token.created_by
        token = older
    return ""


def hash_token(plain: str) -> str:
    """Return how a key is stored."""
    return hashlib.sha256(plain.encode()).hexdigest()


def _tell_the_audit(
    session: Session, token: Token, action: str, by: Actor | str, now: dt.datetime
) -> None:
    # The audit is a project's; a key of the whole service is told of in the log.
    what = {"kind": token.kind, "name": token.name, "role": token.role}
    if token.project_id is None:
        logger.info("%s by %s: token %s %s", action, by, token.id, what)
        return
    append(
        session,
        project_id=token.project_id,
        actor=by if isinstance(by, Actor) else Actor("user", by),
        action=action,
        resource=f"token:{token.id}",
        before=what if action == "revoke_token" else None,
        after=what if action == "create_token" else None,
        now=now,
    )


def _tell_the_edge(session: Session) -> None:
    # SQLite's watcher sees any commit. PostgreSQL delivers this at commit, and never before.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            sa.text("SELECT pg_notify(:channel, :payload)"),
            {"channel": CHANNEL, "payload": TOKENS_CHANGED},
        )
