"""OFREP's event streams: who may listen, at which address, and when an event is sent."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.edge import event_streams as es
from web.edge.ofrep import Streams, evaluate_all
from web.edge.problems import Answer
from web.edge.state import Key, Snapshot, hash_secret

NOW = 1_800_000_000.0
SERVER, CLIENT = Key("srv", 1), Key("cli", 1)
HASH = hash_secret("fs_cli_a")
OTHER = hash_secret("fs_cli_b")


def token_of(member: bytes) -> str:
    (entry,) = json.loads(member)
    target = entry.get("url") or entry["endpoint"]["requestUri"]
    return re.search(r"[?&]token=([^&]+)", target).group(1)  # type: ignore[union-attr]


def token(key_hash: str = HASH, key: Key = CLIENT, now: float = NOW) -> str:
    return token_of(es.event_streams(key_hash, key, None, "m", now))


KEYS = MappingProxyType({HASH: CLIENT, OTHER: CLIENT})


def test_a_token_leads_to_its_key_in_any_process_until_it_expires() -> None:
    made = token()
    until = es.good_until(es.period(NOW))
    assert 3600 < until - NOW <= 7200
    assert es.Tickets().find(made, KEYS, NOW) == HASH
    assert es.Tickets().find(made, KEYS, until - 1) == HASH
    assert es.Tickets().find(made, KEYS, until) is None


def test_a_token_ends_with_its_key_and_leads_to_no_other_environment() -> None:
    made, tickets = token(), es.Tickets()
    assert tickets.find(made, KEYS, NOW) == HASH
    assert tickets.find(made, MappingProxyType({OTHER: CLIENT}), NOW) is None
    moved = MappingProxyType({HASH: Key("cli", 2)})
    assert tickets.find(made, moved, NOW) is None


def test_a_token_gives_neither_the_key_nor_its_hash_away() -> None:
    made = token()
    assert HASH[:8] not in made
    assert "fs_cli" not in made
    assert token(OTHER) != made


@given(st.integers(0, 200), st.characters(codec="utf-8"))
def test_a_changed_token_is_refused(position: int, character: str) -> None:
    made = token()
    position %= len(made)
    changed = made[:position] + character + made[position + 1 :]
    expected = HASH if changed == made else None
    assert es.Tickets().find(changed, KEYS, NOW) == expected


@given(st.text(max_size=80))
def test_no_text_is_too_odd_for_a_token(text: str) -> None:
    name = token().partition(".")[0]
    tickets = es.Tickets()
    for odd in (text, f"{name}.{text}", f"{name}.{text}.{text}", f"{name}." + "1" * 5000 + ".x"):
        assert tickets.find(odd, KEYS, NOW) is None


def test_one_key_has_one_address_for_an_hour_so_that_clients_keep_their_stream_open() -> None:
    start = es.period(NOW) * 3600.0
    addresses = {token(now=start + minute * 60) for minute in range(60)}
    assert len(addresses) == 1
    assert token(now=start + 3600) not in addresses


@pytest.mark.parametrize(
    ("public", "scheme", "host", "origin", "expected"),
    [
        ("", "http", b"127.0.0.1:8400", None, "http://127.0.0.1:8400"),
        ("", "https", b"flags.example", None, "https://flags.example"),
        ("", "http", b"[::1]:8400", None, "http://[::1]:8400"),
        # A proxy ended TLS and nobody said so; the page's own origin does.
        ("", "http", b"flags.example", b"https://shop.example", "https://flags.example"),
        ("", "http", b"flags.example", b"http://shop.example", "http://flags.example"),
        ("", "http", b"flags.example", b"null", "http://flags.example"),
        # From such a page a browser may ask this machine without TLS.
        ("", "http", b"localhost:8400", b"https://shop.example", "http://localhost:8400"),
        ("", "http", b"a.localhost", b"https://shop.example", "http://a.localhost"),
        ("", "http", b"[::1]", b"https://shop.example", "http://[::1]"),
        ("https://flags.example/x/", "http", b"inner", None, "https://flags.example/x"),
        ("", "http", None, None, None),
        ("", "http", b"", None, None),
        ("", "http", b"evil/path", None, None),
        ("", "http", b"user@host", None, None),
        ("", "http", b'a"b', None, None),
        ("", "http", b"a" * 300, None, None),
        ("", "http", "ü".encode(), None, None),
    ],
)
def test_the_address_is_the_one_that_browsers_use(
    public: str, scheme: str, host: bytes | None, origin: bytes | None, expected: str | None
) -> None:
    assert es.base_url(public, scheme, host, origin) == expected


def test_without_a_known_address_the_client_completes_it_with_its_own() -> None:
    (entry,) = json.loads(es.event_streams(HASH, CLIENT, None, "m", NOW))
    assert entry["endpoint"]["requestUri"].startswith(es.PATH + "?token=")
    assert entry.keys() == {"type", "endpoint", "inactivityDelaySec"}
    (entry,) = json.loads(es.event_streams(HASH, CLIENT, "https://x", "m", NOW))
    assert entry["url"].startswith(f"https://x{es.PATH}?token=")
    assert entry.keys() == {"type", "url", "inactivityDelaySec"}
    assert (entry["type"], entry["inactivityDelaySec"]) == ("sse", 120)


def test_reading_the_token_takes_it_out_of_the_request() -> None:
    scope: dict[str, object] = {"query_string": b"token=a.b.c&seen=m-1&x=1"}
    assert es.take_query(scope) == ("a.b.c", "m-1")
    assert scope["query_string"] == b""
    for query in (b"", b"token", b"&" * 5000, b"token=%ff%00", b"seen=1"):
        scope["query_string"] = query
        es.take_query(scope)
        assert scope["query_string"] == b""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"flagConfigEtag=abc-1", "abc-1"),
        (b"flagConfigLastModified=1&flagConfigEtag=a%20b", "a b"),
        (b"flagConfigEtag=", None),
        (b"x=1", None),
        (b"", None),
        (b"&" * 100 + b"flagConfigEtag=a", None),
    ],
)
def test_the_event_s_etag_is_read_from_the_query(query: bytes, expected: str | None) -> None:
    assert es.config_etag(query) == expected


# -- the ETag of bulk answers ----------------------------------------------------------------------


def flag(key: str, *, value: Any = "x", client: bool = True, **changes: Any) -> dict[str, Any]:
    return {
        "key": key,
        "type": "string",
        "version": 1,
        "client": client,
        "variants": {"v": {"value": value}},
        "enabled": True,
        "killed": False,
        "off": None,
        "prerequisites": [],
        "targets": [],
        "rules": [],
        "default": "v",
        "metadata": {},
        **changes,
    }


def bulk(snapshot: Snapshot, now: float = NOW, etag: bytes | None = None) -> Answer:
    streams = Streams(es.event_streams(HASH, CLIENT, "https://x", "m", now), es.period(now))
    return evaluate_all(
        snapshot, b"", client_only=True, now=now, if_none_match=etag, streams=streams
    )


def test_an_equal_answer_is_304_as_long_as_its_stream_s_address_is_good(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    """Else a client with an expired address would be told "nothing new" for ever."""
    snapshot = make_snapshot_of({"f": flag("f")})
    first = bulk(snapshot)
    etag = dict(first.headers)[b"etag"]
    until = es.good_until(es.period(NOW))
    for now in (NOW, NOW + 3600, until - 1):
        again = bulk(snapshot, now, etag)
        assert (again.status, again.body) == (304, b"")
        assert dict(again.headers)[b"etag"] == etag
    late = bulk(snapshot, until, etag)
    assert late.status == 200
    assert token_of(json.dumps(json.loads(late.body)["eventStreams"]).encode()) == token(now=until)
    assert bulk(snapshot, until, dict(late.headers)[b"etag"]).status == 304


def test_a_revision_that_changes_no_answer_changes_no_etag(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    before = make_snapshot_of({"f": flag("f")}, version=7, etag="e7")
    hidden = make_snapshot_of({"f": flag("f"), "g": flag("g", client=False)}, version=8, etag="e8")
    etag = dict(bulk(before).headers)[b"etag"]
    assert bulk(hidden, NOW, etag).status == 304
    changed = make_snapshot_of({"f": flag("f", value="y")}, version=9, etag="e9")
    assert bulk(changed, NOW, etag).status == 200


@pytest.mark.parametrize("header", [b'"', b'""', b"x", b'W/"-1"', b'"' + b"0" * 32 + b'-zz"'])
def test_an_etag_of_somebody_else_gets_a_whole_answer(
    make_snapshot_of: Callable[..., Snapshot], header: bytes
) -> None:
    assert bulk(make_snapshot_of({"f": flag("f")}), NOW, header).status == 200


def test_lists_stars_and_strong_etags_are_understood(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    snapshot = make_snapshot_of({"f": flag("f")})
    etag = dict(bulk(snapshot).headers)[b"etag"]
    for header in (b"*", b'"y", ' + etag, etag.removeprefix(b"W/")):
        assert bulk(snapshot, NOW, header).status == 304


# -- what concerns a key ---------------------------------------------------------------------------


def etags(snapshot: Snapshot, now: float = NOW) -> tuple[str, str]:
    return snapshot.visible_to(SERVER).mark(now), snapshot.visible_to(CLIENT).mark(now)


def rule(when: Any, **changes: Any) -> dict[str, Any]:
    return {"id": "r", "when": when, "serve": "v", **changes}


@pytest.mark.parametrize(
    ("before", "after", "concerns_clients"),
    [
        ({}, {"h": flag("h", client=False)}, False),
        ({}, {"f": flag("f", value="y")}, True),
        ({}, {"f": flag("f", client=False)}, True),
        (
            {"f": flag("f", prerequisites=[{"flag": "h", "variants": ["v"]}])},
            {"h": flag("h", client=False, value="y")},
            True,
        ),
        (
            {"f": flag("f", rules=[rule({"not": {"flag": "h", "on": True}})])},
            {"h": flag("h", client=False, value="y")},
            True,
        ),
    ],
)
def test_a_client_key_is_told_of_what_its_flags_depend_on_and_of_nothing_else(
    make_snapshot_of: Callable[..., Snapshot],
    before: dict[str, Any],
    after: dict[str, Any],
    concerns_clients: bool,
) -> None:
    base = {"f": flag("f"), "h": flag("h", client=False, value="z")}
    first = etags(make_snapshot_of({**base, **before}, etag="e7"))
    second = etags(make_snapshot_of({**base, **before, **after}, version=8, etag="e8"))
    assert first[0] != second[0]
    assert (first[1] != second[1]) is concerns_clients


def test_a_segment_concerns_clients_if_a_flag_of_theirs_asks_for_it() -> None:
    from web.edge.state import make_snapshot

    def mark(segment: str, value: str) -> str:
        document = {
            "schema": 1,
            "environment": "production",
            "version": 1,
            "flags": {
                "f": flag("f", rules=[rule({"segment": "outer"})]),
                "h": flag("h", client=False, rules=[rule({"segment": "other"})]),
            },
            "segments": {
                "outer": {"any": [{"segment": "inner"}]},
                "inner": {"attr": "a", "op": "in", "values": ["1"]},
                "other": {"attr": "a", "op": "in", "values": ["1"]},
            },
        }
        document["segments"][segment]["values"] = [value]  # type: ignore[index]
        snapshot = make_snapshot(
            environment_id=1,
            flag_set_id="shop/production",
            version=1,
            etag="e",
            body=json.dumps(document).encode(),
        )
        return snapshot.visible_to(CLIENT).mark(NOW)

    assert mark("inner", "1") != mark("inner", "2")
    assert mark("other", "1") == mark("other", "2")


def test_the_beginning_and_the_end_of_a_schedule_are_news_too(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    scheduled = flag(
        "f", rules=[rule(True, start="2027-01-15T09:00:00Z", end="2027-01-15T10:00:00Z")]
    )
    hidden = flag("h", client=False, rules=[rule(True, start="2027-01-15T11:00:00Z")])
    snapshot = make_snapshot_of({"f": scheduled, "h": hidden})
    start = 1_800_003_600.0
    client = [etags(snapshot, start + hours * 3600)[1] for hours in (-0.1, 0, 0.9, 1, 3)]
    assert client[0] != client[1] == client[2] != client[3] == client[4]
    assert etags(snapshot, start + 3600)[0] != etags(snapshot, start + 2 * 3600)[0]
    event = es.announcement(snapshot, CLIENT, start + 5).frame.decode()
    assert json.loads(event.partition("data: ")[2])["lastModified"] == start


# -- over ASGI -------------------------------------------------------------------------------------


class Listener:
    """One open stream: what came, and whether it ended."""

    def __init__(self, app: Any, target: str, method: str = "GET", **headers: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.received = b""
        self.ended = False
        self._gone = asyncio.Event()
        path, _, query = target.partition("?")
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 8400),
            "client": ("127.0.0.1", 5000),
            "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()],
        }
        self.task = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    async def _receive(self) -> Any:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {n.decode(): v.decode() for n, v in message["headers"]}
        else:
            self.received += message["body"]
            self.ended = not message.get("more_body", False)

    @property
    def events(self) -> list[dict[str, Any]]:
        found = []
        for block in self.received.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                assert fields["event"] == "message"
                found.append({"id": fields["id"], **json.loads(fields["data"])})
        return found

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self.task, 20)


async def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Scene:
    """A started data plane with two client flags' worth of environment."""

    def __init__(self, edge: Any, control: Any, environment: int) -> None:
        self.edge = edge
        self.control = control
        self.environment = environment

    async def ask(self, key: str, path: str = "/ofrep/v1/evaluate/flags", **headers: str) -> Any:
        """Send one evaluation request."""
        target = Listener(self.edge, path, "POST", authorization=f"Bearer {key}", **headers)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        target.task.cancel()
        await self.edge(target.scope, receive, target._send)
        return target

    async def address(self, key: str) -> str:
        document = json.loads((await self.ask(key)).received)
        (entry,) = document["eventStreams"]
        return str(entry["endpoint"]["requestUri"])

    async def publish(self, flags: dict[str, Any]) -> None:
        before = self.edge.process.state
        await asyncio.to_thread(self.control.publish, self.environment, flags)
        await eventually(lambda: self.edge.process.state is not before)


