"""Allocations begin and end."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.sdk.importers.eppo.building import DEFAULT, NOW, allocation, flag, reason, rules, served


def test_both_ends_of_a_window_are_in_it() -> None:
    given = flag(
        allocation(startAt="2026-06-01T12:00:00.000Z", endAt="2026-06-01T14:00:00.5+00:00")
    )
    end = NOW + dt.timedelta(hours=2, milliseconds=500)
    instant = dt.timedelta(microseconds=1)
    for moment, variant in (
        (NOW - instant, DEFAULT),
        (NOW, "on"),
        (end, "on"),
        (end + instant, DEFAULT),
    ):
        assert served(given, now=moment) == variant


def test_a_window_that_never_opens_is_left_out() -> None:
    closed = allocation(startAt="2026-06-02T00:00:00Z", endAt="2026-06-01T00:00:00Z")
    assert rules(flag(closed)) == []
    instant = allocation(startAt="2026-06-01T12:00:00Z", endAt="2026-06-01T12:00:00Z")
    assert served(flag(instant)) == "on"


def test_the_end_of_all_times_has_no_next_instant() -> None:
    (rule,) = rules(flag(allocation(endAt="9999-12-31T23:59:59.999999Z")))
    assert "end" not in rule


@pytest.mark.parametrize(
    "moment", ["2026-06-01", "soon", 5, "2026-13-01T00:00:00Z", "2026-06-01T00:00:00"]
)
def test_what_is_no_time_is_refused(moment: Any) -> None:
    assert "allocations[0].startAt" in reason(flag(allocation(startAt=moment)))
