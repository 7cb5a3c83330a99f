"""Flagsmith: local evaluation, which evaluates every flag of the environment at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "flagsmith"
NOW = "2026-01-01T00:00:00+00:00"


def _state(number: int, *, enabled: bool) -> dict[str, Any]:
    return {
        "feature": {"id": number, "name": "asked", "type": "STANDARD"},
        "enabled": enabled,
        "django_id": number,
        "feature_segment": None,
        "featurestate_uuid": f"00000000-0000-4000-8000-{number:012d}",
        "feature_state_value": None,
        "multivariate_feature_state_values": [],
    }


def environment(case: str) -> dict[str, Any]:
    """Write the environment document of a case."""

    def condition(name: str | None, operator: str, value: Any) -> dict[str, Any]:
        return {"property_": name, "operator": operator, "value": value}

    def segment(number: int, *conditions: Any) -> dict[str, Any]:
        return {
            "id": number,
            "name": f"segment-{number}",
            "rules": [
                {
                    "type": "ALL",
                    "conditions": [],
                    "rules": [{"type": "ALL", "rules": [], "conditions": list(conditions)}],
                }
            ],
            "feature_states": [_state(1, enabled=True)],
        }

    if case == cases.BOOLEAN:
        segments = []
    elif case == cases.ROLLOUT:
        segments = [segment(1, condition(None, "PERCENTAGE_SPLIT", "50"))]
    elif case == cases.TARGETING:
        segments = [
            segment(
                1,
                condition("country", "IN", ",".join(cases.WANTED_COUNTRIES)),
                condition("email", "REGEX", ".*@acme\\.com$"),
                condition("age", "GREATER_THAN_INCLUSIVE", "18"),
                condition(None, "PERCENTAGE_SPLIT", "20"),
            )
        ]
    elif case == cases.RULES:
        segments = [
            segment(n, condition("group", "EQUAL", group)) for n, group in enumerate(cases.GROUPS)
        ]
    else:
        segments = [segment(1, condition("member", "IN", ",".join(cases.MEMBERS)))]
    return {
        "id": 1,
        "api_key": "bench",
        "name": "bench",
        "project": {
            "id": 1,
            "name": "bench",
            "organisation": {
                "id": 1,
                "name": "bench",
                "feature_analytics": False,
                "stop_serving_flags": False,
                "persist_trait_data": False,
            },
            "hide_disabled_flags": False,
            "segments": segments,
            "enable_realtime_updates": False,
            "server_key_only_feature_ids": [],
        },
        "feature_states": [_state(1, enabled=case == cases.BOOLEAN)],
        "identity_overrides": [],
        "updated_at": NOW,
        "use_identity_composite_key_for_hashing": True,
        "hide_sensitive_data": False,
    }


def engine(question: cases.Question) -> Engine:
    """Start the SDK offline; each call gives an identity and its traits, and reads one flag."""
    if question.recording:
        raise NotMeasurableError("it has no exposures")
    if question.filling:
        raise NotMeasurableError("each call evaluates every flag: a question for one flag alone")
    flagsmith = load("flagsmith")

    class Handler(load("flagsmith.offline_handlers").BaseOfflineHandler):  # type: ignore[misc]
        def get_environment(self) -> Any:
            return environment(question.kind)

    client = flagsmith.Flagsmith(offline_mode=True, offline_handler=Handler())
    return Engine(
        _asking(client.get_identity_flags),
        [(person.unit, {**person.attributes, "member": person.unit}) for person in question.people],
    )


def _asking(flags_of: Callable[..., Any]) -> Callable[[str, dict[str, Any]], Any]:
    def ask(unit: str, traits: dict[str, Any]) -> Any:
        return flags_of(unit, traits).is_feature_enabled("asked")

    return ask
