"""The flag set on disk, so that a process starts with flags though the service is away.

One file: a header line (JSON: format, source, ETag, SHA-256 over these and the rest) and the
published bytes. It is written beside its place and renamed into it, so that a reader sees the old
one or the new one. ``source`` names the service and the key (as a hash): a file left by another
environment under the same path must not decide anybody's flags.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from flagstone.errors import SnapshotError

FORMAT = "flagstone-snapshot-1"
_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A flag set as it was published, and the tag the service gave it."""

    document: bytes
    etag: str | None


def source_of(url: str, key: str) -> str:
    """Name a service and a key without giving the key away."""
    return hashlib.sha256(f"{FORMAT}\0{url}\0{key}".encode()).hexdigest()[:32]


def read(path: Path, source: str) -> Snapshot | None:
    """Return the snapshot at ``path``, None when there is no such file.

    Raises
    ------
    SnapshotError
        If the file is damaged, or belongs to another service or key.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"it cannot be read: {error}") from error
    first, _, document = content.partition(b"\n")
    header = _parse_header(first)
    etag = header.get("etag")
    found = Snapshot(document, etag if isinstance(etag, str) else None)
    if header.get("sha256") != _checksum(str(header.get("source")), found):
        raise SnapshotError("its checksum does not fit its content")
    if header.get("source") != source:
        raise SnapshotError("it was written for another service or key")
    return found


def write(path: Path, source: str, snapshot: Snapshot) -> None:
    """Put ``snapshot`` at ``path``, wholly or not at all; nothing is written if it is there.

    Raises
    ------
    SnapshotError
        If the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "source": source,
        "etag": snapshot.etag,
        "sha256": _checksum(source, snapshot),
    }
    line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
    try:
        content = line + snapshot.document
        if _present(path) != content:  # else a sibling process was quicker
            _replace(path, content)
    except OSError as error:
        raise SnapshotError(f"it cannot be written: {error}") from error


def _checksum(source: str, snapshot: Snapshot) -> str:
    named = json.dumps([source, snapshot.etag]).encode()
    return hashlib.sha256(named + b"\n" + snapshot.document).hexdigest()


def _parse_header(line: bytes) -> dict[str, object]:
    try:
        header = json.loads(line[:_HEADER_BYTES])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SnapshotError("it is not a snapshot of this SDK")
    return header


def _present(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes) -> None:
    import tempfile  # which imports half the library; needed once per change

    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp gives mode 0600: targeting rules may name people.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105  the target is a Path, the source a name
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
