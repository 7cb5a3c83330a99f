"""The verdict card: what a busy owner reads in five seconds (seven parts), as data and as text.

Everything a page needs is here, formatted and raw, so that no page computes: no statistics library
is imported. Two rules hide numbers on purpose: before the first ship date a running card shows no
effect, and an INVALID card never does.
"""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.contract import words
from experiments.contract.plan import Plan
from experiments.machine.lifecycle import Outcome, State
from experiments.telling import release_words
from experiments.telling.card_harm import Harm, HarmPart, grouped_harm, harm_part
from experiments.telling.card_parts import (
    Evidence,
    Trust,
    Worth,
    cost_part,
    evidence_part,
    trust_part,
    worth_part,
)
from experiments.telling.card_realised import realised_part, shipped_cost
from experiments.telling.card_status import CardStatus
from experiments.telling.directions import Next, instruction, next_step, tone
from experiments.telling.reviews import Review, review_of

__all__ = [
    "Card",
    "CardStatus",
    "Evidence",
    "Harm",
    "Next",
    "Trust",
    "Worth",
    "build_card",
    "card_text",
]

WIDTH = 79
MOST_HARM_LINES = 6
MOST_WORTH_LINES = 4
_WITHOUT_VERDICT = frozenset({State.DRAFT, State.SEALED, State.HELD, State.ABANDONED})
MARKS = {True: "ok", False: "NOT OK"}


@dataclass(frozen=True)
class Card:
    """The verdict card of EXPERIMENTS.md §4.

    Parameters
    ----------
    verdict, tone : str
        The word of the verdict, and ``good``, ``bad``, ``attention`` or ``neutral``; the tone is
        never the only sign of anything.
    instruction, audience : str
        What to do, in plain words, and for whom it is.
    worth : tuple of Worth
        Empty while effects are hidden; ``worth_hidden`` then says why.
    review : Review, optional
        What was promised by whoever shipped it by hand, until it is settled.
    realised : tuple of str
        What the units held back told after shipping, and what was predicted by an override.
    """

    key: str
    flag: str
    environment: str
    hypothesis: str
    customer: str
    owner: str
    state: str
    verdict: str
    tone: str
    instruction: str
    audience: str
    sentence: str
    worth: tuple[Worth, ...]
    worth_hidden: str | None
    realised: tuple[str, ...]
    harm: tuple[Harm, ...]
    trust: tuple[Trust, ...]
    cost: str
    exposed: tuple[tuple[str, int], ...]
    next: Next
    evidence: tuple[Evidence, ...]
    looks: int
    plan_hash: str | None
    kind: str = "Experiment"
    review: Review | None = None

    @property
    def word(self) -> str:
        """Give the first thing to be seen: the verdict, or why there is none to wait for."""
        none_yet = self.verdict == Outcome.CONTINUE and self.state in _WITHOUT_VERDICT
        return (self.state if none_yet else self.verdict).replace("_", " ")

    @property
    def worth_first(self) -> tuple[Worth, ...]:
        """Give the comparisons to be read first, what is proven before the rest."""
        return tuple(sorted(self.worth, key=lambda line: not line.proven)[:MOST_WORTH_LINES])

    @property
    def worth_more(self) -> str:
        """Say how many comparisons are left out of ``worth_first``, if any."""
        left = len(self.worth) - len(self.worth_first)
        return f"and {left} more comparison{'s' if left > 1 else ''} in the report" if left else ""

    @property
    def harm_parts(self) -> tuple[HarmPart, ...]:
        """Give the harm part: every metric by itself or, when there are many, one line a word."""
        if len(self.harm) > MOST_HARM_LINES:
            return grouped_harm(self.harm)
        return tuple(
            HarmPart(f"{each.title or each.metric}, {each.arm}: ", each.word) for each in self.harm
        )

    @property
    def harm_lines(self) -> tuple[str, ...]:
        """Say the same in words."""
        if len(self.harm) > MOST_HARM_LINES:
            return tuple(part.text for part in grouped_harm(self.harm))
        return tuple(line.text for line in self.harm)


