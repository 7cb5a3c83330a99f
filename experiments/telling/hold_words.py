"""What is said when the machine holds an experiment for its data, and when it goes on."""

from __future__ import annotations

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Hold


def held_sentence(plan: Plan, hold: Hold, alarm: str | None, offset: float) -> str:
    """Say why it is held from so many seconds after the start, and what follows.

    Parameters
    ----------
    alarm : str, optional
        What is wrong with the data, in words.
    """
    on = f"Held on {words.day_of(plan, offset)}"
    if hold is Hold.STALE:
        return (
            f"{on}: {alarm or 'no fresh events'}. Whoever meets the change keeps it, and no larger "
            "share does, until events arrive; then it goes on by itself. The deadline stays."
        )
    wait = words.days(plan, plan.policy.explain_within_seconds)
    return (
        f"{on}: {alarm}. No larger share of people is let in; {plan.owner} has {wait} to explain "
        f"it, else everybody goes back to {plan.control}."
    )


def resumed_sentence(plan: Plan, offset: float) -> str:
    """Say that events arrive again."""
    return f"Events arrive again on {words.day_of(plan, offset)}: the experiment goes on."
