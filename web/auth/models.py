"""Tables of people and tokens. Secrets are stored as hashes only."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from flags.database import UtcDateTime


class User(SQLModel, table=True):
    """A person who may sign in. ``role`` is a :class:`web.auth.roles.Role`."""

    __tablename__: ClassVar[Any] = "users"
    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(max_length=254, unique=True)
    name: str = ""
    role: str = Field(max_length=16)
    password_hash: str
    disabled: bool = False
    failed_logins: int = 0
    locked_until: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)


class Membership(SQLModel, table=True):
    """A person's role in a project, or (with ``environment_id``) in one of its environments."""

    __tablename__: ClassVar[Any] = "memberships"
    __table_args__ = (sa.UniqueConstraint("user_id", "project_id", "environment_id"),)
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    environment_id: int | None = Field(default=None, foreign_key="environments.id", index=True)
    role: str = Field(max_length=16)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)


class ExternalIdentity(SQLModel, table=True):
    """Whom an issuer of single sign-on means by its own name for a person (``sub``)."""

    __tablename__: ClassVar[Any] = "external_identities"
    __table_args__ = (sa.UniqueConstraint("issuer", "subject"),)
    id: int | None = Field(default=None, primary_key=True)
    issuer: str = Field(max_length=512)
    subject: str = Field(max_length=255)
    user_id: int = Field(foreign_key="users.id", index=True)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)


class LoginSession(SQLModel, table=True):
    """A signed-in browser; ``id_hash`` is the SHA-256 (hex) of the cookie's value."""

    __tablename__: ClassVar[Any] = "login_sessions"
    id_hash: str = Field(max_length=64, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    expires_at: dt.datetime = Field(sa_type=UtcDateTime)


class Token(SQLModel, table=True):
    """A program's key; ``secret_hash`` is the SHA-256 (hex) of the whole token.

    ``kind``: ``srv`` (server SDK) and ``cli`` (client) belong to one environment; ``usr`` (REST)
    carries a role.
    """

    __tablename__: ClassVar[Any] = "tokens"
    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(max_length=3)
    name: str
    secret_hash: str = Field(max_length=64, unique=True)
    project_id: int | None = Field(default=None, foreign_key="projects.id", index=True)
    environment_id: int | None = Field(default=None, foreign_key="environments.id", index=True)
    role: str | None = Field(default=None, max_length=16)
    # The only environments of its project that a ``usr`` key may touch; null: all of them.
    environment_ids: list[int] | None = Field(
        default=None, sa_column=sa.Column(sa.JSON(none_as_null=True))
    )
    # The secret before the last rotation, which is good for a while longer.
    old_secret_hash: str | None = Field(default=None, max_length=64, index=True)
    old_secret_until: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    rotated_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    # When it was last seen, to the minute.
    last_used_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    # The same, of evaluations over OFREP alone: those callers send no heartbeat.
    ofrep_used_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_by: str = ""
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    expires_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class Setting(SQLModel, table=True):
    """A value that the service keeps for itself, such as the hash of the set-up code."""

    __tablename__: ClassVar[Any] = "settings"
    name: str = Field(max_length=64, primary_key=True)
    value: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))


class IdempotentResponse(SQLModel, table=True):
    """The answer to a POST with an ``Idempotency-Key``, kept to answer a retry the same way.

    Written in the transaction of the change itself: either both exist or neither. ``body`` is null
    where the answer held a secret, which is never stored.
    """

    __tablename__: ClassVar[Any] = "idempotent_responses"
    __table_args__ = (sa.UniqueConstraint("principal", "key"),)
    id: int | None = Field(default=None, primary_key=True)
    principal: str = Field(max_length=96)
    key: str = Field(max_length=255)
    request_hash: str = Field(max_length=64)
    status: int | None = None
    headers: dict[str, str] = Field(
        default_factory=dict, sa_column=sa.Column(sa.JSON, nullable=False)
    )
    body: str | None = Field(default=None, sa_column=sa.Column(sa.Text))
    created_at: dt.datetime = Field(sa_type=UtcDateTime, index=True)
