"""Flagstone's engine: the model of flags, and its evaluation, total and pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flagstone.engine.bucketing import bucket
from flagstone.engine.compare import Comparison, Move, Served, compare
from flagstone.engine.compile import CompiledFlagSet, compile_flag_set
from flagstone.engine.details import ErrorCode, EvaluationDetails, Reason
from flagstone.engine.document import condition_document, flag_document, to_document
from flagstone.engine.errors import FlagSetError
from flagstone.engine.evaluate import evaluate
from flagstone.engine.explain import Explanation, Refusal, Step, explain
from flagstone.engine.model import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Bucketing,
    Clock,
    Condition,
    Each,
    Fault,
    Flag,
    FlagServes,
    FlagSet,
    InBucket,
    InSegment,
    Not,
    Prerequisite,
    Rule,
    Share,
    Split,
    Target,
    Variant,
)
from flagstone.engine.parse import parse_condition, parse_flag, parse_flag_set

if TYPE_CHECKING:
    from flagstone.engine.prove import Classification, FlagClassification, Verdict, classify

__all__ = [
    "AllOf",
    "Always",
    "AnyOf",
    "AttributeIs",
    "Bucketing",
    "Classification",
    "Clock",
    "Comparison",
    "CompiledFlagSet",
    "Condition",
    "Each",
    "ErrorCode",
    "EvaluationDetails",
    "Explanation",
    "Fault",
    "Flag",
    "FlagClassification",
    "FlagServes",
    "FlagSet",
    "FlagSetError",
    "InBucket",
    "InSegment",
    "Move",
    "Not",
    "Prerequisite",
    "Reason",
    "Refusal",
    "Rule",
    "Served",
    "Share",
    "Split",
    "Step",
    "Target",
    "Variant",
    "Verdict",
    "bucket",
    "classify",
    "compare",
    "compile_flag_set",
    "condition_document",
    "evaluate",
    "explain",
    "flag_document",
    "parse_condition",
    "parse_flag",
    "parse_flag_set",
    "to_document",
]

_PROVE = frozenset({"Classification", "FlagClassification", "Verdict", "classify"})


def __getattr__(name: str) -> Any:
    # Proofs are for whoever edits flags; evaluation does not wait for them to load.
    if name not in _PROVE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flagstone.engine import prove

    return getattr(prove, name)
