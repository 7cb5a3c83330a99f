"""OFREP over ASGI: evaluations for any key, and the event stream that announces changes."""

from __future__ import annotations

import logging
from functools import partial

from web.edge import cors, event_streams, stream
from web.edge.body import MAX_BODY_BYTES, check_content_type
from web.edge.door import authenticate, not_loaded
from web.edge.limits import RateLimit
from web.edge.ofrep import Streams, as_failure, evaluate_all, evaluate_one, failure
from web.edge.problems import Answer, BodyError, method_not_allowed, problem, too_large
from web.edge.process import Process
from web.edge.replies import Scope, Send, reply
from web.edge.requests import ClientGoneError, Receive, read_body, secret_of
from web.edge.state import Key, Snapshot, hash_secret

logger = logging.getLogger("flagstone.edge")

BULK = "/ofrep/v1/evaluate/flags"
SINGLE = BULK + "/"


class OfrepRoutes:
    """Whatever is asked under ``/ofrep/``."""

    def __init__(self, process: Process, heartbeat_seconds: float) -> None:
        self._process = process
        self._limit = RateLimit(process.settings.ofrep_requests_per_second)
        self._tickets = event_streams.Tickets()
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if path == event_streams.PATH:
            await self._event_stream(scope, receive, send)
            return
        route = "ofrep_bulk" if path == BULK else "ofrep_single"
        key = path[len(SINGLE) :] if path.startswith(SINGLE) else None
        if path != BULK and key is None:
            route = "ofrep_unknown"
            answer = failure(404, "GENERAL", f"There is nothing at {path}.")
        elif scope["method"] == "OPTIONS":
            await reply(self._process.metrics, scope, send, route, cors.PREFLIGHT)
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
        await reply(self._process.metrics, scope, send, route, cors.readable(answer))

    async def _evaluate(self, scope: Scope, flag_key: str | None, receive: Receive) -> Answer:
        """Answer for one flag, or without a key for all of them."""
        headers = dict(scope["headers"])
        found = authenticate(self._process, headers)
        if isinstance(found, Answer):
            return as_failure(found, flag_key)
        key, snapshot = found
        key_hash = hash_secret(secret_of(headers) or "")
        now = self._process.clock()
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
        seen = partial(self._process.contexts.offer, key.environment_id, now)
        if flag_key is not None:
            answer = evaluate_one(
                snapshot, flag_key, body, client_only=client_only, now=now, seen=seen
            )
            if answer.status == 200:
                self._process.evaluations.note(key.environment_id, flag_key, now)
            return answer
        snapshot = await self._announced(scope["query_string"], key, snapshot)
        base = event_streams.base_url(
            self._process.settings.public_url,
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
            self._process.evaluations.note_all(
                key.environment_id, keys, now, client_only=client_only
            )
        return answer

    async def _announced(self, query_string: bytes, key: Key, snapshot: Snapshot) -> Snapshot:
        """Look for a newer flag set if the caller was told of one that is not known here."""
        told = event_streams.config_etag(query_string) if query_string else None
        if told is None or told == snapshot.visible_to(key).mark(self._process.clock()):
            return snapshot
        try:
            await self._process.refresh()
        except Exception:  # noqa: BLE001  without a database, what we know is the newest
            logger.warning("could not check for the flag set that an event announced")
        return self._process.state.snapshots.get(key.environment_id, snapshot)

    async def _event_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        token, seen = event_streams.take_query(scope)
        if scope["method"] == "OPTIONS":
            await reply(self._process.metrics, scope, send, "ofrep_stream", cors.STREAM_PREFLIGHT)
            return
        state, now = self._process.state, self._process.clock()
        key_hash = self._tickets.find(token, state.keys, now)
        key = None if key_hash is None else state.keys[key_hash]
        if scope["method"] != "GET":
            answer = method_not_allowed("GET, OPTIONS")
        elif not state.loaded:
            answer = not_loaded()
        elif key is None or (key.expires_at is not None and now >= key.expires_at):
            answer = problem(
                401,
                "token_invalid",
                "The address of this event stream is not, or no longer, good.",
                hint=f"ask {BULK} for a new one",
            )
        else:
            self._process.metrics.count("ofrep_stream", 200)
            last_event_id = dict(scope["headers"]).get(b"last-event-id")
            with self._process.metrics.streams.track_inprogress():
                await stream.run(
                    key_hash=key_hash or "",
                    key=key,
                    state=lambda: self._process.state,
                    changes=self._process.changes,
                    # A stream that is opened for the first time says in its address what it knows.
                    last_event_id=seen.encode()
                    if last_event_id is None and seen
                    else last_event_id,
                    receive=receive,
                    send=send,
                    clock=self._process.clock,
                    heartbeat_seconds=self._heartbeat_seconds,
                    announce=lambda snapshot: event_streams.announcement(
                        snapshot, key, self._process.clock()
                    ),
                    headers=(*stream.HEADERS, *cors.HEADERS),
                )
            return
        answer = cors.readable(as_failure(answer, None))
        await reply(self._process.metrics, scope, send, "ofrep_stream", answer)
