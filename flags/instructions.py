"""The one write grammar: a closed set of instructions, told apart by ``do``.

These models only say what a well-formed instruction looks like; :mod:`flags.workspace` says what
each does. They are plain pydantic models (never tables: tables do not validate), closed
(``extra="forbid"``) and strict (a string is not a number), and API.md's OpenAPI comes from them.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from flags.plain import (
    MAX_COMMENT_LENGTH,
    MAX_DESCRIPTION_LENGTH,
    MAX_FLAG_KEY_LENGTH,
    MAX_INSTRUCTIONS,
    MAX_KEY_LENGTH,
    MAX_NAME_LENGTH,
    MAX_PREREQUISITES,
    MAX_RULES,
    MAX_TARGET_KEYS,
)


class Grammar(BaseModel):
    """Base of every model of the grammar: closed, strict, frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _instant(text: str) -> str:
    """Give an instant in UTC, as it is published: ``2026-12-01T09:00:00Z``."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        msg = "not an instant such as 2026-12-01T09:00:00Z"
        raise ValueError(msg) from None
    if moment.tzinfo is None:
        msg = "an instant needs its time zone, such as the Z in 2026-12-01T09:00:00Z"
        raise ValueError(msg)
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _without_owner(metadata: dict[str, Any]) -> dict[str, Any]:
    if "owner" in metadata:
        msg = "the owner has a field of its own"
        raise ValueError(msg)
    return metadata


FlagKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_FLAG_KEY_LENGTH)]
SegmentKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_LENGTH)]
VariantName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_FLAG_KEY_LENGTH)]
RuleId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_FLAG_KEY_LENGTH)]
Instant = Annotated[str, AfterValidator(_instant)]
# An attribute is one literal name, or a path of names; never a dotted string.
Attribute = str | Annotated[list[str], Field(min_length=1, max_length=16)]
# Flat, as OFREP sends it; published together with the owner.
Metadata = Annotated[dict[str, bool | str | int | float], AfterValidator(_without_owner)]
Coverage = Annotated[float, Field(ge=0, le=1)]
Weights = Annotated[dict[VariantName, Annotated[int, Field(ge=0)]], Field(min_length=1)]
UnitKey = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class WeightedSplit(Grammar):
    """A split as authors write it; stored as ranges."""

    weights: Weights
    coverage: Coverage = 1.0
    by: Attribute = "targetingKey"
    salt: str | None = Field(default=None, description="Left out: one of the rule's own.")
    missing: VariantName = Field(
        default="skip", description="Without a unit: skip the rule, or serve this variant."
    )


class SplitArm(Grammar):
    """The buckets of one variant: half-open integer ranges."""

    variant: VariantName
    ranges: list[Annotated[list[int], Field(min_length=2, max_length=2)]]


class RangedSplit(Grammar):
    """A split as it is stored."""

    by: Attribute = "targetingKey"
    hash: str = "flagstone"
    salt: str | None = None
    of: int = Field(default=10_000, ge=1)
    missing: VariantName = "skip"
    to: Annotated[list[SplitArm], Field(min_length=1)]


class ServeSplit(Grammar):
    """``{"split": ...}``, in either form."""

    split: WeightedSplit | RangedSplit


class NewRule(Grammar):
    """A rule to add. Without ``id`` it gets one; without ``when`` it holds for everybody."""

    id: RuleId | None = None
    when: Any = True
    serve: VariantName | ServeSplit
    start: Instant | None = None
    end: Instant | None = None
    track: bool = False


class RuleEdit(Grammar):
    """The fields of a rule to replace; those left out stay as they are."""

    id: RuleId
    when: Any = None
    serve: VariantName | ServeSplit | None = None
    start: Instant | None = None
    end: Instant | None = None
    track: bool | None = None


class Prerequisite(Grammar):
    """A flag that must serve one of these variants first."""

    flag: FlagKey
    variants: Annotated[list[VariantName], Field(min_length=1)]


class TargetGroup(Grammar):
    """Units by name, and what they get."""

    variant: VariantName
    by: Attribute = "targetingKey"
    keys: Annotated[list[UnitKey], Field(min_length=1, max_length=MAX_TARGET_KEYS)]
    until: Instant | None = None


class FlagInstruction(Grammar):
    """An instruction about one flag."""

    flag: FlagKey


class TurnOn(FlagInstruction):
    """Let the flag's rules decide."""

    do: Literal["turn_on"]


