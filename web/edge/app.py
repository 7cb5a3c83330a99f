"""The ASGI application: data plane here, everything else over the bridge.

This is the only module that speaks ASGI. The handlers behind it are plain functions from a snapshot
and bytes to an :class:`~web.edge.problems.Answer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from flags.database import Database
from web.edge import cors, event_streams, health, stream
from web.edge.body import MAX_BODY_BYTES, check_content_type
from web.edge.bridge import Bridge, WsgiApp
from web.edge.contexts import Contexts
from web.edge.evaluations import Evaluations
from web.edge.events import Intake
from web.edge.flagset import flag_set, is_current
from web.edge.instances import MAX_BODY_BYTES as MAX_HEARTBEAT_BYTES
from web.edge.instances import Instances, Told
from web.edge.key_uses import KeyUses
from web.edge.limits import RateLimit
from web.edge.loader import Loader
from web.edge.metrics import Metrics
from web.edge.ofrep import Streams, as_failure, evaluate_all, evaluate_one, failure
from web.edge.problems import Answer, BodyError, method_not_allowed, problem, too_large
from web.edge.receipts import Receipts
from web.edge.requests import (
    ClientGoneError,
    Receive,
    RequestHeaders,
    body_limit,
    read_body,
    secret_of,
)
from web.edge.state import Key, Snapshot, State, hash_secret
from web.edge.watcher import Watcher
from web.settings import Settings

logger = logging.getLogger("flagstone.edge")

Scope = dict[str, Any]
Send = Callable[[Any], Awaitable[None]]

BULK = "/ofrep/v1/evaluate/flags"
SINGLE = BULK + "/"
FIRST_LOAD_SECONDS = 10.0
REFRESH_SECONDS = 2.0

_CHALLENGE = ((b"www-authenticate", b'Bearer realm="flagstone"'),)


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
        self.settings = settings
        self.state = State()
        self.metrics = Metrics()
        self.changes = stream.Changes()
        self.intake = Intake(settings.events_place, self._count_events)
        self.instances = Instances(clock)
        self.contexts = Contexts(clock)
        self.key_uses = KeyUses(clock)
        self.evaluations = Evaluations(clock)
        self.receipts = Receipts(clock)
        self.bridge = None if wsgi_factory is None else Bridge(wsgi_factory)
        self._limit = RateLimit(settings.ofrep_requests_per_second)
        self._tickets = event_streams.Tickets()
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._watcher: Watcher | None = None
        self._database: Database | None = None
        self._refreshing: asyncio.Future[None] | None = None

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

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load flag sets and keys, and watch for changes.

        The service starts without a database too: it says so at ``/readyz`` and goes on trying.
        """
        loop = asyncio.get_running_loop()
        self._database = Database(self.settings.database_url, pool_size=1)
        loaded = asyncio.Event()

        def publish(state: State) -> None:
            def swap() -> None:
                self.swap(state)
                loaded.set()

            loop.call_soon_threadsafe(swap)

        self.receipts.start(self._database)
        self._watcher = Watcher(Loader(self._database), publish, noticed=self.receipts.notice)
        self._watcher.start()
        self.instances.start(self._database)
        self.contexts.start(self._database)
        self.key_uses.start(self._database)
        self.evaluations.start(self._database)
        if self.bridge is not None:
            self.bridge.warm()
        try:
            await asyncio.wait_for(loaded.wait(), FIRST_LOAD_SECONDS)
        except TimeoutError:
            logger.error("no flag sets yet: %s", self._watcher.error or "the database is slow")

    def end_streams(self) -> None:
        """End every event stream and every wait, so that open ones do not hold up a shutdown."""
        self.changes.close()
        self.receipts.close()

    async def stop(self) -> None:
        """Stop watching, finish commits, let go of threads."""
        self.end_streams()
        loop = asyncio.get_running_loop()
        if self._watcher is not None:
            await loop.run_in_executor(None, self._watcher.stop)
        await loop.run_in_executor(None, self.intake.close)
        await loop.run_in_executor(None, self.instances.close)
        await loop.run_in_executor(None, self.contexts.close)
        await loop.run_in_executor(None, self.key_uses.close)
        await loop.run_in_executor(None, self.evaluations.close)
        if self.bridge is not None:
            self.bridge.close()
        if self._database is not None:
            self._database.dispose()

    def swap(self, state: State) -> None:
        """Put a new state into service and wake the streams that it concerns."""
        before, self.state = self.state, state
        if before.keys != state.keys:
            self.changes.notify_all()
        for number, snapshot in state.snapshots.items():
            if before.snapshots.get(number) is not snapshot:
                self.metrics.changes.inc()
                self.metrics.version.labels(snapshot.flag_set_id).set(snapshot.version)
                self.changes.notify(number)
        for number in before.snapshots.keys() - state.snapshots.keys():
            self.changes.notify(number)
        self.metrics.failed_flag_sets.set(len(state.failures))

    async def refresh(self) -> None:
        """Read the database now; callers that come together share one read."""
        if self._watcher is None:
            return
        if self._refreshing is None or self._refreshing.done():
            loop = asyncio.get_running_loop()
            self._refreshing = asyncio.ensure_future(
                loop.run_in_executor(None, self._watcher.check)
            )
        await asyncio.wait_for(asyncio.shield(self._refreshing), REFRESH_SECONDS)
        # The new state was handed to the loop before the read was reported as done.
        await asyncio.sleep(0)

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

    # -- OFREP -----------------------------------------------------------------------------------

    async def _ofrep(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        if path == event_streams.PATH:
            await self._event_stream(scope, receive, send)
            return
        route = "ofrep_bulk" if path == BULK else "ofrep_single"
        key = path[len(SINGLE) :] if path.startswith(SINGLE) else None
        if path != BULK and key is None:
            route = "ofrep_unknown"
            answer = failure(404, "GENERAL", f"There is nothing at {path}.")
        elif scope["method"] == "OPTIONS":
            await self._send(scope, send, route, cors.PREFLIGHT)
            return
        elif scope["method"] != "POST":
            answer = as_failure(method_not_allowed("POST, OPTIONS"), key)
        else:
            try:
                answer = await self._evaluate(scope, key, receive)
            except ClientGoneError:
                raise
            except Exception:
                # Answered here, because a browser shows a page no answer without CORS headers.
                logger.exception("the evaluation failed")
                answer = failure(500, "GENERAL", "The service failed; its log says why.", key=key)
        await self._send(scope, send, route, cors.readable(answer))

    async def _evaluate(self, scope: Scope, flag_key: str | None, receive: Receive) -> Answer:
        """Answer for one flag, or without a key for all of them."""
        headers = dict(scope["headers"])
        found = self._authenticate(headers)
        if isinstance(found, Answer):
            return as_failure(found, flag_key)
        key, snapshot = found
        key_hash = hash_secret(secret_of(headers) or "")
        now = self._clock()
        wait = self._limit.wait_seconds(key_hash, now)
        if wait:
            return failure(
                429,
                "GENERAL",
                "This key asks more often than it may.",
                key=flag_key,
                headers=((b"retry-after", b"%d" % wait),),
            )
        body = await read_body(headers, receive)
        if body is None:
            return as_failure(too_large(MAX_BODY_BYTES), flag_key)
        try:
            check_content_type(headers.get(b"content-type"))
        except BodyError as error:
            return failure(400, "PARSE_ERROR", error.detail, key=flag_key, field=error.field)
        client_only = key.kind != "srv"
        seen = partial(self.contexts.offer, key.environment_id, now)
        if flag_key is not None:
            answer = evaluate_one(
                snapshot, flag_key, body, client_only=client_only, now=now, seen=seen
            )
            if answer.status == 200:
                self.evaluations.note(key.environment_id, flag_key, now)
            return answer
        snapshot = await self._announced(scope["query_string"], key, snapshot)
        base = event_streams.base_url(
            self.settings.public_url,
            scope["scheme"],
            headers.get(b"host"),
            headers.get(b"origin"),
        )
        mark = snapshot.visible_to(key).mark(now)
        member = event_streams.event_streams(key_hash, key, base, mark, now)
        answer = evaluate_all(
            snapshot,
            body,
            client_only=client_only,
            now=now,
            if_none_match=headers.get(b"if-none-match"),
            streams=Streams(member, event_streams.period(now)),
            seen=seen,
        )
        if answer.status in {200, 304}:
            keys = snapshot.client_flag_keys if client_only else snapshot.flag_keys
            self.evaluations.note_all(key.environment_id, keys, now, client_only=client_only)
        return answer

    async def _announced(self, query_string: bytes, key: Key, snapshot: Snapshot) -> Snapshot:
        """Look for a newer flag set if the caller was told of one that is not known here."""
        told = event_streams.config_etag(query_string) if query_string else None
        if told is None or told == snapshot.visible_to(key).mark(self._clock()):
            return snapshot
        try:
            await self.refresh()
        except Exception:  # noqa: BLE001  without a database, what we know is the newest
            logger.warning("could not check for the flag set that an event announced")
        return self.state.snapshots.get(key.environment_id, snapshot)

    async def _event_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        token, seen = event_streams.take_query(scope)
        if scope["method"] == "OPTIONS":
            await self._send(scope, send, "ofrep_stream", cors.STREAM_PREFLIGHT)
            return
        state, now = self.state, self._clock()
        key_hash = self._tickets.find(token, state.keys, now)
        key = None if key_hash is None else state.keys[key_hash]
        if scope["method"] != "GET":
            answer = method_not_allowed("GET, OPTIONS")
        elif not state.loaded:
            answer = _not_loaded()
        elif key is None or (key.expires_at is not None and now >= key.expires_at):
            answer = problem(
                401,
                "token_invalid",
                "The address of this event stream is not, or no longer, good.",
                hint=f"ask {BULK} for a new one",
            )
        else:
            self.metrics.count("ofrep_stream", 200)
            last_event_id = dict(scope["headers"]).get(b"last-event-id")
            with self.metrics.streams.track_inprogress():
                await stream.run(
                    key_hash=key_hash or "",
                    key=key,
                    state=lambda: self.state,
                    changes=self.changes,
                    # A stream that is opened for the first time says in its address what it knows.
                    last_event_id=seen.encode()
                    if last_event_id is None and seen
                    else last_event_id,
                    receive=receive,
                    send=send,
                    clock=self._clock,
                    heartbeat_seconds=self._heartbeat_seconds,
                    announce=lambda snapshot: event_streams.announcement(
                        snapshot, key, self._clock()
                    ),
                    headers=(*stream.HEADERS, *cors.HEADERS),
                )
            return
        answer = cors.readable(as_failure(answer, None))
        await self._send(scope, send, "ofrep_stream", answer)

    def _count_events(self, environment_id: int, counts: Mapping[str, int]) -> None:
        snapshot = self.state.snapshots.get(environment_id)
        if snapshot is not None:
            self.metrics.count_events(snapshot.flag_set_id, counts)

    # -- SDK -------------------------------------------------------------------------------------

    async def _sdk(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if path == "/sdk/v1/flagset":
            if method not in ("GET", "HEAD"):
                answer = method_not_allowed("GET, HEAD")
            else:
                answer = await self._flag_set(dict(scope["headers"]))
            await self._send(scope, send, "flagset", answer)
        elif path == "/sdk/v1/events":
            if method != "POST":
                answer = method_not_allowed("POST")
            else:
                answer = await self._events(dict(scope["headers"]), receive)
            await self._send(scope, send, "events", answer)
        elif path == "/sdk/v1/instances":
            if method != "POST":
                answer = method_not_allowed("POST")
            else:
                answer = await self._heartbeat(dict(scope["headers"]), receive)
            await self._send(scope, send, "instances", answer)
        elif path == "/sdk/v1/stream":
            if method != "GET":
                await self._send(scope, send, "stream", method_not_allowed("GET"))
            else:
                await self._stream(scope, receive, send)
        else:
            answer = problem(404, "not_found", f"There is nothing at {path}.")
            await self._send(scope, send, "sdk_unknown", answer)

    async def _flag_set(self, headers: RequestHeaders) -> Answer:
        found = self._authenticate(headers, server_only=True)
        if isinstance(found, Answer):
            return found
        key, snapshot = found
        if_none_match = headers.get(b"if-none-match")
        if self.settings.workers > 1 and is_current(snapshot, if_none_match):
            # Another process may have told this SDK of a revision that has not come here yet.
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001  without a database, what we know is the newest
                logger.warning("could not check for a newer flag set before answering 304")
            snapshot = self.state.snapshots.get(key.environment_id, snapshot)
        return flag_set(
            snapshot,
            if_none_match=if_none_match,
            accept_encoding=headers.get(b"accept-encoding"),
        )

    async def _events(self, headers: RequestHeaders, receive: Receive) -> Answer:
        found = self._authenticate(headers, server_only=True)
        if isinstance(found, Answer):
            return found
        key, _ = found
        body = await read_body(headers, receive)
        if body is None:
            return too_large(MAX_BODY_BYTES)
        return await self.intake.take(
            body,
            environment_id=key.environment_id,
            received=self._clock(),
            content_type=headers.get(b"content-type"),
            content_encoding=headers.get(b"content-encoding"),
        )

    async def _heartbeat(self, headers: RequestHeaders, receive: Receive) -> Answer:
        found = self._authenticate(headers, server_only=True)
        if isinstance(found, Answer):
            return found
        key, _ = found
        body = await read_body(headers, receive)
        if body is None:
            return too_large(MAX_HEARTBEAT_BYTES)
        here, now = key.environment_id, self._clock()
        is_sampled = here in self.state.sampled

        def seen(told: Told) -> None:
            if is_sampled:
                self.contexts.take_told(here, now, told.contexts, told.asked)

        answer = self.instances.take(
            body,
            environment_id=here,
            received=now,
            content_type=headers.get(b"content-type"),
            content_encoding=headers.get(b"content-encoding"),
            seen=seen,
        )
        if is_sampled and answer.status == 204:
            # Asked for now, and not for ever: a client tells none once an answer does not say so.
            below = b"%d" % self.contexts.below(here, now)
            return answer._replace(headers=(*answer.headers, (b"flagstone-contexts", below)))
        return answer

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        found = self._authenticate(headers, server_only=True)
        if isinstance(found, Answer):
            await self._send(scope, send, "stream", found)
            return
        key, _ = found
        self.metrics.count("stream", 200)
        with self.metrics.streams.track_inprogress():
            await stream.run(
                key_hash=hash_secret(secret_of(headers) or ""),
                key=key,
                state=lambda: self.state,
                changes=self.changes,
                last_event_id=headers.get(b"last-event-id"),
                receive=receive,
                send=send,
                clock=self._clock,
                heartbeat_seconds=self._heartbeat_seconds,
            )

    # -- operation -------------------------------------------------------------------------------

    async def _operate(self, scope: Scope, path: str, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            answer = method_not_allowed("GET, HEAD")
        elif path == "/healthz":
            answer = health.alive()
        elif path == "/readyz":
            answer = await health.ready(lambda: self.state, self.refresh, self.intake.check)
        else:
            self.metrics.database_up.set(
                0 if self._watcher is None or self._watcher.error is not None else 1
            )
            answer = await asyncio.get_running_loop().run_in_executor(
                None, health.metrics, self.metrics
            )
        await self._send(scope, send, path[1:], answer)

    async def _bridged(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.bridge is None:
            answer = problem(404, "not_found", f"There is nothing at {scope['path']}.")
        else:
            headers = dict(scope["headers"])
            limit = body_limit(scope["path"], headers)
            body = await read_body(headers, receive, limit)
            if body is None:
                answer = too_large(limit)
            else:
                answer = await self.bridge.answer(scope, body)
                answer = await self.receipts.hold(answer, scope["headers"], receive)
        await self._send(scope, send, "api", answer)

    # -- common ----------------------------------------------------------------------------------

    def _authenticate(
        self, headers: RequestHeaders, *, server_only: bool = False
    ) -> tuple[Key, Snapshot] | Answer:
        state = self.state
        secret = secret_of(headers)
        if secret is None:
            return problem(
                401,
                "key_missing",
                "The request carries no key.",
                hint="send Authorization: Bearer fs_srv_… or X-API-Key",
                headers=_CHALLENGE,
            )
        key_hash = hash_secret(secret)
        key = state.keys.get(key_hash)
        if key is None or (key.expires_at is not None and self._clock() >= key.expires_at):
            if not state.loaded:
                return _not_loaded()
            return problem(
                401, "key_invalid", "The key is unknown, revoked or expired.", headers=_CHALLENGE
            )
        self.key_uses.note(key_hash)
        if server_only and key.kind != "srv":
            return problem(
                403,
                "key_not_allowed",
                "A client key may only evaluate flags over OFREP.",
                hint="use a server key (fs_srv_…)",
            )
        snapshot = state.snapshots.get(key.environment_id)
        if snapshot is None:
            return _not_loaded()
        return key, snapshot

    async def _send(self, scope: Scope, send: Send, route: str, answer: Answer) -> None:
        status, headers, body = answer
        self.metrics.count(route, status)
        sent = list(headers)
        if status not in (204, 304) and not (scope["method"] == "HEAD" and _has_length(headers)):
            sent.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})


def create_app(settings: Settings, wsgi_factory: Callable[[], WsgiApp] | None = None) -> Edge:
    """Make the ASGI application of one web process (see :mod:`web.asgi` for the whole service)."""
    return Edge(settings, wsgi_factory)


def _not_loaded() -> Answer:
    return problem(
        503,
        "not_ready",
        "The flag set is not loaded yet.",
        headers=((b"retry-after", b"1"),),
    )


def _has_length(headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    return any(name == b"content-length" for name, _ in headers)
