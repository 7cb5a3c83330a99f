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
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.audit import append
from flags.errors import InvalidInputError, NotFoundError, StateError
from flags.granted import Budget, budgets_by_place, check_role, set_budget
from flags.revisions import lock_environments
from web.auth.models import Token
from web.auth.roles import Role

logger = logging.getLogger("flagstone.auth")

CHANNEL = "flagstone"
TOKENS_CHANGED = "tokens"
_NAME_LENGTH = 100
MOST_OVERLAP = dt.timedelta(days=30)
_USER_ROLES = ", ".join(role for role in Role if role is not Role.NONE)
_KEY_NAME = re.compile(r"token:.*#(\d{1,9})", re.DOTALL)
_SHAPE = re.compile(r"fs_(srv|cli|usr)_[A-Za-z0-9_-]{43}")


class TokenKind(StrEnum):
    """``srv``: server SDK; ``cli``: client SDK; ``usr``: REST, with a role."""

    SERVER = "srv"
    CLIENT = "cli"
    USER = "usr"


def last_used_key(session: Session, environment_id: int) -> tuple[str, dt.datetime] | None:
    """Return which key of an environment was used last, and when; None if none ever was."""
    found = session.exec(
        select(Token.name, Token.last_used_at)
        .where(Token.environment_id == environment_id, col(Token.last_used_at).is_not(None))
        .order_by(col(Token.last_used_at).desc(), col(Token.id).desc())
        .limit(1)
    ).first()
    return None if found is None or found[1] is None else (found[0], found[1])


