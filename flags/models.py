"""Tables of the flag domain. Rows are mutable and lazy: they never leave this layer's services.

``version`` columns are optimistic locks (``version_id_col``): an edit of a stale row fails.
Documents (variants, rules, ...) are JSON in the shape of ``FLAGS.md`` §1; assign a new object to
change one, since SQLAlchemy does not notice a change in place.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from flags.database import UtcDateTime
from flags.sentence import state_word


def version_column() -> sa.Column[int]:
    """Make a fresh version column (a ``Column`` object belongs to one table)."""
    return sa.Column("version", sa.Integer, nullable=False)


class Project(SQLModel, table=True):
    """A set of flags with its people."""

    __tablename__: ClassVar[Any] = "projects"
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=64, unique=True)
    name: str
    created_at: dt.datetime = Field(sa_type=UtcDateTime)


_environment_version = version_column()


class Environment(SQLModel, table=True):
    """A separate state of the project's flags; ``revision`` is its newest revision's number."""

    __tablename__: ClassVar[Any] = "environments"
    __table_args__ = (sa.UniqueConstraint("project_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _environment_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    key: str = Field(max_length=64)
    name: str
    production: bool = False
    position: int = 0
    revision: int = 0
    # So many people other than its author must approve a change before it is applied.
    approvals_needed: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    # What serves more here must have been on there for so many hours first (flags.staging).
    after: str | None = Field(default=None, max_length=64)
    after_hours: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    # Whether contexts seen in evaluations are kept for previews (flags.context_samples).
    sample_contexts: bool = Field(
        default=True, sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.true())
    )
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_environment_version)


_flag_version = version_column()


class FlagRow(SQLModel, table=True):
    """What a flag is in every environment: its type, its variants, who owns it."""

    __tablename__: ClassVar[Any] = "flags"
    __table_args__ = (sa.UniqueConstraint("project_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _flag_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    key: str = Field(max_length=256)
    type: str = Field(max_length=16)
    name: str = ""
    description: str = ""
    owner: str = ""
    client: bool = False
    archived: bool = False
    # Until when it is wanted, as an instant in UTC; and whether it is meant to go at all.
    expires: str | None = Field(default=None, max_length=32)
    kind: str = Field(
        default="temporary", max_length=16, sa_column_kwargs={"server_default": "temporary"}
    )
    variants: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    # Published as the flag's ``metadata`` (a name that SQLAlchemy keeps for itself).
    flag_metadata: dict[str, Any] = Field(
        default_factory=dict, sa_column=sa.Column(sa.JSON, nullable=False)
    )
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_flag_version)


_flag_environment_version = version_column()


class FlagEnvironment(SQLModel, table=True):
    """How a flag behaves in one environment.

    ``state`` holds ``{"enabled", "killed", "off", "default", "prerequisites", "targets",
    "rules"}``. ``flag_version`` is the flag's published ``version`` in this environment.
    """

    __tablename__: ClassVar[Any] = "flag_environments"
    __table_args__ = (sa.UniqueConstraint("flag_id", "environment_id"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _flag_environment_version}
    id: int | None = Field(default=None, primary_key=True)
    flag_id: int = Field(foreign_key="flags.id", index=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    state: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    # ``flags.sentence.state_word`` of the state: lists are searched by it.
    state_word: str = Field(
        default="off", max_length=16, sa_column_kwargs={"server_default": "off"}
    )
    flag_version: int = 1
    updated_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_flag_environment_version)


@sa.event.listens_for(FlagEnvironment, "before_insert")
@sa.event.listens_for(FlagEnvironment, "before_update")
def _say_state(_mapper: Any, _connection: Any, row: FlagEnvironment) -> None:
    """Write the word beside the state that it is of, whoever writes the state."""
    row.state_word = state_word(row.state)


_segment_version = version_column()


class SegmentRow(SQLModel, table=True):
    """A named reusable condition in one environment."""

    __tablename__: ClassVar[Any] = "segments"
    __table_args__ = (sa.UniqueConstraint("environment_id", "key"),)
    __mapper_args__: ClassVar[Any] = {"version_id_col": _segment_version}
    id: int | None = Field(default=None, primary_key=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    key: str = Field(max_length=64)
    name: str = ""
    # A condition may be the bare ``true``, hence ``Any``.
    condition: Any = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    version: int | None = Field(default=None, sa_column=_segment_version)


class BudgetRow(SQLModel, table=True):
    """How much somebody may change (:mod:`flags.budgets`).

    ``principal`` is ``token:7`` or ``user:ada@example.org``. A person's most specific row holds;
    its ``document`` is null where that says that there is no budget.
    """

    __tablename__: ClassVar[Any] = "budgets"
    __table_args__ = (sa.UniqueConstraint("principal", "project_id", "environment_id"),)
    id: int | None = Field(default=None, primary_key=True)
    principal: str = Field(max_length=300, index=True)
    project_id: int | None = Field(default=None, foreign_key="projects.id")
    environment_id: int | None = Field(default=None, foreign_key="environments.id")
    document: dict[str, Any] | None = Field(
        default=None, sa_column=sa.Column(sa.JSON(none_as_null=True))
    )


class BudgetUse(SQLModel, table=True):
    """A share of an environment's units that somebody with a budget moved, or promised to.

    ``holder`` names what a promise is kept for (``experiment:12``): it counts every day until that
    has ended, and a day longer.
    """

    __tablename__: ClassVar[Any] = "budget_uses"
    __table_args__ = (sa.Index("ix_budget_uses_day", "principal", "environment_id", "at"),)
    id: int | None = Field(default=None, primary_key=True)
    principal: str = Field(max_length=300)
    environment_id: int = Field(foreign_key="environments.id")
    at: dt.datetime = Field(sa_type=UtcDateTime)
    millionths: int
    holder: str | None = Field(default=None, max_length=64, index=True)


class Revision(SQLModel, table=True):
    """One numbered, immutable state of an environment: the whole published FlagSet, compressed."""

    __tablename__: ClassVar[Any] = "revisions"
    __table_args__ = (sa.UniqueConstraint("environment_id", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    number: int
    etag: str = Field(max_length=64)
    flag_set: bytes = Field(sa_column=sa.Column(sa.LargeBinary, nullable=False))
    actor: str
    comment: str = ""
    created_at: dt.datetime = Field(sa_type=UtcDateTime)


class AuditEntry(SQLModel, table=True):
    """Who changed what, when, before and after, and why; append-only and hash-chained.

    ``chain`` is ``<project id>`` or ``<project id>.<environment id>``; ``number`` counts within it
    without gaps. ``before`` and ``after`` hold the changed fields only, by path. ``flag_set_hash``
    is the SHA-256 (hex) of the canonical flag set that ``revision`` published.
    """

    __tablename__: ClassVar[Any] = "audit_entries"
    __table_args__ = (sa.UniqueConstraint("chain", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    environment_id: int | None = Field(default=None, foreign_key="environments.id", index=True)
    chain: str = Field(max_length=32)
    number: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str
    action: str = Field(max_length=64)
    resource: str = Field(max_length=320, index=True)
    comment: str = ""
    before: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    after: Any = Field(default=None, sa_column=sa.Column(sa.JSON(none_as_null=True)))
    revision: int | None = None
    flag_set_hash: str | None = Field(default=None, max_length=64)
    previous_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)


_change_request_version = version_column()


class ChangeRequest(SQLModel, table=True):
    """A change that waits: for people who approve it, for its time, or for both.

    ``state``: ``open``, ``approved`` (nothing but the time or a person's click is missing),
    ``applied``, ``declined``, ``withdrawn``, ``stale`` (it would do something else now),
    ``failed``, ``missed``. ``content_hash`` names environment, instructions and ``at``; an approval
    is of that hash. ``definitions`` are what it makes of the flags (:mod:`flags.definitions`).
    """

    __tablename__: ClassVar[Any] = "change_requests"
    __mapper_args__: ClassVar[Any] = {"version_id_col": _change_request_version}
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id", index=True)
    environment_id: int = Field(foreign_key="environments.id", index=True)
    state: str = Field(max_length=16, index=True)
    instructions: list[dict[str, Any]] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    comment: str = ""
    content_hash: str = Field(max_length=64)
    base_revision: int
    preview: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    definitions: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    author: str
    # Everybody who wrote some of it, and the people whose keys did: none of them may approve it.
    writers: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    # [{"by", "at", "content_hash", "comment"}, …]
    approvals: list[dict[str, Any]] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    # How many approvals it wants whatever the environment says: 1 for a request, 0 for a schedule.
    asks: int = 0
    at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    changed_at: dt.datetime = Field(sa_type=UtcDateTime)
    # How it ended: {"by", "at", "reason", "revision", "late_seconds", "approved", "present"}.
    outcome: dict[str, Any] | None = Field(
        default=None, sa_column=sa.Column(sa.JSON(none_as_null=True))
    )
    version: int | None = Field(default=None, sa_column=_change_request_version)


class SdkInstance(SQLModel, table=True):
    """A client of an SDK in one process, as its last heartbeat described it.

    ``defaults`` is JSON, by flag, of what the code around it falls back on; equal texts are equal
    defaults, and ``defaults_hash`` names them. After ``forgotten_at`` the row may go.
    """

    __tablename__: ClassVar[Any] = "sdk_instances"
    environment_id: int = Field(foreign_key="environments.id", primary_key=True)
    id: str = Field(max_length=36, primary_key=True)
    sdk: str = Field(max_length=130)
    runtime: str = Field(max_length=128)
    host: str | None = Field(default=None, max_length=256)
    revision: int | None = None
    etag: str | None = Field(default=None, max_length=128)
    source: str = Field(max_length=16)
    started_at: dt.datetime = Field(sa_type=UtcDateTime)
    seen_at: dt.datetime = Field(sa_type=UtcDateTime)
    forgotten_at: dt.datetime = Field(sa_type=UtcDateTime, index=True)
    events: dict[str, int] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    unknown_flags: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    defaults: str | None = Field(default=None, sa_column=sa.Column(sa.Text))
    defaults_hash: str | None = Field(default=None, max_length=32)
    defaults_complete: bool = True


class FlagActivity(SQLModel, table=True):
    """Who asked for a flag lately, as the worker last summed it up.

    ``hours`` are exposures by the hour, the newest last; that one is ``last_hour`` (hours since
    1970). ``evaluated_at`` is when somebody is known to have asked for it.
    """

    __tablename__: ClassVar[Any] = "flag_activity"
    environment_id: int = Field(foreign_key="environments.id", primary_key=True)
    flag_key: str = Field(max_length=256, primary_key=True)
    hours: list[int] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    last_hour: int
    evaluated_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class FlagNudge(SQLModel, table=True):
    """What a flag asks somebody to do, as the worker last judged: a verdict, and why."""

    __tablename__: ClassVar[Any] = "flag_nudges"
    flag_id: int = Field(foreign_key="flags.id", primary_key=True)
    verdict: str = Field(max_length=16)
    sentence: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    # When it was judged; whatever changed the flag since may have settled it.
    at: dt.datetime = Field(sa_type=UtcDateTime)


class SampledContext(SQLModel, table=True):
    """The newest context of one unit that an environment saw, by the unit's place in the sample.

    ``asked`` is JSON: the paths of attributes that an SDK was asked for, and may have told; None
    where the context is whole.
    """

    __tablename__: ClassVar[Any] = "sampled_contexts"
    environment_id: int = Field(foreign_key="environments.id", primary_key=True)
    unit_hash: int = Field(
        sa_column=sa.Column(sa.BigInteger, primary_key=True, autoincrement=False)
    )
    context: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    asked: str | None = Field(default=None, sa_column=sa.Column(sa.Text))
    seen_at: dt.datetime = Field(sa_type=UtcDateTime, index=True)


class Prediction(SQLModel, table=True):
    """Whom a revision was said to move, and whom it did; one row for each revision.

    ``state``: ``watching``, ``agrees``, ``parts`` (an alarm), ``not_enough`` (too few were seen
    since), ``not_predicted``. ``predicted`` and ``observed`` are ``{"count", "size", "share",
    "low", "high"}``.
    """

    __tablename__: ClassVar[Any] = "predictions"
    __table_args__ = (sa.UniqueConstraint("environment_id", "revision"),)
    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="projects.id")
    environment_id: int = Field(foreign_key="environments.id", index=True)
    revision: int
    at: dt.datetime = Field(sa_type=UtcDateTime)
    flags: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    state: str = Field(max_length=16)
    predicted: dict[str, Any] | None = Field(
        default=None, sa_column=sa.Column(sa.JSON(none_as_null=True))
    )
    observed: dict[str, Any] | None = Field(
        default=None, sa_column=sa.Column(sa.JSON(none_as_null=True))
    )
    p_value: float | None = None
    looks: int = 0
    next_look_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)


class Notice(SQLModel, table=True):
    """One thing that happened, in plain words: for webhooks, and for people (:mod:`flags.notices`).

    ``environments`` are the keys of those that it is about, the main one first; empty for the whole
    project. ``facts`` are JSON for programs. While ``waiting`` nobody has given it to the webhooks.
    """

    __tablename__: ClassVar[Any] = "notices"
    __table_args__ = (
        sa.Index("ix_notices_project_id_at", "project_id", "at"),
        sa.Index("ix_notices_project_id_kind_id", "project_id", "kind", "id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    message_id: str = Field(max_length=40, unique=True)
    project_id: int = Field(foreign_key="projects.id")
    environments: list[str] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    kind: str = Field(max_length=32)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str
    resource: str
    sentence: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    reason: str = Field(sa_column=sa.Column(sa.Text, nullable=False))
    facts: dict[str, Any] = Field(sa_column=sa.Column(sa.JSON, nullable=False))
    waiting: bool = Field(default=True, index=True)


class NoticeReader(SQLModel, table=True):
    """Up to which notice somebody has read what happens in a project."""

    __tablename__: ClassVar[Any] = "notice_readers"
    project_id: int = Field(foreign_key="projects.id", primary_key=True)
    person: str = Field(max_length=320, primary_key=True)
    read_up_to: int
