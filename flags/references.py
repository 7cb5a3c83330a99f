"""Names in conditions: the segments and flags that an instruction asks about must be there.

The engine refuses a dangling name as well, at publication; here the error points into the
instruction that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flags import instructions as grammar
from flags.conditions import leaves
from flags.errors import InvalidInputError
from flags.rules import known_variant
from flags.workspace import Workspace


def check_references(workspace: Workspace, change: grammar.Change) -> None:
    """Refuse a condition of the change that names what the workspace lacks."""
    for path, condition in _conditions(change):
        for here, leaf in leaves(condition, path):
            if "segment" in leaf and leaf["segment"] not in workspace.segments:
                known = ", ".join(list(workspace.segments)[:10])
                raise InvalidInputError(
                    f"there is no segment {leaf['segment']!r} in this environment",
                    field=f"{here}.segment",
                    hint=f"its segments are {known}" if known else "add_segment makes one",
                )
            if "flag" in leaf:
                _check_flag(workspace, leaf, here)


def _conditions(change: grammar.Change) -> Iterator[tuple[str, Any]]:
    for index, instruction in enumerate(change.instructions):
        at = f"instructions[{index}]"
        if isinstance(instruction, grammar.AddRule | grammar.UpdateRule):
            yield f"{at}.rule.when", instruction.rule.when
        elif isinstance(instruction, grammar.PutState):
            for place, rule in enumerate(instruction.rules):
                yield f"{at}.rules[{place}].when", rule.when
        elif isinstance(instruction, grammar.AddSegment | grammar.UpdateSegment):
            yield f"{at}.condition", instruction.condition


def _check_flag(workspace: Workspace, leaf: dict[str, Any], at: str) -> None:
    flag = workspace.flags.get(leaf["flag"])
    if flag is None or flag.archived:
        raise InvalidInputError(
            f"there is no flag {leaf['flag']!r}",
            field=f"{at}.flag",
            hint="name a flag of the project that is not archived",
        )
    for index, variant in enumerate(leaf.get("variants") or ()):
        known_variant(flag, variant, f"{at}.variants[{index}]")
