"""A working copy of one environment, in plain values: what instructions edit.

Rows stay out of it, so that a preview and an application run the same code, and the preview
cannot write.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flags.canonical import same
from flags.conditions import flags_of, segments_of
from flags.errors import NotFoundError, StateError

State = dict[str, Any]


@dataclass(slots=True)
class FlagCopy:
    """A flag: what it is everywhere, and its ``state`` in this environment."""

    key: str
    type: str
    name: str
    description: str
    owner: str
    client: bool
    archived: bool
    metadata: dict[str, Any]
    variants: dict[str, Any]
    state: State
    version: int
    expires: str | None = None
    kind: str = "temporary"

    def document(self) -> dict[str, Any]:
        """Give the flag as it is published (FLAGS.md §1)."""
        state = self.state
        owner = {"owner": self.owner} if self.owner else {}
        return {
            "key": self.key,
            "type": self.type,
            "version": self.version,
            "client": self.client,
            "variants": self.variants,
            "enabled": state["enabled"],
            "killed": state["killed"],
            "off": state["off"],
            "prerequisites": state["prerequisites"],
            "targets": state["targets"],
            "rules": state["rules"],
            "default": state["default"],
            "metadata": {**self.metadata, **owner},
        }

    def shared(self) -> dict[str, Any]:
        """Give what readers in every environment see of the flag."""
        document = self.document()
        names = ("client", "variants", "metadata")
        return {**{name: document[name] for name in names}, "archived": self.archived}

    def adopt(self, other: FlagCopy) -> None:
        """Become what the other, the same flag in another environment, is everywhere."""
        for name in self.everywhere():
            setattr(self, name, getattr(other, name))

    def whole(self) -> dict[str, Any]:
        """Give everything that an instruction can change, in one flat document."""
        return {**self.document(), **self.everywhere()}

    def everywhere(self) -> dict[str, Any]:
        """Give what is the same in every environment."""
        return {
            "name": self.name,
            "description": self.description,
            "owner": self.owner,
            "client": self.client,
            "archived": self.archived,
            "metadata": self.metadata,
            "variants": self.variants,
            "expires": self.expires,
            "kind": self.kind,
        }


@dataclass(slots=True)
class SegmentCopy:
    """A named condition."""

    key: str
    name: str
    condition: Any

    def document(self) -> dict[str, Any]:
        """Give the segment for readers."""
        return {"key": self.key, "name": self.name, "condition": self.condition}


def empty_state(*, off: str | None, default: str | None) -> State:
    """Give the state of a flag that nobody has touched: off, without rules."""
    return {
        "enabled": False,
        "killed": False,
        "off": off,
        "default": default,
        "prerequisites": [],
        "targets": [],
        "rules": [],
    }


@dataclass(frozen=True, slots=True)
class Done:
    """What an audit entry says was done: the fields that changed, before and after."""

    id: int
    action: str
    resource: str
    before: Any
    after: Any
    revision: int | None


def _no_entry(entry_id: int) -> Done:
    raise NotFoundError(f"there is no audit entry {entry_id}", field="entry")


@dataclass(frozen=True, slots=True)
class Source:
    """An environment as its newest revision has it, for what is promoted from there.

    ``flags`` are published documents, ``segments`` conditions and ``names`` what those are called.
    """

    environment_key: str
    revision: int
    flags: Mapping[str, Any]
    segments: Mapping[str, Any]
    names: Mapping[str, str]


def _no_source(environment_key: str, at: str) -> Source:
    raise NotFoundError(f"there is no environment {environment_key!r}", field=at)


@dataclass(slots=True)
class Workspace:
    """Flags and segments of one environment.

    Parameters
    ----------
    environment_key : str
        For sentences and errors.
    flags, segments : dict
        Working copies by key, archived flags included.
    earlier : callable
        Gives the flag set document of an earlier revision by number.
    elsewhere : callable
        Gives a flag's state in every *other* environment, by the environment's key.
    entry : callable
        Gives an audit entry of the environment by its id.
    source : callable
        Gives another environment by its key and the path of what names it.
    """

    environment_key: str
    flags: dict[str, FlagCopy]
    segments: dict[str, SegmentCopy]
    earlier: Callable[[int], Mapping[str, Any]]
    elsewhere: Callable[[str], Mapping[str, State]]
    entry: Callable[[int], Done] = _no_entry
    source: Callable[[str, str], Source] = _no_source
    flags_before: dict[str, FlagCopy] = field(default_factory=dict)
    segments_before: dict[str, SegmentCopy | None] = field(default_factory=dict)

    def edit(self, key: str, at: str) -> FlagCopy:
        """Give a flag to edit in place; its state before is kept for the comparison."""
        flag = self.edit_archived(key, at)
        if flag.archived:
            raise StateError(
                f"flag {key!r} is archived", field=f"{at}.flag", hint="restore the flag first"
            )
        return flag

    def edit_archived(self, key: str, at: str) -> FlagCopy:
        """Give a flag to edit in place, though it may be archived."""
        flag = self.flags.get(key)
        if flag is None:
            raise NotFoundError(f"there is no flag {key!r}", field=f"{at}.flag")
        if key not in self.flags_before:
            self.flags_before[key] = copy.deepcopy(flag)
        return flag

    def note_segment(self, key: str) -> SegmentCopy | None:
        """Give a segment, whose state before is kept for the comparison."""
        segment = self.segments.get(key)
        if key not in self.segments_before:
            self.segments_before[key] = copy.deepcopy(segment)
        return segment

    def settle(self) -> None:
        """Take what was made so far for what was there."""
        self.flags_before.clear()
        self.segments_before.clear()

    def changed_flags(self) -> list[str]:
        """Give the keys of the flags that differ from what they were."""
        return [
            key
            for key, before in self.flags_before.items()
            if not same(before.whole(), self.flags[key].whole())
        ]

    def changed_everywhere(self) -> list[str]:
        """Give the keys of the flags that readers of every environment will see differently."""
        return [
            key
            for key in self.changed_flags()
            if not same(self.flags_before[key].shared(), self.flags[key].shared())
        ]

    def changed_segments(self) -> list[str]:
        """Give the keys of the segments that differ from what they were."""
        found = []
        for key, before in self.segments_before.items():
            after = self.segments.get(key)
            if not same(before and before.document(), after and after.document()):
                found.append(key)
        return found

    def live_flags(self) -> dict[str, FlagCopy]:
        """Give the flags that are published."""
        return {key: flag for key, flag in self.flags.items() if not flag.archived}


def variants_in_use(state: State) -> set[str]:
    """Give the variants that a flag's state in an environment names."""
    used = {state["off"], state["default"]}
    used.update(target["variant"] for target in state["targets"])
    for rule in state["rules"]:
        used |= served_variants(rule["serve"])
    return {variant for variant in used if variant is not None}


