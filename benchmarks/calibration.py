"""Try by simulation what the decision engine promises.

    python benchmarks/calibration.py [ID ...] [--replicas N] [--seed S]

Simulates every line of STATISTICS.md 4 (or those named), with fixed seeds and the document's number
of replicas, and prints each target beside what was found, its Monte Carlo standard error, and what
gbstats' sequential test makes of the same data where it can be asked and is installed. Fewer
replicas widen every limit by three standard errors. The exit status is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

from benchmarks.calibrations import LINES, Finding
from benchmarks.calibrations.line import shown
from benchmarks.calibrations.peer import GbStats

SEED = 20_240


def limits(finding: Finding) -> str:
    """Write what must be found."""
    low, high = (_limit(limit) for limit in (finding.at_least, finding.at_most))
    # A share is never below 0 or above 1: such a limit says nothing.
    if finding.at_least <= 0:
        return f"≤ {high}"
    return f"{low} … {high}" if math.isfinite(finding.at_most) else f"≥ {low}"


def _limit(limit: float) -> str:
    return f"{limit:,.0f}" if abs(limit) >= 100 else f"{limit:.4f}".rstrip("0").rstrip(".")


def row(name: str, finding: Finding) -> str:
    """Write one finding beside its target."""
    answer = "ok" if finding.ok else "MISSED"
    peer = f"gbstats {finding.peer}" if finding.peer else ""
    return (
        f"{name:<4}{finding.what:<56} {limits(finding):>15}  "
        f"{shown(finding.value, finding.se):>17}  {answer:<6}  {peer}"
    ).rstrip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Try by simulation what the engine promises.")
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"default: all of {', '.join(LINES)}")
    parser.add_argument("--replicas", type=int, help="at most so many; default: the document's")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.ids if name not in LINES]
    if unknown or (options.replicas is not None and options.replicas < 2):
        parser.error(f"no such line: {', '.join(unknown)}" if unknown else "too few replicas")
    gbstats = GbStats.installed()
    if gbstats is None:
        print("gbstats is not installed: nothing is shown beside ours")
    else:
        print(f"gbstats {gbstats.version}: sequential test, two-sided 0.05, default tuning")
    missed, findings = 0, 0
    for name in options.ids or LINES:
        line, start = LINES[name], time.process_time()
        print(f"\n{name:<4}{line.what}", flush=True)
        for finding in line.run(options.replicas, options.seed, gbstats):
            print(row("", finding), flush=True)
            missed, findings = missed + (not finding.ok), findings + 1
        print(f"    {time.process_time() - start:.1f} s", flush=True)
    if gbstats is not None:
        print(f"\n{gbstats.checked} looks were checked against gbstats' own answers")
    print(f"{findings - missed} of {findings} targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