def build_card(
    plan: Plan,
    status: CardStatus,
    *,
    look: Mapping[str, Any] | None = None,
    decision: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    offset: float | None = None,
    now: dt.datetime | None = None,
) -> Card:
    """Build the card from the newest look's stored documents.

    Parameters
    ----------
    look, decision, quality : mapping, optional
        The newest look as recorded; without one nothing has been seen yet.
    offset : float, optional
        Seconds from the start to that look.
    now : datetime, optional
        For the words of a card that is still running.
    """
    hidden = _hidden(plan, status, look, offset)
    shown = look is not None and decision is not None
    worth: tuple[Worth, ...] = ()
    harm: tuple[Harm, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    if shown and look is not None and decision is not None:
        if hidden is None:
            worth = worth_part(plan, look, decision)
            evidence = evidence_part(plan, look, decision)
        if Outcome.INVALID not in {status.verdict, *status.decided}:
            harm = harm_part(plan, decision, status, blind=hidden is not None)
    return Card(
        key=plan.key,
        flag=plan.flag,
        environment=plan.environment,
        hypothesis=plan.hypothesis,
        customer=plan.customer,
        owner=plan.owner,
        state=status.state,
        verdict=status.verdict or Outcome.CONTINUE.value,
        tone=tone(status),
        instruction=instruction(plan, status),
        audience=f"for {plan.customer} (customer); run by {plan.owner} (owner)",
        sentence=status.sentence or _standing_sentence(plan, status, now),
        worth=worth,
        worth_hidden=hidden,
        realised=realised_part(plan, status),
        harm=harm,
        trust=trust_part(plan, status, look, decision, quality),
        cost=cost_part(plan, status, look, decision, offset, hide=hidden is not None)
        + shipped_cost(plan, status),
        exposed=tuple((arm, int((look or {}).get("counts", {}).get(arm, 0))) for arm in plan.arms),
        next=next_step(plan, status),
        evidence=evidence,
        looks=int(look["number"]) if look else 0,
        plan_hash=status.plan_hash,
        kind="Experiment" if plan.release is None else "Release",
        review=review_of(status.state, status.override, now),
    )


def _hidden(
    plan: Plan, status: CardStatus, look: Mapping[str, Any] | None, offset: float | None
) -> str | None:
    if Outcome.INVALID in {status.verdict, *status.decided}:
        return "Hidden: the experiment is invalid, and its numbers would mislead."
    if look is None:
        return "Nothing has been seen yet."
    ended = status.verdict is not None
    if not ended and offset is not None and offset < plan.policy.minimum_seconds:
        minimum = words.days(plan, plan.policy.minimum_seconds)
        return f"Not shown before {minimum} have passed: early numbers jump. Harm acts at once."
    return None


def _standing_sentence(plan: Plan, status: CardStatus, now: dt.datetime | None) -> str:
    if plan.release is not None:
        return release_words.standing_sentence(plan, status)
    if status.started_at is None:
        stage = "Sealed" if status.plan_hash else "Drafted"
        return (
            f"{stage}, not yet started: nobody has met it. The claim: "
            f"{plan.hypothesis} {status.forecast}".rstrip()
        )
    where = ""
    if now is not None:
        where = f" It is {words.day_of(plan, (now - status.started_at).total_seconds())}."
    return (
        f"Since {words.moment(status.started_at)}, {words.percent(status.coverage)} of the "
        f"audience take part.{where} Without proof it goes back to {plan.control} by itself."
    )


def card_text(card: Card) -> str:
    """Write the card as plain text, for terminals, mails and the API's ``card.txt``."""
    lines = [
        *_wrap(f"{card.word}: {card.instruction}", ""),
        *_wrap(card.audience, "  "),
        "",
        *_wrap(card.sentence, ""),
        "",
    ]
    hidden = [card.worth_hidden] if card.worth_hidden else []
    for title, entries in (
        ("WORTH", [line.text for line in card.worth_first] + hidden or ["nothing to show"]),
        ("", [card.worth_more] if card.worth_more else []),
        ("", list(card.realised)),
        ("HARM", list(card.harm_lines) or ["nothing to show"]),
        ("TRUST", [f"{line.name} {MARKS[line.good]}: {line.text}" for line in card.trust]),
        ("COST", [card.cost]),
        ("NEXT", [f"{card.next.what} – {card.next.when} – {card.next.who}"]),
        ("REVIEW" if card.review else "", [card.review.text] if card.review else []),
    ):
        for i, entry in enumerate(entries):
            lines += _wrap(entry, f"{title if i == 0 else '':<7}")
    lines += ["", *_wrap(f"{card.kind} {card.key} on flag {card.flag} in {card.environment}.", "")]
    return "\n".join(lines) + "\n"


def _wrap(text: str, head: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [
        head
    ]
