"""People who may sign in: create, find, change, shut out."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Callable, Sequence

from sqlmodel import Session, col, delete, or_, select

from flags.actor import SYSTEM, Actor
from flags.errors import AlreadyExistsError, InvalidInputError, NotFoundError, StateError
from flags.granted import clear_all_budgets
from web.auth.models import LoginSession, Membership, User
from web.auth.passwords import check_password, hash_password
from web.auth.roles import Role

logger = logging.getLogger("flagstone.auth")

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_EMAIL_LENGTH = 254
_NAME_LENGTH = 200


def normalise_email(email: str, *, field: str = "email") -> str:
    """Return the address as it is stored and compared: trimmed, in lower case."""
    normal = email.strip().lower()
    if len(normal) > _EMAIL_LENGTH or not _EMAIL.fullmatch(normal):
        raise InvalidInputError("this is not an e-mail address", field=field, hint="name@host")
    return normal


def create_user(
    session: Session,
    *,
    email: str,
    password: str,
    role: Role,
    name: str = "",
    by: Actor = SYSTEM,
    now: dt.datetime,
) -> User:
    """Create a person, whose e-mail address is new and whose password is good enough."""
    email = normalise_email(email)
    check_password(password, email=email)
    if len(name) > _NAME_LENGTH:
        message = f"a name has at most {_NAME_LENGTH} characters"
        raise InvalidInputError(message, field="name")
    if find_user(session, email) is not None:
        message = f"there is already a person with the address {email}"
        raise AlreadyExistsError(message, field="email")
    user = User(
        email=email,
        name=name.strip(),
        role=role.value,
        password_hash=hash_password(password),
        created_at=now,
    )
    session.add(user)
    session.flush()
    logger.info("%s created person %s (%s)", by, user.id, role)
    return user


def find_user(session: Session, email: str, *, lock: bool = False) -> User | None:
    """Return the person with that (normalised) address, if there is one."""
    query = select(User).where(User.email == email)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.exec(query).one_or_none()


def get_user(session: Session, user_id: int) -> User:
    """Return the person of that number."""
    user = session.get(User, user_id)
    if user is None:
        message = f"there is no person number {user_id}"
        raise NotFoundError(message)
    return user


def list_users(session: Session) -> Sequence[User]:
    """Return everybody, by address."""
    return session.exec(select(User).order_by(User.email)).all()


def update_user(
    session: Session,
    user_id: int,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
    password: str | None = None,
    by: Actor = SYSTEM,
    expect: Callable[[User], None] | None = None,
) -> User:
    """Change a person's role, shut them out or in, or give them a new password.

    A new password or a shut door ends every session of theirs at once.

    Parameters
    ----------
    expect : callable, optional
        Refuses to go on if the person, who is locked, is not any more as the caller read them.
    """
    # The set of administrators is locked in one order, so that two of them cannot at one time
    # shut each other out and leave nobody.
    concerned = or_(col(User.role) == Role.ADMIN.value, col(User.id) == user_id)
    locked = session.exec(
        select(User)
        .where(concerned)
        .order_by(col(User.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    admins = [each for each in locked if each.role == Role.ADMIN.value]
    user = get_user(session, user_id)
    if expect is not None:
        expect(user)
    loses_admin = (role is not None and role is not Role.ADMIN) or disabled is True
    others = [a for a in admins if a.id != user.id and not a.disabled]
    if user.role == Role.ADMIN.value and not user.disabled and loses_admin and not others:
        message = "this is the last administrator"
        raise StateError(message, hint="make somebody else an administrator first")
    if role is not None:
        user.role = role.value
    if role is Role.ADMIN:
        # Nothing limits who administers everything; what was said of single places is over.
        session.exec(delete(Membership).where(col(Membership.user_id) == user.id))
        clear_all_budgets(session, f"user:{user.email}")
    if disabled is not None:
        user.disabled = disabled
    if password is not None:
        check_password(password, email=user.email)
        user.password_hash = hash_password(password)
        user.failed_logins = 0
        user.locked_until = None
    if disabled or password is not None:
        session.exec(delete(LoginSession).where(col(LoginSession.user_id) == user.id))
    session.add(user)
    session.flush()
    logger.info(
        "%s changed person %s: role %s, disabled %s, password %s",
        by,
        user.id,
        user.role,
        user.disabled,
        "kept" if password is None else "new",
    )
    return user
