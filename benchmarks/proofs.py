"""How long a proof takes: an edit of a flag of 20 rules that refers to 3 segments.

``python benchmarks/proofs.py [--flags 40] [--rounds 5]`` makes so many random flags, widens the
last split of each, and prints the median and the longest CPU time of one proof. Exits 1 where the
median is over its limit, or a flag is not decided.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import sys
import time
from typing import Any

from flagstone.engine import FlagSet, Verdict, classify, parse_flag_set

LIMIT_MS = 100.0
RULES = 20
SHARES = 1000, 2000
COUNTRIES = ["de", "at", "ch", "nl", "fr", "es", "it", "pl"]
SEGMENTS = {
    "beta": {
        "any": [
            {"attr": "beta", "op": "in", "values": [True]},
            {"attr": "email", "op": "contains", "values": ["+b"]},
        ]
    },
    "staff": {"attr": "email", "op": "ends_with", "values": ["@acme.com"]},
    "vip": {
        "all": [
            {"attr": "plan", "op": "in", "values": ["max"]},
            {"attr": "age", "op": "gte", "values": [30]},
        ]
    },
}


def a_condition(rng: random.Random) -> dict[str, Any]:
    """Make a condition as people write them."""
    segment = {"segment": rng.choice(sorted(SEGMENTS))}
    attr, op, values = rng.choice(
        [
            ("country", "in", rng.sample(COUNTRIES, 3)),
            ("email", "ends_with", [rng.choice(["@acme.com", "@beta.org"])]),
            ("age", rng.choice(["lt", "gte"]), [rng.choice([18, 30, 65])]),
            ("version", "semver_gte", [rng.choice(["1.2.3", "2.0.0", "3.1"])]),
            (["device", "os"], "in", [rng.choice(["ios", "android"])]),
        ]
    )
    leaf = {"attr": attr, "op": op, "values": values}
    return rng.choice([leaf, leaf, leaf, segment, {"not": segment}])


def edit(seed: int) -> tuple[FlagSet, FlagSet]:
    """Make a flag and the same flag with its last split widened."""
    rng = random.Random(seed)
    rules: list[dict[str, Any]] = []
    for number in range(RULES):
        to = [{"variant": "on", "ranges": [[0, SHARES[0]]]}]
        split = {"split": {"salt": f"r{number}", "to": to}}
        serve = split if number % 3 == 0 else rng.choice(["on", "off"])
        when = {"all": [a_condition(rng) for _ in range(3)]}
        rules.append({"id": f"r{number}", "when": when, "serve": serve})
    variants = {"on": {"value": True}, "off": {"value": False}}
    flag = {"type": "boolean", "variants": variants, "off": "off", "default": "off", "rules": rules}
    document = {"flags": {"flag": flag}, "segments": SEGMENTS}
    before = parse_flag_set(copy.deepcopy(document))
    splits = [rule["serve"] for rule in rules if "split" in rule["serve"]]
    splits[-1]["split"]["to"][0]["ranges"] = [[0, SHARES[1]]]
    return before, parse_flag_set(document)


def main() -> int:
    """Measure, print, and say whether the limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flags", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    milliseconds: list[float] = []
    verdicts: list[Verdict] = []
    for seed in range(options.flags):
        before, after = edit(seed)
        for _ in range(options.rounds):
            started = time.process_time()
            found = classify(before, after)["flag"]
            milliseconds.append((time.process_time() - started) * 1000)
        verdicts.append(found.verdict)
    median = statistics.median(milliseconds)
    proved = sum(verdict in (Verdict.NO_OP, Verdict.ONLY_WIDENS) for verdict in verdicts)
    print(f"widening one of {RULES} rules with {len(SEGMENTS)} segments, CPU time of a proof:")
    print(f"  median {median:.1f} ms (limit {LIMIT_MS:.0f} ms), longest {max(milliseconds):.1f} ms")
    print(f"  {proved} of {len(verdicts)} flags proved to be widened, or not to be changed")
    return 0 if median < LIMIT_MS and proved == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
