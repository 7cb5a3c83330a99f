"""Keep what the worker found flags to ask for; count unread notices without reading the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flag_nudges",
        sa.Column("flag_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("at", flags.database.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["flag_id"], ["flags.id"], name=op.f("fk_flag_nudges_flag_id_flags")
        ),
        sa.PrimaryKeyConstraint("flag_id", name=op.f("pk_flag_nudges")),
    )
    op.create_index("ix_notices_project_id_kind_id", "notices", ["project_id", "kind", "id"])


def downgrade() -> None:
    op.drop_index("ix_notices_project_id_kind_id", table_name="notices")
    op.drop_table("flag_nudges")
