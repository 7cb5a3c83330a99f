"""flagd: its OpenFeature provider, evaluating in process from a file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "openfeature-provider-flagd"


def flag(case: str) -> dict[str, Any]:
    """Write the flag of a case."""

    def var(name: str) -> dict[str, Any]:
        return {"var": name}

    split = {"fractional": [["on", 20], ["off", 80]]}
    writers: dict[str, Callable[[], Any]] = {
        cases.BOOLEAN: dict,
        cases.ROLLOUT: lambda: {"fractional": [["on", 50], ["off", 50]]},
        cases.TARGETING: lambda: {
            "if": [
                {
                    "and": [
                        {"in": [var("country"), list(cases.WANTED_COUNTRIES)]},
                        {"ends_with": [var("email"), cases.WANTED_ENDING]},
                        {">=": [var("age"), 18]},
                    ]
                },
                split,
                "off",
            ]
        },
        cases.RULES: lambda: {
            "if": [part for group in cases.GROUPS for part in ({"==": [var("group"), group]}, "on")]
            + ["off"]
        },
        cases.MEMBERSHIP: lambda: {
            "if": [{"in": [var("targetingKey"), list(cases.MEMBERS)]}, "on", "off"]
        },
    }
    return {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "on" if case == cases.BOOLEAN else "off",
        "targeting": writers[case](),
    }


def engine(question: cases.Question) -> Engine:
    """Start the provider offline and ask through OpenFeature's client, its only documented way."""
    if question.recording:
        raise NotMeasurableError("it has no exposures")
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    flags = {"asked": flag(question.kind)}
    flags |= {f"other-{n}": flag(others[n % 3]) for n in range(question.filling)}
    folder = tempfile.TemporaryDirectory(prefix="flagstone-bench-")
    path = Path(folder.name) / "flags.json"
    path.write_text(json.dumps({"flags": flags}), "utf-8")
    api = load("openfeature.api")
    flagd = load("openfeature.contrib.provider.flagd")
    config = load("openfeature.contrib.provider.flagd.config")
    provider = flagd.FlagdProvider(
        resolver_type=config.ResolverType.FILE, offline_flag_source_path=str(path)
    )
    api.set_provider_and_wait(provider)
    context_of = load("openfeature.evaluation_context").EvaluationContext

    def close() -> None:
        api.shutdown()
        folder.cleanup()

    return Engine(
        api.get_client().get_boolean_value,
        [("asked", False, context_of(one.unit, one.attributes)) for one in question.people],
        close,
    )
