"""Every page in light, dark and on a phone: axe, the security policy, the keyboard, no scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

from flags.database import Database
from tests.web.console.test_pages import OTHERS
from tests.web.managed import Clock, make_app
from tests.web.pages.addresses import ANYBODY, PAGES, REFUSED, STATES
from tests.web.pages.conftest import Site, served
from tests.web.pages.inspect_page import Window, open_window
from tests.web.pages.shop import CUSTOMER

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FAULTY = """<!doctype html><html><head><title>Flagstone</title>
<style>a { outline: none !important } .wide { width: 900px }</style></head><body><main>
<h1>One</h1><h1>Two</h1><p style="color: #aaa">pale</p><img src="http://127.0.0.1:9/x.png">
<a href="/one">One</a> <a href="/two" tabindex="3">Two</a> <div class="wide">wide</div>
<details><summary>More</summary><input></details><noscript>scripts only</noscript>
<script>console.error("broken"); document.querySelector("h1").textContent = "New";
document.body.append(document.createElement("script")).textContent = ""; missing();</script>
</main></body></html>"""


def status_of(path: str) -> int:
    return REFUSED.get(path, 200)


@pytest.fixture(scope="module")
def window(browser: Browser, site: Site) -> Iterator[Window]:
    with open_window(browser, site.url, site.shop.cookie(CUSTOMER)) as opened:
        yield opened


@pytest.mark.parametrize("path", [*PAGES.values(), *STATES.values()], ids=[*PAGES, *STATES])
def test_the_page_is_for_everybody(window: Window, path: str) -> None:
    assert window.faults(path, status_of(path)) == []


@pytest.mark.parametrize("path", ANYBODY.values(), ids=ANYBODY)
def test_the_page_before_the_sign_in_is_for_everybody(
    browser: Browser, site: Site, path: str
) -> None:
    with open_window(browser, site.url, None) as opened:
        assert opened.faults(path, status_of(path)) == []


def test_the_page_that_sets_a_service_up_is_for_everybody(browser: Browser, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'one.db'}")
    database.create_all()
    app = make_app(database, tmp_path, Clock(), console=True)
    with served(app) as url, open_window(browser, url, None) as opened:
        assert opened.faults("/setup?code=none") == []
    database.dispose()


def test_whatever_answers_with_a_page_is_looked_at(site: Site) -> None:
    looked_at = {*PAGES.values(), *STATES.values(), *ANYBODY.values(), "/setup"}
    client = site.shop.app.test_client()
    cookie = site.shop.cookie(CUSTOMER)
    client.set_cookie(cookie["name"], cookie["value"])
    pages = []
    for path in OTHERS.values():
        answer = client.get(path, headers={"Accept": "text/html"})
        if answer.mimetype == "text/html" and "Content-Disposition" not in answer.headers:
            pages.append(path if answer.status_code == 200 else "")
    assert {*pages} - {""} <= looked_at


def test_every_fault_is_found(window: Window) -> None:
    def answer(route: Route) -> None:
        policy = "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self'"
        route.fulfill(
            body=FAULTY,
            content_type="text/html",
            headers={"Content-Security-Policy": policy},
        )

    window.page.route("**/faulty", answer)
    window.plain.route("**/faulty", answer)
    said = "\n".join(window.faults("/faulty"))
    for fault in (
        "the title does not say",
        "2 first headings",
        "the security policy refused img-src http://127.0.0.1:9/x.png",
        "a script failed: ",
        "the browser says: broken",
        "no focus is to be seen on <a",
        "the tab key goes to",
        "without scripts it says",
        "wider than the window",
        "light: color-contrast",
        "dark: color-contrast",
        "light: html-has-lang",
        "phone, everything opened: label",
    ):
        assert fault in said
