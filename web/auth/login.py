"""Signing in: a password against its hash, a lock-out that grows, a session that can be ended."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import secrets

from sqlmodel import Session, col, delete, select

from flags.database import Database
from web.auth.models import LoginSession, User
from web.auth.passwords import NOBODYS_HASH, hash_password, needs_rehash, verify_password
from web.auth.throttle import UnknownAccounts, lock_seconds
from web.errors import TooManyAttemptsError, UnauthenticatedError

SESSION_LIFETIME = dt.timedelta(days=7)


def authenticate(
    database: Database, email: str, password: str, *, unknown: UnknownAccounts, now: dt.datetime
) -> User:
    """Return the person whose e-mail address and password these are.

    The attempt is counted as a failure *before* the password is looked at, and forgiven after: a
    burst of guesses at one time gets no more tries than the same guesses in a row. No transaction
    is open while Argon2 works. ``unknown`` remembers the failures of addresses without an account.

    Raises
    ------
    UnauthenticatedError
        The address, the password or both are wrong, or the person is shut out; it does not say.
    TooManyAttemptsError
        After repeated failures; even the right password is not looked at until then.
    """
    email = email.strip().lower()
    with database.write() as session:
        user = _lock_user(session, email)
        if user is None:
            wait = unknown.attempt(email, now.timestamp())
        else:
            wait = _count_failure(user, now)
            session.add(user)
    if wait is not None:
        message = "too many failed attempts to sign in to this account"
        raise TooManyAttemptsError(message, retry_after_seconds=wait)
    right = verify_password(NOBODYS_HASH if user is None else user.password_hash, password)
    if user is None or not right or user.disabled:
        message = "the e-mail address or the password is wrong"
        raise UnauthenticatedError(message)
    with database.write() as session:
        fresh = _lock_user(session, email)
        if fresh is None or fresh.disabled or fresh.password_hash != user.password_hash:
            message = "the account was changed in this moment"
            raise UnauthenticatedError(message, hint="sign in again")
        fresh.failed_logins = 0
        fresh.locked_until = None
        if needs_rehash(fresh.password_hash):
            fresh.password_hash = hash_password(password)
        session.add(fresh)
    return fresh


def _lock_user(session: Session, email: str) -> User | None:
    return session.exec(select(User).where(User.email == email).with_for_update()).one_or_none()


def _count_failure(user: User, now: dt.datetime) -> int | None:
    if user.locked_until is not None and user.locked_until > now:
        return max(1, math.ceil((user.locked_until - now).total_seconds()))
    user.failed_logins += 1
    seconds = lock_seconds(user.failed_logins)
    user.locked_until = now + dt.timedelta(seconds=seconds) if seconds else None
    return None


def start_session(session: Session, user: User, *, now: dt.datetime) -> str:
    """Open a session and return its id, which only the cookie knows: stored is its hash."""
    assert user.id is not None
    session.exec(delete(LoginSession).where(col(LoginSession.expires_at) <= now))
    plain = secrets.token_urlsafe(32)
    session.add(
        LoginSession(
            id_hash=hash_session_id(plain),
            user_id=user.id,
            created_at=now,
            expires_at=now + SESSION_LIFETIME,
        )
    )
    session.flush()
    return plain


def find_session(session: Session, plain: str, *, now: dt.datetime) -> User | None:
    """Return whose session this is; None if it is over, unknown, or the person is shut out."""
    found = session.exec(
        select(User, LoginSession)
        .join(LoginSession, col(LoginSession.user_id) == col(User.id))
        .where(LoginSession.id_hash == hash_session_id(plain))
    ).one_or_none()
    if found is None:
        return None
    user, login = found
    return None if user.disabled or login.expires_at <= now else user


def end_session(session: Session, plain: str) -> None:
    """End a session at once; an unknown one is already over."""
    session.exec(delete(LoginSession).where(col(LoginSession.id_hash) == hash_session_id(plain)))


def hash_session_id(plain: str) -> str:
    """Return how a session's id is stored."""
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
