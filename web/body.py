"""The strict door for JSON bodies: one meaning, a bounded depth, a model with no unknown fields.

Refused by name: another content type, malformed JSON (with line and column), a key given twice
(readers disagree about which one counts), nesting beyond 64 levels, NaN and infinity, anything but
an object at the top, unknown fields, and the characters and numbers that ``flags.plain`` names.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn, TypeVar

from flask import current_app, request
from pydantic import BaseModel, ConfigDict, ValidationError

from flags.errors import InvalidInputError
from flags.plain import check_plain
from web.contract import contract_of, note_read
from web.errors import BodyNotJsonError, MalformedBodyError

MAX_NESTING = 64
_LONGEST_SHOWN = 80
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})

# Strings are matched whole, so that a bracket inside one does not count.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


class Body(BaseModel):
    """Base of every request body: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NoBody(Body):
    """Nothing to say."""


class Query(BaseModel):
    """Base of every query string: text becomes what the field says, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


BodyT = TypeVar("BodyT", bound=BaseModel)


def read_query(model: type[BodyT]) -> BodyT:
    """Return the query string as the model, or say which parameter is wrong."""
    if model is not Query:
        note_read("query", model)
    for name, values in request.args.lists():
        if len(values) > 1:
            message = f"the parameter {_short(name)} is given twice"
            raise InvalidInputError(message, field=name[:200])
    document = request.args.to_dict()
    if request.blueprint == "api" and request.method == "GET":
        # What is shown of an answer is chosen after the view (web.api.fields).
        document.pop("fields", None)
    check_plain(document, "")
    return parse_as(model, document)


def read_body(model: type[BodyT]) -> BodyT:
    """Return the request's JSON body as the model, or say which field is wrong."""
    if model is not NoBody:
        note_read("body", model)
    return parse_as(model, _read_object())


def parse_as(model: type[BodyT], document: dict[str, Any]) -> BodyT:
    """Return the document as the model, or say which field is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        _refuse(error)


def read_object() -> dict[str, Any]:
    """Return the request's JSON object; an absent body is an empty object."""
    note_read("body")
    return _read_object()


def refuse_undeclared() -> None:
    """Refuse a query or a body that the view does not read (a ``before_request`` function)."""
    if request.endpoint is None:
        return
    contract = contract_of(current_app.view_functions[request.endpoint])
    if contract.query is None:
        read_query(Query)
    if contract.body is None and request.method not in _WITHOUT_BODY:
        read_body(NoBody)


def _read_object() -> dict[str, Any]:
    raw = request.get_data(cache=True)
    if not raw.strip():
        return {}
    if request.mimetype != "application/json":
        message = f"the body is {request.mimetype or 'of no stated type'}, not JSON"
        hint = "send Content-Type: application/json"
        raise BodyNotJsonError(message, field="Content-Type", hint=hint)
    return parse_object(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse bytes as one JSON object, strictly (see the module's text)."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8: byte {error.start} cannot be read"
        raise MalformedBodyError(message) from None
    _check_nesting(text)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        message = f"malformed JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        raise MalformedBodyError(message) from None
    if not isinstance(document, dict):
        message = f"the body must be a JSON object, not {_json_name(document)}"
        raise MalformedBodyError(message)
    check_plain(document, "", max_nesting=MAX_NESTING)
    return document


def _check_nesting(text: str) -> None:
    # Before the parser, which recurses: its own limit is an exception that no caller expects.
    depth = 0
    for token in _TOKEN.finditer(text):
        first = token[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_NESTING:
                message = f"the body nests deeper than {MAX_NESTING} levels"
                raise MalformedBodyError(message, hint="flatten it")
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                message = f"the key {_short(key)} is given twice in one object"
                raise MalformedBodyError(message, field=_field(key))
            seen.add(key)
    return document


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise MalformedBodyError(message, hint="use null, or leave it out")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        message = f"the number {text[:_LONGEST_SHOWN]} is too large"
        raise MalformedBodyError(message)
    return number


def _integer(text: str) -> int:
    if len(text) > 20:
        message = f"the integer {text[:20]}… is too large"
        raise MalformedBodyError(message, hint="use a string for identifiers")
    return int(text)


def _refuse(error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    field = _path(first["loc"])
    unknown = [e for e in error.errors(include_url=False) if e["type"] == "extra_forbidden"]
    if unknown:
        names = ", ".join(_short(str(e["loc"][-1])) for e in unknown[:5])
        message = f"unknown field{'s' if len(unknown) > 1 else ''}: {names}"
        raise InvalidInputError(message, field=_path(unknown[0]["loc"])) from None
    if first["type"] == "missing":
        message = f"the field {field} is missing"
        raise InvalidInputError(message, field=field) from None
    text = first["msg"].removeprefix("Value error, ")
    raise InvalidInputError(f"{field}: {text[:1].lower()}{text[1:]}", field=field) from None


def _path(parts: tuple[int | str, ...]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path[:200] or "body"


def _field(key: str) -> str:
    return key.encode("utf-8", "replace").decode()[:200]


def _short(text: str) -> str:
    # repr escapes what must not reach a terminal or a log as it is.
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


def _json_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "a number"
