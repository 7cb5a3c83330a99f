"""Write to a database again and again: one of the processes of the concurrency and crash tests.

``writer.py URL PROJECT NAME COUNT``; waits for a line on standard input, prints each revision
number once it is committed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import sys

from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.revisions import lock_all_environments
from flags.services import get_flag

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def increment(database: Database, project: str, actor: Actor) -> int:
    """Add one to the value that was read in the same transaction."""
    with database.write() as session:
        lock_all_environments(session, project)
        value = get_flag(session, project, "counter").variants["count"]["value"]
        instruction = {"do": "update_variant", "flag": "counter", "variant": "count"}
        change = parse_change({"instructions": [{**instruction, "value": value + 1}]})
        return apply_change(
            session, project, "production", change, actor=actor, now=NOW
        ).revision_number


def add_target(database: Database, project: str, actor: Actor, key: str) -> int:
    """Append a unit to the list that the change reads itself."""
    with database.write() as session:
        instruction = {"do": "add_targets", "flag": "counter", "variant": "count", "keys": [key]}
        change = parse_change({"instructions": [instruction]})
        return apply_change(
            session, project, "production", change, actor=actor, now=NOW
        ).revision_number


def main() -> None:
    """Write until done, or until killed."""
    url, project, name, count = sys.argv[1:]
    database = Database(url)
    actor = Actor("system", name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    steps = range(int(count)) if int(count) else itertools.count()
    for step in steps:
        if step % 2:
            number = increment(database, project, actor)
        else:
            number = add_target(database, project, actor, f"{name}-{step}")
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


main()
