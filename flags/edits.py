"""What each instruction does to a workspace. Pure: no row, no clock, no database.

Every function takes the workspace, the instruction, and the instruction's path for errors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flags import instructions as grammar
from flags.conditions import check_condition
from flags.errors import AlreadyExistsError, InvalidInputError, NotFoundError, StateError
from flags.inversion import undo
from flags.plain import (
    MAX_SEGMENTS,
    MAX_TARGET_KEYS,
    MAX_VARIANTS,
    check_key,
    check_name,
    check_plain,
)
from flags.promotion import promote
from flags.reverts import revert
from flags.rules import (
    edited_rule,
    find_rule,
    known_variant,
    new_rule,
    with_coverage,
    with_weights,
)
from flags.values import coerce_value
from flags.workspace import (
    FlagCopy,
    SegmentCopy,
    Workspace,
    dependants_of_flag,
    dependants_of_segment,
    empty_state,
    variants_in_use,
)

Edit = Callable[[Workspace, Any, str], None]
_EDITS: dict[type[Any], Edit] = {}
_E = TypeVar("_E", bound=Callable[..., None])


def apply_instruction(workspace: Workspace, instruction: Any, at: str) -> None:
    """Do what an instruction says to the workspace."""
    _EDITS[type(instruction)](workspace, instruction, at)


def _does(kind: type[Any]) -> Callable[[_E], _E]:
    def register(edit: _E) -> _E:
        _EDITS[kind] = edit
        return edit

    return register


@_does(grammar.TurnOn)
def _turn_on(workspace: Workspace, it: grammar.TurnOn, at: str) -> None:
    workspace.edit(it.flag, at).state["enabled"] = True


@_does(grammar.TurnOff)
def _turn_off(workspace: Workspace, it: grammar.TurnOff, at: str) -> None:
    workspace.edit(it.flag, at).state["enabled"] = False


@_does(grammar.Kill)
def _kill(workspace: Workspace, it: grammar.Kill, at: str) -> None:
    workspace.edit(it.flag, at).state["killed"] = True


@_does(grammar.Unkill)
def _unkill(workspace: Workspace, it: grammar.Unkill, at: str) -> None:
    workspace.edit(it.flag, at).state["killed"] = False


@_does(grammar.SetOffVariant)
def _set_off_variant(workspace: Workspace, it: grammar.SetOffVariant, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    if it.variant is not None:
        known_variant(flag, it.variant, f"{at}.variant")
    flag.state["off"] = it.variant


@_does(grammar.SetDefault)
def _set_default(workspace: Workspace, it: grammar.SetDefault, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    if it.variant is not None:
        known_variant(flag, it.variant, f"{at}.variant")
    flag.state["default"] = it.variant


@_does(grammar.AddRule)
def _add_rule(workspace: Workspace, it: grammar.AddRule, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    rules = flag.state["rules"]
    position = len(rules) if it.position is None else it.position
    if position > len(rules):
        raise InvalidInputError(
            f"position {position} is past the end",
            field=f"{at}.position",
            hint=f"0 to {len(rules)}; left out, the rule goes to the end",
        )
    rules.insert(position, new_rule(flag, it.rule, f"{at}.rule"))


@_does(grammar.UpdateRule)
def _update_rule(workspace: Workspace, it: grammar.UpdateRule, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    index = find_rule(flag, it.rule.id, f"{at}.rule.id")
    rules = flag.state["rules"]
    rules[index] = edited_rule(flag, rules[index], it.rule, f"{at}.rule")


@_does(grammar.RemoveRule)
def _remove_rule(workspace: Workspace, it: grammar.RemoveRule, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    del flag.state["rules"][find_rule(flag, it.rule, f"{at}.rule")]


@_does(grammar.ReorderRules)
def _reorder_rules(workspace: Workspace, it: grammar.ReorderRules, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    by_id = {rule["id"]: rule for rule in flag.state["rules"]}
    if sorted(it.rules) != sorted(by_id):
        raise InvalidInputError(
            "every rule of the flag must be named exactly once",
            field=f"{at}.rules",
            hint=f"its rules are {', '.join(by_id)}",
        )
    flag.state["rules"] = [by_id[rule_id] for rule_id in it.rules]


@_does(grammar.SetCoverage)
def _set_coverage(workspace: Workspace, it: grammar.SetCoverage, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    index = find_rule(flag, it.rule, f"{at}.rule")
    rules = flag.state["rules"]
    rules[index] = with_coverage(rules[index], it.value, at)


@_does(grammar.SetWeights)
def _set_weights(workspace: Workspace, it: grammar.SetWeights, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    index = find_rule(flag, it.rule, f"{at}.rule")
    rules = flag.state["rules"]
    rules[index] = with_weights(flag, rules[index], it.weights, it.coverage, at)


@_does(grammar.AddTargets)
def _add_targets(workspace: Workspace, it: grammar.AddTargets, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    known_variant(flag, it.variant, f"{at}.variant")
    check_plain(it.keys, f"{at}.keys")
    _drop_keys(flag, set(it.keys), it.by, keep=(it.variant, it.until))
    for target in flag.state["targets"]:
        if _place(target) == (it.by, it.variant, it.until):
            present = set(target["keys"])
            target["keys"] += [key for key in dict.fromkeys(it.keys) if key not in present]
            break
    else:
        target = {"variant": it.variant, "by": it.by, "keys": list(dict.fromkeys(it.keys))}
        if it.until is not None:
            target["until"] = it.until
        flag.state["targets"].append(target)
    if sum(len(target["keys"]) for target in flag.state["targets"]) > MAX_TARGET_KEYS:
        raise InvalidInputError(
            f"flag {flag.key!r} would name more than {MAX_TARGET_KEYS} units",
            field=f"{at}.keys",
            hint="put an attribute on those units and write a rule",
        )


@_does(grammar.RemoveTargets)
def _remove_targets(workspace: Workspace, it: grammar.RemoveTargets, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    if it.variant is not None:
        known_variant(flag, it.variant, f"{at}.variant")
    _drop_keys(flag, set(it.keys), it.by, only=it.variant)


def _place(target: dict[str, Any]) -> tuple[Any, str, str | None]:
    return target["by"], target["variant"], target.get("until")


def _drop_keys(
    flag: FlagCopy,
    keys: set[str],
    by: Any,
    *,
    keep: tuple[str, str | None] | None = None,
    only: str | None = None,
) -> None:
    kept = []
    for target in flag.state["targets"]:
        untouched = keep is not None and _place(target) == (by, *keep)
        if target["by"] != by or untouched or (only is not None and target["variant"] != only):
            kept.append(target)
            continue
        left = [key for key in target["keys"] if key not in keys]
        if left:
            kept.append({**target, "keys": left})
    flag.state["targets"] = kept


@_does(grammar.AddVariant)
def _add_variant(workspace: Workspace, it: grammar.AddVariant, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    check_name(it.variant, f"{at}.variant", what="variant")
    if it.variant in flag.variants:
        raise AlreadyExistsError(
            f"flag {flag.key!r} already has a variant {it.variant!r}",
            field=f"{at}.variant",
            hint="update_variant changes it",
        )
    if len(flag.variants) >= MAX_VARIANTS:
        raise InvalidInputError(
            f"a flag has at most {MAX_VARIANTS} variants", field=f"{at}.variant"
        )
    flag.variants[it.variant] = stored_variant(flag.type, it.value, it.on, f"{at}.value")


@_does(grammar.UpdateVariant)
def _update_variant(workspace: Workspace, it: grammar.UpdateVariant, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    known_variant(flag, it.variant, f"{at}.variant")
    before = flag.variants[it.variant]
    value = it.value if "value" in it.model_fields_set else before["value"]
    on = it.on if it.on is not None else before.get("on", True)
    flag.variants[it.variant] = stored_variant(flag.type, value, on, f"{at}.value")


@_does(grammar.RemoveVariant)
def _remove_variant(workspace: Workspace, it: grammar.RemoveVariant, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    known_variant(flag, it.variant, f"{at}.variant")
    users = dependants_of_flag(workspace, flag.key, it.variant)
    if it.variant in variants_in_use(flag.state):
        users.append(f"environment {workspace.environment_key}")
    users += [
        f"environment {key}"
        for key, state in workspace.elsewhere(flag.key).items()
        if it.variant in variants_in_use(state)
    ]
    if users:
        raise StateError(
            f"variant {it.variant!r} is still used by {', '.join(users[:5])}",
            field=f"{at}.variant",
            hint="serve another variant there first",
        )
    if len(flag.variants) == 1:
        raise StateError("a flag keeps at least one variant", field=f"{at}.variant")
    del flag.variants[it.variant]


def stored_variant(flag_type: str, value: Any, on: bool | None, field: str) -> dict[str, Any]:  # noqa: FBT001
    """Give a variant as it is stored; a boolean flag's ``false`` is off unless said otherwise."""
    typed = coerce_value(flag_type, value, field)
    if on is None:
        on = typed is not False
    # Readers take a variant for on unless its value is false; what is not so is written down.
    return {"value": typed} if on and typed is not False else {"value": typed, "on": on}


