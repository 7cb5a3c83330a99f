r"""The syntax of RE2, read into a small tree that holds sets of characters instead of escapes.

What RE2 refuses is refused here: lookaround, backreferences, possessive and atomic groups,
conditionals, comments. Unicode properties (``\pL``) are refused as well: the standard library has
no table of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

MAX_NESTING = 100
MAX_REPEAT = 1000
TOP = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
"""Characters as closed intervals of code points, sorted and apart."""

DIGIT: Ranges = ((0x30, 0x39),)
SPACE: Ranges = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
POSIX: dict[str, Ranges] = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": ((0x41, 0x5A),),
    "word": WORD,
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_CLASSES = {"d": DIGIT, "s": SPACE, "w": WORD}
_LAST_CASED = 0x1E943
# The Kelvin sign and the long s are cases of ASCII letters.
_ASCII_ORBITS = {
    code: [ord(letter), ord(letter.upper()), *{"k": [0x212A], "s": [0x17F]}.get(letter, [])]
    for letter in "abcdefghijklmnopqrstuvwxyz"
    for code in (ord(letter), ord(letter.upper()))
}


class RegexError(ValueError):
    """A pattern is not one of RE2's."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place between characters: ``text_start text_end line_start line_end word no_word``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """At least ``low`` and at most ``high`` times; ``None`` has no upper end."""

    body: Node
    low: int
    high: int | None


Node = Chars | Anchor | Sequence | Choice | Repeat


def normal(ranges: list[tuple[int, int]]) -> Ranges:
    """Sort intervals and join those that touch."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Return every other character."""
    others, start = [], 0
    for low, high in ranges:
        if start < low:
            others.append((start, low - 1))
        start = high + 1
    if start <= TOP:
        others.append((start, TOP))
    return tuple(others)


def in_any_case(ranges: Ranges) -> Ranges:
    """Add the characters that differ in case only, one by one (Unicode's simple folding)."""
    ascii_only = all(high < 0x80 for _, high in ranges)
    orbits = _ASCII_ORBITS if ascii_only else _case_orbits()
    others = [
        (other, other)
        for low, high in ranges
        for code in range(low, min(high, _LAST_CASED) + 1)
        for other in orbits.get(code, ())
    ]
    return normal([*ranges, *others])


@functools.lru_cache(maxsize=1)
def _case_orbits() -> dict[int, list[int]]:
    """Return, for each character that has them, all characters that differ in case only."""
    orbits: dict[str, list[int]] = {}
    for code in range(_LAST_CASED + 1):
        character = chr(code)
        upper = character.upper()
        upper = upper if len(upper) == 1 else character
        lower = upper.lower()
        # The Turkish letters i have cases of their own.
        if code not in (0x130, 0x131) and len(lower) == 1:
            orbits.setdefault(lower, []).append(code)
    return {code: orbit for orbit in orbits.values() if len(orbit) > 1 for code in orbit}


def parse(pattern: str, *, fold: bool = False) -> Node:
    """Read a pattern.

    Raises
    ------
    RegexError
        If RE2 would not accept it, or it needs Unicode properties.
    """
    reader = _Reader(_unquoted(pattern), fold=fold)
    node = reader.choice(0)
    if reader.at < len(reader.pattern):
        raise RegexError("a closing parenthesis without an opening one")
    return node


def _unquoted(pattern: str) -> str:
    r"""Write what stands between ``\Q`` and ``\E`` with escapes instead."""
    written: list[str] = []
    at = 0
    while at < len(pattern):
        pair = pattern[at : at + 2]
        if pair == "\\Q":
            end = pattern.find("\\E", at + 2)
            quoted = pattern[at + 2 : end if end >= 0 else len(pattern)]
            written.extend(f"\\{c}" if _is_plain_ascii(c) else c for c in quoted)
            at += len(quoted) + 4
        else:
            step = 2 if pair[0] == "\\" else 1
            written.append(pattern[at : at + step])
            at += step
    return "".join(written)


