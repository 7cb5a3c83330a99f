"""Who is in a segment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.launchdarkly.building import (
    IN_SEGMENT,
    SEGMENT,
    clause,
    matches,
    place,
    weighted,
    when,
)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"targetingKey": "in"}, True),
        ({"targetingKey": 42}, True),
        ({"targetingKey": "out", "a": 1}, False),
        ({"targetingKey": "u", "a": 1}, True),
        ({"targetingKey": "u", "a": 1, "org": {"key": "evil"}}, False),
        ({"targetingKey": "out", "org": {"key": "acme"}}, True),
        ({"targetingKey": "u"}, False),
    ],
)
def test_a_segment_takes_the_included_then_leaves_the_excluded_then_asks_its_rules(
    context: dict[str, Any], expected: bool
) -> None:
    assert matches(IN_SEGMENT, context, s=SEGMENT) is expected
    negated = when(clause("", "segmentMatch", "s", negate=True))
    assert matches(negated, context, s=SEGMENT) is not expected


def test_a_weighted_rule_of_a_segment_keeps_every_bucket() -> None:
    for number in range(100):
        context = {"targetingKey": f"u{number}"}
        expected = place("s.pepper", f"u{number}") < 0.3
        assert matches(IN_SEGMENT, context, s=weighted(30_000)) is expected


def test_a_weighted_rule_takes_whoever_lacks_what_it_is_by() -> None:
    assert matches(IN_SEGMENT, {}, s=weighted(0, rolloutContextKind="org"))
    assert matches(IN_SEGMENT, {}, s=weighted(1, rolloutContextKind="org"))
    assert matches(IN_SEGMENT, {}, s=weighted(1, bucketBy="a"))
    assert not matches(IN_SEGMENT, {}, s=weighted(0, bucketBy="a"))
    assert not matches(IN_SEGMENT, {}, s=weighted(0))
    assert matches(IN_SEGMENT, {}, s=weighted(100_000))
    assert not matches(IN_SEGMENT, {}, s=weighted(-100_000, rolloutContextKind="org"))


def test_nobody_is_in_a_segment_that_is_not_there() -> None:
    gone = {"key": "s", "deleted": True}
    assert not matches(IN_SEGMENT, {}, s=gone)
    assert matches(when(clause("", "segmentMatch", "s", negate=True)), {}, s=gone)


def test_segments_may_ask_segments() -> None:
    outer = {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]}
    document = when(clause("", "segmentMatch", "outer"))
    assert matches(document, {"targetingKey": "in"}, outer=outer, s=SEGMENT)
    assert not matches(document, {"targetingKey": "out"}, outer=outer, s=SEGMENT)
