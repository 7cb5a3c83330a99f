"""What a worker is called, and whether another one's process has ended.

The name holds the machine (since its last start) and the process, so that after a ``SIGKILL`` the
next worker on the same machine takes over at once. Of another machine's worker nothing is known:
its lease runs out.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")


def worker_name() -> str:
    """Give a name that no other process has or ever had."""
    return f"{socket.gethostname()[:48]}:{_place() or '-'}:{os.getpid()}:{secrets.token_hex(4)}"


def is_gone(name: str) -> bool:
    """Tell whether the worker of that name ran here and has ended; false when in doubt."""
    here = _place()
    parts = name.split(":")
    if here is None or len(parts) != 4 or parts[1] != here or not parts[2].isdigit():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _place() -> str | None:
    # Machines may share a host name, and containers a kernel; these two tell them apart.
    try:
        seen = _BOOT.read_text(encoding="ascii") + str(_PROCESSES.readlink())
    except OSError:
        return None
    return hashlib.sha256(seen.encode()).hexdigest()[:12]
