"""Predicted against observed: whether a change moved as many as it was said to move.

When a revision is published, its movement is predicted from the contexts seen before it: how many
get another value of a flag that it touches. Later, at ``LOOKS``, those seen since are evaluated
under the flag sets on either side. If both shares are of one population, two-sided exact tests
[1]_, each at a third of ``ERROR_RATE`` (Bonferroni), raise a false alarm for at most one change in
a thousand.
Units seen before and since make both shares more alike, and a false alarm rarer.

References
----------
.. [1] R. A. Fisher, Statistical Methods for Research Workers, 5th ed. (1934), section 21.02.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from flags import notices
from flags.actor import SYSTEM
from flags.affected import affected_flags, asked_attributes
from flags.context_samples import load_sample
from flags.effect_counts import Share, share_of
from flags.effect_words import interval, percent
from flags.effects import MAX_FLAGS
from flags.models import Environment, Prediction, Revision
from flags.revisions import load_flag_set
from flagstone.engine import FlagSet, Served, compile_flag_set, parse_flag_set

WATCHING, AGREES, PARTS = "watching", "agrees", "parts"
NOT_ENOUGH, NOT_PREDICTED = "not_enough", "not_predicted"
STATES = (WATCHING, AGREES, PARTS, NOT_ENOUGH, NOT_PREDICTED)
LOOKS = (dt.timedelta(minutes=15), dt.timedelta(hours=2), dt.timedelta(days=1))
ERROR_RATE = 0.001
# Fewer contexts are not tested: everything else would agree with them.
MIN_SEEN = 30
# Later the contexts that were there before have been seen again.
PREDICTED_WITHIN = dt.timedelta(minutes=2)
_AT_ONCE = 20
_NAMED = 3


@dataclass(frozen=True, slots=True)
class New:
    """A revision that nobody has looked at yet."""

    environment_id: int
    revision: int


def unpredicted(session: Session) -> list[New]:
    """Return revisions whose movement is to be predicted, oldest first; of each place a few."""
    newest = func.max(col(Prediction.revision))
    found = session.execute(
        sa.select(col(Environment.id), col(Environment.revision), newest)
        .outerjoin(Prediction, col(Prediction.environment_id) == col(Environment.id))
        .group_by(col(Environment.id), col(Environment.revision))
        .having(col(Environment.revision) > func.coalesce(newest, 0))
    )
    new: list[New] = []
    for environment_id, revision, known in found:
        # An environment that was there before this watched begins with its present revision.
        first = revision if known is None else known + 1
        new += [New(environment_id, number) for number in range(first, revision + 1)][:_AT_ONCE]
    return new


def predict(session: Session, new: New, *, now: dt.datetime) -> Prediction:
    """Return the prediction of a revision; reads only, and is not kept yet."""
    environment = session.get_one(Environment, new.environment_id)
    revision = session.exec(
        select(Revision.created_at).where(
            Revision.environment_id == new.environment_id, Revision.number == new.revision
        )
    ).one()
    made = Prediction(
        project_id=environment.project_id,
        environment_id=new.environment_id,
        revision=new.revision,
        at=revision,
        flags=[],
        state=NOT_PREDICTED,
    )
    if new.revision < 2 or now - revision > PREDICTED_WITHIN or not environment.sample_contexts:
        return made
    share = _moved(session, made, now, until=revision)
    if share is not None:
        made.predicted = _document(share)
        made.state = WATCHING
        made.next_look_at = revision + LOOKS[0]
    return made


def due(session: Session, now: dt.datetime) -> list[int]:
    """Return the predictions that are to be held against what was seen since."""
    query = select(Prediction.id).where(
        Prediction.state == WATCHING, col(Prediction.next_look_at) <= now
    )
    return [each for each in session.exec(query.order_by(col(Prediction.id))) if each is not None]


def observe(session: Session, prediction: Prediction, *, now: dt.datetime) -> Share | None:
    """Return the share of those seen since who were moved; None where nobody was seen."""
    return _moved(session, prediction, now, since=prediction.at)


def settle(
    session: Session, prediction: Prediction, seen: Share | None, *, now: dt.datetime
) -> None:
    """Keep what one look saw, decide, and raise an alarm if both part.

    Parameters
    ----------
    session : Session
        Of the transaction that keeps it.
    prediction : Prediction
        That is watched.
    seen : Share or None
        From :func:`observe`.
    now : datetime
        When.
    """
    prediction.looks += 1
    predicted = _share(prediction.predicted)
    assert predicted is not None
    if seen is not None:
        prediction.observed = _document(seen)
    if seen is not None and seen.size >= MIN_SEEN:
        prediction.p_value = p_value(predicted, seen)
        if prediction.p_value < ERROR_RATE / len(LOOKS):
            prediction.state, prediction.next_look_at = PARTS, None
            session.add(prediction)
            _raise_alarm(session, prediction, now)
            return
    if prediction.looks < len(LOOKS):
        prediction.next_look_at = prediction.at + LOOKS[prediction.looks]
    else:
        prediction.next_look_at = None
        prediction.state = NOT_ENOUGH if prediction.p_value is None else AGREES
    session.add(prediction)


def find_predictions(
    session: Session,
    environment_id: int,
    *,
    states: Collection[str] = (WATCHING, AGREES, PARTS, NOT_ENOUGH),
    before: int | None = None,
    limit: int = 100,
) -> list[Prediction]:
    """Return an environment's predictions, newest revision first."""
    query = select(Prediction).where(
        Prediction.environment_id == environment_id, col(Prediction.state).in_(states)
    )
    if before is not None:
        query = query.where(Prediction.revision < before)
    return list(session.exec(query.order_by(col(Prediction.revision).desc()).limit(limit)))


