"""Server-sent events from bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.errors import TransportError
from flagstone.sse import MAX_MESSAGE_BYTES, Message, MessageParser

STREAM = (
    '\ufeffevent: flagset\r\nid: 7\r\ndata: {"version": 7,\r\ndata:  "etag": "ü"}\r\n\r\n'
    ": keep-alive\n\n"
    "data: plain\rid: 8\r\r"
    "event: nothing\n\n"
    "unknown: x\ndata\n\n"
).encode()
MESSAGES = [
    Message("flagset", '{"version": 7,\n "etag": "ü"}', "7"),
    Message("message", "plain", "8"),
    Message("message", "", "8"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_how_the_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    parser, messages = MessageParser(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        messages += parser.feed(STREAM[start:end])
    assert messages == MESSAGES


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken_without_an_error(pieces: list[bytes]) -> None:
    parser = MessageParser()
    for piece in pieces:
        parser.feed(piece)


@pytest.mark.parametrize("endless", [b"x" * 65_536, b"data: " + b"x" * 1000 + b"\n"])
def test_a_message_without_end_is_an_error(endless: bytes) -> None:
    parser = MessageParser()
    for _ in range(MAX_MESSAGE_BYTES // len(endless)):
        parser.feed(endless)
    with pytest.raises(TransportError, match="never ends"):
        parser.feed(endless)


def test_heartbeats_for_a_year_are_no_endless_message() -> None:
    parser = MessageParser()
    for _ in range(2 * MAX_MESSAGE_BYTES // 65_536):
        assert parser.feed(b": keep-alive\n\n" * 4681) == []
