"""The state machine against a table that was written down independently of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from experiments.machine import lifecycle
from experiments.machine.lifecycle import (
    Action,
    Comparison,
    Finding,
    Hold,
    Move,
    Outcome,
    Position,
    State,
)
from flags.errors import FlagstoneError, InvalidInputError, StateError
from tests.sdk.engine.fuzzing import examples

# EXPERIMENTS.md §2, by hand. Place ("+": something is proven and waits; "/cause" of a hold, and
# "<" the phase that it began in) → what happens → (place, verdict, what is done to the flag).
# "=" keeps what there is, "-" is no verdict; whatever is not in the row is refused.
BACK = "control"
TABLE: dict[str, dict[str, tuple[str, str, str]]] = {
    "DRAFT": {"seal": ("SEALED", "=", "none"), "stop": ("ABANDONED", "=", "none")},
    "SEALED": {"start": ("RAMPING", "=", "serve"), "stop": ("ABANDONED", "=", "none")},
    "RAMPING": {
        "widen": ("RUNNING", "=", "widen"),
        "edit": ("HELD/seal<RAMPING", "-", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "override": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "extend": ("RAMPING", "=", "none"),
        "CONTINUE": ("RAMPING", "=", "none"),
        "CONTINUE final": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", BACK),
        "HARM": ("ROLLED_BACK", "HARM", BACK),
        "HARM and stale": ("ROLLED_BACK", "HARM", BACK),
        "HARM and quality": ("ROLLED_BACK", "HARM", BACK),
        "one harmed": ("RAMPING", "=", "drop"),
        "one harmed and quality": ("HELD/quality<RAMPING", "=", "drop"),
        "winner harmed": ("RAMPING", "=", "drop"),
        "INVALID": ("ROLLED_BACK", "INVALID", BACK),
        "FUTILE": ("ROLLED_BACK", "FUTILE", BACK),
        "NOT_PROVEN_IN_TIME": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", BACK),
        "VALUE_PROVEN": ("RUNNING+", "VALUE_PROVEN", "none"),
        "NO_HARM_PROVEN": ("RUNNING+", "NO_HARM_PROVEN", "none"),
        "stale": ("HELD/stale<RAMPING", "=", "none"),
        "stale final": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", BACK),
        "proven but stale": ("HELD/stale<RAMPING", "=", "none"),
        "proven but stale final": ("ROLLED_BACK", "NOT_PROVEN_IN_TIME", BACK),
        "quality": ("HELD/quality<RAMPING", "=", "none"),
        "proven but quality": ("HELD/quality<RAMPING", "=", "none"),
        "futile but quality": ("HELD/quality<RAMPING", "=", "none"),
        "quality final": ("ROLLED_BACK", "INVALID", BACK),
    },
    "RUNNING+": {
        "edit": ("HELD/seal<RUNNING", "-", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "override other": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "confirm": ("SHIPPING", "=", "ship"),
        "expire": ("ROLLED_BACK", "=", BACK),
        "HARM": ("ROLLED_BACK", "HARM", BACK),
        "HARM and stale": ("ROLLED_BACK", "HARM", BACK),
        "HARM and quality": ("ROLLED_BACK", "HARM", BACK),
        "one harmed": ("RUNNING+", "=", "drop"),
        "one harmed and quality": ("RUNNING+", "=", "drop"),
        "winner harmed": ("ROLLED_BACK", "HARM", BACK),
        "INVALID": ("ROLLED_BACK", "INVALID", BACK),
        # What was proven stands; only harm and a broken split can be found any more.
        **dict.fromkeys(
            (
                *("CONTINUE", "CONTINUE final", "FUTILE", "NOT_PROVEN_IN_TIME", "VALUE_PROVEN"),
                *("NO_HARM_PROVEN", "stale", "stale final", "proven but stale", "quality"),
                *("proven but stale final", "proven but quality", "futile but quality"),
                "quality final",
            ),
            ("RUNNING+", "=", "none"),
        ),
    },
    "SHIPPING": {
        "push": ("SHIPPING", "=", "ship"),
        "edit": ("HELD/seal<SHIPPING", "=", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "late harm": ("ROLLED_BACK", "LATE_HARM", BACK),
        "late invalid": ("ROLLED_BACK", "INVALID", BACK),
        "nothing late": ("SHIPPING", "=", "none"),
        "confirmed": ("SHIPPING", "=", "none"),
        "not confirmed": ("SHIPPING", "=", "none"),
        "harm at the end": ("ROLLED_BACK", "LATE_HARM", BACK),
    },
    "VERIFYING": {
        "edit": ("HELD/seal<VERIFYING", "=", "none"),
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "late harm": ("ROLLED_BACK", "LATE_HARM", BACK),
        "late invalid": ("ROLLED_BACK", "INVALID", BACK),
        "nothing late": ("VERIFYING", "=", "none"),
        "confirmed": ("CLEANUP", "CONFIRMED", "everybody"),
        "not confirmed": ("CLEANUP", "NOT_CONFIRMED", "everybody"),
        "harm at the end": ("ROLLED_BACK", "LATE_HARM", BACK),
    },
    "ROLLED_BACK": {
        "override": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "override other": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "close": ("CLOSED", "=", "none"),
    },
    "CLEANUP": {
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "close": ("CLOSED", "=", "none"),
    },
    "CLOSED": {},
    "ABANDONED": {},
}
TABLE["RAMPING"]["override other"] = TABLE["RAMPING"]["override"]
TABLE["SHIPPING at last"] = {
    name: row for name, row in TABLE["SHIPPING"].items() if name != "push"
} | {"verify": ("VERIFYING", "=", "ship")}
TABLE["RUNNING"] = {
    name: (row[0].replace("RAMPING", "RUNNING"), *row[1:])
    for name, row in TABLE["RAMPING"].items()
    if name != "widen"
}
LOOKS = {
    "CONTINUE": Finding(Outcome.CONTINUE),
    "CONTINUE final": Finding(Outcome.CONTINUE, is_final=True),
    "HARM": Finding(Outcome.HARM, harmed=("a", "b")),
    "HARM and stale": Finding(Outcome.HARM, harmed=("a", "b"), alarm=Hold.STALE),
    "HARM and quality": Finding(Outcome.HARM, harmed=("a", "b"), alarm=Hold.QUALITY),
    "one harmed": Finding(Outcome.CONTINUE, harmed=("b",)),
    "one harmed and quality": Finding(Outcome.CONTINUE, harmed=("b",), alarm=Hold.QUALITY),
    "winner harmed": Finding(Outcome.CONTINUE, harmed=("a",)),
    "INVALID": Finding(Outcome.INVALID, harmed=("a",)),
    "FUTILE": Finding(Outcome.FUTILE),
    "NOT_PROVEN_IN_TIME": Finding(Outcome.NOT_PROVEN_IN_TIME, is_final=True),
    "VALUE_PROVEN": Finding(Outcome.VALUE_PROVEN, winner="a"),
    "NO_HARM_PROVEN": Finding(Outcome.NO_HARM_PROVEN, winner="a"),
    "stale": Finding(Outcome.CONTINUE, alarm=Hold.STALE),
    "stale final": Finding(Outcome.CONTINUE, alarm=Hold.STALE, is_final=True),
    "proven but stale": Finding(Outcome.VALUE_PROVEN, winner="a", alarm=Hold.STALE),
    "proven but stale final": Finding(
        Outcome.VALUE_PROVEN, winner="a", alarm=Hold.STALE, is_final=True
    ),
    "quality": Finding(Outcome.CONTINUE, alarm=Hold.QUALITY),
    "proven but quality": Finding(Outcome.VALUE_PROVEN, winner="a", alarm=Hold.QUALITY),
    "futile but quality": Finding(Outcome.FUTILE, alarm=Hold.QUALITY),
    "quality final": Finding(Outcome.CONTINUE, alarm=Hold.QUALITY, is_final=True),
}
COMPARISONS = {
    "late harm": Comparison(harm=True),
    "late invalid": Comparison(invalid=True, harm=True),
    "nothing late": Comparison(confirmed=True),
    "confirmed": Comparison(is_final=True, confirmed=True),
    "not confirmed": Comparison(is_final=True),
    "harm at the end": Comparison(harm=True, is_final=True, confirmed=True),
}
MOVES = {
    "edit": lifecycle.hold,
    **{
        name: getattr(lifecycle, name)
        for name in (
            *("seal", "start", "widen", "stop", "confirm", "expire", "explain", "lapse"),
            *("extend", "push", "verify", "close"),
        )
    },
}
EVENTS = [*MOVES, "override", "override other", *LOOKS, *COMPARISONS]

for phase in ("RAMPING", "RUNNING"):
    others = {
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "override": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "override other": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
    }
    # The seal is broken: harm is still stopped, but the only verdict of a look is INVALID.
    here = f"HELD/seal<{phase}"
    ends = [name for name, found in LOOKS.items() if found.harmed or found.is_final]
    TABLE[here] = dict.fromkeys(LOOKS, (here, "=", "none")) | others
    TABLE[here] |= dict.fromkeys([*ends, "INVALID"], ("ROLLED_BACK", "INVALID", BACK))
    # Waits for an explanation: harm and a broken split act, the deadline is INVALID.
    here = f"HELD/quality<{phase}"
    TABLE[here] = (
        dict.fromkeys(LOOKS, (here, "=", "none"))
        | others
        | {
            "edit": (f"HELD/seal<{phase}", "-", "none"),
            "explain": (phase, "=", "none"),
            "lapse": ("ROLLED_BACK", "INVALID", BACK),
            "one harmed": (here, "=", "drop"),
            "one harmed and quality": (here, "=", "drop"),
            "winner harmed": (here, "=", "drop"),
        }
        | dict.fromkeys(
            [name for name, found in LOOKS.items() if found.is_final] + ["INVALID"],
            ("ROLLED_BACK", "INVALID", BACK),
        )
        | dict.fromkeys(
            ["HARM", "HARM and stale", "HARM and quality"], ("ROLLED_BACK", "HARM", BACK)
        )
    )
    # The feed is stale: whatever a fresh look finds is as if there had been no hold.
    here = f"HELD/stale<{phase}"
    TABLE[here] = {
        **{name: row for name, row in TABLE[phase].items() if name in LOOKS},
        **others,
        "edit": (f"HELD/seal<{phase}", "-", "none"),
    }
for phase in ("SHIPPING", "VERIFYING"):
    here = f"HELD/seal<{phase}"
    TABLE[here] = {
        "stop": ("ROLLED_BACK", "OVERRIDE_STOP", BACK),
        "override": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "override other": ("SHIPPING", "OVERRIDE_SHIP", "ship"),
        "late harm": ("ROLLED_BACK", "INVALID", BACK),
        "late invalid": ("ROLLED_BACK", "INVALID", BACK),
        "harm at the end": ("ROLLED_BACK", "INVALID", BACK),
        "nothing late": (here, "=", "none"),
        "confirmed": ("ROLLED_BACK", "INVALID", BACK),
        "not confirmed": ("ROLLED_BACK", "INVALID", BACK),
    }
SHIPPED_PLACES = {"SHIPPING", "SHIPPING at last", "VERIFYING", "CLEANUP"}


def position_in(place: str) -> Position:
    shipped = place in SHIPPED_PLACES or place.endswith(("<SHIPPING", "<VERIFYING"))
    proven = place.endswith("+") or shipped
    name, _, held = place.removesuffix("+").removesuffix(" at last").partition("/")
    cause, _, since = held.partition("<")
    return Position(
        treatments=("a", "b"),
        last_step=1,
        last_ship_step=1,
        state=State(name),
        step=0 if "RAMPING" in place else 1,
        ship_step=(0 if place == "SHIPPING" else 1) if shipped else -1,
        verdict=Outcome.VALUE_PROVEN if proven else None,
        winner="a" if proven else None,
        hold=Hold(cause) if cause else None,
        held_from=State(since) if since else None,
    )


def place_of(position: Position) -> str:
    if position.hold is not None:
        return f"{position.state}/{position.hold}<{position.held_from}"
    return f"{position.state}+" if position.waits_for_customer else position.state.value


def send(position: Position, event: str) -> Move:
    if event in MOVES:
        move: Move = MOVES[event](position)
        return move
    if event in COMPARISONS:
        return lifecycle.compare(position, COMPARISONS[event])
    if event in LOOKS:
        return lifecycle.look(position, LOOKS[event])
    return lifecycle.override_ship(position, "a" if event == "override" else "b")


def check_row(before: Position, row: tuple[str, str, str] | None, event: str) -> Move | None:
    """Compare one move with its row of the table."""
    if row is None:
        with pytest.raises(StateError) as caught:
            send(before, event)
        assert caught.value.message
        return None
    move = send(before, event)
    place, verdict, action = row
    expected = before.verdict if verdict == "=" else None if verdict == "-" else Outcome(verdict)
    assert place_of(move.position) == place
    assert (move.position.verdict, move.action) == (expected, Action(action))
    return move


@pytest.mark.parametrize("place", TABLE)
@pytest.mark.parametrize("event", EVENTS)
def test_everything_that_happens_anywhere_does_what_the_table_says(place: str, event: str) -> None:
    check_row(position_in(place), TABLE[place].get(event), event)


def test_the_table_names_every_state_and_verdict() -> None:
    rows = [row for events in TABLE.values() for row in events.values()]
    states = {place.split("/")[0].rstrip("+") for place, _verdict, _action in rows}
    assert states | {"DRAFT"} == {state.value for state in State}
    verdicts = {verdict for _place, verdict, _action in rows} - {"=", "-"}
    # RELEASED belongs to releases, which have a table of their own.
    assert verdicts | {"CONTINUE", "RELEASED"} == {outcome.value for outcome in Outcome}
    assert {action for _place, _verdict, action in rows} == {action.value for action in Action}


def test_what_is_authorised_in_advance_ships_at_once() -> None:
    position = replace(position_in("RUNNING"), authorised=True)
    move = lifecycle.look(position, LOOKS["VALUE_PROVEN"])
    assert (move.position.state, move.action) == (State.SHIPPING, Action.SHIP)
    assert (move.position.winner, move.position.ship_step) == ("a", 0)


def test_an_arm_that_was_dropped_does_not_win() -> None:
    position = replace(position_in("RUNNING"), dropped=frozenset({"a"}))
    move = lifecycle.look(position, LOOKS["VALUE_PROVEN"])
    assert (move.position.verdict, move.action) == (None, Action.NONE)


def test_an_extension_is_given_once() -> None:
    once = lifecycle.extend(position_in("RUNNING")).position
    with pytest.raises(StateError, match="done once") as caught:
        lifecycle.extend(once)
    assert caught.value.hint


def test_only_an_arm_of_the_plan_is_shipped_by_hand() -> None:
    with pytest.raises(InvalidInputError, match="no treatment") as caught:
        lifecycle.override_ship(position_in("RUNNING"), "control")
    assert (caught.value.field, caught.value.hint) == ("arm", "one of a, b")


def test_an_arm_that_does_harm_is_shipped_only_after_it_was_stopped() -> None:
    position = replace(position_in("RUNNING"), dropped=frozenset({"b"}))
    with pytest.raises(StateError, match="does harm") as caught:
        lifecycle.override_ship(position, "b")
    assert caught.value.field == "arm"
    stopped = lifecycle.stop(position).position
    shipped = lifecycle.override_ship(stopped, "b").position
    assert (shipped.winner, shipped.dropped) == ("b", frozenset())


@pytest.mark.parametrize(
    ("place", "changes", "arm", "expected"),
    [
        ("RUNNING", {}, "a", False),
        ("RUNNING+", {}, "a", False),
        ("RUNNING+", {}, "b", True),
        ("HELD/seal<RUNNING", {}, "a", True),
        ("HELD/quality<RUNNING", {}, "a", True),
        ("HELD/stale<RUNNING", {}, "a", False),
        ("ROLLED_BACK", {"verdict": Outcome.HARM}, "a", True),
        ("ROLLED_BACK", {"verdict": Outcome.INVALID}, "a", True),
        ("ROLLED_BACK", {"verdict": Outcome.NOT_PROVEN_IN_TIME}, "a", True),
        ("ROLLED_BACK", {"verdict": Outcome.VALUE_PROVEN, "winner": "a"}, "a", False),
    ],
)
def test_what_goes_against_a_verdict_is_known_as_such(
    place: str, changes: Any, arm: str, expected: bool
) -> None:
    assert lifecycle.opposes(replace(position_in(place), **changes), arm) is expected


class AnyStory(RuleBasedStateMachine):
    """Whatever people and looks do, in any order, the table is followed and some laws hold."""

    def __init__(self) -> None:
        super().__init__()
        self.position = Position(("a", "b"), last_step=1, last_ship_step=1)
        self.actions: list[Action] = []
        self.shipped_by: str | None = None

    def row(self, event: str) -> tuple[str, str, str] | None:
        """Look the event up; the few places where history matters are told here."""
        position, place = self.position, place_of(self.position)
        if place == "SHIPPING" and position.ship_step == 1:
            place = "SHIPPING at last"
        row = TABLE[place].get(event)
        if row is None or event not in {*LOOKS, "override", "override other", "extend"}:
            return row
        if event == "extend":
            return None if position.extended else row
        arm = "a" if event == "override" else "b"
        if event.startswith("override"):
            live = position.state is not State.ROLLED_BACK
            refused = live and arm in position.dropped
            return None if refused else row
        found = LOOKS[event]
        dropped = position.dropped | set(found.harmed)
        calm = found.verdict is not Outcome.INVALID and position.hold is not Hold.SEAL
        if calm and dropped == {"a", "b"}:
            return "ROLLED_BACK", "HARM", BACK
        if calm and found.winner in dropped and not position.waits_for_customer:
            # A dropped arm cannot win: the look is one that found nothing.
            also = {"stale": found.alarm is Hold.STALE, "quality": found.alarm is Hold.QUALITY}
            words = [name for name, there in also.items() if there]
            words += ["final"] if found.is_final else []
            return TABLE[place][" ".join(words) if words else "CONTINUE"]
        if calm and found.harmed and dropped == position.dropped and row[2] == "drop":
            return row[0], row[1], "none"
        return row

    @rule(event=st.sampled_from(EVENTS))
    def something_happens(self, event: str) -> None:
        before, row = self.position, self.row(event)
        with_hold = before.hold
        move = check_row(before, row, event)
        if move is None:
            return
        after = self.position = move.position
        self.actions.append(move.action)
        override = event.startswith("override")
        assert override or before.dropped <= after.dropped, "a dropped arm comes back by hand only"
        assert before.step <= after.step, "coverage only grows"
        if after.state is State.SHIPPING and before.state is not State.SHIPPING:
            self.shipped_by = event
            assert override or before.verdict in lifecycle.PROVEN, "no shipping without proof"
            assert after.winner not in after.dropped
        if before.verdict not in {None, after.verdict}:
            latched = override or event in {"stop", "edit", *LOOKS, *COMPARISONS}
            assert latched, "a verdict changes by a person's word, or for protection"
        if with_hold is Hold.SEAL and after.verdict != before.verdict:
            assert after.verdict in {
                Outcome.INVALID,
                Outcome.OVERRIDE_STOP,
                Outcome.OVERRIDE_SHIP,
            }

    @precondition(lambda self: self.position.state in {State.CLOSED, State.ABANDONED})
    @rule(event=st.sampled_from(EVENTS))
    def the_end_is_the_end(self, event: str) -> None:
        with pytest.raises(FlagstoneError):
            send(self.position, event)

    @invariant()
    def protection_is_one_look_away(self) -> None:
        """Whatever is served, harm turns it back at the next look."""
        position = self.position
        if position.shipped:
            found = lifecycle.compare(position, Comparison(harm=True))
        elif position.state in lifecycle.LIVE:
            found = lifecycle.look(position, LOOKS["HARM"])
        else:
            return
        assert (found.position.state, found.action) == (State.ROLLED_BACK, Action.CONTROL)

    @invariant()
    def nobody_is_served_the_change_after_it_was_rolled_back(self) -> None:
        if self.position.state is State.ROLLED_BACK:
            assert self.actions[-1] is Action.CONTROL

    @invariant()
    def nothing_was_served_before_the_start(self) -> None:
        if self.position.state in {State.DRAFT, State.SEALED, State.ABANDONED}:
            assert set(self.actions) <= {Action.NONE}

    @invariant()
    def a_position_is_whole(self) -> None:
        position = self.position
        assert (position.state is State.HELD) == (position.hold is not None)
        assert (position.hold is None) == (position.held_from is None)
        decided = {State.ROLLED_BACK, State.SHIPPING, State.VERIFYING, State.CLEANUP, State.CLOSED}
        if position.state in decided:
            assert position.verdict is not None
        if position.shipped or position.state is State.CLEANUP:
            assert position.winner in position.live_treatments, "a dropped arm is never served"
        place = place_of(position)
        assert place in TABLE


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(max_examples=examples(200), stateful_step_count=30, deadline=None)
