"""PostHog: local evaluation of the definitions that a poller would have fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "posthog"


def flag(key: str, case: str) -> dict[str, Any]:
    """Write the flag of a case."""

    def prop(name: str, operator: str, value: Any) -> dict[str, Any]:
        return {"key": name, "type": "person", "operator": operator, "value": value}

    def group(percent: int, *properties: Any) -> dict[str, Any]:
        return {"properties": list(properties), "rollout_percentage": percent}

    groups = {
        cases.BOOLEAN: lambda: [group(100)],
        cases.ROLLOUT: lambda: [group(50)],
        cases.TARGETING: lambda: [
            group(
                20,
                prop("country", "exact", list(cases.WANTED_COUNTRIES)),
                prop("email", "regex", "@acme\\.com$"),
                prop("age", "gte", 18),
            )
        ],
        cases.RULES: lambda: [group(100, prop("group", "exact", [one])) for one in cases.GROUPS],
        cases.MEMBERSHIP: lambda: [group(100, prop("member", "exact", list(cases.MEMBERS)))],
    }[case]()
    return {"id": 1, "key": key, "active": True, "filters": {"groups": groups}, "name": key}


def engine(question: cases.Question) -> Engine:
    """Start the SDK with its definitions in memory."""
    if question.recording:
        raise NotMeasurableError("its events need a connection")
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    flags = [flag("asked", question.kind)]
    flags += [flag(f"other-{n}", others[n % 3]) for n in range(question.filling)]
    client = load("posthog").Posthog("none", host="http://127.0.0.1:9", send=False)
    client.feature_flags = flags
    return Engine(
        _asking(client.get_feature_flag),
        [(person.unit, {**person.attributes, "member": person.unit}) for person in question.people],
        client.shutdown,
    )


def _asking(get: Callable[..., Any]) -> Callable[[str, dict[str, Any]], Any]:
    def ask(unit: str, properties: dict[str, Any]) -> Any:
        return get(
            "asked",
            unit,
            person_properties=properties,
            only_evaluate_locally=True,
            send_feature_flag_events=False,
        )

    return ask
