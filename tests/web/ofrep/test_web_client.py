"""@openfeature/ofrep-web-provider in Chromium, on a page of another origin than the service.

Nothing stands in between: the browser's own fetch, EventSource, CORS and localStorage.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from playwright.sync_api import Browser, Page

from tests.web.ofrep.cases import CASES, FREE, LEFT_TO_CALLER, PRO, Case, flag
from web.edge import event_streams
from web.edge.state import Key, hash_secret

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).parent / "node"
BULK = "/ofrep/v1/evaluate/flags"
SWITCHED = {**flag("boolean", {"off": False}), "key": "boolean-true"}
PLAIN = [case for case in CASES if not case.context]
CONTEXTUAL = [case for case in CASES if case.context]


@pytest.fixture(scope="session")
def shop(node_modules: Path) -> Iterator[str]:
    """Serve a page and the released packages as they are: the origin of a shop."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map: ClassVar[Any] = {
            ".mjs": "text/javascript",
            ".js": "text/javascript",
            ".html": "text/html",
        }

        def translate_path(self, path: str) -> str:
            root = node_modules.parent if path.startswith("/node_modules/") else PROJECT
            return str(root / path.lstrip("/"))

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Shop:
    """A page of the shop, and what it exchanged with the service."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.answers: list[tuple[str, int]] = []
        page.on("response", lambda r: self.answers.append((r.url, r.status)))
        self.open()

    def open(self) -> None:
        """Open the page, or open it again."""
        self.page.goto(f"{self.address}/page.html")
        self.page.wait_for_function("window.shop !== undefined")

    def connect(
        self, url: str, key: str, context: dict[str, Any] | None = None, **options: Any
    ) -> str:
        script = "([url, key, context, options]) => shop.connect(url, key, context, options)"
        return str(self.page.evaluate(script, [url, key, context or {}, options]))

    def ask(self, case: Case) -> Any:
        script = "([kind, flag, fallback]) => shop.evaluate(kind, flag, fallback)"
        return self.page.evaluate(script, [case.kind, case.flag, case.default])

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait until an expression in the page is true."""
        self.page.wait_for_function(condition, arg=argument)

    def until_value(self, case: Case, value: Any) -> None:
        script = "([kind, flag, other, value]) => shop.evaluate(kind, flag, other).value === value"
        self.until(script, [case.kind, case.flag, case.default, value])

    def until_listening(self, times: int = 1) -> None:
        """Wait until that many streams have been opened."""
        self.until_told(
            lambda: sum(status == 200 for status in self.statuses(event_streams.PATH)) >= times
        )

    def until_told(self, true: Callable[[], bool]) -> None:
        """Wait until the browser's own account, which comes a moment later, makes it true."""
        for _ in range(6000):
            if true():
                return
            self.page.wait_for_timeout(5)
        pytest.fail(f"never happened: {self.answers}")

    def asked(self, path: str, *statuses: int) -> None:
        """Hold that these were the answers there, and no others."""
        self.until_told(lambda: len(self.statuses(path)) >= len(statuses))
        assert self.statuses(path) == list(statuses)

    def stream_address(self) -> str:
        """Give the address of the stream that was opened last."""
        return next(url for url, _ in reversed(self.answers) if event_streams.PATH in url)

    def statuses(self, path: str) -> list[int]:
        return [status for url, status in self.answers if path in url]


@pytest.fixture
def page(browser: Browser, shop: str) -> Iterator[Shop]:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    yield Shop(context.new_page(), shop)
    context.close()


@pytest.fixture(scope="module")
def quiet_page(browser: Browser, shop: str, shared_world: Any) -> Iterator[Shop]:
    """A page that is connected to the service that no test changes."""
    context = browser.new_context()
    context.set_default_timeout(60_000)
    opened = Shop(context.new_page(), shop)
    assert opened.connect(shared_world.url, shared_world.client_key) == "ready"
    yield opened
    context.close()


