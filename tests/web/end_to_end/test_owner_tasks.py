"""What owners do, done in a real browser and counted; the document says the same numbers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.web.end_to_end.owner_tasks import (
    TASKS,
    Count,
    count,
    open_shop_window,
    table,
    written,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def counts(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Count]:
    """Do every task, in this order: what is designed is shipped later."""
    with open_shop_window(browser, tmp_path_factory.mktemp("tasks")) as (site, page):
        return {name: count(site, page, task) for name, task in TASKS.items()}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_takes_no_more_steps_than_it_may(counts: dict[str, Count], name: str) -> None:
    taken, most = counts[name], TASKS[name].most
    assert taken.clicks <= most.clicks
    assert taken.keys <= most.keys
    assert taken.pages <= most.pages


def test_the_document_says_what_was_counted(counts: dict[str, Count]) -> None:
    assert written() == table(counts), "run python -m tests.web.end_to_end.owner_tasks"
