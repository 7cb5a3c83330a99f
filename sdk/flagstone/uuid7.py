"""UUIDs of version 7 (RFC 9562): time first, so that an index over them grows at its end.

The layout is that of CPython 3.14's ``uuid.uuid7``::

    48 bits   milliseconds since 1970
     4 bits   version 7
    12 bits   counter, high part
     2 bits   variant
    30 bits   counter, low part
    32 bits   random

The counter starts at a random place below its middle in every millisecond, and grows by one for
further identifiers of the same millisecond or after the clock stepped back.
"""

from __future__ import annotations

import os
import threading
import time

_COUNTER_BITS = 42


class IdFactory:
    """Makes identifiers that grow strictly within one process."""

    __slots__ = ("_counter", "_lock", "_milliseconds")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._milliseconds = -1
        self._counter = 0

    def new(self, now: float | None = None) -> str:
        """Return the next identifier as text; ``now`` in POSIX seconds."""
        noise = int.from_bytes(os.urandom(10), "big")
        milliseconds = int((time.time() if now is None else now) * 1000)
        with self._lock:
            if milliseconds > self._milliseconds:
                self._milliseconds = milliseconds
                self._counter = noise >> 32 & ((1 << _COUNTER_BITS - 1) - 1)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._milliseconds += 1
                    self._counter = noise >> 32 & ((1 << _COUNTER_BITS - 1) - 1)
            milliseconds, counter = self._milliseconds, self._counter
        number = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
        number |= 0x7 << 76
        number |= (counter >> 30) << 64
        number |= 0b10 << 62
        number |= (counter & 0x3FFF_FFFF) << 32
        number |= noise & 0xFFFF_FFFF
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
