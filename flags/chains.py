"""What an audit's hash chains promise, checked without a database.

An export is JSON lines: every entry of a project, chain after chain, and at last one line that
says where each chain ends, so that a file that was cut off says so by itself. Space and escapes
that JSON leaves open do not matter: an entry is hashed as what it means.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from flags.canonical import canonical_bytes, digest

START = "0" * 64
HASHED = (
    "chain",
    "number",
    "project_id",
    "environment_id",
    "at",
    "actor",
    "action",
    "resource",
    "comment",
    "before",
    "after",
    "revision",
    "previous_hash",
)
# Hashed where it is there: entries that were written before there was one hold as they are.
FLAG_SET = "flag_set_hash"
SHORTEST_HASH = 16
_ENTRY = frozenset({*HASHED, "hash"})
_END = "end_of_export"
# Written first on every line, so that a line that is no JSON any more can still be named.
_HEAD = re.compile(r'\{"chain":"([^"\\]{1,32})","number":(\d{1,15}),')


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """The first entry that does not hold; ``line`` is its place in an export, from 1."""

    chain: str
    number: int
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        """Give one sentence."""
        where = "" if self.line is None else f" (line {self.line})"
        return f"entry {self.number} of chain {self.chain}{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain goes: its number of entries, and the newest one's hash."""

    entries: int
    hash: str


@dataclass(slots=True)
class ChainCheck:
    """Entries checked one after the other, each chain from its first entry on.

    ``broken`` is the first that did not hold; what comes after it is not looked at.
    """

    heads: dict[str, Head] = field(default_factory=dict)
    broken: BrokenEntry | None = None
    _last: tuple[str, int] = ("", 0)
    _awaited: list[str] = field(default_factory=list)

    def expect(self, hashes: Iterable[str]) -> None:
        """Demand that some entry has each of these hashes: whole, or its first characters."""
        self._awaited = list(hashes)

    @property
    def missing(self) -> list[str]:
        """Give the expected hashes that no entry had so far."""
        return list(self._awaited)

    def add(self, document: Any, line: int | None = None) -> None:
        """Check the next entry."""
        if self.broken is not None:
            return
        chain, number, reason = self._fault(document)
        if reason is not None:
            self.broken = BrokenEntry(chain, number, reason, line)
            return
        self._last = (chain, number)
        self.heads[chain] = Head(number, document["hash"])
        if self._awaited:
            self._awaited = [each for each in self._awaited if not _names(each, document["hash"])]

    def lose(self, text: str, reason: str, line: int) -> None:
        """Take note of a line that is no entry: named by what can be read of it, else by place."""
        if self.broken is not None:
            return
        chain, number = self._next()
        readable = _HEAD.match(text)
        if readable is not None and self._follows(readable[1], int(readable[2])):
            chain, number = readable[1], int(readable[2])
        self.broken = BrokenEntry(chain, number, reason, line)

    def end(self, ends: Any, line: int) -> None:
        """Compare what was read with what the last line of an export says."""
        found = {chain: [head.entries, head.hash] for chain, head in self.heads.items()}
        if self.broken is not None or ends == found:
            return
        told = ends if isinstance(ends, dict) else {}
        for chain in [*found, *(chain for chain in told if chain not in found)]:
            if found.get(chain) != told.get(chain):
                number = self.heads[chain].entries + 1 if chain in found else 1
                reason = "the export's last line says that its chain ends elsewhere"
                self.broken = BrokenEntry(chain, number, reason, line)
                return

    def cut(self, line: int) -> None:
        """Take note that the export's last line is not there."""
        if self.broken is None:
            chain, number = self._next()
            reason = "the export ends before it says where its chains end: it was cut off"
            self.broken = BrokenEntry(chain, number, reason, line)

    def _next(self) -> tuple[str, int]:
        return self._last[0] or "?", self._last[1] + 1

    def _follows(self, chain: str, number: int) -> bool:
        head = self.heads.get(chain)
        return number == (1 if head is None else head.entries + 1)

    def _fault(self, document: Any) -> tuple[str, int, str | None]:
        if not isinstance(document, Mapping) or not document.keys() >= _ENTRY:
            return *self._next(), "it is not a whole entry"
        chain, number = document["chain"], document["number"]
        if not isinstance(chain, str) or type(number) is not int:
            return *self._next(), "its chain or its number cannot be read"
        head = self.heads.get(chain, Head(0, START))
        if number != head.entries + 1:
            if head.entries == 0:
                return chain, number, "the first entry of its chain is missing"
            return (
                chain,
                number,
                (f"follows entry {head.entries}; entries between are missing or doubled"),
            )
        if document["previous_hash"] != head.hash:
            return chain, number, "does not continue the entry before it (its previous hash)"
        if document["hash"] != _hash_or_none(document):
            return chain, number, "its content was altered after it was written (its hash)"
        own = document["environment_id"]
        place = f"{document['project_id']}" + ("" if own is None else f".{own}")
        if place != chain:
            return chain, number, "it belongs to another chain"
        return chain, number, None


