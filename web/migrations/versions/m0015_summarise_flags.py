"""Keep what lists of flags are searched by and show: the word of a state, who asked lately."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

import flags.database

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_PAGE = 500


def upgrade() -> None:
    word = sa.Column("state_word", sa.String(length=16), nullable=False, server_default="off")
    with op.batch_alter_table("flag_environments", schema=None) as batch_op:
        batch_op.add_column(word)
    op.create_table(
        "flag_activity",
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("flag_key", sa.String(length=256), nullable=False),
        sa.Column("hours", sa.JSON(), nullable=False),
        sa.Column("last_hour", sa.Integer(), nullable=False),
        sa.Column("evaluated_at", flags.database.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_flag_activity_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("environment_id", "flag_key", name=op.f("pk_flag_activity")),
    )
    _say_every_state()


def downgrade() -> None:
    op.drop_table("flag_activity")
    with op.batch_alter_table("flag_environments", schema=None) as batch_op:
        batch_op.drop_column("state_word")


def _say_every_state() -> None:
    connection = op.get_bind()
    table = sa.table(
        "flag_environments",
        sa.column("id", sa.Integer),
        sa.column("state", sa.JSON),
        sa.column("state_word", sa.String),
    )
    last = 0
    while True:
        rows = connection.execute(
            sa.select(table.c.id, table.c.state)
            .where(table.c.id > last)
            .order_by(table.c.id)
            .limit(_PAGE)
        ).all()
        if not rows:
            return
        for row in rows:
            state = json.loads(row.state) if isinstance(row.state, str) else row.state
            connection.execute(
                sa.update(table).where(table.c.id == row.id).values(state_word=_word(state))
            )
        last = rows[-1].id


def _word(state: dict[str, Any]) -> str:
    if state["killed"]:
        return "killed"
    if not state["enabled"]:
        return "off"
    splits = [rule["serve"]["split"] for rule in state["rules"] if isinstance(rule["serve"], dict)]
    shares = [
        sum(end - start for arm in split["to"] for start, end in arm["ranges"]) / split["of"]
        for split in splits
    ]
    if len(shares) == 1 and shares[0] < 1:
        return f"{round(shares[0] * 100, 2):g} %"
    return "on"
