"""Eppo: a Rust core behind a Python client."""

from __future__ import annotations

import json
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, load

DISTRIBUTION = "eppo-server-sdk"


def flag(key: str, case: str, *, log: bool = False) -> dict[str, Any]:
    """Write the flag of a case."""
    everybody = [{"variationKey": "on", "shards": []}]

    def condition(attribute: str, operator: str, value: Any) -> dict[str, Any]:
        return {"attribute": attribute, "operator": operator, "value": value}

    def allocation(number: int, conditions: list[Any], splits: list[Any]) -> dict[str, Any]:
        rules = [{"conditions": conditions}] if conditions else []
        return {"key": f"rule-{number}", "rules": rules, "doLog": log, "splits": splits}

    def split(salt: str, on: int) -> list[Any]:
        ranges = {"on": (0, on), "off": (on, 10_000)}
        return [
            {
                "variationKey": variant,
                "shards": [{"salt": salt, "ranges": [{"start": start, "end": end}]}],
            }
            for variant, (start, end) in ranges.items()
        ]

    off = [{"variationKey": "off", "shards": []}]
    allocations = {
        cases.BOOLEAN: lambda: [allocation(0, [], everybody)],
        cases.ROLLOUT: lambda: [allocation(0, [], split("rollout", 5000))],
        cases.TARGETING: lambda: [
            allocation(
                0,
                [
                    condition("country", "ONE_OF", list(cases.WANTED_COUNTRIES)),
                    condition("email", "MATCHES", "@acme\\.com$"),
                    condition("age", "GTE", 18),
                ],
                split("target", 2000),
            ),
            allocation(1, [], off),
        ],
        cases.RULES: lambda: [
            allocation(number, [condition("group", "ONE_OF", [group])], everybody)
            for number, group in enumerate(cases.GROUPS)
        ],
        cases.MEMBERSHIP: lambda: [
            allocation(0, [condition("id", "ONE_OF", list(cases.MEMBERS))], everybody)
        ],
    }[case]()
    return {
        "key": key,
        "enabled": True,
        "variationType": "BOOLEAN",
        "variations": {
            "on": {"key": "on", "value": True},
            "off": {"key": "off", "value": False},
        },
        "totalShards": 10_000,
        "allocations": allocations,
    }


def document(question: cases.Question) -> str:
    """Write the configuration of a question."""
    kinds = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    flags = [flag("asked", question.kind, log=question.recording)]
    flags += [flag(f"other-{n}", kinds[n % 3]) for n in range(question.filling)]
    return json.dumps(
        {
            "createdAt": "2026-01-01T00:00:00Z",
            "format": "SERVER",
            "environment": {"name": "bench"},
            "flags": {one["key"]: one for one in flags},
        }
    )


def engine(question: cases.Question) -> Engine:
    """Start the SDK with its configuration in memory; a recorded exposure goes into a list."""
    eppo = load("eppo_client")
    recorded: list[Any] = []

    base: Any = eppo.AssignmentLogger

    class Logger(base):  # type: ignore[misc]
        def log_assignment(self, event: Any) -> None:
            recorded.append(event)
            if len(recorded) > 10_000:
                recorded.clear()

    client = eppo.init(
        eppo.ClientConfig(
            api_key="none",
            assignment_logger=Logger(),
            poll_interval_seconds=None,
            initial_configuration=eppo.Configuration(
                flags_configuration=document(question).encode()
            ),
        )
    )
    return Engine(
        client.get_boolean_assignment,
        [("asked", person.unit, person.attributes, False) for person in question.people],
    )
