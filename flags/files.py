"""Flags and segments as files: one document each, all environments, nothing that moves by itself.

What is as it always is stays unsaid, so that a file holds what somebody decided: an empty list, an
own salt, ``temporary``. Weights and coverage stand for ranges where they give the same ranges. A
kill is an emergency and no configuration: it is neither written nor lifted by a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from flags.drafts import VariantDraft
from flags.edits import stored_variant
from flags.errors import InvalidInputError
from flags.instructions import (
    FlagKey,
    Grammar,
    Instant,
    Metadata,
    NewRule,
    Prerequisite,
    SegmentKey,
    TargetGroup,
    VariantName,
)
from flags.plain import (
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    MAX_NESTING,
    MAX_VARIANTS,
    check_amount,
    check_flag_key,
    check_key,
    check_plain,
)
from flags.problems import as_input_error
from flags.ranges import BUCKETS, ranges_for, read_split
from flags.rules import own_salt
from flags.views import FlagView

_ENVELOPE_NESTING = 10
Document = dict[str, Any]
FileT = TypeVar("FileT", bound=Grammar)


class StateFile(Grammar):
    """How a flag behaves in one environment."""

    enabled: bool = False
    off: VariantName | None = None
    default: VariantName | None = None
    prerequisites: list[Prerequisite] = Field(default_factory=list)
    targets: list[TargetGroup] = Field(default_factory=list)
    rules: list[NewRule] = Field(default_factory=list)


class FlagFile(Grammar):
    """A flag in every environment."""

    key: FlagKey
    type: Literal["boolean", "string", "integer", "float", "object"]
    name: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] = ""
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH)] = ""
    owner: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] = ""
    kind: Literal["temporary", "permanent"] = "temporary"
    expires: Instant | None = None
    client: bool = False
    metadata: Metadata = Field(default_factory=dict)
    variants: Annotated[
        dict[VariantName, VariantDraft], Field(min_length=1, max_length=MAX_VARIANTS)
    ]
    environments: dict[SegmentKey, StateFile]

    def stored_variants(self) -> Document:
        """Give the variants as they are stored."""
        return {
            name: stored_variant(self.type, each.value, each.on, f"variants.{name}.value")
            for name, each in self.variants.items()
        }


class ConditionFile(Grammar):
    """A segment in one environment."""

    name: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] = ""
    condition: Any


class SegmentFile(Grammar):
    """A segment in every environment that has it."""

    key: SegmentKey
    environments: dict[SegmentKey, ConditionFile]


@dataclass(frozen=True, slots=True)
class Tree:
    """What a directory of files says, by key."""

    flags: Mapping[str, FlagFile]
    segments: Mapping[str, SegmentFile]


def flag_file(view: FlagView) -> Document:
    """Write a flag as its file."""
    document: Document = {"key": view.key, "type": view.type}
    for name in ("name", "description", "owner"):
        if getattr(view, name):
            document[name] = getattr(view, name)
    if view.kind != "temporary":
        document["kind"] = view.kind
    if view.expires is not None:
        document["expires"] = view.expires
    if view.client:
        document["client"] = True
    if view.metadata:
        document["metadata"] = view.metadata
    document["variants"] = {
        name: _variant(view.type, variant) for name, variant in view.variants.items()
    }
    document["environments"] = {
        key: _state(view.key, here.document) for key, here in sorted(view.environments.items())
    }
    return document


def _variant(flag_type: str, variant: Mapping[str, Any]) -> Document:
    # Whether it is on is said where it is not what its value says already.
    plain = {"value": variant["value"]}
    same = stored_variant(flag_type, variant["value"], None, "value") == variant
    return plain if same else {**plain, "on": variant.get("on", True)}


def _state(key: str, document: Mapping[str, Any]) -> Document:
    state: Document = {name: document[name] for name in ("enabled", "off", "default")}
    for name in ("prerequisites", "targets"):
        if document[name]:
            state[name] = document[name]
    if document["rules"]:
        state["rules"] = [_rule(key, rule) for rule in document["rules"]]
    return state


def _rule(key: str, rule: Mapping[str, Any]) -> Document:
    written: Document = {"id": rule["id"]}
    if rule["when"] is not True:
        written["when"] = rule["when"]
    written["serve"] = serve = rule["serve"]
    if not isinstance(serve, str):
        written["serve"] = {"split": _split(key, rule["id"], serve["split"])}
    for name in ("start", "end", "track"):
        if rule.get(name):
            written[name] = rule[name]
    return written


def _split(key: str, rule_id: str, split: Mapping[str, Any]) -> Document:
    salt = split.get("salt")
    own = {} if salt in {None, own_salt(key, rule_id)} else {"salt": salt}
    missing = {} if split.get("missing", "skip") == "skip" else {"missing": split["missing"]}
    by = {} if split["by"] == "targetingKey" else {"by": split["by"]}
    layout = read_split(split) if (split["hash"], split["of"]) == ("flagstone", BUCKETS) else None
    if layout is not None and ranges_for(layout[0], layout[1]) == split["to"]:
        weights, coverage = layout
        share = {} if coverage == 1 else {"coverage": coverage}
        return {"weights": weights, **share, **by, **own, **missing}
    of = {} if split["of"] == BUCKETS else {"of": split["of"]}
    named = {} if split["hash"] == "flagstone" else {"hash": split["hash"]}
    return {**by, **named, **own, **of, **missing, "to": split["to"]}


def segment_files(found: Iterable[tuple[str, str, str, Any]]) -> dict[str, Document]:
    """Write segments as their files, from (environment, key, name, condition)."""
    files: dict[str, Document] = {}
    for environment, key, name, condition in sorted(found, key=lambda each: (each[1], each[0])):
        here: Document = {"name": name} if name else {}
        file = files.setdefault(key, {"key": key, "environments": {}})
        file["environments"][environment] = {**here, "condition": condition}
    return files


def read_tree(flags: Any, segments: Any) -> Tree:
    """Read files by key.

    Raises
    ------
    InvalidInputError
        With the path of the fault, such as ``flags.checkout.environments.production.rules[0]``.
    """
    for name, part in (("flags", flags), ("segments", segments)):
        if not isinstance(part, Mapping):
            raise InvalidInputError(
                "files stand by their keys", field=name, hint='{"checkout": {…}}'
            )
        check_amount(part, name)
    return Tree(
        {key: read_flag(key, document, f"flags.{key}") for key, document in flags.items()},
        {key: read_segment(key, document, f"segments.{key}") for key, document in segments.items()},
    )


def read_flag(key: str, document: Any, at: str) -> FlagFile:
    """Read a flag's file, or say what is wrong with it."""
    flag = _read(FlagFile, key, document, at)
    check_flag_key(key, f"{at}.key")
    return flag


def read_segment(key: str, document: Any, at: str) -> SegmentFile:
    """Read a segment's file, or say what is wrong with it."""
    segment = _read(SegmentFile, key, document, at)
    check_key(key, f"{at}.key")
    return segment


def _read(model: type[FileT], key: str, document: Any, at: str) -> FileT:
    if not isinstance(document, Mapping):
        raise InvalidInputError("a file holds a JSON object", field=at)
    given = dict(document)
    check_plain(given, at, max_nesting=MAX_NESTING + _ENVELOPE_NESTING)
    try:
        read = model.model_validate(given)
    except ValidationError as error:
        told = as_input_error(error, given)
        field = f"{at}.{told.field}" if told.field else at
        raise InvalidInputError(told.message, field=field, hint=told.hint) from None
    if given["key"] != key:
        raise InvalidInputError(
            f"the file of {key!r} is of {given['key']!r}", field=f"{at}.key", hint="rename the file"
        )
    return read