class TurnOff(FlagInstruction):
    """Serve the off variant to everybody."""

    do: Literal["turn_off"]


class Kill(FlagInstruction):
    """Emergency off that nothing survives."""

    do: Literal["kill"]


class Unkill(FlagInstruction):
    """End the emergency; the flag goes on as it was before."""

    do: Literal["unkill"]


class SetOffVariant(FlagInstruction):
    """Name what is served when off; null leaves it to the caller's default."""

    do: Literal["set_off_variant"]
    variant: VariantName | None


class SetDefault(FlagInstruction):
    """Name what is served when no rule matches; null leaves it to the caller's default."""

    do: Literal["set_default"]
    variant: VariantName | None


class AddRule(FlagInstruction):
    """Add a rule, at the end or at ``position`` (0 is first)."""

    do: Literal["add_rule"]
    rule: NewRule
    position: int | None = Field(default=None, ge=0)


class UpdateRule(FlagInstruction):
    """Replace fields of the rule named by ``rule.id``."""

    do: Literal["update_rule"]
    rule: RuleEdit


class RemoveRule(FlagInstruction):
    """Remove a rule."""

    do: Literal["remove_rule"]
    rule: RuleId


class ReorderRules(FlagInstruction):
    """Give all rules, by id, in their new order."""

    do: Literal["reorder_rules"]
    rules: Annotated[list[RuleId], Field(max_length=MAX_RULES)]


class SetCoverage(FlagInstruction):
    """Widen or narrow a rule's split; widening moves nobody who was in."""

    do: Literal["set_coverage"]
    rule: RuleId
    value: Coverage


class SetWeights(FlagInstruction):
    """Lay out a rule's split anew; may move units between variants."""

    do: Literal["set_weights"]
    rule: RuleId
    weights: Weights
    coverage: Coverage | None = Field(default=None, description="Left out: stays as it is.")


class AddTargets(FlagInstruction):
    """Serve a variant to units by name; a unit that had another variant moves."""

    do: Literal["add_targets"]
    variant: VariantName
    keys: Annotated[list[UnitKey], Field(min_length=1, max_length=MAX_TARGET_KEYS)]
    by: Attribute = "targetingKey"
    until: Instant | None = None


class RemoveTargets(FlagInstruction):
    """Stop targeting units by name, in one variant or in all."""

    do: Literal["remove_targets"]
    keys: Annotated[list[UnitKey], Field(min_length=1, max_length=MAX_TARGET_KEYS)]
    by: Attribute = "targetingKey"
    variant: VariantName | None = None


class AddVariant(FlagInstruction):
    """Add a variant, in every environment."""

    do: Literal["add_variant"]
    variant: VariantName
    value: Any
    on: bool | None = Field(default=None, description="Left out: all but a boolean's false.")


class UpdateVariant(FlagInstruction):
    """Change a variant's value or ``on``, in every environment."""

    do: Literal["update_variant"]
    variant: VariantName
    value: Any = None
    on: bool | None = None


class RemoveVariant(FlagInstruction):
    """Remove a variant that no environment uses any more."""

    do: Literal["remove_variant"]
    variant: VariantName


class SetPrerequisites(FlagInstruction):
    """Give all prerequisites of the flag."""

    do: Literal["set_prerequisites"]
    prerequisites: Annotated[list[Prerequisite], Field(max_length=MAX_PREREQUISITES)]


class UpdateFlag(FlagInstruction):
    """Change what a flag is called, who owns it, who may see it; in every environment."""

    do: Literal["update_flag"]
    name: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] | None = None
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH)] | None = None
    owner: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] | None = None
    client: bool | None = None
    metadata: Metadata | None = None
    expires: Instant | None = Field(default=None, description="Null: it does not expire.")
    kind: Literal["temporary", "permanent"] | None = None


