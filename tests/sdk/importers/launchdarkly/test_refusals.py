"""What cannot be carried is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import parse_flag_set
from flagstone.importers import ImportFileError
from flagstone.importers.launchdarkly import convert
from tests.sdk.importers.launchdarkly.building import clause, flag, imported, rollout, when


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (flag(variations=[2**53]), "2"),
        (flag(version=-1), "version"),
        (flag(on="yes"), "on must be true or false"),
        (flag(rules={}), "rules must be a list"),
        (flag(rules=[{"variation": 0}]), "clauses must be a list"),
        (flag(rules=[{"clauses": [{"op": "in", "values": []}]}]), "attribute must be a text"),
        (flag(fallthrough={"variation": True}), "variation must be an integer"),
        ("text", "must be an object"),
        (when(clause("a", "matches", "(?=x)")), "lookaround"),
        (when(clause("a", "matches", r"(a)\1")), "backreference"),
        (when(clause("a", "matches", r"\w")), "letters of any script"),
        (when(clause("a", "matches", r"\bx")), "letters of any script"),
        (when(clause("a", "matches", "x{1001}")), "the pattern"),
        (when(clause("a", "in", [True])), "takes one for the other"),
        (when(clause("a", "lessThan", 10**400)), "too large"),
        (flag(fallthrough=rollout(1, 1, bucketBy="kind")), "by no unit"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name_and_the_rest_comes(
    document: Any, reason: str
) -> None:
    asks = flag(prerequisites=[{"key": "f", "variation": 0}])
    result = imported({"f": document, "asks": asks, "sound": flag()})
    assert list(result.flags) == ["sound"]
    assert [note.flag for note in result.refused] == ["f", "asks"]
    assert reason in result.refused[0].reason
    assert "a prerequisite cannot be carried" in result.refused[1].reason
    assert result.report()["imported"] == 1


def test_big_segments_are_refused_with_all_that_ask_them() -> None:
    outer = {"rules": [{"clauses": [clause("", "segmentMatch", "s")]}]}
    document = when(clause("", "segmentMatch", "outer"))
    result = imported({"f": document, "sound": flag()}, s={"unbounded": True}, outer=outer)
    assert list(result.flags) == ["sound"]
    assert result.segments == {}
    assert [note.flag for note in result.refused] == ["f", "segment outer", "segment s"]
    assert all("big segment" in note.reason for note in result.refused)


def test_a_chain_longer_than_the_engine_follows_is_refused() -> None:
    flags = {"f0": flag()} | {
        f"f{n}": flag(prerequisites=[{"key": f"f{n - 1}", "variation": 0}]) for n in range(1, 60)
    }
    result = imported(flags)
    parse_flag_set(result.flag_set(), strict=True)
    assert 50 <= len(result.flags) < 60
    assert len(result.flags) + len(result.refused) == 60


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"flags": []}, {"flags": {}, "segments": 5}]
)
def test_what_is_no_payload_is_refused_as_a_whole(document: Any) -> None:
    with pytest.raises(ImportFileError):
        convert(document)
