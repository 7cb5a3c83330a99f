"""The words of the lifecycle: states, verdicts, causes of a hold; and a position among them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where an experiment stands."""

    DRAFT = "DRAFT"
    SEALED = "SEALED"
    RAMPING = "RAMPING"
    RUNNING = "RUNNING"
    HELD = "HELD"
    SHIPPING = "SHIPPING"
    VERIFYING = "VERIFYING"
    ROLLED_BACK = "ROLLED_BACK"
    CLEANUP = "CLEANUP"
    CLOSED = "CLOSED"
    ABANDONED = "ABANDONED"


class Outcome(StrEnum):
    """The words of a verdict. Looks find most of them; people cause the overrides."""

    CONTINUE = "CONTINUE"
    VALUE_PROVEN = "VALUE_PROVEN"
    NO_HARM_PROVEN = "NO_HARM_PROVEN"
    HARM = "HARM"
    FUTILE = "FUTILE"
    NOT_PROVEN_IN_TIME = "NOT_PROVEN_IN_TIME"
    INVALID = "INVALID"
    OVERRIDE_SHIP = "OVERRIDE_SHIP"
    OVERRIDE_STOP = "OVERRIDE_STOP"
    LATE_HARM = "LATE_HARM"
    CONFIRMED = "CONFIRMED"
    NOT_CONFIRMED = "NOT_CONFIRMED"
    RELEASED = "RELEASED"


class Hold(StrEnum):
    """Why an experiment is held; the first is the gravest."""

    SEAL = "seal"
    QUALITY = "quality"
    STALE = "stale"


class Action(StrEnum):
    """What a move does to the flag."""

    NONE = "none"
    SERVE = "serve"
    WIDEN = "widen"
    DROP = "drop"
    CONTROL = "control"
    SHIP = "ship"
    EVERYBODY = "everybody"


LIVE = frozenset({State.RAMPING, State.RUNNING, State.HELD})
"""What the monitor looks at before anything ships (a held one may hang after shipping too)."""
SHIPPED = frozenset({State.SHIPPING, State.VERIFYING})
"""What the monitor compares with the holdback."""
WATCHED = LIVE | SHIPPED
"""What the worker has something to do with."""
PROVEN = frozenset({Outcome.VALUE_PROVEN, Outcome.NO_HARM_PROVEN})
FINISHED = frozenset({State.ROLLED_BACK, State.CLEANUP, State.CLOSED, State.ABANDONED})
"""Where nothing is decided any more."""


@dataclass(frozen=True)
class Position:
    """Everything that decides the next move.

    Parameters
    ----------
    treatments : tuple of str
        Every treatment of the plan, dropped ones included.
    last_step, last_ship_step : int
        Index of the last step of the ramp, and of the ramp after shipping.
    authorised : bool
        The customer agreed before the start that a proven change ships by itself.
    held_from : State, optional
        Where a hold began; an explained or a passing one goes on there.
    extended : bool
        Whether the one extension was given.
    is_release : bool
        Whether it is a guarded release: nothing is claimed, and everybody comes last.
    """

    treatments: tuple[str, ...]
    last_step: int
    authorised: bool = False
    state: State = State.DRAFT
    verdict: Outcome | None = None
    dropped: frozenset[str] = frozenset()
    winner: str | None = None
    step: int = -1
    last_ship_step: int = 0
    ship_step: int = -1
    hold: Hold | None = None
    held_from: State | None = None
    extended: bool = False
    is_release: bool = False

    @property
    def waits_for_customer(self) -> bool:
        """Tell whether the change is proven and nobody has confirmed yet."""
        return self.state is State.RUNNING and self.verdict in PROVEN

    @property
    def shipped(self) -> bool:
        """Tell whether it is the holdback that the change is compared with."""
        return self.state in SHIPPED or (self.state is State.HELD and self.held_from in SHIPPED)

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
    """What one look found.

    Parameters
    ----------
    alarm : Hold, optional
        What is wrong with the data, unless it was explained.
    """

    verdict: Outcome
    winner: str | None = None
    harmed: tuple[str, ...] = ()
    is_final: bool = False
    alarm: Hold | None = None


@dataclass(frozen=True)
class Comparison:
    """What one look at the holdback found.

    Parameters
    ----------
    harm, invalid : bool
        A harm bound was crossed; the split is not the planned one.
    is_final : bool
        Whether the verification is over.
    confirmed : bool
        Whether the realised effect confirms the change (read at the final look only).
    """

    harm: bool = False
    invalid: bool = False
    is_final: bool = False
    confirmed: bool = False
