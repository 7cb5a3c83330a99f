"""Reads LaunchDarkly's published cases: templates whose names in angle brackets are filled in."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_NAME = re.compile(r"<([A-Za-z0-9_]+)>")


class _Loader(yaml.SafeLoader):
    """Reads YAML as of version 1.2, where ``on`` is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|false)$"), list("tf"))


@dataclass(frozen=True)
class Case:
    """One published evaluation: a payload, a context of ours and what must come out."""

    id: str
    document: dict[str, Any]
    flag: str
    context: dict[str, Any]
    default: Any
    expected: dict[str, Any]


def read_cases(folder: Path) -> Iterator[Case]:
    """Yield every case of every file, with each set of parameters."""
    for path in sorted(folder.glob("*.yml")):
        source = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        constants = source.pop("constants", {})
        for number, parameters in enumerate(permutations(source.pop("parameters", []))):
            filled = fill(source, {**constants, **parameters})
            document = {"flags": {}, "segments": {}, **filled.get("sdkData", {})}
            for evaluation in filled["evaluations"]:
                yield Case(
                    id=f"{path.stem}/{number}/{evaluation['name']}",
                    document=document,
                    flag=evaluation["flagKey"],
                    context=our_context(evaluation["context"]),
                    default=evaluation.get("default"),
                    expected=evaluation["expect"],
                )


def permutations(parameters: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the sets of parameters; a list of lists means one of each."""
    if parameters and all(isinstance(part, list) for part in parameters):
        for parts in itertools.product(*parameters):
            yield {name: value for part in parts for name, value in part.items()}
    else:
        yield from parameters or [{}]


def fill(part: Any, names: Mapping[str, Any]) -> Any:
    """Put values in the place of names: of any type where the name stands alone."""
    if isinstance(part, dict):
        return {fill(key, names): fill(value, names) for key, value in part.items()}
    if isinstance(part, list):
        return [fill(element, names) for element in part]
    if not isinstance(part, str):
        return part
    alone = _NAME.fullmatch(part)
    if alone and alone[1] in names:
        return fill(names[alone[1]], names)

    def word(found: re.Match[str]) -> str:
        if found[1] not in names:
            return found[0]
        value = names[found[1]]
        return value if isinstance(value, str) else json.dumps(value)

    return _NAME.sub(word, part)


def our_context(context: dict[str, Any]) -> dict[str, Any]:
    """Write a context of LaunchDarkly, or one of its old users, as ours."""
    context = dict(context)
    kind = context.pop("kind", None)
    if kind is None:
        context |= context.pop("custom", {})
        kind = "user"
    if kind != "multi":
        return (
            {**_user(context), "kind": "user"} if kind == "user" else {kind: context, "kind": kind}
        )
    ours = _user(context.pop("user")) if "user" in context else {}
    return {**ours, **context, "kind": [*(["user"] if ours else []), *context]}


def _user(context: dict[str, Any]) -> dict[str, Any]:
    return {**context, "targetingKey": context["key"]}
