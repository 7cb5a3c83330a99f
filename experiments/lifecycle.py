"""Where an experiment can stand, and what moves it: pure, without clock, database or statistics.

::

    DRAFT ─seal→ SEALED ─start→ RAMPING ─widen→ … ─widen→ RUNNING
      └──stop──────┴─→ ABANDONED     │                      │
    RAMPING, RUNNING ─look─→ ROLLED_BACK (HARM, FUTILE, NOT_PROVEN_IN_TIME, INVALID)
                       └───→ RUNNING, proven: the customer confirms ─→ SHIPPING
                                              nobody does in time  ─→ ROLLED_BACK
    RAMPING, RUNNING ─edited by hand→ HELD ─look→ ROLLED_BACK (INVALID) only
    RAMPING, RUNNING, HELD, SHIPPING ─stop→ ROLLED_BACK (OVERRIDE_STOP)

Silence rolls back: at the deadline, and when nobody confirms.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from flags.errors import StateError


class State(StrEnum):
    """Where an experiment stands."""

    DRAFT = "DRAFT"
    SEALED = "SEALED"
    RAMPING = "RAMPING"
    RUNNING = "RUNNING"
    HELD = "HELD"
    SHIPPING = "SHIPPING"
    ROLLED_BACK = "ROLLED_BACK"
    ABANDONED = "ABANDONED"


class Outcome(StrEnum):
    """The words of a verdict. ``stats`` finds most of them; people cause the override."""

    CONTINUE = "CONTINUE"
    VALUE_PROVEN = "VALUE_PROVEN"
    NO_HARM_PROVEN = "NO_HARM_PROVEN"
    HARM = "HARM"
    FUTILE = "FUTILE"
    NOT_PROVEN_IN_TIME = "NOT_PROVEN_IN_TIME"
    INVALID = "INVALID"
    OVERRIDE_STOP = "OVERRIDE_STOP"


class Action(StrEnum):
    """What a move does to the flag."""

    NONE = "none"
    SERVE = "serve"
    WIDEN = "widen"
    DROP = "drop"
    CONTROL = "control"
    SHIP = "ship"


LIVE = frozenset({State.RAMPING, State.RUNNING, State.HELD})
PROVEN = frozenset({Outcome.VALUE_PROVEN, Outcome.NO_HARM_PROVEN})
FINISHED = frozenset({State.SHIPPING, State.ROLLED_BACK, State.ABANDONED})


@dataclass(frozen=True)
class Position:
    """Everything that decides the next move.

    Parameters
    ----------
    treatments : tuple of str
        Every treatment of the plan, dropped ones included.
    last_step : int
        Index of the ramp's last step.
    authorised : bool
        The customer agreed before the start that a proven change ships by itself.
    """

    treatments: tuple[str, ...]
    last_step: int
    authorised: bool = False
    state: State = State.DRAFT
    verdict: Outcome | None = None
    dropped: frozenset[str] = frozenset()
    winner: str | None = None
    step: int = -1

    @property
    def waits_for_customer(self) -> bool:
        """Tell whether the change is proven and nobody has confirmed yet."""
        return self.state is State.RUNNING and self.verdict in PROVEN

    @property
    def live_treatments(self) -> tuple[str, ...]:
        """Give the treatments that are still served."""
        return tuple(arm for arm in self.treatments if arm not in self.dropped)


@dataclass(frozen=True)
class Move:
    """The next position, and what happens to the flag in the same transaction."""

    position: Position
    action: Action = Action.NONE


@dataclass(frozen=True)
class Finding:
    """What one look found."""

    verdict: Outcome
    winner: str | None = None
    harmed: tuple[str, ...] = ()
    is_final: bool = False


def seal(position: Position) -> Move:
    """Freeze the plan."""
    _require(position, {State.DRAFT}, "sealed")
    return Move(replace(position, state=State.SEALED))


def start(position: Position) -> Move:
    """Serve the first step of the ramp."""
    _require(position, {State.SEALED}, "started")
    return _step(position, 0, Action.SERVE)


def widen(position: Position) -> Move:
    """Serve the next step of the ramp."""
    _require(position, {State.RAMPING}, "widened")
    return _step(position, position.step + 1, Action.WIDEN)


def _step(position: Position, step: int, action: Action) -> Move:
    state = State.RUNNING if step >= position.last_step else State.RAMPING
    return Move(replace(position, state=state, step=step), action)


def look(position: Position, finding: Finding) -> Move:
    """Act on what a look found; protection first, whatever the state."""
    _require(position, LIVE, "looked at")
    dropped = position.dropped | set(finding.harmed)
    if finding.verdict is Outcome.INVALID:
        return _roll_back(position, Outcome.INVALID)
    harm = finding.verdict is Outcome.HARM or bool(finding.harmed)
    if position.state is State.HELD:
        # The seal is broken: nothing can be proven any more, but harm is still stopped.
        return _roll_back(position, Outcome.INVALID) if harm or finding.is_final else Move(position)
    lost = finding.verdict is Outcome.HARM or dropped >= set(position.treatments)
    if lost or (position.winner is not None and position.winner in dropped):
        return _roll_back(replace(position, dropped=dropped), Outcome.HARM)
    action = Action.DROP if dropped != position.dropped else Action.NONE
    position = replace(position, dropped=dropped)
    if position.waits_for_customer:
        return Move(position, action)
    if finding.verdict in PROVEN and finding.winner not in dropped:
        proven = replace(
            position, state=State.RUNNING, verdict=finding.verdict, winner=finding.winner
        )
        return _ship(proven) if position.authorised else Move(proven, action)
    if finding.verdict in {Outcome.FUTILE, Outcome.NOT_PROVEN_IN_TIME}:
        return _roll_back(position, finding.verdict)
    if finding.is_final:
        return _roll_back(position, Outcome.NOT_PROVEN_IN_TIME)
    return Move(position, action)


def hold(position: Position) -> Move:
    """Note that somebody edited the rule by hand: the seal is broken, the flag stays as edited."""
    _require(position, {State.RAMPING, State.RUNNING}, "held")
    return Move(replace(position, state=State.HELD, verdict=None, winner=None))


def confirm(position: Position) -> Move:
    """Ship what was proven, by the customer's word."""
    _require_waiting(position)
    return _ship(position)


def expire(position: Position) -> Move:
    """Roll back what was proven, because nobody confirmed in time; the verdict stands."""
    _require_waiting(position)
    return Move(replace(position, state=State.ROLLED_BACK), Action.CONTROL)


def stop(position: Position) -> Move:
    """Stop anything that has not ended yet; before the start nothing was served."""
    if position.state in {State.DRAFT, State.SEALED}:
        return Move(replace(position, state=State.ABANDONED))
    _require(position, {*LIVE, State.SHIPPING}, "stopped")
    return _roll_back(position, Outcome.OVERRIDE_STOP)


def _ship(position: Position) -> Move:
    return Move(replace(position, state=State.SHIPPING), Action.SHIP)


def _roll_back(position: Position, verdict: Outcome) -> Move:
    return Move(replace(position, state=State.ROLLED_BACK, verdict=verdict), Action.CONTROL)


def _require_waiting(position: Position) -> None:
    if not position.waits_for_customer:
        msg = f"nothing is proven and waiting: the experiment is {position.state}"
        raise StateError(msg)


def _require(position: Position, states: Collection[State], done: str) -> None:
    if position.state not in states:
        msg = f"an experiment that is {position.state} cannot be {done}"
        raise StateError(msg, hint=f"only from {', '.join(sorted(states))}")
