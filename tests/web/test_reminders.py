"""Owners are told once a week of flags whose time is over."""

from __future__ import annotations

import datetime as dt

from sqlmodel import select

from experiments.moves import lease
from flags.actor import Actor
from flags.database import Database
from flags.models import Notice
from flags.services import create_flag, create_project
from web.reminders import KIND, remind

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ADA = Actor("user", "ada@example.org")


def test_a_flag_that_expires_is_told_of_once_a_week(database: Database) -> None:
    with database.write() as session:
        create_project(session, key="shop", actor=ADA, now=NOW)
        for key, day in (("soon", "04"), ("later", "30")):
            draft = {"key": key, "owner": "growth", "expires": f"2026-06-{day}T00:00:00Z"}
            create_flag(session, "shop", draft, actor=ADA, now=NOW)

    def told(days: float) -> int:
        now = NOW + dt.timedelta(days=days)
        held = lease.acquire(database, "one", now=now)
        assert held is not None
        return remind(database, held, now=now)

    assert [told(0), told(1), told(6.9), told(7.1)] == [1, 0, 0, 1]
    with database.read() as session:
        found = session.exec(select(Notice).where(Notice.kind == KIND)).all()
    assert [each.sentence for each in found] == [
        "soon expires in 3 days (owner: growth).",
        "soon expired 4 days ago (owner: growth).",
    ]
    assert found[0].resource == "flag:soon"
