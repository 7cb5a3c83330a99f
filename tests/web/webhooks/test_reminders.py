"""Flags that have had their time are named once, to whoever listens, and not every day."""

from __future__ import annotations

from typing import Any

from sqlmodel import select

from flags.models import Notice
from flags.services import create_flag
from tests.web.managed import ACTOR
from web.webhooks.reminders import remind


def reminders(post: Any) -> list[Notice]:
    with post.database.write() as session:
        remind(session, now=post.clock())
    with post.database.read() as session:
        query = select(Notice).where(Notice.kind == "flag.stale")
        return list(session.exec(query.order_by(Notice.id)))


def test_what_has_had_its_time_is_told_once_a_month_and_together(post: Any) -> None:
    assert reminders(post) == []
    with post.database.write() as session:
        for key in ("summer", "winter"):
            draft = {"key": key, "expires": "2026-12-24T00:00:00Z"}
            create_flag(session, "shop", draft, actor=ACTOR, now=post.clock())
    post.later(days=25)
    (told,) = reminders(post)
    assert told.sentence == "2 flags have had their time: summer, winter."
    assert {each["verdict"] for each in told.facts["flags"]} <= {"expired", "stale"}
    post.later(days=2)
    assert len(reminders(post)) == 1
    post.later(days=31)
    assert len(reminders(post)) == 2


def test_the_courier_reminds(post: Any, receiver: Any) -> None:
    post.webhook(receiver.url, kinds=["flag.stale"])
    with post.database.write() as session:
        draft = {"key": "summer", "expires": "2026-12-02T00:00:00Z"}
        create_flag(session, "shop", draft, actor=ACTOR, now=post.clock())
    post.send()
    assert not receiver.requests
    post.later(days=2)
    post.send(3)
    assert len(receiver.requests) == 1
    assert b"summer" in receiver.requests[0][1]
