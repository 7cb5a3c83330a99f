r"""The filter language of every list: one grammar for the API's ``filter=`` and the search box.

::

    owner:me state:ramping,killed env:production key:checkout* changed:<1d -is:archived "new page"

A filter is terms side by side, all of which must hold. A term is ``field:value``, or words alone,
which the list looks for in its texts. ``a,b`` means either; ``-`` before a term means not; quotes
keep spaces, commas and colons together, and ``\\`` a quote within them. In a text ``*`` stands for
anything. An age is ``<1d`` (less than a day ago) or ``>2w``, of ``m h d w``; a day is
``>=2026-01-31`` or ``<2026-01-31``; ``today`` began at midnight UTC.

Which fields there are, the list says by its vocabulary. Whoever writes something else is told where
(the character, counted from 1) and what would do.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import sqlalchemy as sa

from flags.errors import InvalidInputError

MAX_FILTER_LENGTH = 500
MAX_TERMS = 30
WORDS = "words"
"""The field of words that stand alone."""

_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_TERM = re.compile(
    r'(?P<not>-)?(?:(?P<field>[A-Za-z_]+):)?(?P<value>(?:"(?:[^"\\]|\\.)*"|[^\s"])*)', re.DOTALL
)
_PART = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^,"])*)(,|$)', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_AGE = re.compile(r"(<=|>=|<|>)(\d{1,5}(?:\.\d{1,3})?)([mhdw])")
_DAY = re.compile(r"(<=|>=|<|>)(\d{4}-\d{2}-\d{2}(?:T[0-9:.]+(?:Z|[+-]\d{2}:\d{2}))?)")


@dataclass(frozen=True, slots=True)
class Field:
    """What a term of this name may say.

    Parameters
    ----------
    kind : str
        ``text`` (with ``*``), ``one`` (of ``values``), ``time`` (an age or a day).
    means : str
        For people.
    values : tuple of str
        Of a ``one``.
    """

    kind: Literal["text", "one", "time"]
    means: str
    values: tuple[str, ...] = ()


Vocabulary = Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Time:
    """From when to when; ``since`` is in it, ``until`` is not; None is open."""

    since: dt.datetime | None
    until: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Term:
    """One term: any of ``values`` (none of them, if ``negated``), or of a time one of ``times``."""

    field: str
    values: tuple[str, ...]
    negated: bool
    position: int
    times: tuple[Time, ...] = ()
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter: all ``terms`` hold."""

    terms: tuple[Term, ...] = ()
    text: str = field(default="", compare=False)

    def of(self, name: str) -> tuple[Term, ...]:
        """Give the terms of one field."""
        return tuple(term for term in self.terms if term.field == name)

    def one(self, name: str) -> str | None:
        """Give the value of a field that can be said once, and only as it is.

        Raises
        ------
        InvalidInputError
            If it is said twice, negated, or with several values.
        """
        said = self.of(name)
        if not said:
            return None
        if len(said) > 1 or said[0].negated or len(said[0].values) != 1:
            _refuse(f"{name}: takes one value, once", said[-1].position, f"such as {name}:value")
        return said[0].values[0]


def parse_filter(text: str, vocabulary: Vocabulary, *, now: dt.datetime) -> Filter:
    """Read a filter.

    Parameters
    ----------
    text : str
        As somebody typed it.
    vocabulary : mapping of str to Field
        What the list knows.
    now : datetime
        From which ages count.

    Raises
    ------
    InvalidInputError
        At ``filter``; the message says where, the hint what would do.
    """
    if len(text) > MAX_FILTER_LENGTH:
        raise InvalidInputError(
            f"a filter has at most {MAX_FILTER_LENGTH} characters", field="filter"
        )
    terms: list[Term] = []
    place = 0
    while True:
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return Filter(tuple(terms), text.strip())
        match = _TERM.match(text, place)
        assert match is not None
        if match.end() < len(text) and not text[match.end()].isspace():
            _refuse("the quote is not closed", match.end() + 1, 'end it with "')
        if len(terms) == MAX_TERMS:
            _refuse("there are too many terms", place + 1, f"at most {MAX_TERMS}")
        terms.append(_term(match, vocabulary, now))
        place = match.end()


