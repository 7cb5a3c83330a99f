"""The audit: who changed which fields of what, when and why. Append-only, each entry hashed.

Each environment has a chain of its own, and each project one for what is not an environment's, so
that two environments never wait for each other. Within a chain, an entry holds the hash of the one
before it: to alter, insert, drop or reorder entries is to break the chain at that place. An entry
of what was published holds the hash of the flag set (:mod:`flags.anchors` compares). (What a chain
cannot show is that its newest entries are missing; keep a copy of the last hash elsewhere.)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from flags import notices
from flags.actor import Actor
from flags.chains import FLAG_SET, HASHED, START, BrokenEntry, check_entries, entry_hash
from flags.errors import InvalidInputError, NotFoundError, NotInvertibleError
from flags.linking import Deed, append_together, common_of, instant, linked
from flags.models import AuditEntry, Environment, Project, Revision
from flags.workspace import Done

__all__ = [
    "START",
    "BrokenEntry",
    "Deed",
    "append",
    "append_together",
    "entries",
    "entry_document",
    "entry_hash",
    "export_entries",
    "export_page",
    "find_done",
    "get_entry",
    "verify_chain",
    "written_together",
]

PAGE = 500
_WITH_OWN_NOTICE = frozenset({"flag", "segment", "change"})
_UNREADABLE = (ValueError, TypeError, AttributeError, sa.exc.OperationalError)


def append(
    session: Session,
    *,
    project_id: int,
    environment_id: int | None = None,
    actor: Actor,
    action: str,
    resource: str,
    before: Any = None,
    after: Any = None,
    comment: str = "",
    revision: Revision | int | None = None,
    tells: bool = True,
    now: dt.datetime,
) -> AuditEntry:
    """Add an entry at the end of its chain.

    An environment's chain is guarded by the lock of the environment, which the caller holds. For a
    project's chain, the project is locked here.

    Parameters
    ----------
    action, resource : str
        What was done, to what: ``turn_on``, ``flag:checkout``.
    before, after : JSON
        The changed fields (:func:`flags.diff.differences`); ``None`` where there was nothing.
    revision : Revision or int, optional
        Which came of it; one known by its number alone is looked up.
    tells : bool
        Whether a notice is written too; not where the caller writes one in better words. What is
        done to flags, segments and waiting changes always has one of its own.
    """
    if environment_id is None:
        session.execute(
            sa.select(col(Project.id))
            .where(col(Project.id) == project_id)
            .with_for_update(key_share=True)
        )
    common = common_of(session, project_id, environment_id, actor, comment, revision, now)
    (row,) = linked(session, common, [Deed(action, resource, before, after)])
    entry = AuditEntry(**row)
    session.add(entry)
    kind = resource.partition(":")[0]
    if tells and kind not in _WITH_OWN_NOTICE:
        notices.write(
            session,
            "experiment.changed" if kind == "experiment" else "project.changed",
            f"{notices.who(actor)}: {action.replace('_', ' ')} ({resource.replace(':', ' ', 1)}).",
            project_id=project_id,
            environments=_environment_keys(session, environment_id),
            actor=actor,
            resource=resource,
            reason=comment,
            facts={"did": [action]},
            now=now,
        )
    return entry


def _environment_keys(session: Session, environment_id: int | None) -> list[str]:
    if environment_id is None:
        return []
    return [session.exec(select(Environment.key).where(Environment.id == environment_id)).one()]


def entries(
    session: Session,
    project_id: int,
    *,
    environment_id: int | None = None,
    resource: str | None = None,
    where: Sequence[sa.ColumnElement[bool]] = (),
    before_id: int | None = None,
    limit: int | None = 100,
) -> list[AuditEntry]:
    """Give entries of a project, newest first; ``before_id`` for paging, ``limit=None`` for all.

    ``where`` are conditions of a filter (:func:`flags.audit_search.audit_conditions`).
    """
    query = select(AuditEntry).where(AuditEntry.project_id == project_id, *where)
    if environment_id is not None:
        query = query.where(AuditEntry.environment_id == environment_id)
    if resource is not None:
        query = query.where(AuditEntry.resource == resource)
    if before_id is not None:
        query = query.where(col(AuditEntry.id) < before_id)
    return list(session.exec(query.order_by(col(AuditEntry.id).desc()).limit(limit)))


def find_done(session: Session, environment: Environment, entry_id: int) -> Done:
    """Give what an entry of an environment says was done.

    Raises
    ------
    NotFoundError
        If the environment's project has no such entry.
    NotInvertibleError
        If it is about nothing that an environment has.
    InvalidInputError
        If it is about another environment.
    """
    entry = get_entry(session, environment.project_id, entry_id)
    assert entry.id is not None
    if entry.environment_id is None:
        raise NotInvertibleError(
            f"entry {entry.id} ({entry.action} of {entry.resource}) cannot be undone",
            field="entry",
            hint="only changes of flags and segments can",
        )
    if entry.environment_id != environment.id:
        raise InvalidInputError(
            f"entry {entry.id} is not of environment {environment.key!r}",
            field="entry",
            hint="undo it in its own environment",
        )
    return Done(entry.id, entry.action, entry.resource, entry.before, entry.after, entry.revision)


def get_entry(session: Session, project_id: int, entry_id: int) -> AuditEntry:
    """Give one entry of a project."""
    entry = session.get(AuditEntry, entry_id)
    if entry is None or entry.project_id != project_id:
        raise NotFoundError(f"there is no audit entry {entry_id}", field="entry")
    return entry


def written_together(session: Session, entry: AuditEntry) -> list[AuditEntry]:
    """Give the entries of flags and segments that one change made with this one; and this one."""
    if entry.revision is None or entry.environment_id is None:
        return [entry]
    query = select(AuditEntry).where(
        AuditEntry.environment_id == entry.environment_id,
        AuditEntry.revision == entry.revision,
        sa.or_(
            col(AuditEntry.resource).startswith("flag:"),
            col(AuditEntry.resource).startswith("segment:"),
        ),
    )
    return list(session.exec(query.order_by(col(AuditEntry.id)))) or [entry]


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """Give an entry as JSON, complete: what ``audit verify`` reads offline."""
    document = {name: getattr(entry, name) for name in HASHED}
    document["at"] = instant(document["at"])
    published = {} if entry.flag_set_hash is None else {FLAG_SET: entry.flag_set_hash}
    return {**document, **published, "hash": entry.hash}


def verify_chain(found: Iterable[AuditEntry | Mapping[str, Any]]) -> BrokenEntry | None:
    """Give the first entry that does not hold, or ``None``.

    Takes entries of any number of chains in any order, each chain complete from its first entry;
    rows or their documents.
    """
    return check_entries(
        entry_document(entry) if isinstance(entry, AuditEntry) else entry for entry in found
    ).broken


def export_page(
    session: Session,
    project_id: int,
    *,
    after: tuple[str, int] | None = None,
    limit: int = PAGE,
) -> tuple[list[dict[str, Any]], tuple[str, int] | None]:
    """Give entries of a project as documents, chain after chain, oldest first, and where to go on.

    A row that cannot be read comes as its chain and number alone. ``after`` is what the page before
    ended with; what is appended meanwhile may come along.
    """
    found: list[dict[str, Any]] = []
    reached = after is None
    for chain in _chains(session, project_id):
        reached = reached or after is None or chain == after[0]
        if not reached:
            continue
        query = select(AuditEntry.id, AuditEntry.number).where(AuditEntry.chain == chain)
        if after is not None and after[0] == chain:
            query = query.where(col(AuditEntry.number) > after[1])
        if not _belongs(chain, project_id):
            query = query.where(AuditEntry.project_id == project_id)
        query = query.order_by(col(AuditEntry.number)).limit(limit - len(found))
        page = [(row_id, number) for row_id, number in session.exec(query)]
        found += _documents(session, chain, page)
        if len(found) == limit:
            return found, (chain, page[-1][1])
    return found, None


def export_entries(
    project_id: int, reading: Callable[[], AbstractContextManager[Session]]
) -> Iterator[dict[str, Any]]:
    """Give every entry of a project as :func:`export_page` does, each page in a session of its own.

    However long the audit and however slow its reader, neither memory nor a transaction grows.
    """
    after = None
    while True:
        with reading() as session:
            found, after = export_page(session, project_id, after=after)
        yield from found
        if after is None:
            return


def _chains(session: Session, project_id: int) -> Iterator[str]:
    ids = session.exec(select(Environment.id).where(Environment.project_id == project_id))
    known = [str(project_id), *(f"{project_id}.{each}" for each in sorted(i or 0 for i in ids))]
    yield from known
    # An entry that was moved out of its chain is shown where it is now. This reads every row, and
    # is asked for only when all that belongs here was given.
    strays = sa.select(col(AuditEntry.chain)).where(
        col(AuditEntry.project_id) == project_id,
        sa.or_(col(AuditEntry.chain).not_in(known), col(AuditEntry.chain).is_(None)),
    )
    yield from sorted((chain for (chain,) in session.execute(strays.distinct())), key=str)


def _belongs(chain: str, project_id: int) -> bool:
    return str(chain).partition(".")[0] == str(project_id)


def _documents(
    session: Session, chain: str, page: list[tuple[int | None, int]]
) -> list[dict[str, Any]]:
    ids = [row_id for row_id, _ in page]
    query = select(AuditEntry).where(col(AuditEntry.id).in_(ids))
    try:
        rows = {row.id: row for row in session.exec(query)}
        return [entry_document(rows[row_id]) for row_id in ids]
    except _UNREADABLE as error:
        _raise_unless_damaged(error)
    # A column was made into what it cannot hold; the others are still given.
    return [_document_or_name(session, row_id, chain, number) for row_id, number in page]


def _document_or_name(
    session: Session, row_id: int | None, chain: str, number: int
) -> dict[str, Any]:
    try:
        return entry_document(session.exec(select(AuditEntry).where(AuditEntry.id == row_id)).one())
    except _UNREADABLE as error:
        _raise_unless_damaged(error)
        return {"chain": chain, "number": number}


def _raise_unless_damaged(error: Exception) -> None:
    # SQLite tells of text that is not UTF-8 with the class of error that a lost file has.
    if isinstance(error, sa.exc.OperationalError) and "decode" not in str(error):
        raise error


def _refuse(_mapper: Any, _connection: Any, target: Any) -> None:
    msg = f"{type(target).__name__} is append-only"
    raise TypeError(msg)


for _table in (AuditEntry, Revision):
    sa.event.listen(_table, "before_update", _refuse)
    sa.event.listen(_table, "before_delete", _refuse)
