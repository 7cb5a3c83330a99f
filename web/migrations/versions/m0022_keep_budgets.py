"""Keep budgets, and what is used of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("principal", sa.String(length=300), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("environment_id", sa.Integer(), nullable=True),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_budgets_project_id_projects")
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_budgets_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint(
            "principal", "project_id", "environment_id", name=op.f("uq_budgets_principal")
        ),
    )
    op.create_table(
        "budget_uses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("principal", sa.String(length=300), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("at", flags.database.UtcDateTime(), nullable=False),
        sa.Column("millionths", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_budget_uses_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_uses")),
    )
    with op.batch_alter_table("budgets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_budgets_principal"), ["principal"], unique=False)
    with op.batch_alter_table("budget_uses", schema=None) as batch_op:
        batch_op.create_index(
            "ix_budget_uses_day", ["principal", "environment_id", "at"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_budget_uses_holder"), ["holder"], unique=False)


def downgrade() -> None:
    op.drop_table("budget_uses")
    op.drop_table("budgets")
