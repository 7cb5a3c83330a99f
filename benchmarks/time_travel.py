"""Time travel is exact: what the SDK's engine served at an instant is served again for it.

Simulated days of random edits (rules with starts and ends, conditions on the clock, kills, reverts,
undoing), of changes with a time of their own and of ramps in such steps, in two environments. A
live client holds the newest published flag set, as SDKs do, and its answers are recorded: at the
very instant of a revision, just before and after it, and in between. Then every record is asked for
anew through the revision that was in force at its instant.
``python benchmarks/time_travel.py [--evaluations N] [--seed S]``; exits 1 on a difference.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session

from flags import audit
from flags.actor import Actor
from flags.change_requests import submit
from flags.changes import apply_change, parse_change
from flags.database import Database
from flags.errors import FlagstoneError
from flags.request_rows import APPLIED, Writing
from flags.revisions import load_bytes, revision_at, unpack
from flags.schedules import due, give_up, perform
from flags.services import create_flag, create_project, get_environment
from flagstone.engine import (
    CompiledFlagSet,
    EvaluationDetails,
    compile_flag_set,
    evaluate,
    parse_flag_set,
)

START = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ACTOR = Actor("system", "time travel")
MICROSECOND = dt.timedelta(microseconds=1)
FLAGS = ("a", "b", "c")
VARIANTS = ("on", "off", "third")
ENVIRONMENTS = ("production", "staging")
LONGEST_PAUSE_SECONDS = 3600
CONTEXTS = 40


@dataclass(frozen=True, slots=True)
class Record:
    """What a client was served at an instant."""

    environment: str
    at: dt.datetime
    flag: str
    context: Mapping[str, Any]
    served: EvaluationDetails


@dataclass(frozen=True, slots=True)
class Travel:
    """How a run went; ``differences`` are the records that came out otherwise."""

    records: list[Record]
    edits: int
    refused: int
    scheduled: int
    instants: int
    differences: list[Record]


def travel(
    database: Database, project: str, *, evaluations: int, seed: int, contexts: int = 6
) -> Travel:
    """Record evaluations while flags are edited, and replay each of them.

    ``contexts`` is how many are evaluated at each instant in each environment.
    """
    rng = random.Random(seed)
    with database.write() as session:
        create_project(session, key=project, actor=ACTOR, now=START)
        for key in FLAGS:
            create_flag(session, project, {"key": key}, actor=ACTOR, now=START)
    records: list[Record] = []
    moment, edits, refused, scheduled = START, 0, 0, 0
    while len(records) < evaluations:
        moment += dt.timedelta(
            seconds=rng.choice([0, 1e-6, 0.5, rng.uniform(1, LONGEST_PAUSE_SECONDS)])
        )
        # The last evaluations of what was in force, one of them as late as there can be.
        before = moment - MICROSECOND
        if records and before > records[-1].at:
            records += _evaluations(database, project, before, rng, contexts)
        scheduled += _carry_out(database, moment)
        if rng.random() < 0.6:
            _schedule(database, project, moment, rng)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):  # Some within one instant.
            done = _edit(database, project, moment, rng)
            edits, refused = edits + done, refused + (not done)
        later = moment + dt.timedelta(seconds=rng.uniform(0, LONGEST_PAUSE_SECONDS))
        for instant in (moment, moment + MICROSECOND, later):
            records += _evaluations(database, project, instant, rng, contexts)
        moment = later + MICROSECOND
    with database.read() as session:
        differences = _replayed(session, project, records)
    instants = len({(each.environment, each.at) for each in records})
    return Travel(records, edits, refused, scheduled, instants, differences)


def _evaluations(
    database: Database, project: str, at: dt.datetime, rng: random.Random, contexts: int
) -> list[Record]:
    found = []
    for environment in ENVIRONMENTS:
        with database.read() as session:
            number = get_environment(session, project, environment).id or 0
            live = compile_flag_set(parse_flag_set(load_bytes(session, number), strict=True))
        for _ in range(contexts):
            context = {
                "targetingKey": f"u{rng.randrange(50)}",
                "n": rng.randrange(4),
                "since": _instant(at + dt.timedelta(hours=rng.randint(-3, 3))),
            }
            flag = rng.choice([*FLAGS, "unknown"])
            served = live.evaluate(flag, context, at.timestamp())
            found.append(Record(environment, at, flag, context, served))
    return found


def _replayed(session: Session, project: str, records: list[Record]) -> list[Record]:
    ids = {key: get_environment(session, project, key).id or 0 for key in ENVIRONMENTS}
    compiled: dict[int | None, CompiledFlagSet] = {}
    differences = []
    for index, record in enumerate(records):
        revision = revision_at(session, ids[record.environment], record.at)
        if revision.id not in compiled:
            compiled[revision.id] = compile_flag_set(parse_flag_set(unpack(revision), strict=False))
        then = compiled[revision.id]
        again = then.evaluate(record.flag, record.context, record.at.timestamp())
        if index % 10 == 0:  # The engine's plain form, which explanations walk.
            flag_set = parse_flag_set(unpack(revision), strict=False)
            plain = evaluate(flag_set, record.flag, record.context, record.at.timestamp())
            again = plain if plain != record.served else again
        if again != record.served:
            differences.append(record)
    return differences


def _edit(database: Database, project: str, now: dt.datetime, rng: random.Random) -> bool:
    environment = rng.choice(ENVIRONMENTS)
    try:
        with database.write() as session:
            instructions = [_instruction(session, project, environment, now, rng)]
            if rng.random() < 0.3:
                instructions.append(_instruction(session, project, environment, now, rng))
            change = parse_change({"instructions": instructions})
            apply_change(session, project, environment, change, actor=ACTOR, now=now)
    except FlagstoneError:
        return False
    return True


def _schedule(database: Database, project: str, now: dt.datetime, rng: random.Random) -> None:
    """Give a change its time, or the steps of a ramp theirs."""
    environment = rng.choice(ENVIRONMENTS)
    start = now + dt.timedelta(seconds=rng.uniform(1, LONGEST_PAUSE_SECONDS))
    steps: list[tuple[dt.datetime, list[dict[str, Any]]]]
    try:
        with database.write() as session:
            if rng.random() < 0.5:
                steps = [(start, [_instruction(session, project, environment, now, rng)])]
            else:
                widen = {"do": "set_coverage", "flag": rng.choice(FLAGS), "rule": "r1"}
                steps = [
                    (start + number * dt.timedelta(minutes=7), [{**widen, "value": share}])
                    for number, share in enumerate((0.1, 0.4, 1.0))
                ]
            for at, instructions in steps:
                document = {"mode": "schedule", "at": _instant(at), "instructions": instructions}
                submit(
                    session,
                    project,
                    environment,
                    parse_change(document),
                    by=Writing(ACTOR),
                    now=now,
                )
    except FlagstoneError:
        return


def _carry_out(database: Database, now: dt.datetime) -> int:
    """Do what the worker does with what is due; give how many changes were applied."""
    with database.read() as session:
        waiting = due(session, now)
    applied = 0
    for each in waiting:
        try:
            with database.write() as session:
                done = perform(session, each, now=now)
                applied += done is not None and done.state == APPLIED
        except FlagstoneError as error:
            with database.write() as session:
                give_up(session, each, error, now=now)
    return applied


def _instruction(
    session: Session, project: str, environment: str, now: dt.datetime, rng: random.Random
) -> dict[str, Any]:
    found = get_environment(session, project, environment)
    flag, rule, variant = rng.choice(FLAGS), rng.choice(["r1", "r2"]), rng.choice(VARIANTS)
    soon = [_instant(now + dt.timedelta(minutes=rng.randint(-90, 90))) for _ in range(2)]
    split = {"split": {"weights": {"on": rng.randint(1, 3), "off": 1}, "coverage": rng.random()}}
    entries = audit.entries(session, found.project_id, environment_id=found.id, limit=5)
    condition = rng.choice(
        [
            True,
            {"attr": "n", "op": "gte", "values": [rng.randrange(4)]},
            {"attr": "since", "op": "before", "values_from": {"clock": "now"}},
            {"flag": rng.choice(FLAGS), "on": True},
        ]
    )
    body = {"id": rule, "when": condition, "serve": rng.choice([variant, split])}
    body |= dict(rng.sample([("start", min(soon)), ("end", max(soon))], rng.randint(0, 2)))
    choices: list[dict[str, Any]] = [
        {"do": "turn_on"},
        {"do": "turn_on"},
        {"do": "turn_off"},
        {"do": "kill"},
        {"do": "unkill"},
        {"do": "add_rule", "rule": body},
        {"do": "add_rule", "rule": body},
        {"do": "update_rule", "rule": body},
        {"do": "remove_rule", "rule": rule},
        {"do": "set_coverage", "rule": rule, "value": rng.random()},
        {"do": "set_default", "variant": rng.choice([None, variant])},
        {"do": "add_targets", "variant": variant, "keys": ["u1", "u2"], "until": max(soon)},
        {"do": "add_variant", "variant": "third", "value": True},
        {"do": "update_variant", "variant": variant, "value": rng.random() < 0.5},
        {"do": "archive"},
        {"do": "restore"},
        {"do": "restore"},
        {"do": "revert_to", "revision": rng.randint(1, found.revision)},
    ]
    instruction = rng.choice([*choices, {"do": "undo", "entry": rng.choice(entries).id}])
    return instruction if instruction["do"] == "undo" else {"flag": flag, **instruction}


def _instant(moment: dt.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def main() -> int:
    """Run, and say how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'flagstone.db'}")
        database.create_all()
        # Nothing of it has to outlive a power cut.
        _without_waiting_for_the_disk(database)
        done = travel(
            database,
            "shop",
            evaluations=wanted.evaluations,
            seed=wanted.seed,
            contexts=CONTEXTS,
        )
        database.dispose()
    print(
        f"{len(done.records):,} evaluations at {done.instants:,} instants under {done.edits:,} "
        f"edits ({done.refused:,} refused) and {done.scheduled:,} scheduled changes: "
        f"{len(done.differences)} differences, "
        f"{time.monotonic() - started:.0f} s"
    )
    for record in done.differences[:5]:
        print(record)
    return 1 if done.differences else 0


def _without_waiting_for_the_disk(database: Database) -> None:
    import sqlalchemy as sa

    for engine in (database.engine, database._write_engine):
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))


if __name__ == "__main__":
    sys.exit(main())
