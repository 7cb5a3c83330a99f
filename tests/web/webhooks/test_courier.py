"""Notices reach their receivers: signed, at least once, in plain words, for as long as agreed."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import threading
from typing import Any

import pytest
from sqlmodel import select

from flags.models import Notice
from web.webhooks import courier, services, signing
from web.webhooks.models import Attempt, Delivery

KILL = {"do": "kill"}
ON = {"do": "turn_on"}


def test_a_change_is_told_in_plain_words(post: Any, receiver: Any) -> None:
    post.webhook(receiver.url, kinds=["flag"], environments=["production"])
    post.later(minutes=1)
    post.change(ON, comment="the launch")
    post.change(ON, env="staging")
    post.send(2)
    ((headers, body, path),) = receiver.requests
    told = json.loads(body)
    assert path == "/in?key=k"
    assert headers["content-type"] == "application/json"
    assert (told["type"], told["timestamp"]) == ("flag.changed", "2026-12-01T09:01:01Z")
    data = told["data"]
    assert data["id"] == headers["webhook-id"]
    assert (data["project"], data["environment"]) == ("shop", "production")
    assert (data["actor"], data["reason"]) == ("user:ada@example.org", "the launch")
    assert data["sentence"] == (
        "ada@example.org turned on checkout in production. In production, everyone gets on."
    )
    (flag,) = data["flags"]
    assert flag["before"] == "In production, the flag is off: everyone gets off."
    assert flag["after"] == "In production, everyone gets on."
    assert flag["fields"] == {"enabled": {"before": False, "after": True}}
    assert data["link"] == (
        "https://flags.example.com/projects/shop/environments/production/flags/checkout"
    )
    assert told["text"] == f"{data['sentence']}\nWhy: the launch\n{data['link']}"


def test_slack_gets_nothing_but_a_text_in_which_nobody_can_call_a_channel(
    post: Any, receiver: Any
) -> None:
    post.webhook(receiver.url, form="slack", kinds=["flag.killed"])
    post.change(ON)
    post.change(KILL, comment="<!channel> & so on")
    post.send(2)
    ((_, body, _),) = receiver.requests
    told = json.loads(body)
    assert set(told) == {"text"}
    assert "killed checkout in production" in told["text"]
    assert "&lt;!channel&gt; &amp; so on" in told["text"]


def test_the_signature_is_the_published_one(post: Any, receiver: Any) -> None:
    secret, _ = post.webhook(receiver.url)
    post.change(ON)
    post.send()
    headers, body, _ = receiver.requests[0]
    # As the specification says it, and not as we have written it.
    key = base64.b64decode(secret[len("whsec_") :])
    signed = b".".join(
        (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
    )
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-timestamp"] == str(int(post.clock().timestamp()))
    # The example that the specification's libraries are tested with.
    assert (
        signing.signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_new_secret_and_the_old_one_sign_together_until_the_overlap_is_over(
    post: Any, receiver: Any
) -> None:
    old, number = post.webhook(receiver.url)
    with post.database.write() as session:
        new, _ = services.rotate_secret(session, "shop", number, actor=_ada(), now=post.clock())

    def good(headers: dict[str, str], body: bytes) -> list[str]:
        stamp = int(headers["webhook-timestamp"])
        said = headers["webhook-signature"].split(" ")
        names = {"old": old, "new": new}
        made = {
            signing.signature(each, headers["webhook-id"], stamp, body): name
            for name, each in names.items()
        }
        return [made[each] for each in said]

    post.change(ON)
    post.send(2)
    assert good(*receiver.requests[-1][:2]) == ["new", "old"]
    post.later(hours=25)
    post.change(KILL)
    post.send(2)
    assert good(*receiver.requests[-1][:2]) == ["new"]


def test_what_fails_is_sent_again_later_and_later_under_the_same_id(
    post: Any, receiver: Any
) -> None:
    _, number = post.webhook(receiver.url, kinds=["flag.killed"])
    receiver.answers = [(500, {}, b"no"), (503, {"Retry-After": "600"}, b""), (200, {}, b"yes")]
    post.change(KILL)
    post.send(3)
    assert len(receiver.requests) == 1
    post.later(seconds=13)
    post.send(2)
    assert len(receiver.requests) == 2
    post.later(seconds=590)
    post.send()
    assert len(receiver.requests) == 2
    post.later(seconds=11)
    post.send(2)
    assert len({headers["webhook-id"] for headers, _, _ in receiver.requests}) == 1
    assert len({headers["webhook-timestamp"] for headers, _, _ in receiver.requests}) == 3
    (entry,) = post.log(number)
    assert (entry.delivery.state, entry.delivery.attempts) == ("delivered", 3)
    assert [(each.status, each.answer) for each in entry.attempts] == [
        (200, "yes"),
        (503, ""),
        (500, "no"),
    ]
    post.later(days=1)
    post.send()
    assert len(receiver.requests) == 3


def test_after_ten_attempts_it_is_given_up_and_can_be_replayed(post: Any, receiver: Any) -> None:
    _, number = post.webhook(receiver.url, kinds=["flag.killed"])
    receiver.answers = [(500, {}, b"")]
    began = post.clock()
    post.change(KILL)
    for _ in range(12):
        post.send()
        (entry,) = post.log(number)
        if entry.delivery.state != "waiting":
            break
        post.clock.now = entry.delivery.next_at
    assert (entry.delivery.state, entry.delivery.attempts) == ("given_up", 10)
    assert len(receiver.requests) == 10
    assert dt.timedelta(hours=31) < post.clock() - began < dt.timedelta(hours=47)
    receiver.answers = [(200, {}, b"")]
    with post.database.write() as session:
        services.replay_delivery(session, "shop", number, entry.delivery.id or 0, now=post.clock())
    post.send()
    (entry,) = post.log(number)
    assert (entry.delivery.state, len(entry.attempts)) == ("delivered", 11)
    assert len({headers["webhook-id"] for headers, _, _ in receiver.requests}) == 1


def test_everything_since_a_time_is_sent_again(post: Any, receiver: Any) -> None:
    post.change(ON)  # before there is a webhook
    post.later(minutes=10)
    _, number = post.webhook(receiver.url, kinds=["flag"])
    post.later(minutes=10)
    post.change(KILL)
    post.send(2)
    first = receiver.requests[0][0]["webhook-id"]

    def replay(minutes: float, *, only_failed: bool = False) -> int:
        since = post.clock() - dt.timedelta(minutes=minutes)
        with post.database.write() as session:
            return services.replay_since(
                session, "shop", number, since, only_failed=only_failed, now=post.clock()
            )

    assert replay(5, only_failed=True) == 0
    assert replay(5) == 1
    assert replay(5) == 0  # it still waits
    assert replay(30, only_failed=True) == 2  # the change before, and the flag itself
    post.send(4)
    ids = [headers["webhook-id"] for headers, _, _ in receiver.requests]
    assert ids.count(first) == 2
    assert len(ids) == 4
    assert len(set(ids)) == 3


def test_days_of_failure_disable_a_webhook_and_the_others_are_told(
    post: Any, receiver: Any
) -> None:
    _, number = post.webhook("http://127.0.0.1:1/nobody", kinds=["flag"])
    post.webhook(receiver.url, kinds=["webhook"])
    for _ in range(5):
        post.change(KILL)
        post.send(2)
        post.change({"do": "unkill"})
        post.send(2)
        assert not receiver.requests
        post.later(hours=17)
    post.send(2)
    webhook = post.read(number)
    assert not webhook.enabled
    assert webhook.disabled_because == "every attempt of 3 days failed"
    assert {each.delivery.state for each in post.log(number)} == {"given_up"}
    (told,) = [json.loads(body) for _, body, _ in receiver.requests]
    assert told["type"] == "webhook.disabled"
    assert "ours was disabled" in told["text"]
    post.change(KILL)
    post.send(2)
    assert {each.delivery.state for each in post.log(number)} == {"given_up"}
    with post.database.write() as session:
        services.update_webhook(
            session, "shop", number, {"enabled": True}, actor=_ada(), now=post.clock()
        )
    assert post.read(number).disabled_because == ""


def test_a_receiver_that_is_gone_is_asked_no_more(post: Any, receiver: Any) -> None:
    _, number = post.webhook(receiver.url)
    receiver.answers = [(410, {}, b"")]
    post.change(ON)
    post.send()
    assert not post.read(number).enabled


def test_a_slow_receiver_holds_up_nobody_else(post: Any, receiver: Any, wait_until: Any) -> None:
    let_go = threading.Event()
    receiver.before = lambda: (let_go.wait(100), None)[1]
    post.webhook(receiver.url)
    post.change(ON)
    held = post.held()
    assert post.courier.round(held) == 1
    wait_until(lambda: receiver.requests)
    other = type(receiver)()
    _, number = post.webhook(other.url)
    post.change(KILL)
    # The slow one has a second message waiting, and gets it only after the first.
    assert post.courier.round(held) == 1
    wait_until(lambda: other.requests)
    assert len(receiver.requests) == 1
    let_go.set()
    post.courier.wait(100)
    assert post.log(number)[0].delivery.state == "delivered"
    other.server.shutdown()
    other.server.server_close()


def test_a_worker_that_lost_its_lease_marks_nothing(post: Any, receiver: Any) -> None:
    _, number = post.webhook(receiver.url)
    post.change(ON)
    held = post.held("sleepy")
    post.later(minutes=1)
    post.held("other")
    with pytest.raises(courier.FencedError):
        post.courier.round(held)
    assert not receiver.requests
    assert post.log(number) == []
    post.later(minutes=1)
    post.send()
    assert [each.delivery.state for each in post.log(number)].count("delivered") == 1


def test_old_notices_go_with_their_log(post: Any, receiver: Any) -> None:
    post.webhook(receiver.url)
    post.change(ON)
    post.send(3)
    post.later(days=91)
    post.send()
    with post.database.read() as session:
        # What is told that day is young; nothing of it was sent yet.
        young = [each.kind for each in session.exec(select(Notice))]
        assert set(young) <= {"flag.stale"}
        assert session.exec(select(Attempt)).all() == []
        assert session.exec(select(Delivery)).all() == []


def test_a_change_that_is_undone_tells_nobody(post: Any) -> None:
    def notices() -> int:
        with post.database.read() as session:
            return len(session.exec(select(Notice)).all())

    before = notices()
    with pytest.raises(RuntimeError):
        _change_and_fail(post)
    assert notices() == before


def _change_and_fail(post: Any) -> None:
    from flags.changes import apply_change, parse_change

    change = parse_change({"flag": "checkout", "instructions": [KILL]})
    with post.database.write() as session:
        apply_change(session, "shop", "production", change, actor=_ada(), now=post.clock())
        message = "the power went"
        raise RuntimeError(message)


def _ada() -> Any:
    from flags.actor import Actor

    return Actor("user", "ada@example.org")
