"""Tables of webhooks. A webhook's secret is stored as it is: it signs, so a hash would not do."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from flags.database import UtcDateTime
from flags.models import version_column

_webhook_version = version_column()


class Webhook(SQLModel, table=True):
    """Where notices of a project are sent.

    ``environments`` and ``kinds`` say of which; empty lists: of all. ``form`` is ``full`` or
    ``slack``. While ``previous_until`` is not over, deliveries are signed with both secrets.
    """

    __tablename__: ClassVar[Any] = "webhooks"
    __mapper_args__: ClassVar[Any] = {"version_id_col": _webhook_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    name: str = Field(max_length=100)
    url: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    form: str = Field(max_length=8)
    environments: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    kinds: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    secret: str = Field(max_length=128)
    previous_secret: str | None = Field(default=None, max_length=128)
    previous_until: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    enabled: bool = True
    # Why the service itself disabled it; empty when a person did.
    disabled_because: str = ""
    # Since when every attempt failed.
    failing_since: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_by: str
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_webhook_version)


class Delivery(SQLModel, table=True):
    """One notice on its way to one webhook: ``waiting``, ``delivered`` or ``given_up``."""

    __tablename__: ClassVar[Any] = "webhook_deliveries"
    __table_args__ = (
        sa.UniqueConstraint("webhook_id", "notice_id"),
        sa.Index("ix_webhook_deliveries_state_next_at", "state", "next_at"),
    )
    id: int | None = Field(default=None, primary_key=True)
    webhook_id: int = Field(foreign_key="webhooks.id")
    notice_id: int = Field(foreign_key="notices.id", index=True)
    state: str = Field(max_length=12)
    # Of the present series: a replay begins a new one.
    attempts: int = 0
    next_at: dt.datetime = Field(sa_type=UtcDateTime)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    ended_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class Attempt(SQLModel, table=True):
    """One request that was sent, or could not be: what came back, and how long it took."""

    __tablename__: ClassVar[Any] = "webhook_attempts"
    id: int | None = Field(default=None, primary_key=True)
    delivery_id: int = Field(foreign_key="webhook_deliveries.id", index=True)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    duration_ms: int
    # The answer's status; null where there was none, and ``error`` says why.
    status: int | None = None
    error: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    answer: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))


class KillHook(SQLModel, table=True):
    """An address by which an alert may kill certain flags of one environment, and nothing else.

    ``scope`` is ``flags``, ``owner`` or ``tag``, and ``names`` the keys, owners or tags.
    """

    __tablename__: ClassVar[Any] = "kill_hooks"
    id: int | None = Field(default=None, primary_key=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    name: str = Field(max_length=100)
    secret_hash: str = Field(max_length=64, unique=True)
    scope: str = Field(max_length=8)
    names: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    created_by: str
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    revoked_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    used_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class HookAlert(SQLModel, table=True):
    """An alert that a kill hook has acted upon: the same one does not act again."""

    __tablename__: ClassVar[Any] = "kill_hook_alerts"
    hook_id: int = Field(foreign_key="kill_hooks.id", primary_key=True)
    fingerprint: str = Field(max_length=64, primary_key=True)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    seen_at: dt.datetime = Field(sa_type=UtcDateTime, index=True)
    words: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    killed: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
