"""The evaluator's Gherkin files of flagd's testbed: every scenario and every row is a case.

What a step means is written here once; the reader is the one that pytest-bdd brings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler

from flagstone.engine import CompiledFlagSet, compile_flag_set, evaluate, parse_flag_set
from flagstone.engine.details import EvaluationDetails
from flagstone.importers import ImportResult
from flagstone.importers.flagd import convert
from flagstone.values import CONVERTERS, MISMATCH

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "conformance" / "flagd-evaluator"
NOW = 1_780_000_000.0
BROKEN = {
    "ref-to-nonexistent-evaluator-flag": (
        "malformed, answers PARSE_ERROR: targeting always fails: "
        "there is no evaluator 'nonexistent_evaluator'"
    )
}


def scenarios() -> list[dict[str, Any]]:
    found = []
    for path in sorted(FOLDER.glob("*.feature")):
        document = Parser().parse(path.read_text(encoding="utf-8"))
        pickles = Compiler().compile({**document, "uri": path.stem})
        for number, pickle in enumerate(pickles):
            name = f"{path.stem}-{number}-{re.sub('[^a-z0-9]+', '-', pickle['name'].lower())[:60]}"
            tags = {tag["name"].removeprefix("@") for tag in pickle["tags"]}
            found.append({"name": name, "tags": tags, "steps": pickle["steps"]})
    return found


def cases() -> list[Any]:
    """Name each case by hash version; the older float-based hash is not supported at all."""
    found = []
    for scenario in scenarios():
        if "fractional-v1" in scenario["tags"]:
            continue
        versions = ["v2"] if "fractional" in scenario["tags"] else ["v2", "v3"]
        for version in versions:
            found.append(pytest.param(version, scenario, id=f"{version}-{scenario['name']}"))
    return found


@pytest.fixture(scope="module")
def imported(shared_dir: Path) -> dict[str, ImportResult]:
    document = json.loads((FOLDER / "testkit-flags.json").read_text(encoding="utf-8"))
    return {version: convert(document, hash_version=version) for version in ("v2", "v3")}


@pytest.fixture(scope="module")
def compiled(imported: dict[str, ImportResult]) -> dict[str, CompiledFlagSet]:
    return {
        version: compile_flag_set(
            parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=False)
        )
        for version, result in imported.items()
    }


class Asking:
    """One case: what the steps have said so far, and the answer."""

    def __init__(self, flag_set: CompiledFlagSet) -> None:
        self.flag_set = flag_set
        self.kind = self.key = ""
        self.default: Any = None
        self.context: dict[str, Any] = {}
        self.details: EvaluationDetails | None = None
        self.value: Any = None
        self.error: str | None = None

    def flag(self, kind: str, key: str, default: str) -> None:
        self.kind, self.key, self.default = kind, key, read(kind, default)

    def attribute(self, name: str, kind: str, text: str) -> None:
        self.context[name] = read(kind, text)

    def unit(self, text: str) -> None:
        self.context["targetingKey"] = text

    def nested(self, outer: str, inner: str, text: str) -> None:
        self.context[outer] = {inner: text}

    def ask(self) -> None:
        details = self.details = evaluate(self.flag_set, self.key, self.context, NOW)
        self.error = None if details.error_code is None else details.error_code.value
        self.value = self.default
        if details.variant is not None:
            value = CONVERTERS[self.kind.lower()](details.value)
            if value is MISMATCH:
                self.error = "TYPE_MISMATCH"
            else:
                self.value = value

    def has_value(self, text: str) -> None:
        wanted = read(self.kind, text)
        assert self.value == wanted
        assert type(self.value) is type(wanted)

    def has_reason(self, reason: str) -> None:
        assert self.details is not None
        served = str(self.details.reason)
        if served == "SPLIT":
            # flagd does not tell a split from other targeting.
            served = "TARGETING_MATCH"
        if (self.details.rule_id or "").startswith("default-"):
            # The default variant has rules where the caller's default is the last resort.
            served = "DEFAULT"
        assert served == reason

    def has_error(self, code: str) -> None:
        assert self.error == code

    def has_metadata(self, rows: list[list[str]]) -> None:
        assert self.details is not None
        assert self.details.metadata == {name: read(kind, text) for name, kind, text in rows[1:]}

    def has_no_metadata(self) -> None:
        assert self.details is not None
        assert self.details.metadata == {}


READERS: dict[str, Callable[[str], Any]] = {
    "Boolean": lambda text: {"true": True, "false": False}[text],
    "String": str,
    "Integer": int,
    "Float": float,
    "Object": lambda text: json.loads(text.replace('\\"', '"')),
}


def read(kind: str, text: str) -> Any:
    return READERS[kind](text)


STEPS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("an evaluator", lambda asking: None),
    (r'an? (\w+)-flag with key "(.*)" and a fallback value "(.*)"', Asking.flag),
    (
        r'a context containing a key "(.*)", with type "(.*)" and with value "(.*)"',
        Asking.attribute,
    ),
    (r'a context containing a targeting key with value "(.*)"', Asking.unit),
    (
        (
            r'a context containing a nested property with outer key "(.*)" and inner key "(.*)", '
            r'with value "(.*)"'
        ),
        Asking.nested,
    ),
    ("the flag was evaluated with details", Asking.ask),
    (r'the resolved details value should be "(.*)"', Asking.has_value),
    (r'the reason should be "(.*)"', Asking.has_reason),
    (r'the error-code should be "(.*)"', Asking.has_error),
    ("the resolved metadata should contain", Asking.has_metadata),
    ("the resolved metadata is empty", Asking.has_no_metadata),
)


def follow(asking: Asking, step: dict[str, Any]) -> None:
    for pattern, action in STEPS:
        found = re.fullmatch(pattern, step["text"])
        if found is not None:
            rows = step.get("argument", {}).get("dataTable", {}).get("rows")
            table = [[cell["value"] for cell in row["cells"]] for row in rows] if rows else None
            action(asking, *found.groups(), *([table] if table else []))
            return
    raise AssertionError(f"nobody knows the step {step['text']!r}")


@pytest.mark.parametrize(("version", "scenario"), cases())
def test_a_case_gets_what_flagd_publishes(
    compiled: dict[str, CompiledFlagSet], version: str, scenario: dict[str, Any]
) -> None:
    asking = Asking(compiled[version])
    for step in scenario["steps"]:
        follow(asking, step)
    assert asking.details is not None


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_nothing_of_the_published_file_is_refused(
    imported: dict[str, ImportResult], version: str
) -> None:
    report = imported[version].report()
    assert (report["imported"], report["refused"]) == (60, [])
    assert {note["flag"]: note["reason"] for note in report["lossy"]} == BROKEN
    sound = imported[version].flag_set()
    sound["flags"] = {key: flag for key, flag in sound["flags"].items() if key not in BROKEN}
    parse_flag_set(json.loads(json.dumps(sound)), strict=True)


def test_cases_of_the_oldest_hash_are_not_supported_and_counted(
    shared_dir: Path, record_property: Callable[[str, object], None]
) -> None:
    oldest = [each["name"] for each in scenarios() if "fractional-v1" in each["tags"]]
    for name in sorted(set(oldest)):
        record_property("refused", f"@fractional-v1, {name}: the float-based hash is not supported")
    assert len(oldest) == 15
    assert len(scenarios()) == 140