def entry_hash(document: Mapping[str, Any]) -> str:
    """Give the hash that an entry's document must carry."""
    hashed = {name: document[name] for name in HASHED}
    if document.get(FLAG_SET) is not None:
        hashed[FLAG_SET] = document[FLAG_SET]
    return digest(canonical_bytes(hashed))


def _hash_or_none(document: Mapping[str, Any]) -> str | None:
    try:
        return entry_hash(document)
    except (TypeError, ValueError, RecursionError):  # what no JSON of ours can hold
        return None


def _names(prefix: str, whole: str) -> bool:
    return len(prefix) >= SHORTEST_HASH and whole.startswith(prefix.lower())


def check_entries(documents: Iterable[Mapping[str, Any]]) -> ChainCheck:
    """Check entries of any number of chains in any order, each complete from its first entry."""
    check = ChainCheck()
    for document in sorted(documents, key=lambda each: (each["chain"], each["number"])):
        check.add(document)
    return check


def check_export(lines: Iterable[bytes], *, expected: Iterable[str] = ()) -> ChainCheck:
    """Recompute every hash of an export, line by line in bounded memory.

    Parameters
    ----------
    lines : iterable of bytes
        The lines of the file, with or without their line feeds.
    expected : iterable of str
        Hashes that were written down earlier; ``missing`` names those that are gone.
    """
    check = ChainCheck()
    check.expect(expected)
    ended = False
    line = 0
    for line, raw in enumerate(lines, start=1):
        if not raw.strip(b" \t\r\n"):
            continue
        try:
            document = read_line(raw)
        except (ValueError, RecursionError):
            check.lose(raw.decode("utf-8", "replace"), "it cannot be read as JSON", line)
            break
        if ended:
            check.lose("", "it stands after the export's end", line)
            break
        if isinstance(document, dict) and document.keys() == {_END}:
            check.end(document[_END], line)
            ended = True
        elif isinstance(document, dict) and document.keys() - {FLAG_SET} == _ENTRY:
            check.add(document, line)
        else:
            check.lose(raw.decode("utf-8", "replace"), "it is not a whole entry", line)
        if check.broken is not None:
            break
    if not ended:
        check.cut(line)
    return check


def export_lines(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Give an export's lines: each entry, then where each chain ends.

    What is no entry (a row that cannot be read) gets a line that only names it.
    """
    heads: dict[str, list[Any]] = {}
    for document in documents:
        try:
            # In their own order: chain and number come first.
            line = {name: document[name] for name in (*HASHED, "hash")}
            if document.get(FLAG_SET) is not None:
                line[FLAG_SET] = document[FLAG_SET]
            yield line_of(line)
            heads[document["chain"]] = [document["number"], document["hash"]]
        except (KeyError, TypeError, ValueError):
            number = document["number"]
            name = {
                "chain": str(document["chain"]),
                "number": number if isinstance(number, int) else 0,
            }
            yield line_of({**name, "unreadable": True})
    yield line_of({_END: heads})


def line_of(document: Any) -> bytes:
    """Give a document as one line of an export."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_line(raw: bytes) -> Any:
    """Read one line of an export; what has two meanings is refused.

    Raises
    ------
    ValueError, RecursionError
        If it is no JSON, or none that means one thing.
    """
    return json.loads(
        raw.decode("utf-8"),
        object_pairs_hook=_object,
        parse_constant=_refuse,
        parse_float=_finite,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        msg = "a name is there twice"
        raise ValueError(msg)
    return document


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return number
