"""Holds what the routes answer against what they declare, and so against the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, current_app, request
from jsonschema import Draft202012Validator

from web.contract import Answer, contract_of, parts_read

_UNSAFE_PARTS = {"query", "body", "if_match"}


class Answers:
    """Checks every answer of an application; remembers which parts of a request were read."""

    def __init__(self, app: Flask) -> None:
        self.faults: list[str] = []
        self.read: dict[str, set[str]] = {}
        app.after_request(self._note)

    def _note(self, response: Response) -> Response:
        rule = request.url_rule
        if rule is not None and rule.rule.startswith("/api/v1") and response.status_code < 400:
            self.read.setdefault(rule.endpoint, set()).update(parts_read())
            contract = contract_of(current_app.view_functions[rule.endpoint])
            where = f"{request.method} {rule.rule} {response.status_code}"
            self.faults += [f"{where}: {each}" for each in faults(contract.answers, response)]
        return response

    def never_read(self, app: Flask) -> dict[str, set[str]]:
        """Give what views declare and did not read in any request, by endpoint."""
        found = {}
        for endpoint, read in self.read.items():
            contract = contract_of(app.view_functions[endpoint])
            declared = {part for part in _UNSAFE_PARTS if getattr(contract, part)}
            if declared - read:
                found[endpoint] = declared - read
        return found


def faults(answers: tuple[Answer, ...], response: Response) -> Iterator[str]:
    """Say in what an answer differs from every declared one of its status."""
    said = [each for each in answers if response.status_code in each.statuses]
    if response.status_code == 304:
        if not any(each.etag for each in answers):
            yield "not declared to have an ETag: add etag=True to its @gives"
        return
    if len(said) != 1:
        yield "not declared: give the view @gives(SHAPE, status)"
        return
    (answer,) = said
    if answer.schema is None:
        if response.get_data():
            yield "a body, and none is declared"
        return
    if response.mimetype != answer.media_type:
        yield f"{response.mimetype} instead of {answer.media_type}"
    elif response.mimetype == "application/json":
        yield from _differences(answer.schema, response.get_json(), "")
    if "ETag" in response.headers and not answer.etag:
        yield "an ETag that is not declared: add etag=True to its @gives"


def _differences(schema: Any, document: Any, path: str) -> Iterator[str]:
    for error in Draft202012Validator(schema).iter_errors(document):
        yield f"{path}: {error.json_path}: {error.message[:200]}"
    yield from _undescribed(schema, document, path)


def _undescribed(schema: Any, document: Any, path: str) -> Iterator[str]:
    if isinstance(document, list):
        for each in document:
            yield from _undescribed(schema.get("items", {}), each, f"{path}[]")
    elif isinstance(document, dict):
        others = schema.get("additionalProperties")
        described = schema.get("properties", {})
        for key, value in document.items():
            if key in described:
                yield from _undescribed(described[key], value, f"{path}.{key}")
            elif isinstance(others, dict):
                yield from _undescribed(others, value, f"{path}.{key}")
            elif "title" in schema and others is not True:
                yield f"{path}.{key} is answered and not described: add it in web/api/shapes.py"
