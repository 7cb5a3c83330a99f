"""Keep whom a revision was said to move, and whom it did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("predicted", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("observed", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("next_look_at", flags.database.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_predictions_environment_id_environments"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_predictions_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictions")),
        sa.UniqueConstraint(
            "environment_id", "revision", name=op.f("uq_predictions_environment_id")
        ),
    )
    with op.batch_alter_table("predictions", schema=None) as batch_op:
        for name in ("environment_id", "next_look_at"):
            batch_op.create_index(batch_op.f(f"ix_predictions_{name}"), [name], unique=False)


def downgrade() -> None:
    op.drop_table("predictions")
