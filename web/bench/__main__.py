"""``python -m web.bench``: the evaluation benchmark where the service's packages are not installed.

Peers' SDKs may need other versions of them; then two environments are the way out.
"""

from __future__ import annotations

import argparse
import json
import sys

from web.bench.evaluation import bench


def main() -> int:
    """Measure, print, and return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each setting (10)")
    parser.add_argument("--peer", action="append", help="only these peers (all that are installed)")
    parser.add_argument("--full", action="store_true", help="threads, exposures, 1,000 and 10,000")
    parser.add_argument("--json", action="store_true", help="print a document instead of tables")
    given = parser.parse_args()

    def say(text: str) -> None:
        if not given.json:
            print(text, flush=True)  # noqa: T201  a command's output

    report = bench(given.seconds, given.peer, full=given.full, say=say)
    if given.json:
        print(json.dumps(report, indent=2))  # noqa: T201  a command's output
    return 0 if all(goal["met"] for goal in report["goals"]) else 1


if __name__ == "__main__":
    sys.exit(main())
