"""Who asked for a flag lately."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flags.activity import HOURS, hour_of, keep, read
from tests.flags.conftest import NOW

HOUR = dt.timedelta(hours=1)


def kept(shop: Any, counts: dict[int, dict[str, int]], at: dt.datetime, **seen: dt.datetime) -> int:
    with shop.database.write() as session:
        return keep(session, shop.id(), counts, seen, now=at)


def test_hours_stand_where_they_belong_and_move_on(shop: Any) -> None:
    hour = hour_of(NOW)
    assert kept(shop, {hour - 1: {"checkout": 5}, hour: {"checkout": 2}}, NOW) == 1
    # The hour before was not over yet when it was first counted.
    assert kept(shop, {hour - 1: {"checkout": 6}, hour: {"checkout": 3}}, NOW) == 1
    with shop.database.read() as session:
        (found,) = read(session, shop.id(), ["checkout"], now=NOW).values()
        later = read(session, shop.id(), ["checkout"], now=NOW + 3 * HOUR)["checkout"]
        over = read(session, shop.id(), ["checkout"], now=NOW + HOURS * HOUR)["checkout"]
    assert found.hours == (*[0] * 22, 6, 3)
    assert found.evaluated_at == NOW
    assert later.hours == (*[0] * 19, 6, 3, 0, 0, 0)
    assert (over.total, found.total) == (0, 9)


def test_what_is_no_news_is_not_written(shop: Any) -> None:
    hour = hour_of(NOW)
    assert kept(shop, {hour: {"checkout": 2}}, NOW) == 1
    assert kept(shop, {hour: {"checkout": 2}}, NOW + HOUR / 60, checkout=NOW + HOUR / 60) == 0
    assert kept(shop, {hour: {"checkout": 2}}, NOW + HOUR / 6, checkout=NOW + HOUR / 6) == 1
    with shop.database.read() as session:
        (found,) = read(session, shop.id(), ["checkout"], now=NOW).values()
        assert found.evaluated_at == NOW + HOUR / 6
        assert read(session, shop.id("staging"), ["checkout"], now=NOW) == {}
