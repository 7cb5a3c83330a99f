"""The state machine against a table that was written down independently of it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from experiments import lifecycle
from experiments.lifecycle import Action, Finding, Move, Outcome, Position, State
from flags.errors import StateError
from tests.sdk.engine.fuzzing import examples

# state (with "+" where something is proven and waits) → input → (state, verdict, action).
# "=" keeps what there is; an input that is not in the row is refused.
TABLE: dict[str, dict[str, tuple[str, str, str]]] = {
    "DRAFT": {"seal": ("SEALED", "=", "none"), "stop": ("ABANDONED", "=", "none")},
    "SEALED": {"start": ("RAMPING", "=", "serve"), "stop": ("ABANDONED", "=", "none")},
    "RAMPING": {
        "widen": ("RUNNING", "=", "widen"),
        "hold": ("HELD", "none", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", "control"),
        "CONTINUE": ("RAMPING", "=", "none"),
        "CONTINUE final": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", "control"),
        "HARM": ("ROLLED_BACK", "HARM", "control"),
        "one harmed": ("RAMPING", "=", "drop"),
        "winner harmed": ("RAMPING", "=", "drop"),
        "INVALID": ("ROLLED_BACK", "INVALID", "control"),
        "FUTILE": ("ROLLED_BACK", "FUTILE", "control"),
        "NOT_PROVEN_IN_TIME": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", "control"),
        "VALUE_PROVEN": ("RUNNING", "VALUE_PROVEN", "none"),
        "NO_HARM_PROVEN": ("RUNNING", "NO_HARM_PROVEN", "none"),
    },
    "RUNNING+": {
        "hold": ("HELD", "none", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", "control"),
        "confirm": ("SHIPPING", "=", "ship"),
        "expire": ("ROLLED_BACK", "=", "control"),
        "CONTINUE": ("RUNNING", "=", "none"),
        "CONTINUE final": ("RUNNING", "=", "none"),
        "HARM": ("ROLLED_BACK", "HARM", "control"),
        "one harmed": ("RUNNING", "=", "drop"),
        "winner harmed": ("ROLLED_BACK", "HARM", "control"),
        "INVALID": ("ROLLED_BACK", "INVALID", "control"),
        "FUTILE": ("RUNNING", "=", "none"),
        "NOT_PROVEN_IN_TIME": ("RUNNING", "=", "none"),
        "VALUE_PROVEN": ("RUNNING", "=", "none"),
        "NO_HARM_PROVEN": ("RUNNING", "=", "none"),
    },
    "HELD": {
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", "control"),
        "CONTINUE": ("HELD", "=", "none"),
        "CONTINUE final": ("ROLLED_BACK", "INVALID", "control"),
        "VALUE_PROVEN": ("HELD", "=", "none"),
        "NO_HARM_PROVEN": ("HELD", "=", "none"),
        "NOT_PROVEN_IN_TIME": ("ROLLED_BACK", "INVALID", "control"),
        "winner harmed": ("ROLLED_BACK", "INVALID", "control"),
        "FUTILE": ("HELD", "=", "none"),
        "HARM": ("ROLLED_BACK", "INVALID", "control"),
        "one harmed": ("ROLLED_BACK", "INVALID", "control"),
        "INVALID": ("ROLLED_BACK", "INVALID", "control"),
    },
    "SHIPPING": {"stop": ("ROLLED_BACK", "OVERRIDE_STOP", "control")},
    "ROLLED_BACK": {},
    "ABANDONED": {},
}
TABLE["RUNNING"] = {
    name: (("RUNNING", *row[1:]) if row[0] == "RAMPING" else row)
    for name, row in TABLE["RAMPING"].items()
    if name != "widen"
}

FINDINGS = {
    "CONTINUE": Finding(Outcome.CONTINUE),
    "CONTINUE final": Finding(Outcome.CONTINUE, is_final=True),
    "HARM": Finding(Outcome.HARM, harmed=("a", "b")),
    "one harmed": Finding(Outcome.CONTINUE, harmed=("b",)),
    "winner harmed": Finding(Outcome.CONTINUE, harmed=("a",)),
    "INVALID": Finding(Outcome.INVALID, harmed=("a",)),
    "FUTILE": Finding(Outcome.FUTILE),
    "NOT_PROVEN_IN_TIME": Finding(Outcome.NOT_PROVEN_IN_TIME, is_final=True),
    "VALUE_PROVEN": Finding(Outcome.VALUE_PROVEN, winner="a"),
    "NO_HARM_PROVEN": Finding(Outcome.NO_HARM_PROVEN, winner="a"),
}
PEOPLE = {
    name: getattr(lifecycle, name)
    for name in ("seal", "start", "widen", "hold", "stop", "confirm", "expire")
}


def position_in(name: str) -> Position:
    proven = name.endswith("+")
    state = State(name.rstrip("+"))
    return Position(
        treatments=("a", "b"),
        last_step=1,
        state=state,
        step=0 if state is State.RAMPING else 1,
        verdict=Outcome.VALUE_PROVEN if proven else None,
        winner="a" if proven else None,
    )


def send(position: Position, name: str) -> Move:
    if name in PEOPLE:
        move: Move = PEOPLE[name](position)
        return move
    return lifecycle.look(position, FINDINGS[name])


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("name", [*PEOPLE, *FINDINGS])
def test_every_input_in_every_state_does_what_the_table_says(state: str, name: str) -> None:
    before = position_in(state)
    expected = TABLE[state].get(name)
    if expected is None:
        with pytest.raises(StateError):
            send(before, name)
        return
    move = send(before, name)
    verdict = before.verdict if expected[1] == "=" else expected[1]
    verdict = None if verdict == "none" else verdict
    after = (move.position.state.value, move.position.verdict, move.action.value)
    assert after == (expected[0], verdict, expected[2])


def test_what_is_authorised_in_advance_ships_at_once() -> None:
    before = Position(("a",), 0, authorised=True, state=State.RUNNING, step=0)
    move = lifecycle.look(before, Finding(Outcome.VALUE_PROVEN, winner="a"))
    assert (move.position.state, move.action) == (State.SHIPPING, Action.SHIP)


def test_one_arm_proven_while_another_is_harmed_drops_the_one_and_keeps_the_proof() -> None:
    before = Position(("a", "b"), 0, state=State.RUNNING, step=0)
    move = lifecycle.look(before, Finding(Outcome.VALUE_PROVEN, winner="a", harmed=("b",)))
    assert move.action is Action.DROP
    assert (move.position.verdict, move.position.dropped) == (Outcome.VALUE_PROVEN, {"b"})


def test_the_last_arm_dropped_is_harm() -> None:
    before = Position(("a", "b"), 0, state=State.RUNNING, step=0, dropped=frozenset({"a"}))
    move = lifecycle.look(before, Finding(Outcome.CONTINUE, harmed=("b",)))
    assert (move.position.verdict, move.action) == (Outcome.HARM, Action.CONTROL)


def test_an_arm_that_was_dropped_cannot_win() -> None:
    before = Position(("a", "b"), 0, state=State.RUNNING, step=0, dropped=frozenset({"a"}))
    move = lifecycle.look(before, Finding(Outcome.VALUE_PROVEN, winner="a"))
    assert (move.position.verdict, move.action) == (None, Action.NONE)


class AnyStory(RuleBasedStateMachine):
    """Whatever people and looks do, in any order, some things never happen."""

    def __init__(self) -> None:
        super().__init__()
        self.position = Position(("a", "b"), last_step=2)
        self.served = False
        self.actions: list[Action] = []
        self.history = [self.position]

    @rule(name=st.sampled_from([*PEOPLE, *FINDINGS]))
    def something_happens(self, name: str) -> None:
        try:
            move = send(self.position, name)
        except StateError:
            return
        before, self.position = self.position, move.position
        self.history.append(self.position)
        self.actions.append(move.action)
        assert before.dropped <= self.position.dropped, "a dropped arm never comes back"
        assert before.step <= self.position.step, "coverage only grows"
        if before.state in {State.ROLLED_BACK, State.ABANDONED}:
            raise AssertionError("the end is the end")
        if before.state is State.HELD:
            assert self.position.verdict in {None, Outcome.INVALID, Outcome.OVERRIDE_STOP}
        if self.position.state is State.SHIPPING and before.state is not State.SHIPPING:
            assert before.verdict in {Outcome.VALUE_PROVEN, Outcome.NO_HARM_PROVEN}
            assert self.position.winner not in self.position.dropped

    @invariant()
    def nobody_is_served_the_change_after_it_was_rolled_back(self) -> None:
        if self.position.state is State.ROLLED_BACK:
            assert self.actions[-1] is Action.CONTROL

    @invariant()
    def nothing_was_served_before_the_start(self) -> None:
        if self.position.state in {State.DRAFT, State.SEALED, State.ABANDONED}:
            assert set(self.actions) <= {Action.NONE}

    @invariant()
    def every_end_has_a_verdict_or_was_never_begun(self) -> None:
        if self.position.state in {State.ROLLED_BACK, State.SHIPPING}:
            assert self.position.verdict is not None


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(max_examples=examples(200), stateful_step_count=25, deadline=None)
