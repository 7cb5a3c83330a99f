"""Which experiments used a metric of the catalogue, and what they found of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.catalogue.models import MetricRow
from experiments.contract import words
from experiments.models import Experiment, Look
from experiments.moves.enact import plan_of
from experiments.telling.series import series_of
from flags.models import Environment
from flags.services import get_project

MOST_SHOWN = 200


@dataclass(frozen=True)
class Found:
    """What the last look of an ended experiment found of a metric in one arm.

    Parameters
    ----------
    estimate, low, high : float
        Treatment minus control, in the metric's unit; an end is ``None`` where unbounded.
    relative : float, optional
        The estimate over control's mean.
    text : str
        The same in words.
    """

    arm: str
    estimate: float
    low: float | None
    high: float | None
    relative: float | None
    text: str

    @property
    def moved(self) -> bool:
        """Tell whether the interval, which holds over all looks, leaves 0 out."""
        return bool((self.low or 0) > 0 or (self.high or 0) < 0)

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "moved": self.moved}


@dataclass(frozen=True)
class Use:
    """One experiment that used a metric; without effects ``hidden_because`` says why."""

    experiment: str
    environment: str
    role: str
    state: str
    verdict: str | None
    metric_version: int
    effects: tuple[Found, ...] = ()
    hidden_because: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "effects": [effect.to_document() for effect in self.effects]}


def counts_of_use(session: Session, project_key: str) -> dict[str, int]:
    """Count the experiments that used each metric."""
    query = select(Experiment.plan).where(
        Experiment.project_id == get_project(session, project_key).id
    )
    return Counter(
        key
        for plan in session.exec(query)
        for key in {each["metric"] for each in plan["metrics"] if "metric" in each}
    )


def uses_of(session: Session, row: MetricRow) -> list[Use]:
    """List the experiments that used a metric, newest first, at most `MOST_SHOWN`.

    Effects are shown as their own cards show them: of ended experiments whose data can be trusted.
    """
    experiments = _using(session, row)[:MOST_SHOWN]
    looks = _last_looks(session, [each for each in experiments if hidden(each) is None])
    names = _environments(session, row.project_id)
    return [
        Use(
            experiment=each.key,
            environment=names[each.environment_id],
            role=_table(each, row.key)["role"],
            state=each.state,
            verdict=each.verdict,
            metric_version=_table(each, row.key)["metric_version"],
            effects=() if each.id not in looks else _found(each, looks[each.id], row.key),
            hidden_because=hidden(each),
        )
        for each in experiments
    ]


def hidden(experiment: Experiment) -> str | None:
    """Say why an experiment's effects are no evidence, or ``None``."""
    if experiment.verdict == "INVALID":
        return "its data cannot be trusted"
    if experiment.ended_at is None:
        return "it has not ended"
    return None


def _environments(session: Session, project_id: int) -> dict[int, str]:
    query = select(Environment).where(Environment.project_id == project_id)
    return {each.id or 0: each.key for each in session.exec(query)}


def _using(session: Session, row: MetricRow) -> list[Experiment]:
    query = select(Experiment).where(Experiment.project_id == row.project_id)
    found = session.exec(query.order_by(col(Experiment.id).desc()))
    return [
        each
        for each in found
        if any(metric.get("metric") == row.key for metric in each.plan["metrics"])
    ]


def _table(experiment: Experiment, key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in experiment.plan["metrics"] if each.get("metric") == key
    )
    return found


def _last_looks(session: Session, experiments: Sequence[Experiment]) -> dict[int | None, Look]:
    """Give each experiment's last look before anything shipped."""
    ids = [each.id for each in experiments]
    holdback = col(Look.data)["holdback"].as_string()
    newest = (
        select(Look.experiment_id, sa.func.max(Look.number).label("number"))
        .where(col(Look.experiment_id).in_(ids), holdback.is_(None))
        .group_by(col(Look.experiment_id))
        .subquery()
    )
    query = select(Look).join(
        newest,
        sa.and_(
            col(Look.experiment_id) == newest.c.experiment_id, col(Look.number) == newest.c.number
        ),
    )
    return {look.experiment_id: look for look in session.exec(query)}


def _found(experiment: Experiment, look: Look, key: str) -> tuple[Found, ...]:
    plan = plan_of(experiment)
    found = []
    for series in series_of(plan, [look]):
        reference = series.metric.reference
        if reference is None or reference.key != key or not series.points:
            continue
        point = series.points[-1]
        control = words.means(look.data["look"], series.metric.key).get(plan.control)
        relative = point.estimate / abs(control) if control else None
        interval = words.interval(series.metric, point.low, point.high)
        text = f"{words.difference(series.metric, point.estimate)}, {interval}"
        found.append(Found(series.arm, point.estimate, point.low, point.high, relative, text))
    return tuple(found)
