"""The service as a command sees it: away, refusing, or something else altogether."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest


def test_a_service_that_is_away_is_named_with_what_to_do(alone: Any) -> None:
    answer = alone.pipe("flags", "list")
    assert (answer.code, answer.out) == (1, "")
    assert "the service at http://127.0.0.1:9 does not answer" in answer.error
    assert "flagstone serve" in answer.error


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://", "http://[::1", "ftp://127.0.0.1", "http://127.0.0.1:99999"]
)
def test_an_address_that_is_none_is_said_to_be_none(alone: Any, url: str) -> None:
    answer = alone.pipe("--url", url, "flags", "list")
    assert answer.code == 1, answer.everything
    assert "does not answer" in answer.error


def test_no_key_is_a_usage_error_and_a_wrong_one_an_error(cli: Any) -> None:
    without = replace(cli, token="").pipe("flags", "list")
    assert (without.code, without.out) == (2, "")
    assert "FLAGSTONE_TOKEN" in without.error
    wrong = replace(cli, token="fs_usr_wrong").pipe("flags", "list")
    assert (wrong.code, wrong.out) == (1, "")
    assert "hint: " in wrong.error
    odd = replace(cli, token="schlüssel").pipe("flags", "list")
    assert odd.code == 2
    assert replace(cli, token="a\nb").pipe("flags", "list").code == 2


def test_another_project_is_not_there(cli: Any) -> None:
    answer = cli.pipe("-p", "moon", "flags", "list")
    assert answer.code == 1
    assert "moon" in answer.error


def test_a_proxy_is_not_asked_the_way_to_this_machine(cli: Any) -> None:
    proxied = replace(cli, variables={"http_proxy": "http://127.0.0.1:9", "no_proxy": ""})
    assert isinstance(proxied.ok("flags", "list"), list)


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is not Flagstone."""

    status = 200
    kind = "text/html"
    body = b"<h1>It works!</h1>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: Any) -> None:
        """Be quiet."""


@pytest.fixture(
    params=[
        (200, "text/html", b"<h1>It works!</h1>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"{"),
        (200, "application/json", b"{}"),
        (302, "text/html", b""),
        (404, "text/html", b"\xff"),
        (500, "application/problem+json", b"[1]"),
        (502, "text/plain", b"bad gateway"),
    ]
)
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    status, kind, body = request.param
    handler = type("Handler", (Stranger,), {"status": status, "kind": kind, "body": body})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_server_is_not_mistaken_for_flagstone(alone: Any, stranger: str) -> None:
    for arguments in (("flags", "list"), ("flags", "show", "x"), ("experiments", "status", "x")):
        answer = alone.pipe("--url", stranger, *arguments)
        assert (answer.code, answer.out) == (1, ""), answer.everything
        assert "Flagstone" in answer.error
