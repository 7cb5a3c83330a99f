"""The service and the SDK give one answer: same flag sets, same contexts, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flags.database import Database
from flagstone import Client
from tests.sdk.engine.strategies import contexts, flag_sets

pytestmark = pytest.mark.slow
# OFREP knows text as targeting key only.
PEOPLE = contexts.filter(lambda context: isinstance(context.get("targetingKey", ""), str))
DEFAULTS = {"boolean": False, "string": "?", "integer": -1, "float": -1.5, "object": {"?": 1}}
GETTERS = {
    "boolean": Client.get_boolean,
    "string": Client.get_string,
    "integer": Client.get_integer,
    "float": Client.get_float,
    "object": Client.get_object,
}


@pytest.fixture
def control(control_class: type, tmp_path: Path) -> Iterator[Any]:
    database = Database(f"sqlite:///{tmp_path / 'flagstone.db'}")
    yield control_class(database)
    database.dispose()


def test_the_service_and_the_sdk_answer_alike(
    make_service: Callable[..., Any], control: Any, tmp_path: Path
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'flagstone.db'}")
    environment = control.environment()
    key = control.key(environment)
    control.publish(environment, {})
    answers = {"given": 0, "left to the caller": 0}

    with (
        service.client(key) as http,
        Client(url=service.url, key=key, start_wait_seconds=60) as client,
    ):

        @given(flag_sets(), st.lists(PEOPLE, min_size=1, max_size=3))
        @settings(max_examples=60, deadline=None, derandomize=True)
        def compare(flag_set: dict[str, Any], people: list[dict[str, Any]]) -> None:
            number = control.publish(
                environment, json.dumps({**flag_set, "version": next_version(control)}).encode()
            )
            assert client.wait_for_revision(number, 60)
            for flag_key, flag in flag_set["flags"].items():
                for context in people:
                    path = f"/ofrep/v1/evaluate/flags/{flag_key}"
                    remote = http.post(path, json={"context": context}).json()
                    assert "errorCode" not in remote, remote
                    here(flag_key, flag["type"], context, remote)

        def here(flag_key: str, kind: str, context: dict[str, Any], remote: dict[str, Any]) -> None:
            default = DEFAULTS[kind]
            local = GETTERS[kind](client, flag_key, context, default)  # type: ignore[operator]
            details = client.get_details(flag_key, context, default, kind)
            if "value" in remote:
                answers["given"] += 1
                assert json.dumps(local) == json.dumps(remote["value"])
                assert (details.variant, details.reason.value) == (
                    remote["variant"],
                    remote["reason"],
                )
            else:
                answers["left to the caller"] += 1
                assert local == default

        compare()
    assert min(answers.values()) > 5, answers


def next_version(control: Any) -> int:
    """Tell which revision the next publication will be."""
    from sqlmodel import select

    from flags.models import Environment

    with control.database.read() as session:
        return session.exec(select(Environment.revision)).one() + 1
