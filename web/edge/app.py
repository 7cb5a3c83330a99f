"""The ASGI application: data plane here, everything else over the bridge.

Only this module and its routes (:mod:`web.edge.ofrep_routes`, :mod:`web.edge.sdk_routes`) speak
ASGI. The handlers behind them are plain functions from a snapshot and bytes to an
:class:`~web.edge.problems.Answer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from web.edge import health, stream
from web.edge.bridge import Bridge, WsgiApp
from web.edge.ofrep_routes import OfrepRoutes
from web.edge.problems import method_not_allowed, problem, too_large
from web.edge.process import Process
from web.edge.replies import Scope, Send, reply
from web.edge.requests import ClientGoneError, Receive, body_limit, read_body
from web.edge.sdk_routes import SdkRoutes
from web.settings import Settings


class Edge:
    """One web process.

    Parameters
    ----------
    settings : Settings
        Where the database and the event store are.
    wsgi_factory : callable, optional
        Makes the WSGI application that answers everything but the data plane; without one, such
        addresses answer 404.
    clock : callable
        POSIX seconds.
    """

    def __init__(
        self,
        settings: Settings,
        wsgi_factory: Callable[[], WsgiApp] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        heartbeat_seconds: float = stream.HEARTBEAT_SECONDS,
    ) -> None:
        self.process = Process(settings, clock)
        self._ofrep = OfrepRoutes(self.process, heartbeat_seconds)
        self._sdk = SdkRoutes(self.process, heartbeat_seconds)
        self._bridge = None if wsgi_factory is None else Bridge(wsgi_factory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        path: str = scope["path"]
        with contextlib.suppress(ClientGoneError):
            if path.startswith("/ofrep/"):
                await self._ofrep(scope, path, receive, send)
            elif path.startswith("/sdk/"):
                await self._sdk(scope, path, receive, send)
            elif path in ("/healthz", "/readyz", "/metrics"):
                await self._operate(scope, path, send)
            else:
                await self._bridged(scope, receive, send)

    async def start(self) -> None:
        """Load flag sets and keys, and make the application behind the bridge."""
        await self.process.start(None if self._bridge is None else self._bridge.warm)

    def end_streams(self) -> None:
        """End every event stream and every wait, so that open ones do not hold up a shutdown."""
        self.process.end_streams()

    async def stop(self) -> None:
        """Stop watching, finish commits, let go of threads."""
        await self.process.stop()
        if self._bridge is not None:
            self._bridge.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _operate(self, scope: Scope, path: str, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            answer = method_not_allowed("GET, HEAD")
        elif path == "/healthz":
            answer = health.alive()
        elif path == "/readyz":
            answer = await health.ready(
                lambda: self.process.state, self.process.refresh, self.process.intake.check
            )
        else:
            self.process.metrics.database_up.set(1 if self.process.has_database else 0)
            answer = await asyncio.get_running_loop().run_in_executor(
                None, health.metrics, self.process.metrics
            )
        await reply(self.process.metrics, scope, send, path[1:], answer)

    async def _bridged(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._bridge is None:
            answer = problem(404, "not_found", f"There is nothing at {scope['path']}.")
        else:
            headers = dict(scope["headers"])
            limit = body_limit(scope["path"], headers)
            body = await read_body(headers, receive, limit)
            if body is None:
                answer = too_large(limit)
            else:
                answer = await self._bridge.answer(scope, body)
                answer = await self.process.receipts.hold(answer, scope["headers"], receive)
        await reply(self.process.metrics, scope, send, "api", answer)


def create_app(settings: Settings, wsgi_factory: Callable[[], WsgiApp] | None = None) -> Edge:
    """Make the ASGI application of one web process (see :mod:`web.asgi` for the whole service)."""
    return Edge(settings, wsgi_factory)
