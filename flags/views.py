"""What readers get of flags and segments: frozen, plain, safe after the session is closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from flags.models import Environment, FlagEnvironment, FlagRow
from flags.sentence import describe, state_word
from flags.workspace import FlagCopy, State, empty_state


@dataclass(frozen=True)
class FlagInEnvironment:
    """A flag in one environment: ``document`` is the flag as it is published."""

    environment: str
    version: int
    updated_at: dt.datetime
    document: dict[str, Any]

    @property
    def state(self) -> State:
        """What differs between environments."""
        names = empty_state(off=None, default=None)
        return {name: self.document[name] for name in names}

    @property
    def sentence(self) -> str:
        """The flag's behaviour in plain words."""
        return describe(self.document, environment=self.environment)

    @property
    def state_word(self) -> str:
        """The flag's state in a word or two."""
        return state_word(self.document)


@dataclass(frozen=True)
class FlagView:
    """A flag, and how it is in each environment (by key, in the project's order)."""

    key: str
    type: str
    name: str
    description: str
    owner: str
    client: bool
    archived: bool
    expires: str | None
    kind: str
    metadata: dict[str, Any]
    variants: dict[str, Any]
    created_at: dt.datetime
    version: int
    environments: dict[str, FlagInEnvironment]


@dataclass(frozen=True)
class SegmentView:
    """A named condition of one environment."""

    key: str
    name: str
    condition: Any
    created_at: dt.datetime
    version: int


def views_of(
    session: Session, environments: list[Environment], rows: list[FlagRow]
) -> list[FlagView]:
    """Give the views of flags in environments."""
    here: dict[int, dict[int, FlagEnvironment]] = {}
    ids = [row.id for row in rows]
    places = [each.id for each in environments]
    for start in range(0, len(ids), 500):
        for found in session.exec(
            select(FlagEnvironment)
            .where(
                col(FlagEnvironment.flag_id).in_(ids[start : start + 500]),
                col(FlagEnvironment.environment_id).in_(places),
            )
            .execution_options(populate_existing=True)
        ):
            here.setdefault(found.flag_id, {})[found.environment_id] = found
    return [_view(row, environments, here.get(row.id or 0, {})) for row in rows]


def _view(
    row: FlagRow, environments: list[Environment], here: Mapping[int, FlagEnvironment]
) -> FlagView:
    found = {}
    for environment in environments:
        state = here.get(environment.id or 0)
        if state is not None:
            found[environment.key] = FlagInEnvironment(
                environment=environment.key,
                version=state.flag_version,
                updated_at=state.updated_at,
                document=copy_of(row, state.state, state.flag_version).document(),
            )
    return FlagView(
        key=row.key,
        type=row.type,
        name=row.name,
        description=row.description,
        owner=row.owner,
        client=row.client,
        archived=row.archived,
        expires=row.expires,
        kind=row.kind,
        metadata=row.flag_metadata,
        variants=row.variants,
        created_at=row.created_at,
        version=row.version or 1,
        environments=found,
    )


def copy_of(row: FlagRow, state: State, version: int) -> FlagCopy:
    """Give a flag and its state in an environment as one plain copy."""
    return FlagCopy(
        key=row.key,
        type=row.type,
        name=row.name,
        description=row.description,
        owner=row.owner,
        client=row.client,
        archived=row.archived,
        expires=row.expires,
        kind=row.kind,
        metadata=row.flag_metadata,
        variants=row.variants,
        state=state,
        version=version,
    )
