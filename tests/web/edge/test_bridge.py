"""From ASGI to WSGI: threads, bodies, and the path that no stuck thread may block."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.edge.bridge import MAX_WAITING, THREADS, Bridge, call_wsgi, environ_of


def make_scope(path: str = "/", method: str = "GET", **changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8400),
        "client": ("127.0.0.1", 5000),
        "headers": [],
        **changes,
    }


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "9")])
    plain = {key: value for key, value in environ.items() if isinstance(value, str)}
    plain["body"] = environ["wsgi.input"].read().decode()
    return [json.dumps(plain).encode()]


class Gate:
    """A WSGI application whose views hang until the gate is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside = threading.Semaphore(0)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not environ["PATH_INFO"].endswith("/kill"):
            self.inside.release()
            self.opened.wait(30)
        start_response("200 OK", [])
        return [b"done"]


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


def test_kill_answers_while_every_other_thread_is_stuck(gate: Gate) -> None:
    async def scenario() -> None:
        bridge = Bridge(lambda: gate)
        stuck = [
            asyncio.ensure_future(bridge.answer(make_scope("/slow"), b""))
            for _ in range(THREADS + 5)
        ]
        for _ in range(THREADS):
            await asyncio.to_thread(gate.inside.acquire)
        path = "/api/v1/projects/p/flags/f/environments/e/kill"
        answer = await asyncio.wait_for(bridge.answer(make_scope(path, "POST"), b""), 20)
        assert answer.body == b"done"
        assert not any(task.done() for task in stuck)
        gate.opened.set()
        assert all(answer.status == 200 for answer in await asyncio.gather(*stuck))
        bridge.close()

    asyncio.run(scenario())


def test_a_queue_that_is_too_long_is_refused_at_once(gate: Gate) -> None:
    async def scenario() -> None:
        bridge = Bridge(lambda: gate)
        stuck = [
            asyncio.ensure_future(bridge.answer(make_scope("/slow"), b""))
            for _ in range(MAX_WAITING)
        ]
        await asyncio.to_thread(gate.inside.acquire)
        answer = await bridge.answer(make_scope("/slow"), b"")
        assert answer.status == 503
        assert (b"retry-after", b"1") in answer.headers
        gate.opened.set()
        await asyncio.gather(*stuck)
        bridge.close()

    asyncio.run(scenario())


def test_a_failing_application_gives_a_problem_and_no_traceback() -> None:
    def broken(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise RuntimeError("secret detail")

    async def scenario() -> None:
        bridge = Bridge(lambda: broken)
        answer = await bridge.answer(make_scope("/"), b"")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert json.loads(answer.body)["code"] == "internal_error"
        bridge.close()

    asyncio.run(scenario())


def test_the_application_sees_the_request_as_it_was() -> None:
    scope = make_scope(
        "/a b/ü",
        "POST",
        query_string=b"x=1&y=%20",
        headers=[
            (b"host", b"example.org"),
            (b"content-type", b"application/json"),
            (b"content-length", b"999"),
            (b"x-two", b"1"),
            (b"x-two", b"2"),
            (b"cookie", b"a=1"),
            (b"cookie", b"b=2"),
            (b"x_two", b"forged"),
        ],
    )
    seen = json.loads(call_wsgi(echo, scope, b"{}").body)
    assert seen["PATH_INFO"].encode("latin-1").decode() == "/a b/ü"
    assert seen["QUERY_STRING"] == "x=1&y=%20"
    assert seen["HTTP_HOST"] == "example.org"
    assert seen["CONTENT_TYPE"] == "application/json"
    assert seen["CONTENT_LENGTH"] == "2"
    assert seen["HTTP_X_TWO"] == "1,2"
    assert seen["HTTP_COOKIE"] == "a=1; b=2"
    assert seen["body"] == "{}"


@given(st.text())
def test_any_path_reaches_the_application_as_its_utf_8(path: str) -> None:
    path = path.encode("utf-8", "replace").decode("utf-8", "replace")
    environ = environ_of(make_scope(path), b"")
    assert environ["PATH_INFO"].encode("latin-1").decode() == path


def test_an_iterable_answer_is_joined_and_closed() -> None:
    closed = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            yield b"b"

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("201 Created", [("X-One", "1"), ("Content-Length", "2")])
        return Parts()

    answer = call_wsgi(app, make_scope(), b"")
    assert (answer.status, answer.body, answer.headers) == (201, b"ab", ((b"x-one", b"1"),))
    assert closed
