"""Addresses behind prefixes and proxies, kept connections, TLS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from flagstone import Client
from flagstone.errors import StoppedError, TransportError
from flagstone.timing import Timing
from flagstone.transport import Connection, Endpoint, Transport

Connect = Callable[..., Client]
FLAG_SET = "/sdk/v1/flagset"


def connection(service: Any, tools: Any, url: str | None = None) -> Connection:
    return Transport(Endpoint.parse(url or service.url), tools.KEY, tools.QUICK).connection()


def test_a_connection_is_kept_open_between_requests(service: Any, tools: Any) -> None:
    one = connection(service, tools)
    assert one.request("GET", FLAG_SET, {}).status == 200
    first = one._socket
    assert one.request("GET", FLAG_SET, {}).status == 200
    assert one._socket is first


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again(
    service: Any, tools: Any
) -> None:
    one = connection(service, tools)
    assert one.request("GET", FLAG_SET, {}).status == 200
    service.stop()
    service.start()
    assert one.request("GET", FLAG_SET, {}).status == 200


def test_a_refused_connection_is_a_transport_error(service: Any, tools: Any) -> None:
    service.stop()
    with pytest.raises(TransportError, match="ConnectionRefusedError"):
        connection(service, tools).request("GET", FLAG_SET, {})


def test_an_interrupted_request_ends_at_once(service: Any, tools: Any) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hang(handler: Any) -> bool:
        arrived.set()
        release.wait(60)
        return True

    service.answer(FLAG_SET, hang)
    one = connection(service, tools)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            one.request("GET", FLAG_SET, {})
        except TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert arrived.wait(30)
    one.interrupt()
    thread.join(15)  # the answer might take twice as long
    release.set()
    assert not thread.is_alive()
    assert isinstance(errors[0], StoppedError)


def test_a_service_below_a_path_is_reached_there(
    service: Any, connect: Connect, tools: Any
) -> None:
    document = tools.flag_set(6, tools.flag("f", "deep"))
    service.answer("/flags/sdk/v1/flagset", tools.status(200, {"ETag": '"x"'}, document))
    client = connect(url=service.url + "/flags/")
    assert client.get_string("f", {}, "") == "deep"


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    service: Any, connect: Connect, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tools.flag_set(6, tools.flag("f", "through the proxy"))
    answer = tools.status(200, {"ETag": '"x"'}, document)
    service.answer("http://flags.invalid:8400/sdk/v1/flagset", answer)
    monkeypatch.setenv("http_proxy", f"http://me:pass%20word@127.0.0.1:{service.port}")
    client = connect(url="http://flags.invalid:8400")
    assert client.get_string("f", {}, "") == "through the proxy"
    asked = service.request_headers[0]
    assert asked["host"] == "flags.invalid:8400"
    assert asked["proxy-authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert connect().status().connected
    monkeypatch.setenv("no_proxy", "flags.invalid")
    bypassed = connect(url="http://flags.invalid:8400", start_wait_seconds=0)
    tools.eventually(lambda: bypassed.status().last_error)
    assert "Refused" not in str(bypassed.status().last_error)


def test_a_certificate_that_nobody_signed_is_refused(
    service: Any, connect: Connect, tools: Any
) -> None:
    client = connect(url=service.url.replace("http:", "https:"), start_wait_seconds=0)
    tools.eventually(lambda: "SSL" in str(client.status().last_error))
    assert client.get_boolean("f", {}, True) is True


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    text: str | None, seconds: float | None
) -> None:
    from flagstone.transport import Answer

    headers = {} if text is None else {"retry-after": text}
    assert Answer(503, headers, b"").retry_after_seconds(100.0) == seconds


def test_the_default_waits_are_those_that_the_readme_promises() -> None:
    timing = Timing()
    assert timing.silence_seconds == 45.0
    assert timing.backoff_limit_seconds == 30.0
