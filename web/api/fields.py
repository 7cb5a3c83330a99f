"""``?fields=key,owner``: of a document, or of each entry of a list, only these top-level keys.

Any GET that answers JSON takes it. It is no part of the query that a view reads: what is chosen is
cut out of the answer, so that a view cannot forget it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson
from flask import Response, current_app, g, request

from flags.errors import InvalidInputError
from web.contract import contract_of

PARAMETER = "fields"
_MOST_SHOWN = 30


def check_fields() -> None:
    """Refuse a choice of what there is not (a ``before_request`` function).

    Raises
    ------
    InvalidInputError
        With the keys that there are.
    """
    if request.endpoint is None or PARAMETER not in request.args or request.method != "GET":
        return
    known = _known()
    if known is None:
        message = "this answer has no fields to choose from"
        raise InvalidInputError(message, field=PARAMETER, hint="leave it out")
    wanted = [name.strip() for name in request.args[PARAMETER].split(",") if name.strip()]
    if not wanted:
        raise InvalidInputError("no field is named", field=PARAMETER, hint="such as fields=key")
    unknown = [name for name in wanted if known and name not in known]
    if unknown:
        shown = ", ".join(sorted(known)[:_MOST_SHOWN])
        message = f"there is no field {unknown[0][:80]!r}"
        raise InvalidInputError(message, field=PARAMETER, hint=f"one of {shown}")
    g.fields = wanted


def choose_fields(response: Response) -> Response:
    """Cut what was chosen out of an answer (an ``after_request`` function)."""
    wanted = g.pop(PARAMETER, None)
    if wanted is None or response.status_code != 200 or not response.is_json:
        return response
    document = orjson.loads(response.get_data())
    if _is_list(document):
        document["items"] = [_chosen(each, wanted) for each in document["items"]]
    else:
        document = _chosen(document, wanted)
    response.set_data(orjson.dumps(document))
    return response


def _chosen(document: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    return {name: document[name] for name in wanted if name in document}


def _is_list(document: Mapping[str, Any]) -> bool:
    return "items" in document and "next_cursor" in document


def _known() -> set[str] | None:
    """Give the keys that the view's answer has; empty where they differ from case to case."""
    assert request.endpoint is not None
    for answer in contract_of(current_app.view_functions[request.endpoint]).answers:
        if 200 not in answer.statuses or answer.schema is None:
            continue
        if answer.media_type != "application/json":
            continue
        fields = answer.schema.get("properties", {})
        schema = fields["items"]["items"] if _is_list(fields) else answer.schema
        if schema.get("additionalProperties") or "properties" not in schema:
            return set()
        return set(schema["properties"])
    return None
