"""``GET /sdk/v1/flagset``: the published bytes of an environment's flag set."""

from __future__ import annotations

from web.edge.ofrep import matches
from web.edge.problems import JSON, Answer
from web.edge.state import Snapshot

_VARY = (b"vary", b"accept-encoding")
# A cache between us and an SDK must ask every time; the ETag makes that cheap.
_REVALIDATE = (b"cache-control", b"private, no-cache")


def etag_of(snapshot: Snapshot) -> bytes:
    """Give the snapshot's ETag as it stands in the header, with quotes."""
    return b'"%b"' % snapshot.etag.encode("ascii")


def is_current(snapshot: Snapshot, if_none_match: bytes | None) -> bool:
    """Say whether the caller holds this snapshot."""
    return if_none_match is not None and matches(if_none_match, etag_of(snapshot))


def flag_set(
    snapshot: Snapshot, *, if_none_match: bytes | None, accept_encoding: bytes | None
) -> Answer:
    """Answer with the document, compressed if the caller takes gzip, or 304."""
    headers = ((b"etag", etag_of(snapshot)), _VARY, _REVALIDATE)
    if is_current(snapshot, if_none_match):
        return Answer(304, headers, b"")
    if accept_encoding is not None and _takes_gzip(accept_encoding):
        return Answer(200, (JSON, (b"content-encoding", b"gzip"), *headers), snapshot.gzipped)
    return Answer(200, (JSON, *headers), snapshot.body)


def _takes_gzip(accept_encoding: bytes) -> bool:
    for part in accept_encoding.lower().split(b","):
        coding, _, parameters = part.partition(b";")
        if coding.strip() in {b"gzip", b"*"}:
            return parameters.replace(b" ", b"") not in {b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"}
    return False
