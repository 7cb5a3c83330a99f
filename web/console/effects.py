"""What a previewed change does to people, as the save page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flags.effect_counts import Cell
from flags.effect_words import interval, percent, sample_sentence, served_words, witness_sentence
from flags.effects import Effect, FlagEffect

# A table of every way is no longer a small one.
MAX_ROWS = 8
_NAMED = 2
_TONES = {"only_widens": "good", "only_narrows": "attention", "moves_others": "attention"}


def shown_effect(effect: Effect) -> dict[str, Any]:
    """Give the words and rows of an effect."""
    moves = [(each, cell) for each in effect.flags for cell in each.matrix if cell.moves]
    moves.sort(key=lambda move: -move[1].count)
    size = effect.sample.size
    # The word stands before it, as a tag.
    meaning = effect.sentence.partition(": ")[2]
    return {
        "word": effect.verdict.replace("_", " "),
        "tone": _TONES.get(effect.verdict, "neutral"),
        "meaning": meaning[:1].upper() + meaning[1:],
        "witness": witness_sentence(effect.witness),
        "dependants": [
            {"flag": each.flag, "word": each.verdict.replace("_", " ")}
            for each in effect.flags
            if each.dependant and each.verdict != "no_op"
        ],
        "movement": _headline(effect, moves) if effect.moved else effect.movement,
        "counted": effect.moved is not None,
        "sample": sample_sentence(effect.sample),
        "newest": effect.sample.newest,
        "several": _are_several(moves),
        "rows": [
            {
                "flag": each.flag,
                "before": served_words(cell.before),
                "after": served_words(cell.after),
                "count": cell.count,
                "share": percent(cell.count / size),
                "interval": interval(cell.share(size)),
                "examples": cell.examples,
            }
            for each, cell in moves[:MAX_ROWS]
        ],
        "more": max(0, len(moves) - MAX_ROWS),
        "left_out": effect.left_out,
    }


def _headline(effect: Effect, moves: Sequence[tuple[FlagEffect, Cell]]) -> str:
    """Say in one line who moves; numbers and values stand in the table."""
    assert effect.moved is not None
    if not effect.moved.count:
        return f"Nobody of those seen moves: at most {percent(effect.moved.high)} of all."
    several = _are_several(moves)
    ways = [
        f"{f'{each.flag} ' if several else ''}from {_name(cell.before.variant)} "
        f"to {_name(cell.after.variant)}"
        for each, cell in moves[:_NAMED]
    ]
    if len(moves) > _NAMED:
        ways.append("and other ways")
    return f"{percent(effect.moved.share)} of those seen move: {', '.join(ways)}."


def _are_several(moves: Sequence[tuple[FlagEffect, Cell]]) -> bool:
    return len({each.flag for each, _ in moves}) > 1


def _name(variant: str | None) -> str:
    return "the caller's default" if variant is None else variant
