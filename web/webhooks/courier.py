"""The courier: gives notices to the webhooks that want them, and sends until they have arrived.

It runs in the worker process, on threads and under a lease of its own, so that no look waits for a
slow receiver and no receiver for a slow look. A message is marked as delivered only after its
receiver took it: whoever dies in between leaves it waiting, and it is sent again under the same id.

One message at a time for each webhook, so that a receiver that hangs holds up its own messages
only; up to ``MOST_AT_ONCE`` receivers at one time.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session, col, delete, select

from experiments.errors import FencedError
from experiments.moves import lease
from experiments.moves.lease import Held, check_fence
from flags import notices
from flags.actor import SYSTEM
from flags.database import Database
from flags.models import Notice, Project
from web.webhooks import signing
from web.webhooks.models import Attempt, Delivery, HookAlert, Webhook
from web.webhooks.networks import Network
from web.webhooks.payload import body_of
from web.webhooks.reminders import remind
from web.webhooks.sending import Sent, send
from web.webhooks.services import DELIVERED, GIVEN_UP, WAITING, enqueue, give_up_waiting, wants

logger = logging.getLogger("flagstone.webhooks")

LEASE = "webhooks"
ROUND_SECONDS = 1.0
MOST_AT_ONCE = 8
MOST_ATTEMPTS = 10
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 12 * 3600.0
"""After failures one waits 10 s, 40 s, … and at most 12 h: ten attempts take about 39 hours."""
DISABLED_AFTER = dt.timedelta(days=3)
CARE_SECONDS = 3600.0
REMIND_EVERY = dt.timedelta(days=1)
_AT_ONCE = 200
_GONE = 410

Sender = Callable[[str, bytes, dict[str, str]], Sent]


@dataclass(frozen=True, slots=True)
class _Parcel:
    """One attempt, as it was read: what to send where, and which row to write it to."""

    delivery_id: int
    webhook_id: int
    url: str
    body: bytes
    headers: dict[str, str]


class Courier:
    """Sends what waits; :meth:`round` begins, and threads of its own end it.

    Parameters
    ----------
    database : Database
        Where notices and webhooks are.
    public_url : str
        Where browsers reach the service, for links.
    allowed : sequence of network
        Networks that webhooks may reach although they are not public.
    sender : callable, optional
        Sends one body; given by tests.
    clock : callable
        What time it is.
    rng : random.Random
        For the jitter, so that receivers that come back are not asked by everybody at once.
    """

    def __init__(
        self,
        database: Database,
        *,
        public_url: str = "",
        allowed: Sequence[Network] = (),
        sender: Sender | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        rng: random.Random | None = None,
    ) -> None:
        self._database = database
        self._public_url = public_url
        self._send: Sender = sender or (
            lambda url, body, headers: send(url, body, headers, allowed=allowed)
        )
        self._clock = clock
        self._rng = rng or random.Random()
        self._flying: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()
        self._next_care = 0.0
        self._next_reminder = dt.datetime.min.replace(tzinfo=dt.UTC)

    def round(self, held: Held) -> int:
        """Give out what is new, and begin to send what is due; give how many were begun."""
        now = self._clock()
        self._give_out(held, now)
        if now.timestamp() >= self._next_care:
            self._next_care = now.timestamp() + CARE_SECONDS
            self._take_care(held, now)
        with self._lock:
            busy = set(self._flying)
        begun = 0
        for parcel in self._due(busy, MOST_AT_ONCE - len(busy), now):
            thread = threading.Thread(
                target=self._carry, args=(held, parcel), name="flagstone-webhook", daemon=True
            )
            with self._lock:
                self._flying[parcel.webhook_id] = thread
            thread.start()
            begun += 1
        return begun

    def wait(self, seconds: float) -> None:
        """Wait until what was begun has ended."""
        with self._lock:
            threads = list(self._flying.values())
        for thread in threads:
            thread.join(seconds)

    def _give_out(self, held: Held, now: dt.datetime) -> None:
        waiting = select(Notice).where(col(Notice.waiting)).order_by(col(Notice.id)).limit(_AT_ONCE)
        with self._database.read() as session:
            if session.exec(waiting.limit(1)).first() is None:
                return
        with self._database.write() as session:
            check_fence(session, held)
            found = session.exec(waiting).all()
            projects = {each.project_id for each in found}
            webhooks = session.exec(
                select(Webhook).where(
                    col(Webhook.project_id).in_(projects), col(Webhook.enabled).is_(True)
                )
            ).all()
            for notice in found:
                for webhook in webhooks:
                    if (
                        webhook.project_id == notice.project_id
                        and webhook.created_at < notice.at
                        and wants(webhook, notice)
                    ):
                        enqueue(session, webhook, notice, now)
                notice.waiting = False
                session.add(notice)

    def _due(self, busy: set[int], room: int, now: dt.datetime) -> list[_Parcel]:
        if room <= 0:
            return []
        first = (
            select(sa.func.min(col(Delivery.id)))
            .where(
                col(Delivery.state) == WAITING,
                col(Delivery.next_at) <= now,
                col(Delivery.webhook_id).not_in(busy),
            )
            .group_by(col(Delivery.webhook_id))
        )
        query = (
            select(Delivery, Webhook, Notice, Project)
            .join(Webhook, col(Webhook.id) == col(Delivery.webhook_id))
            .join(Notice, col(Notice.id) == col(Delivery.notice_id))
            .join(Project, col(Project.id) == col(Webhook.project_id))
            .where(col(Delivery.id).in_(first))
            .order_by(col(Delivery.next_at), col(Delivery.id))
            .limit(room)
        )
        with self._database.read() as session:
            found = session.exec(query).all()
        return [self._parcel(*each, now) for each in found]

    def _parcel(
        self,
        delivery: Delivery,
        webhook: Webhook,
        notice: Notice,
        project: Project,
        now: dt.datetime,
    ) -> _Parcel:
        body = body_of(notice, project.key, form=webhook.form, public_url=self._public_url)
        good = [webhook.secret]
        if webhook.previous_secret and webhook.previous_until and webhook.previous_until > now:
            good.append(webhook.previous_secret)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Flagstone",
            **signing.headers(good, notice.message_id, int(now.timestamp()), body),
        }
        assert delivery.id is not None
        assert webhook.id is not None
        return _Parcel(delivery.id, webhook.id, webhook.url, body, headers)

    def _carry(self, held: Held, parcel: _Parcel) -> None:
        try:
            began = self._clock()
            sent = self._send(parcel.url, parcel.body, parcel.headers)
            with self._database.write() as session:
                check_fence(session, held)
                self._note(session, parcel, sent, began)
        except FencedError:
            logger.info("delivery %d is another worker's now", parcel.delivery_id)
        except Exception:
            # It stays due, and is sent again.
            logger.exception("delivery %d could not be carried out", parcel.delivery_id)
        finally:
            with self._lock:
                self._flying.pop(parcel.webhook_id, None)

    def _note(self, session: Session, parcel: _Parcel, sent: Sent, began: dt.datetime) -> None:
        delivery = session.get(Delivery, parcel.delivery_id)
        webhook = session.get(Webhook, parcel.webhook_id)
        if delivery is None or webhook is None:
            return  # somebody deleted the webhook meanwhile
        now = self._clock()
        session.add(
            Attempt(
                delivery_id=parcel.delivery_id,
                at=began,
                duration_ms=sent.duration_ms,
                status=sent.status,
                error=sent.error,
                answer=sent.answer,
            )
        )
        delivery.attempts += 1
        if sent.arrived:
            delivery.state, delivery.ended_at = DELIVERED, now
            webhook.failing_since = None
        else:
            self._fail(session, delivery, webhook, sent, now)
        session.add(delivery)
        session.add(webhook)

    def _fail(
        self, session: Session, delivery: Delivery, webhook: Webhook, sent: Sent, now: dt.datetime
    ) -> None:
        webhook.failing_since = webhook.failing_since or now
        wait = min(FIRST_WAIT_SECONDS * 4 ** (delivery.attempts - 1), LONGEST_WAIT_SECONDS)
        wait = max(wait * self._rng.uniform(0.8, 1.2), sent.retry_after_seconds or 0)
        delivery.next_at = now + dt.timedelta(seconds=wait)
        if delivery.attempts >= MOST_ATTEMPTS:
            delivery.state, delivery.ended_at = GIVEN_UP, now
        session.add(delivery)
        session.flush()
        if sent.status == _GONE:
            self._disable(session, webhook, "its receiver said that it is gone (410)", now)
        elif webhook.enabled and now - webhook.failing_since >= DISABLED_AFTER:
            days = DISABLED_AFTER.days
            self._disable(session, webhook, f"every attempt of {days} days failed", now)

    def _disable(self, session: Session, webhook: Webhook, why: str, now: dt.datetime) -> None:
        webhook.enabled, webhook.disabled_because = False, why
        give_up_waiting(session, webhook, now)
        notices.write(
            session,
            "webhook.disabled",
            f"The webhook {webhook.name} was disabled: {why}. What it missed can be replayed.",
            project_id=webhook.project_id,
            actor=SYSTEM,
            resource=f"webhook:{webhook.id}",
            now=now,
        )
        logger.warning("webhook %s was disabled: %s", webhook.id, why)

    def _take_care(self, held: Held, now: dt.datetime) -> None:
        old = now - notices.KEPT_FOR
        with self._database.write() as session:
            check_fence(session, held)
            gone = select(Notice.id).where(col(Notice.at) < old)
            theirs = select(Delivery.id).where(col(Delivery.notice_id).in_(gone))
            session.exec(delete(Attempt).where(col(Attempt.delivery_id).in_(theirs)))
            session.exec(delete(Delivery).where(col(Delivery.notice_id).in_(gone)))
            session.exec(delete(Notice).where(col(Notice.at) < old))
            session.exec(delete(HookAlert).where(col(HookAlert.seen_at) < old))
        if now >= self._next_reminder:
            with self._database.write() as session:
                check_fence(session, held)
                remind(session, now=now)
            self._next_reminder = now + REMIND_EVERY


def run(
    courier: Courier,
    database: Database,
    holder: str,
    stop: threading.Event,
    *,
    is_gone: Callable[[str], bool],
) -> None:
    """Send until told to stop; then give the lease back."""
    held = None
    while not stop.is_set():
        try:
            held = lease.acquire(
                database, holder, now=dt.datetime.now(dt.UTC), name=LEASE, is_gone=is_gone
            )
            if held is not None:
                courier.round(held)
        except FencedError:
            logger.info("webhooks are another worker's now")
        except Exception:
            logger.exception("webhooks could not be sent; tried again")
        stop.wait(ROUND_SECONDS)
    if held is not None:
        try:
            lease.release(database, held, now=dt.datetime.now(dt.UTC))
        except Exception:
            logger.exception("the lease of webhooks could not be given back")
