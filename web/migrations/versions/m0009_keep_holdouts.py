"""Keep holdouts, and the readings of standing comparisons."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "holdouts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("buckets", sa.Integer(), nullable=False),
        sa.Column("started_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("changed_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("ended_at", flags.database.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_holdouts_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holdouts")),
    )
    with op.batch_alter_table("holdouts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_holdouts_environment_id"), ["environment_id"])
    op.create_table(
        "standing_readings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("verdict", sa.String(length=24), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_standing_readings_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing_readings")),
        sa.UniqueConstraint(
            "environment_id",
            "kind",
            "subject",
            "period",
            "number",
            name=op.f("uq_standing_readings_environment_id"),
        ),
    )
    with op.batch_alter_table("standing_readings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_standing_readings_environment_id"), ["environment_id"])


def downgrade() -> None:
    for table in ("standing_readings", "holdouts"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_index(batch_op.f(f"ix_{table}_environment_id"))
        op.drop_table(table)
