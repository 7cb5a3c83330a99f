"""What owners do, step by step in a real browser, and how many steps each takes.

``python -m tests.web.end_to_end.owner_tasks`` writes the counts into ``docs/owner-tasks.md``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.forecasting import forecast_now
from tests.web.conftest import CHROMIUM_FLAGS
from tests.web.pages.conftest import Site, open_site
from tests.web.pages.shop import CUSTOMER, HERE, Shop, open_shop

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "owner-tasks.md"
BEGIN, END = "<!-- counted -->\n", "<!-- end of what was counted -->"
TRAFFIC = {
    "treatment purchase": 0.4,
    "control support_contact": 0.06,
    "treatment support_contact": 0.01,
}
# The ramp takes four days; then it may ship on whole weeks.
LOOKS = (1, 2, 3, 4, 5, 7, 14)
PLAN = """
[expected]
units_per_day = 200000

[expected.metrics.purchases]
baseline = 0.2

[expected.metrics."support contacts"]
baseline = 0.05
"""


@dataclass(frozen=True)
class Count:
    """What a task took."""

    clicks: int
    keys: int
    pages: int


_DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Person:
    """Somebody at a browser, who does nothing that is not counted."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.clicks = self.keys = self.pages = 0
        page.on("framenavigated", self._moved)

    def _moved(self, frame: object) -> None:
        if frame == self._page.main_frame:
            self.pages += 1

    def click(self, name: str, role: str = "button", within: str = "main") -> None:
        """Press what is named so."""
        self._page.locator(within).get_by_role(role, name=name).filter(  # type: ignore[arg-type]
            visible=True
        ).first.click()
        self.clicks += 1

    def open(self, name: str) -> None:
        """Open what is folded away under this word."""
        self._page.locator("main summary", has_text=name).filter(visible=True).first.click()
        self.clicks += 1

    def type(self, label: str, text: str) -> None:
        """Fill in a field; one that does not have the focus already costs a click."""
        field = self._field(label)
        field.wait_for()
        # Where the focus is, is seen once the page is there and drawn.
        self._page.wait_for_load_state()
        self._page.evaluate(_DRAWN)
        if not field.evaluate("each => each === document.activeElement"):
            field.click()
            self.clicks += 1
        if field.input_value():
            # Everything is selected first, and so written over.
            field.press("Control+a")
            self.keys += 1
        field.press_sequentially(text)
        self.keys += len(text)

    def add(self, label: str, text: str) -> None:
        """Paste at the end of a text."""
        field = self._field(label)
        field.click()
        field.press("Control+End")
        self._page.keyboard.insert_text(text)
        self.clicks += 1
        self.keys += 2

    def leave(self) -> None:
        """Stop counting."""
        self._page.remove_listener("framenavigated", self._moved)

    def _field(self, label: str) -> Locator:
        return self._page.locator("main").get_by_label(label).filter(visible=True).first

    def sees(self, words: str) -> None:
        """Read; costs nothing."""
        expect(self._page.locator("main")).to_contain_text(words)


def _flags(shop: Shop) -> None:
    open_shop(shop)
    split = {"split": {"weights": {"on": 1}, "coverage": 0.1}}
    rule = {"do": "add_rule", "rule": {"id": "first-tenth", "serve": split}}
    shop.flag("gift-wrapping")
    shop.flag("new-search", {"do": "turn_on"}, rule)
    shop.flag("recommendations", {"do": "turn_on"}, {"do": "set_default", "variant": "on"})
    shop.flag("invoices")
    for each in ({"do": "turn_on"}, {"do": "set_default", "variant": "on"}):
        shop.change("invoices", each, environment="staging")
    shop.flag(
        "checkout",
        {"do": "turn_on"},
        type="string",
        variants={"control": {"value": "old"}, "treatment": {"value": "new"}},
        default="control",
        off="control",
    )


def launch(person: Person, _shop: Shop) -> None:
    """Launch at 10 %."""
    person.click("gift-wrapping", "link")
    person.open("Roll out…")
    person.type("Why?", "ready")
    person.click("Add rule")
    person.sees("10 % of users get on")


def widen(person: Person, _shop: Shop) -> None:
    """Widen from 10 % to 50 %."""
    person.click("new-search", "link")
    person.click("50 % of rule")
    person.type("Why?", "no harm")
    person.click("Apply")
    person.sees("50 % of users get on")


