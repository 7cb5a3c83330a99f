"""What a change does to people: proved for everybody, and counted over contexts seen lately.

Pure: two flag sets and a sample go in. The proof is the engine's (``flagstone compare`` shows the
same one); dependants, flags that ask a flag or a segment that changes, are part of both.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flags.affected import Path, affected_flags, asked_attributes, mentioned_attributes
from flags.context_samples import Sample
from flags.effect_counts import Cell, Share, share_of
from flags.effect_words import movement_sentence, verdict_sentence
from flags.redaction import redacted
from flagstone.engine import FlagClassification, FlagSet, Served, Verdict, classify
from flagstone.engine import compile_flag_set as compiled
from flagstone.engine.prove import Claim, Witness
from flagstone.engine.times import format_time

# A proof takes some ten milliseconds, and a segment may be used by thousands of flags.
MAX_FLAGS = 40
EXAMPLES = 3
_INT64 = 2**63
_WORDS = {
    Verdict.NO_OP: "no_op",
    Verdict.ONLY_WIDENS: "only_widens",
    Verdict.ONLY_NARROWS: "only_narrows",
    Verdict.MOVES_OTHERS: "moves_others",
    Verdict.NOT_DECIDED: "not_decided",
}


@dataclass(frozen=True, slots=True)
class FlagEffect:
    """What a change does to one flag; ``dependant`` if the flag itself does not change."""

    flag: str
    dependant: bool
    verdict: str
    sentence: str
    witness: dict[str, Any] | None
    reason: str | None
    moved: Share | None
    matrix: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to people.

    ``verdict`` is of all flags together: ``no_op``, ``only_widens``, ``only_narrows``,
    ``moves_others``, or ``not_decided`` with its ``reason``. ``witness`` is a context that shows
    it, as the proof made it up: nobody's data. ``moved`` is None where no context was seen.
    ``left_out`` flags were neither proved nor counted, since too many depend on the change.
    """

    verdict: str
    sentence: str
    witness: dict[str, Any] | None
    reason: str | None
    flags: tuple[FlagEffect, ...]
    left_out: int
    sample: Sample
    moved: Share | None
    movement: str

    def document(self) -> dict[str, Any]:
        """Write it as plain JSON: the members that a preview's answer gains."""
        return {
            "verdict": self.verdict,
            "verdict_sentence": self.sentence,
            "witness": self.witness,
            "reason": self.reason,
            "verdicts": [
                {
                    "flag": each.flag,
                    "dependant": each.dependant,
                    "verdict": each.verdict,
                    "sentence": each.sentence,
                    "witness": each.witness,
                    "reason": each.reason,
                }
                for each in self.flags
            ],
            "blast_radius": {
                "sentence": self.movement,
                "sample": self.sample.document(),
                "moved": self.moved and self.moved.document(),
                "flags": {
                    each.flag: {
                        "dependant": each.dependant,
                        "moved": each.moved and each.moved.document(),
                        "matrix": [_cell_document(cell, self.sample.size) for cell in each.matrix],
                    }
                    for each in self.flags
                },
                "left_out": self.left_out,
            },
        }


def effect_of(
    before: FlagSet,
    after: FlagSet,
    sample: Sample,
    *,
    flags: Collection[str],
    segments: Collection[str],
    now: float,
) -> Effect:
    """Prove whom a change moves, and count it over a sample.

    Parameters
    ----------
    before, after : FlagSet
        The environment on either side of the change.
    sample : Sample
        Contexts seen lately, each unit once.
    flags, segments : collection of str
        Keys of what differs.
    now : float
        POSIX seconds at which the sample is evaluated; the proof is for all times.
    """
    changed, dependants = affected_flags(before, after, flags, segments)
    wanted = [*changed, *dependants]
    keys, left_out = wanted[:MAX_FLAGS], max(0, len(wanted) - MAX_FLAGS)
    found = list(classify(before, after, flag_keys=keys)) if keys else []
    proofs = {each.flag: each for each in found}
    overall, witness_flag = _together(found, left_out)
    shown = mentioned_attributes(before, keys) | mentioned_attributes(after, keys)
    sample = sample.knowing(asked_attributes(before, keys) | asked_attributes(after, keys))
    matrices, moved = _count(before, after, keys, sample.contexts, now, shown)
    effects = tuple(
        _flag_effect(proofs[key], matrices[key], sample.size, dependant=key in dependants)
        for key in keys
    )
    verdict = _WORDS[overall.verdict]
    witness = _witness_of(overall)
    reason = _reason(overall)
    share = share_of(moved, sample.size) if sample.size else None
    return Effect(
        verdict=verdict,
        sentence=verdict_sentence(verdict, reason),
        witness=None if witness is None else _witness_document(witness_flag[id(witness)], witness),
        reason=reason,
        flags=effects,
        left_out=left_out,
        sample=sample,
        moved=share,
        movement=movement_sentence(sample, share, _moves(effects), left_out),
    )


