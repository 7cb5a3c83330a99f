"""Segments: constraints under a number."""

from __future__ import annotations

from tests.sdk.importers.unleash.building import (
    ask,
    compared,
    constraint,
    feature,
    imported,
    strategy,
)


def test_a_segments_constraints_are_added_to_the_strategys() -> None:
    segments = [
        {"id": 1, "constraints": [constraint("IN", "1", "2")]},
        {"id": 2, "constraints": []},
    ]
    one = strategy("default", constraint("IN", "2", "3"), segments=[1, 2])
    result = imported(feature(one), segments=segments)
    assert [ask(result, x=value).on for value in ("1", "2", "3")] == [False, True, False]
    assert list(result.segments) == ["1", "2"]


def test_a_missing_segment_keeps_the_feature_off() -> None:
    result = imported(feature(strategy(segments=[404]), strategy()))
    assert not ask(result).on
    assert "there is no segment 404" in result.lossy[0].reason


def test_of_two_segments_with_one_number_the_last_counts() -> None:
    segments = [{"id": 1, "constraints": [constraint("IN", v)]} for v in ("a", "b")]
    result = imported(feature(strategy(segments=[1])), segments=segments)
    assert [ask(result, x=value).on for value in ("a", "b")] == [False, True]


def test_a_segment_on_the_clock_is_written_into_the_rules() -> None:
    clocked = {**compared("DATE_AFTER", "2026-01-01T00:00:00Z"), "contextName": "currentTime"}
    segments = [{"id": 1, "constraints": [clocked]}]
    result = imported(feature(strategy(segments=[1])), segments=segments)
    assert not result.segments
    assert ask(result).on
    assert not ask(result, now=0.0).on


def test_a_malformed_segment_is_the_fault_of_those_who_ask_for_it() -> None:
    segments = [{"id": 1, "constraints": [5]}]
    result = imported(feature(strategy(segments=[1])), feature(name="g"), segments=segments)
    assert list(result.flags) == ["g"]
    assert result.refused[0].reason.startswith("its segment 1 is malformed")
