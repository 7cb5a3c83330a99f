"""Tables of the experiment domain: experiments, looks, records, money, requests, the lease."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from flags.database import UtcDateTime
from flags.models import version_column

_experiment_version = version_column()


class Experiment(SQLModel, table=True):
    """A claim with a deadline, and where it stands."""

    __tablename__: ClassVar[Any] = "experiments"
    __table_args__ = (sa.UniqueConstraint("environment_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _experiment_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    key: str = Field(max_length=64)
    flag_key: str = Field(max_length=256, index=True)
    state: str = Field(max_length=16, index=True)
    verdict: str | None = Field(default=None, max_length=24)
    plan: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    plan_hash: str | None = Field(default=None, max_length=64)
    coverage: float = 0.0
    ramp_step: int = -1
    dropped: list[str] = Field(default_factory=list, sa_column=sa.Column(sa.JSON, nullable=False))
    # What the machine last wrote into the flag, by rule id: anything else is an edit by hand.
    rule: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    winner: str | None = Field(default=None, max_length=256)
    note: str = ""
    # Every verdict that was ever given, oldest first: `{"verdict", "at"}`; `verdict` is the last.
    verdicts: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=sa.Column(sa.JSON, nullable=False)
    )
    held_cause: str | None = Field(default=None, max_length=16)
    held_from: str | None = Field(default=None, max_length=16)
    # Alarms that the owner explained, each with how loud it was then.
    explained: dict[str, float] = Field(
        default_factory=dict, sa_column=sa.Column(sa.JSON, nullable=False)
    )
    extension_seconds: float = 0.0
    ship_step: int = -1
    # What was shipped against a verdict or without one, and what waits for a second person.
    override: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    request: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    # What the holdback told about the shipped change.
    realised: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    # The buckets of its layer that are its own while it splits users: `experiments.contract.lanes`.
    lane: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    sealed_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    started_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    verdict_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    # When it was decided and nothing was proven any more; what ships is watched further.
    ended_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    next_look_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    next_ramp_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    confirm_by: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    explain_by: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    # When the present step of shipping, or the verification, began.
    compared_since: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    # What people say that they learned: the newest words; every one is in the records.
    learned: str = Field(default="", sa_type=sa.Text)
    learned_by: str | None = Field(default=None, max_length=256)
    learned_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_experiment_version)


class Look(SQLModel, table=True):
    """One numbered reading of results. ``(experiment, number)`` is unique: a re-run is a no-op."""

    __tablename__: ClassVar[Any] = "looks"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiments.id", index=True)
    number: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    verdict: str = Field(max_length=24)
    data: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    decision: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))


class DecisionRecord(SQLModel, table=True):
    """One link of an experiment's hash chain; ``document`` is the JSON that was hashed."""

    __tablename__: ClassVar[Any] = "decision_records"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiments.id", index=True)
    number: int
    kind: str = Field(max_length=16)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    document: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    previous_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)


class Forecast(SQLModel, table=True):
    """What a draft or a sealed plan can prove, as the worker last found it; one per experiment.

    ``plan_hash`` and ``experiment_version`` say for which plan, ``renew_at`` until when.
    ``accepted`` holds what the customer signed for: ``{"risk", "by", "at"}``.
    """

    __tablename__: ClassVar[Any] = "forecasts"
    experiment_id: int = Field(foreign_key="experiments.id", primary_key=True)
    plan_hash: str = Field(max_length=64)
    experiment_version: int
    computed_at: dt.datetime = Field(sa_type=UtcDateTime)
    renew_at: dt.datetime = Field(sa_type=UtcDateTime)
    document: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    accepted: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=sa.Column(sa.JSON, nullable=False)
    )


class UnscheduledLook(SQLModel, table=True):
    """The last reading that somebody asked for between looks; one per experiment, apart from them.

    While ``answered_at`` is null the worker owes an answer, and ``document`` is the one before.
    """

    __tablename__: ClassVar[Any] = "unscheduled_looks"
    experiment_id: int = Field(foreign_key="experiments.id", primary_key=True)
    asked_at: dt.datetime = Field(sa_type=UtcDateTime)
    asked_by: str
    answered_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    document: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))


