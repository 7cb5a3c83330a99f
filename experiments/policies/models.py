"""Tables of stored policies: each with all its versions, and what the worker found in trying."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from flags.database import UtcDateTime
from flags.models import version_column

_policy_version = version_column()


class PolicyRow(SQLModel, table=True):
    """A stored policy as it is now.

    Every change is a new version, a publication and an archive too: ``version`` is its number, and
    `PolicyVersion` keeps them all.
    """

    __tablename__: ClassVar[Any] = "policies"
    __table_args__ = (sa.UniqueConstraint("project_id", "name"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _policy_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    name: str = Field(max_length=64)
    document: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    # What was tried is found by it: equal rules under another name are not tried again.
    rules_hash: str = Field(max_length=64, index=True)
    description: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    # A draft until then: no plan takes it.
    published: bool = False
    archived: bool = False
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    changed_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_policy_version)


class PolicyVersion(SQLModel, table=True):
    """One version of a stored policy: append-only."""

    __tablename__: ClassVar[Any] = "policy_versions"
    __table_args__ = (sa.UniqueConstraint("policy_id", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    policy_id: int = Field(foreign_key="policies.id", index=True)
    version: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str
    document: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    rules_hash: str = Field(max_length=64)
    description: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    published: bool = False
    archived: bool = False


class PolicyTrial(SQLModel, table=True):
    """What the worker found in trying rules, by their hash; ``method`` says how it tried."""

    __tablename__: ClassVar[Any] = "policy_trials"
    rules_hash: str = Field(primary_key=True, max_length=64)
    method: int
    computed_at: dt.datetime = Field(sa_type=UtcDateTime)
    document: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))


def _refuse(_mapper: Any, _connection: Any, target: Any) -> None:
    msg = f"{type(target).__name__} rows are append-only"
    raise TypeError(msg)


for _event in ("before_update", "before_delete"):
    sa.event.listen(PolicyVersion, _event, _refuse)
