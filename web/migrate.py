"""Migrations of the control-plane database: Alembic, configured in code.

Safe to call at every start, by any number of processes at once: one of them migrates, under a lock
that the database itself keeps, and the others find nothing left to do. A migration happens in one
transaction, on SQLite too; there, a copy of the file is made first.

Run as a program for development: ``python -m web.migrate revision "what changes"``.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from sqlmodel import AutoString, SQLModel

import experiments.catalogue.models
import experiments.models
import experiments.policies.models
import flags.models
import web.auth.models
import web.webhooks.models
from flags.database import Database, UtcDateTime, normalise_url

# To import a module of tables is to make its tables known to the metadata.
MODELS = (
    flags.models,
    experiments.models,
    experiments.catalogue.models,
    experiments.policies.models,
    web.auth.models,
    web.webhooks.models,
)
# Any number will do, as long as nothing else on the server uses it: "flagston" in ASCII.
_ADVISORY_LOCK = 0x666C616773746F6E
SCRIPTS = Path(__file__).parent / "migrations"


class MigrationError(Exception):
    """The database cannot be brought to, or is not at, the tables that this version needs."""


def upgrade(url: str, *, scripts: Path = SCRIPTS) -> str:
    """Bring a database to the newest tables; give the revision that it then has.

    Parameters
    ----------
    url : str
        An empty database, or one that an earlier version left.
    scripts : Path
        The folder of migrations.

    Raises
    ------
    MigrationError
        If the database holds tables that no migration made, or a newer version's.
    """
    with _exclusive(url) as connection:
        before = _revision_of(connection)
        _refuse_foreign(connection, before, scripts)
        head = _head(scripts)
        if before == head:
            return head
        if before is not None:
            _back_up(connection, before)
        command.upgrade(_config(scripts, connection), "head")
        _check_foreign_keys(connection)
    return head


def current(url: str) -> str | None:
    """Give the revision of a database, or ``None`` if it was never migrated."""
    with _engine(url).connect() as connection:
        return _revision_of(connection)


def check(url: str) -> None:
    """Raise if a database is not at the newest migration, or the models say something else.

    Raises
    ------
    MigrationError
        With every difference.
    """
    with _engine(url).connect() as connection:
        found = _revision_of(connection)
        if found != _head(SCRIPTS):
            raise MigrationError(
                f"the database is at {found or 'nothing'}, not at {_head(SCRIPTS)}; "
                "run: flagstone db upgrade"
            )
        context = MigrationContext.configure(connection, opts=comparison_options())
        differences = compare_metadata(context, SQLModel.metadata)
    if differences:
        listed = "\n".join(f"  {difference}" for difference in differences)
        raise MigrationError(f"models and migrations differ:\n{listed}")


def comparison_options() -> dict[str, Any]:
    """Give the options of comparing models with a database (also used by ``env.py``)."""
    return {
        "target_metadata": SQLModel.metadata,
        "compare_type": True,
        "compare_server_default": True,
        "render_as_batch": True,
        # Alembic believes that SQLite cannot; with our own BEGIN it can.
        "transactional_ddl": True,
        "render_item": _render_item,
    }


def _render_item(kind: str, item: Any, context: Any) -> str | bool:
    """Write column types so that a migration still reads the same in years."""
    if kind == "type" and isinstance(item, UtcDateTime):
        context.imports.add("import flags.database")
        return "flags.database.UtcDateTime()"
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()" if item.length is None else f"sa.String(length={item.length})"
    return False


def _config(scripts: Path, connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "m%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _head(scripts: Path) -> str:
    head = ScriptDirectory.from_config(_config(scripts)).get_current_head()
    assert head is not None
    return head


def _engine(url: str) -> sa.Engine:
    """Give an engine on which a transaction begins only when we say so."""
    engine = sa.create_engine(normalise_url(url), poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    # A migration rebuilds tables; with this on, dropping the old one would follow the references.
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA busy_timeout=60000")


@contextmanager
def _exclusive(url: str) -> Iterator[sa.Connection]:
    """Give a connection inside a transaction that only one process can be in."""
    if make_url(url).get_backend_name() == "sqlite":
        # The service's own settings for the file (WAL) cannot be made inside a transaction.
        database = Database(url)
        with database.engine.connect():
            pass
        database.dispose()
    with _engine(url).connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(
                sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
            )
        try:
            yield connection
        except BaseException:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("ROLLBACK")
            raise
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
        else:
            connection.commit()


def _revision_of(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_foreign(connection: sa.Connection, revision: str | None, scripts: Path) -> None:
    if revision is None:
        known = set(SQLModel.metadata.tables)
        present = known & set(sa.inspect(connection).get_table_names())
        if present:
            raise MigrationError(
                f"the database already has the tables {', '.join(sorted(present))}, "
                "which no migration made; give an empty database"
            )
        return
    directory = ScriptDirectory.from_config(_config(scripts))
    if revision not in {script.revision for script in directory.walk_revisions()}:
        raise MigrationError(
            f"the database is at {revision}, which this version does not know; "
            "a newer version made it"
        )


def _back_up(connection: sa.Connection, revision: str) -> None:
    """Copy a SQLite file beside itself, as it was before the migration."""
    if connection.dialect.name != "sqlite":
        return
    name = connection.engine.url.database
    if not name or name == ":memory:":
        return
    source = Path(name)
    target = source.with_name(f"{source.name}.before-upgrade-from-{revision}")
    number = 1
    while target.exists():
        number += 1
        target = source.with_name(f"{source.name}.before-upgrade-from-{revision}-{number}")
    # A reader of its own: it sees the last committed state, whatever our transaction does.
    with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(target)) as copy:
        reader.backup(copy)


def _check_foreign_keys(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise MigrationError(f"the migration would break {len(broken)} references")


def main(arguments: list[str], *, scripts: Path = SCRIPTS) -> int:
    """Make a new migration out of what differs between the models and the migrations."""
    if len(arguments) != 2 or arguments[0] != "revision":
        sys.stderr.write('usage: python -m web.migrate revision "what changes"\n')
        return 2
    engine = _engine("sqlite://")
    number = len(list(ScriptDirectory.from_config(_config(scripts)).walk_revisions())) + 1
    with engine.connect() as connection:
        config = _config(scripts, connection)
        if number > 1:
            command.upgrade(config, "head")
        command.revision(config, arguments[1], autogenerate=True, rev_id=f"{number:04}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
