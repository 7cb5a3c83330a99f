"""``flagstone bench serve``: a small run of the real thing."""

from __future__ import annotations

import pytest

from web.bench.service.run import bench

pytestmark = pytest.mark.slow


def test_a_small_run_measures_every_goal_on_a_service_of_its_own() -> None:
    said: list[str] = []
    report = bench(count=200, connections=4, clients=10, commits=3, rounds=2, say=said.append)
    assert report["database"] == "SQLite"
    figures = report["figures"]
    assert figures["bulk"]["cpu_us"] > 0
    assert figures["bulk"]["bytes"] > 1_000
    assert 0 < figures["streams"]["first_ms"] <= figures["streams"]["worst_ms"] < 30_000
    assert 0 < figures["sdks"]["median_ms"] <= figures["sdks"]["worst_ms"] < 30_000
    assert 0 < figures["stop"] < 30
    names = [goal["name"] for goal in report["goals"]]
    assert len(names) == len(set(names)) == 6
    assert any("one web process" in line for line in said)


@pytest.mark.postgresql
def test_postgresql_is_measured_likewise(postgresql_url: str) -> None:
    report = bench(
        database_url=postgresql_url,
        count=100,
        connections=2,
        clients=5,
        commits=2,
        rounds=1,
        say=lambda _line: None,
    )
    assert report["database"] == "PostgreSQL"
    assert report["figures"]["sdks"]["worst_ms"] > 0
