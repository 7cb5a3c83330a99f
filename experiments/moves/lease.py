"""One worker at a time: a lease in the database, with a fencing number that only grows.

A holder that was asleep past its lease cannot do harm: whoever took over raised the fence, and
every write of a tick checks it in its own transaction (:func:`check_fence`).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from experiments.errors import FencedError
from experiments.models import Lease
from flags.database import Database

MONITOR = "monitor"
LEASE_SECONDS = 10.0


@dataclass(frozen=True)
class Held:
    """A lease in hand."""

    name: str
    holder: str
    fence: int


def acquire(
    database: Database,
    holder: str,
    *,
    now: dt.datetime,
    name: str = MONITOR,
    seconds: float = LEASE_SECONDS,
    is_gone: Callable[[str], bool] = lambda _holder: False,
) -> Held | None:
    """Take the lease, or make one's own last longer; ``None`` while somebody else has it.

    Parameters
    ----------
    is_gone : callable
        Tells of a holder for certain that its process has ended: nobody need wait then until the
        lease runs out. The fence keeps even a wrong answer from doing harm.
    """
    length = dt.timedelta(seconds=seconds)
    expires_at = now + length
    with database.read() as session:
        seen = session.get(Lease, name)
        if seen is not None and seen.holder == holder and seen.expires_at - now > length / 2:
            # Long enough in hand: a tick that has nothing to do writes nothing.
            return Held(name, holder, seen.fence)
    try:
        with database.write() as session:
            lease = _locked(session, name)
            if lease is None:
                lease = Lease(name=name, holder=holder, fence=1, expires_at=expires_at)
            elif lease.holder == holder:
                lease.expires_at = max(expires_at, lease.expires_at)
            elif lease.expires_at <= now or is_gone(lease.holder):
                lease.holder, lease.fence, lease.expires_at = holder, lease.fence + 1, expires_at
            else:
                return None
            session.add(lease)
            return Held(name, holder, lease.fence)
    except IntegrityError:
        # Two workers made the first lease at once; the other one was quicker.
        return None


def release(database: Database, held: Held, *, now: dt.datetime) -> None:
    """Give the lease back, so that the next worker need not wait for it to run out."""
    with database.write() as session:
        lease = _locked(session, held.name)
        if lease is not None and lease.fence == held.fence:
            lease.expires_at = now
            session.add(lease)


def check_fence(session: Session, held: Held) -> None:
    """Refuse to write for a lease that went to somebody else; holds it until the commit.

    Raises
    ------
    FencedError
        If the fence is not the holder's any more.
    """
    lease = _locked(session, held.name)
    if lease is None or lease.fence != held.fence:
        raise FencedError(f"the lease {held.name!r} went to another worker")


def take_turns(
    due: Callable[[], int | None], renew: Callable[[int], int], *, budget_seconds: float
) -> int:
    """Renew what is due, one after another; begin no further one once the budget is spent.

    Looks come first: what is done beside them must not keep a tick for long.

    Parameters
    ----------
    due : callable
        Gives the id of whose turn it is; ``None`` when nobody's.
    renew : callable
        Does it, and tells how many were made.
    """
    began, made = time.monotonic(), 0
    while (whose := due()) is not None:
        made += renew(whose)
        if time.monotonic() - began > budget_seconds:
            break
    return made


def _locked(session: Session, name: str) -> Lease | None:
    return session.exec(
        select(Lease)
        .where(col(Lease.name) == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
