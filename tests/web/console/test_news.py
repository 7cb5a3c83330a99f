"""News: how many are unread stands on every page."""

from __future__ import annotations

from flags import notices, services
from tests.web.console.conftest import HERE, Browser, Console
from tests.web.managed import ACTOR


def tell(console: Console, kind: str, *, times: int = 1, environment: str = "production") -> None:
    with console.database.write() as session:
        project = services.get_project(session, "shop")
        for _ in range(times):
            notices.write(
                session,
                kind,
                "something happened",
                project_id=project.id or 0,
                environments=[environment],
                actor=ACTOR,
                resource="flag:checkout",
                now=console.clock(),
            )


def said(reader: Browser) -> str:
    page = reader.page(f"{HERE}/flags")
    return " ".join(page.words.partition("Compare")[2].partition("Audit")[0].split())


def test_every_page_says_how_many_news_are_unread_until_they_are_read(
    small_console: Console,
) -> None:
    viewer = small_console.person("viewer")
    assert said(viewer) == "News"
    tell(small_console, "flag.killed", times=2)
    tell(small_console, "flag.changed", times=3)
    tell(small_console, "experiment.verdict", environment="gone")
    assert said(small_console.person("editor")) == "News 2 unread"
    page = viewer.page(f"{HERE}/news")
    assert "2 new" in " ".join(page.words.split())
    assert viewer.press(f"{HERE}/news", "Mark all as read").status_code == 303
    page = viewer.page(f"{HERE}/flags")
    assert "unread" not in page.words
    tell(small_console, "approval.requested", times=120)
    assert "News 99+ unread" in " ".join(viewer.page(f"{HERE}/flags").words.split())
    # A part that refreshes itself has no header.
    part = viewer.get(f"{HERE}/flags", headers={"HX-Request": "true"}).get_data(as_text=True)
    assert "unread" not in part
