"""A change's effect in plain words: is it one way, and who moves from what to what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flags.effect_counts import Cell, Share
from flagstone.engine import Served

if TYPE_CHECKING:
    # Only for type checkers: the command line says these words, and must start without a database.
    from flags.context_samples import Sample

_MAX_MOVES = 3
_MAX_VALUE = 40
_MAX_CONTEXT = 300
_VERDICTS = {
    "no_op": "No-op: nobody gets another answer.",
    "only_widens": "Only widens: nobody who has it loses it.",
    "only_narrows": "Only narrows: nobody gets it who has not had it.",
    "moves_others": "Moves others: some who have something now lose it or get something else.",
}


def verdict_sentence(verdict: str, reason: str | None) -> str:
    """Say what is proved of a change."""
    return _VERDICTS.get(verdict) or f"Not decided: {reason or 'the proof took too long'}."


def witness_sentence(witness: Mapping[str, Any] | None) -> str | None:
    """Say what one context that a proof made up gets before and after."""
    if witness is None:
        return None
    before, after = (Served(**witness[side]) for side in ("before", "after"))
    context = json.dumps(witness["context"], ensure_ascii=False)
    if len(context) > _MAX_CONTEXT:
        context = context[: _MAX_CONTEXT - 1] + "…"
    at = f" at {witness['at']}" if witness["at"] else ""
    return (
        f"For example, {witness['flag']} goes from {served_words(before)} to {served_words(after)} "
        f"for {context}{at}."
    )


def served_words(served: Served) -> str:
    """Say what somebody gets: the variant, and its value where the name does not say it."""
    if served.variant is None:
        return "the caller's default"
    value = json.dumps(served.value, ensure_ascii=False)
    if len(value) > _MAX_VALUE or value.strip('"') == served.variant:
        return served.variant
    return f"{served.variant} ({value})"


def percent(share: float) -> str:
    """Write a share with as many digits as are worth reading."""
    number = share * 100
    digits = 1 if number < 10 or number > 90 else 0
    if 0 < number < 0.1:
        return "0.1 %"
    return f"{number:.{digits}f}".removesuffix(".0") + " %"


def interval(share: Share) -> str:
    """Write the bounds of a share."""
    return f"{percent(share.low)} to {percent(share.high)}"


def sample_sentence(sample: Sample) -> str:
    """Say what was looked at."""
    if not sample.on:
        return "Contexts are not sampled in this environment, so nobody is counted."
    if not sample.size and sample.aside:
        return (
            "The contexts seen here do not say what these rules ask about, so nobody is counted. "
            "SDKs tell it once a published rule asks for it."
        )
    if not sample.size:
        return (
            f"No context was seen here in the last {sample.keep_days} days, so nobody is counted. "
            "Evaluations fill the sample."
        )
    everybody = "all" if sample.complete else f"of about {_rounded(sample.units):,}"
    noun = "context" if sample.size == 1 else "contexts"
    aside = f" ({sample.aside:,} do not say enough)" if sample.aside else ""
    return f"{sample.size:,} {noun}, {everybody} seen in the last {sample.keep_days} days{aside}"


def _rounded(number: int) -> int:
    """Keep two digits: the estimate knows no more."""
    return round(number, 2 - len(str(number)))


def movement_sentence(
    sample: Sample, moved: Share | None, moves: Sequence[tuple[str, Cell]], left_out: int = 0
) -> str:
    """Say who moves from what to what, and how sure that is."""
    if moved is None:
        return sample_sentence(sample)
    seen = f"Of {sample_sentence(sample)}"
    rest = f" {left_out} more flags were not counted." if left_out else ""
    if not moved.count:
        return f"{seen}, none moves (so at most {percent(moved.high)} of all).{rest}"
    several = len({flag for flag, _ in moves}) > 1
    parts = [
        f"{cell.count:,}{f' of {flag}' if several else ''} "
        f"from {served_words(cell.before)} to {served_words(cell.after)}"
        for flag, cell in moves[:_MAX_MOVES]
    ]
    if len(moves) > _MAX_MOVES:
        parts.append(f"and {len(moves) - _MAX_MOVES} more ways")
    verb = "moves" if moved.count == 1 else "move"
    return (
        f"{seen}, {moved.count:,} {verb} ({percent(moved.share)}; "
        f"of all {interval(moved)}): {', '.join(parts)}.{rest}"
    )
