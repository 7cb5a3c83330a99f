"""Reads that no service offers yet: they only count what the services list."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session, col, func, select

from experiments.models import Experiment, Look


def count_looks(session: Session, experiments: Collection[Experiment]) -> dict[int, int]:
    """Return how many looks each experiment has had, by its id, without loading them."""
    query = (
        select(Look.experiment_id, func.count())
        .where(col(Look.experiment_id).in_([each.id for each in experiments]))
        .group_by(col(Look.experiment_id))
    )
    return dict(session.exec(query).all())


def newest_look(session: Session, experiment: Experiment) -> Look | None:
    """Return an experiment's newest look, without loading the others."""
    query = select(Look).where(Look.experiment_id == experiment.id)
    return session.exec(query.order_by(col(Look.number).desc()).limit(1)).first()
