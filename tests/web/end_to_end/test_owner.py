"""An owner's first quarter of an hour, in a real browser, against the whole service."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from flagstone import Client

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "a long enough password"
HERE = "/projects/web-shop/environments/production"


def set_up(page: Page, service: Any) -> None:
    """Follow the address that the service printed, and make the first account."""
    printed = re.search(r"http://\S+/setup\?code=\S+", service.log.read_text())
    assert printed is not None, "the service prints where to set it up"
    page.goto(printed[0])
    page.get_by_label("Project", exact=True).fill("Web shop")
    page.get_by_label("Your e-mail").fill("owner@shop.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Create account and project").click()
    expect(page.get_by_role("heading", name="No flag yet")).to_be_visible()


def make_key(page: Page, service: Any) -> str:
    page.goto(f"{service.url}{HERE}/keys")
    page.get_by_label("Who will use it?").fill("checkout service")
    page.get_by_role("button", name="Make key").click()
    return page.locator("#created-key").inner_text()


def say_why(page: Page, reason: str) -> None:
    """Answer the page that production shows before it applies a change."""
    page.locator(".fs-preview").get_by_label("Why?").fill(reason)
    page.get_by_role("button", name="Apply").click()


def test_a_flag_made_in_the_console_reaches_the_sdk_and_a_kill_takes_it_away(
    page: Page,
    make_service: Callable[..., Any],
    tmp_path: Path,
    wait_until: Callable[..., Any],
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'flagstone.db'}")
    set_up(page, service)
    page.get_by_role("link", name="with one of your own").click()
    page.get_by_label("Key", exact=True).fill("new-checkout")
    page.get_by_role("button", name="Create flag").click()
    expect(page.locator(".fs-sentence")).to_contain_text("the flag is off")
    key = make_key(page, service)

    with Client(url=service.url, key=key, start_wait_seconds=60) as client:
        context = {"targetingKey": "u1"}
        assert client.get_boolean("new-checkout", context, default=True) is False

        page.goto(f"{service.url}{HERE}/flags/new-checkout")
        page.get_by_role("button", name="Turn on").click()
        say_why(page, "the checkout is ready")
        page.get_by_text("Everyone else…").click()
        page.get_by_label("Everyone else gets").select_option("on")
        page.get_by_role("button", name="Save").and_(page.locator(":visible")).click()
        expect(page.locator(".fs-preview")).to_contain_text("only widens")
        say_why(page, "for everybody")
        expect(page.locator(".fs-sentence")).to_contain_text("everyone gets on")
        wait_until(lambda: client.get_boolean("new-checkout", context, default=False))

        page.locator("summary", has_text="Kill").click()
        page.get_by_label("Why?").and_(page.locator(":visible")).fill("errors at checkout")
        page.get_by_role("button", name="Kill new-checkout").click()
        expect(page.locator(".fs-sentence")).to_contain_text("the flag is killed")
        wait_until(lambda: not client.get_boolean("new-checkout", context, default=True))
    expect(page.get_by_role("main")).to_contain_text("errors at checkout")


def test_a_rollout_is_widened_looked_at_and_turned_back(
    page: Page, make_service: Callable[..., Any], tmp_path: Path
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'flagstone.db'}")
    set_up(page, service)
    page.goto(f"{service.url}{HERE}/new-flag?key=banner")
    page.get_by_role("button", name="Create flag").click()
    page.get_by_role("button", name="Turn on").click()
    say_why(page, "the banner is ready")
    page.get_by_text("Roll out…").click()
    page.get_by_label("For how many? (%)").fill("10")
    page.get_by_role("button", name="Add rule").click()
    say_why(page, "a first tenth")
    expect(page.locator(".fs-sentence")).to_contain_text("10 % of users get on")
    page.get_by_text("Widen or narrow").click()
    page.get_by_label("Share in percent").fill("two thirds")
    page.get_by_role("button", name="Set share").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a percentage")
    page.get_by_text("Widen or narrow").click()
    page.get_by_label("Share in percent").fill("50")
    page.get_by_role("button", name="Set share").click()
    say_why(page, "no complaints")
    expect(page.locator(".fs-sentence")).to_contain_text("50 % of users get on")
    page.get_by_text("Before and after").first.click()
    expect(page.locator("details[open] table")).to_contain_text("ranges")
    page.get_by_role("button", name="Go back to this").first.click()
    expect(page.locator(".fs-sentence")).to_contain_text("10 % of users get on")


def test_the_console_can_be_read_and_used_without_scripts(
    browser: Any, make_service: Callable[..., Any], tmp_path: Path
) -> None:
    service = make_service(f"sqlite:///{tmp_path / 'flagstone.db'}")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    set_up(page, service)
    page.goto(f"{service.url}{HERE}/new-flag?key=banner")
    page.get_by_role("button", name="Create flag").click()
    page.get_by_role("button", name="Turn on").click()
    say_why(page, "the banner is ready")
    page.locator("summary", has_text="Kill").click()
    page.get_by_role("button", name="Kill banner").click()
    expect(page.locator(".fs-sentence")).to_contain_text("the flag is killed")
    context.close()
