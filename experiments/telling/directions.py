"""What a card tells people to do, and what happens next: one answer for every state and verdict."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import PROVEN, SHIPPED, Hold, Outcome, State
from experiments.telling import release_words
from experiments.telling.card_status import CardStatus

MACHINE = "the machine, by itself"

_BAD = frozenset({Outcome.HARM, Outcome.INVALID, Outcome.LATE_HARM})


@dataclass(frozen=True)
class Next:
    """What happens next, when, and who does it."""

    what: str
    when: str
    who: str
    at: dt.datetime | None = None


def tone(status: CardStatus) -> str:
    """Give the card's tone: ``good``, ``bad``, ``attention`` or ``neutral``."""
    if status.state == State.HELD:
        return "attention"
    if status.verdict in PROVEN or status.verdict in {Outcome.CONFIRMED, Outcome.RELEASED}:
        return "good"
    if status.verdict in _BAD:
        return "bad"
    return "attention" if status.verdict is not None else "neutral"


# --- the instruction


def instruction(plan: Plan, status: CardStatus) -> str:
    """Say in plain words what to do."""
    keep, state = plan.control, State(status.state)
    told = release_words.instruction(plan, status) if plan.release is not None else None
    if told is not None:
        return told
    if state is State.ABANDONED:
        return "Nothing to do: it was given up before anybody met it."
    if state is State.CLOSED:
        stays = status.winner if _serves_winner(status) else keep
        return f"Nothing left to do: {stays} stays, and the experiment's rule is gone."
    if state is State.HELD:
        return _held_instruction(plan, status)
    if state in SHIPPED:
        return _shipped_instruction(plan, status)
    if status.verdict in PROVEN:
        if state is State.ROLLED_BACK and not status.replayed:
            return f"Ask again if you still want {status.winner}: nobody confirmed it in time."
        return f"Ship {status.winner}" + ("." if status.replayed else ": confirm it.")
    if status.verdict is not None and status.verdict != Outcome.CONTINUE:
        return _ended_instruction(plan, status, Outcome(status.verdict))
    by_state = {State.DRAFT: "Seal the plan.", State.SEALED: "Start when ready."}
    return by_state.get(state, "Wait: nothing is decided yet.")


def _serves_winner(status: CardStatus) -> bool:
    return status.verdict in {Outcome.CONFIRMED, Outcome.NOT_CONFIRMED}


def _held_instruction(plan: Plan, status: CardStatus) -> str:
    if status.held_cause == Hold.QUALITY:
        return f"Explain what is wrong with the data ({plan.owner}): unexplained it is invalid."
    if status.held_cause == Hold.STALE:
        return "Mend the feed of events: nothing can be proven while it is silent."
    return "Stop it or let it run out: the rule was edited by hand, the seal is broken."


def _shipped_instruction(plan: Plan, status: CardStatus) -> str:
    keep, winner = plan.control, status.winner
    if status.verdict == Outcome.OVERRIDE_SHIP:
        return f"{winner} ships by override, without proof: those held back on {keep} will tell."
    if status.state == State.VERIFYING:
        return f"Ship {winner}: it is served, and compared with those held back on {keep}."
    share = words.percent(status.coverage)
    return f"Ship {winner}: it is being served to {share}, up to 5 % stay on {keep}."


def _ended_instruction(plan: Plan, status: CardStatus, verdict: Outcome) -> str:
    keep, change = plan.control, words.listed(plan.treatments)
    does, is_, was = ("does", "is", "was") if len(plan.treatments) == 1 else ("do", "are", "were")
    return {
        Outcome.HARM: f"Keep {keep}: {change} {does} harm.",
        Outcome.FUTILE: f"Keep {keep}: {change} {is_} not worth having.",
        Outcome.NOT_PROVEN_IN_TIME: f"Keep {keep}: {change} {was} not proven in time.",
        Outcome.INVALID: f"Keep {keep} and repair the experiment: its numbers cannot be trusted.",
        Outcome.OVERRIDE_STOP: f"Keep {keep}: the experiment was stopped by hand.",
        Outcome.OVERRIDE_SHIP: f"{status.winner} ships by override, without proof.",
        Outcome.LATE_HARM: f"Keep {keep}: {status.winner} did harm after it had shipped.",
        Outcome.CONFIRMED: f"Keep {status.winner}, and take the flag out of the code.",
        Outcome.NOT_CONFIRMED: (
            f"Think again about {status.winner}: everybody has it, but its effect was not "
            "confirmed."
        ),
    }.get(verdict, "Wait: nothing is decided yet.")


# --- what happens next


