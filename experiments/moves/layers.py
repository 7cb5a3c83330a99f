"""Layers: make one, see who has which share of it, and take a lane for an experiment's time.

Layers belong to an environment; every function works in the caller's transaction, under the
environment's lock where it writes. A lane lies on the experiment's row while it splits users, and
is free again the moment it does not.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.contract.document import Reader
from experiments.contract.lanes import (
    Lane,
    Ranges,
    choose,
    free_ranges,
    read_lane,
    read_layer_key,
    width,
)
from experiments.contract.plan import Plan
from experiments.machine.states import FINISHED, State
from experiments.models import Experiment, LayerRow
from flags import audit
from flags.actor import Actor
from flags.errors import InvalidInputError, NotFoundError, StateError
from flags.models import Environment
from flags.ranges import BUCKETS
from flags.revisions import lock_environment
from flags.versions import expect_version

SALT = "layer-"
MAX_LAYERS = 100
MAX_DESCRIPTION = 2000


@dataclass(frozen=True)
class Holder:
    """An experiment that has buckets of a layer."""

    experiment: str
    flag: str
    state: str
    lane: Lane

    @property
    def share(self) -> float:
        """Tell which share of the layer it has, 0 to 1."""
        return self.lane.buckets / BUCKETS


@dataclass(frozen=True)
class Layer:
    """A layer as it stands: who has what, and what nobody has."""

    key: str
    description: str
    salt: str
    version: int
    holders: tuple[Holder, ...]
    waiting: tuple[str, ...]

    @property
    def free(self) -> Ranges:
        """Give the buckets that nobody has."""
        return free_ranges(pair for each in self.holders for pair in each.lane.ranges)

    @property
    def free_share(self) -> float:
        """Tell which share of the layer nobody has, 0 to 1."""
        return width(self.free) / BUCKETS


def list_layers(session: Session, environment: Environment) -> list[Layer]:
    """List an environment's layers by key."""
    rows = session.exec(
        select(LayerRow)
        .where(LayerRow.environment_id == environment.id)
        .order_by(col(LayerRow.key))
    ).all()
    holders, waiting = _holders(session, environment), _waiting(session, environment)
    return [_layer(row, holders, waiting) for row in rows]


def get_layer(session: Session, environment: Environment, key: str) -> Layer:
    """Return a layer.

    Raises
    ------
    NotFoundError
        If the environment has none of that key.
    """
    row = _get(session, environment, key)
    return _layer(row, _holders(session, environment), _waiting(session, environment))


