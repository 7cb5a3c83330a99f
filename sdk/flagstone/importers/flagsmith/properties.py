"""What a segment's condition looks at: a trait, or a place that a JSONPath names.

Traits stand at the top level of our context, ``identity`` and ``environment`` are objects in it,
and the identity's key is ``targetingKey``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flagstone.importers.result import CannotCarryError

UNIT: Final = "targetingKey"
SCALARS: Final = ("string", "number", "boolean")
_ANYTHING: Final = (*SCALARS, "array", "object")
_NAME: Final = r"[\u0080-\uffffa-zA-Z_][\u0080-\uffffa-zA-Z0-9_-]*"
_QUOTED: Final = r"""'[^'\\\x00-\x1f]*'|"[^"\\\x00-\x1f]*\""""
_SPACE: Final = r"[ \n\r\t]*"
_STEP: Final = rf"{_SPACE}(?:\.({_NAME})|\[{_SPACE}({_QUOTED}){_SPACE}\])"
_PLAIN_PATH: Final = re.compile(rf"\$(?:{_STEP})+")
_ONE_STEP: Final = re.compile(_STEP)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a property stands in our context.

    ``attr`` is ``None`` where nothing stands. ``types`` are those that are a value there.
    ``constant`` stands in for a place of the environment that the context leaves out.
    ``of_identity`` says that there is nothing without an identity.
    """

    attr: str | Sequence[str] | None
    types: tuple[str, ...] = SCALARS
    constant: Any = None
    of_identity: bool = True

    @property
    def is_identifier(self) -> bool:
        """Whether this is the identifier, which also stands in the default key."""
        return self.attr == ("identity", "identifier")


def place_of(name: str, environment: Mapping[str, Any]) -> Place:
    """Return where a property stands.

    Raises
    ------
    CannotCarryError
        If it is a JSONPath of more than names, or of something that no context of ours holds.
    """
    if not name.startswith("$."):
        return _trait((name,))
    if _PLAIN_PATH.fullmatch(name) is None:
        if any(mark in name for mark in ("*", "[", "..")):
            raise CannotCarryError(f"the property {name!r} is a JSONPath of more than names")
        return _trait((name,))  # Flagsmith takes a path that is none for the name of a trait.
    steps = [found[1] or found[2][1:-1] for found in _ONE_STEP.finditer(name)]
    if steps[0] == "environment" and len(steps) > 1:
        return _of_environment(steps, environment)
    if steps[0] in ("flags", "features", "segments"):
        raise CannotCarryError(f"the property {name!r} asks other flags or segments")
    if steps[0] != "identity" or steps in (["identity"], ["identity", "traits"]):
        return _trait((name,))  # No value stands there, so only a trait can have that name.
    if steps[1] == "traits":
        return _trait(tuple(steps[2:]), SCALARS)
    if steps[1:] == ["key"]:
        return Place(UNIT)
    return Place(tuple(steps))


def _trait(path: tuple[str, ...], types: tuple[str, ...] = _ANYTHING) -> Place:
    if path[0] == UNIT:
        raise CannotCarryError(f"a trait called {UNIT!r} would be taken for the identity's key")
    if path in (("identity",), ("environment",)):
        types = SCALARS  # an object there is not the trait
    return Place(path[0] if len(path) == 1 else path, types)


def _of_environment(steps: list[str], environment: Mapping[str, Any]) -> Place:
    value: Any = {"environment": environment}
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return Place(tuple(steps), constant=value, of_identity=False)
