"""Compare ``stats`` with other programs' numbers.

    python benchmarks/golden.py FOLDER [TOPIC ...]

FOLDER holds one JSON file per topic; its README says what passing means. Every topic of the folder
is listed, also those whose methods are not built yet. The exit status is 1 when a case fails.

``benchmarks/methods`` maps golden methods to our functions; the test suite runs the same mapping.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.methods import TOPICS


@dataclass(frozen=True)
class Mismatch:
    """One value outside its tolerance."""

    key: str
    got: object
    expected: object


def cases(folder: Path, topic: str) -> list[dict[str, Any]]:
    """Read the cases of one topic."""
    loaded: list[dict[str, Any]] = json.loads((folder / f"{topic}.json").read_text())["cases"]
    return loaded


def check(topic: str, case: Mapping[str, Any]) -> tuple[float, list[Mismatch]]:
    """Run one case: worst relative error, and what is outside the case's own tolerance."""
    outputs = TOPICS[topic](case["inputs"])
    worst, mismatches = 0.0, []
    for key, expected in case["expected"].items():
        if key.startswith("gbstats_"):
            continue  # A peer's variant, kept for information.
        got = outputs.get(key)
        pairs = _pairs(got, expected)
        if pairs is None:
            mismatches.append(Mismatch(key, got, expected))
            continue
        for ours, theirs in pairs:
            error, passes = _compare(ours, theirs, case["tolerance"])
            worst = max(worst, error)
            if not passes:
                mismatches.append(Mismatch(key, ours, theirs))
    return worst, mismatches


def _pairs(got: Any, expected: Any) -> list[tuple[Any, Any]] | None:
    """Pair a value, or each element of a list; ``None`` where one of them is missing."""
    if not isinstance(expected, list):
        return None if got is None else [(got, expected)]
    if not isinstance(got, list) or len(got) != len(expected):
        return None
    return list(zip(got, expected, strict=True))


def _compare(got: Any, expected: Any, tolerance: Mapping[str, float]) -> tuple[float, bool]:
    if expected in ("inf", "-inf"):
        expected = float(expected)
        return 0.0, got == expected
    if isinstance(expected, bool | str) or not isinstance(expected, int | float):
        return 0.0, got == expected
    if not isinstance(got, int | float) or math.isnan(got):
        return math.inf, False
    gap = abs(got - expected)
    # Relative to a number within the absolute tolerance of zero, an error says nothing.
    relative = gap / abs(expected) if abs(expected) > tolerance["abs"] else 0.0
    return relative, gap <= tolerance["abs"] or relative <= tolerance["rel"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare stats with other programs' numbers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("topics", nargs="*", help="default: all files of the folder")
    options = parser.parse_args(arguments)
    present = sorted(path.stem for path in options.folder.glob("*.json"))
    unknown = [topic for topic in options.topics if topic not in present]
    if unknown or not present:
        parser.error(
            f"no such topic in {options.folder}: {', '.join(unknown) or 'the folder is empty'}"
        )
    failed, passed, total, missing = False, 0, 0, []
    for topic in options.topics or present:
        if topic not in TOPICS:
            missing.append(topic)
            continue
        results = [(case["id"], *check(topic, case)) for case in cases(options.folder, topic)]
        good = sum(not mismatches for _, _, mismatches in results)
        worst = max((error for _, error, _ in results), default=0.0)
        print(f"{topic:<20} {good:>3}/{len(results):<3} worst relative error {worst:.1e}")
        for name, _, mismatches in results:
            for wrong in mismatches[:5]:
                print(f"    {name} {wrong.key}: got {wrong.got}, expected {wrong.expected}")
        passed, total = passed + good, total + len(results)
        failed = failed or good < len(results)
    for topic in missing:
        print(f"{topic:<20} not built yet")
    print(f"{passed} of {total} cases pass; {len(missing)} topics are not built yet")
    return 1 if failed or (options.topics and missing) else 0


if __name__ == "__main__":
    sys.exit(main())
