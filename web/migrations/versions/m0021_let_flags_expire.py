"""Say until when a flag is wanted, and whether it is meant to go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = sa.Column("kind", sa.String(length=16), nullable=False, server_default="temporary")
    with op.batch_alter_table("flags", schema=None) as batch_op:
        batch_op.add_column(sa.Column("expires", sa.String(length=32), nullable=True))
        batch_op.add_column(kind)


def downgrade() -> None:
    with op.batch_alter_table("flags", schema=None) as batch_op:
        batch_op.drop_column("kind")
        batch_op.drop_column("expires")
