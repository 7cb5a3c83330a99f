"""Unleash's published client specification: every test and every variant test is a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flagstone.engine import CompiledFlagSet, compile_flag_set, evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.unleash import convert

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "conformance" / "unleash"
NOW = 1_780_000_000.0
CHANCE = "chance decides"


def files() -> dict[str, dict[str, Any]]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    }


def cases() -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{number}-{case['description'].replace(' ', '_')}")
        for name, document in files().items()
        for number, case in enumerate(
            [*document.get("tests", ()), *document.get("variantTests", ())]
        )
    ]


def our_context(context: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in context.items() if name != "properties"}
    if "userId" in fields:
        fields["targetingKey"] = fields.pop("userId")
    return {**fields, **(context.get("properties") or {})}


def payload_value(payload: dict[str, str]) -> Any:
    return float(payload["value"]) if payload["type"] == "number" else payload["value"]


@pytest.fixture(scope="module")
def imported(shared_dir: Path) -> dict[str, ImportResult]:
    return {name: convert(document["state"]) for name, document in files().items()}


@pytest.fixture(scope="module")
def flag_sets(imported: dict[str, ImportResult]) -> dict[str, CompiledFlagSet]:
    return {
        name: compile_flag_set(parse_flag_set(json.loads(json.dumps(result.flag_set()))))
        for name, result in imported.items()
    }


@pytest.mark.parametrize(("name", "case"), cases())
def test_a_published_case_comes_out_as_published(
    flag_sets: dict[str, CompiledFlagSet], name: str, case: dict[str, Any]
) -> None:
    expected = case["expectedResult"]
    key, context = case["toggleName"], our_context(case["context"])
    details = evaluate(flag_sets[name], key, context, NOW)
    if isinstance(expected, bool):
        assert details.on is expected
        return
    assert details.on is expected["feature_enabled"]
    if expected["enabled"]:
        assert details.variant == expected["name"]
        payload = expected.get("payload")
        assert details.value == (True if payload is None else payload_value(payload))
    else:
        # What Unleash calls "disabled" is "enabled" here while the feature is on.
        assert expected["name"] == "disabled"
        assert details.variant in (("enabled",) if details.on else ("disabled", None))


def test_nothing_of_the_published_files_is_refused(imported: dict[str, ImportResult]) -> None:
    refused = [note for result in imported.values() for note in result.refused]
    flags = sum(len(result.flags) for result in imported.values())
    print(f"{flags} flags imported, refused: {refused}")
    assert (flags, refused) == (87, [])


def test_what_is_lossy_of_the_published_files_is_known(imported: dict[str, ImportResult]) -> None:
    notes = [note for result in imported.values() for note in result.lossy]
    assert [(note.flag, note.reason) for note in notes if not note.reason.startswith(CHANCE)] == [
        (
            "F7.invalid-operator",
            "is always off, as it is in Unleash: there is no operator 'NOT_A_VALID_OPERATOR'",
        ),
        (
            "F9.withMissingSegment",
            "is always off, as it is in Unleash: there is no segment 404",
        ),
    ]


def test_all_published_cases_are_counted(shared_dir: Path) -> None:
    assert len(cases()) == 162
