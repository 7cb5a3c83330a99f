"""Keep how experiments end: holds, overrides, shipping, what the holdback told."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENTS = ("explain_by", "compared_since", "closed_at")
_DOCUMENTS = ("override", "request", "realised")


def upgrade() -> None:
    # What is there already gets the value that it would have had.
    filled: list[sa.Column[Any]] = [
        sa.Column("verdicts", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("explained", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("extension_seconds", sa.Float(), nullable=False, server_default="0"),
        sa.Column("ship_step", sa.Integer(), nullable=False, server_default="-1"),
    ]
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        for column in filled:
            batch_op.add_column(column)
        for name in ("held_cause", "held_from"):
            batch_op.add_column(sa.Column(name, sa.String(length=16), nullable=True))
        for name in _DOCUMENTS:
            batch_op.add_column(sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
        for name in _MOMENTS:
            batch_op.add_column(sa.Column(name, flags.database.UtcDateTime(), nullable=True))
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        for column in filled:
            batch_op.alter_column(column.name, server_default=None)
    held = "UPDATE experiments SET held_cause = 'seal', held_from = 'RUNNING' WHERE state = 'HELD'"
    op.execute(held)
    op.execute("UPDATE experiments SET ship_step = 1 WHERE state = 'SHIPPING'")


def downgrade() -> None:
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        for name in (
            *_MOMENTS,
            *_DOCUMENTS,
            "held_cause",
            "held_from",
            "ship_step",
            "extension_seconds",
            "explained",
            "verdicts",
        ):
            batch_op.drop_column(name)
