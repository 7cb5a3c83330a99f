"""Keep changes that wait, and how many approvals an environment wants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    wanted = sa.Column("approvals_needed", sa.Integer(), nullable=False, server_default="0")
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.add_column(wanted)
    op.create_table(
        "change_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("instructions", sa.JSON(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("base_revision", sa.Integer(), nullable=False),
        sa.Column("preview", sa.JSON(), nullable=False),
        sa.Column("definitions", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("writers", sa.JSON(), nullable=False),
        sa.Column("approvals", sa.JSON(), nullable=False),
        sa.Column("asks", sa.Integer(), nullable=False),
        sa.Column("at", flags.database.UtcDateTime(), nullable=True),
        sa.Column("created_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("changed_at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("outcome", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_change_requests_environment_id_environments"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_change_requests_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_requests")),
    )
    with op.batch_alter_table("change_requests", schema=None) as batch_op:
        for name in ("project_id", "environment_id", "state"):
            batch_op.create_index(batch_op.f(f"ix_change_requests_{name}"), [name], unique=False)


def downgrade() -> None:
    op.drop_table("change_requests")
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.drop_column("approvals_needed")
