"""The OpenAPI 3.1 document, made from the routes themselves.

Paths and their parameters come from the URL map, roles from the guard, bodies and queries from the
models that the views declare and read, instructions from the grammar, summaries from docstrings.
Nothing is written beside the code but the shapes of answers, and tests hold answers against those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from flask import Flask
from pydantic import BaseModel
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.routing import BaseConverter, IntegerConverter, Rule
from werkzeug.routing.converters import AnyConverter

from flags.plain import (
    MAX_FLAGS_AT_ONCE,
    MAX_INSTRUCTIONS,
    MAX_RULES,
    MAX_TARGET_KEYS,
    MAX_VARIANTS,
)
from flagstone import __version__
from web.api.idempotency import HEADER, KEPT_FOR, is_idempotent
from web.api.problem_shapes import PROBLEM
from web.api.render import MAX_LIMIT
from web.api.shapes import RECEIPT, TEXT
from web.auth.guard import SESSION_COOKIE, needed_role
from web.auth.roles import Role
from web.contract import Answer, Contract, Document, Schema, contract_of
from web.prefer import MAX_WAIT_SECONDS
from web.settings import API_REQUESTS_PER_MINUTE

PREFIX = "/api/v1"
_BUILT = "flagstone.openapi"
_ETAG: Schema = {"description": "What this was; for If-Match and If-None-Match.", "schema": TEXT}
_LIMITS: dict[str, Schema] = {
    "RateLimit-Policy": {
        "description": "The quota `q` of requests in a window of `w` seconds, for each caller.",
        "schema": {"type": "string", "pattern": r'^"[a-z]+";q=[0-9]+;w=[0-9]+$'},
    },
    "RateLimit": {
        "description": "`r` requests are left; all of them again in `t` seconds.",
        "schema": {"type": "string", "pattern": r'^"[a-z]+";r=[0-9]+;t=[0-9]+$'},
    },
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Answers of the whole application, whatever the route.
_ALWAYS = (400, 500, 503)

DESCRIPTION = f"""Everything that the console does, for programs.

Errors are `application/problem+json` (RFC 9457) with a stable `code`, and `field` and `hint` where
there is one; nothing is ever written in part. Lists are pages of at most {MAX_LIMIT} items: send
`next_cursor` as `cursor`. `If-Match` with an ETag guards a change (412 when it moved);
`Idempotency-Key` makes a POST safe to repeat for {KEPT_FOR.total_seconds() / 3600:.0f} hours. An
unknown field or parameter is refused by name.

`Prefer: wait=N` (N up to {MAX_WAIT_SECONDS} seconds) on what changes flags holds the answer until
every SDK client that was heard of lately serves it: 200 with a `receipt`, or 202 with the
stragglers by name. What alters several environments waits for each of them (`receipts`). What was
to be done is done in either case.