@pytest.fixture
def scene(database: Any, database_url: str, control: Any, tmp_path: Any) -> Callable[..., None]:
    """Run a scenario over a started data plane."""
    from web.edge.app import Edge
    from web.settings import Settings

    def go(scenario: Callable[[Scene], Any], *, workers: int = 1, **options: Any) -> None:
        settings = Settings(
            database_url=database_url,
            data_directory=tmp_path / "data",
            workers=workers,
            **options.pop("settings", {}),
        )
        environment = control.environment()
        control.publish(environment, {"f": flag("f")})

        async def main() -> None:
            edge = Edge(settings, **options)
            await edge.start()
            try:
                await scenario(Scene(edge, control, environment))
            finally:
                await edge.stop()

        asyncio.run(main())

    return go


def test_a_listener_hears_of_what_concerns_it_and_can_be_read_by_any_page(
    scene: Callable[..., None],
) -> None:
    async def scenario(s: Scene) -> None:
        client, server = s.control.key(s.environment, "cli"), s.control.key(s.environment)
        await eventually(lambda: hash_secret(server) in s.edge.process.state.keys)
        page = Listener(s.edge, await s.address(client), origin="https://shop.example")
        backend = Listener(s.edge, await s.address(server))
        await eventually(lambda: s.edge.process.changes.waiting(s.environment) == 2)
        assert page.status == 200
        assert page.headers["content-type"] == "text/event-stream"
        assert page.headers["access-control-allow-origin"] == "*"
        assert page.headers["cache-control"] == "no-store"
        assert page.events == backend.events == []
        await s.publish({"f": flag("f"), "hidden": flag("hidden", client=False)})
        await eventually(lambda: len(backend.events) == 1)
        assert page.events == []
        await s.publish({"f": flag("f", value="y")})
        await eventually(lambda: len(backend.events) == 2 and len(page.events) == 1)
        event = page.events[0]
        assert event["type"] == "refetchEvaluation"
        assert event["etag"] == event["id"]
        assert event["lastModified"] == 1_767_225_600
        await page.leave()
        await backend.leave()

    scene(scenario)