def same(answer: Any, expected: Any) -> bool:
    return bool(answer == expected) and isinstance(answer, bool) is isinstance(expected, bool)


@pytest.mark.parametrize("case", [*PLAIN, *LEFT_TO_CALLER], ids=lambda case: case.name)
def test_the_page_is_shown(case: Case, quiet_page: Shop) -> None:
    details = quiet_page.ask(case)
    assert same(details["value"], case.value)
    assert details.get("errorCode") == case.error
    assert details["reason"] == case.reason
    if case.error is None:
        assert details["variant"] == case.variant
        assert details["flagMetadata"]["version"] == 3


@pytest.mark.parametrize("case", CONTEXTUAL, ids=lambda case: case.name)
def test_a_person_is_shown(case: Case, page: Shop, shared_world: Any) -> None:
    assert page.connect(shared_world.url, shared_world.client_key, case.context) == "ready"
    details = page.ask(case)
    assert (details["value"], details["reason"]) == (case.value, case.reason)


def test_a_page_sees_no_flag_that_is_not_for_clients(quiet_page: Shop) -> None:
    hidden = Case("", "server-only", "boolean", False, None)
    assert quiet_page.ask(hidden)["errorCode"] == "FLAG_NOT_FOUND"


def test_an_attribute_that_changes_under_the_same_targeting_key_counts(
    page: Shop, shared_world: Any
) -> None:
    """The client sends the ETag of its former context: a 304 would leave it with wrong values."""
    case = next(case for case in CASES if case.context is PRO)
    page.connect(shared_world.url, shared_world.client_key, PRO)
    assert page.ask(case)["value"] == "p"
    for context, value in ((FREE, "r"), (PRO, "p")):
        page.page.evaluate("context => shop.setContext(context)", context)
        assert page.ask(case)["value"] == value
    page.asked(BULK, 200, 200, 200)
    page.page.evaluate("context => shop.setContext(context)", {**PRO, "shoe": 43})
    page.asked(BULK, 200, 200, 200, 304)
    assert page.ask(case)["value"] == "p"


def test_a_change_reaches_an_open_page_at_once_and_others_do_not(
    page: Shop, world: Any, wait_until: Callable[..., Any]
) -> None:
    assert page.connect(world.url, world.client_key) == "ready"
    page.until_listening()
    page.page.evaluate("address => shop.listen(address)", page.stream_address())
    assert page.ask(CASES[0])["value"] is True
    world.publish(server_only=None)
    with world.service.client(world.server_key) as http:
        wait_until(lambda: http.post(f"{BULK}/server-only").status_code == 404)
    world.publish(server_only=None, boolean_true=SWITCHED)
    page.until("() => shop.events.some(e => e.name === 'PROVIDER_CONFIGURATION_CHANGED')")
    assert page.ask(CASES[0])["value"] is False
    # The client's stream may hear of it before ours.
    page.until("() => shop.heard.length > 0")
    changed = page.page.evaluate("() => shop.events.filter(e => e.flagsChanged)")
    assert [event["flagsChanged"] for event in changed] == [["boolean-true"]]
    # One question at the start and one for the change that concerned it; one stream and ours.
    page.asked(BULK, 200, 200)
    page.asked(event_streams.PATH, 200, 200)
    (message,) = page.page.evaluate("() => shop.heard")
    assert message["type"] == "refetchEvaluation"
    last = [url for url, _ in page.answers if BULK in url][-1]
    assert f"flagConfigEtag={message['etag']}" in last


def test_a_page_survives_a_restart_and_learns_of_what_it_missed(page: Shop, world: Any) -> None:
    assert page.connect(world.url, world.client_key) == "ready"
    page.until_listening()
    world.service.terminate()
    page.until("() => shop.status() === 'STALE'")
    assert page.ask(CASES[0])["value"] is True
    # Changed while nobody listened.
    world.publish(boolean_true=SWITCHED)
    world.service.start()
    page.until_value(CASES[0], False)
    # The address that was given out before the restart is still good.
    assert set(page.statuses(event_streams.PATH)) == {200}


