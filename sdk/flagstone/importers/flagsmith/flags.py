"""One feature as a flag: its overrides become rules, the least priority first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flagstone.importers.conditions import NOBODY, leaf
from flagstone.importers.flagsmith.document import Environment, IdentityOverride, State
from flagstone.importers.flagsmith.properties import UNIT
from flagstone.importers.flagsmith.segments import check_key_hashing, identifier_in
from flagstone.importers.flagsmith.shares import bucketing, lies_in, shares_of
from flagstone.importers.naming import numbered
from flagstone.importers.result import CannotCarryError
from flagstone.importers.values import type_of

CONTROL: Final = "control"


class Branch(NamedTuple):
    """Whom a state is for."""

    name: str
    when: Any
    state: State


def flag_document(
    name: str, state: State, branches: Sequence[Branch], *, toggles: bool, environment: Environment
) -> dict[str, Any]:
    """Return a feature as the document of a flag.

    Parameters
    ----------
    name : str
        The feature's name.
    state : State
        What it is in the environment.
    branches : sequence of Branch
        Its overrides, the first that matches wins.
    toggles : bool
        Whether a feature that has no value anywhere becomes a boolean.
    environment : Environment
        The file.

    Raises
    ------
    CannotCarryError
        If it cannot be carried.
    """
    states = [state, *(branch.state for branch in branches)]
    values = [one.value for one in states]
    values += [option.value for one in states for option in one.options]
    boolean = toggles and all(value is None for value in values)
    book = _Variants(boolean=boolean)
    rules = _Rules(book, environment)
    # The environment's own state first: its variants keep the names that Flagsmith gives them.
    own = rules.split(state) if state.options else None
    default = book.plain("default", state) if own is None else own["missing"]
    for branch in branches:
        rules.add(branch)
    if own is not None:
        rules.add_split("everybody else", True, own)
    return {
        "key": name,
        "type": "boolean" if boolean else type_of(values),
        "variants": book.documents,
        "enabled": True,
        "rules": rules.documents,
        "default": default,
    }


def identity_branches(overrides: Sequence[IdentityOverride], prefix: str) -> Iterator[Branch]:
    """Yield identities with the same state together; of several states, the first is an identity's.

    Raises
    ------
    CannotCarryError
        If a state cannot be read.
    """
    seen: set[str] = set()
    together: dict[str, tuple[State, list[str]]] = {}
    for override in overrides:
        if isinstance(override.state, CannotCarryError):
            raise CannotCarryError(f"the override of an identity: {override.state}")
        print_ = _print(override.state.value, override.state.enabled)
        _, identifiers = together.setdefault(print_, (override.state, []))
        identifiers.extend(dict.fromkeys(one for one in override.identifiers if one not in seen))
        seen.update(override.identifiers)
    for state, identifiers in together.values():
        when = identifier_in(identifiers, prefix)
        if when != NOBODY:
            yield Branch("identity_overrides", when, state)


class _Variants:
    """Names values. Two values that Flagsmith calls the same get a number behind the name."""

    def __init__(self, *, boolean: bool) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.boolean = boolean
        self._of_plain: dict[str, str] = {}

    def named(self, name: str, value: Any, *, on: bool) -> str:
        """Return the name of a value that Flagsmith calls ``name``."""
        document = {"value": on if self.boolean else value, "on": on}
        wanted = _print(**document)
        found = numbered(
            name, lambda one: one in self.documents and _print(**self.documents[one]) != wanted
        )
        self.documents[found] = document
        return found

    def plain(self, name: str, state: State) -> str:
        """Return the name of a state that Flagsmith does not name."""
        print_ = _print(state.value, state.enabled)
        if print_ not in self._of_plain:
            self._of_plain[print_] = self.named(name, state.value, on=state.enabled)
        return self._of_plain[print_]


def _print(value: Any, on: bool) -> str:  # noqa: FBT001  the fields of a variant
    return json.dumps([value, on], sort_keys=True)


class _Rules:
    def __init__(self, book: _Variants, environment: Environment) -> None:
        self.documents: list[dict[str, Any]] = []
        self._book = book
        self._environment = environment
        self._names: set[str] = set()

    def add(self, branch: Branch) -> None:
        state = branch.state
        if state.options:
            self.add_split(branch.name, branch.when, self.split(state))
        else:
            self._add(branch.name, branch.when, self._book.plain(branch.name, state))

    def split(self, state: State) -> dict[str, Any]:
        """Return the split of a state; what no option takes is for control."""
        check_key_hashing(self._environment)
        assert state.salt is not None
        shares, rest = shares_of([option.weight for option in state.options])
        control = self._book.named(CONTROL, state.value, on=state.enabled)
        to: dict[str, list[list[int]]] = {}
        for number, (option, ranges) in enumerate(zip(state.options, shares, strict=True), 1):
            name = option.name or f"option {number}"
            if ranges:
                variant = self._book.named(name, option.value, on=state.enabled)
                to.setdefault(variant, []).extend(ranges)
        to.setdefault(control, []).extend(rest)
        return {
            **bucketing(state.salt),
            "missing": control,
            "to": [{"variant": name, "ranges": ranges} for name, ranges in to.items() if ranges],
        }

    def add_split(self, name: str, when: Any, split: dict[str, Any]) -> None:
        # An empty key makes Flagsmith take the default one, of an empty identifier.
        of_default, of_empty = (
            self._share_of(split, unit) for unit in (self._environment.default_key_prefix, "")
        )
        if of_default != of_empty:
            empty = leaf(UNIT, "in", [""])
            self._add(
                f"{name}, empty key", empty if when is True else {"all": [when, empty]}, of_default
            )
        self._add(name, when, {"split": split})

    def _share_of(self, split: Mapping[str, Any], unit: str) -> str:
        return next(
            str(share["variant"])
            for share in split["to"]
            if lies_in(split["salt"], unit, share["ranges"])
        )

    def _add(self, name: str, when: Any, serve: Any) -> None:
        unique = numbered(name, self._names.__contains__)
        self._names.add(unique)
        self.documents.append({"id": unique, "when": when, "serve": serve})
