"""How shapes are written, and the plain ones: text, numbers, lists, objects."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from web.contract import Schema

TEXT: Schema = {"type": "string"}
YES_OR_NO: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
OBJECT: Schema = {"type": "object"}
ARRAY: Schema = {"type": "array"}
TEXTS: Schema = {"type": "array", "items": TEXT}
OBJECTS: Schema = {"type": "array", "items": OBJECT}


def maybe(schema: Schema) -> Schema:
    """Allow null too."""
    if isinstance(schema.get("type"), str) and "$ref" not in schema and "title" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def shape(title: str, /, **fields: Schema) -> Schema:
    """Describe an object under a name; every field is always there."""
    return {
        "type": "object",
        "title": title,
        "properties": fields,
        "required": list(fields),
    }


def with_optional(schema: Schema, /, **fields: Schema) -> Schema:
    """Add fields that are not always there."""
    return {**schema, "properties": {**schema["properties"], **fields}}


def extended(schema: Schema, title: str, /, **fields: Schema) -> Schema:
    """Describe an object that has more fields than another."""
    return shape(title, **schema["properties"], **fields)


def opened(schema: Schema) -> Schema:
    """Say that an object has more fields than those named, which differ from case to case."""
    return {**schema, "additionalProperties": True}


def list_of(item: Schema, /, **beside: Schema) -> Schema:
    """Describe a page of a list: ``next_cursor`` is null on the last page."""
    fields = {"items": {"type": "array", "items": item}, "next_cursor": maybe(TEXT), **beside}
    return {"type": "object", "properties": fields, "required": list(fields)}


def by_key(item: Schema) -> Schema:
    """Describe an object whose names are keys of things."""
    return {"type": "object", "additionalProperties": item}


def of_dataclass(kind: type) -> dict[str, Any]:
    """Describe a dataclass as it is answered."""
    return TypeAdapter(kind).json_schema(mode="serialization")