Each key or person may make so many requests in a minute of one web process (`RateLimit-Policy`;
{API_REQUESTS_PER_MINUTE:,} unless the operator says otherwise); `RateLimit` says what is left, and
429 with `Retry-After` that nothing is. Bodies have at most 1 MiB (imports 16 MiB), a change at most
{MAX_INSTRUCTIONS} instructions, an import {MAX_FLAGS_AT_ONCE:,} flags, a flag {MAX_RULES} rules,
{MAX_VARIANTS} variants and {MAX_TARGET_KEYS:,} target keys."""


@dataclass(frozen=True)
class Route:
    """One operation: a method at a path, and the view behind it."""

    method: str
    path: str
    name: str
    view: Callable[..., Any]
    parameters: tuple[dict[str, Any], ...]

    @property
    def contract(self) -> Contract:
        """What the view reads and answers."""
        return contract_of(self.view)


def routes_of(app: Flask) -> list[Route]:
    """Return every operation of the API; one whose path ends in one of several verbs is several."""
    found: list[Route] = []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(PREFIX + "/"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                found.extend(_routes(app, rule, method))
    return sorted(found, key=lambda route: (route.path, route.method))


def _routes(app: Flask, rule: Rule, method: str) -> Iterator[Route]:
    view = app.view_functions[rule.endpoint]
    name = rule.endpoint.removeprefix("api.")
    converters: Mapping[str, BaseConverter] = rule._converters
    path = re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule)
    plain = tuple(
        {"name": each, "in": "path", "required": True, "schema": _path_schema(converter)}
        for each, converter in converters.items()
        if not isinstance(converter, AnyConverter)
    )
    choices = [(k, c) for k, c in converters.items() if isinstance(c, AnyConverter)]
    if not choices:
        yield Route(method, path, name, view, plain)
        return
    ((verb, converter),) = choices
    for word in sorted(converter.items):
        yield Route(method, path.replace(f"{{{verb}}}", word), f"{name}_{word}", view, plain)


def _path_schema(converter: BaseConverter) -> Schema:
    if isinstance(converter, IntegerConverter):
        schema: dict[str, Any] = {"type": "integer", "minimum": 0}
        return schema if converter.max is None else {**schema, "maximum": converter.max}
    return {"type": "string", "minLength": 1}


def openapi_document(app: Flask) -> dict[str, Any]:
    """Return the document of an application; made once."""
    if _BUILT not in app.extensions:
        app.extensions[_BUILT] = _Builder().build(routes_of(app))
    return cast("dict[str, Any]", app.extensions[_BUILT])


class _Builder:
    """Collects named schemas while operations are described."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self.failures: set[int] = set()

    def build(self, routes: list[Route]) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for route in routes:
            paths.setdefault(route.path, {})[route.method.lower()] = self._operation(route)
        statuses = sorted(self.failures)
        self.schemas["Problem"] = PROBLEM
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Flagstone",
                "version": __version__,
                "summary": "Feature flags and small production experiments that end by themselves",
                "description": DESCRIPTION,
                "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name} for name in sorted({_tag(route) for route in routes})],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self.schemas.items())),
                "responses": {f"Problem{status}": _problem(status) for status in statuses},
                "securitySchemes": {
                    "key": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "A `fs_usr_` key of a person or a program.",
                    },
                    "session": {
                        "type": "apiKey",
                        "in": "cookie",
                        "name": SESSION_COOKIE,
                        "description": "The console's; unsafe requests also prove their origin.",
                    },
                },
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        role = needed_role(route.view)
        failures = _failures(route, role)
        self.failures.update(failures)
        summary, _, more = (route.view.__doc__ or "").strip().partition("\n")
        needs = "Open to everybody." if role is None else f"Needs the role `{role}`."
        operation: dict[str, Any] = {
            "operationId": route.name,
            "summary": _markdown(summary).rstrip("."),
            "description": " ".join([*_markdown(more).split(), needs]),
            "tags": [_tag(route)],
            "security": [] if role is None else [{"key": []}, {"session": []}],
            "parameters": [*route.parameters, *self._queries(route), *_headers(route)],
            "responses": {
                **self._successes(route),
                **{
                    str(status): {"$ref": f"#/components/responses/Problem{status}"}
                    for status in failures
                },
            },
        }
        body = route.contract.body
        if body is not None:
            operation["requestBody"] = self._body(body)
        return operation

    def _queries(self, route: Route) -> Iterator[dict[str, Any]]:
        model = route.contract.query
        if model is None:
            return
        schema = self._of_model(model)
        for name, each in schema["properties"].items():
            said = _without_null(each)
            text = said.pop("description", None)
            yield {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": said,
                **({} if text is None else {"description": text}),
            }

    def _body(self, body: type[BaseModel] | Document) -> dict[str, Any]:
        if isinstance(body, Document):
            name = body.name
            schema: dict[str, Any] = {"type": "object"}
            if body.model is not None:
                schema = self._of_model(body.model)
            for key, more in body.schema.items():
                old = schema.get(key)
                schema[key] = {**old, **more} if isinstance(old, dict) else [*(old or []), *more]
            schema |= {"title": name, "description": body.says}
        else:
            schema, name = self._of_model(body), body.__name__
        self._name(name, schema)
        return {
            "required": bool(schema.get("required")) or isinstance(body, Document),
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
        }

    def _of_model(self, model: type[BaseModel]) -> dict[str, Any]:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, definition in schema.pop("$defs", {}).items():
            self._name(name, definition)
        return schema

    def _successes(self, route: Route) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        limited = needed_role(route.view) is not None
        for answer in route.contract.answers:
            for status in answer.statuses:
                said = answer
                # What is only kept for later (the further answers) changes nothing yet.
                if route.contract.waits and answer is route.contract.answers[0]:
                    said = replace(answer, schema=_with_receipt(answer.schema))
                    answers["202"] = self._success(202, said, limited=limited)
                answers[str(status)] = self._success(status, said, limited=limited)
            if answer.etag and route.method == "GET":
                answers["304"] = {"description": "The caller has it already."}
        return answers

    def _success(self, status: int, answer: Answer, *, limited: bool) -> dict[str, Any]:
        said: dict[str, Any] = {"description": HTTP_STATUS_CODES[status]}
        headers = dict(_LIMITS) if limited else {}
        if answer.etag:
            headers["ETag"] = _ETAG
        if headers:
            said["headers"] = headers
        if answer.schema is not None:
            said["content"] = {answer.media_type: {"schema": self._hoisted(answer.schema)}}
        return said

    def _hoisted(self, schema: Any) -> Any:
        """Give the schema with every titled object in it named among the components."""
        if isinstance(schema, list | tuple):
            return [self._hoisted(each) for each in schema]
        if not isinstance(schema, Mapping):
            return schema
        inner = {key: self._hoisted(value) for key, value in schema.items()}
        title = schema.get("title")
        if "properties" not in schema or not isinstance(title, str):
            return inner
        self._name(title, inner)
        return {"$ref": f"#/components/schemas/{title}"}

    def _name(self, name: str, schema: dict[str, Any]) -> None:
        if self.schemas.setdefault(name, schema) != schema:
            message = f"two schemas of the API are called {name!r}"
            raise ValueError(message)


