"""One module for each vendor: random files, random contexts, and the vendor's own answers.

Each has ``PACKAGES``, ``document(rng, flags)``, ``contexts(rng, count)``, ``convert(document)`` and
``vendor(document)``; :mod:`benchmarks.differential` holds the importer's answers against the
vendor's. What they share is here. A module imports its vendor's packages inside ``vendor``.
"""

from __future__ import annotations

import random
import string
from typing import Any, Final


class _Nothing:
    """The type of :data:`NOTHING`; equal in spirit to no value at all."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __copy__(self) -> _Nothing:
        return self

    def __deepcopy__(self, _memo: object) -> _Nothing:
        return self


NOTHING: Final = _Nothing()
"""The caller's default is served: neither side has a value to give."""

LETTERS: Final = string.ascii_letters + string.digits
ODD_TEXTS: Final[tuple[str, ...]] = (
    "",
    " ",
    "0",
    "00",
    "-1",
    "1.0",
    "1e3",
    "true",
    "True",
    "null",
    "None",
    "NaN",
    "a" * 1000,
    "ü",
    "Zoë",
    "日本語",
    "😀",
    "👩‍👩‍👧",
    "e\u0301",
    "ß",
    "İ",
    "a.b",
    "a:b",
    "a,b",
    "a/b",
    "a b",
    "tab\there",
    "line\nbreak",
    "nul\x00",
    '"quoted"',
    "{}",
    "[]",
    "user@example.com",
)
ODD_NUMBERS: Final[tuple[int | float, ...]] = (
    0,
    -0.0,
    1,
    -1,
    1.0,
    0.1,
    0.5,
    -2.5,
    1e3,
    1e21,
    1e-7,
    2**31,
    2**53,
    -(2**53),
    2**53 - 1,
)


def identifier(rng: random.Random, *, others: bool = False) -> Any:
    """Draw an identifier: mostly an ordinary text, sometimes an odd one.

    With ``others``, sometimes an integer or a float: not every product takes those.
    """
    draw = rng.random()
    if draw < 0.6:
        return f"user-{rng.randrange(10**9)}"
    if draw < 0.75:
        return "".join(rng.choices(LETTERS, k=rng.randint(1, 40)))
    if draw < 0.85:
        return rng.choice(ODD_TEXTS)
    if draw < 0.9 or not others:
        # Every plane: one, two, three and four bytes of UTF-8, one and two units of UTF-16.
        planes = (
            (0x20, 0x7E),
            (0xA0, 0x7FF),
            (0x800, 0xD7FF),
            (0xE000, 0xFFFD),
            (0x10000, 0x1FAFF),
        )
        return "".join(chr(rng.randint(*rng.choice(planes))) for _ in range(rng.randint(1, 12)))
    if draw < 0.97:
        return rng.choice((rng.randrange(10**6), rng.randrange(-(2**53), 2**53)))
    return rng.choice((float(rng.randrange(10**6)), rng.random() * 1000))


def odd_value(rng: random.Random) -> Any:
    """Draw an attribute's value of any JSON type, most of them unexpected."""
    kinds = (
        lambda: rng.choice(ODD_TEXTS),
        lambda: rng.choice(ODD_NUMBERS),
        lambda: rng.choice((True, False)),
        lambda: None,
        list,
        lambda: [rng.choice(ODD_TEXTS), rng.choice(ODD_NUMBERS), None, True],
        dict,
        lambda: {"id": rng.choice(ODD_TEXTS), "n": rng.choice(ODD_NUMBERS)},
        lambda: rng.randrange(-100, 100),
        lambda: identifier(rng, others=True),
    )
    return rng.choice(kinds)()


def same(ours: Any, theirs: Any) -> bool:
    """Whether two answers are equal, typed and deep: ``True`` is not 1, and 1 is 1.0."""
    if ours is NOTHING or theirs is NOTHING:
        return ours is theirs
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return isinstance(ours, bool) and isinstance(theirs, bool) and ours == theirs
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return ours == theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)
