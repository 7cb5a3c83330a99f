"""A backup of one installation while it runs: a folder that can serve as its data folder.

The control database is copied before the events. An event that the copy has and no look of it has
read is read by the next look; the other way round a look would rest on events that are gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from experiments.store.backup import copy_events, copy_sqlite
from flags.errors import AlreadyExistsError, NotFoundError
from web.settings import Settings


@dataclass(frozen=True)
class Backup:
    """What was copied, and what was not: a PostgreSQL database is its own tools' to back up."""

    folder: Path
    database: Path | None
    event_files: int | None

    @property
    def left(self) -> list[str]:
        """Name the settings whose databases are not in the folder."""
        names = []
        if self.database is None:
            names.append("FLAGSTONE_DATABASE_URL")
        if self.event_files is None:
            names.append("FLAGSTONE_EVENTS_URL")
        return names

    @property
    def sentence(self) -> str:
        """Say what there is now, for people."""
        parts = [] if self.database is None else [f"the database ({self.database.name})"]
        if self.event_files is not None:
            parts.append(f"the events ({self.event_files} files beside those that waited)")
        said = f"{self.folder} has {' and '.join(parts) or 'nothing'}."
        if self.left:
            said += f" Back up with pg_dump what is in PostgreSQL: {', '.join(self.left)}."
        return said


def back_up(settings: Settings, folder: Path) -> Backup:
    """Copy an installation's SQLite database and event folder into a new folder.

    Raises
    ------
    AlreadyExistsError
        There is something at ``folder``.
    NotFoundError
        The installation has no database yet.
    """
    if folder.exists():
        message = f"{folder} exists already"
        raise AlreadyExistsError(message, hint="each backup gets a folder of its own")
    database = _sqlite_file(settings.database_url)
    if database is not None and not database.is_file():
        message = f"there is no database at {database}"
        raise NotFoundError(message, hint="see FLAGSTONE_DATABASE_URL and FLAGSTONE_DATA_DIR")
    # Under a name of its own until it is whole: half a backup is none.
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True)
    copied = None
    if database is not None:
        copy_sqlite(database, partial / database.name)
        copied = folder / database.name
    files = None
    if not settings.events_url:
        files = copy_events(settings.events_directory, partial / settings.events_directory.name)
    partial.rename(folder)
    return Backup(folder, copied, files)


def _sqlite_file(url: str) -> Path | None:
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite":
        return None
    return Path(parts.database or "")
