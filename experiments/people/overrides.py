"""Ship without a proof, or against a verdict: by a reason from a closed list, and in public.

Whoever overrides predicts the effect, and names a day to look at it again; the units held back will
tell. What goes against a verdict needs a second person, who signs in and approves it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import col, select

from experiments.contract import words
from experiments.machine import lifecycle
from experiments.models import DecisionRecord, Experiment
from experiments.moves import sharing
from experiments.moves.enact import current_flag, override_spending
from experiments.moves.places import Opened, Place, required, same_person, verb
from flags.actor import Actor
from flags.budgets import spend
from flags.errors import InvalidInputError, NotAllowedError, StateError
from flags.shares import Side

REASONS: Mapping[str, str] = {
    "legal": "the law or an authority demands it",
    "security": "it closes a hole",
    "contract": "it was promised to a customer by contract",
    "dependency": "something that must ship needs it",
    "strategy": "it is wanted whatever it is worth by these metrics",
    "evidence_elsewhere": "it was proven in another way",
}
"""The closed list of reasons, each in words."""

MOST_EFFECT = 10.0


@verb
def override(
    place: Place,
    *,
    arm: str,
    reason: str,
    text: str,
    predicted_effect: float,
    review_at: dt.datetime,
    actor: Actor,
    now: dt.datetime,
) -> Experiment:
    """Ship an arm by hand, at once or when a second person approves.

    Parameters
    ----------
    predicted_effect : float
        Relative effect on the first success metric that is expected: 0.05 for 5 % more.
    review_at : datetime
        When the prediction is to be looked at again; in the future.

    Raises
    ------
    InvalidInputError
        With the field that is not in order.
    StateError
        If the arm cannot be shipped from where the experiment stands.
    OverBudgetError
        If it is more than who asks may move: in the end everybody gets it.
    """
    asked = _asked(arm, reason, text, predicted_effect, review_at, actor, now)
    opened = place.open()
    position = opened.position
    move = lifecycle.override_ship(position, arm)
    _check_flag(opened)
    asked["predicted"]["text"] = _prediction(opened, predicted_effect)
    if not lifecycle.opposes(position, arm):
        return _ship(opened, move, asked, actor, now)
    standing = _in_words(position.verdict) or f"the hold ({position.hold})"
    sentence = (
        f"{actor.name} asks to ship {arm} against {standing} ({REASONS[reason]}): {text} "
        "A second person has to approve."
    )
    # What could never pass is refused at once; it is paid when it is approved.
    same = Side({}, {})
    spending = override_spending(opened.experiment, {str(actor)})
    spend(opened.session, spending, [opened.environment], lambda _: (same, same), now, dry=True)
    opened.experiment.request = asked
    return opened.act(
        lifecycle.Move(position),
        "action",
        sentence,
        actor=actor,
        now=now,
        body={"do": "request", "request": asked},
    )


@verb
def approve(place: Place, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Ship what another person has asked for: the second signature.

    Raises
    ------
    StateError
        If nothing waits for one; a request lapses when the experiment moves.
    NotAllowedError
        If the same person asks and approves, or it is not a person.
    OverBudgetError
        If it is more than who asked, or who approves, may move.
    """
    opened = place.open()
    asked = _pending(opened)
    if actor.kind != "user":
        raise NotAllowedError(
            "a program cannot be the second person", hint="sign in and approve it yourself"
        )
    if same_person(actor.name, asked["by"]):
        raise NotAllowedError(
            f"{asked['by']} asked for it: somebody else has to approve",
            hint="nobody is the second person of their own request",
        )
    move = lifecycle.override_ship(opened.position, asked["arm"])
    _check_flag(opened)
    asker = _asker(opened)
    return _ship(opened, move, asked | {"second": actor.name}, actor, now, asked_by=asker)


