"""Predictions of what changes move, made and held against what was seen since, by the worker.

What is counted is counted in a reading session, so that nobody's change waits for it; a fenced
transaction then keeps the outcome.
"""

from __future__ import annotations

import datetime as dt
import logging

from experiments.errors import FencedError
from experiments.moves.lease import Held, check_fence
from flags import predictions
from flags.database import Database
from flags.models import Prediction

logger = logging.getLogger("flagstone.worker")


def look_after_predictions(database: Database, held: Held, *, now: dt.datetime) -> int:
    """Predict what is new, look at what is due; return how many alarms were raised.

    Raises
    ------
    FencedError
        If the lease went to another worker.
    """
    with database.read() as session:
        new, due = predictions.unpredicted(session), predictions.due(session, now)
    for each in new:
        try:
            _predict(database, held, each, now)
        except FencedError:
            raise
        except Exception:
            # Without a row it would be tried at every tick, in the way of all that follow.
            logger.exception("the movement of revision %d cannot be predicted", each.revision)
            _give_up(database, held, each, now)
    alarms = 0
    for number in due:
        try:
            alarms += _look(database, held, number, now)
        except FencedError:
            raise
        except Exception:
            logger.exception("what prediction %d said cannot be looked at", number)
    return alarms


def _predict(database: Database, held: Held, new: predictions.New, now: dt.datetime) -> None:
    with database.read() as session:
        made = predictions.predict(session, new, now=now)
    _keep(database, held, made)


def _give_up(database: Database, held: Held, new: predictions.New, now: dt.datetime) -> None:
    late = now + dt.timedelta(days=1)
    with database.read() as session:
        made = predictions.predict(session, new, now=late)
    _keep(database, held, made)


def _keep(database: Database, held: Held, made: Prediction) -> None:
    with database.write() as session:
        check_fence(session, held)
        session.add(made)


def _look(database: Database, held: Held, number: int, now: dt.datetime) -> bool:
    with database.read() as session:
        watched = session.get_one(Prediction, number)
        seen = predictions.observe(session, watched, now=now)
    with database.write() as session:
        check_fence(session, held)
        prediction = session.get_one(Prediction, number)
        predictions.settle(session, prediction, seen, now=now)
        alarm = prediction.state == predictions.PARTS
    if alarm:
        logger.warning("%s", predictions.prediction_sentence(prediction))
    return alarm
