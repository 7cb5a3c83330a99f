"""Keep a bounded sample of the contexts that each environment saw lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sampled_contexts",
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("unit_hash", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("seen_at", flags.database.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_sampled_contexts_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("environment_id", "unit_hash", name=op.f("pk_sampled_contexts")),
    )
    with op.batch_alter_table("sampled_contexts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sampled_contexts_seen_at"), ["seen_at"])
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("sample_contexts", sa.Boolean(), server_default=sa.true(), nullable=False)
        )


def downgrade() -> None:
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.drop_column("sample_contexts")
    with op.batch_alter_table("sampled_contexts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sampled_contexts_seen_at"))
    op.drop_table("sampled_contexts")
