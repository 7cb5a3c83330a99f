"""From who an issuer says that somebody is to a person here: found, made, or refused.

Bound is the issuer's own name for the person (``sub``), which never changes hands; an address does.
Only the first time a verified address finds who was here before.
"""

from __future__ import annotations

import datetime as dt
import logging

from sqlmodel import Session, select

from flags.actor import SYSTEM
from flags.errors import InvalidInputError, StateError
from web.auth.models import ExternalIdentity, User
from web.auth.oidc import Identity
from web.auth.oidc_settings import OidcSettings
from web.auth.people import find_user, normalise_email, update_user
from web.auth.roles import Role
from web.errors import SignInRefusedError

logger = logging.getLogger("flagstone.auth")

# No password has this hash: who has it signs in elsewhere.
NO_PASSWORD = "!"  # noqa: S105
_NAME_LENGTH = 200


def person_of(
    session: Session, identity: Identity, settings: OidcSettings, *, now: dt.datetime
) -> User:
    """Return the person, with the role that the issuer's groups give now.

    Raises
    ------
    SignInRefusedError
        Nobody of that address may come in, or the person is shut out.
    """
    try:
        email = normalise_email(identity.email)
    except InvalidInputError:
        raise SignInRefusedError("the other side gives no e-mail address") from None
    if settings.domains and email.rpartition("@")[2] not in settings.domains:
        raise SignInRefusedError("people of this address do not sign in here")
    bound = session.exec(
        select(ExternalIdentity).where(
            ExternalIdentity.issuer == identity.issuer,
            ExternalIdentity.subject == identity.subject,
        )
    ).one_or_none()
    role = settings.role_of(identity.claims)
    if bound is not None:
        user = session.get_one(User, bound.user_id)
    else:
        user = find_user(session, email, lock=True) or _made(
            session, identity, email, role or settings.default_role, now
        )
        _bind(session, identity, user, now)
    if user.disabled:
        raise SignInRefusedError("this account is shut out here")
    if role is not None and user.role != role.value and user.id is not None:
        try:
            user = update_user(session, user.id, role=role, by=SYSTEM)
        except StateError:
            # Somebody has to be left who administers.
            logger.warning("person %s stays the last administrator", user.id)
    return user


def _bind(session: Session, identity: Identity, user: User, now: dt.datetime) -> None:
    others = session.exec(
        select(ExternalIdentity).where(
            ExternalIdentity.issuer == identity.issuer, ExternalIdentity.user_id == user.id
        )
    ).first()
    if others is not None:
        # The address went to somebody else over there; that is another person.
        raise SignInRefusedError("another account over there has this address here")
    assert user.id is not None
    session.add(
        ExternalIdentity(
            issuer=identity.issuer, subject=identity.subject, user_id=user.id, created_at=now
        )
    )
    session.flush()


def _made(
    session: Session, identity: Identity, email: str, role: Role | None, now: dt.datetime
) -> User:
    if role is None:
        raise SignInRefusedError("nobody of this address is known here; ask an administrator")
    user = User(
        email=email,
        name=identity.name.strip()[:_NAME_LENGTH],
        role=role.value,
        password_hash=NO_PASSWORD,
        created_at=now,
    )
    session.add(user)
    session.flush()
    logger.info("single sign-on created person %s (%s)", user.id, role)
    return user
