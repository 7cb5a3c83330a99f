"""What pages look like after somebody did something: an effect to save, a refusal, a lost service.

Each act is done in a real browser, and leaves the page that is to be looked at. Nothing is written,
so that the shop stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from tests.web.pages.addresses import HERE
from tests.web.pages.shop import CUSTOMER

Act = Callable[[Page, str], None]


def preview_next_step(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/flags/new-search")
    page.get_by_role("button", name="Next step").click()
    page.locator(".fs-preview").wait_for()


def preview_promotion(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/flags/prices")
    page.get_by_role("button", name="Promote from staging", exact=True).click()
    page.locator(".fs-preview").wait_for()


def preview_promotions(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/compare?with=staging")
    page.get_by_role("button", name="Promote everything").click()
    page.locator(".fs-preview").wait_for()


def open_a_rule(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/flags/new-search")
    page.get_by_text("Roll out…").click()


def open_the_account(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/flags")
    page.locator(".fs-account > summary").click()


def refuse_a_flag(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/new-flag")
    page.get_by_label("Key", exact=True).fill("checkout")
    page.get_by_role("button", name="Create flag").click()
    page.locator("#problem").wait_for()


def fill_a_plan(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/new-experiment")
    said = {"hypothesis": "Gift wrapping makes more visitors buy.", "key": "wrapping"}
    said |= {"flag": "dark-mode", "control": "off", "treatment": "on", "owner": "shop team"}
    said |= {"customer": CUSTOMER, "success": "purchase", "mde": "5", "per_unit": "31"}
    said |= {"eligible": "30000", "per_day": "4000", "guardrail": "error"}
    for name, value in said.items():
        page.locator(f"form.fs-steps [name={name}]").fill(value)
    with page.expect_response("**/new-experiment/check"):
        page.locator("form.fs-steps [name=baseline]").fill("11")
    page.get_by_text("about").first.wait_for()


def lose_the_service(page: Page, url: str) -> None:
    page.goto(f"{url}{HERE}/flags")
    page.route("**/flags?*", lambda route: route.abort())
    # Whoever types slowly asks after every letter: the last question is the one to wait for.
    with page.expect_event("requestfailed", lambda request: "=ship" in request.url):
        page.get_by_role("searchbox").press_sequentially("ship")
    page.locator("#lost:not(:empty)").wait_for()
    page.unroute("**/flags?*")


ACTS: dict[str, Act] = {
    "act preview next step": preview_next_step,
    "act preview promotion": preview_promotion,
    "act preview promotions": preview_promotions,
    "act open a rule": open_a_rule,
    "act open the account": open_the_account,
    "act refuse a flag": refuse_a_flag,
    "act fill a plan": fill_a_plan,
    "act lose the service": lose_the_service,
}