def test_a_configured_address_is_given_out(scene: Callable[..., None]) -> None:
    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        reply = await s.ask(key, host="inner:8400")
        (stream,) = json.loads(reply.received)["eventStreams"]
        assert stream["url"].startswith(f"https://flags.example/inside{es.PATH}?token=")

    scene(scenario, settings={"public_url": "https://flags.example/inside/"})


def test_a_client_that_missed_a_change_is_told_at_once(scene: Callable[..., None]) -> None:
    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        address = await s.address(key)
        await s.publish({"f": flag("f", value="y")})
        # Between the answer and the opening of the stream …
        first = Listener(s.edge, address)
        await eventually(lambda: len(first.events) == 1)
        await first.leave()
        # … and while the connection was lost; the event's id counts, not the address.
        known = first.events[0]["id"]
        again = Listener(s.edge, address, last_event_id=known)
        await eventually(lambda: s.edge.process.changes.waiting(s.environment) == 1)
        assert again.events == []
        await again.leave()
        await s.publish({"f": flag("f", value="z")})
        late = Listener(s.edge, address, last_event_id=known)
        await eventually(lambda: len(late.events) == 1)
        await late.leave()

    scene(scenario)


def test_a_stream_ends_with_its_key_and_does_not_open_again(scene: Callable[..., None]) -> None:
    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        address = await s.address(key)
        page = Listener(s.edge, address)
        await eventually(lambda: s.edge.process.changes.waiting(s.environment) == 1)
        await asyncio.to_thread(s.control.revoke, key)
        await eventually(lambda: page.ended)
        await asyncio.wait_for(page.task, 20)
        again = Listener(s.edge, address)
        await asyncio.wait_for(again.task, 20)
        assert again.status == 401

    scene(scenario)


