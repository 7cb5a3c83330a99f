"""The question itself: whom does an edit move, and is that proved."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable

from flagstone.engine.compare import AnyFlagSet, Served
from flagstone.engine.compile import CompiledFlagSet
from flagstone.engine.evaluate import prepare
from flagstone.engine.prove.answers import Answer, Change, Rest, change_of, name_of_answer
from flagstone.engine.prove.atoms import UndecidedError
from flagstone.engine.prove.claims import Claim, Classification, FlagClassification, Witness
from flagstone.engine.prove.contexts import Budget, contexts_in, obstacles
from flagstone.engine.prove.diagram import Diagrams, Node, Outcome, Writer
from flagstone.engine.prove.elements import element_kinds
from flagstone.engine.prove.pairs import Pairs
from flagstone.engine.prove.space import Region, Space, Times
from flagstone.engine.prove.walk import Walk
from flagstone.engine.times import seconds_of

MAX_ATTEMPTS = 200
MAX_CONTEXTS = 1_000
Moment = float | dt.datetime

_DENIED_BY = {
    "no_op": frozenset(Change),
    "only_widens": frozenset({Change.LOSS, Change.OTHER}),
    "only_narrows": frozenset({Change.GAIN, Change.OTHER}),
}


def classify(
    before: AnyFlagSet,
    after: AnyFlagSet,
    *,
    now: Moment | tuple[Moment, Moment] | None = None,
    flag_keys: Iterable[str] | None = None,
) -> Classification:
    """Prove of every flag that an edit is a no-op, only widens or only narrows, or deny it.

    A claim is proved for every context that JSON can carry (numbers up to the largest double),
    or denied by a witness: a context and a time at which both sides were evaluated. Where neither
    can be had, it is not decided, and says why.

    *No-op*: no context gets another answer (values and ``on`` count, names of variants do not).
    *Only widens*: whoever gets another answer was at rest before, and is not after. *Only
    narrows*: the reverse. When a context is at rest says :mod:`flagstone.engine.prove.answers`.

    Parameters
    ----------
    before, after : FlagSet, CompiledFlagSet or mapping
        The two states; documents are read leniently.
    now : float, datetime, pair of them, or None
        One time of evaluation, times from the first until just before the second, or all times.
    flag_keys : iterable of str, optional
        Only these flags; all of both sets if left out.

    Returns
    -------
    Classification
        For each flag the three claims and the verdict.

    Raises
    ------
    FlagSetError
        If a document cannot be used at all.
    ValueError
        If ``now`` is no time, or no time lies between its two.
    """
    times = _times(now)
    old, _ = prepare(before, 0.0)
    new, _ = prepare(after, 0.0)
    keys = sorted(old.flag_keys | new.flag_keys if flag_keys is None else set(flag_keys))
    return Classification({key: _Case(key, old, new, times).classified() for key in keys})


def _times(now: Moment | tuple[Moment, Moment] | None) -> Times | float:
    if now is None:
        return Times()
    if isinstance(now, tuple):
        first, last = (float(seconds_of(moment)) for moment in now)
        if not first < last:
            raise ValueError("the first time comes before the second")
        return Times(first, last)
    return float(seconds_of(now))


class _Case:
    """One flag on both sides."""

    def __init__(
        self, key: str, before: CompiledFlagSet, after: CompiledFlagSet, times: Times | float
    ) -> None:
        self.key = key
        self.sides = before, after
        self.times = times
        self.witnesses: dict[Change, Witness] = {}
        self.wanted = set(Change)
        self.reasons: dict[Change, str] = {}
        self.budget = Budget()
        self.attempts = MAX_ATTEMPTS

    def classified(self) -> FlagClassification:
        """Decide what can be decided; never raises."""
        try:
            doubts = self._doubts()
        except UndecidedError as error:
            return self._result(dict.fromkeys(Change, str(error)))
        except RecursionError:
            return self._result(dict.fromkeys(Change, "the conditions are nested too deeply"))
        except Exception as error:  # noqa: BLE001  whatever came in, an answer goes out
            return self._result(dict.fromkeys(Change, f"{type(error).__name__} during the proof"))
        return self._result({change: self.reasons[change] for change in doubts})

    def _doubts(self) -> set[Change]:
        """Return the changes that may occur though no witness was found."""
        diagrams = Diagrams()
        self.rest = Rest(*(side.flag_set.flags.get(self.key) for side in self.sides))
        now = self.times if isinstance(self.times, float) else None
        one, other = (
            Writer(diagrams, side.flag_set, now).flag(
                self.key, lambda outcome: self._end(diagrams, outcome)
            )
            for side in self.sides
        )
        if one is other:
            return set()
        support = one.support | other.support
        atoms = [atom for atom in diagrams.atoms if atom.bit & support]
        times = self.times if isinstance(self.times, Times) else None
        self.space = Space(atoms, element_kinds, times)
        walk = Walk(self.space, Pairs(one, other), self.wanted)
        doubts = walk.run(self._attempt)
        if doubts & self.wanted:
            # What was dropped as past may be what kept a witness from being found.
            with contextlib.suppress(UndecidedError):
                walk.run(self._attempt, exactly=True)
        return doubts

    def _end(self, diagrams: Diagrams, outcome: Outcome) -> Node:
        variant = outcome.variant
        served = Served(None, None, False)
        if variant is not None:
            served = Served(variant.key, variant.value, variant.on)
        return diagrams.end(name_of_answer(served), Answer(served, self.rest.has(served)))

    def _attempt(self, region: Region, change: Change) -> bool:
        """Look for a witness in a region."""
        if self.attempts <= 0:
            self.reasons.setdefault(change, f"no context was found in {MAX_ATTEMPTS} attempts")
            return False
        self.attempts -= 1
        for context, now in contexts_in(self.space, region, self.budget, MAX_CONTEXTS):
            moment = self.times if isinstance(self.times, float) else now
            seen = self._seen(context, 0.0 if moment is None else moment)
            if seen is not None:
                self.wanted.discard(seen)
            if seen is change:
                return True
        self.reasons.setdefault(change, obstacles(self.space, region))
        return False

    def _seen(self, context: dict[str, object], now: float) -> Change | None:
        """Evaluate both sides; keep a witness if they differ."""
        one, other = (Served.of(side.evaluate(self.key, context, now)) for side in self.sides)
        if one.is_same(other):
            return None
        change = change_of(Answer(one, self.rest.has(one)), Answer(other, self.rest.has(other)))
        self.witnesses.setdefault(change, Witness(context, now, one, other))
        return change

    def _result(self, doubts: dict[Change, str]) -> FlagClassification:
        """Say of each claim what is known; ``doubts`` are changes that may occur, and why so."""
        claims = {}
        for name, denying in _DENIED_BY.items():
            seen = [change for change in Change if change in denying & self.witnesses.keys()]
            reasons = {
                doubts[change]: None for change in Change if change in denying & doubts.keys()
            }
            if seen:
                claims[name] = Claim(False, self.witnesses[seen[0]])
            elif reasons:
                claims[name] = Claim(None, reason="; ".join(reasons))
            else:
                claims[name] = Claim(True)
        return FlagClassification(self.key, **claims)
