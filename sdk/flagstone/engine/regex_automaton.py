"""Regular expressions by automaton: one step for each character, whatever the pattern.

Thompson's construction [1]_, with the deterministic automaton built on the way as far as texts
lead into it, and forgotten when it grows large.

.. [1] R. Cox, "Regular Expression Matching Can Be Simple And Fast" (2007).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from flagstone.engine.regex_syntax import (
    TOP,
    WORD,
    Anchor,
    Chars,
    Choice,
    Node,
    RegexError,
    Repeat,
    Sequence,
)

MAX_STATES = 10_000
MAX_REMEMBERED = 5_000
_END = -1
_NEWLINE = 10


class _Before(NamedTuple):
    """What stands before a place: the beginning of the text, a newline, a word's character."""

    start: bool
    newline: bool
    word: bool


_BEGINNING = _Before(start=True, newline=False, word=False)


class _Set(NamedTuple):
    """A state that reads a character of ``starts[i]`` to ``ends[i]`` and goes to ``then``."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    then: int


class _Fork(NamedTuple):
    """A state that goes on in several places."""

    then: tuple[int, ...]


class _Place(NamedTuple):
    """A state that is passed where the anchor holds."""

    kind: str
    then: int


_State = _Set | _Fork | _Place
_Live = frozenset[int]


class Automaton:
    """Says whether a pattern is found anywhere in a text, in time linear in the text."""

    def __init__(self, node: Node) -> None:
        self._states: list[_State] = [_Fork(())]  # the first one is the goal
        self._start = self._built(node, 0)
        self._remembered: dict[tuple[_Live, _Before], dict[int, _Step]] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern is found in ``text``."""
        live, before = frozenset({self._start}), _BEGINNING
        steps = self._steps(live, before)
        for character in text:
            code = ord(character)
            step = steps.get(code) or self._step(live, before, code, steps)
            if step.found:
                return True
            live, before, steps = step.live, step.before, step.steps
        return 0 in self._closed(live, before, _END)

    def _steps(self, live: _Live, before: _Before) -> dict[int, _Step]:
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered = {}
        return self._remembered.setdefault((live, before), {})

    def _step(self, live: _Live, before: _Before, code: int, steps: dict[int, _Step]) -> _Step:
        closed = self._closed(live, before, code)
        following = {self._start}
        for index in closed:
            state = self._states[index]
            if isinstance(state, _Set) and _holds(state.starts, state.ends, code):
                following.add(state.then)
        after = _Before(start=False, newline=code == _NEWLINE, word=_is_word(code))
        reached = frozenset(following)
        step = _Step(0 in closed, reached, after, self._steps(reached, after))
        if len(steps) > MAX_REMEMBERED:
            steps.clear()
        steps[code] = step
        return step

    def _closed(self, live: _Live, before: _Before, code: int) -> set[int]:
        """Return the states that are reached without reading, when ``code`` comes next."""
        reached: set[int] = set()
        waiting = list(live)
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached.add(index)
            state = self._states[index]
            if isinstance(state, _Fork):
                waiting.extend(state.then)
            elif isinstance(state, _Place) and _passes(state.kind, before, code):
                waiting.append(state.then)
        return reached

    def _added(self, state: _State) -> int:
        if len(self._states) >= MAX_STATES:
            raise RegexError("the pattern is too large")
        self._states.append(state)
        return len(self._states) - 1

    def _built(self, node: Node, then: int) -> int:
        """Add the states of ``node`` that lead to ``then``; return the first of them."""
        match node:
            case Chars(ranges):
                starts, ends = zip(*ranges, strict=True) if ranges else ((), ())
                return self._added(_Set(starts, ends, then))
            case Anchor(kind):
                return self._added(_Place(kind, then))
            case Sequence(parts):
                for part in reversed(parts):
                    then = self._built(part, then)
                return then
            case Choice(options):
                return self._added(_Fork(tuple(self._built(option, then) for option in options)))
            case Repeat():
                return self._repeated(node, then)

    def _repeated(self, node: Repeat, then: int) -> int:
        if node.high is None:
            # The fork is known to its own body, so its place is taken first.
            fork = self._added(_Fork(()))
            self._states[fork] = _Fork((self._built(node.body, fork), then))
            then = fork
        else:
            end = then
            for _ in range(node.high - node.low):
                then = self._added(_Fork((self._built(node.body, then), end)))
        for _ in range(node.low):
            then = self._built(node.body, then)
        return then


class _Step(NamedTuple):
    """Where one character leads: states, what is then before, and the steps known from there."""

    found: bool
    live: _Live
    before: _Before
    steps: dict[int, _Step]


def _holds(starts: tuple[int, ...], ends: tuple[int, ...], code: int) -> bool:
    place = bisect_right(starts, code) - 1
    return place >= 0 and code <= ends[place]


def _is_word(code: int) -> bool:
    return any(low <= code <= high for low, high in WORD)


def _passes(kind: str, before: _Before, code: int) -> bool:
    if kind == "text_start":
        return before.start
    if kind == "line_start":
        return before.start or before.newline
    if kind == "text_end":
        return code == _END
    if kind == "line_end":
        return code in (_END, _NEWLINE)
    at_border = before.word != (0 <= code <= TOP and _is_word(code))
    return at_border if kind == "word" else not at_border
