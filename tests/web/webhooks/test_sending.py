"""What may be reached, and for how long: public addresses, one answer, a bounded piece of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flags.errors import InvalidInputError
from web.webhooks import sending
from web.webhooks.networks import parse_networks
from web.webhooks.sending import check_url, send

LOOPBACK = parse_networks("127.0.0.0/8, ::1")
PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "fec0::1",
    "::7f00:1",
    "2001:0:7f00:1::",
    "2002:7f00:1::",
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a name stand for addresses."""

    def resolve(*addresses: str) -> None:
        def found(_host: str, port: int, **_: Any) -> list[Any]:
            family = socket.AF_INET
            return [(family, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_inside_is_not_connected_to(
    names: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("it was connected to")

    monkeypatch.setattr(socket, "socket", connect)
    for addresses in ((address,), ("93.184.216.34", address)):
        names(*addresses)
        sent = send("https://good.example/hook", b"{}", {})
        assert not sent.arrived
        assert "is not a public address" in sent.error


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.server.server_port
    asked: list[str] = []

    def found(host: str, _port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    sent = send("http://rebinding.example/hook", b"{}", {}, allowed=LOOPBACK)
    assert sent.status == 200
    assert asked == ["rebinding.example"]
    assert receiver.requests[0][0]["host"] == "rebinding.example"


def test_without_tls_only_what_the_operator_allows_is_reached(names: Any) -> None:
    names("93.184.216.34")
    assert "https" in send("http://good.example/", b"{}", {}).error


def test_no_redirect_is_followed(receiver: Any) -> None:
    other = type(receiver)()
    receiver.answers = [(302, {"Location": other.url}, b"")]
    sent = send(receiver.url, b"{}", {}, allowed=LOOPBACK)
    assert (sent.status, sent.arrived) == (302, False)
    assert not other.requests
    other.server.shutdown()
    other.server.server_close()


def test_only_the_beginning_of_an_answer_is_kept(receiver: Any) -> None:
    receiver.answers = [(200, {}, b"\0\xff" + b"x" * 5_000_000)]
    sent = send(receiver.url, b"{}", {}, allowed=LOOPBACK)
    assert sent.answer.startswith("\ufffd\ufffdx")
    assert len(sent.answer) == sending.KEPT_BYTES


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_receiver_that_drips_is_cut_off(drip: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        taken, _ = listener.accept()
        try:
            taken.sendall(drip)
            while True:
                time.sleep(0.05)
                taken.sendall(b"x")
        except OSError:
            taken.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    began = time.monotonic()
    sent = send(url, b"{}", {}, allowed=LOOPBACK, timeout_seconds=0.4)
    assert time.monotonic() - began < 30
    if sent.status is None:
        assert "no answer" in sent.error or "BadStatusLine" in sent.error
    listener.close()


def test_what_goes_wrong_is_told_without_the_address(names: Any) -> None:
    url = "https://127.0.0.1:1/services/T00/SECRET"
    sent = send(url, b"{}", {}, allowed=LOOPBACK)
    assert sent.error == "Connection refused"
    assert "SECRET" not in str(sent)


def test_a_certificate_that_nobody_vouches_for_is_refused(receiver: Any) -> None:
    sent = send(receiver.url.replace("http:", "https:"), b"{}", {}, allowed=LOOPBACK)
    assert sent.error.startswith("TLS:")
    assert not receiver.requests


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "[::1]", "localhost"])
def test_an_operator_may_allow_networks(address: str) -> None:
    url = f"http://{address}:8080/x?y=z"
    with pytest.raises(InvalidInputError):
        check_url(url, ())
    everything = parse_networks("10.0.0.0/8, 169.254.0.0/16, ::1/128, 127.0.0.0/8")
    assert check_url(url, everything) == url


def test_an_address_that_is_carried_in_another_counts_as_what_it_is() -> None:
    public = "https://[64:ff9b::5db8:d822]/hook"
    assert check_url(public, ()) == public
    with pytest.raises(InvalidInputError):
        check_url("https://[64:ff9b::a00:1]/hook", ())
