"""The worker: schedules, looks, ramps, webhooks, care of the event store; it imports SciPy.

Several may run. A lease with a fence, taken inside :func:`experiments.monitoring.monitor.tick`,
lets one act.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import threading
from typing import TYPE_CHECKING

from flags.database import Database
from web import lifecycles
from web.identity import is_gone, worker_name
from web.lifeline import follow
from web.predictions import look_after_predictions
from web.schedules import carry_out_due
from web.settings import Settings
from web.signals import on_request_to_end

if TYPE_CHECKING:
    from experiments.moves.lease import Held

logger = logging.getLogger("flagstone.worker")

TICK_SECONDS = 1.0
DRAIN_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 30.0
SENDING_SECONDS = 2.0


def run(settings: Settings, *, stop: threading.Event | None = None) -> None:
    """Tick until told to stop (SIGTERM and SIGINT, when run in the main thread).

    Parameters
    ----------
    settings : Settings
        Where the database and the event store are.
    stop : threading.Event, optional
        Set it to end the loop.
    """
    # Imported before the signal handlers are in place: a second or more in which nothing is begun
    # yet, so that a signal may end the process at once.
    from experiments.monitoring import activity, monitor
    from experiments.moves import lease
    from experiments.store.opening import open_store
    from web.webhooks import courier

    stop = threading.Event() if stop is None else stop
    with on_request_to_end(stop.set):
        database = Database(settings.database_url)
        store = open_store(settings.events_place)
        holder = worker_name()
        logger.info("worker %s ticks", holder)
        sender = courier.Courier(
            database, public_url=settings.public_url, allowed=settings.webhook_networks
        )
        # On its own: looks never wait for a receiver, nor receivers for a look.
        sending = threading.Thread(
            target=courier.run,
            args=(sender, database, holder, stop),
            kwargs={"is_gone": is_gone},
            name="flagstone-webhooks",
            daemon=True,
        )
        sending.start()
        failures = 0
        memory = monitor.Memory()
        next_drain = next_sum = next_judgement = 0.0
        while not stop.is_set():
            now = dt.datetime.now(dt.UTC)
            held = _lead(database, holder, now)
            try:
                monitor.tick(
                    database, store, holder=holder, now=now, is_gone=is_gone, memory=memory
                )
                failures = 0
            except Exception:
                # Whatever it was, the next tick starts afresh from the database.
                failures += 1
                logger.exception("tick failed (%d in a row)", failures)
            if now.timestamp() >= next_drain:
                # On its own: while looks fail, events must still find room.
                next_drain = now.timestamp() + DRAIN_SECONDS
                try:
                    store.drain(now.timestamp(), keep_since=_kept_since(settings, database, now))
                except Exception:
                    logger.exception("the event store could not be cleaned up")
            if held is not None and now.timestamp() >= next_sum:
                next_sum = now.timestamp() + activity.EVERY_SECONDS
                try:
                    activity.sum_up(database, store, held, now=now)
                except Exception:
                    logger.exception("who asks for which flag could not be summed up")
            if held is not None and now.timestamp() >= next_judgement:
                next_judgement = now.timestamp() + lifecycles.EVERY_SECONDS
                try:
                    lifecycles.judge_all(database, held, now=now)
                except Exception:
                    logger.exception("what flags ask for could not be judged")
            stop.wait(min(TICK_SECONDS * 2**failures, MAX_BACKOFF_SECONDS))
        try:
            now = dt.datetime.now(dt.UTC)
            held = lease.acquire(database, holder, now=now)
            if held is not None:
                # So that the next worker need not wait until it runs out.
                lease.release(database, held, now=now)
        except Exception:
            logger.exception("the lease could not be given back; it runs out by itself")
        sending.join(SENDING_SECONDS)
        store.close()
        database.dispose()


def _lead(database: Database, holder: str, now: dt.datetime) -> Held | None:
    """Do what has a time of its own, if this worker leads; give its lease."""
    from experiments.moves import lease

    held = None
    try:
        # First: whoever gave a change its time did not mean after the looks.
        held = lease.acquire(database, holder, now=now, is_gone=is_gone)
        if held is not None:
            carry_out_due(database, held, now=now)
    except Exception:
        logger.exception("scheduled changes could not be carried out")
    try:
        if held is not None:
            look_after_predictions(database, held, now=now)
    except Exception:
        logger.exception("predictions could not be looked after")
    return held


def _kept_since(settings: Settings, database: Database, now: dt.datetime) -> float | None:
    """Find what may go; while nobody can tell what experiments need, nothing may."""
    from experiments.measuring.retention import keep_since

    try:
        return keep_since(database, keep_days=settings.events_keep_days, now=now)
    except Exception:
        logger.exception("cannot tell which events are needed; all are kept")
        return None


def main() -> None:
    """Run as a child of the supervisor."""
    from web.asgi import configure_logging

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lifeline", type=int, help="descriptor of the supervisor's pipe")
    options = parser.parse_args()
    configure_logging()
    if options.lifeline is not None:
        follow(options.lifeline)
    run(Settings.from_environment())


if __name__ == "__main__":
    main()
