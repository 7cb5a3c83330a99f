"""How every amount of the value ledger is computed, from its memo and nothing else: pure.

A memo names a formula and carries all of its inputs, so that a sceptic recomputes the entry with a
pocket calculator. Each amount is rounded to the cent once, at its end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from experiments.contract.costs import exposure_loss, good, in_good_direction, running_costs
from experiments.contract.document import Reader
from experiments.contract.effects import effect_of
from experiments.contract.money import Value, Worth, months_between, read_value


class Kind(StrEnum):
    """The kinds of entries."""

    BUILD = "BUILD"
    RUN = "RUN"
    EXPOSURE_LOSS = "EXPOSURE_LOSS"
    WAITING = "WAITING"
    PREDICTED = "PREDICTED"
    PROVEN = "PROVEN"
    REALISED = "REALISED"
    AVOIDED_LOSS = "AVOIDED_LOSS"
    FLAG_DEBT = "FLAG_DEBT"
    ESCAPED_DEFECT = "ESCAPED_DEFECT"
    OVERRIDE = "OVERRIDE"


Memo = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of an experiment's ledger; amounts in cents."""

    kind: Kind
    amount: int
    low: int | None
    high: int | None
    adds: bool
    memo: Memo
    at: dt.datetime


def compute(memo: Memo) -> Worth:
    """Compute an entry's amount and its bounds, in cents, from its memo alone.

    Formulas
    --------
    sunk
        ``−build``
    monthly_costs, support
        ``−(run + support) · months`` or ``−support · months``; months of 30.4375 days
    exposure
        minus the sum over ``arms`` of units · what they fell short, shrunk · value of a unit
    net_benefit
        ``NB(shrunk)``; its bounds are those of the raw interval (EXPERIMENTS.md §1)
    flow
        ``v · U · months · shrunk``, with the half-life, for ``seconds`` instead of the horizon
    reversal
        ``−amount``

    A ``sign`` of −1 turns the amount around.
    """
    worth = _FORMULAS[memo["formula"]](memo)
    if memo.get("sign", 1) == 1:
        return worth
    return _negative(worth)


def _sunk(memo: Memo) -> Worth:
    return _certain(-_value_in(memo).build)


def _monthly_costs(memo: Memo) -> Worth:
    return _certain(-running_costs(_value_in(memo), memo["seconds"], memo["day_seconds"]))


def _support(memo: Memo) -> Worth:
    only_support = replace(_value_in(memo), run=0)
    return _certain(-running_costs(only_support, memo["seconds"], memo["day_seconds"]))


def _exposure(memo: Memo) -> Worth:
    effects = {arm: effect_of(each) for arm, each in memo["arms"].items()}
    return _certain(-exposure_loss(memo["direction"], _value_in(memo), effects))


def _net_benefit(memo: Memo) -> Worth:
    return _value_in(memo).net_benefits(*_points(memo))


def _flow(memo: Memo) -> Worth:
    value, months = _value_in(memo), months_between(memo["seconds"], memo["day_seconds"])
    likely, worse, better = _points(memo)
    return Worth(
        value.gross(likely, months).likely,
        None if worse is None else value.gross(worse, months).low,
        None if better is None else value.gross(better, months).high,
    )


def _reversal(memo: Memo) -> Worth:
    return _negative(Worth(memo["amount"], memo["low"], memo["high"]))


_FORMULAS: Mapping[str, Callable[[Memo], Worth]] = {
    "sunk": _sunk,
    "monthly_costs": _monthly_costs,
    "support": _support,
    "exposure": _exposure,
    "net_benefit": _net_benefit,
    "flow": _flow,
    "reversal": _reversal,
}


def _points(memo: Memo) -> tuple[float, float | None, float | None]:
    """Give the shrunk effect and the raw interval's ends, in the good direction."""
    effect, direction = effect_of(memo["effect"]), memo["direction"]
    return good(direction, effect.shrunk), *in_good_direction(direction, effect)


def _value_in(memo: Memo) -> Value:
    value = read_value(Reader(memo))
    if value is None:
        msg = "the memo has no value"
        raise KeyError(msg)
    return value


def _certain(amount: int) -> Worth:
    return Worth(amount, amount, amount)


def _negative(worth: Worth) -> Worth:
    low, high = (None if end is None else -end for end in (worth.high, worth.low))
    return Worth(-worth.likely, low, high)