def put_layer(
    session: Session,
    project_key: str,
    environment_key: str,
    key: str,
    *,
    description: str,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> tuple[Layer, bool]:
    """Make a layer, or describe it anew; tell whether it is a new one."""
    read_layer_key(Reader({"key": key}), "key")
    if len(description) > MAX_DESCRIPTION:
        raise InvalidInputError(
            f"a description has at most {MAX_DESCRIPTION} characters", field="description"
        )
    environment = lock_environment(session, project_key, environment_key)
    assert environment.id is not None
    row = _find(session, environment, key)
    expect_version(row, expected_version, f"layer {key!r}")
    is_new = row is None
    before = None if row is None else {"description": row.description}
    if row is None:
        held = session.exec(
            select(sa.func.count())
            .select_from(LayerRow)
            .where(LayerRow.environment_id == environment.id)
        ).one()
        if held >= MAX_LAYERS:
            raise StateError(f"the environment has {held} layers", hint="delete an unused one")
        row = LayerRow(environment_id=environment.id, key=key, created_at=now, updated_at=now)
    elif row.description == description:
        return get_layer(session, environment, key), False
    row.description, row.updated_at = description, now
    session.add(row)
    session.flush()
    _audit(session, environment, key, "layer_set", actor, now, before, {"description": description})
    return get_layer(session, environment, key), is_new


def delete_layer(
    session: Session,
    project_key: str,
    environment_key: str,
    key: str,
    *,
    expected_version: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> None:
    """Forget a layer that no sealed experiment needs."""
    environment = lock_environment(session, project_key, environment_key)
    row = _get(session, environment, key)
    expect_version(row, expected_version, f"layer {key!r}")
    over = {state.value for state in FINISHED} | {State.DRAFT.value}
    query = select(Experiment).where(
        Experiment.environment_id == environment.id, col(Experiment.state).not_in(over)
    )
    for experiment in session.exec(query.order_by(col(Experiment.id))):
        if experiment.plan.get("layer") == key:
            raise StateError(
                f"experiment {experiment.key!r} was sealed for layer {key!r} and has not ended",
                hint="wait, or stop it",
            )
    session.delete(row)
    session.flush()
    before = {"description": row.description}
    _audit(session, environment, key, "layer_delete", actor, now, before, None)


# --- what an experiment asks of its layer


def check_layer(session: Session, environment: Environment, plan: Plan) -> None:
    """Refuse a plan whose layer does not exist."""
    if plan.layer is not None:
        _row_of(session, environment, plan)


def reserve(session: Session, environment: Environment, plan: Plan) -> Lane | None:
    """Find the lane that a plan asks for; ``None`` without a layer.

    Raises
    ------
    StateError
        If there is no such layer, or not enough of it is free: with who has the rest.
    """
    if plan.layer is None:
        return None
    row = _row_of(session, environment, plan)
    layer = _layer(row, _holders(session, environment), {})
    chosen = choose(layer.free, plan.layer.buckets)
    if chosen is None:
        held = ", ".join(f"{each.experiment} ({_percent(each.share)})" for each in layer.holders)
        raise StateError(
            f"layer {layer.key!r} has {_percent(layer.free_share)} free, and the experiment asks "
            f"for {_percent(plan.layer.buckets / BUCKETS)}",
            field="layer_share",
            hint=f"held by {held}: wait until one ends, or draft it with a smaller layer_share",
        )
    return Lane(layer.key, layer.salt, chosen)


def _row_of(session: Session, environment: Environment, plan: Plan) -> LayerRow:
    assert plan.layer is not None
    row = _find(session, environment, plan.layer.key)
    if row is None:
        raise StateError(
            f"there is no layer {plan.layer.key!r} in {environment.key}",
            field="layer",
            hint=f"create it: flagstone layers create {plan.layer.key}",
        )
    return row


def _layer(row: LayerRow, holders: dict[str, list[Holder]], waiting: dict[str, list[str]]) -> Layer:
    assert row.version is not None
    return Layer(
        key=row.key,
        description=row.description,
        # The row's number belongs to one environment: nobody else has buckets under this salt.
        salt=f"{SALT}{row.id}:{row.key}",
        version=row.version,
        holders=tuple(holders.get(row.key, [])),
        waiting=tuple(waiting.get(row.key, [])),
    )


def _holders(session: Session, environment: Environment) -> dict[str, list[Holder]]:
    query = (
        select(Experiment)
        .where(Experiment.environment_id == environment.id, col(Experiment.lane).is_not(None))
        .order_by(col(Experiment.id))
        .execution_options(populate_existing=True)
    )
    found: dict[str, list[Holder]] = {}
    for experiment in session.exec(query):
        lane = read_lane(experiment.lane)
        if lane is not None:
            holder = Holder(experiment.key, experiment.flag_key, experiment.state, lane)
            found.setdefault(lane.layer, []).append(holder)
    return found


def _waiting(session: Session, environment: Environment) -> dict[str, list[str]]:
    query = select(Experiment).where(
        Experiment.environment_id == environment.id, Experiment.state == State.SEALED.value
    )
    found: dict[str, list[str]] = {}
    for experiment in session.exec(query.order_by(col(Experiment.id))):
        if experiment.plan.get("layer") is not None:
            found.setdefault(experiment.plan["layer"], []).append(experiment.key)
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _find(session: Session, environment: Environment, key: str) -> LayerRow | None:
    query = select(LayerRow).where(LayerRow.environment_id == environment.id, LayerRow.key == key)
    return session.exec(query.execution_options(populate_existing=True)).one_or_none()


def _get(session: Session, environment: Environment, key: str) -> LayerRow:
    row = _find(session, environment, key)
    if row is None:
        raise NotFoundError(f"there is no layer {key!r} in {environment.key}", field="layer")
    return row


def _audit(
    session: Session,
    environment: Environment,
    key: str,
    action: str,
    actor: Actor,
    now: dt.datetime,
    before: Any,
    after: Any,
) -> None:
    audit.append(
        session,
        project_id=environment.project_id,
        environment_id=environment.id,
        actor=actor,
        action=action,
        resource=f"layer:{key}",
        before=before,
        after=after,
        now=now,
    )
