"""The OpenAPI document, for programs, and as a page for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response, current_app, render_template
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from web.api.blueprint import blueprint
from web.api.openapi import openapi_document
from web.api.render import document
from web.api.shapes import OBJECT, TEXT
from web.auth.guard import public
from web.contract import gives
from web.transactions import our_address

# It changes with the program only.
_CACHE = "public, max-age=300"
_REFERENCE = "#/components/schemas/"


@blueprint.get("/openapi.json")
@public
@gives(OBJECT)
def get_openapi() -> ResponseReturnValue:
    """Return this document."""
    response = document(openapi_document(current_app))
    response.headers["Cache-Control"] = _CACHE
    return response


@blueprint.get("/docs")
@public
@gives(TEXT, media_type="text/html")
def show_docs() -> ResponseReturnValue:
    """Show this document as a page."""
    said = openapi_document(current_app)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in said["paths"].items():
        for method, operation in operations.items():
            entry = {"method": method.upper(), "path": path, **operation}
            groups.setdefault(operation["tags"][0], []).append(entry)
    text = render_template(
        "api_docs.html", said=said, groups=dict(sorted(groups.items())), base=our_address()
    )
    return Response(text, content_type="text/html; charset=utf-8")


@blueprint.app_template_filter("ticks")
def _ticks(text: str) -> Markup:
    """Set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


@blueprint.app_template_filter("pretty")
def _pretty(schema: Any) -> str:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()


@blueprint.app_template_filter("brief")
def _brief(schema: Mapping[str, Any]) -> str | Markup:
    """Say a schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return Markup(" or ").join(_brief(each) for each in schema["anyOf"])
    if "items" in schema.get("properties", {}):
        return Markup("page of ") + _brief(schema["properties"]["items"].get("items", {}))
    words = [str(schema.get("type", "any value"))]
    words += [f"from {schema['minimum']}"] if "minimum" in schema else []
    words += [f"to {schema['maximum']}"] if "maximum" in schema else []
    words += [f"at most {schema['maxLength']} characters"] if "maxLength" in schema else []
    return " ".join(words)
