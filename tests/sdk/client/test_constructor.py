"""The one place that may raise."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

import flagstone
from flagstone import Client, ConfigurationError
from flagstone.transport import Endpoint

URL, KEY = "http://127.0.0.1:1", "fs_srv_x"


@pytest.mark.parametrize(
    ("url", "key", "options", "message"),
    [
        (None, KEY, {}, "url must be a string, not NoneType"),
        (b"http://x", KEY, {}, "url must be a string"),
        ("127.0.0.1:8400", KEY, {}, "must look like"),
        ("ftp://x", KEY, {}, "must look like"),
        ("http://", KEY, {}, "must look like"),
        ("http://x:port", KEY, {}, "cannot be read"),
        ("http://x:99999", KEY, {}, "cannot be read"),
        ("http://user:secret@x", KEY, {}, "no user"),
        ("http://x/?a=b", KEY, {}, "no query"),
        ("http://x/a b", KEY, {}, "percent-encoded"),
        (URL, None, {}, "key must be a string"),
        (URL, "", {}, "begins with fs_srv_"),
        (URL, "fs_cli_x", {}, "needs a server key"),
        (URL, "fs_usr_x", {}, "begins with fs_srv_"),
        (URL, "fs_srv_x\n", {}, "a line end"),
        (URL, "fs_srv_ü", {}, "a character that no key has"),
        (URL, KEY, {"poll_seconds": 0}, "poll_seconds must lie between"),
        (URL, KEY, {"poll_seconds": "15"}, "poll_seconds must be a number, not str"),
        (URL, KEY, {"start_wait_seconds": float("nan")}, "start_wait_seconds"),
        (URL, KEY, {"flush_seconds": True}, "flush_seconds must be a number"),
        (URL, KEY, {"queue_size": 0}, "queue_size must be a positive integer"),
        (URL, KEY, {"context": ["x"]}, "context must be a mapping"),
        (URL, KEY, {"exposure_attributes": "country"}, "must be a sequence of names"),
        (URL, KEY, {"exposure_attributes": 3}, "must be a sequence of names"),
        (URL, KEY, {"exposure_attributes": list("abcdefghi")}, "holds 9 names; at most 8"),
        (URL, KEY, {"exposure_attributes": [""]}, "names of 1 to 64 characters"),
        (URL, KEY, {"exposure_attributes": ["n" * 65]}, "names of 1 to 64 characters"),
        (URL, KEY, {"exposure_attributes": ["a\0b"]}, "not printable"),
        (URL, KEY, {"exposure_attributes": ["targetingKey"]}, "that is the unit"),
        (URL, KEY, {"snapshot_path": 7}, "snapshot_path must be a path"),
        (URL, KEY, {"snapshot_path": ""}, "snapshot_path must be a path"),
    ],
)
def test_a_bad_argument_raises_at_once_and_says_which(
    url: object, key: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Client(url, key, **options)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert "fs_srv_x" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8400", Endpoint(False, "127.0.0.1", 8400, "")),
        ("https://flags.example.com/", Endpoint(True, "flags.example.com", 443, "")),
        ("http://x/base/path/", Endpoint(False, "x", 80, "/base/path")),
        ("https://[::1]:8443", Endpoint(True, "::1", 8443, "")),
    ],
)
def test_an_address_is_taken_apart(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url) == endpoint


def test_a_client_shows_no_key_and_refuses_to_be_pickled(connect: Callable[..., Client]) -> None:
    client = connect()
    assert "fs_srv" not in repr(client)
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="one in each process"):
            attempt(client)


def test_the_package_names_what_it_exports() -> None:
    for name in flagstone.__all__:
        assert getattr(flagstone, name) is not None
    assert set(flagstone.__all__) <= set(dir(flagstone))
    with pytest.raises(AttributeError, match="no attribute 'toggle'"):
        flagstone.toggle  # noqa: B018
