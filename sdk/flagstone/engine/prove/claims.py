"""What is claimed of an edit, claim by claim: proved, denied by a witness, or not decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from flagstone.engine.compare import Served
from flagstone.engine.times import format_time
from flagstone.engine.wording import value_words


class Verdict(str, Enum):  # noqa: UP042  StrEnum is younger than Python 3.10
    """What an edit does to a flag, in one word; the strongest that is proved."""

    NO_OP = "no-op"
    ONLY_WIDENS = "only widens"
    ONLY_NARROWS = "only narrows"
    MOVES_OTHERS = "moves others"
    NOT_DECIDED = "not decided"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Witness:
    """A context and a time at which both sides were evaluated, and what either served."""

    context: Mapping[str, Any]
    now: float
    before: Served
    after: Served


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: ``holds`` is ``True`` (proved), ``False`` (see ``witness``) or ``None``.

    If it is not decided, ``reason`` says what stood in the way.
    """

    holds: bool | None
    witness: Witness | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FlagClassification:
    """What an edit does to one flag."""

    flag: str
    no_op: Claim
    only_widens: Claim
    only_narrows: Claim

    @property
    def verdict(self) -> Verdict:
        """The strongest claim that is proved; ``NOT_DECIDED`` if there may be one that is not."""
        if self.no_op.holds:
            return Verdict.NO_OP
        if self.only_widens.holds:
            return Verdict.ONLY_WIDENS
        if self.only_narrows.holds:
            return Verdict.ONLY_NARROWS
        if self.only_widens.holds is False and self.only_narrows.holds is False:
            return Verdict.MOVES_OTHERS
        return Verdict.NOT_DECIDED

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        document = asdict(self)
        return {"flag": document.pop("flag"), "verdict": self.verdict.value, **document}

    def to_text(self) -> str:
        """Write it for people, in one sentence."""
        return f"{self.flag}: {_SENTENCES[self.verdict](self)}"


@dataclass(frozen=True, slots=True)
class Classification:
    """What an edit does, flag by flag."""

    flags: Mapping[str, FlagClassification]

    def __getitem__(self, flag_key: str) -> FlagClassification:
        return self.flags[flag_key]

    def __iter__(self) -> Iterator[FlagClassification]:
        return iter(self.flags.values())

    def __len__(self) -> int:
        return len(self.flags)

    def to_document(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {"flags": {key: found.to_document() for key, found in self.flags.items()}}

    def to_text(self) -> str:
        """Write it for people, a line for each flag."""
        return "\n".join(found.to_text() for found in self)


def _no_op(_found: FlagClassification) -> str:
    return "No-op: nobody gets another answer"


def _only_widens(found: FlagClassification) -> str:
    return f"Only widens: nobody who has it loses it{_example(found.no_op)}"


def _only_narrows(found: FlagClassification) -> str:
    return f"Only narrows: nobody gets it who has not had it{_example(found.no_op)}"


def _moves_others(found: FlagClassification) -> str:
    witnesses = {id(claim.witness): claim for claim in (found.only_widens, found.only_narrows)}
    examples = "; ".join(filter(None, map(_goes, witnesses.values())))
    return f"Moves others: {examples}"


def _not_decided(found: FlagClassification) -> str:
    claims = (found.no_op, found.only_widens, found.only_narrows)
    reason = next((claim.reason for claim in claims if claim.holds is None), None)
    seen = next((claim for claim in claims if claim.witness is not None), None)
    return f"Not decided: {reason}" + ("" if seen is None else f"; {_goes(seen)}")


_SENTENCES = {
    Verdict.NO_OP: _no_op,
    Verdict.ONLY_WIDENS: _only_widens,
    Verdict.ONLY_NARROWS: _only_narrows,
    Verdict.MOVES_OTHERS: _moves_others,
    Verdict.NOT_DECIDED: _not_decided,
}


def _example(claim: Claim) -> str:
    return "" if claim.witness is None else f"; for example {_goes(claim)}"


def _goes(claim: Claim) -> str:
    witness = claim.witness
    if witness is None:
        return ""
    return (
        f"{value_words(dict(witness.context))} goes from {_served_words(witness.before)} "
        f"to {_served_words(witness.after)}{_when(witness.now)}"
    )


def _served_words(served: Served) -> str:
    if served.variant is None:
        return "the caller's default"
    return f"{served.variant} = {value_words(served.value)}"


def _when(now: float) -> str:
    if not now:
        return ""
    try:
        return f" at {format_time(now)}"
    except (OverflowError, ValueError):
        return f" at {now} s"
