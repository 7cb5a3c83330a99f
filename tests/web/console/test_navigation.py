"""The header: what it leads to, for whom, and where it says one is."""

from __future__ import annotations

import pytest

from tests.web.console.conftest import HERE, Browser, Console
from web.auth.roles import Role
from web.console.navigation import ENTRIES, endpoint_of, menu


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_entry_leads_to_a_page_that_says_it_is_that_one(
    small_console: Console, entry: object
) -> None:
    admin = small_console.person("admin")
    words = getattr(entry, "words", "")
    with small_console.app.test_request_context():
        path = small_console.app.url_for(
            getattr(entry, "endpoint", ""), project_key="shop", environment_key="production"
        )
    page = admin.page(path)
    current = page.attributes(aria_current="page")[0]
    assert current["href"] == path
    assert words in page.words


def test_a_viewer_is_not_led_to_what_needs_an_administrator(small_console: Console) -> None:
    for role, sees in (("viewer", False), ("admin", True)):
        page = small_console.person(role).page(f"{HERE}/flags")
        assert any(link.endswith("/keys") for link in page.links) is sees


def test_groups_are_folded_without_scripts_and_say_where_one_is(editor: Browser) -> None:
    page = editor.page(f"{HERE}/ledger")
    summaries = [given for tag, given in page.tags if tag == "summary"]
    assert [given.get("aria-current") for given in summaries[:2]] == ["true", None]
    assert len([tag for tag, given in page.tags if given.get("name") == "fs-nav"]) == 2


def test_an_unknown_tab_leads_to_the_flags() -> None:
    assert endpoint_of("nothing") == endpoint_of("flags")
    assert menu(Role.NONE, Role.NONE) == []
    assert [group for group, _ in menu(Role.ADMIN, Role.ADMIN)].count("Setup") == 1
