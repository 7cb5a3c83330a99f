"""The newest reading of the holdout's effect, for whoever shows it."""

from __future__ import annotations

from sqlmodel import Session, col, select

from experiments.models import HoldoutRow, StandingRow
from experiments.moves.holdout import rule_id


def newest_effect(session: Session, row: HoldoutRow) -> StandingRow | None:
    """Give what was last found between those held out and everybody else."""
    query = (
        select(StandingRow)
        .where(
            StandingRow.environment_id == row.environment_id,
            StandingRow.kind == "holdout",
            StandingRow.subject == rule_id(row),
        )
        .order_by(col(StandingRow.period).desc())
    )
    return session.exec(query.limit(1)).first()
