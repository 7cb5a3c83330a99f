"""``rest.md``: every route by resource, then every body and answer by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flags.database import Database
from web.api.openapi import PREFIX, openapi_document
from web.app import create_flask_app
from web.reference.instructions import INSTRUCTION_NAMES
from web.reference.markdown import code, link, page, table
from web.reference.schemas import INSTRUCTIONS_PAGE, fields, kind
from web.settings import Settings

PROJECT = f"{PREFIX}/projects/{{project_key}}"
_ROLE = re.compile(r"Needs the role `(\w+)`")
_PAGE_OF = dict.fromkeys(INSTRUCTION_NAMES, INSTRUCTIONS_PAGE)

_INTRODUCTION = f"""The base is {code(PREFIX)}; {code("…")} below stands for {code(PROJECT)}. Send a
key as {code("Authorization: Bearer fs_usr_…")}. The same for programs, OpenAPI 3.1:
{code("GET " + PREFIX + "/openapi.json")}; as a page of your service: {code("/api/v1/docs")}."""

_CONVENTIONS = """- **role**: what the caller must be at the least; `–` is open to everybody.
- **takes**: the body, parameters of the query (`?name`), headers that mean something here.
- **gives**: status and shape. Everything else is a problem: [errors.md](errors.md).
- Unknown fields and parameters are refused by name. Instants are RFC 3339 with a time zone."""


@cache
def document() -> Mapping[str, Any]:
    """Return the OpenAPI document of an application that nobody uses."""
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'empty.db'}")
        try:
            settings = Settings(data_directory=Path(folder))
            return openapi_document(create_flask_app(settings, database, console=False))
        finally:
            database.dispose()


def rest_page() -> str:
    """Write the page."""
    said = document()
    by_tag: dict[str, list[list[str]]] = {each["name"]: [] for each in said["tags"]}
    for path, operations in said["paths"].items():
        for method, operation in operations.items():
            by_tag[operation["tags"][0]].append(_route(method.upper(), path, operation))
    head = ["route", "role", "takes", "gives", "does"]
    resources = [f"## {tag}\n\n{table(head, rows)}" for tag, rows in by_tag.items()]
    schemas = said["components"]["schemas"]
    shapes = [_shape(name, schemas[name]) for name in schemas if name not in INSTRUCTION_NAMES]
    return page(
        "REST API",
        "the routes of `web/api`",
        _INTRODUCTION,
        _CONVENTIONS,
        "Resources: " + " · ".join(link(tag) for tag in by_tag) + " · then all "
        "[bodies and answers](#bodies-and-answers).",
        *resources,
        "## Bodies and answers",
        *shapes,
    )


def _route(method: str, path: str, operation: Mapping[str, Any]) -> list[str]:
    role = _ROLE.search(operation["description"])
    more = _ROLE.sub("", operation["description"]).strip(" .")
    does = ". ".join(part for part in (operation["summary"], more) if part)
    return [
        code(f"{method} {path.replace(PROJECT, '…').replace(PREFIX, '')}"),
        role[1] if role else "–",
        _takes(operation),
        _gives(operation),
        does.replace("Open to everybody", "").strip(" ."),
    ]


def _takes(operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody")
    parts = []
    if body is not None:
        parts.append(kind(body["content"]["application/json"]["schema"], _PAGE_OF))
    for place, mark in (("query", "?"), ("header", "")):
        names = [each["name"] for each in operation["parameters"] if each["in"] == place]
        parts += [code(mark + name) for name in names if name != "If-None-Match"]
    return ", ".join(parts)


def _gives(operation: Mapping[str, Any]) -> str:
    given = []
    for status, answer in sorted(operation["responses"].items()):
        if status < "300" and "$ref" not in answer:
            media = answer.get("content", {})
            shapes = [_named(kind_of["schema"], each) for each, kind_of in media.items()]
            given.append(f"{status} {' or '.join(shapes)}".strip())
    return "; ".join(given)


def _named(schema: Mapping[str, Any], media_type: str) -> str:
    if media_type != "application/json":
        return code(media_type)
    items = schema.get("properties", {}).get("items")
    if items is not None and "items" in items:
        return f"list of {kind(items['items'], _PAGE_OF)}"
    return kind(schema, _PAGE_OF)


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    says = " ".join(str(schema.get("description", "")).split()).replace("``", "`")
    parts = [f"### {name}", says]
    if "properties" in schema:
        parts.append(fields(schema, _PAGE_OF))
    elif "allOf" in schema or "anyOf" in schema:
        parts.append(kind(schema, _PAGE_OF))
    return "\n\n".join(part for part in parts if part)
