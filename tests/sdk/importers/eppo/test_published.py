"""Eppo's published test files: every subject is a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flagstone.engine import CompiledFlagSet, compile_flag_set, evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.eppo import convert

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "conformance" / "eppo"
NOW = 1_780_000_000.0
CODE_DEFAULT = "DEFAULT_ALLOCATION_NULL"


def cases() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("tests/*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for number, subject in enumerate(document["subjects"]):
            name = f"{path.stem.removeprefix('test-case-')}-{number}-{subject['subjectKey']}"
            found.append(pytest.param(document, subject, id=name))
    return found


@pytest.fixture(scope="module")
def imported(shared_dir: Path) -> ImportResult:
    return convert(json.loads((FOLDER / "flags-v1.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def flag_set(imported: ImportResult) -> CompiledFlagSet:
    document = json.loads(json.dumps(imported.flag_set()))
    return compile_flag_set(parse_flag_set(document, strict=True))


@pytest.mark.parametrize(("document", "subject"), cases())
def test_a_subject_gets_what_eppo_publishes(
    flag_set: CompiledFlagSet, document: dict[str, Any], subject: dict[str, Any]
) -> None:
    context = {"targetingKey": subject["subjectKey"], **subject["subjectAttributes"]}
    details = evaluate(flag_set, document["flag"], context, NOW)
    served = document["defaultValue"] if details.variant is None else details.value
    assert served == subject["assignment"]
    assert type(served) is type(subject["assignment"])
    assert details.variant == subject["evaluationDetails"]["variationKey"]


def test_nothing_of_the_published_file_is_refused(imported: ImportResult) -> None:
    report = imported.report()
    assert (report["imported"], report["refused"]) == (22, [])


def test_what_is_lossy_of_the_published_file_is_known(imported: ImportResult) -> None:
    assert [(note.flag, note.reason.split(";")[0]) for note in imported.lossy] == [
        ("empty_flag", "it has no variation of its type"),
        ("disabled_flag", "it has no variation of its type"),
        (
            "new-user-onboarding",
            "what a split logs beside the variation (extraLogging) is left behind",
        ),
    ]


def test_all_published_subjects_are_cases(shared_dir: Path) -> None:
    assert len(cases()) == 82
