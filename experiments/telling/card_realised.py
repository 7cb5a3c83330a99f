"""The part of the verdict card that tells what came of a change after it shipped."""

from __future__ import annotations

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Outcome, State
from experiments.telling.card_status import CardStatus


def realised_part(plan: Plan, status: CardStatus) -> tuple[str, ...]:
    """Say what an override predicted, and what the units held back told."""
    lines = []
    override = status.override
    if override is not None:
        asked = f"predicted when {override['by']} shipped {override['arm']} by hand"
        lines.append(f"{asked} ({override['reason']}): {override['predicted']['text']}")
    told = status.realised
    if told is None or told["verdict"] == Outcome.INVALID:
        return tuple(lines)
    held = told["units"].get(plan.control, 0)
    lines.append(
        f"realised, against {held:,} held back: {words.realised_text(plan, told['metrics'])}"
    )
    return tuple(lines)


def shipped_cost(plan: Plan, status: CardStatus) -> str:
    """Say how many have met the change since it shipped, and what harm cost them."""
    seen = status.comparison
    if seen is None:
        return ""
    winner = seen["holdback"]["winner"]
    counts = seen["look"]["counts"]
    text = (
        f" Since it shipped {counts.get(winner, 0):,} met {winner}, "
        f"{counts.get(plan.control, 0):,} were held back."
    )
    if status.verdict == Outcome.LATE_HARM and status.state in {State.ROLLED_BACK, State.CLOSED}:
        causes = words.harm_causes(plan, seen["decision"], seen["look"])
        text += f" That is what the escaped defect cost: {words.listed(causes)}."
    return text