def _count(
    before: FlagSet,
    after: FlagSet,
    keys: Sequence[str],
    contexts: Iterable[Mapping[str, Any]],
    now: float,
    shown: Collection[Path],
) -> tuple[dict[str, tuple[Cell, ...]], int]:
    """Evaluate every flag on both sides; return its cells, and how many contexts move at all."""
    old, new = compiled(before), compiled(after)
    cells: dict[str, dict[str, Cell]] = {key: {} for key in keys}
    moved = 0
    for context in contexts:
        any_moves = False
        for key, matrix in cells.items():
            one = Served.of(old.evaluate(key, context, now))
            other = Served.of(new.evaluate(key, context, now))
            name = f"{_name(one)}\0{_name(other)}"
            cell = matrix.get(name)
            if cell is None:
                cell = matrix[name] = Cell(one, other, moves=not one.is_same(other))
            cell.count += 1
            if cell.moves:
                any_moves = True
                example = redacted(context, shown) if len(cell.examples) < EXAMPLES else None
                if example and example not in cell.examples:
                    cell.examples.append(example)
        moved += any_moves
    ordered = {
        key: tuple(sorted(matrix.values(), key=lambda cell: (not cell.moves, -cell.count)))
        for key, matrix in cells.items()
    }
    return ordered, moved


def _name(served: Served) -> str:
    """Tell answers apart as JSON does: ``True``, ``1`` and ``1.0`` are equal in Python."""
    return json.dumps([served.variant, served.on, served.value], sort_keys=True)


def _flag_effect(
    found: FlagClassification, matrix: tuple[Cell, ...], size: int, *, dependant: bool
) -> FlagEffect:
    witness = _witness_of(found)
    verdict = _WORDS[found.verdict]
    return FlagEffect(
        flag=found.flag,
        dependant=dependant,
        verdict=verdict,
        sentence=found.to_text(),
        witness=None if witness is None else _witness_document(found.flag, witness),
        reason=_reason(found),
        moved=share_of(sum(cell.count for cell in matrix if cell.moves), size) if size else None,
        matrix=matrix,
    )


def _together(
    found: Sequence[FlagClassification], left_out: int
) -> tuple[FlagClassification, dict[int, str]]:
    """Join the claims of all flags: one denial denies, one doubt leaves all in doubt."""
    flag_of = {
        id(claim.witness): each.flag
        for each in found
        for claim in (each.no_op, each.only_widens, each.only_narrows)
        if claim.witness is not None
    }
    doubts = [Claim(None, reason=f"{left_out} more flags depend on it")] if left_out else []

    def joined(claims: list[Claim]) -> Claim:
        for holds in (False, None):
            claim = next((each for each in claims if each.holds is holds), None)
            if claim is not None:
                return claim
        return Claim(True)

    whole = FlagClassification(
        "",
        no_op=joined([each.no_op for each in found] + doubts),
        only_widens=joined([each.only_widens for each in found] + doubts),
        only_narrows=joined([each.only_narrows for each in found] + doubts),
    )
    return whole, flag_of


def _witness_of(found: FlagClassification) -> Witness | None:
    """Give a context that shows the verdict: for moves that are not one way, somebody who loses."""
    if found.verdict is Verdict.MOVES_OTHERS:
        return found.only_widens.witness
    return found.no_op.witness


def _reason(found: FlagClassification) -> str | None:
    if found.verdict is not Verdict.NOT_DECIDED:
        return None
    claims = (found.no_op, found.only_widens, found.only_narrows)
    return next((claim.reason for claim in claims if claim.holds is None), None)


def _witness_document(flag_key: str, witness: Witness) -> dict[str, Any]:
    try:
        at = format_time(witness.now) if witness.now else None
    except (OverflowError, ValueError):
        at = None
    return {
        "flag": flag_key,
        "context": _plain(dict(witness.context)),
        "at": at,
        "before": witness.before.to_document(),
        "after": witness.after.to_document(),
    }


def _plain(value: Any) -> Any:
    """Write what a proof made up in the JSON that everybody reads: no half surrogates."""
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return float(value)
    return value


def _cell_document(cell: Cell, size: int) -> dict[str, Any]:
    return {
        "before": cell.before.to_document(),
        "after": cell.after.to_document(),
        "moves": cell.moves,
        **cell.share(size).document(),
        "examples": cell.examples,
    }


def _moves(effects: Iterable[FlagEffect]) -> list[tuple[str, Cell]]:
    moves = [(each.flag, cell) for each in effects for cell in each.matrix if cell.moves]
    return sorted(moves, key=lambda move: -move[1].count)
