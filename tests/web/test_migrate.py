"""Migrations: from nothing to every table, on both databases, whoever else starts as well."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from flags.actor import SYSTEM
from flags.database import Database, UtcDateTime, normalise_url
from flags.services import create_project, list_environments
from web import migrate


@pytest.fixture
def extra_table() -> Iterator[str]:
    """Add a table that no migration makes to the models."""
    table = sa.Table(
        "unforeseen",
        SQLModel.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("project_id", sa.ForeignKey("projects.id")),
    )
    yield table.name
    SQLModel.metadata.remove(table)


def tables(url: str) -> set[str]:
    engine = sa.create_engine(normalise_url(url))
    found = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return found


def test_an_empty_database_is_brought_to_what_the_models_say(database_url: str) -> None:
    assert migrate.current(database_url) is None
    with pytest.raises(migrate.MigrationError, match="at nothing"):
        migrate.check(database_url)
    revision = migrate.upgrade(database_url)
    assert migrate.current(database_url) == revision
    migrate.check(database_url)
    assert tables(database_url) == set(SQLModel.metadata.tables) | {"alembic_version"}


def test_upgrading_again_does_nothing(database_url: str, tmp_path: Path) -> None:
    revision = migrate.upgrade(database_url)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert migrate.upgrade(database_url) == revision
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_models_that_say_more_than_the_migrations_are_found(
    database_url: str, extra_table: str
) -> None:
    migrate.upgrade(database_url)
    with pytest.raises(migrate.MigrationError, match=extra_table):
        migrate.check(database_url)


def test_the_service_works_on_a_migrated_database(database_url: str) -> None:
    migrate.upgrade(database_url)
    database = Database(database_url)
    now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    with database.write() as session:
        create_project(session, key="shop", actor=SYSTEM, now=now)
    with database.read() as session:
        found = list_environments(session, "shop")
    database.dispose()
    assert [(each.key, each.revision, each.created_at) for each in found] == [
        ("production", 1, now),
        ("staging", 1, now),
    ]


def test_tables_that_no_migration_made_are_not_touched(database_url: str) -> None:
    database = Database(database_url)
    database.create_all()
    database.dispose()
    with pytest.raises(migrate.MigrationError, match="no migration made"):
        migrate.upgrade(database_url)
    assert migrate.current(database_url) is None


def test_a_database_of_a_newer_version_is_not_touched(database_url: str) -> None:
    migrate.upgrade(database_url)
    engine = sa.create_engine(normalise_url(database_url))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(migrate.MigrationError, match="newer version"):
        migrate.upgrade(database_url)


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    # A forked process would keep this one's signal handlers, and might not let itself be ended.
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(migrate.upgrade, [database_url] * 4, chunksize=1)
    assert len(set(found)) == 1
    migrate.check(database_url)


SECOND = """
revision = "zz02"
down_revision = {head!r}
branch_labels = None
depends_on = None

import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("projects") as batch:
        batch.add_column(sa.Column("colour", sa.String(), nullable=True))
        # On SQLite, this rebuilds the table that others refer to.
        batch.alter_column("name", existing_type=sa.String(), nullable=True)
    {then}
"""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """Give a copy of the migrations, to which later ones can be added."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def add_migration(folder: Path, then: str) -> None:
    head = ScriptDirectory(str(folder)).get_current_head()
    (folder / "versions" / "zz02.py").write_text(SECOND.format(head=head, then=then))


def make_project(url: str) -> None:
    engine = sa.create_engine(normalise_url(url))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO projects (id, key, name, created_at) "
                "VALUES (1, 'shop', 'Shop', '2026-06-01 00:00:00')"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO environments (id, project_id, key, name, production, position, "
                "revision, created_at, version) "
                "VALUES (1, 1, 'production', '', true, 0, 0, '2026-06-01 00:00:00', 1)"
            )
        )
    engine.dispose()


def columns(url: str) -> set[str]:
    engine = sa.create_engine(normalise_url(url))
    found = {column["name"] for column in sa.inspect(engine).get_columns("projects")}
    engine.dispose()
    return found


