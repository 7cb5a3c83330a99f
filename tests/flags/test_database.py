"""What a session promises on both databases."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from flags.database import Database, ask_again, once
from flags.errors import VersionConflictError
from flags.models import Environment, FlagRow, Project
from flags.revisions import load_flag_set
from flags.services import get_environment, list_segments

NOW = dt.datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)


def row_of(session: Session, shop: Any) -> FlagRow:
    return session.exec(select(FlagRow).where(FlagRow.project_id == shop.project_id)).one()


def test_an_edit_of_a_stale_row_is_a_conflict_and_never_a_lost_update(shop: Any) -> None:
    with shop.database.read() as session:
        stale = row_of(session, shop)
        session.expunge(stale)
    stale.name = "second"
    with shop.database.write() as session:
        row_of(session, shop).name = "first"
    with pytest.raises(VersionConflictError), shop.database.write() as session:
        session.add(stale)
    assert shop.flag().name == "first"


def test_a_time_comes_back_aware_in_utc_to_the_microsecond(shared_database: Database) -> None:
    elsewhere = NOW.astimezone(dt.timezone(dt.timedelta(hours=5)))
    with shared_database.write() as session:
        session.add(Project(key="times", name="p", created_at=elsewhere))
    with shared_database.read() as session:
        found = session.exec(select(Project).where(Project.key == "times")).one()
        assert found.created_at == NOW
        assert found.created_at.tzinfo is dt.UTC


def test_a_naive_time_is_refused(shared_database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive"), shared_database.write() as session:
        session.add(Project(key="p", name="p", created_at=NOW.replace(tzinfo=None)))


def test_a_reference_to_nothing_is_refused(shared_database: Database) -> None:
    with pytest.raises(IntegrityError), shared_database.write() as session:
        session.add(Environment(project_id=999_999, key="e", name="e", created_at=NOW))


def test_the_bare_condition_true_survives(shop: Any) -> None:
    shop.change({"do": "add_segment", "segment": "all", "condition": True})
    with shop.database.read() as session:
        (segment,) = list_segments(session, shop.project, "production")
        assert segment.condition is True


def test_an_exception_undoes_everything_and_reading_keeps_nothing(shop: Any) -> None:
    def fail() -> None:
        with shop.database.write() as session:
            row_of(session, shop).name = "half"
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with shop.database.read() as session:
        row_of(session, shop).name = "read"
        session.flush()
    assert shop.flag().name == ""


def test_a_new_sqlite_file_that_another_process_is_writing_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    outcome: list[str] = []

    def open_it() -> None:
        database = Database(f"sqlite:///{file}")
        try:
            with database.write() as session:
                session.execute(sa.text("CREATE TABLE second (x)"))
            outcome.append("opened")
        except sa.exc.OperationalError as error:
            outcome.append(str(error))

    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE first (x)")
    other.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=open_it)
    thread.start()
    # SQLite does not wait for the lock that the switch to WAL needs: without ours, it fails here.
    thread.join(0.3)
    assert outcome == []
    other.execute("COMMIT")
    thread.join(60)
    other.close()
    assert outcome == ["opened"]


def test_a_reading_session_sees_one_moment(shop: Any) -> None:
    with shop.database.read() as session:
        before = load_flag_set(session, shop.id())
        shop.change({"do": "turn_on"})
        assert load_flag_set(session, shop.id()) == before
        assert get_environment(session, shop.project, "production").revision == before["version"]
    assert shop.flag_set()["version"] == before["version"] + 1


def test_a_reading_session_asks_once_and_one_that_writes_asks_every_time(shop: Any) -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    with shop.database.read() as session:
        assert [once(session, "what", ask), once(session, "what", ask)] == [1, 1]
        assert once(session, "else", ask) == 2
        ask_again(session)
        assert once(session, "what", ask) == 3
    with shop.database.read() as session:
        assert once(session, "what", ask) == 4
    with shop.database.write() as session:
        assert [once(session, "what", ask), once(session, "what", ask)] == [5, 6]
