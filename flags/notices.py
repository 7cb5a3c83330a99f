"""Notices: what happened, in plain words, written in the transaction in which it happens.

A notice is there if and only if what it tells of was done. Webhooks deliver it (``web.webhooks``),
and people read it: :func:`recent_notifications`.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags.actor import Actor
from flags.errors import InvalidInputError
from flags.models import Notice, NoticeReader, Project

KINDS: Mapping[str, str] = {
    "flag.created": "a flag was made",
    "flag.changed": "flags or segments of an environment were changed",
    "flag.killed": "a flag was killed",
    "flag.moved": "a change moved more or fewer people than was predicted",
    "flag.stale": "a flag looks done and can be removed, or its time is over",
    "approval.requested": "somebody asks others to approve a change",
    "approval.given": "a change was approved",
    "approval.declined": "a change was declined or withdrawn",
    "approval.applied": "an approved change was applied, or had become stale",
    "schedule.set": "a change was given a time",
    "schedule.applied": "a scheduled change was carried out",
    "schedule.failed": "a scheduled change was not carried out",
    "experiment.verdict": "an experiment has a verdict",
    "experiment.alarm": "an experiment has an alarm, or a guardrail held it",
    "experiment.changed": "an experiment took any other step",
    "project.changed": "keys, protection, metrics or other settings were changed",
    "webhook.disabled": "a webhook was disabled after failing for long",
    "webhook.test": "somebody tests a webhook",
}
# What is worth a person's minute; everything else is in the audit.
FOR_PEOPLE = (
    *("flag.killed", "flag.moved", "flag.stale", "webhook.disabled"),
    *(kind for kind in KINDS if kind.startswith(("approval.", "schedule."))),
    *("experiment.verdict", "experiment.alarm"),
)
KEPT_FOR = dt.timedelta(days=90)
MOST_UNREAD = 100
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice as one person sees it; ``unread`` until they have marked it, never for their own."""

    notice: Notice
    unread: bool


def write(
    session: Session,
    kind: str,
    sentence: str,
    *,
    project_id: int,
    environments: Sequence[str] = (),
    actor: Actor,
    resource: str,
    reason: str = "",
    facts: Mapping[str, Any] | None = None,
    now: dt.datetime,
) -> Notice:
    """Write down, in the caller's transaction, that something happens.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    sentence : str
        Who did what, in plain words.
    environments : sequence of str
        Keys of the environments that it is about, the main one first; none for the whole project.
    resource : str
        What it is about: ``flag:checkout``.
    """
    if kind not in KINDS:
        msg = f"no such kind of notice: {kind}"
        raise ValueError(msg)
    notice = Notice(
        message_id=f"msg_{secrets.token_hex(16)}",
        project_id=project_id,
        environments=list(environments),
        kind=kind,
        at=now,
        actor=str(actor),
        resource=resource,
        sentence=sentence[:_LONGEST],
        reason=reason[:_LONGEST],
        facts=dict(facts or {}),
    )
    session.add(notice)
    return notice


def who(actor: Actor | str) -> str:
    """Give an actor as a sentence names them."""
    kind, _, name = str(actor).partition(":")
    named = {"user": name, "token": f"the key {name}", "hook": f"the kill hook {name}"}
    return "Flagstone" if kind == "system" else named.get(kind, str(actor))


def matches(kind: str, wanted: Collection[str]) -> bool:
    """Tell whether a kind is wanted: by name, by its group (``flag``), or because all are."""
    return not wanted or kind in wanted or kind.partition(".")[0] in wanted


def check_kinds(kinds: Sequence[str], field: str) -> list[str]:
    """Give the kinds without repetitions, or refuse one that there is not."""
    groups = sorted({kind.partition(".")[0] for kind in KINDS})
    for index, kind in enumerate(kinds):
        if kind not in KINDS and kind not in groups:
            raise InvalidInputError(
                f"there is no kind of event {kind[:80]!r}",
                field=f"{field}[{index}]",
                hint=f"one of {', '.join((*groups, *KINDS))}",
            )
    return list(dict.fromkeys(kinds))


def recent_notifications(
    session: Session,
    project: Project,
    person: Actor | str,
    *,
    environments: Collection[str],
    kinds: Collection[str] = FOR_PEOPLE,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Notification]:
    """Give what happened in a project that a person may want to know, newest first.

    Parameters
    ----------
    environments : collection of str
        Keys of those that the person may know of; what is about none of them is left out.
    """
    read = _read_up_to(session, project, person)
    found: list[Notification] = []
    while len(found) < limit:
        query = select(Notice).where(
            Notice.project_id == project.id, col(Notice.kind).in_(_named(kinds))
        )
        if before_id is not None:
            query = query.where(col(Notice.id) < before_id)
        some = session.exec(query.order_by(col(Notice.id).desc()).limit(limit)).all()
        found += [
            Notification(each, (each.id or 0) > read and each.actor != str(person))
            for each in some
            if _is_about(each.environments, environments)
        ]
        if len(some) < limit:
            break
        before_id = some[-1].id
    return found[:limit]


def count_unread(
    session: Session,
    project: Project,
    person: Actor | str,
    *,
    environments: Collection[str],
) -> int:
    """Count what :func:`recent_notifications` shows as unread; at most ``MOST_UNREAD``."""
    read = (
        sa.select(sa.func.max(col(NoticeReader.read_up_to)))
        .where(col(NoticeReader.project_id) == project.id, col(NoticeReader.person) == str(person))
        .scalar_subquery()
    )
    # The places alone: every page of the console asks, and needs no sentence.
    query = (
        select(col(Notice.environments))
        .where(
            Notice.project_id == project.id,
            col(Notice.kind).in_(FOR_PEOPLE),
            col(Notice.id) > sa.func.coalesce(read, 0),
            Notice.actor != str(person),
        )
        .order_by(col(Notice.id).desc())
        .limit(MOST_UNREAD)
    )
    return sum(_is_about(each, environments) for each in session.exec(query))


def mark_read(session: Session, project: Project, person: Actor | str, up_to: int) -> None:
    """Remember that a person has read a project's notices up to one of them."""
    assert project.id is not None
    newest = session.exec(
        select(sa.func.max(col(Notice.id))).where(col(Notice.project_id) == project.id)
    ).one()
    row = session.get(NoticeReader, (project.id, str(person)))
    if row is None:
        row = NoticeReader(project_id=project.id, person=str(person), read_up_to=0)
    # A number of the future would hide what has not happened yet.
    row.read_up_to = max(row.read_up_to, min(up_to, newest or 0))
    session.add(row)
    session.flush()


def _is_about(places: Collection[str], environments: Collection[str]) -> bool:
    return not places or bool(set(places) & set(environments))


def _named(kinds: Collection[str]) -> list[str]:
    return [kind for kind in KINDS if matches(kind, kinds)]


def _read_up_to(session: Session, project: Project, person: Actor | str) -> int:
    row = session.get(NoticeReader, (project.id, str(person)))
    return 0 if row is None else row.read_up_to
