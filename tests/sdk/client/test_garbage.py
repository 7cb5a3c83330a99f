"""Whatever the service answers, the last-known values stay and nothing raises."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flagstone import Client

FLAG_SET, STREAM, EVENTS = "/sdk/v1/flagset", "/sdk/v1/stream", "/sdk/v1/events"


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "noise": bytes(range(256)) * 10,
    "half a status line": b"HTTP/1.1 2",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "html": http(b"<!doctype html><p>Log in to the guest network", "Content-Type: text/html"),
    "html with error": http(b"<h1>Bad gateway</h1>", status="502 Bad Gateway"),
    "empty body": http(b""),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "half a json": http(b'{"schema": 1, "flags": {"f": '),
    "json null": http(b"null"),
    "json list": http(b"[1, 2]"),
    "json text": http(b'"flags"'),
    "empty object": http(b"{}"),
    "another object": http(b'{"error": "maintenance"}'),
    "flags of a wrong type": http(b'{"schema": 1, "version": 2, "flags": 7}'),
    "version of a wrong type": http(b'{"schema": 1, "version": "new", "flags": {}}'),
    "a schema of the future": http(b'{"schema": 99, "version": 2, "flags": {}}'),
    "not utf-8": http(b'{"schema": 1, "environment": "\xff\xfe"}'),
    "deeply nested": http(b"[" * 200_000),
    "a number of a million digits": http(b'{"schema": ' + b"9" * 1_000_000 + b"}"),
    "cut off": http(b'{"schema": 1, ', length=5000),
    "sound but cut off": http(b'{"schema": 1, "version": 2, "flags": {}}', length=5000),
    "a negative length": http(b"{}", length=-5),
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "chunks cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}",
    "not gzip": http(b"{}", "Content-Encoding: gzip"),
    "gzip cut off": http(gzip.compress(b"{}" * 1000)[:-9], "Content-Encoding: gzip"),
    "a huge header": http(b"{}", "X-Huge: " + "x" * 100_000),
    "a thousand headers": http(b"{}", *[f"X-{n}: 1" for n in range(1000)]),
    "a header without colon": http(b"{}", "nonsense here", "ETag"),
    "a bad retry-after": http(b"", "Retry-After: soon", status="503 Unavailable"),
    "a negative retry-after": http(b"", "Retry-After: -9", status="503 Unavailable"),
    "a redirection": http(b"", "Location: http://127.0.0.1:1/", status="302 Found"),
    "an unasked 304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a stream of noise": http(b"\xff\xfe: \r\r\n\0\n\n", "Content-Type: text/event-stream"),
    "events accepted, says html": http(b"<p>ok", "Content-Type: application/json"),
    "events accepted, says a list": http(b'{"accepted": [1]}'),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_changes_nothing_and_is_survived(
    service: Any,
    connect: Callable[..., Client],
    tools: Any,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service.publish(1, tools.flag("f", "one"))
    client = connect(poll_seconds=0.02)
    tools.eventually(lambda: client.status().streaming)
    hits = dict.fromkeys((FLAG_SET, STREAM, EVENTS), 0)

    def spoil(path: str) -> Callable[[Any], bool]:
        send = tools.raw(GARBAGE[name])

        def script(handler: Any) -> bool:
            hits[path] += 1
            return send(handler)

        return script

    for path in hits:
        service.answer(path, spoil(path))
    service.document = tools.flag_set(2, tools.flag("f", "never to be seen"))
    service.drop_streams()
    client.track("purchase", "u1", 1)
    tools.eventually(lambda: min(hits.values()) >= 2, name)
    assert client.get_string("f", {}, "mine") == "one"
    service.behave()
    service.publish(3, tools.flag("f", "three"))
    assert client.wait_for_revision(3, 30)
    assert client.get_string("f", {}, "mine") == "three"
    assert client.flush(30)
    assert len(service.stored) == 1
    tools.eventually(lambda: client.status().streaming and client.status().connected)
    assert "unexpected error" not in caplog.text


def test_a_first_answer_of_garbage_leaves_the_defaults(
    service: Any, connect: Callable[..., Client], tools: Any
) -> None:
    service.answer(FLAG_SET, tools.raw(GARBAGE["html"]))
    client = connect(start_wait_seconds=0.1)
    assert client.get_string("f", {}, "mine") == "mine"
    tools.eventually(lambda: "no flag set" in str(client.status().last_error))


def test_a_bomb_of_zeros_is_not_unpacked(
    service: Any, connect: Callable[..., Client], tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flagstone import transport

    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 100_000)
    bomb = gzip.compress(b" " * 10_000_000)
    service.answer(FLAG_SET, tools.raw(http(bomb, "Content-Encoding: gzip")))
    client = connect(start_wait_seconds=0.1)
    tools.eventually(lambda: "far too long" in str(client.status().last_error))
    service.answer(FLAG_SET, tools.raw(http(b" " * 1_000_000)))
    tools.eventually(lambda: "longer than" in str(client.status().last_error))


def test_an_answer_that_drips_is_given_up(
    service: Any, connect: Callable[..., Client], tools: Any
) -> None:
    given_up = threading.Event()

    def drip(handler: Any) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not given_up.wait(0.02):
            handler.wfile.write(b" " * 10)
        return True

    service.answer(FLAG_SET, drip)
    client = connect(start_wait_seconds=0, timing=replace(tools.QUICK, answer_seconds=0.3))
    tools.eventually(lambda: "too long" in str(client.status().last_error))
    given_up.set()


def test_one_broken_flag_does_not_take_the_others_along(
    service: Any, connect: Callable[..., Client], tools: Any
) -> None:
    document = json.loads(tools.flag_set(2, tools.flag("good", "yes")))
    document["flags"]["bad"] = {"key": "bad", "rules": "nonsense"}
    service.document = json.dumps(document).encode()
    client = connect()
    assert client.get_string("good", {}, "no") == "yes"
    assert client.get_string("bad", {}, "mine") == "mine"