def test_an_address_that_is_too_old_or_forged_is_refused_so_that_a_page_can_read_why(
    scene: Callable[..., None],
) -> None:
    clock = [NOW]

    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        address = await s.address(key)
        clock[0] = es.good_until(es.period(NOW))
        for target in (address, es.PATH, es.PATH + "?token=", es.PATH + "?token=a.1.b"):
            refused = Listener(s.edge, target)
            await asyncio.wait_for(refused.task, 20)
            assert refused.status == 401
            document = json.loads(refused.received)
            assert document["code"] == "token_invalid"
            assert document["errorCode"] == "GENERAL"
            assert refused.headers["access-control-allow-origin"] == "*"
            assert "token=" not in refused.received.decode()

    scene(scenario, clock=lambda: clock[0])


def test_a_schedule_that_begins_is_told_with_the_next_heartbeat(scene: Callable[..., None]) -> None:
    clock = [NOW]

    async def scenario(s: Scene) -> None:
        start = "2027-01-15T09:00:00Z"
        await s.publish({"f": flag("f", rules=[rule(True, start=start)])})
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        page = Listener(s.edge, await s.address(key))
        await eventually(lambda: b": keep-alive" in page.received)
        assert page.events == []
        clock[0] = 1_800_003_600.0
        await eventually(lambda: len(page.events) == 1)
        await page.leave()

    scene(scenario, clock=lambda: clock[0], heartbeat_seconds=0.01)


