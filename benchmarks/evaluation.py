"""Nanoseconds of one evaluation, beside a peer's in the same run.

    python benchmarks/evaluation.py [--seconds S] [--json FILE]

Five cases, and a sixth that one look-up cannot answer. Rounds of both engines take turns, so that
what disturbs the machine disturbs both. The peer is ``launchdarkly-server-sdk`` with its data in
memory: no connection, no events, contexts built beforehand (ours are plain dicts, which need no
building). Without it only our own figures are printed. Garbage collection stays on.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flagstone.engine import compile_flag_set, parse_flag_set

NOW = 1_780_000_000.0
CONTEXTS = 512
ROUNDS = 15
COUNTRIES = ["de", "at", "ch", "fr", "it", "es", "pt", "nl", "be", "lu"]

Ask = Callable[[], None]


def people() -> list[dict[str, Any]]:
    """Contexts as an application has them; every case finds what it looks for in all of them."""
    return [
        {
            "targetingKey": f"user-{number:06d}",
            "email": f"user{number}@acme.com",
            "country": COUNTRIES[number % 3],
            "plan": "pro",
            "age": 20 + number % 50,
            "group": "group-19",
            **{f"attribute{n}": "yes" if n == 19 else "no" for n in range(20)},
        }
        for number in range(CONTEXTS)
    ]


def leaf(attr: str, op: str, *values: Any) -> dict[str, Any]:
    return {"attr": attr, "op": op, "values": list(values)}


def split(salt: str, on: int) -> dict[str, Any]:
    to = [{"variant": "on", "ranges": [[0, on]]}, {"variant": "off", "ranges": [[on, 10_000]]}]
    return {"split": {"salt": salt, "to": to}}


def our_flags() -> dict[str, Any]:
    def flag(**more: Any) -> dict[str, Any]:
        variants = {"on": {"value": True}, "off": {"value": False}}
        return {"type": "boolean", "variants": variants, "off": "off", "default": "off", **more}

    def rule(number: int, when: Any, serve: Any = "on") -> dict[str, Any]:
        return {"id": f"rule-{number}", "when": when, "serve": serve}

    three = [
        leaf("country", "in", "de", "at", "ch"),
        leaf("email", "ends_with", "@acme.com"),
        leaf("age", "gte", 18),
    ]
    members = [f"user-{number:06d}" for number in range(10_000)]
    groups = [rule(n, leaf("group", "in", f"group-{n}")) for n in range(20)]
    many = [rule(n, leaf(f"attribute{n}", "in", "yes")) for n in range(20)]
    return {
        "plain boolean": flag(default="on"),
        "50/50 rollout": flag(rules=[rule(0, True, split("rollout", 5000))]),
        "3 conditions, 20 % split": flag(rules=[rule(0, {"all": three}, split("target", 2000))]),
        "20 rules, last matches": flag(rules=groups),
        "membership of 10,000": flag(targets=[{"variant": "on", "keys": members}]),
        "20 rules, 20 attributes": flag(rules=many),
    }


def ours(flags: dict[str, Any]) -> dict[str, Ask]:
    compiled = compile_flag_set(parse_flag_set({"flags": flags}))
    evaluate, contexts = compiled.evaluate, people()

    def asking(key: str) -> Ask:
        def ask() -> None:
            for context in contexts:
                evaluate(key, context, NOW)

        assert evaluate(key, contexts[0], NOW).error_code is None
        return ask

    return {key: asking(key) for key in flags}


def peer_flags() -> dict[str, Any]:
    def flag(key: str, **more: Any) -> dict[str, Any]:
        return {
            "key": key, "version": 1, "on": True, "variations": [True, False], "offVariation": 1,
            "fallthrough": {"variation": 1}, "targets": [], "rules": [], "prerequisites": [],
            "salt": key, **more,
        }  # fmt: skip

    def clause(attribute: str, op: str, *values: Any) -> dict[str, Any]:
        return {"attribute": attribute, "op": op, "values": list(values), "negate": False}

    def rollout(on: int) -> dict[str, Any]:
        return {
            "variations": [
                {"variation": 0, "weight": on},
                {"variation": 1, "weight": 100_000 - on},
            ]
        }

    three = [
        clause("country", "in", "de", "at", "ch"),
        clause("email", "endsWith", "@acme.com"),
        clause("age", "greaterThanOrEqual", 18),
    ]
    members = [f"user-{number:06d}" for number in range(10_000)]
    groups = [
        {"id": f"rule-{n}", "variation": 0, "clauses": [clause("group", "in", f"group-{n}")]}
        for n in range(20)
    ]
    many = [
        {"id": f"rule-{n}", "variation": 0, "clauses": [clause(f"attribute{n}", "in", "yes")]}
        for n in range(20)
    ]
    flags = [
        flag("plain boolean", fallthrough={"variation": 0}),
        flag("50/50 rollout", fallthrough={"rollout": rollout(50_000)}),
        flag(
            "3 conditions, 20 % split",
            rules=[{"id": "rule-0", "clauses": three, "rollout": rollout(20_000)}],
        ),
        flag("20 rules, last matches", rules=groups),
        flag("membership of 10,000", targets=[{"variation": 0, "values": members}]),
        flag("20 rules, 20 attributes", rules=many),
    ]
    return {one["key"]: one for one in flags}


def peer() -> tuple[str, dict[str, Ask]] | None:
    try:
        import ldclient
        from ldclient.config import Config
        from ldclient.feature_store import InMemoryFeatureStore
        from ldclient.versioned_data_kind import FEATURES, SEGMENTS
    except ImportError:
        return None
    flags = peer_flags()
    store = InMemoryFeatureStore()
    store.init({FEATURES: flags, SEGMENTS: {}})
    client = ldclient.LDClient(Config("none", feature_store=store, use_ldd=True, send_events=False))
    contexts = [
        ldclient.Context.from_dict(
            {"kind": "user", "key": person["targetingKey"]}
            | {name: value for name, value in person.items() if name != "targetingKey"}
        )
        for person in people()
    ]
    evaluate = client.variation_detail

    def asking(key: str) -> Ask:
        def ask() -> None:
            for context in contexts:
                evaluate(key, context, False)

        assert evaluate(key, contexts[0], False).reason["kind"] != "ERROR"
        return ask

    return f"launchdarkly-server-sdk {ldclient.__version__}", {key: asking(key) for key in flags}


def measure(asks: list[dict[str, Ask]], seconds: float) -> list[dict[str, list[float]]]:
    """Return nanoseconds of one evaluation, by engine, case and round."""
    cases = list(asks[0])
    share = seconds / (len(cases) * len(asks) * ROUNDS)
    repeats: list[dict[str, int]] = []
    for engine in asks:
        counts = {}
        for case in cases:
            engine[case]()
            started = time.perf_counter()
            engine[case]()
            counts[case] = max(1, round(share / (time.perf_counter() - started)))
        repeats.append(counts)
    figures: list[dict[str, list[float]]] = [{case: [] for case in cases} for _ in asks]
    for _ in range(ROUNDS):
        for case in cases:
            for index, engine in enumerate(asks):
                ask, count = engine[case], repeats[index][case]
                started = time.perf_counter_ns()
                for _ in range(count):
                    ask()
                spent = time.perf_counter_ns() - started
                figures[index][case].append(spent / (count * CONTEXTS))
    return figures


def thousand() -> dict[str, Any]:
    flags = our_flags()
    kinds = ["plain boolean", "50/50 rollout", "3 conditions, 20 % split"]
    return {"flags": {f"flag-{n}": flags[kinds[n % 3]] for n in range(1000)}}


def preparation() -> dict[str, float]:
    """Return what a set of 1,000 flags costs before and at its first evaluations."""
    text = json.dumps(thousand())
    reading, first = [], []
    for _ in range(5):
        started = time.process_time()
        flag_set = parse_flag_set(text, strict=False)
        reading.append(time.process_time() - started)
        compiled = compile_flag_set(flag_set)
        started = time.process_time()
        for key in flag_set.flags:
            compiled.evaluate(key, {"targetingKey": "u"}, NOW)
        first.append(time.process_time() - started)
    tracemalloc.start()
    held = compile_flag_set(parse_flag_set(text, strict=False))
    for key in held.flag_keys:
        held.evaluate(key, {"targetingKey": "u"}, NOW)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {
        "parse_ms": 1e3 * statistics.median(reading),
        "first_evaluation_us": 1e3 * statistics.median(first),
        "bytes_per_flag": size / 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="time to measure (20)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    engines = [("flagstone", ours(our_flags()))]
    other = peer()
    if other is not None:
        engines.append(other)
    figures = measure([asks for _, asks in engines], arguments.seconds)
    print(f"Python {platform.python_version()} on {platform.machine()}, one thread;")
    print(f"median of {ROUNDS} rounds in turn, nanoseconds per evaluation (quartiles)\n")
    report: dict[str, Any] = {}
    print("  ".join(f"{name:>32}" for name in ["case", *(name for name, _ in engines), "ratio"]))
    for case in figures[0]:
        medians = [statistics.median(engine[case]) for engine in figures]
        cells = [f"{case:>32}"]
        for engine, median in zip(figures, medians, strict=True):
            low, _, high = statistics.quantiles(engine[case], n=4)
            cells.append(f"{f'{median:,.0f} ({low:,.0f} to {high:,.0f})':>32}")
        ratios = [
            second / first
            for first, second in zip(figures[0][case], figures[-1][case], strict=True)
        ]
        cells.append(f"{f'{statistics.median(ratios):.1f} times' if other else '-':>32}")
        report[case] = {
            name: median for (name, _), median in zip(engines, medians, strict=True)
        } | ({"ratio": statistics.median(ratios)} if other else {})
        print("  ".join(cells))
    if other is None:
        print("\nno peer: install the dependency group 'bench' to compare", file=sys.stderr)
    costs = preparation()
    print(
        f"\n1,000 flags: read in {costs['parse_ms']:.0f} ms of CPU; the first evaluation of a flag "
        f"{costs['first_evaluation_us']:.0f} µs; {costs['bytes_per_flag']:,.0f} bytes per flag"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({**report, "preparation": costs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