def test_a_later_migration_keeps_the_rows_and_their_references(
    database_url: str, later: Path, tmp_path: Path
) -> None:
    migrate.upgrade(database_url)
    make_project(database_url)
    add_migration(later, "")
    assert migrate.upgrade(database_url, scripts=later) == "zz02"
    assert "colour" in columns(database_url)
    engine = sa.create_engine(normalise_url(database_url))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM environments")).scalar() == 1
    engine.dispose()
    backups = list(tmp_path.glob("flagstone.db.before-*"))
    assert len(backups) == (1 if database_url.startswith("sqlite") else 0)
    for backup in backups:
        with sqlite3.connect(backup) as connection:
            assert connection.execute("SELECT key FROM projects").fetchall() == [("shop",)]
            names = {row[1] for row in connection.execute("PRAGMA table_info(projects)")}
        connection.close()
        assert "colour" not in names


def test_a_database_of_the_first_version_gets_the_tables_of_later_ones(
    database_url: str, later: Path
) -> None:
    first = migrate.SCRIPTS / "versions" / "m0001_create_every_table.py"
    for script in (later / "versions").glob("m*.py"):
        if script.name != first.name:
            script.unlink()
    assert migrate.upgrade(database_url, scripts=later) == "0001"
    make_project(database_url)
    assert "sdk_instances" not in tables(database_url)
    migrate.upgrade(database_url)
    migrate.check(database_url)
    engine = sa.create_engine(normalise_url(database_url))
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT key FROM environments")).scalar() == "production"
        assert connection.execute(sa.text("SELECT count(*) FROM sdk_instances")).scalar() == 0
    engine.dispose()


STATE = {"enabled": True, "killed": False, "rules": [], "default": "on", "off": "off",
         "targets": [], "prerequisites": []}  # fmt: skip


def value_for(column: sa.Column[Any]) -> Any:
    """Give something that a column may hold; each row is the first of its table."""
    if isinstance(column.type, sa.JSON):
        return STATE if column.name == "state" else {}
    kind = column.type.python_type
    if kind is dt.datetime:
        return dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    if kind is str:
        return column.name[: getattr(column.type, "length", None) or 60]
    return {int: 1, bool: False, float: 0.5, bytes: b"x"}[kind]


def test_every_row_that_the_first_version_wrote_is_there_in_the_newest(
    database_url: str, later: Path
) -> None:
    first = migrate.SCRIPTS / "versions" / "m0001_create_every_table.py"
    for script in (later / "versions").glob("m*.py"):
        if script.name != first.name:
            script.unlink()
    migrate.upgrade(database_url, scripts=later)
    engine = sa.create_engine(normalise_url(database_url))
    old = sa.MetaData()
    old.reflect(engine)
    names = [each.name for each in old.sorted_tables if each.name != "alembic_version"]
    with engine.begin() as connection:
        for name in names:
            row = {each.name: value_for(each) for each in old.tables[name].columns}
            connection.execute(old.tables[name].insert().values(row))
    engine.dispose()
    migrate.upgrade(database_url)
    migrate.check(database_url)
    engine = sa.create_engine(normalise_url(database_url))
    new = sa.MetaData()
    new.reflect(engine)
    assert len(names) > 8
    with engine.connect() as connection:
        for name in names:
            kept = [each for each in old.tables[name].columns if each.name in new.tables[name].c]
            (row,) = connection.execute(sa.select(*(new.tables[name].c[c.name] for c in kept)))
            for column, value in zip(kept, row, strict=True):
                wanted = value_for(column)
                if isinstance(wanted, dt.datetime):
                    wanted, value = wanted.replace(tzinfo=None), value.replace(tzinfo=None)
                assert value == wanted, (name, column.name)
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, later: Path) -> None:
    before = migrate.upgrade(database_url)
    make_project(database_url)
    add_migration(later, 'raise RuntimeError("in the middle")')
    with pytest.raises(RuntimeError, match="in the middle"):
        migrate.upgrade(database_url, scripts=later)
    assert migrate.current(database_url) == before
    assert "colour" not in columns(database_url)


def test_a_migration_that_breaks_references_is_undone(tmp_path: Path, later: Path) -> None:
    url = f"sqlite:///{tmp_path / 'flagstone.db'}"
    before = migrate.upgrade(url)
    make_project(url)
    add_migration(later, 'op.execute("DELETE FROM projects")')
    with pytest.raises(migrate.MigrationError, match="references"):
        migrate.upgrade(url, scripts=later)
    assert migrate.current(url) == before


def test_a_new_migration_is_written_from_the_models(
    later: Path, extra_table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate.main(["revision", "Foresee it"], scripts=later) == 0
    (written,) = later.glob("versions/*_foresee_it.py")
    text = written.read_text()
    assert "flags.database.UtcDateTime()" in text
    assert "import flags.database" in text
    assert extra_table in text
    compile(text, written.name, "exec")
    assert migrate.main([]) == 2
