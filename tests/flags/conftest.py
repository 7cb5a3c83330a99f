"""A shop: a project of its own in a database that the tests share, and a short way to change it.

To make a database for every test would take PostgreSQL longer than all the tests.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from flags.actor import Actor
from flags.changes import ChangeResult, apply_change, parse_change, preview_change
from flags.database import Database
from flags.revisions import load_flag_set
from flags.services import (
    FlagView,
    create_flag,
    create_project,
    get_environment,
    get_flag,
    get_project,
)
from tests.conftest import empty_postgresql

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ADA = Actor("user", "ada@example.org")

CHECKOUT = {
    "key": "checkout",
    "type": "string",
    "variants": {"control": {"value": "old"}, "new": {"value": "new"}},
}


@dataclass
class Shop:
    """A project with ``production`` and ``staging``."""

    database: Database
    project: str
    now: dt.datetime = NOW
    actor: Actor = ADA

    def create(self, draft: dict[str, Any]) -> FlagView:
        with self.database.write() as session:
            return create_flag(session, self.project, draft, actor=self.actor, now=self.now)

    def change(
        self,
        *instructions: dict[str, Any],
        environment: str = "production",
        comment: str = "",
        flag: str | None = "checkout",
        **options: Any,
    ) -> ChangeResult:
        change = parse_change(
            {"instructions": list(instructions), "flag": flag, "comment": comment}
        )
        with self.database.write() as session:
            return apply_change(
                session,
                self.project,
                environment,
                change,
                actor=self.actor,
                now=self.now,
                **options,
            )

    def preview(
        self,
        *instructions: dict[str, Any],
        environment: str = "production",
        flag: str | None = "checkout",
    ) -> ChangeResult:
        change = parse_change({"instructions": list(instructions), "flag": flag})
        with self.database.read() as session:
            return preview_change(session, self.project, environment, change)

    def flag(self, key: str = "checkout") -> FlagView:
        with self.database.read() as session:
            return get_flag(session, self.project, key)

    def document(self, key: str = "checkout", environment: str = "production") -> dict[str, Any]:
        return self.flag(key).environments[environment].document

    def number(self, environment: str = "production") -> int:
        with self.database.read() as session:
            return get_environment(session, self.project, environment).revision

    def flag_set(self, number: int | None = None, environment: str = "production") -> Any:
        with self.database.read() as session:
            found = get_environment(session, self.project, environment).id
            assert found is not None
            return load_flag_set(session, found, number)

    def id(self, environment: str = "production") -> int:
        with self.database.read() as session:
            found = get_environment(session, self.project, environment).id
        assert found is not None
        return found

    @property
    def project_id(self) -> int:
        with self.database.read() as session:
            found = get_project(session, self.project).id
        assert found is not None
        return found


@pytest.fixture(scope="session")
def shared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Give a SQLite database with every table."""
    yield from _opened(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'flagstone.db'}")


@pytest.fixture(scope="session")
def shared_postgresql(postgresql_server: str) -> Iterator[Database]:
    """Give a PostgreSQL database with every table."""
    with empty_postgresql(postgresql_server) as url:
        yield from _opened(url)


def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    database.create_all()
    yield database
    database.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def shared_database(request: pytest.FixtureRequest) -> Database:
    """Give the one database of each kind: made once, in whatever order the tests run."""
    database: Database = request.getfixturevalue(f"shared_{request.param}")
    return database


@pytest.fixture
def shop(shared_database: Database) -> Shop:
    """Give a shop whose flag ``checkout`` is off everywhere."""
    made = Shop(shared_database, project=f"shop-{uuid.uuid4().hex}")
    with shared_database.write() as session:
        create_project(session, key=made.project, actor=ADA, now=NOW)
    made.create(CHECKOUT)
    return made
