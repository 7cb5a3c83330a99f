"""Keep notices, webhooks with their deliveries, and kill hooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = flags.database.UtcDateTime


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("environments", sa.JSON(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at", TIME(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        *_keys("notices", project_id="projects"),
        sa.UniqueConstraint("message_id", name=op.f("uq_notices_message_id")),
    )
    _index("notices", "waiting")
    op.create_index("ix_notices_project_id_at", "notices", ["project_id", "at"])
    op.create_table(
        "notice_readers",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=320), nullable=False),
        sa.Column("read_up_to", sa.Integer(), nullable=False),
        *_keys("notice_readers", "project_id", "person", project_id="projects"),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("form", sa.String(length=8), nullable=False),
        sa.Column("environments", sa.JSON(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("previous_secret", sa.String(length=128), nullable=True),
        sa.Column("previous_until", TIME(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_because", sa.String(), nullable=False),
        sa.Column("failing_since", TIME(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", TIME(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *_keys("webhooks", project_id="projects"),
    )
    _index("webhooks", "project_id")
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME(), nullable=False),
        sa.Column("created_at", TIME(), nullable=False),
        sa.Column("ended_at", TIME(), nullable=True),
        *_keys("webhook_deliveries", webhook_id="webhooks", notice_id="notices"),
        sa.UniqueConstraint(
            "webhook_id", "notice_id", name=op.f("uq_webhook_deliveries_webhook_id")
        ),
    )
    _index("webhook_deliveries", "notice_id")
    op.create_index(
        "ix_webhook_deliveries_state_next_at", "webhook_deliveries", ["state", "next_at"]
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("at", TIME(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        *_keys("webhook_attempts", delivery_id="webhook_deliveries"),
    )
    _index("webhook_attempts", "delivery_id")
    _create_kill_hooks()


def _create_kill_hooks() -> None:
    op.create_table(
        "kill_hooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", TIME(), nullable=False),
        sa.Column("revoked_at", TIME(), nullable=True),
        sa.Column("used_at", TIME(), nullable=True),
        *_keys("kill_hooks", environment_id="environments"),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_kill_hooks_secret_hash")),
    )
    _index("kill_hooks", "environment_id")
    op.create_table(
        "kill_hook_alerts",
        sa.Column("hook_id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("at", TIME(), nullable=False),
        sa.Column("seen_at", TIME(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("killed", sa.JSON(), nullable=False),
        *_keys("kill_hook_alerts", "hook_id", "fingerprint", hook_id="kill_hooks"),
    )
    _index("kill_hook_alerts", "seen_at")


def _keys(table: str, *primary: str, **others: str) -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint(*(primary or ("id",)), name=op.f(f"pk_{table}")),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}")
            )
            for column, other in others.items()
        ),
    ]


def _index(table: str, column: str) -> None:
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table in (
        *("kill_hook_alerts", "kill_hooks", "webhook_attempts", "webhook_deliveries"),
        *("webhooks", "notice_readers", "notices"),
    ):
        op.drop_table(table)
