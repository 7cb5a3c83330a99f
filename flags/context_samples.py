"""A bounded sample of the contexts that an environment saw lately: who a change would move.

Of all units (targeting keys) those are kept whose hash is smallest, at most ``LIMIT`` of them, each
with its newest context. So every unit is as likely to be in as any other, however often it asks;
several processes make one sample without speaking to each other; and the largest hash that is kept
tells how many units there are [1]_. The data plane writes here: this imports nothing but tables.

References
----------
.. [1] K. Beyer et al., On synopses for distinct-value estimation under multiset operations,
   SIGMOD 2007, equation 2. :doi:`10.1145/1247480.1247504`
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, func, select

from flags.models import Environment, SampledContext

LIMIT = 1_000
KEEP = dt.timedelta(days=7)
MAX_CONTEXT_BYTES = 4 * 1024
HASHES = 2**63

_TABLE: Any = SampledContext.__table__  # type: ignore[attr-defined]
# Not the hash that buckets are cut with: a share of the sample must be a share of every split.
_SALT = b"flagstone-sample"


@dataclass(frozen=True, slots=True)
class Sample:
    """Contexts seen lately, one of each unit.

    ``units`` is how many units there were in all: counted where ``complete``, else estimated.
    ``on`` is False where the environment keeps no sample. ``asked`` says, for each context, which
    attributes it was asked for; None where it is whole. So many contexts as ``aside`` were left
    out, since they do not say what is needed.
    """

    contexts: tuple[Mapping[str, Any], ...] = ()
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None
    units: int = 0
    complete: bool = True
    on: bool = True
    keep_days: int = KEEP.days
    asked: tuple[frozenset[tuple[str, ...]] | None, ...] = ()
    aside: int = 0

    @property
    def size(self) -> int:
        """How many contexts there are."""
        return len(self.contexts)

    def knowing(self, paths: Collection[tuple[str, ...]]) -> Sample:
        """Give the contexts that say of every attribute in ``paths`` what it is, or is not.

        What SDKs tell holds only what the flags asked about by then; without this, an attribute
        that a new rule asks about would count as missing.
        """
        if all(asked is None for asked in self.asked):
            return self
        needed = frozenset(paths) - {("targetingKey",)}
        kept = [
            place
            for place, asked in enumerate(self.asked)
            # Who was asked for a whole object told what is in it.
            if asked is None
            or all(any(p[:n] in asked for n in range(1, len(p) + 1)) for p in needed)
        ]
        if len(kept) == len(self.contexts):
            return self
        return replace(
            self,
            contexts=tuple(self.contexts[place] for place in kept),
            asked=tuple(self.asked[place] for place in kept),
            aside=len(self.contexts) - len(kept),
        )

    def document(self) -> dict[str, Any]:
        """Say how large and how old the sample is; what is in it stays here."""
        return {
            "on": self.on,
            "size": self.size,
            "limit": LIMIT,
            "units": self.units,
            "complete": self.complete,
            "oldest": self.oldest,
            "newest": self.newest,
            "keep_days": self.keep_days,
            "aside": self.aside,
        }


def hash_of(context: Mapping[str, Any]) -> int:
    """Give the place of a context's unit, from 0 to ``HASHES``; without a unit, of its content."""
    unit = context.get("targetingKey")
    data = unit.encode("utf-8", "surrogatepass") if type(unit) is str else _content(context, unit)
    digest = hashlib.blake2b(data, digest_size=8, key=_SALT).digest()
    return int.from_bytes(digest, "big") >> 1


def _content(context: Mapping[str, Any], unit: object) -> bytes:
    if unit is not None:
        return str(unit).encode()
    return b"\0" + orjson.dumps(context, option=orjson.OPT_SORT_KEYS)


def is_sampled(session: Session, environment_id: int) -> bool:
    """Say whether an environment keeps a sample."""
    query = select(Environment.sample_contexts).where(Environment.id == environment_id)
    return bool(session.exec(query).first())


Seen = tuple[int, str, dt.datetime] | tuple[int, str, dt.datetime, str | None]
"""Hash of the unit, the context as JSON, when it was seen, and which paths it was asked for."""


def record(session: Session, environment_id: int, seen: Iterable[Seen]) -> int:
    """Add contexts and keep the smallest hashes.

    Returns
    -------
    int
        The hash from which on nothing can get into the sample any more.
    """
    rows = [
        {
            "environment_id": environment_id,
            "unit_hash": unit,
            "context": text,
            "seen_at": at,
            "asked": asked[0] if asked else None,
        }
        for unit, text, at, *asked in sorted(seen, key=lambda each: each[:3])
    ]
    if rows:
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        statement: Any = insert(_TABLE)
        new = statement.excluded
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["environment_id", "unit_hash"],
                set_={"context": new.context, "seen_at": new.seen_at, "asked": new.asked},
                where=new.seen_at >= _TABLE.c.seen_at,
            ),
            rows,
        )
    here = col(SampledContext.environment_id) == environment_id
    last = session.exec(
        select(SampledContext.unit_hash)
        .where(here)
        .order_by(col(SampledContext.unit_hash))
        .offset(LIMIT - 1)
        .limit(1)
    ).first()
    if last is None:
        return HASHES
    session.execute(sa.delete(SampledContext).where(here, col(SampledContext.unit_hash) > last))
    return last


def forget(session: Session, *, now: dt.datetime) -> None:
    """Remove contexts that are too old, in every environment."""
    session.execute(sa.delete(SampledContext).where(col(SampledContext.seen_at) < now - KEEP))


def clear(session: Session, environment_id: int) -> None:
    """Remove an environment's sample."""
    here = col(SampledContext.environment_id) == environment_id
    session.execute(sa.delete(SampledContext).where(here))


def load_sample(
    session: Session,
    environment_id: int,
    *,
    now: dt.datetime,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Sample:
    """Read an environment's sample; what is too old counts as forgotten.

    With ``since`` and ``until`` only what was seen after the one, and up to the other.
    """
    if not is_sampled(session, environment_id):
        return Sample(on=False)
    seen_at = col(SampledContext.seen_at)
    rows = session.exec(
        select(SampledContext)
        .where(
            SampledContext.environment_id == environment_id,
            seen_at >= now - KEEP,
            sa.true() if since is None else seen_at > since,
            sa.true() if until is None else seen_at <= until,
        )
        .order_by(col(SampledContext.unit_hash))
        .limit(LIMIT)
    ).all()
    if not rows:
        return Sample()
    times = [row.seen_at for row in rows]
    complete = len(rows) < LIMIT
    units = len(rows)
    if not complete:
        units = round((LIMIT - 1) * HASHES / max(rows[-1].unit_hash, 1))
    contexts = tuple(orjson.loads(row.context) for row in rows)
    # Clients of one program were asked for the same: each text is read once.
    texts = {row.asked: _paths(row.asked) for row in rows}
    asked = tuple(texts[row.asked] for row in rows)
    return Sample(contexts, min(times), max(times), units, complete, asked=asked)


def _paths(text: str | None) -> frozenset[tuple[str, ...]] | None:
    return None if text is None else frozenset(tuple(path) for path in orjson.loads(text))


def size_of(session: Session, environment_id: int) -> int:
    """Count the rows of an environment's sample."""
    query = select(func.count()).where(SampledContext.environment_id == environment_id)
    return session.exec(query).one()
