"""One caller may not hold the service: so many requests a minute, said on every answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.managed import Clock
from web.api.limits import REMEMBERED_CALLERS, WINDOW_SECONDS, Quota, register
from web.settings import Settings, SettingsError


def test_a_caller_may_burst_and_then_waits_for_the_bucket_to_fill(
    shop: Any, viewer: Any, clock: Clock
) -> None:
    register(shop.app, 6)
    left = []
    for _ in range(6):
        answer = viewer.get("/projects")
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"caller";q=6;w=60'
        left.append(re.fullmatch(r'"caller";r=(\d+);t=(\d+)', answer.headers["RateLimit"])[1])
    assert left == ["5", "4", "3", "2", "1", "0"]
    refused = viewer.get("/projects")
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    assert refused.get_json()["code"] == "too_many_requests"
    assert refused.headers["Retry-After"] == "10"
    assert refused.headers["RateLimit"] == '"caller";r=0;t=60'
    clock.advance(seconds=10)
    assert viewer.get("/projects").status_code == 200
    assert viewer.get("/projects").status_code == 429
    clock.advance(seconds=60)
    assert viewer.get("/projects").headers["RateLimit"] == '"caller";r=5;t=10'


def test_each_key_has_a_quota_of_its_own(shop: Any) -> None:
    register(shop.app, 1)
    one, other = shop.caller("viewer", name="one"), shop.caller("viewer", name="other")
    assert [each.get("/projects").status_code for each in (one, one, other)] == [200, 429, 200]


def test_what_is_refused_for_the_limit_is_not_done(shop: Any, editor: Any) -> None:
    register(shop.app, 1)
    before = shop.written()
    assert editor.get("/projects").status_code == 200
    assert editor.post("/projects/shop/flags", {"key": "new"}).status_code == 429
    assert shop.written() == before


def test_the_limit_can_be_turned_off_and_is_not_asked_of_strangers(shop: Any, viewer: Any) -> None:
    register(shop.app, 0)
    assert "RateLimit" not in viewer.get("/projects").headers
    register(shop.app, 1)
    client = shop.app.test_client()
    answers = [client.get("/api/v1/openapi.json") for _ in range(3)]
    assert {each.status_code for each in answers} == {200}
    assert [client.get("/api/v1/projects").status_code for _ in range(2)] == [401, 401]


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path, api_requests_per_minute=7)
    assert Settings.from_environment(settings.to_environment()).api_requests_per_minute == 7
    with pytest.raises(SettingsError, match="API_REQUESTS_PER_MINUTE"):
        Settings(data_directory=tmp_path, api_requests_per_minute=-1)


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 20, allow_nan=False), max_size=150),
)
def test_no_window_holds_more_than_twice_the_quota_and_no_minute_of_rest_is_refused(
    per_minute: int, pauses: list[float]
) -> None:
    """A full bucket, and what fills in the window: never more than 2 q in any w seconds."""
    quota, at, passed = Quota(per_minute), 1e9, []
    for pause in pauses:
        at += pause
        standing = quota.take("a", at)
        if standing.passed:
            passed.append(at)
        else:
            assert quota.take("a", at + standing.retry_after_seconds).passed
            break
    for start in passed:
        within = [each for each in passed if start <= each < start + WINDOW_SECONDS]
        assert len(within) <= 2 * per_minute
    assert quota.take("a", at + 2 * WINDOW_SECONDS).passed


def test_memory_is_bounded_and_a_clock_set_back_shuts_nobody_out() -> None:
    quota = Quota(1)
    for number in range(REMEMBERED_CALLERS + 50):
        quota.take(str(number), 1e9)
    assert len(quota._full_at) == REMEMBERED_CALLERS
    assert quota.take("new", 2e9).passed
    assert quota.take("new", 1e9).retry_after_seconds <= WINDOW_SECONDS
