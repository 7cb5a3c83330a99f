"""HTTP to the service over ``http.client``: one kept-open connection per worker thread.

Everything that can go wrong becomes a :class:`TransportError`; every wait and every size is
bounded. ``http.client`` and ``ssl`` are imported by the first request, not by ``import flagstone``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flagstone.errors import ConfigurationError, StoppedError, TransportError
from flagstone.timing import Timing
from flagstone.version import __version__

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection, HTTPResponse

MAX_BODY_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service is."""

    secure: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: object) -> Endpoint:
        """Take an address apart, or raise :class:`ConfigurationError` saying what is wrong."""
        if not isinstance(url, str):
            raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
        try:
            parts = urlsplit(url.strip())
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigurationError(f"url {url!r} cannot be read: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError(
                f"url {url!r} must look like http://127.0.0.1:8400 or https://flags.example.com"
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigurationError("url may hold no user, no query and no fragment")
        if not parts.path.isascii() or any(c <= " " for c in parts.path + host):
            raise ConfigurationError("url holds a character that must be percent-encoded")
        secure = parts.scheme == "https"
        return cls(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))

    @property
    def address(self) -> str:
        """The address in its normal form."""
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.prefix}"

    @property
    def authority(self) -> str:
        """Host and port as they stand in an absolute address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer of the service; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after_seconds(self, now: float) -> float | None:
        """Return how long the service asks to be left alone, if it does and it can be read."""
        return _retry_after(self.headers.get("retry-after"), now)


class Transport:
    """Knows address, key and time limits, and makes connections."""

    def __init__(self, endpoint: Endpoint, key: str, timing: Timing) -> None:
        self.endpoint = endpoint
        self.timing = timing
        self._headers = {
            "Authorization": f"Bearer {key}",
            "User-Agent": "flagstone-sdk/{} python/{}.{}".format(__version__, *sys.version_info),
        }
        self._tls: ssl.SSLContext | None = None

    def connection(self) -> Connection:
        """Return a connection for one thread; it opens when it is first used."""
        return Connection(self)

    def headers(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return what every request says, and ``extra``."""
        return {**self._headers, **extra}

    def open(self, *, timeout: float) -> tuple[HTTPConnection, str, dict[str, str]]:
        """Return a connected ``HTTPConnection``, the prefix of targets, and headers it needs."""
        import http.client

        at = self.endpoint
        proxy = _proxy_for(at)
        connection: http.client.HTTPConnection
        first_host, first_port = (at.host, at.port) if proxy is None else (proxy.host, proxy.port)
        if at.secure:
            connection = http.client.HTTPSConnection(
                first_host, first_port, timeout=timeout, context=self._tls_context()
            )
        else:
            connection = http.client.HTTPConnection(first_host, first_port, timeout=timeout)
        prefix, extra = at.prefix, {}
        if proxy is not None and at.secure:
            connection.set_tunnel(at.host, at.port, proxy.headers)
        elif proxy is not None:
            prefix, extra = at.address, dict(proxy.headers)
            extra["Host"] = at.authority
        connection.connect()
        return connection, prefix, extra

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls


