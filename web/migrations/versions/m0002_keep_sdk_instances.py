"""Keep SDK instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sdk_instances",
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sdk", sa.String(length=130), nullable=False),
        sa.Column("runtime", sa.String(length=128), nullable=False),
        sa.Column("host", sa.String(length=256), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("etag", sa.String(length=128), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("started_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("seen_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("forgotten_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("unknown_flags", sa.JSON(), nullable=False),
        sa.Column("defaults", sa.Text(), nullable=True),
        sa.Column("defaults_hash", sa.String(length=32), nullable=True),
        sa.Column("defaults_complete", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_sdk_instances_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("environment_id", "id", name=op.f("pk_sdk_instances")),
    )
    with op.batch_alter_table("sdk_instances", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_sdk_instances_forgotten_at"), ["forgotten_at"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("sdk_instances", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sdk_instances_forgotten_at"))

    op.drop_table("sdk_instances")