def predictions_of(
    session: Session, revisions: Iterable[tuple[int | None, int | None]]
) -> dict[tuple[int, int], Prediction]:
    """Return what was predicted of revisions, by environment id and number, where anything was."""
    wanted = {(place, number) for place, number in revisions if place and number}
    if not wanted:
        return {}
    named = sa.tuple_(col(Prediction.environment_id), col(Prediction.revision))
    query = select(Prediction).where(named.in_(wanted), Prediction.state != NOT_PREDICTED)
    return {(each.environment_id, each.revision): each for each in session.exec(query)}


def prediction_document(prediction: Prediction) -> dict[str, Any]:
    """Write a prediction as plain JSON, with the sentence that says it."""
    return {
        "revision": prediction.revision,
        "at": prediction.at,
        "state": prediction.state,
        "alarm": prediction.state == PARTS,
        "sentence": prediction_sentence(prediction),
        "flags": prediction.flags,
        "predicted": prediction.predicted,
        "observed": prediction.observed,
        "looks": prediction.looks,
        "p_value": prediction.p_value,
        "error_rate": ERROR_RATE,
        "next_look_at": prediction.next_look_at,
    }


def prediction_sentence(prediction: Prediction) -> str:
    """Say what was predicted, and what was seen since."""
    predicted, seen = _share(prediction.predicted), _share(prediction.observed)
    if predicted is None:
        return "Nothing was predicted: no context was seen before it."
    before = (
        f"{percent(predicted.share)} of {predicted.size:,} seen before "
        f"(of all {interval(predicted)})"
    )
    if seen is None:
        return f"Predicted to move {before}; nobody was seen since."
    since = f"{percent(seen.share)} of {seen.size:,} seen since (of all {interval(seen)})"
    if prediction.state == PARTS:
        return f"Moved {since} instead of {before}: more than chance explains."
    if prediction.p_value is None:
        return f"Predicted to move {before}; {since} move, too few to compare."
    return f"Moved {since} as predicted: {before}."


def p_value(first: Share, second: Share) -> float:
    """Give Fisher's exact two-sided p-value of two counts: as unlikely a table, or a less likely.

    Conditional on both margins, so it holds for every common share, however small.
    """
    size, other = first.size, second.size
    moved = first.count + second.count
    low, high = max(0, moved - other), min(size, moved)

    def log_chance(count: int) -> float:
        return _log_choose(size, count) + _log_choose(other, moved - count)

    whole = _log_choose(size + other, moved)
    observed = log_chance(first.count)
    # Equal chances differ by rounding alone.
    chances = (log_chance(count) for count in range(low, high + 1))
    return min(1.0, math.fsum(math.exp(c - whole) for c in chances if c <= observed + 1e-7))


def _log_choose(size: int, count: int) -> float:
    return math.lgamma(size + 1) - math.lgamma(count + 1) - math.lgamma(size - count + 1)


def _moved(
    session: Session,
    prediction: Prediction,
    now: dt.datetime,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Share | None:
    """Count whom a revision moves among contexts seen in a time; note which flags it touches."""
    place, number = prediction.environment_id, prediction.revision
    documents = [load_flag_set(session, place, each) for each in (number - 1, number)]
    before, after = (parse_flag_set(each, strict=False) for each in documents)
    changed, segments = (_differing(documents, part) for part in ("flags", "segments"))
    # Nobody had anything of a flag that was not there.
    new = {key for key in changed if key not in before.flags}
    found, dependants = affected_flags(before, after, changed, segments)
    keys = [key for key in [*found, *dependants] if key not in new][:MAX_FLAGS]
    prediction.flags = keys
    if not keys:
        return None
    sample = load_sample(session, place, now=now, since=since, until=until)
    sample = sample.knowing(asked_attributes(before, keys) | asked_attributes(after, keys))
    if not sample.size:
        return None
    count = _count(before, after, keys, sample.contexts, now.timestamp())
    return share_of(count, sample.size)


def _differing(documents: Sequence[Mapping[str, Any]], part: str) -> set[str]:
    old, new = ({k: _plain(v) for k, v in each[part].items()} for each in documents)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _plain(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {key: value for key, value in document.items() if key != "version"}


def _count(
    before: FlagSet,
    after: FlagSet,
    keys: Sequence[str],
    contexts: Iterable[Mapping[str, Any]],
    now: float,
) -> int:
    old, new = compile_flag_set(before), compile_flag_set(after)
    return sum(
        any(
            not Served.of(old.evaluate(key, each, now)).is_same(
                Served.of(new.evaluate(key, each, now))
            )
            for key in keys
        )
        for each in contexts
    )


def _raise_alarm(session: Session, prediction: Prediction, now: dt.datetime) -> None:
    environment = session.get_one(Environment, prediction.environment_id)
    flags = ", ".join(prediction.flags[:_NAMED])
    if len(prediction.flags) > _NAMED:
        flags += f" and {len(prediction.flags) - _NAMED} more"
    notices.write(
        session,
        "flag.moved",
        f"Revision {prediction.revision} of {environment.key} ({flags}): "
        f"{prediction_sentence(prediction)}",
        project_id=prediction.project_id,
        environments=[environment.key],
        actor=SYSTEM,
        resource=f"flag:{prediction.flags[0]}",
        facts={
            "revision": prediction.revision,
            "flags": prediction.flags,
            "predicted": prediction.predicted,
            "observed": prediction.observed,
            "p_value": prediction.p_value,
        },
        now=now,
    )


def _document(share: Share) -> dict[str, Any]:
    return {**share.document(), "size": share.size}


def _share(document: Mapping[str, Any] | None) -> Share | None:
    return None if document is None else share_of(document["count"], document["size"])
