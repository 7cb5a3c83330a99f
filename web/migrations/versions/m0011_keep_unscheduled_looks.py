"""Keep the last reading that somebody asked for between looks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unscheduled_looks",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("asked_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("answered_at", flags.database.UtcDateTime(), nullable=True),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_unscheduled_looks_experiment_id_experiments"),
        ),
        sa.PrimaryKeyConstraint("experiment_id", name=op.f("pk_unscheduled_looks")),
    )


def downgrade() -> None:
    op.drop_table("unscheduled_looks")
