"""What flags ask of their owners: killed ones, surprises, and those that had their time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.moves.places import same_person
from experiments.people.flag_work import Person
from experiments.people.task import MOST, Task
from flags import nudges, predictions
from flags.lifecycle import EXPIRED, SAFE_TO_REMOVE, STALE
from flags.models import AuditEntry, Environment, FlagEnvironment, FlagRow

_NAMED = 3
_ALARMS_FOR = dt.timedelta(days=7)
# In this order; a killed flag is a task of its own.
_HAD_THEIR_TIME = {
    EXPIRED: ("Decide", 6, "past their expiry"),
    SAFE_TO_REMOVE: ("Clean up", 9, "safe to remove"),
    STALE: ("Decide", 10, "stale"),
}


def killed(session: Session, environment: Environment, who: Person) -> Iterator[Task]:
    """Give the flags that are killed, each with the reason that was said."""
    query = (
        sa.select(col(FlagRow.key), col(FlagRow.owner))
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .where(
            col(FlagEnvironment.environment_id) == environment.id,
            col(FlagRow.archived).is_(False),
            col(FlagEnvironment.state_word) == "killed",
        )
        .order_by(col(FlagRow.key))
        .limit(MOST)
    )
    found = session.execute(query).all()
    newest = (
        sa.select(sa.func.max(col(AuditEntry.id)))
        .where(
            col(AuditEntry.environment_id) == environment.id,
            col(AuditEntry.resource).in_([f"flag:{key}" for key, _ in found]),
            col(AuditEntry.action) == "kill",
        )
        .group_by(col(AuditEntry.resource))
    )
    said = session.exec(
        select(col(AuditEntry.resource), col(AuditEntry.comment)).where(
            col(AuditEntry.id).in_(newest)
        )
    )
    reasons = dict(said.all())
    for key, owner in found:
        yield Task(
            what=f"{key} is killed: repair it, or lift the kill.",
            why=reasons.get(f"flag:{key}", ""),
            who=owner or "nobody owns it",
            mine=same_person(owner or "", who.name),
            verb="Open",
            urgency=1,
            flag=key,
        )


def parted(
    session: Session, environment: Environment, who: Person, now: dt.datetime
) -> Iterator[Task]:
    """Give the changes that moved others than was predicted, until somebody changed the flag."""
    found = predictions.find_predictions(
        session, environment.id or 0, states=(predictions.PARTS,), limit=MOST
    )
    named = {key for each in found for key in each.flags}
    query = (
        sa.select(col(FlagRow.key), col(FlagRow.owner), col(FlagEnvironment.updated_at))
        .join(FlagEnvironment, col(FlagEnvironment.flag_id) == col(FlagRow.id))
        .where(
            col(FlagEnvironment.environment_id) == environment.id,
            col(FlagRow.archived).is_(False),
            col(FlagRow.key).in_(sorted(named)),
        )
    )
    flags = {key: (owner, changed) for key, owner, changed in session.execute(query)}
    for each in found:
        left = [key for key in each.flags if key in flags and flags[key][1] <= each.at]
        if now - each.at > _ALARMS_FOR or not left:
            continue
        owner = flags[left[0]][0]
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        yield Task(
            what=f"{left[0]}{more}: revision {each.revision} moved other than predicted.",
            why=predictions.prediction_sentence(each),
            who=owner or "nobody owns it",
            mine=same_person(owner or "", who.name),
            verb="Look",
            urgency=1,
            flag=left[0],
        )


def had_their_time(session: Session, environment: Environment, who: Person) -> Iterator[Task]:
    """Give the flags that had their time: some by name, one's own first, the others as one."""
    found = nudges.find(session, environment.project_id, limit=MOST)
    for verdict, (verb, urgency, words) in _HAD_THEIR_TIME.items():
        alike = [each for each in found if each.verdict == verdict]
        alike.sort(key=lambda each: not same_person(each.owner, who.name))
        # One more line says no less than "and 1 more".
        named = alike if len(alike) == _NAMED + 1 else alike[:_NAMED]
        for each in named:
            yield Task(
                what=f"{each.flag}: {each.sentence}",
                why="",
                who=each.owner or "nobody owns it",
                mine=same_person(each.owner, who.name),
                verb=verb,
                urgency=urgency,
                flag=each.flag,
            )
        if len(alike) > len(named):
            atleast = "or more " if len(found) == MOST else ""
            yield Task(
                what=f"{len(alike) - len(named)} {atleast}other flags are {words}.",
                why="",
                who="their owners",
                mine=False,
                verb="Look",
                urgency=urgency + 1,
                cleanup=verdict,
            )