def test_a_page_with_an_expired_address_gets_a_new_one_and_listens_again(
    page: Shop, world: Any
) -> None:
    """The released client asks with its ETag and keeps the old address if the answer is 304."""
    options = {"cacheMode": "local-cache-first"}
    assert page.connect(world.url, world.client_key, **options) == "ready"
    page.until_listening()
    aged = page.page.evaluate(
        """() => {
          for (const [name, text] of Object.entries(localStorage)) {
            const entry = JSON.parse(text);
            window.kept = { name, entry };
            return entry;
          }
        }"""
    )
    now, number = _given_out(aged["eventStreams"][0]["url"])
    key = Key("cli", world.environment)
    old = json.loads(
        event_streams.event_streams(hash_secret(world.client_key), key, world.url, "0", now)
    )
    aged["eventStreams"] = old
    aged["etag"] = re.sub(r"-[0-9a-f]+", f"-{number:x}", aged["etag"])
    page.page.evaluate("text => localStorage.setItem(kept.name, text)", json.dumps(aged))
    page.answers.clear()
    page.open()
    assert page.connect(world.url, world.client_key, **options) == "ready"
    page.until_listening()
    assert set(page.statuses(BULK)) == {200}
    world.publish(boolean_true=SWITCHED)
    page.until_value(CASES[0], False)


def _given_out(address: str) -> tuple[float, int]:
    """Give a moment, and its period, whose addresses have expired by the time of this one."""
    expires = int(re.search(r"token=\w+\.(\d+)\.", address).group(1))  # type: ignore[union-attr]
    moment = expires - 5 * event_streams.PERIOD_SECONDS
    return float(moment), event_streams.period(moment)


def test_a_page_stops_listening_when_its_key_is_revoked(page: Shop, world: Any) -> None:
    assert page.connect(world.url, world.client_key) == "ready"
    page.until_listening()
    world.control.revoke(world.client_key)
    page.until("() => shop.status() === 'STALE'")
    page.until_told(lambda: 401 in page.statuses(event_streams.PATH) and 401 in page.statuses(BULK))
    assert page.ask(CASES[0])["value"] is True


def test_a_page_with_a_wrong_key_is_told_so(page: Shop, shared_world: Any) -> None:
    """A page reads a refusal only if it has the headers that let it."""
    assert "Initialization failed" in page.connect(shared_world.url, "fs_cli_wrong")
    assert page.page.evaluate("() => shop.status()") == "FATAL"
    page.asked(BULK, 401)


def test_a_page_that_asks_too_often_reads_when_to_come_again(page: Shop, strict_world: Any) -> None:
    # The service let this key through once before, when the test waited for it.
    refused = page.connect(strict_world.url, strict_world.client_key)
    seconds = re.search(r"try again after (.+)", refused)
    assert seconds is not None
    page.asked(BULK, 429)


def test_nobody_s_log_holds_an_address_of_a_stream(page: Shop, world: Any) -> None:
    assert page.connect(world.url, world.client_key) == "ready"
    page.until_listening()
    token = re.search(r"token=([^&]+)", page.stream_address()).group(1)  # type: ignore[union-attr]
    with world.service.client() as http:
        metrics = http.get("/metrics").text
    assert 'flagstone_http_answers_total{route="ofrep_stream",status="200"}' in metrics
    assert token not in metrics
    assert token not in world.service.log.read_text()


def test_a_page_follows_over_several_processes(page: Shop, wide_world: Any) -> None:
    """Any process can open the stream, and none gives an older answer than another announced."""
    assert page.connect(wide_world.url, wide_world.client_key) == "ready"
    page.until_listening()
    on = {**SWITCHED, **flag("boolean", {"on": True})}
    for definition, value in ((SWITCHED, False), (on, True)) * 3:
        wide_world.publish(boolean_true=definition)
        page.until_value(CASES[0], value)
    assert set(page.statuses(BULK)) == {200}
