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


def test_a_flag_that_will_expire_is_told_of_a_week_before_and_when_it_is_over(post: Any) -> None:
    with post.database.write() as session:
        for key, day in (("soon", "2026-12-20"), ("later", "2027-01-30")):
            draft = {"key": key, "owner": "growth", "expires": f"{day}T00:00:00Z"}
            create_flag(session, "shop", draft, actor=ACTOR, now=post.clock())
    for _ in range(25):
        told = reminders(post)
        post.later(days=1)
    assert told[0].sentence == "soon: it expires in 7 days (owner: growth)."
    said = [each for notice in told for each in notice.facts["flags"] if each["key"] == "soon"]
    assert [each["verdict"] for each in said] == ["expires_soon", "stale"], "and not every day"


def test_the_courier_reminds(post: Any, receiver: Any) -> None:
    post.webhook(receiver.url, kinds=["flag.stale"])
    with post.database.write() as session:
        draft = {"key": "summer", "expires": "2026-12-20T00:00:00Z"}
        create_flag(session, "shop", draft, actor=ACTOR, now=post.clock())
    post.send()
    assert not receiver.requests
    post.later(days=20)
    post.send(3)
    assert len(receiver.requests) == 1
    assert b"summer" in receiver.requests[0][1]
