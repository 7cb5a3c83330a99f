"""From ASGI to one WSGI application: bounded body, one thread per request, buffered answer.

Written by hand because the packages for it cost two to three times the CPU or fail under load (see
the README). Paths that end in ``/kill``, and kill hooks, have threads of their own: an emergency
stop must pass while every other thread is stuck.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from web.edge.problems import Answer, problem

logger = logging.getLogger("flagstone.edge")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

THREADS = 8
KILL_THREADS = 2
# Requests that wait for a thread; beyond it the service says so at once.
MAX_WAITING = 256


class Bridge:
    """Serve a WSGI application from threads.

    Parameters
    ----------
    factory : callable
        Makes the application; called once, in a thread, at the first request or by ``warm``.
    """

    def __init__(self, factory: Callable[[], WsgiApp]) -> None:
        self._factory = factory
        self._app: WsgiApp | None = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="flagstone-api")
        self._kill_threads = ThreadPoolExecutor(KILL_THREADS, thread_name_prefix="flagstone-kill")
        self._busy = {False: 0, True: 0}

    def warm(self) -> None:
        """Make the application in the background, so that nobody waits for its imports."""
        self._kill_threads.submit(self._made)

    async def answer(self, scope: dict[str, Any], body: bytes) -> Answer:
        """Answer one request whose body has been read."""
        path = scope["path"].rstrip("/")
        urgent = path.endswith("/kill") or path.startswith("/hooks/kill")
        if self._busy[urgent] >= MAX_WAITING:
            return problem(
                503,
                "overloaded",
                "Too many requests wait for an answer.",
                headers=((b"retry-after", b"1"),),
            )
        self._busy[urgent] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._kill_threads if urgent else self._threads, self._call, scope, body
            )
        finally:
            self._busy[urgent] -= 1

    def close(self) -> None:
        """Let go of the threads; a stuck one does not keep the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._kill_threads.shutdown(wait=False, cancel_futures=True)

    def _made(self) -> WsgiApp:
        if self._app is None:
            with self._making:
                if self._app is None:
                    self._app = self._factory()
        return self._app

    def _call(self, scope: dict[str, Any], body: bytes) -> Answer:
        try:
            return call_wsgi(self._made(), scope, body)
        except Exception:
            # The path of a kill hook ends in its secret.
            path = scope["path"] if not scope["path"].startswith("/hooks/") else "/hooks/…"
            logger.exception("the application failed on %s", path)
            return problem(500, "internal_error", "The service failed; its log says why.")


def call_wsgi(app: WsgiApp, scope: dict[str, Any], body: bytes) -> Answer:
    """Call a WSGI application (PEP 3333) and collect its answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str,
        headers: list[tuple[str, str]],
        exc_info: Any = None,  # noqa: ARG001  PEP 3333
    ) -> Callable[[bytes], None]:
        started[:] = [(status, headers)]
        return written.append

    result = app(environ_of(scope, body), start_response)
    try:
        written.extend(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    status, headers = started[0]
    # The length of a HEAD answer is that of the body which a GET would get.
    keep_length = scope["method"] == "HEAD"
    return Answer(
        int(status[:3]),
        tuple(
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
            if keep_length or name.lower() != "content-length"
        ),
        b"".join(written),
    )


def environ_of(scope: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Translate an ASGI scope to a WSGI environment."""
    server = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        if name in {"CONTENT_LENGTH", "TRANSFER_ENCODING"} or b"_" in raw_name:
            # The body is whole by now; and `X_A` must not pass for `X-A`.
            continue
        if name != "CONTENT_TYPE":
            name = f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ
