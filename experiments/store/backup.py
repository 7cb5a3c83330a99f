"""A copy of an event folder in use, consistent to the event: what an operator backs up.

A plain copy of the folder is not one: the list of files is in SQLite, a merge replaces files, and a
clean-up deletes those that it replaced. Here the list is copied first, at one instant, and as long
as its files are being copied no process deletes any.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from experiments.store.inbox import inbox_path
from experiments.store.locks import shared


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one instant, whoever writes meanwhile, onto the disk."""
    with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(target)) as copy:
        reader.backup(copy)
    _sync(target)


def copy_events(source: Path, target: Path) -> int:
    """Copy an event folder into an empty one; give how many files of columns it has.

    Nobody has to stop: what comes in meanwhile is in the next copy.

    Raises
    ------
    OSError
        A file cannot be read or written.
    sqlite3.Error
        The list of files cannot be copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    if not inbox_path(source).exists():
        return 0
    # While this lock is held no file that the copied list names is deleted.
    with shared(source / "readers.lock"):
        copy_sqlite(inbox_path(source), inbox_path(target))
        with closing(sqlite3.connect(inbox_path(target))) as connection:
            paths = [path for (path,) in connection.execute("SELECT path FROM files")]
        for path in paths:
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, place)
            _sync(place)
    return len(paths)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
