"""Where an experiment can stand, and what moves it: pure, without clock, database or statistics.

::

    DRAFT ─seal→ SEALED ─start→ RAMPING ─widen→ … ─widen→ RUNNING
      └──stop──────┴─→ ABANDONED
    RAMPING, RUNNING ─look─→ ROLLED_BACK (INVALID, HARM, FUTILE, NOT_PROVEN_IN_TIME)
                       └───→ RUNNING, proven: the customer confirms ─→ SHIPPING
                                              nobody does in time  ─→ ROLLED_BACK
    RAMPING, RUNNING ─quality alarm→ HELD ─explain→ on; nobody explains → ROLLED_BACK (INVALID)
                     ─stale feed───→ HELD ─fresh look→ on; the clock never stops
    … SHIPPING, VERIFYING ─edited by hand→ HELD: only override, stop or ROLLED_BACK (INVALID)
    SHIPPING ─push→ … ─verify→ VERIFYING ─last look→ CLEANUP (CONFIRMED, NOT_CONFIRMED)
        harm against the holdback in either → ROLLED_BACK (LATE_HARM)
    RAMPING, RUNNING, HELD, ROLLED_BACK ─override→ SHIPPING (OVERRIDE_SHIP)
    whatever serves the change ─stop→ ROLLED_BACK (OVERRIDE_STOP)
    ROLLED_BACK, CLEANUP ─close→ CLOSED

A guarded release is the same without a proof: its last step, in RUNNING, leads to everybody::

    RAMPING ─widen→ … ─widen→ RUNNING ─release→ CLEANUP (RELEASED, NO_HARM_PROVEN)

Silence rolls back: at the deadline, when nobody confirms, and when nobody explains.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from experiments.machine.states import (
    FINISHED,
    LIVE,
    PROVEN,
    SHIPPED,
    WATCHED,
    Action,
    Comparison,
    Finding,
    Hold,
    Move,
    Outcome,
    Position,
    State,
)
from flags.errors import InvalidInputError, StateError

__all__ = [
    "FINISHED",
    "LIVE",
    "PROVEN",
    "SHIPPED",
    "WATCHED",
    "Action",
    "Comparison",
    "Finding",
    "Hold",
    "Move",
    "Outcome",
    "Position",
    "State",
]


def seal(position: Position) -> Move:
    """Freeze the plan."""
    _require(position, {State.DRAFT}, "sealed")
    return Move(replace(position, state=State.SEALED))


def start(position: Position, step: int = 0) -> Move:
    """Serve the first step of the ramp; a release may take over a rollout that is further."""
    _require(position, {State.SEALED}, "started")
    return _step(position, step, Action.SERVE)


def widen(position: Position) -> Move:
    """Serve the next step of the ramp."""
    _require(position, {State.RAMPING}, "widened")
    return _step(position, position.step + 1, Action.WIDEN)


def _step(position: Position, step: int, action: Action) -> Move:
    state = State.RUNNING if step >= position.last_step else State.RAMPING
    return Move(replace(position, state=state, step=step), action)


def release(position: Position, *, shown: bool) -> Move:
    """Give the variant of a release to everybody, after its last step.

    Parameters
    ----------
    shown : bool
        Whether every guard was shown to be within its tolerance; else no harm was seen, which is
        less.
    """
    _require(position, {State.RUNNING}, "released")
    if not position.is_release:
        msg = "an experiment ships by its proof"
        raise StateError(msg)
    verdict = Outcome.NO_HARM_PROVEN if shown else Outcome.RELEASED
    (variant,) = position.treatments
    given = replace(position, state=State.CLEANUP, verdict=verdict, winner=variant)
    return Move(given, Action.EVERYBODY)


# --- before anything ships


def look(position: Position, finding: Finding) -> Move:
    """Act on what a look found; protection first, whatever the state.

    The order is that of a look's verdicts: INVALID, harm, what is wrong with the data, proven,
    futile, the deadline.
    """
    _require(position, LIVE, "looked at")
    if position.shipped:
        msg = "what ships is compared with its holdback"
        raise StateError(msg)
    dropped = position.dropped | set(finding.harmed)
    if finding.verdict is Outcome.INVALID:
        return _roll_back(position, Outcome.INVALID)
    harm = finding.verdict is Outcome.HARM or bool(finding.harmed)
    if position.hold is Hold.SEAL:
        # The seal is broken: nothing can be proven any more, but harm is still stopped.
        return _roll_back(position, Outcome.INVALID) if harm or finding.is_final else Move(position)
    lost = finding.verdict is Outcome.HARM or dropped >= set(position.treatments)
    if lost or (position.winner is not None and position.winner in dropped):
        return _roll_back(replace(position, dropped=dropped), Outcome.HARM)
    action = Action.DROP if dropped != position.dropped else Action.NONE
    position = replace(position, dropped=dropped)
    if position.waits_for_customer:
        return Move(position, action)
    if finding.alarm is Hold.QUALITY or position.hold is Hold.QUALITY:
        # An alarm that went away by itself still wants its explanation.
        if finding.is_final:
            return _roll_back(position, Outcome.INVALID)
        return Move(_held(position, Hold.QUALITY), action)
    if finding.alarm is Hold.STALE and not finding.is_final:
        return Move(_held(position, Hold.STALE), action)
    position = _resumed(position)
    return _decide(position, finding, action)


def _decide(position: Position, finding: Finding, action: Action) -> Move:
    if position.is_release:
        # Nothing is claimed that a look could prove; the machine goes on by its steps.
        late = finding.is_final
        return _roll_back(position, Outcome.NOT_PROVEN_IN_TIME) if late else Move(position, action)
    proven = finding.verdict in PROVEN and finding.winner not in position.dropped
    if proven and finding.alarm is None:
        position = replace(
            position, state=State.RUNNING, verdict=finding.verdict, winner=finding.winner
        )
        return _ship(position) if position.authorised else Move(position, action)
    if finding.verdict in {Outcome.FUTILE, Outcome.NOT_PROVEN_IN_TIME}:
        return _roll_back(position, finding.verdict)
    if finding.is_final:
        return _roll_back(position, Outcome.NOT_PROVEN_IN_TIME)
    return Move(position, action)


def extend(position: Position) -> Move:
    """Give the one extension; whether there is hope enough is told elsewhere."""
    _require(position, {State.RAMPING, State.RUNNING}, "extended")
    if position.is_release:
        msg = "a release is not extended"
        raise StateError(msg, hint="give the next one a longer max_wait")
    if position.waits_for_customer:
        msg = "the change is proven already: there is nothing to extend"
        raise StateError(msg, hint="confirm it, or stop it")
    if position.extended:
        msg = "the experiment was extended before, and that is done once"
        raise StateError(msg, hint="let it run to its deadline")
    return Move(replace(position, extended=True))


def confirm(position: Position) -> Move:
    """Ship what was proven, by the customer's word."""
    _require_waiting(position)
    return _ship(position)


