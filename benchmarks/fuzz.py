"""Fuzz the parser, the evaluation, the regex door, the hashes and every importer, at length.

    python benchmarks/fuzz.py [GROUP …] [--examples 100000] [--seed 1] [--chunk 5000]

Runs the properties of ``tests/sdk/engine/test_fuzz_*.py`` and ``tests/sdk/importers/test_fuzz.py``
by pytest, in chunks of their own seed (each in a process of its own, so that memory stays small),
until every group has had so many examples. Prints examples, seconds and failures, and how to see
each failure again. Exits 1 on a failure. ``FLAGSTONE_FUZZ_EXAMPLES`` is set for each chunk.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = "tests/sdk/engine"
IMPORTERS = "tests/sdk/importers/test_fuzz.py"
VENDORS = ("eppo", "flagd", "flagsmith", "growthbook", "launchdarkly", "unleash")


def of_engine(module: str, **shares: float) -> dict[str, float]:
    return {f"{ENGINE}/test_fuzz_{module}.py::test_{name}": part for name, part in shares.items()}


def of_importer(vendor: str) -> dict[str, float]:
    shares = {
        "a_file_of_the_vendors_grammar_is_imported_or_refused_by_name": 0.05,
        "a_damaged_file_is_imported_or_refused": 0.6,
        "any_json_is_imported_or_refused": 0.35,
    }
    return {f"{IMPORTERS}::test_{name}[{vendor}]": part for name, part in shares.items()}


# Which properties a group has, and which part of its examples each one gets.
GROUPS: dict[str, dict[str, float]] = {
    "parser": of_engine(
        "parse",
        a_sound_document_is_read=0.1,
        a_damaged_document_is_read_or_refused=0.4,
        anything_is_read_or_refused=0.15,
        leniently_one_flag_never_takes_another_along=0.1,
        a_damaged_condition_or_flag_is_read_or_refused=0.15,
        any_text_is_read_or_refused=0.05,
        a_text_is_read_as_its_document_is=0.05,
    ),
    "evaluation": of_engine(
        "evaluate",
        sound_flags_answer_alike_by_every_way=0.3,
        programs_answer_plain_data_themselves=0.15,
        any_objects_get_an_answer=0.25,
        what_came_through_damaged_answers_too=0.25,
        nobody_moves_between_a_flag_set_and_itself=0.05,
    ),
    "regex": of_engine(
        "regex",
        any_text_is_a_pattern_of_re2_or_refused=0.6,
        ignoring_case_is_a_flag_of_the_whole=0.2,
        every_search_ends_within_as_many_steps_as_there_are_characters=0.2,
    ),
    "hashes": of_engine(
        "hashes",
        any_value_has_one_bucket_or_none=0.5,
        texts_and_integers_are_units_of_every_hash=0.2,
        a_bucket_lies_in_the_ranges_that_hold_it_by_every_way=0.3,
    ),
    **{vendor: of_importer(vendor) for vendor in VENDORS},
}


@dataclass(slots=True)
class Outcome:
    """What came of one group."""

    examples: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def run(property_id: str, examples: int, seed: int) -> tuple[int, str]:
    """Run one property; return how many examples it tried, and what it failed with."""
    command = [
        sys.executable, "-m", "pytest", property_id, "-q", "--no-header", "--tb=short",
        "-p", "no:cacheprovider", "--timeout=0", "--hypothesis-show-statistics",
        f"--hypothesis-seed={seed}",
    ]  # fmt: skip
    environment = {**os.environ, "FLAGSTONE_FUZZ_EXAMPLES": str(examples)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    counts = re.findall(r"(\d+) passing[a-z ]*, (\d+) failing", done.stdout)
    tried = sum(int(passing) + int(failing) for passing, failing in counts)
    if done.returncode == 0 and tried:
        return tried, ""
    shown = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("E  ")]
    return tried, "\n".join(shown[:30]) or (done.stdout + done.stderr)[-2000:]


def fuzz(group: str, examples: int, seed: int, chunk: int) -> Outcome:
    """Run every property of a group in chunks; one that failed is not run again."""
    outcome, started = Outcome(), time.monotonic()
    for property_id, share in GROUPS[group].items():
        left, number = math.ceil(examples * share), 0
        while left > 0:
            tried, failure = run(property_id, min(left, chunk), seed + number)
            outcome.examples += tried
            if failure:
                again = f"--hypothesis-seed={seed + number}"
                outcome.failures.append(f"{property_id} ({again}, {min(left, chunk)}):\n{failure}")
                break
            left, number = left - tried, number + 1
    outcome.seconds = time.monotonic() - started
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--examples", type=int, default=100_000, help="for each group")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=5_000, help="examples in one process")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    failed = False
    print(f"{'group':14}{'examples':>10}{'seconds':>10}{'failures':>10}", flush=True)
    for group in options.groups or GROUPS:
        outcome = fuzz(group, options.examples, options.seed, options.chunk)
        print(
            f"{group:14}{outcome.examples:>10,}{outcome.seconds:>10.0f}{len(outcome.failures):>10}",
            flush=True,
        )
        for failure in outcome.failures:
            print(failure, flush=True)
        failed = failed or bool(outcome.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
