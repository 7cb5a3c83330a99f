"""From rows to a working copy: which environments a change touches, their locks, what is there."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel import Session, col, select

from flags.audit import find_done
from flags.errors import NotFoundError
from flags.instructions import PROJECT_WIDE, Change
from flags.models import Environment, FlagEnvironment, FlagRow, Project
from flags.publish import load_flags, load_segments
from flags.revisions import load_flag_set, lock_all_environments, lock_environment
from flags.sources import load_source
from flags.workspace import State, Workspace


def environments_of(session: Session, project_key: str) -> list[Environment]:
    """Give every environment of a project, in no order and without a lock."""
    return list(
        session.exec(
            select(Environment)
            .join(Project, col(Project.id) == col(Environment.project_id))
            .where(Project.key == project_key)
        )
    )


def lock_for(
    session: Session, project_key: str, environment_key: str, change: Change
) -> tuple[Environment, list[Environment]]:
    """Take the locks that a change needs; give its environment, and the others it may change."""
    if any(isinstance(instruction, PROJECT_WIDE) for instruction in change.instructions):
        environments = lock_all_environments(session, project_key)
        return pick(environments, project_key, environment_key)
    return lock_environment(session, project_key, environment_key), []


def pick(
    environments: list[Environment], project_key: str, environment_key: str
) -> tuple[Environment, list[Environment]]:
    """Part the named environment from the others."""
    others = [each for each in environments if each.key != environment_key]
    if len(others) == len(environments):
        raise NotFoundError(
            f"there is no environment {environment_key!r} in project {project_key!r}",
            field="environment",
        )
    (environment,) = (each for each in environments if each.key == environment_key)
    return environment, others


def load_workspace(
    session: Session, environment: Environment, others: list[Environment]
) -> Workspace:
    """Give a working copy of an environment; what is elsewhere is read when it is asked for."""
    assert environment.id is not None
    environment_id = environment.id
    states: dict[str, dict[str, State]] | None = None

    def elsewhere(flag_key: str) -> Mapping[str, State]:
        nonlocal states
        if states is None:
            states = _states(session, others)
        return states.get(flag_key, {})

    return Workspace(
        environment_key=environment.key,
        flags=load_flags(session, environment),
        segments=load_segments(session, environment),
        earlier=lambda number: load_flag_set(session, environment_id, number),
        elsewhere=elsewhere,
        entry=lambda entry_id: find_done(session, environment, entry_id),
        source=lambda key, at: load_source(session, environment.project_id, key, at),
    )


def _states(session: Session, others: list[Environment]) -> dict[str, dict[str, State]]:
    found: dict[str, dict[str, State]] = {}
    for other in others:
        rows = session.exec(
            select(col(FlagRow.key), col(FlagEnvironment.state))
            .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
            .where(FlagEnvironment.environment_id == other.id)
        )
        for key, state in rows:
            found.setdefault(key, {})[other.key] = state
    return found