class Connection:
    """Requests of one thread; other threads may only call :meth:`interrupt`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._http: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._prefix = ""
        self._extra: dict[str, str] = {}
        self._interrupted = False

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Send a request and read the whole answer.

        A connection that was kept open may have been closed by the other side meanwhile; then the
        request is sent once more on a fresh one. The service's requests are all idempotent.
        """
        reused = self._http is not None
        with self._errors():
            try:
                return self._exchange(method, path, headers, body)
            except (ConnectionError, self._bad_status()):
                self.close()
                if not reused or self._interrupted:
                    raise
                return self._exchange(method, path, headers, body)

    def open_stream(self, path: str, headers: Mapping[str, str]) -> Answer | Iterator[bytes]:
        """Open a stream: pieces of the body as they arrive, or the answer that refuses it.

        The caller closes the connection when it has enough.
        """
        timing = self._transport.timing
        with self._errors():
            response = self._send("GET", path, headers, None)
            kind = response.headers.get_content_type()
            if response.status != 200 or kind != "text/event-stream":
                return self._read(response, time.monotonic() + timing.answer_seconds)
            if self._socket is not None:
                self._socket.settimeout(timing.silence_seconds)
        return self._pieces(response)

    def interrupt(self) -> None:
        """End a wait of the owning thread, from another one."""
        self._interrupted = True
        opened = self._socket
        if opened is not None:
            # The plain socket's method: the TLS one would change the object under its reader.
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(opened, socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Let go of the inherited socket in a forked child, without a word to the service."""
        self._interrupted = True
        opened, self._socket = self._socket, None
        if opened is not None:
            # Buffered readers on it may hold a lock of a thread that does not exist here, and a
            # TLS goodbye would end the parent's connection: only the descriptor is closed.
            with contextlib.suppress(OSError, ValueError):
                descriptor = opened.detach()
                if descriptor >= 0:
                    os.close(descriptor)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        http, self._http, self._socket = self._http, None, None
        if http is not None:
            with contextlib.suppress(Exception):
                http.close()

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        deadline = time.monotonic() + self._transport.timing.answer_seconds
        response = self._send(method, path, headers, body)
        answer = self._read(response, deadline)
        if response.will_close:
            self.close()
        return answer

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> HTTPResponse:
        timing = self._transport.timing
        if self._http is None:
            opened = self._transport.open(timeout=timing.connect_seconds)
            self._http, self._prefix, self._extra = opened
            self._socket = self._http.sock
        if self._interrupted:
            raise StoppedError("the client is being closed")
        if self._socket is not None:
            self._socket.settimeout(timing.answer_seconds)
        everything = self._transport.headers({**self._extra, **headers})
        self._http.request(method, self._prefix + path, body=body, headers=everything)
        return self._http.getresponse()

    def _read(self, response: HTTPResponse, deadline: float) -> Answer:
        # read1 with our own count of bytes: read() waits for the whole amount, so that a service
        # that drips one byte per timeout would hold this thread for ever.
        left = response.length
        parts: list[bytes] = []
        total = 0
        while left is None or left > 0:
            part = response.read1(_CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES))
            if not part:
                break
            parts.append(part)
            total += len(part)
            left = None if left is None else left - len(part)
            if total > MAX_BODY_BYTES:
                raise TransportError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TransportError("the answer takes too long")
        if left:
            raise TransportError(f"the answer was cut off, {left} bytes are missing")
        response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, _decoded(b"".join(parts), headers))

    def _pieces(self, response: HTTPResponse) -> Iterator[bytes]:
        while True:
            with self._errors():
                part = response.read1(_CHUNK_BYTES)
            if not part:
                return
            yield part

    @staticmethod
    def _bad_status() -> type[Exception]:
        from http.client import BadStatusLine

        return BadStatusLine

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TransportError:
            self.close()
            raise
        except Exception as error:
            self.close()
            if self._interrupted:
                raise StoppedError("the client is being closed") from error
            # OSError, HTTPException, and what http.client lets through on broken framing.
            reason = str(error) or type(error).__name__
            raise TransportError(f"{type(error).__name__}: {reason}"[:300]) from error


@dataclass(frozen=True, slots=True)
class _Proxy:
    host: str
    port: int
    headers: dict[str, str]


def _proxy_for(endpoint: Endpoint) -> _Proxy | None:
    """Return the proxy that the environment names (``https_proxy``, ``no_proxy`` …), if any."""
    scheme = "https" if endpoint.secure else "http"
    if not (os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme}_proxy".upper())):
        return None
    if endpoint.host in ("localhost", "::1") or endpoint.host.startswith("127."):
        return None
    import urllib.request

    proxies = urllib.request.getproxies_environment()
    address = proxies.get(scheme)
    # Python has it, typeshed does not.
    bypasses = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    if not address or bypasses(endpoint.host, proxies):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if not parts.hostname:
        raise TransportError(f"the proxy in {scheme}_proxy has no host")
    headers = {}
    if parts.username is not None:
        import base64

        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return _Proxy(parts.hostname, parts.port or 3128, headers)


def compressed(body: bytes) -> bytes:
    """Return ``body`` as gzip; ``zlib`` is loaded anyway, and ``gzip`` is not."""
    deflater = zlib.compressobj(5, zlib.DEFLATED, 31)
    return deflater.compress(body) + deflater.flush()


def _decoded(body: bytes, headers: Mapping[str, str]) -> bytes:
    if headers.get("content-encoding", "").strip().lower() != "gzip" or not body:
        return body
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise TransportError(f"the answer is not gzip: {error}") from error
    if not inflater.eof:
        raise TransportError("the compressed answer is cut off or far too long")
    return plain


def _retry_after(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
