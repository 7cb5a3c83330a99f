"""A page in which every violation of the security policy and every script error counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh profile; the test fails if a script or the content security policy complained."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(60_000)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))

    def listen(message: Any) -> None:
        if "Content Security Policy" in message.text or "TrustedHTML" in message.text:
            complaints.append(message.text)

    opened.on("console", listen)
    yield opened
    context.close()
    assert complaints == []