def expire(position: Position) -> Move:
    """Roll back what was proven, because nobody confirmed in time; the verdict stands."""
    _require_waiting(position)
    return Move(replace(position, state=State.ROLLED_BACK), Action.CONTROL)


# --- held


def hold(position: Position) -> Move:
    """Note that somebody edited the rule by hand: the seal is broken, the flag stays as edited."""
    may = position.state in {State.RAMPING, State.RUNNING, *SHIPPED}
    if not may and not (position.state is State.HELD and position.hold is not Hold.SEAL):
        _require(position, {State.RAMPING, State.RUNNING, *SHIPPED}, "held")
    held = _held(position, Hold.SEAL)
    # Nothing can be proven any more; what ships keeps its winner, so that it can be compared.
    return Move(held if held.shipped else replace(held, verdict=None, winner=None))


def explain(position: Position) -> Move:
    """Go on after the owner explained what was wrong with the data."""
    if position.state is not State.HELD or position.hold is not Hold.QUALITY:
        msg = f"there is nothing to explain: the experiment is {_standing(position)}"
        raise StateError(msg, hint="only a quality alarm waits for an explanation")
    return Move(_resumed(position))


def lapse(position: Position) -> Move:
    """Roll back because nobody explained in time what was wrong with the data."""
    explain(position)
    return _roll_back(position, Outcome.INVALID)


def _held(position: Position, cause: Hold) -> Position:
    since = position.held_from if position.state is State.HELD else position.state
    return replace(position, state=State.HELD, hold=cause, held_from=since)


def _resumed(position: Position) -> Position:
    if position.state is not State.HELD or position.held_from is None:
        return position
    return replace(position, state=position.held_from, hold=None, held_from=None)


# --- after the decision


