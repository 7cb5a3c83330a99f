"""What a flag set is: frozen values, one class for each notion of the glossary.

Documents become these by :func:`flagstone.engine.parse_flag_set` and by nothing else. Lists and
objects inside (values of variants, metadata) are plain Python ones, shared and not to be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Json = Any
"""A JSON value: ``None``, ``bool``, ``int``, ``float``, ``str``, ``list`` or ``dict``."""

Path = tuple[str, ...]
"""Where an attribute stands: names from the outside in. The empty path is the root itself."""

Range = tuple[int, int]
"""A half-open interval of buckets: the first is in, the last is out."""

TARGETING_KEY: Path = ("targetingKey",)
NATIVE_HASH = "flagstone"
BUCKETS = 10_000


class Clock(Enum):
    """Stands for the time of evaluation, as POSIX seconds."""

    NOW = "now"


@dataclass(frozen=True, slots=True)
class Always:
    """The condition ``true``."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds; of none, nobody matches."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class InSegment:
    """The segment's condition holds."""

    segment: str


@dataclass(frozen=True, slots=True)
class FlagServes:
    """Another flag serves one of the variants, is on (or off), or has such a value."""

    flag: str
    variants: tuple[str, ...] | None = None
    on: bool | None = None
    value: Condition | None = None


@dataclass(frozen=True, slots=True)
class Bucketing:
    """How units become buckets: by which attribute, hash and salt, out of how many."""

    salt: str
    by: Path = TARGETING_KEY
    hash: str = NATIVE_HASH
    of: int = BUCKETS


@dataclass(frozen=True, slots=True)
class InBucket:
    """The unit's bucket lies in one of the ranges."""

    bucketing: Bucketing
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class AttributeIs:
    """An attribute compared with constants, another attribute or the clock.

    ``read_as`` is the document's ``as``, ``ci`` compares without regard to case, ``elements``
    looks at each element of an array, ``strict`` is the switch of the semantic versions.
    """

    attr: Path
    op: str
    values: tuple[Json, ...] = ()
    values_from: Path | Clock | None = None
    read_as: str | None = None
    ci: bool = False
    elements: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Each:
    """An element of the attribute, an array, fulfils the condition (seen from the element)."""

    attr: Path
    condition: Condition


Condition = Always | AllOf | AnyOf | Not | InSegment | FlagServes | InBucket | AttributeIs | Each


@dataclass(frozen=True, slots=True)
class Variant:
    """A named value of a flag; ``on`` says whether serving it means that the feature is on."""

    key: str
    value: Json
    on: bool = True


@dataclass(frozen=True, slots=True)
class Share:
    """The buckets that get one variant."""

    variant: str
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Variants by bucket. ``missing`` is served without a unit; ``None`` skips the rule."""

    bucketing: Bucketing
    shares: tuple[Share, ...]
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition and what it leads to, in force from ``start`` until just before ``end``."""

    id: str
    when: Condition
    serve: str | Split
    start: float | None = None
    end: float | None = None
    track: bool = False


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """Another flag that must serve one of these variants first."""

    flag: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Units named one by one, until just before ``until``."""

    variant: str
    keys: tuple[str, ...]
    by: Path = TARGETING_KEY
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a flag cannot be evaluated; ``document`` is what could not be read, if it was that."""

    path: str
    message: str
    hint: str | None = None
    document: Json = None
    has_document: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag in one environment. With a ``fault`` it answers ``PARSE_ERROR`` while it is on."""

    key: str
    type: str
    variants: Mapping[str, Variant]
    enabled: bool = True
    killed: bool = False
    off: str | None = None
    prerequisites: tuple[Prerequisite, ...] = ()
    targets: tuple[Target, ...] = ()
    rules: tuple[Rule, ...] = ()
    default: str | None = None
    version: int = 1
    client: bool = False
    metadata: Mapping[str, Json] = field(default_factory=dict)
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class FlagSet:
    """The flags and segments of one environment, at one version.

    A segment is a condition, or the fault that keeps it from being one.
    """

    flags: Mapping[str, Flag]
    segments: Mapping[str, Condition | Fault] = field(default_factory=dict)
    environment: str = ""
    version: int = 0
    # The compiled form, made at the first evaluation; equal sets compile to equal answers.
    _compiled: Any = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions cannot be pickled, and are made again quickly.
        return FlagSet, (self.flags, self.segments, self.environment, self.version)
