"""OFREP's event streams (ADR-0008): a browser is told, by server-sent events, to evaluate again.

A browser's ``EventSource`` sends no header of ours, so the address that a bulk answer names carries
a token. It is signed with what the service stores of the key itself (the hash of 256 random bits,
which only the key's holder and the database know): any process can check it, also after a restart;
it can do nothing but listen; and it ends with its key.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import orjson

from web.edge.state import Key, Snapshot
from web.edge.stream import Announcement

PATH = "/ofrep/v1/event-stream"
# A token is good for the rest of its period and the next one. Callers of one period get one
# address: a client that meets another one closes its stream and opens it again.
PERIOD_SECONDS = 3600
INACTIVITY_SECONDS = 120

_AUTHORITY = re.compile(r"[A-Za-z0-9._-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def period(now: float) -> int:
    """Give the number of the period that a moment lies in."""
    return int(now // PERIOD_SECONDS)


def good_until(number: int) -> float:
    """Say until when the addresses that were given out in a period can be used."""
    return float((number + 2) * PERIOD_SECONDS)


def event_streams(key_hash: str, key: Key, base: str | None, mark: str, now: float) -> bytes:
    """Write the member ``eventStreams`` of a bulk answer.

    Parameters
    ----------
    key_hash : str
        The hash of the key that asked, as it is stored.
    base : str, optional
        Where browsers reach this service (see :func:`base_url`). Without it the client completes
        the address with its own.
    mark : str
        What the answer was evaluated with: the stream begins with an event if there is more.
    """
    return _render(key_hash, key.environment_id, base, mark, period(now))


@functools.lru_cache(maxsize=4096)
def _render(key_hash: str, environment_id: int, base: str | None, mark: str, number: int) -> bytes:
    token = _token(key_hash, environment_id, int(good_until(number)))
    target = f"{PATH}?token={token}&seen={mark}"
    place = {"endpoint": {"requestUri": target}} if base is None else {"url": base + target}
    return orjson.dumps([{"type": "sse", **place, "inactivityDelaySec": INACTIVITY_SECONDS}])


@functools.lru_cache(maxsize=1024)
def base_url(public_url: str, scheme: str, host: bytes | None, origin: bytes | None) -> str | None:
    """Say at which address browsers reach this service, or None if that cannot be known.

    The settings decide; else it is the address that the request was sent to. A proxy that ends TLS
    hides the scheme, but a page that came over https may ask nothing else than https.
    """
    if public_url:
        return public_url.rstrip("/")
    authority = "" if host is None else host.decode("latin-1").strip()
    if not _AUTHORITY.fullmatch(authority):
        return None
    if origin is not None and origin[:8].lower() == b"https://" and not _is_this_machine(authority):
        scheme = "https"
    return f"{scheme}://{authority}"


def _is_this_machine(authority: str) -> bool:
    # The exception that browsers make.
    name = (urlsplit(f"//{authority}").hostname or "").lower()
    return name in _THIS_MACHINE or name.endswith(".localhost")


class Tickets:
    """Finds the key that a stream's token was made for."""

    def __init__(self) -> None:
        self._keys: Mapping[str, Key] = {}
        self._by_name: dict[str, str] = {}

    def find(self, token: str, keys: Mapping[str, Key], now: float) -> str | None:
        """Give the hash of the token's key; None if it is forged, expired or its key is gone.

        Whether the key itself has expired is for the caller to see.
        """
        name, _, rest = token.partition(".")
        expires, _, _ = rest.partition(".")
        key_hash = self._index(keys).get(name)
        if key_hash is None or not (expires.isascii() and expires.isdigit() and len(expires) < 16):
            return None
        genuine = _token(key_hash, keys[key_hash].environment_id, int(expires))
        if not hmac.compare_digest(genuine.encode(), token.encode("utf-8", "replace")):
            return None
        return key_hash if now < int(expires) else None

    def _index(self, keys: Mapping[str, Key]) -> dict[str, str]:
        if keys is not self._keys:
            self._keys, self._by_name = keys, {_name(key_hash): key_hash for key_hash in keys}
        return self._by_name


def take_query(scope: dict[str, object]) -> tuple[str, str | None]:
    """Read the token, and what the client has seen, and take both out of the request.

    Servers write the address of a request into their logs after it was answered; the token is not
    to be found there.
    """
    raw = scope["query_string"]
    assert isinstance(raw, bytes)
    scope["query_string"] = b""
    query = parse_qs(raw.decode("latin-1"), max_num_fields=8) if raw.count(b"&") < 8 else {}
    return query.get("token", [""])[0], query.get("seen", [None])[0]


def config_etag(query_string: bytes) -> str | None:
    """Read ``flagConfigEtag``: the event's mark, which a client adds to what it asks afterwards."""
    if b"flagConfigEtag=" not in query_string or query_string.count(b"&") >= 32:
        return None
    return parse_qs(query_string.decode("latin-1")).get("flagConfigEtag", [None])[0]


def announcement(snapshot: Snapshot, key: Key, now: float) -> Announcement:
    """Write the event that tells a client to evaluate again."""
    visible = snapshot.visible_to(key)
    mark = visible.mark(now)
    data: dict[str, object] = {"type": "refetchEvaluation", "etag": mark}
    modified = max(snapshot.modified_at or 0.0, visible.last_turn(now) or 0.0)
    if modified:
        data["lastModified"] = int(modified)
    frame = b"event: message\nid: %b\ndata: %b\n\n" % (mark.encode(), orjson.dumps(data))
    return Announcement(mark.encode(), frame, mark.encode())


def _name(key_hash: str) -> str:
    """Name a key without giving its hash away."""
    return hashlib.sha256(b"flagstone stream of\0" + key_hash.encode()).hexdigest()[:16]


def _token(key_hash: str, environment_id: int, expires: int) -> str:
    message = b"flagstone stream\0%d\0%d" % (environment_id, expires)
    signature = hmac.digest(key_hash.encode(), message, "sha256").hex()[:32]
    return f"{_name(key_hash)}.{expires}.{signature}"
