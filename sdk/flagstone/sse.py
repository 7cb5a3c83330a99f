"""Server-sent events, taken from bytes as they arrive (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from dataclasses import dataclass

from flagstone.errors import TransportError

MAX_MESSAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream."""

    event: str
    data: str
    id: str


class MessageParser:
    """Turns bytes into messages; how the bytes were cut makes no difference."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._first = True
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, piece: bytes) -> list[Message]:
        """Return the messages that ``piece`` completes.

        Raises
        ------
        TransportError
            If a line or a message grows beyond all measure.
        """
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        self._after_cr = self._after_cr or piece.endswith(b"\r")
        text = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        self._size += len(piece)
        messages = []
        for line in lines:
            message = self._line(line)
            if message is not None:
                messages.append(message)
        if not self._data and not self._rest:
            self._size = 0
        if self._size > MAX_MESSAGE_BYTES:
            raise TransportError("a message of the stream never ends")
        return messages

    def _line(self, raw: bytes) -> Message | None:
        line = raw.decode("utf-8", "replace")
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Message | None:
        event, data = self._event, self._data
        self._event, self._data = "", []
        self._size = len(self._rest)
        return Message(event or "message", "\n".join(data), self._id) if data else None