@verb
def decline(place: Place, *, note: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Turn a request down, or take one's own back; the verdict stands."""
    note = required(note, "note", "declining")
    opened = place.open()
    asked = _pending(opened)
    opened.experiment.request = None
    return opened.act(
        lifecycle.Move(opened.position),
        "action",
        f"{actor.name} declined to ship {asked['arm']} for {asked['by']}: {note}",
        actor=actor,
        now=now,
        body={"do": "decline", "note": note, "request": asked},
    )


def _asked(
    arm: str,
    reason: str,
    text: str,
    predicted_effect: float,
    review_at: dt.datetime,
    actor: Actor,
    now: dt.datetime,
) -> dict[str, Any]:
    if reason not in REASONS:
        raise InvalidInputError(
            f"{reason!r} is no reason to override",
            field="reason",
            hint=f"one of {', '.join(REASONS)}",
        )
    text = required(text, "text", "an override")
    if not -1 <= predicted_effect <= MOST_EFFECT:
        raise InvalidInputError(
            "the predicted effect is relative to control",
            field="predicted_effect",
            hint="0.05 for 5 % more; at least -1",
        )
    if review_at.tzinfo is None or review_at <= now:
        raise InvalidInputError(
            "the review lies in the future", field="review_at", hint="an instant with a time zone"
        )
    return {
        "arm": arm,
        "reason": reason,
        "text": text,
        "by": actor.name,
        "at": now.astimezone(dt.UTC).isoformat(),
        "review_at": review_at.astimezone(dt.UTC).isoformat(),
        "predicted": {"relative": predicted_effect},
        "second": None,
    }


def _prediction(opened: Opened, effect: float) -> str:
    first = next(iter(opened.plan.success_metrics), opened.plan.metrics[0])
    return f"{first.key} {words.signed_percent(effect)}"


def _pending(opened: Opened) -> dict[str, Any]:
    asked: dict[str, Any] | None = opened.experiment.request
    if asked is None:
        raise StateError(
            "no override waits for a second person", hint="a request lapses when things move on"
        )
    return asked


def _asker(opened: Opened) -> str:
    """Give who asked for what waits, as the audit names them: the records say who did what."""
    rows = opened.session.exec(
        select(DecisionRecord)
        .where(
            DecisionRecord.experiment_id == opened.experiment.id, DecisionRecord.kind == "action"
        )
        .order_by(col(DecisionRecord.number).desc())
    )
    documents = (json.loads(row.document) for row in rows)
    return next(str(each["actor"]) for each in documents if each["body"].get("do") == "request")


def _check_flag(opened: Opened) -> None:
    flag = current_flag(opened.session, opened.environment, opened.plan.flag)
    if flag is None:
        raise StateError(
            f"flag {opened.plan.flag} is archived", field="flag", hint="nothing reads it any more"
        )
    if flag["killed"] or not flag["enabled"]:
        raise StateError(
            f"flag {opened.plan.flag} is {'killed' if flag['killed'] else 'off'}",
            field="flag",
            hint="turn it on first: else nobody would get what ships",
        )
    sharing.check_ships_alone(opened.session, opened.experiment, opened.plan)


def _in_words(verdict: str | None) -> str:
    return (verdict or "").replace("_", " ")


def _ship(
    opened: Opened,
    move: lifecycle.Move,
    asked: dict[str, Any],
    actor: Actor,
    now: dt.datetime,
    *,
    asked_by: str | None = None,
) -> Experiment:
    experiment = opened.experiment
    before = experiment.verdict
    experiment.override = asked | {"against": before}
    second = f", approved by {asked['second']}" if asked["second"] else ""
    against = f" against {_in_words(before)}" if before is not None else ""
    sentence = (
        f"On {words.moment(now)} {asked['by']} shipped {asked['arm']} by hand{against}{second} "
        f"({REASONS[asked['reason']]}): {asked['text']} Predicted: {asked['predicted']['text']}; "
        f"review on {words.moment(dt.datetime.fromisoformat(asked['review_at']))}. "
        + words.shipped_sentence(opened.plan, asked["arm"])
    )
    body = {
        "do": "override",
        "override": experiment.override,
        "predicted_effect": asked["predicted"]["relative"],
    }
    return opened.act(move, "action", sentence, actor=actor, now=now, body=body, asked_by=asked_by)