def create_token(
    session: Session,
    kind: TokenKind,
    *,
    name: str,
    created_by: Actor | str,
    now: dt.datetime,
    project_id: int | None = None,
    environment_id: int | None = None,
    environment_ids: Collection[int] | None = None,
    role: Role | None = None,
    expires_at: dt.datetime | None = None,
    budget: Budget | None = None,
) -> tuple[str, Token]:
    """Create a key; the first of the pair is its text, which nobody can ever read again.

    A server's or client's key belongs to one environment. A ``usr`` key carries a role and, with
    ``project_id``, is good for that project only; with ``environment_ids``, for those of its
    environments only. The project's audit tells of it.
    """
    name = _name(name)
    if kind is TokenKind.USER:
        if role is None or role is Role.NONE:
            raise InvalidInputError("a usr key needs a role", field="role", hint=_USER_ROLES)
        if environment_id is not None:
            message = "a usr key is good for a project, not for one environment"
            raise InvalidInputError(message, field="environment")
        if environment_ids is not None and (project_id is None or not environment_ids):
            message = "a key is good for all environments, or for some of one project"
            raise InvalidInputError(message, field="environments")
    else:
        if environment_ids is not None:
            message = f"a {kind} key belongs to one environment"
            raise InvalidInputError(message, field="environments")
        if project_id is None or environment_id is None:
            message = f"a {kind} key belongs to one environment"
            raise InvalidInputError(message, field="environment")
        if role is not None:
            raise InvalidInputError(f"a {kind} key has no role", field="role")
    _check_budget(role, budget)
    if expires_at is not None and expires_at <= now:
        raise InvalidInputError("the key would be over already", field="expires_at")
    plain = _secret(kind)
    token = Token(
        kind=kind.value,
        name=name,
        secret_hash=hash_token(plain),
        project_id=project_id,
        environment_id=environment_id,
        role=role.value if role else None,
        environment_ids=None if environment_ids is None else sorted(environment_ids),
        created_by=str(created_by),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    if budget is not None:
        set_budget(session, f"token:{token.id}", budget)
    _tell_the_audit(session, token, "create_token", created_by, now, budget)
    _tell_the_edge(session)
    return plain, token


def find_token(session: Session, plain: str, *, now: dt.datetime) -> Token | None:
    """Return the key with that text; None if there is none, it is revoked, or it is over."""
    if not _SHAPE.fullmatch(plain):
        return None
    given = hash_token(plain)
    token = session.exec(select(Token).where(Token.secret_hash == given)).one_or_none()
    if token is None:
        # The secret before a rotation, for as long as it was promised to be good.
        before = select(Token).where(
            Token.old_secret_hash == given, col(Token.old_secret_until) > now
        )
        token = session.exec(before).one_or_none()
    return token if token is not None and is_live(token, now=now) else None


def is_live(token: Token, *, now: dt.datetime) -> bool:
    """Whether the key opens anything at that time."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def list_tokens(
    session: Session,
    *,
    project_id: int | None,
    before_id: int | None = None,
    limit: int | None = None,
) -> Sequence[Token]:
    """Return the keys of a project, or (None) those of no project, newest first.

    Parameters
    ----------
    before_id : int, optional
        Only those that were made before this one.
    limit : int, optional
        How many at most; all without it.
    """
    query = select(Token).where(col(Token.project_id) == project_id)
    if before_id is not None:
        query = query.where(col(Token.id) < before_id)
    return session.exec(query.order_by(col(Token.id).desc()).limit(limit)).all()


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


def lock_token(session: Session, token: Token) -> None:
    """Lock a key until the end of the transaction, and read it as it is now."""
    session.refresh(token, with_for_update=True)


def edit_token(
    session: Session, token: Token, edits: Mapping[str, Any], *, by: Actor, now: dt.datetime
) -> Token:
    """Change what a locked key is called (``name``), when it ends and what limits it.

    Parameters
    ----------
    edits : mapping
        Some of ``name``, ``expires_at`` and ``budget`` (:class:`flags.budgets.Budget` or None).
        What was used of a budget stays used.

    Raises
    ------
    StateError
        If the key is revoked.
    InvalidInputError
        If it cannot have such a name, time or budget.
    """
    if token.revoked_at is not None:
        raise StateError("this key is revoked", hint="make a new one")
    before = _standing(session, token)
    if "name" in edits:
        token.name = _name(edits["name"] or "")
    if "expires_at" in edits:
        if edits["expires_at"] is not None and edits["expires_at"] <= now:
            raise InvalidInputError("the key would be over already", field="expires_at")
        token.expires_at = edits["expires_at"]
    if "budget" in edits:
        _check_budget(token.role, edits["budget"])
        set_budget(session, f"token:{token.id}", edits["budget"])
    session.add(token)
    session.flush()
    after = _standing(session, token)
    if after == before:
        return token
    if token.project_id is None:
        logger.info("edit_token by %s: token %s %s → %s", by, token.id, before, after)
    else:
        append(
            session,
            project_id=token.project_id,
            actor=by,
            action="edit_token",
            resource=f"token:{token.id}",
            before={name: before[name] for name in before if before[name] != after[name]},
            after={name: after[name] for name in after if before[name] != after[name]},
            now=now,
        )
    _tell_the_edge(session)
    return token


def _standing(session: Session, token: Token) -> dict[str, Any]:
    over = token.expires_at
    return {
        "name": token.name,
        "expires_at": None if over is None else over.isoformat(),
        "budget": token_budgets(session, [token]).get(token.id or 0),
    }


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > _NAME_LENGTH:
        message = f"a key needs a name of 1 to {_NAME_LENGTH} characters"
        raise InvalidInputError(message, field="name", hint="say who will use it")
    return name


def _check_budget(role: str | None, budget: Budget | None) -> None:
    if budget is not None and role is None:
        raise InvalidInputError("only a usr key has a budget", field="budget")
    check_role(role or "", budget)


def rotate_token(
    session: Session,
    token: Token,
    *,
    overlap: dt.timedelta,
    by: Actor,
    now: dt.datetime,
) -> tuple[str, Token]:
    """Give a key a new secret; the one so far is good for ``overlap`` longer.

    Everything else about the key stays, and so does its number: its budget goes on. A secret that
    was still good from an earlier rotation is good no more.

    Raises
    ------
    StateError
        If the key is revoked or over.
    InvalidInputError
        If the overlap is below nothing or above thirty days.
    """
    if not dt.timedelta(0) <= overlap <= MOST_OVERLAP:
        message = f"the old secret may stay good for 0 to {MOST_OVERLAP.days} days"
        raise InvalidInputError(message, field="overlap_seconds")
    session.refresh(token, with_for_update=True)
    if not is_live(token, now=now):
        raise StateError("this key is revoked or over", hint="make a new one")
    plain = _secret(TokenKind(token.kind))
    token.old_secret_hash = token.secret_hash if overlap else None
    token.old_secret_until = now + overlap if overlap else None
    token.secret_hash = hash_token(plain)
    token.rotated_at = now
    session.add(token)
    session.flush()
    _tell_the_audit(session, token, "rotate_token", by, now)
    _tell_the_edge(session)
    return plain, token


def _secret(kind: TokenKind) -> str:
    return f"fs_{kind}_{secrets.token_urlsafe(32)}"


def person_behind(session: Session, token_id: int) -> str:
    """Return who made a key: where a key made it, who made that one, as the audit names them."""
    token = session.get(Token, token_id)
    while token is not None:
        # A key is younger than the one that made it, so this ends.
        older = key_of(session, token.created_by)
        if older is None or older.id is None or token.id is None or older.id >= token.id:
            return token.created_by
        token = older
    return ""


def token_budgets(session: Session, tokens: Sequence[Token]) -> dict[int, dict[str, Any]]:
    """Return what limits keys, as it was said, by their numbers."""
    found = budgets_by_place(session, [f"token:{token.id}" for token in tokens])
    return {
        int(principal.removeprefix("token:")): said for (principal, _, _), said in found.items()
    }


def key_of(session: Session, name: str) -> Token | None:
    """Return the key that the audit names so (``token:ci#7``)."""
    match = _KEY_NAME.fullmatch(name)
    return None if match is None else session.get(Token, int(match[1]))


def hash_token(plain: str) -> str:
    """Return how a key is stored."""
    return hashlib.sha256(plain.encode()).hexdigest()


def _tell_the_audit(
    session: Session,
    token: Token,
    action: str,
    by: Actor | str,
    now: dt.datetime,
    budget: Budget | None = None,
) -> None:
    # The audit is a project's; a key of the whole service is told of in the log.
    what = {"kind": token.kind, "name": token.name, "role": token.role}
    if token.project_id is None:
        logger.info("%s by %s: token %s %s", action, by, token.id, what)
        return
    if token.environment_id is not None:
        # In the environment's chain: who may not know of the environment may not read of its keys.
        lock_environments(session, [token.environment_id])
    append(
        session,
        project_id=token.project_id,
        environment_id=token.environment_id,
        actor=by if isinstance(by, Actor) else Actor("user", by),
        action=action,
        resource=f"token:{token.id}",
        before=what if action == "revoke_token" else None,
        after=_after(token, action, what, budget),
        now=now,
    )


def _after(
    token: Token, action: str, what: dict[str, Any], budget: Budget | None
) -> dict[str, Any] | None:
    if action == "create_token":
        limits = {
            "environment_ids": token.environment_ids,
            "budget": None if budget is None else budget.document(),
        }
        return what | {name: said for name, said in limits.items() if said is not None}
    if action == "rotate_token":
        until = token.old_secret_until
        return {"old_secret_until": None if until is None else until.isoformat()}
    return None


def _tell_the_edge(session: Session) -> None:
    # SQLite's watcher sees any commit. PostgreSQL delivers this at commit, and never before.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            sa.text("SELECT pg_notify(:channel, :payload)"),
            {"channel": CHANNEL, "payload": TOKENS_CHANGED},
        )
