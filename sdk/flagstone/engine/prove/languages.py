"""Texts, cut by what they begin, end and match with: automata run side by side.

Each comparison is a small automaton that reads one character after the other; all of an attribute
together are one, whose states say which of them hold for the texts that end there.
"""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from flagstone.engine.prove.atoms import Atom
from flagstone.engine.regex_automaton import _BEGINNING, _END, Automaton, _Before, _Place, _Set
from flagstone.engine.regex_syntax import TOP, WORD, Anchor, Chars, Choice, Node
from flagstone.engine.regex_syntax import Sequence as Row

MAX_STATES = 1_500
MAX_WORK = 150_000
"""So many states of single automata are passed until too large is said."""
MAX_LENGTH = 40
SHOWN = 12
"""So many characters stand for all that no automaton tells apart."""
_FOUND = -1
_UNKNOWN = -2
_SIGMA, _DOTTED_I = 0x3A3, 0x130
_SIGMAS = (0x3C2, 0x3C3)
_LAST_CASED = 0x1E943
_NICE = [range(0x61, 0x7B), range(0x30, 0x3A), range(0x41, 0x5B), range(0x20, 0x7F)]


class TooManyStatesError(Exception):
    """The automata together would be too large."""


class Machine(Protocol):
    """An automaton that reads a text and says whether a comparison holds for it."""

    start: Any
    work: int

    def step(self, state: Any, code: int) -> Any:
        """Return the state after one more character."""

    def accepts(self, state: Any) -> bool | None:
        """Whether the text may end here; ``None`` if the automaton has lost track."""

    def cuts(self) -> Iterable[int]:
        """Yield characters at which :meth:`sort_of` may change."""

    def sort_of(self, code: int) -> Hashable:
        """Return something equal for characters that the automaton does not tell apart."""


class Search(Automaton):
    """Finds a pattern anywhere in a text; ``lower`` reads the text in lower case."""

    def __init__(self, node: Node, *, lower: bool = False) -> None:
        super().__init__(node)
        self.lower = lower
        self.work = 0
        kinds = {state.kind for state in self._states if isinstance(state, _Place)}
        self._asks_word = not kinds.isdisjoint({"word", "no_word"})
        self._asks_line = "line_start" in kinds
        self._newlines = self._asks_line or "line_end" in kinds
        ranges = {
            pair
            for state in self._states
            if isinstance(state, _Set)
            for pair in zip(state.starts, state.ends, strict=True)
        }
        self._ranges = sorted(ranges | set(WORD if self._asks_word else ()))
        self._asks_sigma = any(low <= code <= high for low, high in ranges for code in _SIGMAS)
        # States by number, and where each of them leads as far as it was asked.
        self._numbers: dict[tuple[frozenset[int], _Before], int] = {}
        self._held: list[tuple[frozenset[int], _Before]] = []
        self._leads: dict[tuple[int, int], int] = {}
        self.start = self._number(frozenset({self._start}), _BEGINNING)

    def _number(self, live: frozenset[int], before: _Before) -> int:
        number = self._numbers.setdefault((live, before), len(self._held))
        if number == len(self._held):
            self._held.append((live, before))
        return number

    def step(self, state: Any, code: int) -> Any:
        """Return the state after one more character."""
        if not self.lower:
            return self._after(state, code)
        if code == _SIGMA and self._asks_sigma:
            # Its lower case depends on what stands around it.
            return _UNKNOWN
        for character in chr(code).lower():
            state = self._after(state, ord(character))
        return state

    def _after(self, state: int, code: int) -> int:
        if state < 0:
            return state
        following = self._leads.get((state, code))
        if following is None:
            following = self._leads[state, code] = self._reached(state, code)
        return following

    def _reached(self, state: int, code: int) -> int:
        live, before = self._held[state]
        closed = self._closed(live, before, code)
        self.work += len(closed)
        if 0 in closed:
            return _FOUND
        following = {self._start}
        for index in closed:
            place = self._states[index]
            if isinstance(place, _Set):
                at = bisect_left(place.starts, code + 1) - 1
                if at >= 0 and code <= place.ends[at]:
                    following.add(place.then)
        word = self._asks_word and any(low <= code <= high for low, high in WORD)
        after = _Before(start=False, newline=self._asks_line and code == 10, word=word)
        return self._number(frozenset(following), after)

    def accepts(self, state: Any) -> bool | None:
        """Whether the pattern is found in a text that ends here."""
        if state < 0:
            return True if state == _FOUND else None
        live, before = self._held[state]
        return 0 in self._closed(live, before, _END)

    def cuts(self) -> Iterable[int]:
        """Yield characters at which :meth:`sort_of` may change."""
        ends = {edge for low, high in self._ranges for edge in (low, high + 1)}
        if self._newlines:
            ends |= {10, 11}
        if self.lower:
            # Only single characters are compared in lower case.
            letters = {low for low, high in self._ranges if low == high}
            found = {_SIGMA, _DOTTED_I, *_capitals(frozenset(letters))}
            ends |= {edge for code in found for edge in (code, code + 1)}
        return ends

    def sort_of(self, code: int) -> Hashable:
        """Return something equal for characters that the automaton does not tell apart."""
        if not self.lower:
            return self._sort(code)
        if code == _SIGMA and self._asks_sigma:
            return _UNKNOWN
        return tuple(self._sort(ord(character)) for character in chr(code).lower())

    def _sort(self, code: int) -> int:
        sort = 2 if self._newlines and code == 10 else 1
        for low, high in self._ranges:
            sort = sort << 1 | (low <= code <= high)
        return sort


