"""Statsig: a Rust core behind a Python client, fed from a data store of ours."""

from __future__ import annotations

import json
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "statsig-python-core"


class _Writer:
    """Writes gates; conditions stand once, by name, as the SDK wants them."""

    def __init__(self) -> None:
        self.conditions: dict[str, Any] = {
            "everybody": {
                "type": "public", "targetValue": None, "operator": None, "field": None,
                "additionalValues": {}, "isDeviceBased": False, "idType": "userID",
            }
        }  # fmt: skip

    def condition(self, field: str, operator: str, target: Any, kind: str = "user_field") -> str:
        name = f"condition-{len(self.conditions)}"
        self.conditions[name] = {
            "type": kind, "targetValue": target, "operator": operator, "field": field,
            "additionalValues": {}, "isDeviceBased": False, "idType": "userID",
        }  # fmt: skip
        return name

    def gate(self, key: str, case: str) -> dict[str, Any]:
        def rule(number: int, percent: float, *conditions: str) -> dict[str, Any]:
            name = f"{key}-{number}"
            return {
                "name": name, "groupName": name, "passPercentage": percent, "id": name,
                "conditions": list(conditions), "returnValue": True, "salt": name,
                "isDeviceBased": False, "idType": "userID",
            }  # fmt: skip

        if case == cases.BOOLEAN:
            rules = [rule(0, 100, "everybody")]
        elif case == cases.ROLLOUT:
            rules = [rule(0, 50, "everybody")]
        elif case == cases.TARGETING:
            three = (
                self.condition("country", "any", list(cases.WANTED_COUNTRIES)),
                self.condition("email", "str_ends_with_any", [cases.WANTED_ENDING]),
                self.condition("age", "gte", 18),
            )
            rules = [rule(0, 20, *three)]
        elif case == cases.RULES:
            rules = [
                rule(n, 100, self.condition("group", "any", [group]))
                for n, group in enumerate(cases.GROUPS)
            ]
        else:
            rules = [rule(0, 100, self.condition("userID", "any", list(cases.MEMBERS)))]
        return {
            "name": key, "type": "feature_gate", "salt": key, "enabled": True,
            "defaultValue": False, "rules": rules, "isDeviceBased": False, "idType": "userID",
            "entity": "feature_gate", "version": 1,
        }  # fmt: skip


def document(question: cases.Question) -> str:
    """Write the configuration of a question."""
    writer = _Writer()
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    gates = {"asked": writer.gate("asked", question.kind)}
    for number in range(question.filling):
        key = f"other-{number}"
        gates[key] = writer.gate(key, others[number % 3])
    return json.dumps(
        {
            "feature_gates": gates, "dynamic_configs": {}, "layer_configs": {}, "layers": {},
            "condition_map": writer.conditions, "id_lists": {}, "has_updates": True,
            "time": 1_767_225_600_000, "experiment_to_layer": {}, "sdk_configs": {},
            "sdk_keys_to_app_ids": {}, "hashed_sdk_keys_to_app_ids": {}, "diagnostics": {},
            "param_stores": {}, "company_id": "bench", "response_format": "dcs-v2",
        }
    )  # fmt: skip


def engine(question: cases.Question) -> Engine:
    """Start the SDK offline; users are built beforehand."""
    if question.recording:
        raise NotMeasurableError("its events need a connection")
    statsig = load("statsig_python_core")
    text = document(question)
    response = load("statsig_python_core.data_store").DataStoreResponse

    base: Any = statsig.DataStore

    class Store(base):  # type: ignore[misc]
        def get(self, key: str) -> Any:  # noqa: ARG002  the SDK's signature
            return response(text, 1_767_225_600_000)

    options = statsig.StatsigOptions(
        data_store=Store(), disable_network=True, disable_all_logging=True, output_log_level="none"
    )
    client = statsig.Statsig("secret-none", options)
    client.initialize().wait()
    silent = statsig.FeatureGateEvaluationOptions(disable_exposure_logging=True)
    users = []
    for person in question.people:
        known = {name: person.attributes[name] for name in ("email", "country")}
        custom = {n: value for n, value in person.attributes.items() if n not in known}
        users.append(statsig.StatsigUser(user_id=person.unit, custom=custom, **known))
    return Engine(
        client.check_gate,
        [(user, "asked", silent) for user in users],
        lambda: client.shutdown().wait(),
    )
