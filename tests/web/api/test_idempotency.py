"""A POST that is sent twice is done once, and answered the same."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlmodel import select

from web.auth.models import IdempotentResponse

P = "/projects/shop"


def key(text: str = "5f1d1c1e") -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": text}}


@pytest.fixture
def editor(shop: Any) -> Any:
    return shop.caller("editor")


def test_a_repetition_gets_the_first_answer_and_does_nothing(shop: Any, editor: Any) -> None:
    first = editor.post(f"{P}/flags", {"key": "a"}, **key())
    before = shop.written()
    again = editor.post(f"{P}/flags", {"key": "a"}, **key())
    assert first.status_code == again.status_code == 201
    assert again.data == first.data
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.content_type == first.content_type
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert shop.written() == before
    assert editor.post(f"{P}/flags", {"key": "a"}).status_code == 409


def test_a_change_of_flags_can_be_repeated(shop: Any, editor: Any) -> None:
    editor.ok("POST", f"{P}/flags", {"key": "a"})
    on = {"environment": "production", "instructions": [{"do": "turn_on", "flag": "a"}]}
    first = editor.post(f"{P}/changes", on, **key("build-4711"))
    before = shop.written()
    again = editor.post(f"{P}/changes", on, **key("build-4711"))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.data == first.data
    assert again.headers["Idempotency-Replayed"] == "true"
    assert shop.written() == before


def test_a_key_is_for_one_request_only(shop: Any, editor: Any) -> None:
    editor.ok("POST", f"{P}/flags", {"key": "a"}, **key())
    before = shop.written()
    for path, body in [(f"{P}/flags", {"key": "b"}), (f"{P}/changes", {"key": "a"})]:
        response = editor.post(path, body, **key())
        assert response.status_code == 422
        assert response.get_json()["code"] == "idempotency_key_reused"
    assert shop.written() == before


def test_callers_do_not_share_keys(shop: Any, editor: Any) -> None:
    editor.ok("POST", f"{P}/flags", {"key": "a"}, **key())
    other = shop.caller("editor")
    assert other.post(f"{P}/flags", {"key": "b"}, **key()).status_code == 201


def test_a_failed_request_is_forgotten(shop: Any, editor: Any) -> None:
    assert editor.post(f"{P}/flags", {"key": "A?"}, **key()).status_code == 400
    assert editor.post(f"{P}/flags", {"key": "a"}, **key()).status_code == 201


def test_a_day_later_the_key_is_new_again(shop: Any, editor: Any) -> None:
    path = f"{P}/flags/a/environments/production/on"
    editor.ok("POST", f"{P}/flags", {"key": "a"})
    editor.ok("POST", path, {}, **key())
    editor.ok("POST", path.replace("/on", "/off"), {})
    shop.clock.advance(hours=24, seconds=1)
    assert editor.ok("POST", path, {}, **key())["changed"] is True
    with shop.database.read() as session:
        assert len(session.exec(select(IdempotentResponse)).all()) == 1


def test_a_secret_is_neither_kept_nor_shown_twice(shop: Any) -> None:
    admin = shop.caller("admin")
    body = {"name": "ci", "role": "viewer"}
    made = admin.ok("POST", "/tokens", body, **key())
    with shop.database.read() as session:
        (kept,) = session.exec(select(IdempotentResponse)).all()
        assert made["token"] not in str(kept.model_dump())
    again = admin.post("/tokens", body, **key())
    assert again.status_code == 409
    assert "once" in again.get_json()["detail"]
    assert len(admin.ok("GET", "/tokens")["items"]) == 2


def test_requests_with_one_key_at_one_time_are_done_once(shop: Any, editor: Any) -> None:
    start = threading.Barrier(4)

    def send(_: int) -> tuple[int, bytes]:
        start.wait()
        response = editor.post(f"{P}/flags", {"key": "a"}, **key())
        return response.status_code, response.data

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(send, range(4)))
    assert len(answers) == 1
    assert answers.pop()[0] == 201


def test_a_malformed_key_is_refused(shop: Any, editor: Any) -> None:
    for text in ("", " ", "a b", "x" * 256, "\xe9"):
        response = editor.post(f"{P}/flags", {"key": "a"}, **key(text))
        assert response.status_code == 400
        assert response.get_json()["field"] == "Idempotency-Key"
