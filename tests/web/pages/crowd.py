"""A thousand of everything, with names as people write them: what a list looks like after years.

Rows are copied in the database; what they hold was made by the services once, in the shop.
"""

from __future__ import annotations

import itertools
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, SQLModel

from experiments.models import Experiment, LedgerEntry, Request
from flags.models import (
    AuditEntry,
    ChangeRequest,
    FlagEnvironment,
    FlagRow,
    Notice,
    SdkInstance,
)
from tests.web.pages.addresses import HERE
from tests.web.pages.shop import Shop
from web.auth.models import Token, User
from web.webhooks.models import Delivery, KillHook, Webhook

MANY = 1000
NAMES = (
    "checkout-redesign-for-returning-customers-with-a-saved-address-and-an-open-basket-v2",
    "دفع-سريع",
    "🎁-gift-wrapping-🎀",
    "Überraschungs-Rabatt",
    "x",
    "購入手続きの簡素化",
)
LISTS = {
    f"a thousand {name}": f"{HERE}/{name}"
    for name in (
        "today",
        "flags",
        "experiments",
        "library",
        "changes",
        "ledger",
        "requests",
        "metrics",
        "news",
        "audit",
        "instances",
        "people",
        "keys",
        "webhooks",
        "webhooks/1",
        "kill-hooks",
        "cleanup",
        "compare?with=staging",
    )
}


def fill(shop: Shop) -> None:
    """Copy the newest row of every list a thousand times."""
    with shop.database.write() as session:
        flags = _copies(session, FlagRow, _named("key"))
        places = (
            session.execute(
                sa.select(FlagEnvironment.__table__).where(  # type: ignore[attr-defined]
                    sa.column("flag_id")
                    == sa.select(sa.func.min(sa.column("id")))
                    .select_from(
                        FlagRow.__table__  # type: ignore[attr-defined]
                    )
                    .scalar_subquery()
                )
            )
            .mappings()
            .all()
        )
        rows = [{**place, "flag_id": flag} for flag, place in itertools.product(flags, places)]
        for row in rows:
            row.pop("id", None)
        session.execute(sa.insert(FlagEnvironment), rows)
        _copies(session, Experiment, _named("key"))
        for model in (AuditEntry, ChangeRequest, Notice, SdkInstance, LedgerEntry, Request):
            _copies(session, model, {})
        for model in (Token, User, Webhook, KillHook, Delivery):
            _copies(session, model, {})


def _named(column: str) -> dict[str, Any]:
    return {column: lambda number: f"{NAMES[number % len(NAMES)]}-{number}"}


def _copies(session: Session, model: type[SQLModel], vary: dict[str, Any]) -> list[Any]:
    table: sa.Table = model.__table__  # type: ignore[attr-defined]
    (key, *_) = table.primary_key.columns
    newest = session.execute(sa.select(table).order_by(key.desc()).limit(1)).mappings().one()
    sets = [
        [column.name for column in each.columns]
        for each in table.constraints
        if isinstance(each, sa.UniqueConstraint | sa.PrimaryKeyConstraint)
    ]
    sets += [[c.name for c in index.columns] for index in table.indexes if index.unique]
    sets += [[column.name] for column in table.columns if column.unique]
    rows = []
    for number in range(1, MANY + 1):
        row = dict(newest) | {name: make(number) for name, make in vary.items()}
        for names in sets:
            if any(name in vary for name in names):
                continue
            # Where a row is unique by what it points to, it points to another copy.
            name = ([each for each in names if not table.c[each].foreign_keys] or names)[-1]
            old = newest[name]
            row[name] = old + number if isinstance(old, int) else f"{number:04}{old}"[: len(old)]
        rows.append(row)
    session.execute(sa.insert(table), rows)
    return [row[key.name] for row in rows]