class Archive(FlagInstruction):
    """Take the flag out of every environment's flag set; its history stays."""

    do: Literal["archive"]


class Restore(FlagInstruction):
    """Bring an archived flag back, as it was."""

    do: Literal["restore"]


class AddSegment(Grammar):
    """Name a condition, in this environment."""

    do: Literal["add_segment"]
    segment: SegmentKey
    condition: Any
    name: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] = ""


class UpdateSegment(Grammar):
    """Change a segment; every rule that names it follows."""

    do: Literal["update_segment"]
    segment: SegmentKey
    condition: Any = None
    name: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] | None = None


class RemoveSegment(Grammar):
    """Remove a segment that nothing names any more."""

    do: Literal["remove_segment"]
    segment: SegmentKey


class RevertTo(Grammar):
    """Bring one flag, or the whole environment, back to how an earlier revision had it."""

    do: Literal["revert_to"]
    revision: int = Field(ge=1)
    flag: FlagKey | None = None


class Undo(Grammar):
    """Take back what one audit entry of the environment says, field by field.

    What was changed since stays; where the same fields were changed again, nothing is undone.
    """

    do: Literal["undo"]
    entry: int = Field(ge=1, le=2**31 - 1, description="The entry's id.")


class PutState(FlagInstruction):
    """Bring a flag in this environment to exactly this; a kill stays as it is."""

    do: Literal["put_state"]
    enabled: bool
    off: VariantName | None
    default: VariantName | None
    prerequisites: Annotated[list[Prerequisite], Field(max_length=MAX_PREREQUISITES)] = Field(
        default_factory=list
    )
    targets: list[TargetGroup] = Field(default_factory=list)
    rules: Annotated[list[NewRule], Field(max_length=MAX_RULES)] = Field(default_factory=list)


class Promote(Grammar):
    """Bring a flag, a segment or everything to how another environment has it.

    A kill, units by name and rules that record stay as they are, unless said otherwise.
    """

    do: Literal["promote"]
    source: SegmentKey = Field(description="The environment that it comes from.")
    flag: FlagKey | None = None
    segment: SegmentKey | None = None
    targets: bool = Field(default=False, description="Carry units by name too.")
    segments: bool = Field(
        default=False, description="Bring segments that differ along, not only missing ones."
    )


Instruction = Annotated[
    TurnOn
    | TurnOff
    | Kill
    | Unkill
    | SetOffVariant
    | SetDefault
    | AddRule
    | UpdateRule
    | RemoveRule
    | ReorderRules
    | SetCoverage
    | SetWeights
    | AddTargets
    | RemoveTargets
    | AddVariant
    | UpdateVariant
    | RemoveVariant
    | SetPrerequisites
    | UpdateFlag
    | AddSegment
    | UpdateSegment
    | RemoveSegment
    | Archive
    | Restore
    | RevertTo
    | Undo
    | Promote
    | PutState,
    Field(discriminator="do"),
]

# What a flag is everywhere; such an instruction makes a revision in every environment it changes.
PROJECT_WIDE = (
    AddVariant,
    UpdateVariant,
    RemoveVariant,
    UpdateFlag,
    Archive,
    Restore,
    RevertTo,
    Undo,
)


# What only ever takes a feature away from people, and so may never have to wait for anybody.
PROTECTIVE = (Kill, TurnOff)


class Change(Grammar):
    """An intended edit: instructions that are applied together or not at all.

    ``at`` is when: needed to schedule, possible with a request.
    """

    environment: str | None = None
    comment: Annotated[str, StringConstraints(max_length=MAX_COMMENT_LENGTH)] = ""
    override: Annotated[str, StringConstraints(max_length=MAX_COMMENT_LENGTH)] = Field(
        default="",
        description="Why an administrator applies it though it was not on elsewhere first.",
    )
    mode: Literal["apply", "preview", "request", "schedule"] = "apply"
    at: Instant | None = None
    # What the preview of exactly this change gave; a budget may ask for it.
    preview_token: Annotated[str, StringConstraints(max_length=1024)] | None = None
    instructions: Annotated[list[Instruction], Field(min_length=1, max_length=MAX_INSTRUCTIONS)]
