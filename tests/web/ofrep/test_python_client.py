"""openfeature-provider-ofrep from PyPI against a real service."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from tests.web.ofrep.cases import CASES, FLAGS, FREE, LEFT_TO_CALLER, PRO, SET_ID, Case, flag

GETTERS = {
    "boolean": OpenFeatureClient.get_boolean_details,
    "string": OpenFeatureClient.get_string_details,
    "integer": OpenFeatureClient.get_integer_details,
    "float": OpenFeatureClient.get_float_details,
    "object": OpenFeatureClient.get_object_details,
}
# One of Python's own: there, an integer is no float and a float no integer.
NUMBERS = [
    Case("an integer for a float", "integer", "float", -1.5, -1.5, None, "ERROR", "TYPE_MISMATCH"),
    Case(
        "an integral float for an integer",
        "float-integral",
        "integer",
        -1,
        -1,
        None,
        "ERROR",
        "TYPE_MISMATCH",
    ),
]


@pytest.fixture
def connect() -> Iterator[Callable[[str, str], OpenFeatureClient]]:
    """Make a client of a service, as an application would."""

    def make(url: str, key: str) -> OpenFeatureClient:
        headers = {"Authorization": f"Bearer {key}"}
        api.set_provider(OFREPProvider(url, headers_factory=lambda: headers), "ofrep")
        return api.get_client("ofrep")

    yield make
    api.clear_providers()


def ask(client: OpenFeatureClient, case: Case, **changes: Any) -> Any:
    context = {**case.context, **changes}
    unit = context.pop("targetingKey", None)
    return GETTERS[case.kind](  # type: ignore[operator]
        client, case.flag, case.default, EvaluationContext(unit, context)
    )


@pytest.mark.parametrize("case", [*CASES, *LEFT_TO_CALLER, *NUMBERS], ids=lambda case: case.name)
def test_the_client_shows_its_application(
    case: Case, shared_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    for key in (shared_world.server_key, shared_world.client_key):
        details = ask(connect(shared_world.url, key), case)
        assert (details.value, type(details.value)) == (case.value, type(case.value))
        assert details.error_code == case.error
        assert details.reason == case.reason
        if case.error is None:
            assert details.variant == case.variant
            metadata = {**FLAGS[case.flag]["metadata"], "version": 3, "flagSetId": SET_ID}
            assert metadata.items() <= details.flag_metadata.items()


def test_an_attribute_that_changes_under_the_same_targeting_key_counts(
    shared_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    client = connect(shared_world.url, shared_world.server_key)
    case = next(case for case in CASES if case.context is PRO)
    assert [ask(client, case, **c).value for c in (PRO, FREE, PRO)] == ["p", "r", "p"]


def test_units_of_a_split_keep_their_variant(
    shared_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    client = connect(shared_world.url, shared_world.server_key)
    case = Case("", "split", "string", "?", None)
    rounds = [[ask(client, case, targetingKey=f"u{n}").value for n in range(12)] for _ in range(2)]
    assert rounds[0] == rounds[1]
    assert set(rounds[0]) == {"A", "B"}


def test_a_targeting_key_that_is_no_text_is_an_invalid_context(
    shared_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    client = connect(shared_world.url, shared_world.server_key)
    context = EvaluationContext(None, {"targetingKey": True})
    details = client.get_string_details("targeted", "mine", context)
    assert (details.value, details.error_code) == ("mine", "INVALID_CONTEXT")


def test_a_client_key_does_not_learn_of_a_hidden_flag(
    shared_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    hidden = Case("", "server-only", "boolean", False, None)
    details = ask(connect(shared_world.url, shared_world.client_key), hidden)
    assert (details.value, details.error_code) == (False, "FLAG_NOT_FOUND")
    details = ask(connect(shared_world.url, shared_world.server_key), hidden)
    assert (details.value, details.error_code) == (True, None)


def test_a_wrong_key_leaves_the_caller_its_default(
    shared_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    details = ask(connect(shared_world.url, "fs_srv_wrong"), CASES[0])
    assert (details.value, details.error_code) == (False, "GENERAL")
    assert details.error_message == "unauthorized"


def test_who_asks_too_often_is_paused(
    strict_world: Any, connect: Callable[..., OpenFeatureClient]
) -> None:
    # The service let this key through once before, when the test waited for it.
    client = connect(strict_world.url, strict_world.server_key)
    details = ask(client, CASES[0])
    assert (details.value, details.error_code) == (False, "GENERAL")
    assert "Rate limited, retry after: " in details.error_message
    seconds = details.error_message.rpartition(": ")[2]
    assert 1 <= int(seconds) <= 31
    # It stays away by itself now.
    assert "paused" in ask(client, CASES[0]).error_message


def test_changes_and_restarts_are_seen_by_the_next_question(
    world: Any, connect: Callable[..., OpenFeatureClient], wait_until: Callable[..., Any]
) -> None:
    client = connect(world.url, world.server_key)
    case = CASES[0]
    assert ask(client, case).value is True
    world.publish(boolean_true={**flag("boolean", {"off": False}), "key": "boolean-true"})
    wait_until(lambda: ask(client, dataclasses.replace(case, default=True)).value is False)
    world.service.terminate()
    away = ask(client, case)
    assert (away.value, away.error_code) == (False, "GENERAL")
    world.service.start()
    back = ask(client, dataclasses.replace(case, default=True))
    assert (back.value, back.error_code) == (False, None)
