"""Let an environment ask that what serves more was on in another one first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    hours = sa.Column("after_hours", sa.Integer(), nullable=False, server_default="0")
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("after", sa.String(length=64), nullable=True))
        batch_op.add_column(hours)


def downgrade() -> None:
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.drop_column("after_hours")
        batch_op.drop_column("after")
