"""LaunchDarkly's published cases: after import, every answer is the published one."""

from __future__ import annotations

from pathlib import Path

import pytest

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers.launchdarkly import convert
from tests.sdk.importers.launchdarkly.published import Case, read_cases

NOW = 1_780_000_000.0
PUBLISHED = Path(__file__).resolve().parents[5] / "shared" / "conformance" / "launchdarkly"
REFUSED: dict[str, str] = {}
"""Published flags that cannot be carried, with the reason: none."""

CASES: list[Case] = list(read_cases(PUBLISHED))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no published cases beside the checkout")
def test_the_published_cases_are_there() -> None:
    assert len(CASES) == 115


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_the_imported_flag_answers_as_published(case: Case) -> None:
    result = convert(case.document)
    assert case.flag in result.flags
    details = evaluate(
        parse_flag_set(result.flag_set(), strict=False), case.flag, case.context, NOW
    )
    expected, reason = case.expected, case.expected["reason"]
    if reason["kind"] == "ERROR":
        assert details.error_code == "PARSE_ERROR"
        assert (details.variant, details.value) == (None, None)
        return
    assert details.error_code is None
    assert (type(details.value), details.value) == (type(expected["value"]), expected["value"])
    assert details.variant == str(expected["variationIndex"])
    assert details.track == reason.get("inExperiment", False)
    if reason["kind"] == "PREREQUISITE_FAILED":
        assert details.reason == "DISABLED"
        assert details.metadata["prerequisite"] == reason["prerequisiteKey"]
    elif reason["kind"] == "OFF":
        assert details.reason == "DISABLED"
    elif reason["kind"] == "RULE_MATCH":
        assert details.rule_id.removesuffix(":untracked") == reason["ruleId"]
    else:
        assert reason["kind"] == "FALLTHROUGH"
        assert details.rule_id in (None, "fallthrough", "fallthrough:untracked")


def test_only_these_published_flags_are_refused() -> None:
    refused = {note.flag: note.reason for case in CASES for note in convert(case.document).refused}
    assert refused == REFUSED
