"""Keep when a key was last used over OFREP, whose callers have no name of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ofrep_used_at", flags.database.UtcDateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.drop_column("ofrep_used_at")