def served_variants(serve: Any) -> set[str]:
    """Give the variants that a rule may serve."""
    if isinstance(serve, str):
        return {serve}
    split = serve["split"]
    served = {arm["variant"] for arm in split["to"]}
    if split.get("missing", "skip") != "skip":
        served.add(split["missing"])
    return served


def dependants_of_flag(workspace: Workspace, key: str, variant: str | None = None) -> list[str]:
    """Give the flags and segments that ask about a flag (or about one of its variants)."""
    found = []
    for flag in workspace.live_flags().values():
        if flag.key == key:
            continue
        asked: dict[str, set[str]] = {
            prerequisite["flag"]: set(prerequisite["variants"])
            for prerequisite in flag.state["prerequisites"]
        }
        for rule in flag.state["rules"]:
            for other, variants in flags_of(rule["when"]).items():
                asked.setdefault(other, set()).update(variants)
        if key in asked and (variant is None or variant in asked[key]):
            found.append(f"flag {flag.key}")
    for segment in workspace.segments.values():
        asked = flags_of(segment.condition)
        if key in asked and (variant is None or variant in asked[key]):
            found.append(f"segment {segment.key}")
    return found


def dependants_of_segment(workspace: Workspace, key: str) -> list[str]:
    """Give the flags and segments that name a segment."""
    found = [
        f"flag {flag.key}"
        for flag in workspace.live_flags().values()
        if any(key in segments_of(rule["when"]) for rule in flag.state["rules"])
    ]
    found += [
        f"segment {segment.key}"
        for segment in workspace.segments.values()
        if segment.key != key and key in segments_of(segment.condition)
    ]
    return found
