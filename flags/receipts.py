"""Who serves a revision by now: the receipt of a change, and the stragglers by name.

The data plane asks this while a caller waits (:mod:`web.edge.receipts`), so it imports nothing but
tables.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, func

from flags.heartbeats import SILENT_AFTER
from flags.models import Environment, Revision, SdkInstance

MAX_NAMED = 20
_MAX_SHOWN = 3
STANDINGS = ("applied", "behind", "without_flags", "silent")


@dataclass(frozen=True, slots=True)
class Straggler:
    """A client that does not serve the revision, as far as it was heard of.

    ``state`` is ``behind``, ``without_flags`` (its callers get their defaults) or ``silent``.
    """

    instance: str
    host: str | None
    sdk: str
    state: str
    revision: int | None
    seen_at: dt.datetime

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.host} ({self.instance[-8:]})" if self.host else self.instance

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "instance": self.instance,
            "host": self.host,
            "sdk": self.sdk,
            "state": self.state,
            "revision": self.revision,
            "seen_at": self.seen_at,
        }


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where the clients of an environment stand with one revision.

    ``instances`` counts them by standing: ``applied`` serve the revision or a newer one. Whoever is
    silent (not heard of for 90 seconds) is named, since it may still serve what it had, and is
    waited for by nobody. Of each kind at most ``MAX_NAMED`` are named.
    """

    environment: str
    revision: int
    instances: dict[str, int]
    stragglers: tuple[Straggler, ...]
    silent: tuple[Straggler, ...]

    @property
    def waiting(self) -> int:
        """How many living clients are not there yet."""
        return self.instances["behind"] + self.instances["without_flags"]

    @property
    def living(self) -> int:
        """How many clients were heard of lately."""
        return self.instances["applied"] + self.waiting

    @property
    def converged(self) -> bool:
        """Whether every living client serves the revision or a newer one."""
        return not self.waiting

    @property
    def sentence(self) -> str:
        """Say who serves the revision, and who is waited for."""
        if not self.living:
            said = "No SDK was heard of here lately, so nobody serves it yet."
        elif self.converged:
            everybody = f"all {self.living} instances" if self.living > 1 else "the one instance"
            said = f"Served by {everybody}."
        else:
            said = (
                f"Served by {self.instances['applied']} of {self.living} "
                f"instance{'s' if self.living > 1 else ''}; "
                f"waiting for {_names(self.stragglers, self.waiting)}."
            )
        unheard = self.instances["silent"]
        if unheard:
            said += (
                f" Not heard of for {SILENT_AFTER.seconds} s, and may still serve what "
                f"{'it' if unheard == 1 else 'they'} had: {_names(self.silent, unheard)}."
            )
        return said

    def document(self, seconds: float) -> dict[str, Any]:
        """Write it as plain JSON; ``seconds`` is how long it took, or was waited for."""
        return {
            "environment": self.environment,
            "revision": self.revision,
            "converged": self.converged,
            "seconds": round(seconds, 3),
            "instances": self.instances,
            "stragglers": [each.document() for each in self.stragglers],
            "silent": [each.document() for each in self.silent],
        }


def _names(clients: tuple[Straggler, ...], count: int) -> str:
    shown = [each.name for each in clients[:_MAX_SHOWN]]
    more = count - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def receipt_of(
    session: Session, environment_id: int, revision: int, *, now: dt.datetime
) -> Receipt:
    """Say which clients serve a revision of an environment, or a newer one."""
    key = session.execute(
        sa.select(col(Environment.key)).where(col(Environment.id) == environment_id)
    ).scalar_one()
    # What it says that it applied, if there is such a revision: a database that was put back to an
    # older state gives its numbers out again.
    applied = sa.and_(
        col(Revision.environment_id) == col(SdkInstance.environment_id),
        col(Revision.number) == col(SdkInstance.revision),
        col(SdkInstance.etag).is_(None) | (col(Revision.etag) == col(SdkInstance.etag)),
    )
    is_there: Any = col(Revision.number) >= revision
    if revision == 0:
        # Nothing was ever published: whoever has any flag set has that one.
        is_there = col(SdkInstance.revision).is_not(None)
    standing: Any = sa.case(
        (col(SdkInstance.seen_at) < now - SILENT_AFTER, "silent"),
        (col(SdkInstance.revision).is_(None), "without_flags"),
        (is_there, "applied"),
        else_="behind",
    )
    joined = sa.join(SdkInstance, Revision, applied, isouter=True)
    here = col(SdkInstance.environment_id) == environment_id
    counted = session.execute(
        sa.select(standing, func.count()).select_from(joined).where(here).group_by(standing)
    )
    counts = dict.fromkeys(STANDINGS, 0) | {row[0]: row[1] for row in counted}
    named = _named(session, joined, here, standing, counts, ("behind", "without_flags"))
    silent = _named(session, joined, here, standing, counts, ("silent",))
    return Receipt(key, revision, counts, named, silent)


def _named(
    session: Session,
    joined: Any,
    here: Any,
    standing: Any,
    counts: dict[str, int],
    wanted: tuple[str, ...],
) -> tuple[Straggler, ...]:
    if not any(counts[word] for word in wanted):
        return ()
    found = session.execute(
        sa.select(
            col(SdkInstance.id),
            col(SdkInstance.host),
            col(SdkInstance.sdk),
            standing,
            col(SdkInstance.revision),
            col(SdkInstance.seen_at),
        )
        .select_from(joined)
        .where(here, standing.in_(wanted))
        .order_by(col(SdkInstance.seen_at).desc(), col(SdkInstance.id))
        .limit(MAX_NAMED)
    )
    return tuple(Straggler(*row) for row in found)
