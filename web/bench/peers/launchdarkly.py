"""LaunchDarkly: the server SDK with its data in memory."""

from __future__ import annotations

from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "launchdarkly-server-sdk"


def flag(key: str, case: str) -> dict[str, Any]:
    """Write the flag of a case."""

    def clause(attribute: str, op: str, *values: Any) -> dict[str, Any]:
        return {"attribute": attribute, "op": op, "values": list(values), "negate": False}

    def rollout(on: int) -> dict[str, Any]:
        weights = [{"variation": 0, "weight": on}, {"variation": 1, "weight": 100_000 - on}]
        return {"variations": weights}

    more: dict[str, Any] = {}
    if case == cases.BOOLEAN:
        more["fallthrough"] = {"variation": 0}
    elif case == cases.ROLLOUT:
        more["fallthrough"] = {"rollout": rollout(50_000)}
    elif case == cases.TARGETING:
        clauses = [
            clause("country", "in", *cases.WANTED_COUNTRIES),
            clause("email", "endsWith", cases.WANTED_ENDING),
            clause("age", "greaterThanOrEqual", 18),
        ]
        more["rules"] = [{"id": "rule-0", "clauses": clauses, "rollout": rollout(20_000)}]
    elif case == cases.RULES:
        more["rules"] = [
            {"id": f"rule-{n}", "variation": 0, "clauses": [clause("group", "in", group)]}
            for n, group in enumerate(cases.GROUPS)
        ]
    else:
        more["targets"] = [{"variation": 0, "values": list(cases.MEMBERS)}]
    return {
        "key": key, "version": 1, "on": True, "variations": [True, False], "offVariation": 1,
        "fallthrough": {"variation": 1}, "targets": [], "rules": [], "prerequisites": [],
        "salt": key, **more,
    }  # fmt: skip


def engine(question: cases.Question) -> Engine:
    """Start the SDK without a connection; contexts are built beforehand."""
    if question.recording:
        raise NotMeasurableError("its events need a connection")
    ldclient = load("ldclient")
    config, store, kinds = (
        load(f"ldclient.{name}") for name in ("config", "feature_store", "versioned_data_kind")
    )
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    flags = [flag("asked", question.kind)]
    flags += [flag(f"other-{n}", others[n % 3]) for n in range(question.filling)]
    memory = store.InMemoryFeatureStore()
    memory.init({kinds.FEATURES: {one["key"]: one for one in flags}, kinds.SEGMENTS: {}})
    settings = config.Config("none", feature_store=memory, use_ldd=True, send_events=False)
    client = ldclient.LDClient(settings)
    contexts = [
        ldclient.Context.from_dict({"kind": "user", "key": person.unit, **person.attributes})
        for person in question.people
    ]
    return Engine(
        client.variation, [("asked", context, False) for context in contexts], client.close
    )