def explain(person: Person, _shop: Shop) -> None:
    """Explain what one user sees, and why."""
    person.click("What does a user see?", "link")
    person.type("Who?", "user-17")
    person.click("Show")
    person.sees("recommendations")


def kill(person: Person, _shop: Shop) -> None:
    """Kill."""
    person.open("Kill recommendations")
    person.click("Kill recommendations")
    person.sees("Killed: recommendations")


def promote(person: Person, _shop: Shop) -> None:
    """Promote from staging to production."""
    person.click("invoices", "link")
    person.click("Promote from staging")
    person.type("Why?", "tested")
    person.click("Apply")
    person.sees("everyone gets on")


def design(person: Person, shop: Shop) -> None:
    """Design an experiment, seal it and start it."""
    person.click("New experiment", "link")
    person.open("Write the plan as text instead")
    person.add("Plan", PLAN)
    person.click("Save the draft of this text")
    forecast_now(shop.database, shop.clock())
    person.click("Seal the plan")
    person.click("Start")
    person.sees("nothing is decided yet")
    shop.traffic["checkout"] = (400, TRAFFIC)


def ship(person: Person, _shop: Shop) -> None:
    """Read the verdict, and confirm it."""
    person.click("checkout-one-page", "link")
    person.sees("VALUE PROVEN")
    person.click("Confirm: ship treatment")
    person.sees("it is being served")


def wait_for_proof(shop: Shop) -> None:
    """Let two weeks pass, in which nobody has to do anything."""
    # A look reads its data two minutes later, when stragglers have arrived.
    shop.clock.advance(minutes=5)
    for day in range(1, LOOKS[-1] + 1):
        shop.day(hours=23)
        if day in LOOKS:
            shop.look()


@dataclass(frozen=True)
class Task:
    """What somebody does, where they begin, and the most that it may take."""

    do: Callable[[Person, Shop], None]
    words: str
    begin: str
    most: Count
    before: Callable[[Shop], None] | None = None


TASKS = {
    "launch": Task(launch, "Launch at 10 %", "flags", Count(4, 10, 2)),
    "widen": Task(widen, "Widen to 50 %", "flags", Count(4, 7, 3)),
    "explain": Task(explain, "Explain a user", "flags", Count(2, 10, 2)),
    "kill": Task(kill, "Kill", "flags", Count(2, 0, 1)),
    "promote": Task(promote, "Promote to production", "flags", Count(4, 10, 3)),
    "design": Task(design, "Design, seal and start an experiment", "experiments", Count(6, 5, 5)),
    "ship": Task(ship, "Read the verdict, confirm", "experiments", Count(2, 0, 2), wait_for_proof),
}


@contextmanager
def open_shop_window(browser: Browser, folder: Path) -> Iterator[tuple[Site, Page]]:
    """Open the shop of these tasks, and a browser in which its owner is signed in."""
    with open_site(folder, _flags) as site:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        context.set_default_timeout(60_000)
        yield site, context.new_page()
        context.close()


def count(site: Site, page: Page, task: Task) -> Count:
    """Do a task from where owners begin, and count."""
    if task.before is not None:
        task.before(site.shop)
    # Whoever was signed in two weeks ago is no longer.
    cookie = site.shop.cookie(CUSTOMER)
    page.context.add_cookies([{**cookie, "url": site.url}])  # type: ignore[list-item]
    page.goto(f"{site.url}{HERE}/{task.begin}")
    person = Person(page)
    task.do(person, site.shop)
    person.leave()
    return Count(person.clicks, person.keys, person.pages)


def table(counts: dict[str, Count]) -> str:
    """Write the counts as the document shows them."""
    rows = [
        f"| {TASKS[name].words} | {each.clicks} | {each.keys} | {each.pages} |\n"
        for name, each in counts.items()
    ]
    return "| task | clicks | keys | pages |\n|---|--:|--:|--:|\n" + "".join(rows)


def written() -> str:
    """Give the table that the document shows."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Count every task, and write the table into the document."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        with open_shop_window(browser, Path(folder)) as (site, page):
            counts = {name: count(site, page, task) for name, task in TASKS.items()}
        browser.close()
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.replace(written(), table(counts)))
    print(table(counts))


if __name__ == "__main__":
    main()
