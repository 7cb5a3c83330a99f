"""A shop with one project, and a short way to change its flags."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pytest

from flags.actor import Actor
from flags.changes import ChangeResult, apply_change, parse_change, preview_change
from flags.database import Database
from flags.revisions import load_flag_set
from flags.services import FlagView, create_flag, create_project, get_environment, get_flag

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ADA = Actor("user", "ada@example.org")

CHECKOUT = {
    "key": "checkout",
    "type": "string",
    "variants": {"control": {"value": "old"}, "new": {"value": "new"}},
}


@dataclass
class Shop:
    """The project ``shop`` with ``production`` and ``staging``."""

    database: Database
    now: dt.datetime = NOW
    actor: Actor = ADA

    def create(self, draft: dict[str, Any]) -> FlagView:
        with self.database.write() as session:
            return create_flag(session, "shop", draft, actor=self.actor, now=self.now)

    def change(
        self,
        *instructions: dict[str, Any],
        environment: str = "production",
        comment: str = "",
        flag: str = "checkout",
        **options: Any,
    ) -> ChangeResult:
        change = parse_change(
            {"instructions": list(instructions), "flag": flag, "comment": comment}
        )
        with self.database.write() as session:
            return apply_change(
                session, "shop", environment, change, actor=self.actor, now=self.now, **options
            )

    def preview(
        self, *instructions: dict[str, Any], environment: str = "production", flag: str = "checkout"
    ) -> ChangeResult:
        change = parse_change({"instructions": list(instructions), "flag": flag})
        with self.database.read() as session:
            return preview_change(session, "shop", environment, change)

    def flag(self, key: str = "checkout") -> FlagView:
        with self.database.read() as session:
            return get_flag(session, "shop", key)

    def document(self, key: str = "checkout", environment: str = "production") -> dict[str, Any]:
        return self.flag(key).environments[environment].document

    def number(self, environment: str = "production") -> int:
        with self.database.read() as session:
            return get_environment(session, "shop", environment).revision

    def flag_set(self, number: int | None = None, environment: str = "production") -> Any:
        with self.database.read() as session:
            found = get_environment(session, "shop", environment).id
            assert found is not None
            return load_flag_set(session, found, number)


@pytest.fixture
def shop(database: Database) -> Shop:
    """Give a shop whose flag ``checkout`` is off everywhere."""
    with database.write() as session:
        create_project(session, key="shop", actor=ADA, now=NOW)
    made = Shop(database)
    made.create(CHECKOUT)
    return made