def push(position: Position) -> Move:
    """Serve the winner to the next share of the audience."""
    _require(position, {State.SHIPPING}, "pushed on")
    if position.ship_step >= position.last_ship_step:
        msg = "the winner is served to all but the holdback already"
        raise StateError(msg)
    return Move(replace(position, ship_step=position.ship_step + 1), Action.SHIP)


def verify(position: Position) -> Move:
    """Compare with the holdback from now on; what is served stays as it is."""
    _require(position, {State.SHIPPING}, "verified")
    if position.ship_step < position.last_ship_step:
        msg = "the winner is not served to all but the holdback yet"
        raise StateError(msg)
    return Move(replace(position, state=State.VERIFYING), Action.SHIP)


def compare(position: Position, found: Comparison) -> Move:
    """Act on a comparison with the holdback."""
    if not position.shipped:
        msg = f"an experiment that is {_standing(position)} has no holdback to compare with"
        raise StateError(msg)
    if found.invalid:
        return _roll_back(position, Outcome.INVALID)
    final = found.is_final and position.state is not State.SHIPPING
    if position.state is State.HELD:
        return _roll_back(position, Outcome.INVALID) if found.harm or final else Move(position)
    if found.harm:
        return _roll_back(position, Outcome.LATE_HARM)
    if not final:
        return Move(position)
    verdict = Outcome.CONFIRMED if found.confirmed else Outcome.NOT_CONFIRMED
    return Move(replace(position, state=State.CLEANUP, verdict=verdict), Action.EVERYBODY)


def close(position: Position) -> Move:
    """End for good: the flag, its rule or the code that reads it is gone."""
    _require(position, {State.ROLLED_BACK, State.CLEANUP}, "closed")
    return Move(replace(position, state=State.CLOSED))


# --- against the verdict, or without one


def stop(position: Position) -> Move:
    """Stop anything that still serves a change; before the start nothing was served."""
    if position.state in {State.DRAFT, State.SEALED}:
        return Move(replace(position, state=State.ABANDONED))
    _require(position, {*LIVE, *SHIPPED, State.CLEANUP}, "stopped")
    return _roll_back(position, Outcome.OVERRIDE_STOP)


def override_ship(position: Position, arm: str) -> Move:
    """Ship an arm although it is not proven; the holdback will tell."""
    _require(
        position, {State.RAMPING, State.RUNNING, State.HELD, State.ROLLED_BACK}, "shipped by hand"
    )
    if position.is_release:
        msg = "a release has no verdict to override"
        raise StateError(msg, hint="stop it, then give the variant in the flag itself")
    if arm not in position.treatments:
        msg = f"{arm!r} is no treatment of this experiment"
        raise InvalidInputError(msg, field="arm", hint=f"one of {', '.join(position.treatments)}")
    if position.waits_for_customer and arm == position.winner:
        msg = f"{arm} is proven: that needs no override"
        raise StateError(msg, field="arm", hint="the customer confirms it")
    if arm in position.dropped and position.state is not State.ROLLED_BACK:
        msg = f"{arm} was dropped because it does harm"
        raise StateError(msg, field="arm", hint="another arm, or stop the experiment first")
    shipped = replace(
        position, verdict=Outcome.OVERRIDE_SHIP, winner=arm, dropped=position.dropped - {arm}
    )
    return _ship(shipped)


def opposes(position: Position, arm: str) -> bool:
    """Tell whether shipping an arm by hand goes against what was found, or cannot be trusted."""
    if position.state is State.HELD:
        return position.hold is not Hold.STALE
    if position.verdict is None:
        return False
    return not (position.verdict in PROVEN and arm == position.winner)


def _ship(position: Position) -> Move:
    shipping = replace(position, state=State.SHIPPING, ship_step=0, hold=None, held_from=None)
    return Move(shipping, Action.SHIP)


def _roll_back(position: Position, verdict: Outcome) -> Move:
    back = replace(position, state=State.ROLLED_BACK, verdict=verdict, hold=None, held_from=None)
    return Move(back, Action.CONTROL)


def _require_waiting(position: Position) -> None:
    if not position.waits_for_customer:
        msg = f"nothing is proven and waiting: the experiment is {position.state}"
        raise StateError(msg)


def _standing(position: Position) -> str:
    return f"{position.state} ({position.hold})" if position.hold else position.state.value


def _require(position: Position, states: Collection[State], done: str) -> None:
    if position.state not in states:
        msg = f"an experiment that is {position.state} cannot be {done}"
        raise StateError(msg, hint=f"only from {', '.join(sorted(states))}")