def next_step(plan: Plan, status: CardStatus) -> Next:
    """Say what happens next, when, and who does it."""
    if status.replayed:
        return _next_of_replay(plan, status)
    state = State(status.state)
    told = release_words.next_step(plan, status) if plan.release is not None else None
    if told is not None:
        return Next(*told)
    if state is State.DRAFT:
        return Next("seal the plan", "now", plan.owner)
    if state is State.SEALED:
        return Next("start", "now", plan.owner)
    if status.request is not None:
        asked = status.request
        what = f"approve or decline the override that {asked['by']} asks for: ship {asked['arm']}"
        return Next(what, "now", f"anybody but {asked['by']}")
    if state is State.HELD:
        return _next_when_held(plan, status)
    if state in SHIPPED:
        return _next_when_shipped(plan, status)
    if state is State.RUNNING and status.verdict in PROVEN:
        return _next_when_proven(plan, status)
    if state in {State.ROLLED_BACK, State.ABANDONED, State.CLEANUP, State.CLOSED}:
        return _next_when_ended(plan, status)
    return Next("next look", _when(status) + _deadline(plan, status), MACHINE, status.next_look_at)


def _next_when_proven(plan: Plan, status: CardStatus) -> Next:
    until = f"until {words.moment(status.confirm_by)}" if status.confirm_by else None
    return Next(
        f"confirm that {status.winner} ships; without a word it goes back to {plan.control}",
        until or "now",
        plan.customer,
        status.confirm_by,
    )


def _next_when_held(plan: Plan, status: CardStatus) -> Next:
    back = f"goes back to {plan.control}"
    if status.held_cause == Hold.QUALITY:
        until = words.moment(status.explain_by) if status.explain_by else "soon"
        what = f"explain what is wrong with the data; without a word it {back}"
        return Next(what, f"until {until}", plan.owner, status.explain_by)
    if status.held_cause == Hold.STALE:
        what = "next look; it goes on by itself as soon as events arrive, and the clock runs"
        return Next(what, _when(status) + _deadline(plan, status), MACHINE, status.next_look_at)
    what = f"next look: harm is still stopped; at the last one it {back}, unless somebody acts"
    when = _when(status) + _deadline(plan, status)
    return Next(what, when, MACHINE, status.next_look_at)


def _next_when_shipped(plan: Plan, status: CardStatus) -> Next:
    steps = plan.policy.ship_steps
    if status.state == State.SHIPPING and status.next_ramp_at is not None:
        what = f"{status.winner} is served to the next share; harm turns everybody back"
        return Next(what, words.moment(status.next_ramp_at), MACHINE, status.next_ramp_at)
    what = (
        f"{status.winner} is compared with those held back; then everybody gets it, "
        "unless it does harm"
    )
    if status.compared_since is None or status.state == State.SHIPPING:
        wait = words.days(plan, steps[-1].hold_seconds)
        return Next(what, f"from now on, for {wait}", MACHINE)
    end = status.compared_since + dt.timedelta(seconds=steps[-1].hold_seconds)
    return Next(what, f"until {words.moment(end)}", MACHINE, end)


def _next_when_ended(plan: Plan, status: CardStatus) -> Next:
    when = f"since {words.moment(status.ended_at)}" if status.ended_at else "now"
    if status.state == State.CLOSED:
        return Next("nothing: the experiment is closed", when, plan.owner)
    if status.state == State.CLEANUP:
        what = f"take the flag out of the code and archive it: everybody has {status.winner}"
        return Next(what, when, plan.owner)
    what = f"nothing: everybody is on {plan.control}"
    if not status.learned:
        what += "; write down what was learned"
    return Next(what, when, plan.owner)


def _when(status: CardStatus) -> str:
    return words.moment(status.next_look_at) if status.next_look_at else "at the next tick"


def _deadline(plan: Plan, status: CardStatus) -> str:
    if status.started_at is None:
        return ""
    end = status.started_at + dt.timedelta(seconds=plan.deadline_seconds)
    if status.compared_since is not None:
        end = status.compared_since + dt.timedelta(seconds=plan.policy.verify_seconds)
    return f"; the last one {words.moment(end)}"


def _next_of_replay(plan: Plan, status: CardStatus) -> Next:
    if status.state == State.ROLLED_BACK:
        return Next(f"nothing: keep {plan.control}", "the replay has ended", plan.owner)
    if status.verdict in PROVEN:
        return Next(f"live, {plan.customer} would confirm now", "the replay has ended", plan.owner)
    return Next("nothing was decided when the data ended", "replay more of them", plan.owner)