def test_a_process_that_has_not_heard_of_the_announced_change_looks_before_it_answers(
    scene: Callable[..., None],
) -> None:
    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        # This process hears of nothing any more.
        await asyncio.to_thread(s.edge.process._watcher._stop.set)
        await asyncio.to_thread(s.edge.process._watcher._thread.join)
        await asyncio.to_thread(s.control.publish, s.environment, {"f": flag("f", value="y")})

        async def value(query: str) -> Any:
            reply = await s.ask(key, f"/ofrep/v1/evaluate/flags{query}")
            return json.loads(reply.received)["flags"][0]["value"]

        assert await value("") == "x"
        assert await value("?flagConfigEtag=announced&flagConfigLastModified=1") == "y"

    scene(scenario)


def test_preflights_of_streams_are_answered(scene: Callable[..., None]) -> None:
    async def scenario(s: Scene) -> None:
        preflight = Listener(s.edge, es.PATH, "OPTIONS", origin="https://shop.example")
        await asyncio.wait_for(preflight.task, 20)
        assert (preflight.status, preflight.received) == (204, b"")
        assert "last-event-id" in preflight.headers["access-control-allow-headers"]
        for method in ("HEAD", "POST"):
            refused = Listener(s.edge, es.PATH, method)
            await asyncio.wait_for(refused.task, 20)
            assert (refused.status, refused.headers["allow"]) == (405, "GET, OPTIONS")

    scene(scenario)


