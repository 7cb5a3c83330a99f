"""Our answers after an import, held against the vendor's own released SDK.

    python benchmarks/differential.py [VENDOR …] [--flags N] [--users M] [--seed S]

For each vendor a random file is made, imported, and evaluated by both for a stream of random users.
Values must be equal, typed (``True`` is not 1), and names of variants wherever the vendor has any.
It needs our SDK (found beside this file) and the vendor's packages, nothing of the service. A
vendor is passed over, with the reason, if what is installed is of another kind: ``flagd`` and
``flagd_v2`` need environments of their own. Exits 1 on a mismatch, 2 if a vendor's packages are
not installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent, HERE.parent / "sdk"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import differences  # noqa: E402

# Whichever name a module uses, there is one NOTHING.
sys.modules.setdefault("benchmarks.differences", differences)

from differences import NOTHING, same  # noqa: E402

from flagstone.engine import compile_flag_set, evaluate, parse_flag_set  # noqa: E402
from flagstone.importers import ImportResult  # noqa: E402

VENDORS = (
    "launchdarkly",
    "unleash",
    "growthbook",
    "flagd",
    "flagd_v2",
    "flagsmith",
    "eppo",
    "posthog",
)
CHUNK = 1000
"""How many users are in memory at once."""
SHOWN = 5
"""How many mismatches are written out for each vendor; all are counted."""

Answer = tuple[Any, str | None]
Ask = Callable[[str, dict[str, Any]], Answer]


@dataclass(slots=True)
class Mismatch:
    """The first disagreement about a flag, and how many there were."""

    context: dict[str, Any]
    count: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of one vendor."""

    vendor: str
    versions: str
    flags: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    users: int = 0
    evaluations: int = 0
    served: int = 0
    seconds: float = 0.0
    mismatches: dict[str, Mismatch] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        """How many answers disagreed."""
        return sum(found.count for found in self.mismatches.values())


def agree(ours: Answer, theirs: Answer) -> bool:
    """Whether the values are equal, and the variants where the vendor names one."""
    return same(ours[0], theirs[0]) and (theirs[1] is None or theirs[1] == ours[1])


def asked(ask: Ask, key: str, context: dict[str, Any]) -> Answer:
    """Return the vendor's answer; what it raises is an answer too, equal to none of ours."""
    try:
        return ask(key, context)
    except Exception as error:  # noqa: BLE001  a vendor that raises must be seen, not end the run
        return f"raised {type(error).__name__}: {error}", "(raised)"


def our_side(imported: ImportResult) -> Ask:
    """Return our evaluation; the answer without a variant is the caller's default.

    What the importer does not call malformed must be sound.
    """
    flag_set = json.loads(json.dumps(imported.flag_set()))
    compiled = compile_flag_set(parse_flag_set(flag_set, strict=False))
    named = {note.flag for note in imported.lossy if note.reason.startswith("malformed")}
    for key in named:
        del flag_set["flags"][key]
    parse_flag_set(flag_set, strict=True)

    def ask(key: str, context: dict[str, Any]) -> Answer:
        details = evaluate(compiled, key, context, time.time())
        return (NOTHING, None) if details.variant is None else (details.value, details.variant)

    return ask


def minimal(ours: Ask, theirs: Ask, key: str, context: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a context all that the disagreement does not need."""
    for name in list(context):
        smaller = {other: value for other, value in context.items() if other != name}
        if not agree(ours(key, smaller), asked(theirs, key, smaller)):
            context = smaller
    return context


def chunks(total: int) -> Iterator[int]:
    while total > 0:
        yield min(CHUNK, total)
        total -= CHUNK


class UnfitError(Exception):
    """What is installed of a vendor is not what is to be compared with."""


def compare(vendor: str, flags: int, users: int, seed: int) -> Outcome:
    """Make a file, import it, and ask both sides the same questions."""
    module = importlib.import_module(f"differences.{vendor}")
    reason = module.unfit() if hasattr(module, "unfit") else None
    if reason is not None:
        raise UnfitError(reason)
    versions = ", ".join(f"{name} {version(name)}" for name in module.PACKAGES)
    outcome = Outcome(vendor, versions)
    rng = random.Random(f"{seed}:{vendor}")
    document = module.document(rng, flags)
    imported = module.convert(document)
    outcome.flags = len(imported.flags)
    outcome.refused.update(note.reason for note in imported.refused)
    ours, theirs = our_side(imported), module.vendor(document)
    began = time.perf_counter()
    for count in chunks(users):
        contexts = module.contexts(rng, count)
        outcome.users += len(contexts)
        for key in imported.flags:
            for context in contexts:
                mine, other = ours(key, context), asked(theirs, key, context)
                outcome.evaluations += 1
                outcome.served += mine[0] is not NOTHING
                if not agree(mine, other):
                    found = outcome.mismatches.setdefault(key, Mismatch(context))
                    found.count += 1
    outcome.seconds = time.perf_counter() - began
    show(outcome)
    for key in list(outcome.mismatches)[:SHOWN]:
        show_mismatch(outcome.mismatches[key], key, ours, theirs, imported)
    return outcome


def show(outcome: Outcome) -> None:
    print(f"\n{outcome.vendor} ({outcome.versions})")
    rows = [
        ("flags imported", outcome.flags),
        ("flags refused", sum(outcome.refused.values())),
        *((f"  {reason}", count) for reason, count in sorted(outcome.refused.items())),
        ("users per flag", outcome.users),
        ("evaluations", outcome.evaluations),
        ("  that gave a value", outcome.served),
        ("mismatches", outcome.wrong),
    ]
    for name, number in rows:
        print(f"  {name[:88]:<88} {number:>12,}")
    print(f"  in {outcome.seconds:.0f} s, both sides together")


def show_mismatch(
    found: Mismatch, key: str, ours: Ask, theirs: Ask, imported: ImportResult
) -> None:
    context = minimal(ours, theirs, key, found.context)
    print(f"\n  MISMATCH {key!r}, {found.count:,} users; the smallest context:")
    print(f"    context {context!r}")
    print(f"    ours    {ours(key, context)!r}")
    print(f"    vendor  {asked(theirs, key, context)!r}")
    print(f"    flag    {json.dumps(imported.flags[key])[:2000]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vendors", nargs="*", metavar="VENDOR", help=f"of {', '.join(VENDORS)}")
    parser.add_argument("--flags", type=int, default=60)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    unknown = set(options.vendors) - set(VENDORS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(VENDORS)}")
    # Vendors warn of every odd flag, at every evaluation.
    logging.disable(logging.CRITICAL)
    print(f"Python {sys.version.split()[0]}, seed {options.seed}")
    outcomes, absent = [], []
    for vendor in options.vendors or VENDORS:
        try:
            outcomes.append(compare(vendor, options.flags, options.users, options.seed))
        except UnfitError as error:
            print(f"\n{vendor}: passed over, {error}")
        except PackageNotFoundError as error:
            absent.append(vendor)
            print(f"\n{vendor}: not compared, {error.name} is not installed")
    wrong = sum(outcome.wrong for outcome in outcomes)
    asked_of_both = sum(outcome.evaluations for outcome in outcomes)
    print(f"\n{asked_of_both:,} evaluations, {wrong:,} mismatches")
    if wrong:
        return 1
    return 2 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
