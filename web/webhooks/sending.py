"""One request to somebody else's server: to a public address only, bounded in time and size.

Whoever may make a webhook must not be able to have this service ask what only this service can
reach: its own ports, a cloud's metadata, the company's network. So the address is checked after the
name was resolved, and that very address is connected to (a name that resolves to something else a
moment later changes nothing); no redirect is followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from flags.errors import InvalidInputError
from web.webhooks.networks import Network

TIMEOUT_SECONDS = 10.0
KEPT_BYTES = 1024
MAX_URL_LENGTH = 2048
_MOST_RETRY_AFTER = 3600

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that carry another one inside: a router on the way would send it there.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that the world routes; site-local addresses (fec0::/10) count as global for Python.
_UNICAST = ipaddress.IPv6Network("2000::/3")


class RefusedAddressError(OSError):
    """The name stands for an address that webhooks may not reach."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one request: ``status`` is null where there was no answer, and ``error`` why."""

    duration_ms: int
    status: int | None = None
    error: str = ""
    answer: str = ""
    retry_after_seconds: int | None = None

    @property
    def arrived(self) -> bool:
        """Tell whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


def check_url(url: str, allowed: Sequence[Network], *, field: str = "url") -> str:
    """Give back the address of a receiver, or refuse what can never be sent to."""
    hint = "write https://example.com/hooks/flagstone"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, 0
    if (
        not host
        or port == 0
        or parts.scheme not in {"http", "https"}
        or not url.isprintable()
        or any(each in url for each in (" ", "\\", "#"))
        or len(url) > MAX_URL_LENGTH
    ):
        raise InvalidInputError("this is not the address of a receiver", field=field, hint=hint)
    if "@" in parts.netloc:
        message = "an address with a name and a password in it would be shown in lists"
        raise InvalidInputError(message, field=field, hint=hint)
    try:
        _check_address(_as_address(host), parts.scheme, allowed)
    except RefusedAddressError as error:
        raise InvalidInputError(str(error), field=field, hint=hint) from None
    except ValueError:
        # A name: what it stands for is asked when something is sent.
        if host == "localhost" and not any(each.is_loopback for each in allowed):
            message = "this service does not send webhooks to itself"
            raise InvalidInputError(message, field=field, hint=hint) from None
    return url


def send(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Sequence[Network] = (),
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Sent:
    """Post a body, and keep the beginning of the answer; whatever goes wrong is in what is given.

    Parameters
    ----------
    allowed : sequence of network
        Networks that may be reached although they are not public, also without TLS.
    timeout_seconds : float
        For all of it, but for the time that the system takes to resolve the name.
    """
    began = time.monotonic()
    try:
        parts = urlsplit(url)
        connection = _connect(parts, allowed, timeout_seconds)
    except (OSError, ValueError, UnicodeError) as error:
        return Sent(_milliseconds(began), error=_words(error))
    # A receiver that sends a byte now and then would never run into the socket's own limit.
    over = threading.Event()
    watchdog = threading.Timer(timeout_seconds, _cut, (connection.sock, over))
    watchdog.daemon = True
    watchdog.start()
    try:
        # Sent as bytes of ASCII: whatever else the address holds is quoted.
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
        connection.request("POST", target + query, body, dict(headers))
        response = connection.getresponse()
        answer = response.read(KEPT_BYTES).decode("utf-8", "replace").replace("\0", "\ufffd")
        wait = _retry_after(response.getheader("Retry-After"))
        return Sent(_milliseconds(began), response.status, "", answer, wait)
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = f"no answer within {timeout_seconds:g} s" if over.is_set() else _words(error)
        return Sent(_milliseconds(began), error=words)
    finally:
        watchdog.cancel()
        connection.close()


def _connect(
    parts: SplitResult, allowed: Sequence[Network], timeout_seconds: float
) -> http.client.HTTPConnection:
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Every address: a name with a public and a private one is not to be trusted at all.
    for *_, place in found:
        _check_address(_as_address(str(place[0])), parts.scheme, allowed)
    family, kind, protocol, _, place = found[0]
    # Their own connect() would resolve the name once more.
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    raw = socket.socket(family, kind, protocol)
    try:
        raw.settimeout(timeout_seconds)
        raw.connect(place)
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    except BaseException:
        raw.close()
        raise
    connection.sock = raw
    if parts.scheme == "https":
        connection.default_port = 443
    return connection


def _as_address(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _check_address(address: Address, scheme: str, allowed: Sequence[Network]) -> None:
    if any(address.version == each.version and address in each for each in allowed):
        return
    elsewhere = address.version == 6 and address not in _UNICAST
    if not address.is_global or address.is_multicast or address.is_reserved or elsewhere:
        message = f"{address} is not a public address, and the operator has not allowed it"
        raise RefusedAddressError(message)
    if scheme != "https":
        message = "without https everybody on the way could read it"
        raise RefusedAddressError(message)


def _cut(raw: socket.socket, over: threading.Event) -> None:
    over.set()
    with contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)


def _retry_after(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"\d{1,6}", text.strip()):
        return None
    return min(int(text), _MOST_RETRY_AFTER)


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _words(error: Exception) -> str:
    # Never the address of the receiver: with many services its path is a secret.
    if isinstance(error, RefusedAddressError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the name of the receiver cannot be resolved"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or 'failed'}"[:200]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:200]
    return type(error).__name__