def test_a_key_that_asks_too_often_is_told_when_to_come_again(scene: Callable[..., None]) -> None:
    clock = [NOW]

    async def scenario(s: Scene) -> None:
        noisy, quiet = s.control.key(s.environment, "cli"), s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(quiet) in s.edge.process.state.keys)
        for _ in range(2):
            assert (await s.ask(noisy)).status == 200
        for path in ("", "/f"):
            refused = await s.ask(noisy, f"/ofrep/v1/evaluate/flags{path}")
            assert refused.status == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["access-control-expose-headers"] == "ETag, Retry-After"
            assert json.loads(refused.received)["errorCode"] == "GENERAL"
        assert (await s.ask(quiet)).status == 200
        clock[0] += 0.5
        assert (await s.ask(noisy)).status == 200
        assert (await s.ask(noisy)).status == 429

    scene(scenario, clock=lambda: clock[0], settings={"ofrep_requests_per_second": 2})


def test_an_error_of_ours_is_a_500_that_a_page_can_read(
    scene: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)

        def broken() -> float:
            raise RuntimeError("boom")

        s.edge._ofrep._limit.wait_seconds = lambda *_: broken()
        with caplog.at_level(logging.CRITICAL, "flagstone.edge"):
            for path in ("", "/f"):
                reply = await s.ask(key, f"/ofrep/v1/evaluate/flags{path}")
                document = json.loads(reply.received)
                assert reply.status == 500
                assert document["errorCode"] == "GENERAL"
                assert "boom" not in reply.received.decode()
                assert ("key" in document) is (path == "/f")
                assert reply.headers["access-control-allow-origin"] == "*"

    scene(scenario)


def test_every_refusal_of_ofrep_has_its_members(scene: Callable[..., None]) -> None:
    async def scenario(s: Scene) -> None:
        key = s.control.key(s.environment, "cli")
        await eventually(lambda: hash_secret(key) in s.edge.process.state.keys)
        big = {"content_length": str(1 << 21)}
        for path, named in (("", False), ("/team/ü", True)):
            target = f"/ofrep/v1/evaluate/flags{path}"
            for status, reply in (
                (401, await s.ask("wrong", target)),
                (413, await s.ask(key, target, **big)),
                (400, await s.ask(key, target, content_type="text/plain")),
            ):
                document = json.loads(reply.received)
                assert (reply.status, document["status"]) == (status, status)
                assert document["errorCode"] in ("GENERAL", "PARSE_ERROR")
                assert document["errorDetails"]
                assert document.get("key") == ("team/ü" if named else None)

    scene(scenario)
