"""@openfeature/ofrep-provider with @openfeature/server-sdk in Node.js against a real service."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.web.ofrep.cases import CASES, FLAGS, FREE, LEFT_TO_CALLER, PRO, SET_ID, Case, flag


@pytest.fixture(scope="session")
def program(make_node_program: Callable[..., Any]) -> Any:
    return make_node_program("server.mjs")


@pytest.fixture
def connect(program: Any) -> Callable[..., Callable[..., Any]]:
    """Let the program use a service; give the function that asks it about a case."""

    def make(url: str, key: str) -> Callable[..., Any]:
        assert program.ask(do="connect", url=url, key=key) == {"connected": True}

        def ask(case: Case, **changes: Any) -> Any:
            return program.ask(
                flag=case.flag,
                kind=case.kind,
                default=case.default,
                context={**case.context, **changes},
            )

        return ask

    return make


def same(answer: Any, expected: Any) -> bool:
    # JavaScript has one kind of number; a boolean is still none.
    return bool(answer == expected) and isinstance(answer, bool) is isinstance(expected, bool)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_client_shows_its_application(
    case: Case, shared_world: Any, connect: Callable[..., Any]
) -> None:
    for key in (shared_world.server_key, shared_world.client_key):
        details = connect(shared_world.url, key)(case)
        assert same(details["value"], case.value)
        assert details.get("errorCode") == case.error
        assert details["reason"] == case.reason
        if case.error is None:
            assert details["variant"] == case.variant
            metadata = {**FLAGS[case.flag]["metadata"], "version": 3, "flagSetId": SET_ID}
            assert metadata.items() <= details["flagMetadata"].items()


@pytest.mark.parametrize("case", LEFT_TO_CALLER, ids=lambda case: case.name)
def test_what_is_left_to_the_caller_is_left_to_it(
    case: Case, shared_world: Any, connect: Callable[..., Any]
) -> None:
    """This release reports an answer without a value as an error; the value is right."""
    details = connect(shared_world.url, shared_world.server_key)(case)
    assert (details["value"], details["errorCode"]) == (case.value, "GENERAL")


def test_an_attribute_that_changes_under_the_same_targeting_key_counts(
    shared_world: Any, connect: Callable[..., Any]
) -> None:
    ask = connect(shared_world.url, shared_world.server_key)
    case = next(case for case in CASES if case.context is PRO)
    assert [ask(case, **c)["value"] for c in (PRO, FREE, PRO)] == ["p", "r", "p"]


def test_a_wrong_key_leaves_the_caller_its_default(
    shared_world: Any, connect: Callable[..., Any]
) -> None:
    details = connect(shared_world.url, "fs_srv_wrong")(CASES[0])
    assert (details["value"], details["errorCode"]) == (False, "GENERAL")


def test_who_asks_too_often_is_paused(strict_world: Any, connect: Callable[..., Any]) -> None:
    # The service let this key through once before, when the test waited for it.
    ask = connect(strict_world.url, strict_world.server_key)
    assert "rate limit exceeded" in ask(CASES[0])["errorMessage"]
    # It read Retry-After and stays away by itself now.
    assert "OFREP evaluation paused due to TooManyRequests" in ask(CASES[0])["errorMessage"]


def test_changes_and_restarts_are_seen_by_the_next_question(
    world: Any, connect: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    ask = connect(world.url, world.server_key)
    case = dataclasses.replace(CASES[0], default=True)
    assert ask(CASES[0])["value"] is True
    world.publish(boolean_true={**flag("boolean", {"off": False}), "key": "boolean-true"})
    wait_until(lambda: ask(case)["value"] is False)
    world.service.terminate()
    assert (ask(case)["value"], ask(case)["errorCode"]) == (True, "GENERAL")
    world.service.start()
    assert (ask(case)["value"], ask(case).get("errorCode")) == (False, None)
