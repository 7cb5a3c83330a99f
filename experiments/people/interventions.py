"""What people do while an experiment runs, and when it is over: explain, extend, learn, close."""

from __future__ import annotations

import datetime as dt
from typing import Any

from experiments.contract import words
from experiments.contract.document import format_duration, parse_duration
from experiments.judging.record import append_record
from experiments.machine import lifecycle
from experiments.models import Experiment
from experiments.moves.places import Opened, Place, required, verb
from flags import audit
from flags.actor import Actor
from flags.errors import InvalidInputError, StateError

LEAST_CHANCE = 0.5
MAX_LEARNED = 2000


@verb
def explain(place: Place, *, text: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Say what was wrong with the data; the experiment goes on where it was held.

    The same alarm holds it again only when it has got twice as loud.
    """
    text = required(text, "text", "an explanation")
    opened = place.open()
    move = lifecycle.explain(opened.position)
    look = opened.newest_look
    alarms: dict[str, float] = look.data.get("alarms", {}) if look is not None else {}
    opened.experiment.explained = {**opened.experiment.explained, **alarms}
    sentence = f"Explained by {actor.name} on {words.moment(now)}: {text}"
    body = {"do": "explain", "text": text, "alarms": alarms}
    return opened.act(move, "action", sentence, actor=actor, now=now, body=body)


@verb
def extend(place: Place, *, by: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Give more time, once: what error was spent stays spent.

    Parameters
    ----------
    by : str
        How long, such as ``7d``; at most as long as prove_by.

    Raises
    ------
    NotAllowedError
        If the actor is not the plan's customer.
    StateError
        If it was extended before, is over, or is not likely enough to prove its claim.
    """
    seconds = _length(by)
    opened = place.open()
    plan = opened.plan
    move = lifecycle.extend(opened.position)
    opened.check_customer(actor, "extends", hint="whoever pays for the time decides about it")
    if seconds > plan.prove_by_seconds:
        raise InvalidInputError(
            f"{by} is longer than the experiment was promised to take",
            field="by",
            hint=f"at most {format_duration(plan.prove_by_seconds)}",
        )
    opened.check_seal("nothing can be proven any more")
    chance = _chance(opened, seconds)
    experiment = opened.experiment
    experiment.extension_seconds = seconds
    assert experiment.started_at is not None
    end = experiment.started_at + dt.timedelta(seconds=plan.prove_by_seconds + seconds)
    sentence = (
        f"{plan.customer} extended it by {words.days(plan, seconds)} on {words.moment(now)}, at "
        f"{words.percent(chance)} chance of a proof: the last look is on {words.moment(end)}."
    )
    body: dict[str, Any] = {"do": "extend", "seconds": seconds, "chance": chance}
    return opened.act(move, "action", sentence, actor=actor, now=now, body=body)


def _length(by: str) -> float:
    try:
        seconds = parse_duration(by, "by")
    except InvalidInputError as error:
        raise InvalidInputError(error.message, field="by", hint=error.hint) from None
    if seconds <= 0:
        raise InvalidInputError(
            "an extension is longer than nothing", field="by", hint="such as 7d"
        )
    return seconds


def _chance(opened: Opened, seconds: float) -> float:
    look = opened.newest_look
    told = (look.data.get("prospects") or {}) if look is not None else {}
    chances = [chance for length, chance in told.get("by_extension", []) if length <= seconds]
    if not chances:
        shortest = min((length for length, _chance in told.get("by_extension", [])), default=None)
        raise StateError(
            "how likely a proof would be is not known for that long",
            field="by",
            hint="wait for a look that can tell"
            if shortest is None
            else f"at least {format_duration(shortest)}",
        )
    if chances[-1] < LEAST_CHANCE:
        raise StateError(
            f"a proof would have a chance of {words.percent(chances[-1])} only",
            field="by",
            hint=f"an extension needs {words.percent(LEAST_CHANCE)} at the newest look",
        )
    return float(chances[-1])


@verb
def close(place: Place, *, note: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Declare that the code which read the flag is gone: the experiment's debt ends."""
    note = required(note, "note", "closing")
    opened = place.open()
    move = lifecycle.close(opened.position)
    sentence = f"Closed by {actor.name} on {words.moment(now)}: {note}"
    body = {"do": "close", "note": note}
    return opened.act(move, "action", sentence, actor=actor, now=now, body=body)


@verb
def learn(place: Place, *, text: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Write down what was learned, for whoever comes next; better words replace earlier ones.

    Nothing that the experiment decided changes, and every version stays in its records.

    Raises
    ------
    StateError
        If nothing is decided yet: words would be guesses, and read as findings.
    """
    text = required(text, "text", "what was learned")
    if len(text) > MAX_LEARNED:
        raise InvalidInputError(
            f"{len(text):,} characters are too many",
            field="text",
            hint=f"at most {MAX_LEARNED:,}; link to the rest",
        )
    opened = place.open()
    experiment = opened.experiment
    if not may_learn(experiment):
        raise StateError(
            "nothing is decided yet, so there is nothing to learn from",
            field="key",
            hint="wait for the verdict",
        )
    if text == experiment.learned:
        return experiment
    before = experiment.learned
    experiment.learned, experiment.learned_by, experiment.learned_at = text, actor.name, now
    opened.session.add(experiment)
    opened.session.flush()
    sentence = f"Learned, says {actor.name} on {words.moment(now)}: {text}"
    # Without a state: words move nothing, and a chain that had ended stays whole.
    body = {"do": "learn", "text": text}
    append_record(
        opened.session, experiment, "action", body, actor=str(actor), now=now, sentence=sentence
    )
    audit.append(
        opened.session,
        project_id=experiment.project_id,
        environment_id=experiment.environment_id,
        actor=actor,
        action="experiment_learn",
        resource=f"experiment:{experiment.key}",
        before={"learned": before},
        after={"learned": text},
        comment=sentence,
        now=now,
    )
    return experiment


def may_learn(experiment: Experiment) -> bool:
    """Tell whether a verdict stands, or the experiment is over."""
    return experiment.verdict_at is not None or experiment.ended_at is not None
