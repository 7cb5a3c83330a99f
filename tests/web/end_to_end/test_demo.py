"""``flagstone demo``: three real verdicts, one of them watched as it arrives on the page."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]


def test_the_demo_kills_ships_and_rolls_back_while_one_watches(page: Page) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "web.cli", "demo", "--seconds", "120", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        try:
            said = watch_the_harm_arrive(demo, page)
        except AssertionError as error:
            # A demo that ended says why; one that goes on is ended and says how far it came.
            demo.terminate()
            error.add_note(demo.communicate(timeout=20)[0])
            raise
        rest, _ = demo.communicate(timeout=150)
        said += rest
    finally:
        demo.terminate()
        demo.wait(20)
    assert demo.returncode == 0, said
    words = " ".join(said.split())
    assert "new-checkout: HARM" in words
    assert "free-shipping-hint: VALUE_PROVEN" in words
    assert "green-button: FUTILE" in words
    met = re.search(r"([\d,]+) visitors had met it", words)
    assert met is not None, words
    assert int(met[1].replace(",", "")) > 50
    assert re.search(r"was served by all 2 shop processes \d+\.\d\d s after", words), words


def watch_the_harm_arrive(demo: subprocess.Popen[str], page: Page) -> str:
    """Sign in with what the terminal says, and wait for the verdict without touching the page."""
    said = ""
    found: dict[str, Any] = {}
    assert demo.stdout is not None
    for line in demo.stdout:
        said += line
        address = re.search(r"runs at (http://\S+)", line)
        login = re.search(r"sign in as (\S+)\s+password (\S+)", line)
        if address:
            found["url"] = address[1]
        if login:
            found["email"], found["password"] = login.groups()
            break
    assert set(found) == {"url", "email", "password"}, said
    page.goto(found["url"])
    page.get_by_label("E-mail").fill(found["email"])
    page.get_by_label("Password").fill(found["password"])
    page.get_by_role("button", name="Sign in").click()
    navigation = page.get_by_role("navigation", name="Main")
    navigation.get_by_role("link", name="Experiments").click()
    page.get_by_role("link", name="new-checkout").click(timeout=30_000)
    expect(page.locator("#verdict-word")).to_have_text("HARM", timeout=90_000)
    expect(page.get_by_role("heading", level=2).first).to_contain_text("Keep control")
    page.get_by_role("link", name="new-checkout").click()
    expect(page.locator(".fs-sentence")).to_contain_text("everyone gets control")
    return said