@functools.lru_cache(maxsize=64)
def _capitals(letters: frozenset[int]) -> frozenset[int]:
    """Return the characters whose lower case holds one of the letters."""
    if all(letter < 0x80 for letter in letters):
        upper = {ord(chr(letter).upper()) for letter in letters}
        # The Kelvin sign is the one other character with a lower case in ASCII.
        return frozenset(upper | ({0x212A} if ord("k") in letters else set()))
    return frozenset(
        code
        for code in range(_LAST_CASED + 1)
        if any(ord(character) in letters for character in chr(code).lower())
    )


class Order:
    """Compares texts with a constant, character by character."""

    start: Any = 0
    work = 0

    def __init__(self, constant: str, compare: Callable[[int, int], bool]) -> None:
        self._codes = [ord(character) for character in constant]
        self._letters = sorted(set(self._codes))
        self._compare = compare

    def step(self, state: Any, code: int) -> Any:
        """Return how far the text is equal, or that it is less or greater."""
        if state in ("less", "greater"):
            return state
        if state == len(self._codes) or code > self._codes[state]:
            return "greater"
        return state + 1 if code == self._codes[state] else "less"

    def accepts(self, state: Any) -> bool | None:
        """Whether a text that ends here is in the order wanted."""
        if state == "greater":
            return self._compare(1, 0)
        is_equal = state == len(self._codes)
        return self._compare(0, 0) if is_equal else self._compare(-1, 0)

    def cuts(self) -> Iterable[int]:
        """Yield characters at which :meth:`sort_of` may change."""
        return {edge for code in self._letters for edge in (code, code + 1)}

    def sort_of(self, code: int) -> Hashable:
        """Return between which of the constant's characters this one lies."""
        at = bisect_left(self._letters, code)
        return at, at < len(self._letters) and self._letters[at] == code


class Length:
    """Counts characters, up to where the count no longer matters."""

    start: Any = 0
    work = 0

    def __init__(self, most: int, test: Callable[[int], bool]) -> None:
        self._most = most
        self._test = test

    def step(self, state: Any, code: int) -> Any:  # noqa: ARG002  every character counts
        """Count one more character."""
        return min(state + 1, self._most)

    def accepts(self, state: Any) -> bool | None:
        """Whether a text of this length passes."""
        return self._test(state)

    def cuts(self) -> Iterable[int]:
        """Yield nothing: characters are all alike."""
        return ()

    def sort_of(self, code: int) -> Hashable:  # noqa: ARG002  every character counts
        """Return the same for every character."""
        return 0


def literal(text: str) -> Node:
    """Return the pattern of a text itself."""
    return Row(tuple(Chars(((ord(character), ord(character)),)) for character in text))


def pattern_of(op: str, texts: Iterable[str]) -> Node:
    """Return the pattern that one of several texts begins, ends, is or is contained."""
    head = (Anchor("text_start"),) if op in ("in", "starts_with") else ()
    tail = (Anchor("text_end"),) if op in ("in", "ends_with") else ()
    return Choice(tuple(Row((*head, literal(text), *tail)) for text in texts))


