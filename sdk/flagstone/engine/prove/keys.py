"""Texts, cut by what they are read as: numbers, times, versions and addresses."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from flagstone.engine import semver
from flagstone.engine.operators import number_of, text_of
from flagstone.engine.prove.atoms import Atom, readable
from flagstone.engine.prove.cells import answers, bits
from flagstone.engine.prove.numbers import fractions_between, integers_between, line_of
from flagstone.engine.times import format_time, parse_time, seconds_of

SHOWN = 8
_ZERO = semver.sort_key("0.0.0-0")[4][0]


class View(Protocol):
    """One way to look at texts, which cuts them into numbered cells.

    ``masks`` says for each cell which of the view's atoms hold in it and which are open.
    """

    masks: list[tuple[int, int]]

    def index(self, text: str) -> int:
        """Return the cell of a text."""

    def texts(self, cell: int) -> Iterator[str]:
        """Yield texts of a cell."""

    def is_complete(self, cell: int) -> bool:  # noqa: ARG002  most views do not know
        """Whether :meth:`texts` yields every text of a cell, if it ends."""
        return False


class Keyed(View):
    """Texts cut by a key that orders them; cell 0 has no key.

    After it, points and gaps take turns: below the first point, the first point, and so on.
    """

    def __init__(
        self,
        atoms: Sequence[Atom],
        key: Callable[[str], Any],
        points: Iterable[Any],
        candidates: Callable[[Any, Any], Iterable[str]],
        unknown: int = 0,
        is_empty: Callable[[Any, Any], bool] = lambda _low, _high: False,
    ) -> None:
        self._key = key
        self._is_empty = is_empty
        self._points = sorted(points)
        self._candidates = candidates
        every = bits(atoms)
        self.masks = []
        for cell in range(2 * len(self._points) + 2):
            sample = next(self.texts(cell), None)
            # What has no sample may be empty; its answers are left open.
            true, unanswered = (0, every) if sample is None else answers(atoms, sample)
            whole = every & unknown
            self.masks.append((true & ~whole, unanswered | (whole if cell else 0)))

    def index(self, text: str) -> int:
        """Return the cell of a text."""
        try:
            key = self._key(text)
        except ValueError:
            return 0
        at = bisect_left(self._points, key)
        is_point = at < len(self._points) and self._points[at] == key
        return 2 * at + (2 if is_point else 1)

    def texts(self, cell: int) -> Iterator[str]:
        """Yield texts of a cell."""
        if not cell:
            return self._fitting(cell, ("x", "", "y", "?", "x y", "none"))
        return self._fitting(cell, self._candidates(*self._ends(cell)))

    def _ends(self, cell: int) -> tuple[Any, Any]:
        """Return the points around a gap, or twice the point that the cell is."""
        place = (cell - 1) // 2
        low = self._points[place - (cell % 2)] if place or not cell % 2 else None
        high = self._points[place] if place < len(self._points) else None
        return low, high

    def is_complete(self, cell: int) -> bool:
        """Whether it is known that there is nothing in a gap."""
        return bool(cell % 2) and self._is_empty(*self._ends(cell))

    def _fitting(self, cell: int, candidates: Iterable[str]) -> Iterator[str]:
        return (text for text in candidates if self.index(text) == cell)


def number_view(atoms: Sequence[Atom]) -> View:
    """Look at texts as numbers."""
    line = line_of(atoms)
    periodic = bits(atoms) if line.period > 1 else 0
    return Keyed(atoms, number_of, line.points, _numerals, line.unknown | periodic)


def _numerals(low: Any, high: Any) -> Iterator[str]:
    if low is not None and low == high:
        text = text_of(low)
        yield from (text, f"{text}.0", f"+{text}", f" {text}", f"{text}e0", f"{low!r}")
        return
    first, last = integers_between(low, high)
    if first is None:
        first = 0 if last is None else last - SHOWN
    last = first + SHOWN if last is None else min(last, first + SHOWN)
    yield from (str(number) for number in range(first, last + 1))
    yield from (repr(number) for number in itertools.islice(fractions_between(low, high), SHOWN))


def time_view(atoms: Sequence[Atom]) -> View:
    """Look at texts as times."""
    points = set(readable(lambda constant: float(seconds_of(constant)), _constants(atoms)))
    return Keyed(atoms, parse_time, points, time_texts)


def time_texts(low: float | None, high: float | None) -> Iterator[str]:
    """Yield times between two points, or texts of one point."""
    if low is None and high is None:
        seconds = [0.0]
    elif low is None or high is None:
        edge, sign = (high, -1) if low is None else (low, 1)
        seconds = [(edge or 0.0) + sign * step for step in (1, 60, 86400, 1e-6, 1e9)]
    elif low == high:
        seconds = [low]
    else:
        seconds = [(low + high) / 2, low + 1, high - 1, low + 1e-6, high - 1e-6]
    for text in readable(format_time, seconds):
        yield from (text, text.replace("Z", "+00:00"), text.replace("T", " "), text[:-1])


def semver_view(atoms: Sequence[Atom], *, strict: bool) -> View:
    """Look at texts as semantic versions."""
    key = functools.partial(semver.sort_key, strict=strict)
    texts = dict(readable(lambda text: (key(text), text), _texts(atoms)))

    def candidates(low: Any, high: Any) -> Iterator[str]:
        for edge in (low, high):
            if edge is None:
                yield from ("0.0.0-0", "0.0.0", "999999.0.0")
                continue
            text = texts[edge].partition("+")[0]
            if low == high:
                yield from (texts[edge], f"{text}+b", f"v{text}", *(f"{text}+{n}" for n in "1234"))
            major, minor, patch = edge[:3]
            if not edge[3]:
                yield from (f"{text}.0", f"{text}.0.0")
            yield from (f"{major}.{minor}.{patch}-0", f"{major}.{minor}.{patch}-a")
            yield f"{major}.{minor}.{patch}"
            yield from (f"{major}.{minor}.{patch + 1}-0", f"{major}.{minor}.{patch + 1}")
            yield from (f"{major}.{minor + 1}.0", f"{major + 1}.0.0")

    return Keyed(atoms, key, texts, candidates, is_empty=_no_version_between)


def _no_version_between(low: Any, high: Any) -> bool:
    """Whether one version is the next after the other."""
    if high is None or high[4][-1:] != (_ZERO,):
        return False
    if low is None:
        following = (0, 0, 0, 0, (_ZERO,))
    elif low[3]:
        following = (*low[:2], low[2] + 1, 0, (_ZERO,))
    else:
        following = (*low[:4], (*low[4], _ZERO))
    return bool(high == following)


def version_view(atoms: Sequence[Atom]) -> View:
    """Look at texts as padded versions; every text is one."""
    texts = {semver.padded(text): text for text in map(text_of, _constants(atoms))}

    def candidates(low: Any, high: Any) -> Iterator[str]:
        if low is None:
            yield from ("", " ", "0")
        if high is None:
            yield from ("99999", "~~~", "\U0010ffff")
        for edge in (low, high):
            if edge is None:
                continue
            text = texts[edge]
            if low == high:
                yield from (text, f"{text}+b", f"v{text}")
            yield from (f"{text}.0", f"{text}.1", f"{text}-a", f"{text}-0", f"{text}~")
            number = re.search(r"[0-9]+\Z", text)
            if number is not None:
                head, last = text[: number.start()], int(number[0])
                yield from (f"{head}{near}" for near in (last + 1, max(last - 1, 0)))
                yield f"{head}{max(last - 1, 0)}.9"

    return Keyed(atoms, semver.padded, texts, candidates)


class Addresses(View):
    """Texts cut by networks: no address, and the stretches between the networks' ends."""

    def __init__(self, atoms: Sequence[Atom]) -> None:
        cuts = {(4, 0), (6, 0)}
        read = functools.partial(ipaddress.ip_network, strict=False)
        for network in readable(read, _texts(atoms)):
            first = int(network.network_address)
            after = first + network.num_addresses
            cuts.add((network.version, first))
            if after < 1 << network.max_prefixlen:
                cuts.add((network.version, after))
        self._cuts = sorted(cuts)
        self.masks = [answers(atoms, next(self.texts(cell))) for cell in range(len(self._cuts) + 1)]

    def index(self, text: str) -> int:
        """Return the cell of a text."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return 0
        return bisect_right(self._cuts, (address.version, int(address)))

    def texts(self, cell: int) -> Iterator[str]:
        """Yield texts of a cell."""
        if not cell:
            yield from ("x", "", "y", "none")
            return
        version, first = self._cuts[cell - 1]
        make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        for number in range(first, first + 1000):
            text = str(make(number)) if number < 1 << (32 if version == 4 else 128) else ""
            if self.index(text) != cell:
                return
            yield text


class Lowered(View):
    """Texts compared in lower case with constants: cell 0 is none of them."""

    def __init__(self, atoms: Sequence[Atom]) -> None:
        self._keys = sorted({text.lower() for text in _texts(atoms)})
        self._places = {key: place for place, key in enumerate(self._keys, 1)}
        self.masks = [(0, 0), *(answers(atoms, key) for key in self._keys)]

    def index(self, text: str) -> int:
        """Return the cell of a text."""
        return self._places.get(text.lower(), 0)

    def texts(self, cell: int) -> Iterator[str]:
        """Yield texts of a cell."""
        key = self._keys[cell - 1] if cell else "x"
        spellings = (key, key.upper(), key.title(), key.swapcase(), key.capitalize())
        candidates = spellings if cell else (f"x{number}" for number in range(10**6))
        return (text for text in candidates if self.index(text) == cell)


def _constants(atoms: Iterable[Atom]) -> Iterator[object]:
    for atom in atoms:
        yield from getattr(atom.question, "values", ())


def _texts(atoms: Iterable[Atom]) -> Iterator[str]:
    return (constant for constant in _constants(atoms) if type(constant) is str)
