"""Why a flag serves what it serves: every step on the way, and which condition said no."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flagstone.engine.attributes import read
from flagstone.engine.bucketing import bucket_of, lies_in
from flagstone.engine.compile import CompiledFlagSet, plain_context
from flagstone.engine.conditions import compile_condition
from flagstone.engine.details import EvaluationDetails
from flagstone.engine.document import condition_document
from flagstone.engine.evaluate import evaluate, prepare
from flagstone.engine.model import (
    AllOf,
    AnyOf,
    AttributeIs,
    Bucketing,
    Condition,
    Each,
    Fault,
    Flag,
    FlagServes,
    FlagSet,
    InBucket,
    InSegment,
    Json,
    Not,
    Rule,
    Split,
    Target,
)
from flagstone.engine.times import format_time
from flagstone.engine.units import unit_text
from flagstone.engine.wording import attribute_words, condition_words, value_words


@dataclass(frozen=True, slots=True)
class Refusal:
    """A condition that said no, where it stands, and what was found instead."""

    path: str
    sentence: str
    found: str
    condition: Json
    because: tuple[Refusal, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "path": self.path,
            "sentence": self.sentence,
            "found": self.found,
            "condition": self.condition,
            "because": [refusal.to_document() for refusal in self.because],
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of an evaluation.

    ``kind`` is ``found``, ``killed``, ``disabled``, ``fault``, ``prerequisite``, ``target``,
    ``rule`` or ``default``; ``served`` says that the evaluation ended here.
    """

    kind: str
    name: str
    served: bool
    sentence: str
    refusals: tuple[Refusal, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "served": self.served,
            "sentence": self.sentence,
            "refusals": [refusal.to_document() for refusal in self.refusals],
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The details of an evaluation, and the steps that led to them."""

    details: EvaluationDetails
    steps: tuple[Step, ...]

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        steps = [step.to_document() for step in self.steps]
        return {**self.details.to_document(), "steps": steps}

    def to_text(self) -> str:
        """Write it for people, a line for each step."""
        details = self.details
        if details.variant is None:
            answer = "the caller's default"
        else:
            answer = f"{details.variant} = {value_words(details.value)}"
        lines = [f"{details.flag_key}: {answer} ({details.reason.value})"]
        for number, step in enumerate(self.steps, 1):
            name = f" {step.name}" if step.name else ""
            lines.append(f"  {number}. {step.kind}{name}: {step.sentence}")
            lines.extend(_refusal_lines(step.refusals, 6))
        return "\n".join(lines)


def _refusal_lines(refusals: tuple[Refusal, ...], indent: int) -> Iterator[str]:
    for refusal in refusals:
        yield f"{' ' * indent}no: {refusal.sentence} – found {refusal.found}   [{refusal.path}]"
        yield from _refusal_lines(refusal.because, indent + 2)


def explain(
    flag_set: FlagSet | CompiledFlagSet | Mapping[str, Any],
    key: str,
    context: Mapping[str, Any],
    now: float | dt.datetime,
) -> Explanation:
    """Evaluate as :func:`evaluate` does, and say for every step passed over what said no.

    Total and pure like the evaluation itself; ``details`` are the very ones that it gives.
    """
    details = evaluate(flag_set, key, context, now)
    try:
        compiled, seconds = prepare(flag_set, now)
        flag = compiled.flag_set.flags.get(key)
        if flag is None:
            return Explanation(details, (Step("found", "", True, "there is no such flag"),))
        walk = _Walk(compiled, plain_context(context), seconds)
        return Explanation(details, tuple(walk.steps(flag)))
    except Exception:  # noqa: BLE001  what cannot be walked is explained by its error alone
        step = Step("fault", "", True, details.error_message or "cannot be explained")
        return Explanation(details, (step,))


class _Walk:
    """Goes through a flag as the evaluation does, and takes notes."""

    def __init__(self, compiled: CompiledFlagSet, context: dict[str, Any], now: float) -> None:
        self.compiled = compiled
        self.context = context
        self.now = now

    def steps(self, flag: Flag) -> Iterator[Step]:
        """Yield each step until one serves."""
        for step in self._stages(flag):
            yield step
            if step.served:
                return

    def _stages(self, flag: Flag) -> Iterator[Step]:
        off = flag.off or "the caller's default"
        if flag.killed:
            yield Step("killed", "", True, f"the flag is killed and serves {off}")
        if not flag.enabled:
            yield Step("disabled", "", True, f"the flag is disabled and serves {off}")
        if flag.fault is not None:
            yield Step("fault", "", True, f"the flag cannot be read: {flag.fault}")
        for part in flag.prerequisites:
            details = self.compiled.evaluate(part.flag, self.context, self.now)
            met = details.variant in part.variants
            sentence = f"serves {details.variant or 'nothing'}, wanted {' or '.join(part.variants)}"
            yield Step("prerequisite", part.flag, not met, sentence)
        for target in flag.targets:
            yield self._target(target)
        for index, rule in enumerate(flag.rules):
            yield self._rule(rule, f"rules[{index}]")
        default = flag.default or "the caller's default"
        yield Step("default", "", True, f"nothing else applies, {default} is served")

    def _target(self, target: Target) -> Step:
        if target.until is not None and not self.now < target.until:
            return Step("target", target.variant, False, f"ended {format_time(target.until)}")
        value = read(self.context, target.by)
        unit = unit_text(value)
        by = attribute_words(target.by)
        if unit is not None and unit in target.keys:
            return Step("target", target.variant, True, f"{by} {value_words(value)} is named")
        return Step("target", target.variant, False, f"{by} is {value_words(value)}, not named")

    def _rule(self, rule: Rule, path: str) -> Step:
        if rule.start is not None and not self.now >= rule.start:
            return Step("rule", rule.id, False, f"starts {format_time(rule.start)}")
        if rule.end is not None and not self.now < rule.end:
            return Step("rule", rule.id, False, f"ended {format_time(rule.end)}")
        refusals = tuple(self._refusals(rule.when, self.context, f"{path}.when"))
        if refusals:
            return Step("rule", rule.id, False, "its condition does not hold", refusals)
        if isinstance(rule.serve, Split):
            return self._split(rule, rule.serve)
        return Step("rule", rule.id, True, f"its condition holds, {rule.serve} is served")

    def _split(self, rule: Rule, split: Split) -> Step:
        place = self._bucket(split.bucketing)
        by = attribute_words(split.bucketing.by)
        if place is None:
            if split.missing is not None:
                return Step("rule", rule.id, True, f"no unit in {by}: {split.missing} is served")
            return Step("rule", rule.id, False, f"its condition holds, but {by} has no unit")
        where = f"bucket {place} of {split.bucketing.of} by {by}"
        for share in split.shares:
            if lies_in(place, share.ranges):
                return Step("rule", rule.id, True, f"{where}: {share.variant} is served")
        return Step("rule", rule.id, False, f"its condition holds, but {where} is in no range")

    def _bucket(self, bucketing: Bucketing) -> int | None:
        return bucket_of(bucketing, read(self.context, bucketing.by))

    def _holds(self, condition: Condition, root: Any) -> bool:
        return compile_condition(condition, self.compiled)(root, self.now)

    def _refusals(self, condition: Condition, root: Any, path: str) -> Iterator[Refusal]:
        """Yield what made a condition fail; nothing if it holds."""
        if self._holds(condition, root):
            return
        if isinstance(condition, AllOf) and condition.conditions:
            for index, part in enumerate(condition.conditions):
                refusals = tuple(self._refusals(part, root, f"{path}.all[{index}]"))
                if refusals:
                    yield from refusals
                    return
        elif isinstance(condition, AnyOf) and condition.conditions:
            for index, part in enumerate(condition.conditions):
                yield from self._refusals(part, root, f"{path}.any[{index}]")
        else:
            yield Refusal(
                path,
                condition_words(condition),
                self._found(condition, root),
                condition_document(condition),
                self._because(condition, root),
            )

    def _because(self, condition: Condition, root: Any) -> tuple[Refusal, ...]:
        if not isinstance(condition, InSegment):
            return ()
        segment = self.compiled.flag_set.segments[condition.segment]
        if isinstance(segment, Fault):
            return ()
        return tuple(self._refusals(segment, root, f"segments.{condition.segment}"))

    def _found(self, condition: Condition, root: Any) -> str:
        if isinstance(condition, (AttributeIs, Each)):
            return value_words(read(root, condition.attr))
        if isinstance(condition, InBucket):
            place = self._bucket(condition.bucketing)
            return "no unit" if place is None else f"bucket {place}"
        if isinstance(condition, FlagServes):
            details = self.compiled.evaluate(condition.flag, root, self.now)
            return details.variant or "nothing served"
        if isinstance(condition, Not):
            return self._found(condition.condition, root)
        if isinstance(condition, (AllOf, AnyOf)):
            return "that it holds" if self._holds(condition, root) else "nobody matches"
        return "in it" if self._holds(condition, root) else "not in it"
