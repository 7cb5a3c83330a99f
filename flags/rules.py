"""Rules on their way in: ids, salts, and splits laid out as ranges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from flags.conditions import check_condition
from flags.errors import AlreadyExistsError, InvalidInputError
from flags.instructions import NewRule, RangedSplit, RuleEdit, ServeSplit, WeightedSplit
from flags.plain import MAX_RULES, check_name
from flags.ranges import ranges_for, read_split
from flags.workspace import FlagCopy, served_variants

Rule = dict[str, Any]


def new_rule(flag: FlagCopy, draft: NewRule, at: str) -> Rule:
    """Give a stored rule from the one that an author wrote."""
    taken = {rule["id"] for rule in flag.state["rules"]}
    if len(taken) >= MAX_RULES:
        raise InvalidInputError(
            f"flag {flag.key!r} would have more than {MAX_RULES} rules",
            field=at,
            hint="name common conditions as segments, or list units as targets",
        )
    rule_id = draft.id if draft.id is not None else _fresh_id(flag, taken)
    check_name(rule_id, f"{at}.id", what="rule")
    if rule_id in taken:
        raise AlreadyExistsError(
            f"flag {flag.key!r} already has a rule {rule_id!r}",
            field=f"{at}.id",
            hint="update_rule changes it",
        )
    rule: Rule = {
        "id": rule_id,
        "when": check_condition(draft.when, f"{at}.when"),
        "serve": stored_serve(flag, rule_id, draft.serve, None, f"{at}.serve"),
    }
    _set_times(rule, draft.start, draft.end, at)
    if draft.track:
        rule["track"] = True
    return rule


def edited_rule(flag: FlagCopy, rule: Rule, edit: RuleEdit, at: str) -> Rule:
    """Give a rule with the fields replaced that the author named."""
    named = edit.model_fields_set
    changed = dict(rule)
    if "when" in named:
        changed["when"] = check_condition(edit.when, f"{at}.when")
    if "serve" in named:
        if edit.serve is None:
            raise InvalidInputError("a rule serves something", field=f"{at}.serve")
        changed["serve"] = stored_serve(flag, rule["id"], edit.serve, rule["serve"], f"{at}.serve")
    start = edit.start if "start" in named else rule.get("start")
    end = edit.end if "end" in named else rule.get("end")
    _set_times(changed, start, end, at)
    if "track" in named:
        changed.pop("track", None)
        if edit.track:
            changed["track"] = True
    return changed


def stored_serve(
    flag: FlagCopy, rule_id: str, serve: str | ServeSplit, before: Any, at: str
) -> Any:
    """Give what a rule serves, in its stored form; a salt that was there stays."""
    if isinstance(serve, str):
        known_variant(flag, serve, at)
        return serve
    split = serve.split
    at = f"{at}.split"
    salt = split.salt
    if salt is None:
        salt = before["split"]["salt"] if isinstance(before, dict) else own_salt(flag.key, rule_id)
    stored = {
        "by": split.by,
        "hash": "flagstone",
        "salt": salt,
        "of": 10_000,
        "missing": split.missing,
    }
    if isinstance(split, WeightedSplit):
        stored["to"] = _laid_out(split.weights, split.coverage, 10_000, at)
    else:
        stored["hash"], stored["of"] = split.hash, split.of
        stored["to"] = _checked_arms(split, at)
    for variant in sorted(served_variants({"split": stored})):
        known_variant(flag, variant, at)
    return {"split": stored}


def with_coverage(rule: Rule, coverage: float, at: str) -> Rule:
    """Give a rule that takes in another share of the units, its weights as they were."""
    split = _split_of(rule, f"{at}.rule")
    layout = read_split(split)
    if layout is None:
        raise InvalidInputError(
            f"the ranges of rule {rule['id']!r} were not laid out by weights and a coverage",
            field=f"{at}.rule",
            hint="set_weights lays them out anew (units may move), or update_rule sets ranges",
        )
    to = _laid_out(layout[0], coverage, split["of"], at)
    return {**rule, "serve": {"split": {**split, "to": to}}}


def with_weights(
    flag: FlagCopy, rule: Rule, weights: dict[str, int], coverage: float | None, at: str
) -> Rule:
    """Give a rule whose split is laid out anew."""
    split = _split_of(rule, f"{at}.rule")
    if coverage is None:
        layout = read_split(split)
        if layout is None:
            raise InvalidInputError(
                f"the coverage of rule {rule['id']!r} cannot be read from its ranges",
                field=f"{at}.coverage",
                hint="give a coverage as well",
            )
        coverage = layout[1]
    for variant in weights:
        known_variant(flag, variant, f"{at}.weights.{variant}")
    # Variants that stay keep their order, so that as few units as possible move.
    order = [arm["variant"] for arm in split["to"] if arm["variant"] in weights]
    order += [variant for variant in weights if variant not in order]
    to = _laid_out({variant: weights[variant] for variant in order}, coverage, split["of"], at)
    return {**rule, "serve": {"split": {**split, "to": to}}}


def own_salt(flag_key: str, rule_id: str) -> str:
    """Give the salt of a rule that names none: unique in the project, and never random.

    A random salt would make the preview of a change differ from its application.
    """
    escaped = rule_id.replace("%", "%25").replace(":", "%3A")
    return f"{flag_key}:{escaped}"


def find_rule(flag: FlagCopy, rule_id: str, at: str) -> int:
    """Give the position of a rule."""
    ids = [rule["id"] for rule in flag.state["rules"]]
    if rule_id not in ids:
        raise InvalidInputError(
            f"flag {flag.key!r} has no rule {rule_id!r} in this environment",
            field=at,
            hint=_listed("its rules are", ids) if ids else "it has no rules here",
        )
    return ids.index(rule_id)


def known_variant(flag: FlagCopy, variant: str, at: str) -> str:
    """Give back the name of a variant that the flag has, or refuse it."""
    if variant not in flag.variants:
        raise InvalidInputError(
            f"flag {flag.key!r} has no variant {variant!r}",
            field=at,
            hint=_listed("its variants are", list(flag.variants)),
        )
    return variant


def _listed(words: str, names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{words} {shown}" + (", …" if len(names) > 10 else "")


def _fresh_id(flag: FlagCopy, taken: set[str]) -> str:
    # Counting from the flag's version keeps a removed rule's id, and so its salt, from coming back.
    number = flag.version + 1
    while f"rule-{number}" in taken:
        number += 1
    return f"rule-{number}"


def _set_times(rule: Rule, start: str | None, end: str | None, at: str) -> None:
    for name, value in (("start", start), ("end", end)):
        rule.pop(name, None)
        if value is not None:
            rule[name] = value
    # Both are UTC in ISO form, but one may carry a fraction of a second.
    if start is not None and end is not None and _comparable(start) >= _comparable(end):
        raise InvalidInputError("the rule would end before it starts", field=f"{at}.end")


def _comparable(instant: str) -> str:
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<6}"


def _laid_out(weights: dict[str, int], coverage: float, of: int, at: str) -> list[Any]:
    try:
        return ranges_for(weights, coverage, of)
    except InvalidInputError as error:
        raise InvalidInputError(
            error.message, field=f"{at}.{error.field}", hint=error.hint
        ) from None


def _split_of(rule: Rule, at: str) -> dict[str, Any]:
    if isinstance(rule["serve"], str):
        raise InvalidInputError(
            f"rule {rule['id']!r} serves one variant, it has no split",
            field=at,
            hint="update_rule with serve.split makes it one",
        )
    split: dict[str, Any] = rule["serve"]["split"]
    return split


def _checked_arms(split: RangedSplit, at: str) -> list[Any]:
    taken: list[tuple[int, int, str, str]] = []
    arms = []
    for index, arm in enumerate(split.to):
        for place, (start, end) in enumerate(arm.ranges):
            here = f"{at}.to[{index}].ranges[{place}]"
            if not 0 <= start <= end <= split.of:
                raise InvalidInputError(
                    f"[{start}, {end}) is not a range of buckets",
                    field=here,
                    hint=f"0 <= start <= end <= {split.of}",
                )
            if start < end:
                taken.append((start, end, arm.variant, here))
        arms.append({"variant": arm.variant, "ranges": [list(pair) for pair in arm.ranges]})
    taken.sort()
    for (_, end, one, _), (start, _, other, here) in pairwise(taken):
        if start < end and one != other:
            raise InvalidInputError(f"the ranges of {one!r} and {other!r} overlap", field=here)
    return arms
