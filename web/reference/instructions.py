"""``instructions.md``: what a change of flags may say, from the models of its grammar."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from flags.instructions import PROJECT_WIDE, Change, Instruction, RevertTo, Undo
from flags.instructions import PROTECTIVE as WITHOUT_WAITING
from web.reference.markdown import code, page, sentence, table
from web.reference.schemas import fields

MODELS: tuple[type[BaseModel], ...] = get_args(get_args(Instruction)[0])
_SCHEMAS: dict[str, Any] = TypeAdapter(Instruction).json_schema(ref_template="#/x/{model}")["$defs"]
INSTRUCTION_NAMES = frozenset(_SCHEMAS)
# Parts of instructions that are models of their own, and so named schemas of the API.
_PARTS = sorted(INSTRUCTION_NAMES - {each.__name__ for each in MODELS})

_HOW = """One grammar writes everything: `POST …/changes` with a list of instructions. All of them
are applied, or none. `mode` is `preview` (nothing is written), `apply`, `request` (others approve
it first) or `schedule` (`at` says when). `flagstone flags set KEY --instruction JSON` sends one."""


def instructions_page() -> str:
    """Write the page."""
    rows = [
        [f"[`{_word(model)}`](#{_word(model)})", sentence(model.__doc__), _note(model)]
        for model in MODELS
    ]
    return page(
        "Instructions of a change",
        "the models of `flags/instructions.py`",
        _HOW,
        "## Change\n\n" + sentence(Change.__doc__) + ".\n\n" + fields(_change(), {}),
        "## Instructions\n\n" + table(["do", "does", "note"], rows),
        *(_section(model, _SCHEMAS[model.__name__]) for model in MODELS),
        "## Parts",
        "A condition (`when`) is `true`, `{all: […]}`, `{any: […]}`, `{not: …}`, `{segment: key}`, "
        "`{flag: key, …}` or `{attr, op, values}`; operators are listed in "
        "[the engine's README](../../sdk/flagstone/engine/README.md).",
        *(_part(name, _SCHEMAS[name]) for name in _PARTS),
    )


def _change() -> dict[str, Any]:
    schema = Change.model_json_schema(ref_template="#/x/{model}")
    schema["properties"]["instructions"] = {
        "type": "array",
        "description": f"1 or more of those below, each with {code('do')}",
    }
    return schema


def _word(model: type[BaseModel]) -> str:
    (word,) = get_args(model.model_fields["do"].annotation)
    return str(word)


def _note(model: type[BaseModel]) -> str:
    if issubclass(model, WITHOUT_WAITING):
        return "waits for nobody's approval"
    if model in {RevertTo, Undo}:
        return "reaches other environments where what it takes back did"
    return "in every environment" if issubclass(model, PROJECT_WIDE) else ""


def _part(name: str, schema: dict[str, Any]) -> str:
    return f"### {name}\n\n{sentence(schema.get('description'))}.\n\n" + fields(schema, {})


def _section(model: type[BaseModel], schema: dict[str, Any]) -> str:
    return f"### {_word(model)}\n\n{sentence(model.__doc__)}.\n\n" + fields(
        schema, {}, leave_out="do"
    )
