"""Typed getters and details."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from flagstone import Client, ErrorCode, Reason

GETTERS: dict[str, tuple[str, object]] = {
    "boolean": ("get_boolean", False),
    "string": ("get_string", "fallback"),
    "integer": ("get_integer", -1),
    "float": ("get_float", -1.5),
    "object": ("get_object", {"fallback": True}),
}


@pytest.fixture
def client(service: Any, connect: Callable[..., Client], tools: Any) -> Client:
    service.publish(
        3,
        tools.flag("bool", True),
        tools.flag("text", "new"),
        tools.flag("int", 7),
        tools.flag("whole", 7.0, type="float"),
        tools.flag("half", 7.5),
        tools.flag("obj", {"a": [1, {"b": 2}]}),
        tools.flag("nothing", "x", default=None),
        tools.flag("off", "x", enabled=False),
        {"key": "broken", "variants": 7},
    )
    return connect()


@pytest.mark.parametrize(
    ("flag_key", "given"),
    [
        ("bool", {"boolean": True}),
        ("text", {"string": "new"}),
        ("int", {"integer": 7, "float": 7.0}),
        ("whole", {"integer": 7, "float": 7.0}),
        ("half", {"float": 7.5}),
        ("obj", {"object": {"a": [1, {"b": 2}]}}),
        ("nothing", {}),
        ("off", {}),
        ("broken", {}),
        ("unknown", {}),
    ],
)
def test_each_getter_gives_values_of_its_type_and_else_the_default(
    client: Client, flag_key: str, given: Mapping[str, object]
) -> None:
    for kind, (name, default) in GETTERS.items():
        found = getattr(client, name)(flag_key, {"targetingKey": "u1"}, default)
        expected = given.get(kind, default)
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("flag_key", "kind", "value", "reason", "code"),
    [
        ("bool", "boolean", True, Reason.STATIC, None),
        ("bool", bool, True, Reason.STATIC, None),
        ("int", None, 7, Reason.STATIC, None),
        ("int", "float", 7.0, Reason.STATIC, None),
        ("bool", "integer", "mine", Reason.ERROR, ErrorCode.TYPE_MISMATCH),
        ("half", int, "mine", Reason.ERROR, ErrorCode.TYPE_MISMATCH),
        ("text", "object", "mine", Reason.ERROR, ErrorCode.TYPE_MISMATCH),
        ("off", "string", "mine", Reason.DISABLED, None),
        ("unknown", "string", "mine", Reason.ERROR, ErrorCode.FLAG_NOT_FOUND),
        ("broken", "string", "mine", Reason.ERROR, ErrorCode.PARSE_ERROR),
        ("bool", "no such type", "mine", Reason.ERROR, ErrorCode.GENERAL),
    ],
)
def test_details_say_value_reason_and_error(
    client: Client,
    flag_key: str,
    kind: Any,
    value: object,
    reason: Reason,
    code: ErrorCode | None,
) -> None:
    details = client.get_details(flag_key, {"targetingKey": "u1"}, "mine", kind)
    assert (details.value, details.reason, details.error_code) == (value, reason, code)
    assert details.flag_key == flag_key


class Hostile(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "context", [None, {}, 7, "text", ["list"], {"targetingKey": []}, {7: object()}, Hostile()]
)
@pytest.mark.parametrize("flag_key", ["bool", "obj", None, 7, [], "\ud800"])
def test_no_key_and_no_context_makes_a_getter_raise(
    client: Client, flag_key: Any, context: Any
) -> None:
    for name, default in GETTERS.values():
        getattr(client, name)(flag_key, context, default)
    client.get_details(flag_key, context, None)
    client.track(flag_key, context, context, context)


def test_changing_a_returned_object_changes_nobody_elses(client: Client) -> None:
    for _ in range(2):
        found = client.get_object("obj", {}, {})
        assert found == {"a": [1, {"b": 2}]}
        found["a"][1]["b"] = "spoilt"
        client.get_details("obj", {}, {}).value["a"].clear()


def test_the_clients_context_is_in_every_evaluation_and_callers_win(
    service: Any, connect: Callable[..., Client], tools: Any
) -> None:
    rule = {"id": "eu", "when": {"attr": "region", "op": "in", "values": ["eu"]}, "serve": "yes"}
    variants = {"given": {"value": "no"}, "yes": {"value": "yes"}}
    service.publish(2, tools.flag("f", "no", variants=variants, rules=[rule]))
    client = connect(context={"region": "eu"})
    assert client.get_string("f", None, "?") == "yes"
    assert client.get_string("f", {"other": 1}, "?") == "yes"
    assert client.get_string("f", {"region": "us"}, "?") == "no"
    assert client.get_details("f", None, "?").value == "yes"


def test_before_any_flag_set_the_default_is_given_and_the_details_say_why(
    service: Any, connect: Callable[..., Client]
) -> None:
    service.stop()
    client = connect(start_wait_seconds=0)
    assert client.get_boolean("bool", {}, True) is True
    details = client.get_details("bool", {}, "mine", "boolean")
    assert details.value == "mine"
    assert details.reason is Reason.ERROR
    assert details.error_code is ErrorCode.PROVIDER_NOT_READY