class Lease(SQLModel, table=True):
    """Who may run the worker's ticks; ``fence`` grows with every new holder."""

    __tablename__: ClassVar[Any] = "leases"
    name: str = Field(max_length=64, primary_key=True)
    holder: str = Field(max_length=128)
    fence: int
    expires_at: dt.datetime = Field(sa_type=UtcDateTime)


class LedgerEntry(SQLModel, table=True):
    """One amount of the value ledger: append-only, gap-free by project, hash-chained.

    Amounts are cents. ``record`` and ``place`` name the move that wrote it: the newest decision
    record of the experiment by then, and the how-manieth entry of that move.
    """

    __tablename__: ClassVar[Any] = "ledger_entries"
    __table_args__ = (
        sa.UniqueConstraint("project_id", "number"),
        sa.UniqueConstraint("experiment_id", "record", "place"),
    )
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    experiment_id: int | None = Field(default=None, foreign_key="experiments.id", index=True)
    number: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str
    kind: str = Field(max_length=16)
    amount: int = Field(sa_type=sa.BigInteger)
    low: int | None = Field(default=None, sa_type=sa.BigInteger)
    high: int | None = Field(default=None, sa_type=sa.BigInteger)
    currency: str = Field(max_length=8)
    adds: bool
    record: int
    place: int
    memo: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    previous_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)


_request_version = version_column()


class Request(SQLModel, table=True):
    """What somebody asks for, or complains about; linked to the flag that causes or resolves it."""

    __tablename__: ClassVar[Any] = "requests"
    __mapper_args__: ClassVar[Any] = {"version_id_col": _request_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    title: str = Field(max_length=200)
    text: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    demand: str = Field(max_length=16)
    asker: str = Field(max_length=320)
    state: str = Field(max_length=16, index=True)
    flag_key: str | None = Field(default=None, max_length=256, index=True)
    relation: str | None = Field(default=None, max_length=16)
    note: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    created_by: str
    linked_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    resolved_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_request_version)


_source_version = version_column()


class SourceRow(SQLModel, table=True):
    """Where experiments may find their rows; the document holds no secret."""

    __tablename__: ClassVar[Any] = "sources"
    __table_args__ = (sa.UniqueConstraint("project_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _source_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    key: str = Field(max_length=64)
    document: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    updated_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_source_version)


class SourceCheck(SQLModel, table=True):
    """What the worker found when it last looked for a sealed experiment's rows in its source."""

    __tablename__: ClassVar[Any] = "source_checks"
    experiment_id: int = Field(foreign_key="experiments.id", primary_key=True)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    # ``{"detail", "field", "hint"}``; null when everything is there.
    problem: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))


_holdout_version = version_column()


class HoldoutRow(SQLModel, table=True):
    """Units held out of everything: one row from its start to its end, none open beside another."""

    __tablename__: ClassVar[Any] = "holdouts"
    __mapper_args__: ClassVar[Any] = {"version_id_col": _holdout_version}
    id: int | None = Field(default=None, primary_key=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    buckets: int
    started_at: dt.datetime = Field(sa_type=UtcDateTime)
    changed_at: dt.datetime = Field(sa_type=UtcDateTime)
    ended_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_holdout_version)


class StandingRow(SQLModel, table=True):
    """One reading of a standing comparison: append-only.

    ``kind`` is ``holdout`` (what all that shipped has brought) or ``audit`` (nothing is different
    between its two arms); ``subject`` says of what, ``period`` and ``number`` which reading.
    """

    __tablename__: ClassVar[Any] = "standing_readings"
    __table_args__ = (sa.UniqueConstraint("environment_id", "kind", "subject", "period", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    kind: str = Field(max_length=16)
    subject: str = Field(max_length=64)
    period: int
    number: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    verdict: str = Field(max_length=24)
    data: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))


_layer_version = version_column()


class LayerRow(SQLModel, table=True):
    """Experiments that share units exclusively; who has which buckets stands in their lanes."""

    __tablename__: ClassVar[Any] = "layers"
    __table_args__ = (sa.UniqueConstraint("environment_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _layer_version}
    id: int | None = Field(default=None, primary_key=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    key: str = Field(max_length=64)
    description: str = Field(default="", sa_column=sa.Column(sa.Text, nullable=False))
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    updated_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_layer_version)