class _Reader:
    def __init__(self, pattern: str, *, fold: bool) -> None:
        self.pattern = pattern
        self.at = 0
        self.fold, self.multiline, self.dot_all = fold, False, False

    def peek(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.pattern):
            raise RegexError("the pattern ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def choice(self, depth: int) -> Node:
        if depth > MAX_NESTING:
            raise RegexError("groups are nested too deeply")
        # Flags set inside a group last until its end, across its alternatives.
        flags = self.fold, self.multiline, self.dot_all
        options = [self.sequence(depth)]
        while self.take("|"):
            options.append(self.sequence(depth))
        self.fold, self.multiline, self.dot_all = flags
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            atom = self.atom(depth)
            if atom is not None:
                parts.append(self.repeated(atom))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeated(self, atom: Node) -> Node:
        bounds = self.bounds()
        if bounds is None:
            return atom
        if self.take("+"):
            raise RegexError("possessive repeats are not part of RE2")
        self.take("?")  # whether a repeat is lazy does not change whether there is a match
        if self.bounds() is not None:
            raise RegexError("a repeat of a repeat needs parentheses")
        return Repeat(atom, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        if self.take("*"):
            return 0, None
        if self.take("+"):
            return 1, None
        if self.take("?"):
            return 0, 1
        if not self.peek("{"):
            return None
        end = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at + 1 : max(end, self.at)].partition(",")
        if end < 0 or not _is_number(low) or (high and not _is_number(high)):
            return None  # any other brace is a literal one
        self.at = end + 1
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if least > MAX_REPEAT or (most is not None and not least <= most <= MAX_REPEAT):
            raise RegexError(f"a repeat goes from 0 to at most {MAX_REPEAT}, in order")
        return least, most

    def atom(self, depth: int) -> Node | None:
        if self.bounds() is not None:
            raise RegexError("a repeat of nothing")
        start = self.next()
        if start == "(":
            return self.group(depth)
        if start == "[":
            return Chars(self.bracket())
        if start == ".":
            return Chars(complement(() if self.dot_all else ((10, 10),)))
        if start == "^":
            return Anchor("line_start" if self.multiline else "text_start")
        if start == "$":
            return Anchor("line_end" if self.multiline else "text_end")
        if start == "\\":
            return self.escape()
        return self.literal(start)

    def cased(self, ranges: Ranges) -> Ranges:
        return in_any_case(ranges) if self.fold else ranges

    def literal(self, character: str) -> Chars:
        return Chars(self.cased(((ord(character), ord(character)),)))

    def group(self, depth: int) -> Node | None:
        flags = self.fold, self.multiline, self.dot_all
        if self.take("?"):
            if self.take("P<") or (self.peek("<") and not self.peek("<=") and not self.peek("<!")):
                self.take("<")
                self.name()
            elif not self.flags():
                return None
        node = self.choice(depth + 1)
        if not self.take(")"):
            raise RegexError("a group is not closed")
        self.fold, self.multiline, self.dot_all = flags
        return node

    def name(self) -> None:
        end = self.pattern.find(">", self.at)
        name = self.pattern[self.at : max(end, self.at)]
        if not name or not all(c == "_" or (c.isascii() and c.isalnum()) for c in name):
            raise RegexError("a group's name is made of letters, digits and underscores")
        self.at = end + 1

    def flags(self) -> bool:
        """Read flags; return whether a group follows (``(?i:``), or they stand alone (``(?i)``)."""
        value = True
        while True:
            letter = self.next()
            if letter == "i":
                self.fold = value
            elif letter == "m":
                self.multiline = value
            elif letter == "s":
                self.dot_all = value
            elif letter == "-" and value:
                value = False
            elif letter in ":)":
                return letter == ":"
            else:
                raise RegexError(
                    "lookaround, atomic groups, conditionals and comments are not part of RE2"
                )

    def escape(self) -> Node:
        letter = self.next()
        if letter in "AzbB":
            kinds = {"A": "text_start", "z": "text_end", "b": "word", "B": "no_word"}
            return Anchor(kinds[letter])
        return Chars(self.escaped_set(letter))

    def escaped_set(self, letter: str) -> Ranges:
        if letter.lower() in _CLASSES:
            ranges = self.cased(_CLASSES[letter.lower()])
            return ranges if letter.islower() else complement(ranges)
        code = self.escaped_code(letter)
        return self.cased(((code, code),))

    def escaped_code(self, letter: str) -> int:
        if letter in _CONTROL:
            return _CONTROL[letter]
        if _is_plain_ascii(letter):
            return ord(letter)
        if letter == "x":
            return self.hexadecimal()
        if letter in "pP":
            raise RegexError("Unicode properties are not supported")
        if letter.isdigit():
            raise RegexError("backreferences are not part of RE2")
        raise RegexError(f"unknown escape \\{letter}")

    def hexadecimal(self) -> int:
        if self.take("{"):
            end = self.pattern.find("}", self.at)
            digits = self.pattern[self.at : max(end, self.at)]
            self.at = end + 1
        else:
            digits = self.pattern[self.at : self.at + 2]
            self.at += 2
            if len(digits) < 2:
                digits = ""
        if not 1 <= len(digits) <= 6 or any(c not in "0123456789abcdefABCDEF" for c in digits):
            raise RegexError("\\x needs hexadecimal digits")
        code = int(digits, 16)
        if code > TOP:
            raise RegexError("there is no such character")
        return code

    def bracket(self) -> Ranges:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self.peek("]"):
            ranges.extend(self.bracket_part())
            first = False
        self.take("]")
        joined = normal(ranges)
        return complement(joined) if negated else joined

    def bracket_part(self) -> Ranges:
        named = self.posix_class()
        if named is not None:
            return named
        low = self.bracket_item()
        if isinstance(low, tuple):
            return low
        high: int | Ranges = low
        if self.peek("-") and not self.peek("-]"):
            self.at += 1
            high = self.bracket_item()
        if isinstance(high, tuple) or high < low:
            raise RegexError("a range goes from a character to a later one")
        return self.cased(((low, high),))

    def bracket_item(self) -> int | Ranges:
        character = self.next()
        if character != "\\":
            return ord(character)
        letter = self.next()
        return self.escaped_set(letter) if letter.lower() in _CLASSES else self.escaped_code(letter)

    def posix_class(self) -> Ranges | None:
        if not self.peek("[:"):
            return None
        end = self.pattern.find(":]", self.at)
        if end < 0:
            return None
        name = self.pattern[self.at + 2 : end]
        negated = name.startswith("^")
        ranges = POSIX.get(name.removeprefix("^"))
        if ranges is None:
            raise RegexError(f"unknown class [:{name}:]")
        self.at = end + 2
        ranges = self.cased(ranges)
        return complement(ranges) if negated else ranges


def _is_plain_ascii(character: str) -> bool:
    """Whether an escape of this character stands for itself."""
    return character.isascii() and not character.isalnum()


def _is_number(text: str) -> bool:
    return bool(text) and text.isascii() and text.isdigit() and len(text) <= 4
