"""Tables of the metric catalogue: entries with all their versions, event types, sensitivity."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from flags.database import UtcDateTime
from flags.models import version_column

_metric_version = version_column()


class MetricRow(SQLModel, table=True):
    """An entry of the catalogue as it is now.

    Every change is a new version: ``version`` is its number, and `MetricVersion` keeps them all.
    """

    __tablename__: ClassVar[Any] = "metrics"
    __table_args__ = (sa.UniqueConstraint("project_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _metric_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    key: str = Field(max_length=64)
    definition: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    owner: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    description: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    archived: bool = False
    # Made of the project's event types, not by hand.
    built_in: bool = False
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    changed_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_metric_version)


class MetricVersion(SQLModel, table=True):
    """One version of an entry: append-only."""

    __tablename__: ClassVar[Any] = "metric_versions"
    __table_args__ = (sa.UniqueConstraint("metric_id", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    metric_id: int = Field(foreign_key="metrics.id", index=True)
    version: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str
    definition: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    owner: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    description: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    archived: bool = False


class MetricSensitivity(SQLModel, table=True):
    """What the worker last found out about an entry; ``renew_at`` is when it looks again."""

    __tablename__: ClassVar[Any] = "metric_sensitivities"
    metric_id: int = Field(foreign_key="metrics.id", primary_key=True)
    metric_version: int
    computed_at: dt.datetime = Field(sa_type=UtcDateTime)
    renew_at: dt.datetime = Field(sa_type=UtcDateTime, index=True)
    document: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))


_event_type_version = version_column()


class EventType(SQLModel, table=True):
    """What kind of demand an event is: value, failure or neither."""

    __tablename__: ClassVar[Any] = "event_types"
    __table_args__ = (sa.UniqueConstraint("project_id", "name"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _event_type_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    name: str = Field(max_length=256)
    demand: str = Field(max_length=16)
    description: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    changed_at: dt.datetime = Field(sa_type=UtcDateTime)
    changed_by: str
    version: int | None = Field(default=None, sa_column=_event_type_version)


def _refuse(_mapper: Any, _connection: Any, target: Any) -> None:
    msg = f"{type(target).__name__} rows are append-only"
    raise TypeError(msg)


for _event in ("before_update", "before_delete"):
    sa.event.listen(MetricVersion, _event, _refuse)
