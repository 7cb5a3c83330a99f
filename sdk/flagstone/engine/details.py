"""The answer of an evaluation: value, variant and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flagstone.engine.model import Flag, Json, Rule


class Reason(str, Enum):  # noqa: UP042  StrEnum is younger than Python 3.10
    """Why a variant was served, in OpenFeature's words."""

    STATIC = "STATIC"
    DEFAULT = "DEFAULT"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"
    STALE = "STALE"
    ERROR = "ERROR"

    def __str__(self) -> str:
        return self.value


class ErrorCode(str, Enum):  # noqa: UP042  StrEnum is younger than Python 3.10
    """Why nothing could be served, in OpenFeature's words."""

    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    PARSE_ERROR = "PARSE_ERROR"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    PROVIDER_NOT_READY = "PROVIDER_NOT_READY"
    PROVIDER_FATAL = "PROVIDER_FATAL"
    GENERAL = "GENERAL"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class EvaluationDetails:
    """What a flag gives in a context, and why.

    ``variant`` is ``None`` (and ``value`` with it) where the caller's default applies.
    ``rule_id`` names the rule that served, ``track`` says that it wants exposures recorded.
    Answers are shared between evaluations: ``value`` and ``metadata`` are not to be changed.
    """

    flag_key: str
    value: Json
    variant: str | None
    reason: Reason
    on: bool = False
    rule_id: str | None = None
    error_code: ErrorCode | None = None
    error_message: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    track: bool = False

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "flag": self.flag_key,
            "value": self.value,
            "variant": self.variant,
            "reason": self.reason.value,
            "on": self.on,
            "rule": self.rule_id,
            "error_code": None if self.error_code is None else self.error_code.value,
            "error_message": self.error_message,
            "metadata": dict(self.metadata),
        }


def serving(
    flag: Flag,
    variant_key: str | None,
    reason: Reason,
    *,
    rule: Rule | None = None,
    metadata: Mapping[str, Json] | None = None,
) -> EvaluationDetails:
    """Answer with a variant of ``flag``, or with the caller's default if there is none."""
    variant = None if variant_key is None else flag.variants.get(variant_key)
    return EvaluationDetails(
        flag_key=flag.key,
        value=None if variant is None else variant.value,
        variant=None if variant is None else variant.key,
        reason=reason,
        on=variant is not None and variant.on,
        rule_id=None if rule is None else rule.id,
        metadata={**flag.metadata, **metadata} if metadata else flag.metadata,
        track=rule is not None and rule.track,
    )


def failing(
    flag_key: str,
    code: ErrorCode,
    message: str,
    metadata: Mapping[str, Json] | None = None,
) -> EvaluationDetails:
    """Answer with the caller's default, because of an error."""
    return EvaluationDetails(
        flag_key=flag_key,
        value=None,
        variant=None,
        reason=Reason.ERROR,
        error_code=code,
        error_message=message,
        metadata=metadata or {},
    )


def off_details(flag: Flag) -> EvaluationDetails:
    """Answer for a flag that is killed or disabled."""
    return serving(
        flag, flag.off, Reason.DISABLED, metadata={"killed": True} if flag.killed else None
    )


def unmet_details(flag: Flag, prerequisite: str) -> EvaluationDetails:
    """Answer for a flag whose prerequisite is not met."""
    return serving(flag, flag.off, Reason.DISABLED, metadata={"prerequisite": prerequisite})


def default_details(flag: Flag) -> EvaluationDetails:
    """Answer when no target and no rule applies."""
    depends = flag.prerequisites or flag.targets or flag.rules
    return serving(flag, flag.default, Reason.DEFAULT if depends else Reason.STATIC)


def fault_details(flag: Flag) -> EvaluationDetails:
    """Answer for a flag that could not be read."""
    return failing(flag.key, ErrorCode.PARSE_ERROR, str(flag.fault), flag.metadata)
