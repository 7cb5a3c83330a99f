"""Points in time: what is read, what is not, and how it is written."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine.times import format_time, parse_time, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0), ("1970-01-01", 0.0), ("1970-01-01T00:00", 0.0),
        ("1970-01-01t01:00:00+01:00", 0.0), ("1970-01-01 00:00:00.25", 0.25),
        ("1969-12-31T23:00:00-0100", 0.0), ("1970-01-01T00:00:00.123456789z", 0.123456),
        ("2026-12-01T09:00:00Z", 1_796_115_600.0), ("0001-01-01", -62_135_596_800.0),
    ],
)  # fmt: skip
def test_these_are_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026", "2026-13-01", "2026-02-30", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z",
     "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00Z\n", "2026-1-1", "0000-01-01",
     "٢٠٢٦-٠١-٠١", "2026-01-01T00:00:00+1"],
)  # fmt: skip
def test_these_are_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the calendar has messages of its own
        parse_time(text)


def test_an_offset_is_not_rounded_apart_from_the_time() -> None:
    assert parse_time("1969-12-31T00:00:00.000001-06:00") == -64799.999999


@given(st.datetimes(timezones=st.timezones()))
@settings(deadline=None)
def test_a_datetime_and_its_text_are_one_time(moment: dt.datetime) -> None:
    if moment.utcoffset() != dt.timedelta(0) and moment.utcoffset().seconds % 60:  # type: ignore[union-attr]
        return  # RFC 3339 has no offsets with seconds
    assert parse_time(moment.isoformat()) == seconds_of(moment)


@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)))
@settings(deadline=None)
def test_a_written_time_is_read_as_the_same(moment: dt.datetime) -> None:
    seconds = seconds_of(moment)
    assert parse_time(format_time(seconds)) == seconds
    assert format_time(seconds) == moment.isoformat() + "Z"


def test_what_is_no_time_is_refused() -> None:
    for value in (True, None, [], dt.date(2026, 1, 1), object()):
        with pytest.raises(ValueError, match="not a point in time"):
            seconds_of(value)
