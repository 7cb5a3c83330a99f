"""The data plane as a client meets it, on both databases, without a server in between."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flags.activity import read as read_activity
from web.auth.ofrep_callers import ofrep_callers
from web.edge.app import Edge
from web.edge.ofrep_routes import BULK
from web.settings import Settings

TODAY = dt.datetime.now(dt.UTC)


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: Edge,
    method: str,
    path: str,
    *,
    key: str | None = None,
    body: bytes = b"",
    parts: list[bytes] | None = None,
    **headers: str,
) -> Reply:
    """Send one request straight into the application."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    chunks = [body] if parts is None else parts
    messages = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(chunks)}
        for number, part in enumerate(chunks)
    ]
    reply = Reply()

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {n.decode(): v.decode() for n, v in message["headers"]}
        else:
            reply.body += message["body"]

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8400),
        "client": ("127.0.0.1", 5000),
        "headers": [(n.encode(), v.encode()) for n, v in sent.items()],
    }
    await app(scope, receive, send)
    return reply


@pytest.fixture
def run(database: Any, database_url: str, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario over a started data plane."""

    def go(scenario: Callable[[Edge], Awaitable[None]], **options: Any) -> None:
        settings = Settings(
            database_url=database_url,
            data_directory=tmp_path / "data",
            **options.pop("settings", {}),
        )

        async def main() -> None:
            edge = Edge(settings, **options)
            await edge.start()
            try:
                await scenario(edge)
            finally:
                await edge.stop()

        asyncio.run(main())

    return go


async def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
def production(control: Any, boolean_flag: Callable[..., Any]) -> int:
    number: int = control.environment()
    control.publish(number, {"checkout": boolean_flag()})
    return number


def test_a_commit_is_served_within_moments(
    run: Callable[..., None], control: Any, production: int, boolean_flag: Callable[..., Any]
) -> None:
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        first = await call(edge, "GET", "/sdk/v1/flagset", key=key)
        assert first.status == 200
        assert first.json()["version"] == 1
        again = await call(
            edge, "GET", "/sdk/v1/flagset", key=key, if_none_match=first.headers["etag"]
        )
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        await asyncio.to_thread(control.publish, production, {"checkout": boolean_flag(on=False)})
        await eventually(lambda: edge.process.state.snapshots[production].version == 2)
        after = await call(
            edge, "GET", "/sdk/v1/flagset", key=key, if_none_match=first.headers["etag"]
        )
        assert after.json()["flags"]["checkout"]["default"] == "off"
        answer = await call(edge, "POST", f"{BULK}/checkout", key=key)
        assert answer.json()["value"] is False

    run(scenario)


def test_with_more_processes_a_304_is_given_only_after_a_look_at_the_database(
    run: Callable[..., None], control: Any, production: int, boolean_flag: Callable[..., Any]
) -> None:
    """Else an SDK that another process told of a revision would keep the old one."""
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        first = await call(edge, "GET", "/sdk/v1/flagset", key=key)
        # This process hears of nothing any more.
        await asyncio.to_thread(edge.process._watcher._stop.set)  # type: ignore[union-attr]
        await asyncio.to_thread(edge.process._watcher._thread.join)  # type: ignore[union-attr]
        control.publish(production, {"checkout": boolean_flag(on=False)})
        assert edge.process.state.snapshots[production].version == 1
        after = await call(
            edge, "GET", "/sdk/v1/flagset", key=key, if_none_match=first.headers["etag"]
        )
        assert (after.status, after.json()["version"]) == (200, 2)

    run(scenario, settings={"workers": 2})


def test_gzip_is_sent_to_those_who_take_it(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        plain = await call(edge, "GET", "/sdk/v1/flagset", key=key)
        for accepted in ("gzip", "br, gzip;q=0.5", "*"):
            packed = await call(edge, "GET", "/sdk/v1/flagset", key=key, accept_encoding=accepted)
            assert packed.headers["content-encoding"] == "gzip"
            assert gzip.decompress(packed.body) == plain.body
        for refused in ("identity", "gzip;q=0", "br"):
            reply = await call(edge, "GET", "/sdk/v1/flagset", key=key, accept_encoding=refused)
            assert "content-encoding" not in reply.headers
        assert plain.headers["vary"] == "accept-encoding"

    run(scenario)


def test_only_a_valid_key_of_the_right_kind_gets_in(
    run: Callable[..., None], control: Any, production: int
) -> None:
    server, client = control.key(production), control.key(production, "cli")
    revoked, person = control.key(production), control.key(production, "usr")
    control.revoke(revoked)
    expired = control.key(production, "srv", TODAY - dt.timedelta(seconds=1))
    gets = ("/sdk/v1/flagset", "/sdk/v1/stream")
    posts = ("/sdk/v1/events", BULK, f"{BULK}/checkout")

    async def scenario(edge: Edge) -> None:
        for method, paths in (("GET", gets), ("POST", posts)):
            for path in paths:
                for key in (None, "", "x", "fs_srv_ü", revoked, expired, person):
                    reply = await call(edge, method, path, key=key)
                    assert reply.status == 401, (path, key)
                    assert reply.headers["content-type"] == "application/problem+json"
                    assert reply.headers["www-authenticate"].startswith("Bearer")
                    assert reply.json()["code"] in ("key_missing", "key_invalid")
        for method, path in (("GET", gets[0]), ("GET", gets[1]), ("POST", posts[0])):
            reply = await call(edge, method, path, key=client)
            assert (reply.status, reply.json()["code"]) == (403, "key_not_allowed")
        for key in (server, client):
            assert (await call(edge, "POST", BULK, key=key)).status == 200
            assert (await call(edge, "POST", BULK, x_api_key=key)).status == 200

    run(scenario)


def test_a_client_key_sees_only_what_is_marked_for_clients(
    run: Callable[..., None], control: Any, production: int, boolean_flag: Callable[..., Any]
) -> None:
    hidden = {**boolean_flag("hidden"), "client": False}
    control.publish(production, {"checkout": boolean_flag(), "hidden": hidden})
    server, client = control.key(production), control.key(production, "cli")

    async def scenario(edge: Edge) -> None:
        for key, expected in ((server, ["checkout", "hidden"]), (client, ["checkout"])):
            bulk = (await call(edge, "POST", BULK, key=key)).json()
            assert [entry["key"] for entry in bulk["flags"]] == expected
        assert (await call(edge, "POST", f"{BULK}/hidden", key=server)).status == 200
        assert (await call(edge, "POST", f"{BULK}/hidden", key=client)).status == 404

    run(scenario)


def test_a_key_stops_working_when_it_is_revoked_and_when_it_expires(
    run: Callable[..., None], control: Any, production: int
) -> None:
    revoked = control.key(production)
    expiring = control.key(production, "srv", TODAY + dt.timedelta(hours=1))
    clock = [time.time()]

    async def scenario(edge: Edge) -> None:
        assert (await call(edge, "GET", "/sdk/v1/flagset", key=revoked)).status == 200
        assert (await call(edge, "GET", "/sdk/v1/flagset", key=expiring)).status == 200
        before = edge.process.state
        await asyncio.to_thread(control.revoke, revoked)
        await eventually(lambda: edge.process.state is not before)
        assert (await call(edge, "GET", "/sdk/v1/flagset", key=revoked)).status == 401
        clock[0] += 3601
        assert (await call(edge, "GET", "/sdk/v1/flagset", key=expiring)).status == 401

    run(scenario, clock=lambda: clock[0])


def test_unknown_addresses_and_methods_are_problems(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production)
    table = [
        ("GET", "/sdk/v1/nope", 404),
        ("GET", "/sdk/v2/flagset", 404),
        ("POST", "/ofrep/v1/configuration", 404),
        ("POST", "/sdk/v1/flagset", 405),
        ("GET", "/sdk/v1/events", 405),
        ("POST", "/sdk/v1/stream", 405),
        ("GET", BULK, 405),
        ("DELETE", f"{BULK}/checkout", 405),
        ("POST", "/healthz", 405),
        ("GET", "/elsewhere", 404),
    ]

    async def scenario(edge: Edge) -> None:
        for method, path, status in table:
            reply = await call(edge, method, path, key=key)
            assert reply.status == status, (method, path)
            assert reply.json()["status"] == status
            assert ("allow" in reply.headers) == (status == 405)

    run(scenario)


def test_flag_keys_may_hold_slashes_and_other_letters(
    run: Callable[..., None], control: Any, production: int, boolean_flag: Callable[..., Any]
) -> None:
    names = ["team/a b", "ü", "a.b", "x/y/z"]
    control.publish(production, {name: boolean_flag(name) for name in names})
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        for name in names:
            reply = await call(edge, "POST", f"{BULK}/{name}", key=key)
            assert (reply.status, reply.json()["key"]) == (200, name)

    run(scenario)


def test_browsers_may_ask_from_anywhere(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production, "cli")

    async def scenario(edge: Edge) -> None:
        for path in (BULK, f"{BULK}/checkout"):
            preflight = await call(edge, "OPTIONS", path, origin="https://shop.example")
            assert (preflight.status, preflight.body) == (204, b"")
            assert preflight.headers["access-control-allow-origin"] == "*"
            allowed = preflight.headers["access-control-allow-headers"]
            assert {name.strip() for name in allowed.split(",")} == {
                "authorization",
                "content-type",
                "if-none-match",
                "x-api-key",
            }
        for reply in (
            await call(edge, "POST", BULK, key=key),
            await call(edge, "POST", BULK, key="wrong"),
            await call(edge, "POST", f"{BULK}/nope", key=key),
        ):
            assert reply.headers["access-control-allow-origin"] == "*"
            exposed = reply.headers["access-control-expose-headers"]
            assert exposed == "ETag, Retry-After"

    run(scenario)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "type": "track",
        "time": time.time(),
        "unit": "u1",
        "name": "purchase",
        "value": 1.5,
        **changes,
    }


def test_events_are_taken_once(run: Callable[..., None], control: Any, production: int) -> None:
    key = control.key(production)
    first, second = event(), event()

    async def scenario(edge: Edge) -> None:
        async def post(*events: Any, **headers: str) -> Any:
            body = json.dumps({"events": events}).encode()
            if headers.get("content_encoding") == "gzip":
                body = gzip.compress(body)
            reply = await call(edge, "POST", "/sdk/v1/events", key=key, body=body, **headers)
            assert reply.status == 200, reply.body
            return reply.json()

        assert await post(first) == {"accepted": 1, "duplicates": 0}
        assert await post(first, second) == {"accepted": 1, "duplicates": 1}
        assert await post(first, second, content_encoding="gzip") == {
            "accepted": 0,
            "duplicates": 2,
        }
        assert await post() == {"accepted": 0, "duplicates": 0}

    run(scenario)


def test_a_body_past_the_limit_is_413_even_without_a_length(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        for path in (BULK, f"{BULK}/checkout", "/sdk/v1/events"):
            declared = await call(edge, "POST", path, key=key, content_length=str((1 << 20) + 1))
            assert declared.status == 413
            pieces = [b" " * 100_000] * 11
            streamed = await call(edge, "POST", path, key=key, parts=pieces)
            assert (streamed.status, streamed.json()["code"]) == (413, "body_too_large")
            assert (await call(edge, "POST", BULK, key=key, parts=[b"{", b"}"])).status == 200

    run(scenario)


def test_a_wrong_content_type_is_named(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        reply = await call(edge, "POST", BULK, key=key, body=b"{}", content_type="text/html")
        assert (reply.status, reply.json()["field"]) == (400, "Content-Type")

    run(scenario)


def test_ready_says_what_is_missing(
    run: Callable[..., None], control: Any, production: int, tmp_path: Path
) -> None:
    async def scenario(edge: Edge) -> None:
        assert (await call(edge, "GET", "/healthz")).status == 200
        reply = await call(edge, "GET", "/readyz")
        assert (reply.status, reply.json()) == (200, {"status": "ready", "reasons": []})
        await asyncio.to_thread(control.publish, production, b"broken")
        reply = await call(edge, "GET", "/readyz")
        assert reply.status == 503
        assert "shop/production revision 2" in reply.json()["reasons"][0]
        metrics = (await call(edge, "GET", "/metrics")).body.decode()
        assert "flagstone_flag_sets_failed 1.0" in metrics

    run(scenario)


def test_ready_is_503_without_an_inbox(
    run: Callable[..., None], control: Any, production: int, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "events").write_text("a file where the folder should be")
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        reply = await call(edge, "GET", "/readyz")
        assert reply.status == 503
        assert reply.json()["reasons"][0].startswith("event inbox")
        body = json.dumps({"events": [event()]}).encode()
        refused = await call(edge, "POST", "/sdk/v1/events", key=key, body=body)
        assert refused.status == 503
        assert refused.headers["retry-after"].isdigit()
        assert (await call(edge, "POST", BULK, key=key)).status == 200

    run(scenario)


def test_metrics_count_answers_by_route_and_status(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        for _ in range(3):
            await call(edge, "POST", BULK, key=key)
        await call(edge, "POST", BULK)
        reply = await call(edge, "GET", "/metrics")
        text = reply.body.decode()
        assert reply.headers["content-type"].startswith("text/plain")
        assert 'flagstone_http_answers_total{route="ofrep_bulk",status="200"} 3.0' in text
        assert 'flagstone_http_answers_total{route="ofrep_bulk",status="401"} 1.0' in text
        assert 'flagstone_flag_set_version{flag_set="shop/production"} 1.0' in text
        assert "flagstone_database_up 1.0" in text

    run(scenario)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_answered(
    run: Callable[..., None], control: Any, production: int
) -> None:
    key = control.key(production)

    async def scenario(edge: Edge) -> None:
        messages = [
            {"type": "http.request", "body": b'{"context":', "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {key}".encode())]
        scope = {"type": "http", "method": "POST", "path": BULK, "headers": headers}
        await edge(scope, receive, send)
        assert sent == []

    run(scenario)


def test_a_key_that_asks_over_ofrep_is_known_and_one_of_an_sdk_is_no_such_caller(
    run: Callable[..., None], control: Any, boolean_flag: Callable[..., Any]
) -> None:
    here = control.environment()
    control.publish(here, {"checkout": boolean_flag()})
    sdk, page, both = control.key(here), control.key(here, "cli"), control.key(here)

    async def scenario(edge: Edge) -> None:
        for key in (sdk, both):
            assert (await call(edge, "GET", "/sdk/v1/flagset", key=key)).status == 200
        assert (await call(edge, "GET", "/sdk/v1/flagset", key=page)).status == 403
        await asyncio.to_thread(edge.process.key_uses.write)
        with control.database.read() as session:
            assert ofrep_callers(session, here, now=dt.datetime.now(dt.UTC)) == []
        for key in (page, both, page):
            assert (await call(edge, "POST", BULK, key=key)).status == 200
        await asyncio.to_thread(edge.process.key_uses.write)

    run(scenario)
    now = dt.datetime.now(dt.UTC)
    with control.database.read() as session:
        found = ofrep_callers(session, here, now=now)
        assert sorted(each.kind for each in found) == ["cli", "srv"]
        assert [each.seen_at for each in found] == sorted(
            (each.seen_at for each in found), reverse=True
        )
        assert ofrep_callers(session, here, now=now + dt.timedelta(days=1)) == []
        assert ofrep_callers(session, here + 1, now=now) == []


def test_flags_that_are_asked_for_over_http_are_noted_and_no_others(
    run: Callable[..., None], control: Any, boolean_flag: Callable[..., Any]
) -> None:
    here = control.environment()
    control.publish(here, {"checkout": boolean_flag(), "other": boolean_flag("other")})
    key = control.key(here)

    async def scenario(edge: Edge) -> None:
        waiting = edge.process.evaluations._waiting
        answer = await call(edge, "POST", f"{BULK}/checkout", key=key)
        assert answer.status == 200
        assert (await call(edge, "POST", f"{BULK}/nothing", key=key)).status == 404
        assert (await call(edge, "POST", f"{BULK}/checkout")).status == 401
        noted = {**waiting, **edge.process.evaluations._waiting}
        assert set(noted) <= {(here, "checkout")}
        assert (await call(edge, "POST", BULK, key=key)).status == 200
        await asyncio.to_thread(edge.process.evaluations.write)

    run(scenario)
    now = dt.datetime.now(dt.UTC)
    with control.database.read() as session:
        assert set(read_activity(session, here, ["checkout", "other", "nothing"], now=now)) == {
            "checkout",
            "other",
        }
