"""Unleash: a Rust engine behind a Python client, started from a bootstrap."""

from __future__ import annotations

from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "UnleashClient"


def feature(key: str, case: str) -> dict[str, Any]:
    """Write the feature of a case."""

    def constraint(name: str, operator: str, **more: Any) -> dict[str, Any]:
        return {"contextName": name, "operator": operator, "inverted": False, **more}

    def rollout(percent: int, *constraints: Any) -> dict[str, Any]:
        parameters = {"rollout": str(percent), "stickiness": "userId", "groupId": key}
        return {
            "name": "flexibleRollout",
            "parameters": parameters,
            "constraints": list(constraints),
        }

    if case == cases.BOOLEAN:
        strategies = [{"name": "default", "parameters": {}, "constraints": []}]
    elif case == cases.ROLLOUT:
        strategies = [rollout(50)]
    elif case == cases.TARGETING:
        three = [
            constraint("country", "IN", values=list(cases.WANTED_COUNTRIES)),
            constraint("email", "STR_ENDS_WITH", values=[cases.WANTED_ENDING]),
            constraint("age", "NUM_GTE", value="18"),
        ]
        strategies = [rollout(20, *three)]
    elif case == cases.RULES:
        strategies = [
            rollout(100, constraint("group", "IN", values=[group])) for group in cases.GROUPS
        ]
    else:
        users = {"userIds": ",".join(cases.MEMBERS)}
        strategies = [{"name": "userWithId", "parameters": users, "constraints": []}]
    return {"name": key, "enabled": True, "strategies": strategies, "variants": []}


def engine(question: cases.Question) -> Engine:
    """Start the SDK with its features in memory, no metrics and no connection."""
    if question.recording:
        raise NotMeasurableError("it has no exposures, only counts")
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    features = [feature("asked", question.kind)]
    features += [feature(f"other-{n}", others[n % 3]) for n in range(question.filling)]
    cache = load("UnleashClient.cache").FileCache(f"flagstone-bench-{id(question)}")
    cache.bootstrap_from_dict({"version": 2, "features": features})
    client = load("UnleashClient").UnleashClient(
        url="http://127.0.0.1:9",
        app_name="bench",
        cache=cache,
        disable_metrics=True,
        disable_registration=True,
        refresh_interval=86_400,
        multiple_instance_mode=load("UnleashClient.utils").InstanceAllowType.SILENTLY_ALLOW,
    )
    client.initialize_client(fetch_toggles=False)
    return Engine(
        client.is_enabled,
        [
            (
                "asked",
                {
                    "userId": person.unit,
                    "properties": {name: str(value) for name, value in person.attributes.items()},
                },
            )
            for person in question.people
        ],
        client.destroy,
    )
