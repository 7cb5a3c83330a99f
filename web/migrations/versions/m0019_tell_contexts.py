"""Keep of a context that an SDK told what it was asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sampled_contexts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("asked", sa.Text(), nullable=True))


def downgrade() -> None:
    # What is there holds a part only, and nothing would say so any more.
    op.execute("DELETE FROM sampled_contexts WHERE asked IS NOT NULL")
    with op.batch_alter_table("sampled_contexts", schema=None) as batch_op:
        batch_op.drop_column("asked")
