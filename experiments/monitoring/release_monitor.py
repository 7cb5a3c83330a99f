"""The worker's step that widens a release, or gives it to everybody, when nothing is waited for."""

from __future__ import annotations

import datetime as dt

from sqlmodel import Session

from experiments.machine import lifecycle
from experiments.machine.lifecycle import State
from experiments.models import Experiment
from experiments.monitoring.due import Due, Step, take_step
from experiments.moves.lease import Held
from experiments.moves.release_state import standing_of
from experiments.rules.releasing import all_shown_safe, waits_for
from experiments.telling import release_words
from flags.database import Database
from flags.models import Environment


def advance_release(database: Database, held: Held, due: Due, now: dt.datetime) -> bool:
    """Take the next step of a release, if all that it waits for is there; tell whether it was."""
    plan, position = due.plan, due.position
    assert plan.release is not None
    if position.state not in {State.RAMPING, State.RUNNING} or not due.looks:
        return False
    hold_until = due.experiment.next_ramp_at
    if hold_until is not None and now < hold_until:
        return False
    newest = due.looks[-1]

    def decide(session: Session, _environment: Environment, experiment: Experiment) -> Step | None:
        if waits_for(plan, standing_of(session, experiment, plan), newest, now):
            return None
        if position.state is State.RAMPING:
            move = lifecycle.widen(position)
            step = move.position.step
            assert plan.release is not None
            sentence = release_words.served_sentence(plan, step, plan.release.steps[step].share)
            return Step(move, "ramp", sentence, {"step": step})
        shown = all_shown_safe(plan, due.last_decision)
        sentence = release_words.released_sentence(plan, shown=shown, look=newest["look"], now=now)
        return Step(lifecycle.release(position, shown=shown), "ramp", sentence, {"do": "release"})

    return take_step(database, held, due, now, decide)