class Product:
    """Automata side by side, and the cells of texts that they make.

    A cell is a set of atoms that hold, and of those that have lost track. Only texts that the
    automata in ``within`` accept are looked at.

    Raises
    ------
    TooManyStatesError
        If there are too many states.
    """

    def __init__(
        self, machines: Sequence[tuple[Atom, Machine]], within: Sequence[Machine] = ()
    ) -> None:
        self._atoms = [atom for atom, _ in machines]
        self._machines = [*(machine for _, machine in machines), *within]
        self._letters, self._shortened = _letters(self._machines)
        self._then: list[list[int]] = []
        self._ends: dict[tuple[int, int], list[int]] = {}
        self._explore()

    def _explore(self) -> None:
        for machine in self._machines:
            machine.work = 0
        start = tuple(machine.start for machine in self._machines)
        known, waiting = {start: 0}, [start]
        for state in waiting:
            if self._is_within(state):
                self._ends.setdefault(self._ending(state), []).append(known[state])
            then = []
            for letters in self._letters:
                code = letters[0]
                following = tuple(
                    machine.step(part, code)
                    for machine, part in zip(self._machines, state, strict=True)
                )
                if following not in known:
                    known[following] = len(known)
                    waiting.append(following)
                then.append(known[following])
            self._then.append(then)
            steps = len(self._then) * len(self._letters) * len(self._machines)
            work = steps + sum(machine.work for machine in self._machines)
            if len(waiting) > MAX_STATES or work > MAX_WORK:
                raise TooManyStatesError

    def _is_within(self, state: tuple[Any, ...]) -> bool:
        count = len(self._atoms)
        return all(
            machine.accepts(part)
            for machine, part in zip(self._machines[count:], state[count:], strict=True)
        )

    def _ending(self, state: tuple[Any, ...]) -> tuple[int, int]:
        true = unknown = 0
        for atom, machine, part in zip(self._atoms, self._machines, state, strict=False):
            holds = machine.accepts(part)
            if holds is None:
                unknown |= atom.bit
            elif holds:
                true |= atom.bit
        return true, unknown

    def cell_of(self, text: str) -> tuple[int, int]:
        """Return the cell of a text."""
        state = [machine.start for machine in self._machines]
        for character in text:
            code = ord(character)
            for place, machine in enumerate(self._machines):
                state[place] = machine.step(state[place], code)
        return self._ending(tuple(state))

    @property
    def cells(self) -> Iterable[tuple[int, int]]:
        """The cells: atoms that hold, and atoms that have lost track."""
        return self._ends

    def is_complete(self, cell: tuple[int, int]) -> bool:
        """Whether :meth:`texts` yields every short text of a cell."""
        leading = set(self._ends[cell])
        reached = frozenset(leading)
        while reached:
            reached = self._leading_to(reached) - leading
            leading |= reached
        return not any(
            self._then[state][letter] in leading for state in leading for letter in self._shortened
        )

    def texts(self, cell: tuple[int, int]) -> Iterator[str]:
        """Yield texts of a cell, short ones first."""
        reach: list[frozenset[int]] = [frozenset(self._ends[cell])]
        for length in range(max(MAX_LENGTH, len(self._then) + 1)):
            if length:
                reach.append(self._leading_to(reach[-1]))
            if 0 in reach[length]:
                yield from self._texts(length, reach)
            elif not reach[length]:
                return

    def _leading_to(self, goals: frozenset[int]) -> frozenset[int]:
        return frozenset(
            state for state, then in enumerate(self._then) if not goals.isdisjoint(then)
        )

    def _texts(self, length: int, reach: list[frozenset[int]]) -> Iterator[str]:
        """Yield the texts of one length, with a stack of our own: texts may be long."""
        stack = [(0, "")]
        while stack:
            state, text = stack.pop()
            left = length - len(text)
            if not left:
                yield text
                continue
            following = self._then[state]
            stack.extend(
                (following[index], text + chr(code))
                for index in range(len(self._letters) - 1, -1, -1)
                if following[index] in reach[left - 1]
                for code in reversed(self._letters[index])
            )


def _letters(machines: Sequence[Machine]) -> tuple[list[list[int]], list[int]]:
    """Return some characters of each sort that is told apart, and of which sorts not all."""
    edges = {0, TOP + 1}
    for machine in machines:
        edges.update(machine.cuts())
    ordered = sorted(edge for edge in edges if 0 <= edge <= TOP + 1)
    sorts: dict[Hashable, list[tuple[int, int]]] = {}
    for low, after in itertools.pairwise(ordered):
        sort = tuple(machine.sort_of(low) for machine in machines)
        sorts.setdefault(sort, []).append((low, after - 1))
    shown = [
        (_shown(spans), sum(high - low + 1 for low, high in spans)) for spans in sorts.values()
    ]
    shown.sort(key=lambda letters: _niceness(letters[0]))
    shortened = [place for place, (letters, count) in enumerate(shown) if len(letters) < count]
    return [letters for letters, _ in shown], shortened


def _shown(spans: list[tuple[int, int]]) -> list[int]:
    """Return a few characters of some intervals, the plainest first."""
    found: dict[int, None] = {}
    for nice in _NICE:
        for low, high in spans:
            for code in range(max(low, nice.start), min(high, nice.stop - 1) + 1):
                if len(found) < SHOWN:
                    found[code] = None
    for low, high in spans:
        for code in range(low, min(high, low + SHOWN) + 1):
            if len(found) < SHOWN:
                found[code] = None
    return list(found)


def _niceness(letters: list[int]) -> tuple[int, int]:
    code = letters[0]
    return next((rank for rank, nice in enumerate(_NICE) if code in nice), len(_NICE)), code
