"""The filter language: what is read, and what is refused, where."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flags.database import Database, UtcDateTime
from flags.errors import InvalidInputError
from flags.filter_items import listed
from flags.filters import (
    MAX_TERMS,
    WORDS,
    Field,
    Time,
    one_holds,
    parse_filter,
    text_holds,
    time_holds,
    words_hold,
)

NOW = dt.datetime(2026, 11, 22, 15, tzinfo=dt.UTC)
FIELDS = {
    "key": Field("text", "its key"),
    "state": Field("one", "its state", ("on", "off")),
    "changed": Field("time", "when"),
}


def day(number: int, month: int = 11) -> dt.datetime:
    return dt.datetime(2026, month, number, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  a  b ", [(WORDS, ("a",), False), (WORDS, ("b",), False)]),
        ('"a b" -"c"', [(WORDS, ("a b",), False), (WORDS, ("c",), True)]),
        ("key:check*,out", [("key", ("check*", "out"), False)]),
        ('-key:"a,b","c:d"', [("key", ("a,b", "c:d"), True)]),
        (r'key:"say \"hi\""', [("key", ('say "hi"',), False)]),
        ("KEY:A State:ON", [("key", ("A",), False), ("state", ("on",), False)]),
        ('"key:a" a-b', [(WORDS, ("key:a",), False), (WORDS, ("a-b",), False)]),
    ],
)
def test_terms_are_read_as_they_are_written(
    text: str, terms: list[tuple[str, tuple[str, ...], bool]]
) -> None:
    found = parse_filter(text, FIELDS, now=NOW).terms
    assert [(each.field, each.values, each.negated) for each in found] == terms


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("changed:<1d", [Time(NOW - dt.timedelta(days=1), None)]),
        (
            "changed:>2w,<1.5h",
            [Time(None, NOW - dt.timedelta(weeks=2)), Time(NOW - dt.timedelta(hours=1.5), None)],
        ),
        ("changed:today", [Time(day(22), None)]),
        ("changed:>=2026-11-05", [Time(day(5), None)]),
        ("changed:>2026-11-05", [Time(day(6), None)]),
        ("changed:<2026-11-05", [Time(None, day(5))]),
        ("changed:<=2026-11-05", [Time(None, day(6))]),
        ("changed:>=2026-11-05T02:00:00+02:00", [Time(day(5), None)]),
    ],
)
def test_ages_and_days_become_spans(text: str, times: list[Time]) -> None:
    (term,) = parse_filter(text, FIELDS, now=NOW).terms
    assert list(term.times) == times


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("a colour:red", 3, "one of key, state, changed"),
        ("state:on  state:onn", 17, "one of on, off"),
        ("key:", 5, "such as key:"),
        ("key:a,", 5, "such as key:"),
        ("key:,a", 5, "such as key:"),
        ("changed:1d", 9, "changed:<1d"),
        ("changed:>9999-12-31", 9, "changed:<1d"),
        ("changed:<2026-13-01", 9, "changed:<1d"),
        ('say "hello', 5, 'end it with "'),
        ("a - b", 3, "such as -is:archived"),
        (" ".join("a" * (MAX_TERMS + 1)), 2 * MAX_TERMS + 1, "at most"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_stands(
    text: str, position: int, hint: str
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_filter(text, FIELDS, now=NOW)
    assert refusal.value.field == "filter"
    assert f"(at character {position})" in str(refusal.value)
    assert hint in str(refusal.value.hint)


def test_a_field_that_can_be_said_once_is_refused_otherwise() -> None:
    assert parse_filter("key:a", FIELDS, now=NOW).one("key") == "a"
    assert parse_filter("", FIELDS, now=NOW).one("key") is None
    for text in ("key:a key:b", "-key:a", "key:a,b"):
        with pytest.raises(InvalidInputError, match="takes one value"):
            parse_filter(text, FIELDS, now=NOW).one("key")


@given(st.text(st.sampled_from('ab:"\\-,*< >1dkeystate'), max_size=40))
def test_any_text_is_read_or_refused_and_quoting_it_makes_it_words(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        parse_filter(text, FIELDS, now=NOW)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    (term,) = parse_filter(f'"{quoted}"', FIELDS, now=NOW).terms
    assert (term.field, term.values) == (WORDS, (text,))


ENTRIES = [
    {"key": "Check*out_1", "state": ["on"], "changed": day(20)},
    {"key": "search 100%", "state": [], "changed": None},
    {"key": "", "state": ["on", "off"], "changed": day(22)},
    {"key": "a\nb", "state": ["off"], "changed": day(1, month=1)},
]
LISTED = listed(
    lambda entry: [entry["key"]],
    key=(FIELDS["key"], lambda entry: [entry["key"]]),
    state=(FIELDS["state"], lambda entry: entry["state"]),
    changed=(FIELDS["changed"], lambda entry: entry["changed"]),
)
TEXTS = st.text(st.sampled_from('aA*%_1 \\"ou'), min_size=1, max_size=6)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def filters(draw: st.DrawFn) -> str:
    field = draw(st.sampled_from(["", "key:", "state:", "changed:"]))
    values = {
        "state:": st.sampled_from(["on", "off", "on,off"]),
        "changed:": st.sampled_from(["<1d", ">1d,<1h", "today", ">=2026-11-20", "<2026-11-20"]),
        "key:": st.lists(TEXTS.map(quoted), min_size=1, max_size=2).map(",".join),
        "": TEXTS.map(quoted),
    }
    return draw(st.sampled_from(["", "-"])) + field + draw(values[field])


def test_short_lists_and_the_database_say_the_same_of_every_filter(database: Database) -> None:
    """What is narrowed in memory is narrowed as SQL would."""
    rows = sa.Table(
        "filtered",
        sa.MetaData(),
        sa.Column("number", sa.Integer),
        sa.Column("key", sa.String),
        sa.Column("changed", UtcDateTime),
        sa.Column("state", sa.String),
        prefixes=["TEMPORARY"],
    )
    ways = {name: rows.c.state.contains(f",{name},") for name in ("on", "off")}
    with database.write() as session:
        rows.create(session.connection())
        said = [
            {**each, "number": number, "state": ",".join(["", *each["state"], ""])}
            for number, each in enumerate(ENTRIES)
        ]
        session.execute(sa.insert(rows), said)

        @settings(max_examples=60, deadline=None)
        @given(filters())
        @example("changed:<2026-11-20")
        @example('key:"check*"')
        @example("-changed:>1d")
        def check(text: str) -> None:
            asked = parse_filter(text, FIELDS, now=NOW)
            (term,) = asked.terms
            holds = {
                WORDS: lambda: words_hold(term, rows.c.key),
                "key": lambda: text_holds(term, rows.c.key),
                "state": lambda: one_holds(term, ways),
                "changed": lambda: time_holds(term, rows.c.changed),
            }[term.field]()
            query = sa.select(rows.c.number).where(holds)
            found = sorted(session.execute(query).scalars())
            here = LISTED.narrowed(ENTRIES, asked)
            assert [ENTRIES.index(each) for each in here] == found

        check()