def _term(match: re.Match[str], vocabulary: Vocabulary, now: dt.datetime) -> Term:
    position, value_at = match.start() + 1, match.start("value") + 1
    negated, raw, name = match["not"] is not None, match["value"], match["field"]
    if name is None:
        if not raw:
            _refuse("there is nothing after the minus", position, "such as -is:archived")
        return Term(WORDS, (_plain(raw),), negated, position, quoted='"' in raw)
    known = vocabulary.get(name.lower())
    if known is None:
        fields = ", ".join(vocabulary)
        _refuse(
            f"there is no field {name!r}", position, f'one of {fields}; or quote it: "{name}:…"'
        )
    values = tuple(_plain(part[1]) for part in _PART.finditer(raw) if part[1] or part[2])
    if not values or "" in values or raw.endswith(","):
        _refuse(f"{name}: says nothing", value_at, _example(name, known))
    if known.kind == "one":
        values = tuple(value.lower() for value in values)
        for value in values:
            if value not in known.values:
                several = ", ".join(known.values)
                _refuse(f"{name}: cannot be {value[:40]!r}", value_at, f"one of {several}")
    times: tuple[Time, ...] = ()
    if known.kind == "time":
        times = tuple(_time(value, name, value_at, now) for value in values)
    return Term(name.lower(), values, negated, position, times, '"' in raw)


def _plain(raw: str) -> str:
    return _QUOTED.sub(lambda quoted: re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), raw)


def _time(text: str, name: str, position: int, now: dt.datetime) -> Time:
    if text.lower() == "today":
        return Time(now.replace(hour=0, minute=0, second=0, microsecond=0), None)
    age, day = _AGE.fullmatch(text), _DAY.fullmatch(text)
    try:
        if age is not None:
            # Less than a day ago is after the moment a day ago.
            return _span(">" if age[1][0] == "<" else "<", now - _length(age[2], age[3]))
        if day is not None:
            return _span(day[1], dt.datetime.fromisoformat(day[2]))
    except (ValueError, OverflowError):
        pass
    return _refuse(f"{name}: {text[:40]!r} is no time", position, _example(name, Field("time", "")))


def _length(number: str, unit: str) -> dt.timedelta:
    return dt.timedelta(seconds=float(number) * _SECONDS[unit])


def _span(sign: str, moment: dt.datetime) -> Time:
    """Give the span after or before a moment; without a zone it is a whole day in UTC."""
    whole = moment.tzinfo is None
    moment = moment.replace(tzinfo=dt.UTC) if whole else moment.astimezone(dt.UTC)
    if (whole and sign == ">") or sign == "<=":
        # A day is over at its end.
        moment += dt.timedelta(days=1) if whole else dt.timedelta(microseconds=1)
    return Time(moment, None) if sign[0] == ">" else Time(None, moment)


def _example(name: str, known: Field) -> str:
    if known.kind == "one":
        return f"one of {', '.join(known.values)}"
    if known.kind == "time":
        return f"such as {name}:<1d (less than a day ago), {name}:>2w or {name}:>=2026-01-31"
    return f"such as {name}:checkout*"


def _refuse(message: str, position: int, hint: str) -> NoReturn:
    raise InvalidInputError(f"{message} (at character {position})", field="filter", hint=hint)


# From a term to SQL


def text_holds(term: Term, *columns: Any) -> sa.ColumnElement[bool]:
    """Hold where a column is one of the values; ``*`` stands for anything, case does not matter."""
    found: list[sa.ColumnElement[bool]] = []
    for value in term.values:
        pattern = "%".join(_escaped(part) for part in value.split("*"))
        found += [column.ilike(pattern, escape="\\") for column in columns]
    return _signed(term, sa.or_(*found))


def words_hold(term: Term, *columns: Any) -> sa.ColumnElement[bool]:
    """Hold where a column contains the words, as they stand."""
    found = [column.icontains(term.values[0], autoescape=True) for column in columns]
    return _signed(term, sa.or_(*found))


def time_holds(term: Term, column: Any) -> sa.ColumnElement[bool]:
    """Hold where a time lies in one of the spans; what has no time lies in none."""
    found = []
    for time in term.times:
        bounds = [column.is_not(None)]
        if time.since is not None:
            bounds.append(column >= time.since)
        if time.until is not None:
            bounds.append(column < time.until)
        found.append(sa.and_(*bounds))
    return _signed(term, sa.or_(*found))


def one_holds(term: Term, ways: Mapping[str, sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """Hold where one of the named conditions does."""
    return _signed(term, sa.or_(*(ways[value] for value in term.values)))


def _signed(term: Term, holds: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    # coalesce: what is not known does not hold, and so its opposite does.
    return sa.not_(sa.func.coalesce(holds, sa.false())) if term.negated else holds


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