def _with_receipt(schema: Schema | None) -> Schema:
    properties = {"receipt": RECEIPT, "receipts": {"type": "array", "items": RECEIPT}}
    return {"allOf": [schema, {"type": "object", "properties": properties}]}


# Modules whose routes belong with those of another one.
_TAGS = {"experiment verbs": "experiments", "unscheduled": "experiments", "account": "signing in"}


def _tag(route: Route) -> str:
    name = route.view.__module__.rpartition(".")[2].replace("_", " ")
    return _TAGS.get(name, name)


def _markdown(text: str) -> str:
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    # A query string has no null: a parameter is left out.
    said = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    if said.get("default", ...) is None:
        del said["default"]
    kept = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(kept) == 1:
        return {**kept[0], **said}
    return {**said, "anyOf": kept} if kept else said


def _headers(route: Route) -> Iterator[dict[str, Any]]:
    def header(name: str, says: str, schema: Schema) -> dict[str, Any]:
        return {"name": name, "in": "header", "description": says, "schema": schema}

    if is_idempotent(route.view):
        yield header(
            HEADER,
            "A repetition with the same key gets the first one's answer.",
            {"type": "string", "pattern": "^[!-~]{1,255}$"},
        )
    if route.contract.if_match:
        version = "v?" if route.contract.if_match == "flag" else ""
        yield header(
            "If-Match",
            "The ETag that was read; 412 if it moved since.",
            {"type": "string", "pattern": rf'^"{version}[0-9]{{1,15}}"$'},
        )
    if route.contract.waits:
        yield header(
            "Prefer",
            "`wait=5`: hold the answer up to so many seconds, until every client serves it.",
            TEXT,
        )
    if route.method == "GET" and any(answer.etag for answer in route.contract.answers):
        yield header("If-None-Match", "304 if this is still the ETag.", TEXT)


def _failures(route: Route, role: Role | None) -> list[int]:
    found = {*_ALWAYS}
    if role is not None:
        found |= {401, 403, 429}
    elif route.method not in _SAFE:
        # Set-up and sign-in: wrong, or tried too often.
        found |= {401, 429}
    if route.parameters:
        found.add(404)
    if route.contract.body is not None:
        found |= {413, 415}
    if route.method not in _SAFE:
        found |= {403, 409}
    if route.contract.if_match:
        found.add(412)
    if is_idempotent(route.view):
        found.add(422)
    return sorted(found)


def _problem(status: int) -> dict[str, Any]:
    seconds = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
    return {
        "description": HTTP_STATUS_CODES[status],
        **({"headers": {"Retry-After": seconds}} if status == 429 else {}),
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
