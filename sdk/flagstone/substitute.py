"""What stands in for the service: while there is one, every client of the process is served by it.

This is how tests override flags in code that made its own client. Clients that exist follow the
substitute at once and return to their own flags afterwards; one made meanwhile never opens a
connection. Nothing of this costs an evaluation anything: a client's store is exchanged.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Protocol

from flagstone.events import Outbox
from flagstone.store import FlagStore


@dataclass(frozen=True, slots=True)
class Substitute:
    """Where flags come from and events go to instead of the service."""

    store: FlagStore
    outbox: Outbox


class Follower(Protocol):
    """What a client offers to be served from elsewhere."""

    def follow(self, substitute: Substitute | None) -> None:
        """Serve from ``substitute`` from now on, or from the service again."""


_standing: list[Substitute] = []
_followers: weakref.WeakSet[Follower] = weakref.WeakSet()


def enlist(follower: Follower) -> bool:
    """Let ``follower`` follow whatever stands in now or later; True if something does now."""
    _followers.add(follower)
    if _standing:
        follower.follow(_standing[-1])
    return bool(_standing)


def install(substitute: Substitute) -> None:
    """Let ``substitute`` stand in, in front of any other one."""
    _standing.append(substitute)
    _tell()


def remove(substitute: Substitute) -> None:
    """Let the one before stand in again, or nobody; harmless if it does not stand in."""
    if substitute in _standing:
        _standing.remove(substitute)
        _tell()


def _tell() -> None:
    latest = _standing[-1] if _standing else None
    for follower in list(_followers):
        follower.follow(latest)
