"""Flags: variations by their index, targets, rules and the fallthrough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flagstone.importers import reading
from flagstone.importers.conditions import NOBODY, written
from flagstone.importers.launchdarkly.attributes import USER, key_path, kind_of
from flagstone.importers.launchdarkly.clauses import References, all_clauses
from flagstone.importers.launchdarkly.malformed import MalformedError
from flagstone.importers.launchdarkly.rollouts import read_rollout
from flagstone.importers.naming import numbered
from flagstone.importers.values import type_of

OFF: Final = "off"
"""What a flag serves while it is off, where the index alone would meet a prerequisite."""

_EVENTS: Final = (
    "trackEvents",
    "trackEventsFallthrough",
    "debugEventsUntilDate",
    "excludeFromSummaries",
    "samplingRatio",
    "migration",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What other flags must know of a flag that is their prerequisite."""

    on: bool
    off: int | None
    variations: int
    prerequisites: tuple[tuple[str, int], ...]


def read_facts(data: reading.Data) -> Facts:
    """Read what other flags must know."""
    return Facts(
        on=reading.flag(data, "on"),
        off=reading.optional_integer(data, "offVariation"),
        variations=len(reading.items(data, "variations")),
        prerequisites=tuple(
            (reading.text(part, "key"), reading.integer(part, "variation"))
            for part in reading.objects(data, "prerequisites")
        ),
    )


@dataclass(slots=True)
class Draft:
    """A flag's document, what it depends on, and what the report must say of it.

    ``malformed`` says that LaunchDarkly's SDK answers with an error.
    """

    document: dict[str, Any]
    segments: frozenset[str] = frozenset()
    prerequisites: list[str] = field(default_factory=list)
    malformed: MalformedError | None = None
    notes: list[str] = field(default_factory=list)


def draft_flag(
    key: str,
    data: reading.Data,
    facts: Mapping[str, Facts],
    wanted: frozenset[tuple[str, int]],
    there: frozenset[str],
    segments: frozenset[str],
) -> Draft:
    """Write a flag.

    Parameters
    ----------
    key : str
        The flag's key.
    data : mapping
        The flag as LaunchDarkly has it.
    facts : mapping
        What is known of it and of its prerequisites.
    wanted : frozenset of (str, int)
        The flags that are prerequisites, with the variation that they must serve.
    there, segments : frozenset of str
        The flags and segments of the file.

    Raises
    ------
    CannotCarryError
        If it cannot be carried exactly.
    """
    writer = _FlagWriter(key, data, facts, wanted, there, References(segments))
    draft = writer.write()
    writer.note_events()
    return draft


