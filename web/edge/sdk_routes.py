"""What SDKs ask over ASGI: the flag set, its stream; what they tell: events and heartbeats."""

from __future__ import annotations

import logging

from web.edge import stream
from web.edge.body import MAX_BODY_BYTES
from web.edge.door import authenticate
from web.edge.flagset import flag_set, is_current
from web.edge.instances import MAX_BODY_BYTES as MAX_HEARTBEAT_BYTES
from web.edge.instances import Told
from web.edge.problems import Answer, method_not_allowed, problem, too_large
from web.edge.process import Process
from web.edge.replies import Scope, Send, reply
from web.edge.requests import Receive, RequestHeaders, read_body, secret_of
from web.edge.state import hash_secret

logger = logging.getLogger("flagstone.edge")


class SdkRoutes:
    """Whatever is asked under ``/sdk/``, all of it for server keys only."""

    def __init__(self, process: Process, heartbeat_seconds: float) -> None:
        self._process = process
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        if path == "/sdk/v1/flagset":
            if method not in ("GET", "HEAD"):
                answer = method_not_allowed("GET, HEAD")
            else:
                answer = await self._flag_set(dict(scope["headers"]))
            await reply(self._process.metrics, scope, send, "flagset", answer)
        elif path == "/sdk/v1/events":
            if method != "POST":
                answer = method_not_allowed("POST")
            else:
                answer = await self._events(dict(scope["headers"]), receive)
            await reply(self._process.metrics, scope, send, "events", answer)
        elif path == "/sdk/v1/instances":
            if method != "POST":
                answer = method_not_allowed("POST")
            else:
                answer = await self._heartbeat(dict(scope["headers"]), receive)
            await reply(self._process.metrics, scope, send, "instances", answer)
        elif path == "/sdk/v1/stream":
            if method != "GET":
                await reply(self._process.metrics, scope, send, "stream", method_not_allowed("GET"))
            else:
                await self._stream(scope, receive, send)
        else:
            answer = problem(404, "not_found", f"There is nothing at {path}.")
            await reply(self._process.metrics, scope, send, "sdk_unknown", answer)

    async def _flag_set(self, headers: RequestHeaders) -> Answer:
        found = authenticate(self._process, headers, server_only=True)
        if isinstance(found, Answer):
            return found
        key, snapshot = found
        if_none_match = headers.get(b"if-none-match")
        if self._process.settings.workers > 1 and is_current(snapshot, if_none_match):
            # Another process may have told this SDK of a revision that has not come here yet.
            try:
                await self._process.refresh()
            except Exception:  # noqa: BLE001  without a database, what we know is the newest
                logger.warning("could not check for a newer flag set before answering 304")
            snapshot = self._process.state.snapshots.get(key.environment_id, snapshot)
        return flag_set(
            snapshot,
            if_none_match=if_none_match,
            accept_encoding=headers.get(b"accept-encoding"),
        )

    async def _events(self, headers: RequestHeaders, receive: Receive) -> Answer:
        found = authenticate(self._process, headers, server_only=True)
        if isinstance(found, Answer):
            return found
        key, _ = found
        body = await read_body(headers, receive)
        if body is None:
            return too_large(MAX_BODY_BYTES)
        return await self._process.intake.take(
            body,
            environment_id=key.environment_id,
            received=self._process.clock(),
            content_type=headers.get(b"content-type"),
            content_encoding=headers.get(b"content-encoding"),
        )

    async def _heartbeat(self, headers: RequestHeaders, receive: Receive) -> Answer:
        found = authenticate(self._process, headers, server_only=True)
        if isinstance(found, Answer):
            return found
        key, _ = found
        body = await read_body(headers, receive)
        if body is None:
            return too_large(MAX_HEARTBEAT_BYTES)
        here, now = key.environment_id, self._process.clock()
        is_sampled = here in self._process.state.sampled

        def seen(told: Told) -> None:
            if is_sampled:
                self._process.contexts.take_told(here, now, told.contexts, told.asked)

        answer = self._process.instances.take(
            body,
            environment_id=here,
            received=now,
            content_type=headers.get(b"content-type"),
            content_encoding=headers.get(b"content-encoding"),
            seen=seen,
        )
        if is_sampled and answer.status == 204:
            # Asked for now, and not for ever: a client tells none once an answer does not say so.
            below = b"%d" % self._process.contexts.below(here, now)
            return answer._replace(headers=(*answer.headers, (b"flagstone-contexts", below)))
        return answer

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        found = authenticate(self._process, headers, server_only=True)
        if isinstance(found, Answer):
            await reply(self._process.metrics, scope, send, "stream", found)
            return
        key, _ = found
        self._process.metrics.count("stream", 200)
        with self._process.metrics.streams.track_inprogress():
            await stream.run(
                key_hash=hash_secret(secret_of(headers) or ""),
                key=key,
                state=lambda: self._process.state,
                changes=self._process.changes,
                last_event_id=headers.get(b"last-event-id"),
                receive=receive,
                send=send,
                clock=self._process.clock,
                heartbeat_seconds=self._heartbeat_seconds,
            )
