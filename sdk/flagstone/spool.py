"""Events on the disk that the service could not take, so that the end of a process loses none.

A folder holds, for each service and key, a folder of segments. A process appends to its own ones
(``<owner>.<number>.events``) and holds a lock on ``<owner>.lock`` for as long as it lives; what a
dead process left is adopted by whoever gets the lock of its file, so by exactly one. A segment is a
list of lines, each the CRC-32 of an event and the event as JSON. It is only ever appended to and
removed, whole, when the service has answered for every event in it: what was sent twice because of
that has the same identifiers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from flagstone.uuid7 import IdFactory
from flagstone.worker import LOG

SEGMENT_BYTES = 1024 * 1024
# After a failure of the disk, and between two looks for what dead processes left.
PAUSE_SECONDS = 60.0
# The service forgets identifiers after 90 days, and so takes nothing older.
MAX_AGE_SECONDS = 85 * 86_400.0
_SEGMENT = ".events"
_LOCK = ".lock"


class Spool:
    """The segments of one process, and those that it adopted; used by one thread.

    Parameters
    ----------
    folder : Path
        Where segments lie, of this process and of others with the same service and key.
    limit_bytes : int
        As much as all segments in the folder may hold.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._owner: _Owner | None = None
        self._adopted: list[_Owner] = []
        self._segments: deque[_Segment] = deque()
        self._active: _Active | None = None
        self._reading: deque[bytes] | None = None
        self._taken = 0
        self._shut_until = 0.0
        self._adopt_at = 0.0
        self._warned: set[str] = set()
        self.waiting = 0
        self.lost = 0

    @property
    def usable(self) -> bool:
        """Whether the disk did not fail of late."""
        return time.monotonic() >= self._shut_until

    def append(self, records: Sequence[bytes]) -> bool:
        """Put events onto the disk for good; False if there is no room, or the disk fails."""
        if not self.usable:
            return False
        lines = b"".join(b"%08x %b\n" % (zlib.crc32(record), record) for record in records)
        try:
            if self._used() + len(lines) > self._limit_bytes:
                self._warn("is full; further events are kept in memory while there is room")
                return False
            if self._active is None or self._active.size + len(lines) > SEGMENT_BYTES:
                self._active = self._begin_segment()
            self._active.append(lines, len(records))
        except OSError as error:
            self._fail(error)
            return False
        self.waiting += len(records)
        return True

    def take(self, count: int, size: int) -> list[bytes]:
        """Return the oldest events, which stay on the disk until :meth:`settle`."""
        while not self._reading:
            if not self._segments:
                return []
            if self._reading is not None:
                self._remove_first()
                continue
            segment = self._segments[0]
            if segment is self._active_segment:
                self._seal()
            self._reading = deque(self._read(segment))
        taken: list[bytes] = []
        while self._reading and len(taken) < count and size > 0:
            taken.append(self._reading.popleft())
            size -= len(taken[-1]) + 1
        self._taken = len(taken)
        return taken

    def settle(self) -> None:
        """Say that the service has answered for everything that was taken last."""
        self.waiting -= self._taken
        self._taken = 0
        if self._reading is not None and not self._reading:
            self._remove_first()

    def adopt(self) -> float:
        """Take over what dead processes left; return how long to wait before the next time."""
        now = time.monotonic()
        if now < self._adopt_at:
            return self._adopt_at - now
        self._adopt_at = now + PAUSE_SECONDS
        try:
            orphans = self._orphans()
        except FileNotFoundError:
            return PAUSE_SECONDS  # nobody has had anything to write
        except OSError as error:
            self._fail(error)
            return PAUSE_SECONDS
        for name in orphans:
            try:
                self._adopt_one(name)
            except OSError as error:
                self._warn(f"holds files that cannot be adopted: {error}")
        return PAUSE_SECONDS

    def close(self) -> None:
        """Let go of everything; what is not sent may be adopted at once."""
        self._seal()
        for owner in self._owners():
            owner.release(empty=not any(s.owner is owner for s in self._segments))
        self._owner, self._adopted = None, []
        self._segments.clear()

    def abandon(self) -> None:
        """In a forked child: close the descriptors, of which the parent has its own.

        Unlocking would take the lock from the parent too; closing does not.
        """
        if self._active is not None:
            self._active.close()
        for owner in self._owners():
            owner.close()
        self._owner, self._adopted = None, []
        self._active = None
        self._segments.clear()

    # -- inside -------------------------------------------------------------------------------

    @property
    def _active_segment(self) -> _Segment | None:
        return None if self._active is None else self._active.segment

    def _owners(self) -> list[_Owner]:
        return self._adopted if self._owner is None else [*self._adopted, self._owner]

    def _used(self) -> int:
        used = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SEGMENT):
                    with contextlib.suppress(FileNotFoundError):
                        used += entry.stat().st_size
        return used

    def _begin_segment(self) -> _Active:
        self._seal()
        if self._owner is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = _Owner.new(self._folder)
        segment = _Segment(self._owner, self._owner.next_path())
        active = _Active(segment)
        self._segments.append(segment)
        return active

    def _seal(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            active.close()

    def _read(self, segment: _Segment) -> list[bytes]:
        """Return the sound events of a segment; what is damaged is counted and said."""
        try:
            old = time.time() - segment.path.stat().st_mtime > MAX_AGE_SECONDS
            content = segment.path.read_bytes()
        except OSError as error:
            self._warn(f"holds a file that cannot be read: {error}")
            content, old = b"", False
        records = [] if old else list(_sound(content))
        lost = segment.count - len(records)
        self.waiting -= lost
        self.lost += max(0, lost)
        if lost > 0:
            why = "too old for the service" if old else "damaged"
            LOG.warning("flagstone: spool %s: %d events are %s", segment.path, lost, why)
        return records

    def _remove_first(self) -> None:
        self._reading = None
        segment = self._segments.popleft()
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            self._warn(f"holds a file that cannot be removed, and is sent again: {error}")
        owner = segment.owner
        if owner in self._adopted and not any(s.owner is owner for s in self._segments):
            self._adopted.remove(owner)
            owner.release(empty=True)

    def _orphans(self) -> list[str]:
        ours = {owner.name for owner in self._owners()}
        names = {
            name.partition(".")[0]
            for name in os.listdir(self._folder)  # noqa: PTH208  names, not paths
            if name.endswith((_SEGMENT, _LOCK))
        }
        return sorted(names - ours)

    def _adopt_one(self, name: str) -> None:
        owner = _Owner.take_over(self._folder, name)
        if owner is None:
            return
        try:
            found = [
                _Segment(owner, path, _count(path))
                for path in sorted(self._folder.glob(f"{name}.*{_SEGMENT}"))
            ]
        except OSError:
            owner.close()
            raise
        if not found:
            owner.release(empty=True)
            return
        self._adopted.append(owner)
        # They are older than ours, but what is being read stays in front.
        at = 0 if self._reading is None else 1
        for segment in reversed(found):
            self._segments.insert(at, segment)
            self.waiting += segment.count

    def _fail(self, error: OSError) -> None:
        self._seal()
        self._shut_until = time.monotonic() + PAUSE_SECONDS
        self._warn(f"cannot be used, events are kept in memory: {error}")

    def _warn(self, text: str) -> None:
        kind = text.partition(":")[0]
        if kind not in self._warned:
            self._warned.add(kind)
            LOG.warning("flagstone: spool %s %s (said once)", self._folder, text)


class _Segment:
    """One file of events, and how many of them are known to be in it."""

    __slots__ = ("count", "owner", "path")

    def __init__(self, owner: _Owner, path: Path, count: int = 0) -> None:
        self.owner = owner
        self.path = path
        self.count = count


class _Active:
    """The segment that is being written, past any buffer: a fork must not copy one."""

    __slots__ = ("_descriptor", "segment", "size")

    def __init__(self, segment: _Segment) -> None:
        self.segment = segment
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        # 0600: events name people.
        self._descriptor = os.open(segment.path, flags, 0o600)

    def append(self, lines: bytes, count: int) -> None:
        """Write all of ``lines``, or none of them."""
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._descriptor, memoryview(lines)[written:])
            os.fsync(self._descriptor)
        except OSError:
            # Half a line would spoil the one that is written after it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(lines)
        self.segment.count += count

    def close(self) -> None:
        """Write no more."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class _Owner:
    """Whose segments these are: who holds the lock of the file of that name."""

    def __init__(self, folder: Path, name: str, descriptor: int) -> None:
        self.name = name
        self._folder = folder
        self._descriptor = descriptor
        self._number = 0

    @classmethod
    def new(cls, folder: Path) -> _Owner:
        """Begin a name of one's own."""
        while True:
            name = IdFactory().new()
            owner = cls._locked(folder, name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            if owner is not None:  # else somebody looked for orphans at this very moment
                return owner

    @classmethod
    def take_over(cls, folder: Path, name: str) -> _Owner | None:
        """Become the owner of what a dead process left, None if it lives or another was first."""
        try:
            return cls._locked(folder, name, os.O_RDWR | os.O_CREAT)
        except PermissionError:
            return None  # another user's

    @classmethod
    def _locked(cls, folder: Path, name: str, flags: int) -> _Owner | None:
        path = folder / f"{name}{_LOCK}"
        descriptor = os.open(path, flags, 0o600)
        try:
            if _lock(descriptor) and _still_at(path, descriptor):
                return cls(folder, name, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def next_path(self) -> Path:
        """Return the place of the next segment."""
        self._number += 1
        return self._folder / f"{self.name}.{self._number:06}{_SEGMENT}"

    def release(self, *, empty: bool) -> None:
        """Unlock; the name is gone with its last segment."""
        if sys.platform == "win32":
            self.close()  # nothing that is open can be removed there
        if empty:
            # While it is locked: who gets the lock afterwards notices that the file is gone.
            with contextlib.suppress(OSError):
                (self._folder / f"{self.name}{_LOCK}").unlink()
        if sys.platform != "win32":
            self.close()

    def close(self) -> None:
        """Close the descriptor; the lock ends with the last process that has it open."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _count(path: Path) -> int:
    """Return how many events a file holds; one that was not fully written is none."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        LOG.warning("flagstone: spool %s: its end was never fully written; ignored", path)
    return content.count(b"\n")


def _sound(content: bytes) -> Iterator[bytes]:
    """Yield the events whose checksum fits, in order."""
    for line in content.split(b"\n")[:-1]:
        mark, _, record = line.partition(b" ")
        if mark == b"%08x" % zlib.crc32(record):
            yield record


def _still_at(path: Path, descriptor: int) -> bool:
    """Whether the file is still the one at ``path``: the previous owner may have removed it."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


if sys.platform == "win32":

    def _lock(descriptor: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:

    def _lock(descriptor: int) -> bool:
        import fcntl

        try:
            # Of the open file, not of the process: two clients of one process exclude each other.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
