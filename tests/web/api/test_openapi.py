"""The OpenAPI document says what the routes do, and cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from flags.database import Database
from flags.instructions import Instruction
from web.api.openapi import openapi_document, routes_of
from web.api.render import PageQuery, expected
from web.app import create_flask_app
from web.body import Body, read_body, read_object, read_query
from web.contract import UndeclaredError, contract_of
from web.settings import Settings

P = "/projects/shop"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("openapi")
    database = Database(f"sqlite:///{folder / 'empty.db'}")
    yield create_flask_app(Settings(data_directory=Path(folder)), database, console=True)
    database.dispose()


@pytest.fixture(scope="module")
def said(app: Flask) -> dict[str, Any]:
    return openapi_document(app)


def test_the_document_is_valid_openapi(said: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(said).iter_errors()] == []


def test_every_route_says_what_it_answers(app: Flask) -> None:
    silent = [f"{each.method} {each.path}" for each in routes_of(app) if not each.contract.answers]
    assert silent == [], "give these views @gives(SHAPE) of web.contract, and @takes what they read"


def test_every_operation_has_a_name_of_its_own_and_a_sentence(app: Flask) -> None:
    routes = routes_of(app)
    assert len({each.name for each in routes}) == len(routes)
    assert [each.name for each in routes if not (each.view.__doc__ or "").strip()] == []


def test_every_list_is_read_page_by_page(app: Flask) -> None:
    # What follows events is no list that ends: it says whether there was more.
    followed = {"list_latest_events"}
    lists = [
        each
        for each in routes_of(app)
        if any("next_cursor" in (said.schema or {}).get("properties", {})
               for said in each.contract.answers)
    ]  # fmt: skip
    assert len(lists) > 25
    whole = [
        each.name
        for each in lists
        if each.contract.query is None
        or not {"limit", "cursor"} <= {*each.contract.query.model_fields}
    ]
    assert set(whole) == followed


def test_whatever_is_written_over_or_taken_away_is_guarded(said: dict[str, Any]) -> None:
    unguarded = {
        f"{method} {path}"
        for path, operations in said["paths"].items()
        for method, operation in operations.items()
        if method in {"put", "patch", "delete"}
        and not any(each["name"] == "If-Match" for each in operation.get("parameters", []))
    }
    assert unguarded == {"delete /api/v1/session"}


def test_every_instruction_of_the_grammar_is_described(said: dict[str, Any]) -> None:
    items = said["components"]["schemas"]["Change"]["properties"]["instructions"]["items"]
    words = {
        get_args(each.model_fields["do"].annotation)[0]
        for each in get_args(get_args(Instruction)[0])
    }
    assert len(words) > 20
    assert set(items["discriminator"]["mapping"]) == words


def test_roles_and_doors_are_said(said: dict[str, Any]) -> None:
    tokens = said["paths"]["/api/v1/tokens"]
    assert "`admin`" in tokens["get"]["description"]
    assert tokens["get"]["security"] == [{"key": []}, {"session": []}]
    assert said["paths"]["/api/v1/session"]["post"]["security"] == []
    headers = {each["name"] for each in tokens["post"]["parameters"] if each["in"] == "header"}
    assert headers == {"Idempotency-Key"}


def test_one_path_per_verb(said: dict[str, Any]) -> None:
    verbs = {
        path.rpartition("/")[2] for path in said["paths"] if "{flag_key}/environments/" in path
    }
    assert verbs >= {"on", "off", "kill", "unkill"}
    assert not [path for path in said["paths"] if "{verb}" in path]


@pytest.mark.parametrize(
    ("read", "part"),
    [
        (lambda: read_query(PageQuery), "query"),
        (lambda: read_body(type("Other", (Body,), {})), "body"),
        (read_object, "body"),
        (expected, "if_match"),
    ],
)
def test_a_view_cannot_read_what_it_has_not_declared(app: Flask, read: Any, part: str) -> None:
    with app.test_request_context("/api/v1/whoami"), pytest.raises(UndeclaredError, match=part):
        read()


def test_what_no_view_reads_is_refused(viewer: Any, admin: Any) -> None:
    for path in ("/whoami", "/projects"):
        refused = viewer.get(f"{path}?colour=red")
        assert (refused.status_code, refused.get_json()["field"]) == (400, "colour")
    admin.ok("POST", "/projects", {"key": "shop"})
    refused = admin.post("/tokens/7/revoke", {"why": "lost"})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "why")
    assert viewer.get(f"{P}/outcomes?since=3").status_code == 400


def test_anybody_may_read_the_document_and_its_page(app: Flask) -> None:
    client = app.test_client()
    answer = client.get("/api/v1/openapi.json")
    assert answer.get_json()["openapi"] == "3.1.0"
    page = client.get("/api/v1/docs")
    text = page.get_data(as_text=True)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert " style=" not in text
    assert "//" not in "".join(part.split('"')[0] for part in text.split('src="')[1:])
    for route in routes_of(app):
        assert f'id="{route.name}"' in text


def test_the_models_of_a_route_are_those_it_declares(app: Flask) -> None:
    view = app.view_functions["api.list_audit"]
    names = set(contract_of(view).query.model_fields)  # type: ignore[union-attr]
    shown = openapi_document(app)["paths"]["/api/v1/projects/{project_key}/audit"]["get"]
    assert {each["name"] for each in shown["parameters"] if each["in"] == "query"} == names
