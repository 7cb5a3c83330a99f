"""Keep roles per project and environment, and how keys are rotated and used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memberships",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", flags.database.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_memberships_user_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_memberships_project_id_projects")
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_memberships_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
        sa.UniqueConstraint(
            "user_id", "project_id", "environment_id", name=op.f("uq_memberships_user_id")
        ),
    )
    with op.batch_alter_table("memberships", schema=None) as batch_op:
        for name in ("user_id", "project_id", "environment_id"):
            batch_op.create_index(batch_op.f(f"ix_memberships_{name}"), [name], unique=False)
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("environment_ids", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("old_secret_hash", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column("old_secret_until", flags.database.UtcDateTime(), nullable=True)
        )
        batch_op.add_column(sa.Column("rotated_at", flags.database.UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("last_used_at", flags.database.UtcDateTime(), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_tokens_old_secret_hash"), ["old_secret_hash"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tokens_old_secret_hash"))
        for name in (
            "last_used_at",
            "rotated_at",
            "old_secret_until",
            "old_secret_hash",
            "environment_ids",
        ):
            batch_op.drop_column(name)
    op.drop_table("memberships")
