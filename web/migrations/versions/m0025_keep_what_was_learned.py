"""Keep what people learned from an experiment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("learned", sa.Text(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("learned_by", sa.String(length=256), nullable=True))
        batch_op.add_column(sa.Column("learned_at", flags.database.UtcDateTime(), nullable=True))
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        batch_op.alter_column("learned", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        for name in ("learned_at", "learned_by", "learned"):
            batch_op.drop_column(name)
