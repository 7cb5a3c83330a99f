"""What must happen when the process forks or ends: every live client hears of it."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Protocol

from flagstone.worker import LOG


class Member(Protocol):
    """What a client offers to be told."""

    def after_fork(self) -> None:
        """Begin anew in a forked child."""

    def at_exit(self) -> None:
        """Send what is left, within bounds."""


_members: dict[int, weakref.ref[Member]] = {}
_installed = False
_told_celery = False


def join(member: Member) -> None:
    """Tell ``member`` about forks and the end of the process, as long as it lives."""
    global _installed
    if not _installed:
        _installed = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
        atexit.register(_at_exit)
    _finish_with_celery()
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        _finish_with_multiprocessing()
    key = id(member)
    _members[key] = weakref.ref(member, lambda _: _members.pop(key, None))


def leave(member: Member) -> None:
    """Tell ``member`` nothing any more."""
    _members.pop(id(member), None)


def _each() -> list[Member]:
    return [member for ref in list(_members.values()) if (member := ref()) is not None]


def _after_fork() -> None:
    for member in _each():
        try:
            member.after_fork()
        except Exception:  # noqa: BLE001  the child must come up, with last-known values at least
            LOG.exception("flagstone: the client could not restart in the forked child")
    _finish_with_celery()
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _members:
        # It forgets finalisers after a fork, and calls this afterwards.
        util.register_after_fork(_at_exit, lambda _: _finish_with_multiprocessing())


def _finish_with_multiprocessing() -> None:
    """Close clients at the end of a child of multiprocessing: it leaves past ``atexit``."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _at_exit, exitpriority=10)


def _finish_with_celery() -> None:
    """Close clients at the end of a prefork child of Celery: it leaves past ``atexit``, too."""
    global _told_celery
    signals = sys.modules.get("celery.signals")
    if signals is not None and not _told_celery:
        _told_celery = True
        signals.worker_process_shutdown.connect(_at_celery_exit, weak=False)


def _at_celery_exit(**_: object) -> None:
    _at_exit()


def _at_exit() -> None:
    for member in _each():
        try:
            member.at_exit()
        except Exception:  # noqa: BLE001  the end of the process is no place for our troubles
            LOG.exception("flagstone: the client could not be closed")
