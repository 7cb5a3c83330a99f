"""A pydantic refusal as one of ours: the path of the field, what is wrong, what to do."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from flags.errors import InvalidInputError

_HINTS = {
    "extra_forbidden": "remove it; the grammar is closed",
    "missing": "add it",
    "bool_type": "send true or false, without quotation marks",
    "float_type": "send a number without quotation marks",
    "int_type": "send a whole number without quotation marks",
    "string_type": "send a string",
    "list_type": "send an array",
    "dict_type": "send an object",
    "model_type": "send an object",
}


def as_input_error(error: ValidationError, document: Any) -> InvalidInputError:
    """Give the most telling of pydantic's errors, its path as the author would write it."""
    chosen = max(error.errors(include_url=False), key=lambda each: _depth(each, document))
    field, _ = _path(chosen, document)
    message = chosen["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    hint = _HINTS.get(chosen["type"])
    if chosen["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        field = f"{field}.do" if field else "do"
        message = "not an instruction of the grammar"
        expected = chosen.get("ctx", {}).get("expected_tags", "")
        hint = f"one of {expected}".replace("'", "") if expected else 'say what to "do"'
    return InvalidInputError(message, field=field or None, hint=hint)


def _depth(error: ErrorDetails, document: Any) -> tuple[int, bool]:
    # Of a union's branches, the one that got furthest into the document is the one that was meant.
    return _path(error, document)[1], error["type"] != "string_type"


def _path(error: ErrorDetails, document: Any) -> tuple[str, int]:
    path, depth, here = "", 0, document
    steps = error["loc"]
    for index, step in enumerate(steps):
        if isinstance(step, int) and isinstance(here, list) and step < len(here):
            path, here = f"{path}[{step}]", here[step]
        elif isinstance(here, dict) and step in here:
            path, here = (f"{path}.{step}" if path else str(step)), here[step]
        elif index == len(steps) - 1 and error["type"] == "missing":
            path = f"{path}.{step}" if path else str(step)
        else:
            continue  # the name of a union's branch, which no author wrote
        depth += 1
    return path, depth
