"""A release in the state machine, against a table that was written down independently of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from experiments.machine import lifecycle
from experiments.machine.lifecycle import Action, Finding, Hold, Outcome, Position, State
from flags.errors import StateError

BACK = "control"
HERE = ("=", "=", "none")
# Place (the step is 0 in RAMPING, 1 in RUNNING) → what happens → (place, verdict, what is done).
TABLE: dict[str, dict[str, tuple[str, str, str]]] = {
    "DRAFT": {"seal": ("SEALED", "=", "none"), "stop": ("ABANDONED", "=", "none")},
    "SEALED": {
        "start": ("RAMPING", "=", "serve"),
        "start further": ("RUNNING", "=", "serve"),
        "stop": ("ABANDONED", "=", "none"),
    },
    "RAMPING": {
        "widen": ("RUNNING", "=", "widen"),
        "edit": ("HELD/seal", "=", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "nothing": HERE,
        # A guard that is shown safe widens nothing by itself.
        "shown safe": HERE,
        "harm": ("ROLLED_BACK", "HARM", BACK),
        "invalid": ("ROLLED_BACK", "INVALID", BACK),
        "late": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", BACK),
        "shown safe, but late": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", BACK),
        "stale": ("HELD/stale", "=", "none"),
        "quality": ("HELD/quality", "=", "none"),
    },
    "HELD/seal": {
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        **dict.fromkeys(("nothing", "shown safe", "stale", "quality"), HERE),
        **dict.fromkeys(
            ("harm", "invalid", "late", "shown safe, but late"), ("ROLLED_BACK", "INVALID", BACK)
        ),
    },
    "HELD/quality": {
        "edit": ("HELD/seal", "=", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "explain": ("back", "=", "none"),
        "lapse": ("ROLLED_BACK", "INVALID", BACK),
        **dict.fromkeys(("nothing", "shown safe", "stale", "quality"), HERE),
        **dict.fromkeys(
            ("invalid", "late", "shown safe, but late"), ("ROLLED_BACK", "INVALID", BACK)
        ),
        "harm": ("ROLLED_BACK", "HARM", BACK),
    },
    "CLEANUP": {
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "close": ("CLOSED", "=", "none"),
    },
    "ROLLED_BACK": {"close": ("CLOSED", "=", "none")},
    "CLOSED": {},
    "ABANDONED": {},
}
TABLE["RUNNING"] = {k: v for k, v in TABLE["RAMPING"].items() if k != "widen"} | {
    "release": ("CLEANUP", "RELEASED", "everybody"),
    "release, shown": ("CLEANUP", "NO_HARM_PROVEN", "everybody"),
}
TABLE["HELD/stale"] = {k: v for k, v in TABLE["RAMPING"].items() if k != "widen"} | {
    **dict.fromkeys(("nothing", "shown safe"), ("back", "=", "none")),
    "stale": HERE,
}
LOOKS = {
    "nothing": Finding(Outcome.CONTINUE),
    "shown safe": Finding(Outcome.NO_HARM_PROVEN, winner="a"),
    "harm": Finding(Outcome.HARM, harmed=("a",)),
    "invalid": Finding(Outcome.INVALID),
    "late": Finding(Outcome.NOT_PROVEN_IN_TIME, is_final=True),
    "shown safe, but late": Finding(Outcome.NO_HARM_PROVEN, winner="a", is_final=True),
    "stale": Finding(Outcome.CONTINUE, alarm=Hold.STALE),
    "quality": Finding(Outcome.CONTINUE, alarm=Hold.QUALITY),
}
MOVES: dict[str, Any] = {
    "edit": lifecycle.hold,
    "start further": partial(lifecycle.start, step=1),
    "release": partial(lifecycle.release, shown=False),
    "release, shown": partial(lifecycle.release, shown=True),
    "override": partial(lifecycle.override_ship, arm="a"),
    **{
        name: getattr(lifecycle, name)
        for name in (
            *("seal", "start", "widen", "stop", "confirm", "expire", "explain", "lapse"),
            *("extend", "push", "verify", "close"),
        )
    },
}
EVENTS = [*MOVES, *LOOKS]


def new() -> Position:
    return Position(("a",), last_step=1, is_release=True)


def position_in(place: str) -> Position:
    name, _, cause = place.partition("/")
    state = State(name)
    step = {"DRAFT": -1, "SEALED": -1, "ABANDONED": -1, "RAMPING": 0}.get(name, 1)
    return replace(
        new(),
        state=state,
        step=step,
        hold=Hold(cause) if cause else None,
        held_from=State.RUNNING if cause else None,
        verdict=Outcome.RELEASED if name == "CLEANUP" else None,
        winner="a" if name == "CLEANUP" else None,
    )


def place_of(position: Position) -> str:
    return f"{position.state}/{position.hold}" if position.hold else position.state.value


def check(position: Position, event: str) -> Position:
    place = place_of(position)
    row = TABLE[place].get(event)
    act = partial(lifecycle.look, finding=LOOKS[event]) if event in LOOKS else MOVES[event]
    if row is None:
        with pytest.raises(StateError) as caught:
            act(position)
        assert caught.value.message
        return position
    move = act(position)
    wanted, verdict, action = row
    if wanted in {"=", "back"}:
        wanted = place if wanted == "=" else str(position.held_from)
    assert place_of(move.position) == wanted
    assert move.position.verdict == (position.verdict if verdict == "=" else Outcome(verdict))
    assert move.action == Action(action)
    return move.position  # type: ignore[no-any-return]


@pytest.mark.parametrize("place", TABLE)
@pytest.mark.parametrize("event", EVENTS)
def test_everything_that_happens_to_a_release_does_what_the_table_says(
    place: str, event: str
) -> None:
    check(position_in(place), event)


def test_an_experiment_is_not_released() -> None:
    with pytest.raises(StateError, match="by its proof"):
        lifecycle.release(replace(position_in("RUNNING"), is_release=False), shown=True)


class AnyRelease(RuleBasedStateMachine):
    """Whatever happens in any order: no step back, and everybody only from the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.position = new()

    @rule(event=st.sampled_from(EVENTS))
    def something_happens(self, event: str) -> None:
        before = self.position
        after = self.position = check(before, event)
        assert after.step >= before.step
        assert not after.shipped
        assert not after.waits_for_customer
        if after.state is State.CLEANUP and before.state is not State.CLEANUP:
            assert (before.state, before.step) == (State.RUNNING, before.last_step)


TestAnyRelease = AnyRelease.TestCase
