"""JSON schemas in words: the type of a field, and a table of an object's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.reference.markdown import code, link, table

Schema = Mapping[str, Any]
INSTRUCTIONS_PAGE = "instructions.md"
_LONGEST_ENUM = 12


def target(schema: Schema) -> str:
    """Give the name that a reference refers to."""
    return str(schema["$ref"]).rpartition("/")[2]


def kind(schema: Schema, page_of: Mapping[str, str]) -> str:
    """Say what a value may be; ``page_of`` knows on which other page a named schema stands."""
    if "$ref" in schema:
        name = target(schema)
        return link(name, page_of.get(name, ""))
    if "discriminator" in schema:
        return link("instructions", INSTRUCTIONS_PAGE)
    if "const" in schema:
        return code(f'"{schema["const"]}"')
    if "enum" in schema:
        words = [code(each) for each in schema["enum"]]
        more = ["…"] if len(words) > _LONGEST_ENUM else []
        return " · ".join([*words[:_LONGEST_ENUM], *more])
    for together, word in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " with ")):
        if together in schema:
            kinds = [kind(each, page_of) for each in schema[together]]
            return word.join(dict.fromkeys(kinds))
    said = schema.get("type")
    if isinstance(said, list):
        return " or ".join(kind({**schema, "type": each}, page_of) for each in said)
    if said == "array":
        items = schema.get("items")
        return "list" if not items else f"list of {kind(items, page_of)}"
    if said == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            return f"object of {kind(values, page_of)}"
        names = list(schema.get("properties", {}))
        return f"object ({', '.join(code(each) for each in names)})" if names else "object"
    if said in {"string", "number", "integer"}:
        return _limited(str(said), schema)
    return str(said) if said else "any JSON"


def _limited(word: str, schema: Schema) -> str:
    name = {"string": "text", "number": "number", "integer": "whole number"}[word]
    if schema.get("format") == "date-time":
        return "instant"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{name} {low:,} to {high:,}"
    if low is not None:
        return f"{name} from {low:,}"
    return name if high is None else f"{name} up to {high:,}"


def fields(schema: Schema, page_of: Mapping[str, str], *, leave_out: str = "") -> str:
    """Write the fields of an object as a table."""
    needed = set(schema.get("required", ()))
    rows = []
    for name, each in schema.get("properties", {}).items():
        if name == leave_out:
            continue
        default = each.get("default")
        unless = "" if default in (None, "", []) else f"{_plain(default)} unless said"
        says = ". ".join(part for part in (str(each.get("description", "")), unless) if part)
        rows.append([code(name), kind(each, page_of), "yes" if name in needed else "", says])
    if not rows:
        return ""
    return table(["field", "what it is", "required", "says"], rows)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return code("true" if value else "false")
    return code(value)