@_does(grammar.SetPrerequisites)
def _set_prerequisites(workspace: Workspace, it: grammar.SetPrerequisites, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    flag.state["prerequisites"] = _prerequisites(workspace, flag, it.prerequisites, at)
    refuse_cycle(workspace, flag.key, f"{at}.prerequisites")


def _prerequisites(
    workspace: Workspace, flag: FlagCopy, asked: Sequence[grammar.Prerequisite], at: str
) -> list[dict[str, Any]]:
    stored = []
    for index, prerequisite in enumerate(asked):
        here = f"{at}.prerequisites[{index}]"
        other = workspace.flags.get(prerequisite.flag)
        if other is None or other.archived or other is flag:
            raise InvalidInputError(
                f"flag {prerequisite.flag!r} cannot be a prerequisite here",
                field=f"{here}.flag",
                hint="name another flag of the project that is not archived",
            )
        for place, variant in enumerate(prerequisite.variants):
            known_variant(other, variant, f"{here}.variants[{place}]")
        stored.append({"flag": other.key, "variants": list(prerequisite.variants)})
    return stored


def refuse_cycle(workspace: Workspace, start: str, at: str) -> None:
    """Refuse prerequisites that lead from a flag back to it."""
    waiting: list[tuple[str, tuple[str, ...]]] = [(start, (start,))]
    seen: set[str] = set()
    while waiting:
        key, path = waiting.pop()
        for prerequisite in workspace.flags[key].state["prerequisites"]:
            other = prerequisite["flag"]
            if other == start:
                raise InvalidInputError(
                    f"the prerequisites would go in a circle: {' → '.join([*path, start])}",
                    field=at,
                )
            if other not in seen and other in workspace.flags:
                seen.add(other)
                waiting.append((other, (*path, other)))


@_does(grammar.UpdateFlag)
def _update_flag(workspace: Workspace, it: grammar.UpdateFlag, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    for name in ("name", "description", "owner"):
        value = getattr(it, name)
        if value is not None:
            check_plain(value, f"{at}.{name}")
            setattr(flag, name, value)
    if it.client is not None:
        flag.client = it.client
    if "expires" in it.model_fields_set:
        flag.expires = it.expires
    if it.kind is not None:
        flag.kind = it.kind
    if it.metadata is not None:
        check_plain(it.metadata, f"{at}.metadata")
        flag.metadata = dict(it.metadata)


@_does(grammar.Archive)
def _archive(workspace: Workspace, it: grammar.Archive, at: str) -> None:
    flag = workspace.edit_archived(it.flag, at)
    users = dependants_of_flag(workspace, flag.key)
    if users:
        raise StateError(
            f"flag {flag.key!r} is still asked about by {', '.join(users[:5])}",
            field=f"{at}.flag",
            hint="remove those prerequisites and conditions first",
        )
    flag.archived = True


@_does(grammar.Restore)
def _restore(workspace: Workspace, it: grammar.Restore, at: str) -> None:
    workspace.edit_archived(it.flag, at).archived = False


@_does(grammar.AddSegment)
def _add_segment(workspace: Workspace, it: grammar.AddSegment, at: str) -> None:
    check_key(it.segment, f"{at}.segment")
    check_plain(it.name, f"{at}.name")
    if workspace.note_segment(it.segment) is not None:
        raise AlreadyExistsError(
            f"there is already a segment {it.segment!r}",
            field=f"{at}.segment",
            hint="update_segment changes it",
        )
    if len(workspace.segments) >= MAX_SEGMENTS:
        raise InvalidInputError(
            f"an environment has at most {MAX_SEGMENTS} segments", field=f"{at}.segment"
        )
    condition = check_condition(it.condition, f"{at}.condition")
    workspace.segments[it.segment] = SegmentCopy(it.segment, it.name, condition)


@_does(grammar.UpdateSegment)
def _update_segment(workspace: Workspace, it: grammar.UpdateSegment, at: str) -> None:
    segment = _known_segment(workspace, it.segment, at)
    if "condition" in it.model_fields_set:
        segment.condition = check_condition(it.condition, f"{at}.condition")
    if it.name is not None:
        check_plain(it.name, f"{at}.name")
        segment.name = it.name


@_does(grammar.RemoveSegment)
def _remove_segment(workspace: Workspace, it: grammar.RemoveSegment, at: str) -> None:
    _known_segment(workspace, it.segment, at)
    users = dependants_of_segment(workspace, it.segment)
    if users:
        raise StateError(
            f"segment {it.segment!r} is still named by {', '.join(users[:5])}",
            field=f"{at}.segment",
            hint="take it out of those rules first",
        )
    del workspace.segments[it.segment]


def _known_segment(workspace: Workspace, key: str, at: str) -> SegmentCopy:
    segment = workspace.note_segment(key)
    if segment is None:
        raise NotFoundError(f"there is no segment {key!r}", field=f"{at}.segment")
    return segment


@_does(grammar.RevertTo)
def _revert_to(workspace: Workspace, it: grammar.RevertTo, at: str) -> None:
    document = copy.deepcopy(workspace.earlier(it.revision))
    revert(workspace, document, it.flag, at)


@_does(grammar.Promote)
def _promote(workspace: Workspace, it: grammar.Promote, at: str) -> None:
    for key in promote(workspace, it, at):
        refuse_cycle(workspace, key, f"{at}.flag")


@_does(grammar.PutState)
def _put_state(workspace: Workspace, it: grammar.PutState, at: str) -> None:
    flag = workspace.edit(it.flag, at)
    state = {**empty_state(off=it.off, default=it.default), "enabled": it.enabled}
    state["killed"] = flag.state["killed"]
    for name in ("off", "default"):
        if state[name] is not None:
            known_variant(flag, state[name], f"{at}.{name}")
    for index, target in enumerate(it.targets):
        known_variant(flag, target.variant, f"{at}.targets[{index}].variant")
        check_plain(target.keys, f"{at}.targets[{index}].keys")
        until = {} if target.until is None else {"until": target.until}
        kept = {"variant": target.variant, "by": target.by, "keys": list(target.keys)}
        state["targets"].append({**kept, **until})
    if sum(len(target.keys) for target in it.targets) > MAX_TARGET_KEYS:
        raise InvalidInputError(
            f"flag {flag.key!r} would name more than {MAX_TARGET_KEYS} units", field=f"{at}.targets"
        )
    flag.state = state
    for index, rule in enumerate(it.rules):
        flag.state["rules"].append(new_rule(flag, rule, f"{at}.rules[{index}]"))
    flag.state["prerequisites"] = _prerequisites(workspace, flag, it.prerequisites, at)


@_does(grammar.Undo)
def _undo(workspace: Workspace, it: grammar.Undo, at: str) -> None:
    undo(workspace, it.entry, at)
