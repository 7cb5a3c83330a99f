"""Which amounts a move writes into the value ledger, and how each is computed: pure.

Every entry carries a memo (``formulas.py``); its amount is ``compute(memo)`` and nothing else.
Amounts are what the change brings *against doing nothing*: a cost is negative. What ``adds`` makes
up the balance; the others are remembered beside it. README.md says when each kind is written.

An estimate that a later fact replaces is taken back by an entry of its own kind with the opposite
amount (formula ``reversal``); nothing is ever edited.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.contract.costs import good
from experiments.contract.effects import Effect, effect_of
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Position
from experiments.value.formulas import Entry, Kind, Memo, compute

ADDING = frozenset(
    {Kind.BUILD, Kind.RUN, Kind.EXPOSURE_LOSS, Kind.PROVEN, Kind.REALISED, Kind.ESCAPED_DEFECT}
)
"""Kinds that make up the balance; FLAG_DEBT does after a roll-back (a net benefit has it else)."""

_LIVE = frozenset({"RAMPING", "RUNNING", "HELD"})
_SHIPPED = frozenset({"SHIPPING", "VERIFYING", "CLEANUP"})
_ENDED = _SHIPPED | {"ROLLED_BACK", "CLOSED"}
_NOT_SHIPPED_BY_VERDICT = frozenset({"HARM", "FUTILE", "NOT_PROVEN_IN_TIME"})
_VERIFIED = frozenset({"CONFIRMED", "NOT_CONFIRMED"})


@dataclass(frozen=True)
class Facts:
    """What is known at a move.

    Parameters
    ----------
    proven_at : datetime, optional
        Since when the proven change has waited, before this move.
    effects : mapping of str to Effect
        By arm, at the newest look; empty when nothing was seen or nothing seen can be trusted.
    baseline : float, optional
        The control's mean at that look.
    holdback : Effect, optional
        What the shipped arm does against the units held back.
    predicted : float, optional
        Relative effect that somebody who overrides promises.
    """

    now: dt.datetime
    started_at: dt.datetime | None = None
    proven_at: dt.datetime | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)
    baseline: float | None = None
    look: int | None = None
    holdback: Effect | None = None
    predicted: float | None = None


def entries_for(
    plan: Plan, before: Position, after: Position, facts: Facts, book: Sequence[Entry]
) -> list[Entry]:
    """Give what one move adds to the ledger of its experiment.

    Parameters
    ----------
    before, after : Position
        Of the lifecycle; states and verdicts are compared by name.
    book : sequence of Entry
        What the experiment's ledger holds already, oldest first.

    Returns
    -------
    list of Entry
        Empty for a plan without money, and for most moves.
    """
    if plan.value is None:
        return []
    return _Writer(plan, before, after, facts, book).written()


class _Writer:
    """One move, and the entries that it has led to so far."""

    def __init__(
        self, plan: Plan, before: Position, after: Position, facts: Facts, book: Sequence[Entry]
    ) -> None:
        assert plan.value is not None
        self.plan, self.value, self.facts, self.book = plan, plan.value, facts, book
        self.before, self.after = before, after
        self.was, self.state = str(before.state), str(after.state)
        self.verdict = str(after.verdict) if after.verdict is not None else None
        self.metric = plan.success_metrics[0]
        # What an invalid experiment has measured is nowhere counted.
        invalid = "INVALID" in {self.verdict, str(before.verdict)}
        self.effects: Mapping[str, Effect] = {} if invalid else facts.effects
        self.entries: list[Entry] = []

    def written(self) -> list[Entry]:
        served = self.was in _SHIPPED or (
            self.was == "HELD" and bool(getattr(self.before, "shipped", False))
        )
        if self.was == "DRAFT" and self.state == "SEALED" and self.value.build:
            self._add(Kind.BUILD, {"formula": "sunk", "value": self._value()})
        self._predict()
        ends = self.state in _ENDED
        if self.was in _LIVE and not served:
            self._count_exposure(everybody=ends)
        if ends and self.facts.started_at is not None and not self._has(Kind.RUN):
            self._run(self.facts.started_at)
        if self.before.waits_for_customer and ends:
            self._wait()
        if self.state in _SHIPPED and not served:
            self._ship()
        elif self.state == "ROLLED_BACK" and served and self.was != "ROLLED_BACK":
            self._turn_back()
        elif self.state == "ROLLED_BACK" and self.was in _LIVE:
            self._stay()
        if self.verdict in _VERIFIED and str(self.before.verdict) != self.verdict:
            self._verify()
        if self.state == "CLOSED" and self.was != "CLOSED":
            self._close(shipped=served)
        return self.entries

    def _predict(self) -> None:
        baseline = self.facts.baseline
        if baseline is None or self._has(Kind.PREDICTED):
            return
        promised = self.value.expected_effect or self.metric.mde or 0.0
        effect = Effect(self._raw(promised * abs(baseline)))
        self._add(Kind.PREDICTED, self._net(effect) | {"baseline": baseline, "promised": promised})

    def _count_exposure(self, *, everybody: bool) -> None:
        counted = {arm for e in self.book if e.kind is Kind.EXPOSURE_LOSS for arm in e.memo["arms"]}
        gone = set(self.after.treatments if everybody else self.after.dropped)
        arms = {
            arm: effect.to_document()
            for arm, effect in self.effects.items()
            if arm in gone - counted and good(self.metric.direction, effect.shrunk) < 0
        }
        if arms:
            self._add(Kind.EXPOSURE_LOSS, {"formula": "exposure", **self._terms(), "arms": arms})

    def _run(self, since: dt.datetime) -> None:
        if self.value.monthly_costs:
            memo = {"formula": "monthly_costs", **self._terms(), **self._time(since)}
            self._add(Kind.RUN, memo)

    def _wait(self) -> None:
        effect, since = self._effect(), self.facts.proven_at
        if (
            effect is not None
            and since is not None
            and good(self.metric.direction, effect.shrunk) > 0
        ):
            memo = self._flow(effect, since) | {"sign": -1}
            self._add(Kind.WAITING, memo)

    def _ship(self) -> None:
        effect = self._effect()
        if self.verdict == "OVERRIDE_SHIP":
            promised, baseline = self.facts.predicted, self.facts.baseline
            memo: dict[str, Any] = {"overrides": True}
            if effect is not None:
                memo["evidence"] = effect.to_document()
            if promised is not None and baseline is not None:
                effect = Effect(promised * abs(baseline))
                memo |= {"baseline": baseline, "promised": promised}
            self._add(Kind.OVERRIDE, self._net(effect or Effect(0.0)) | memo)
        elif effect is not None:
            self._add(Kind.PROVEN, self._net(effect))

    def _turn_back(self) -> None:
        """Replace what was promised for the whole horizon by what the shipped months brought."""
        since, effect = self._shipped_at(), self.facts.holdback or self._promised_effect()
        self._reverse()
        if since is None:
            return
        self._run(since)
        if effect is None or self.verdict == "INVALID":
            return
        memo = self._flow(effect, since) | {"holdback": self.facts.holdback is not None}
        if self.verdict == "LATE_HARM":
            if good(self.metric.direction, effect.shrunk) < 0:
                self._add(Kind.ESCAPED_DEFECT, memo)
        else:
            self._add(Kind.REALISED, memo)

    def _stay(self) -> None:
        """Note what not shipping has saved (or, of a stop by hand, given up)."""
        effect = self._best()
        if effect is None:
            return
        if self.verdict == "OVERRIDE_STOP":
            self._add(Kind.OVERRIDE, self._net(effect) | {"sign": -1})
        elif self.verdict in _NOT_SHIPPED_BY_VERDICT:
            memo = self._net(effect) | {"sign": -1}
            if compute(memo).likely > 0:
                self._add(Kind.AVOIDED_LOSS, memo)

    def _verify(self) -> None:
        if self.facts.holdback is not None:
            self._reverse()
            self._add(Kind.REALISED, self._net(self.facts.holdback) | {"holdback": True})

    def _close(self, *, shipped: bool) -> None:
        decided = next((e.at for e in self.book if e.kind is Kind.RUN), None)
        if decided is None or not self.value.support:
            return
        memo = {"formula": "support", **self._terms(), **self._time(decided)}
        self._add(Kind.FLAG_DEBT, memo, adds=not shipped)

    # --- what they are made of

    def _add(self, kind: Kind, memo: Memo, *, adds: bool | None = None) -> None:
        worth = compute(memo)
        counts = kind in ADDING if adds is None else adds
        self.entries.append(
            Entry(kind, worth.likely, worth.low, worth.high, counts, memo, self.facts.now)
        )

    def _reverse(self) -> None:
        """Take back the newest estimate that adds and has not been taken back yet."""
        promised = self._open()
        if promised is not None:
            worth = {"amount": promised.amount, "low": promised.low, "high": promised.high}
            self._add(promised.kind, {"formula": "reversal", **worth})

    def _open(self) -> Entry | None:
        found = None
        for entry in self.book:
            if entry.memo["formula"] == "reversal":
                found = None
            elif entry.kind in {Kind.PROVEN, Kind.REALISED} and _is_promise(entry):
                found = entry
        return found

    def _shipped_at(self) -> dt.datetime | None:
        """Tell since when the change that is served now was shipped."""
        ships = [
            entry.at
            for entry in self.book
            if _is_promise(entry) and (entry.kind is Kind.PROVEN or entry.memo.get("overrides"))
        ]
        return ships[-1] if ships else None

    def _promised_effect(self) -> Effect | None:
        promised = self._open()
        return None if promised is None else effect_of(promised.memo["effect"])

    def _effect(self) -> Effect | None:
        arm = self.after.winner or self.before.winner
        return self.effects.get(arm) if arm is not None else self._best()

    def _best(self) -> Effect | None:
        """Give the arm that would have been shipped: the best by its estimate."""
        found = self.effects.values()
        return max(found, key=lambda each: good(self.metric.direction, each.estimate), default=None)

    def _has(self, kind: Kind) -> bool:
        return any(entry.kind is kind for entry in (*self.book, *self.entries))

    def _raw(self, effect: float) -> float:
        return good(self.metric.direction, effect)

    def _value(self) -> dict[str, Any]:
        return self.value.to_document()

    def _terms(self) -> dict[str, Any]:
        return {"value": self._value(), "direction": self.metric.direction}

    def _net(self, effect: Effect) -> dict[str, Any]:
        look = {} if self.facts.look is None else {"look": self.facts.look}
        return {
            "formula": "net_benefit",
            **self._terms(),
            "effect": effect.to_document(),
            **look,
        }

    def _flow(self, effect: Effect, since: dt.datetime) -> dict[str, Any]:
        return self._net(effect) | {"formula": "flow"} | self._time(since)

    def _time(self, since: dt.datetime) -> dict[str, Any]:
        seconds = (self.facts.now - since).total_seconds()
        return {"seconds": max(0.0, seconds), "day_seconds": self.plan.policy.day_seconds}


def _is_promise(entry: Entry) -> bool:
    """Tell whether an entry speaks of the whole horizon, and not of months that have passed."""
    return bool(entry.memo["formula"] == "net_benefit")
