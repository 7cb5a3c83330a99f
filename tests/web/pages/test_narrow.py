"""At 320 px, on paper, and when the service is gone: a few pages of each kind."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.web.pages.acts import ACTS
from tests.web.pages.addresses import HERE
from tests.web.pages.conftest import Site
from tests.web.pages.shop import CUSTOMER, LONG
from web.console.navigation import ENTRIES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = ("flags", f"flags/{LONG}", "experiments/free-delivery", "compare?with=staging", "keys")
# What stands alone is hit with a thumb; links within a sentence are as tall as it is.
_SMALL = """() => [...document.querySelectorAll("a[href], button, select, summary, input")]
  .filter(each => each.checkVisibility() && !each.closest(".fs-skip, label")
    && !(getComputedStyle(each).display === "inline" && each.tagName === "A"))
  .filter(each => { const box = each.getBoundingClientRect();
    return box.width && (box.width < 24 || box.height < 24); })
  .map(each => each.outerHTML.slice(0, 120))"""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 320, "height": 640})
    context.add_cookies([{**site.shop.cookie(CUSTOMER), "url": site.url}])  # type: ignore[list-item]
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_at_320_px_nothing_is_lost_and_every_target_is_24_px(
    page: Page, site: Site, path: str
) -> None:
    page.goto(f"{site.url}{HERE}/{path}")
    assert page.evaluate(_WIDER) <= 0
    assert page.evaluate(_SMALL) == []


@pytest.mark.parametrize("path", ["compare?with=staging", "timeline/red-banner", "audit"])
def test_a_wide_value_that_is_opened_makes_no_line_beside_it_wider(
    page: Page, site: Site, path: str
) -> None:
    page.goto(f"{site.url}{HERE}/{path}")
    page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
    assert page.locator("main .fs-changes").count() > 0
    wider = """() => [...document.querySelectorAll(".fs-stack")].filter(each =>
        each.getBoundingClientRect().width > each.parentElement.clientWidth + 1).length"""
    assert page.evaluate(wider) == 0


@pytest.mark.parametrize(
    ("path", "sheets"),
    [("express-lane/plan", 1), ("one-page/plan", 1), ("free-delivery/report", 2)],
)
def test_a_plan_is_one_printed_sheet_and_a_report_is_two(
    page: Page, site: Site, path: str, sheets: int
) -> None:
    page.goto(f"{site.url}{HERE}/experiments/{path}")
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == sheets


def test_a_lost_service_is_named_until_it_answers_again(page: Page, site: Site) -> None:
    ACTS["act lose the service"](page, site.url)
    assert "does not answer" in page.locator("#lost").inner_text()
    assert page.get_by_role("searchbox").input_value() == "ship"
    page.get_by_role("searchbox").press_sequentially("s")
    page.locator("#lost:empty").wait_for(state="attached")
    assert page.locator("[aria-busy]").count() == 0


def test_the_menu_of_a_phone_holds_every_page_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    context.add_cookies([{**site.shop.cookie(CUSTOMER), "url": site.url}])  # type: ignore[list-item]
    page = context.new_page()
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 640})
        page.goto(f"{site.url}{HERE}/keys")
        menu = page.get_by_role("navigation", name="Main")
        # Where one is stands in it, however deep.
        folded = menu.locator("summary:visible")
        assert folded.inner_text().startswith("Keys")
        assert menu.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
        folded.click()
        links = menu.get_by_role("link").all()
        said = [each.inner_text().partition(" 1")[0].strip() for each in links]
        assert sorted(said) == sorted(each.words for each in ENTRIES)
        for each in links:
            box = each.bounding_box() or {}
            assert min(box["x"], width - box["x"] - box["width"], box["height"] - 24) >= 0
        links[-1].click()
        assert page.url.endswith("/webhooks")
    context.close()
