"""A filter held against entries that were read: for lists that are short enough to be read whole.

It says the same as the conditions that :mod:`flags.filters` writes in SQL for the long ones; a test
holds the two against each other.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flags.filters import WORDS, Field, Filter, Term, Vocabulary

Entry = Mapping[str, Any]
Read = Callable[[Entry], Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list can be asked for, and how that is read of one of its entries.

    Parameters
    ----------
    words : callable
        Gives the texts in which words that stand alone are looked for.
    fields : mapping of str to Field
        What else can be asked.
    reads : mapping of str to callable
        By field: of a ``text`` the texts, of a ``one`` the names that hold, of a ``time`` the
        instant or None.
    """

    words: Callable[[Entry], Iterable[str]]
    fields: Vocabulary
    reads: Mapping[str, Read]

    def narrowed(self, entries: Iterable[dict[str, Any]], asked: Filter) -> list[dict[str, Any]]:
        """Give the entries of which all terms hold, in their order."""
        return [each for each in entries if all(self._holds(term, each) for term in asked.terms)]

    def _holds(self, term: Term, entry: Entry) -> bool:
        if term.field == WORDS:
            words = term.values[0].lower()
            return term.negated != any(words in text.lower() for text in self.words(entry))
        said = self.reads[term.field](entry)
        kind = self.fields[term.field].kind
        if kind == "text":
            return term.negated != text_matches(term.values, said)
        if kind == "one":
            return term.negated != any(value in said for value in term.values)
        return term.negated != _within(term, said)


def listed(words: Callable[[Entry], Iterable[str]], **fields: tuple[Field, Read]) -> Listed:
    """Describe a list by its fields, each with how it is read."""
    named = {name.rstrip("_"): each for name, each in fields.items()}
    return Listed(
        words,
        {name: field for name, (field, _read) in named.items()},
        {name: read for name, (_field, read) in named.items()},
    )


def text_matches(values: Iterable[str], texts: Collection[str]) -> bool:
    """Tell whether a text is one of the values; ``*`` stands for anything, case does not matter."""
    for value in values:
        pattern = ".*".join(re.escape(part) for part in value.split("*"))
        if any(re.fullmatch(pattern, text, re.DOTALL | re.IGNORECASE) for text in texts):
            return True
    return False


def _within(term: Term, moment: dt.datetime | None) -> bool:
    return moment is not None and any(
        (time.since is None or moment >= time.since) and (time.until is None or moment < time.until)
        for time in term.times
    )