class _FlagWriter:
    def __init__(
        self,
        key: str,
        data: reading.Data,
        facts: Mapping[str, Facts],
        wanted: frozenset[tuple[str, int]],
        there: frozenset[str],
        references: References,
    ) -> None:
        self.data, self.facts, self.wanted = data, facts, wanted
        self.there, self.references = there, references
        self.own = facts[key]
        self.hash_key = reading.optional_text(data, "key") or key
        self.salt = reading.optional_text(data, "salt")
        version = reading.optional_integer(data, "version")
        self.draft = Draft(
            {
                "key": key,
                "type": "boolean",
                "version": 1 if version is None else version,
                "client": _client(data),
                "variants": {},
                "enabled": self.own.on,
                "off": None,
                "prerequisites": [],
                "targets": [],
                "rules": [],
                "default": None,
            }
        )

    def write(self) -> Draft:
        draft, document = self.draft, self.draft.document
        variations = reading.items(self.data, "variations")
        document["type"] = type_of(variations)
        document["variants"] = {
            str(index): {"value": value} for index, value in enumerate(variations)
        }
        try:
            if not variations:
                raise MalformedError("it has no variations", spreads=False)
            self.off()
            self.prerequisites()
            self.targets()
            self.rules()
            self.fallthrough()
        except MalformedError as error:
            draft.malformed = error
        draft.segments = frozenset(self.references.asked)
        for segment in sorted(self.references.unknown):
            draft.notes.append(f"there is no segment {segment!r}, so nobody is in it")
        return draft

    def note_events(self) -> None:
        """Say what is about events, which are ours to record."""
        left = [name for name in _EVENTS if self.data.get(name)]
        rules = reading.objects(self.data, "rules")
        if "trackEvents" not in left and any(rule.get("trackEvents") for rule in rules):
            left.append("trackEvents")
        if left:
            self.draft.notes.append(f"left behind, as it is about events: {', '.join(left)}")

    def variant(self, index: int) -> str:
        if not 0 <= index < self.own.variations:
            raise MalformedError(f"there is no variation {index}", spreads=False)
        return str(index)

    def off(self) -> None:
        index, document = self.own.off, self.draft.document
        if index is None:
            return
        if not 0 <= index < self.own.variations:
            if not self.own.on:
                document["off"] = str(index)
                raise MalformedError(f"there is no variation {index}", spreads=False)
            self.draft.notes.append(
                f"there is no variation {index} to serve while it is off: the caller's default is"
            )
            return
        document["off"] = str(index)
        if (document["key"], index) in self.wanted:
            # Being off meets no prerequisite, whatever it serves then.
            value = document["variants"][str(index)]["value"]
            document["variants"][OFF] = {"value": value, "on": False}
            document["off"] = OFF

    def prerequisites(self) -> None:
        document = self.draft.document
        for key, variation in self.own.prerequisites:
            if key in self.there:
                self.draft.prerequisites.append(key)
            other = self.facts.get(key)
            if key in self.there and other is None:
                continue  # refused, and so this flag will be
            if other is None or not 0 <= variation < other.variations:
                missing = f"flag {key!r}" if other is None else f"variation {variation} of {key!r}"
                self.draft.notes.append(f"a prerequisite is never met: there is no {missing}")
                if self.own.on:
                    # It serves its off variation, and asks none of those behind.
                    document["enabled"] = False
                    document["metadata"] = {"prerequisite": key}
                    return
                continue
            variants = [str(variation)]
            if variation == other.off and other.on and other.prerequisites:
                # While on, it serves its off variation for the sake of its own prerequisites.
                variants.append(OFF)
            document["prerequisites"].append({"flag": key, "variants": variants})

    def targets(self) -> None:
        users = [
            (reading.integer(part, "variation"), reading.texts(part, "values", required=True))
            for part in reading.objects(self.data, "targets")
        ]
        contexts = reading.objects(self.data, "contextTargets")
        lists = [(USER, *entry) for entry in users]
        if contexts:
            lists = []
            for part in contexts:
                kind = kind_of(reading.optional_text(part, "contextKind"))
                variation = reading.integer(part, "variation")
                keys = reading.texts(part, "values", required=True)
                if kind == USER:
                    # A place holder: the users are in the first old list of the variation.
                    keys = next((ks for other, ks in users if other == variation), [])
                lists.append((kind, variation, keys))
        for kind, variation, keys in lists:
            if keys:
                self.draft.document["targets"].append(
                    {
                        "variant": self.variant(variation),
                        "by": written(key_path(kind)),
                        "keys": list(dict.fromkeys(keys)),
                    }
                )

    def rules(self) -> None:
        for index, rule in enumerate(reading.objects(self.data, "rules")):
            rule_id = reading.optional_text(rule, "id") or f"rule-{index}"
            clauses = reading.objects(rule, "clauses", required=True)
            when = all_clauses(clauses, self.references)
            try:
                self.serve(rule_id, when, rule)
            except MalformedError:
                if when != NOBODY:
                    raise

    def serve(self, rule_id: str, when: Any, data: reading.Data) -> str:
        """Add the rules that serve a variation or rollout; return who is last in it."""
        variation = reading.optional_integer(data, "variation")
        rollout = reading.optional_object(data, "rollout")
        if variation is not None:
            name = self.variant(variation)
            self.add({"id": rule_id, "when": when, "serve": name})
            return name
        if rollout is None:
            raise MalformedError("a rule serves neither a variation nor a rollout", spreads=False)
        read = read_rollout(rollout, self.hash_key, self.salt)
        for index in sorted(read.variations()):
            self.variant(index)
        for written_rule in read.rules(rule_id, when):
            self.add(written_rule)
        return str(read.shares[-1].variation)

    def add(self, rule: dict[str, Any]) -> None:
        rules = self.draft.document["rules"]
        taken = {other["id"] for other in rules}
        rules.append({**rule, "id": numbered(rule["id"], taken.__contains__, "~{}")})

    def fallthrough(self) -> None:
        document = self.draft.document
        data = reading.optional_object(self.data, "fallthrough") or {}
        try:
            variation = reading.optional_integer(data, "variation")
            if variation is not None:
                document["default"] = self.variant(variation)
            else:
                document["default"] = self.serve("fallthrough", True, data)
        except MalformedError as error:
            others = document["prerequisites"] or document["targets"] or document["rules"]
            if error.spreads or not others:
                raise
            self.draft.notes.append(f"the caller's default falls through: {error.reason}")


def _client(data: reading.Data) -> bool:
    available = reading.optional_object(data, "clientSideAvailability")
    if available is None:
        return reading.flag(data, "clientSide")
    on_mobile = reading.flag(available, "usingMobileKey")
    return reading.flag(available, "usingEnvironmentId") or on_mobile
