"""What is asked of every page, whoever it is for: one look at an address gives a list of faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, Request, WebError

DESKTOP = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}
LAYOUTS = {"light": DESKTOP, "dark": DESKTOP, "phone": PHONE}
# Every rule is asked wherever its answer can be another one: contrast in both colours, the rest at
# both widths. Best practices are among them: landmarks, one first heading, headings in order.
_RULES: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast", "link-in-text-block"]},
    "phone": {"rules": {"color-contrast": {"enabled": False}}},
}
_AXE = """rules => axe.run(document, {...rules, resultTypes: ["violations"]}).then(
  found => found.violations.flatMap(fault => fault.nodes.map(node => {
    const why = [...node.any, ...node.all, ...node.none].map(each => each.message).join(" ");
    return `${fault.id}: ${node.html.slice(0, 140)} – ${why.slice(0, 160)}`; })))"""
# A page that is not seen refreshes nothing: what is looked at here must not be swapped meanwhile.
_LISTEN = """
Object.defineProperty(document, "hidden", {value: true});
window.broken = [];
document.addEventListener("securitypolicyviolation", event => window.broken.push(
  `the security policy refused ${event.violatedDirective} ${event.blockedURI}`));
"""
_CONTROLS = """
window.controls = [...document.querySelectorAll(
  "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter(
  each => !each.disabled && each.checkVisibility({visibilityProperty: true})
    && !(each.type === "radio" && !each.checked));
"""
_UNSEEN = """() => window.controls.flatMap(each => {
  each.focus({focusVisible: true});
  const style = getComputedStyle(each);
  const said = each.outerHTML.slice(0, 120);
  if (document.activeElement !== each) return [`the keyboard does not reach ${said}`];
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return ring || style.boxShadow !== "none" ? [] : [`no focus is to be seen on ${said}`];
})"""
_FOLLOW = """() => {
  window.visited = [];
  document.addEventListener("focusin", event => window.visited.push(
    window.controls.indexOf(event.target)));
  window.controls[0].focus();
  return window.controls.length;
}"""
# Forms close each other; here all of them are looked at together.
_OPEN = """document.querySelectorAll("details").forEach(each => {
  each.removeAttribute("data-form"); each.open = true; })"""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_WORDS = """() => (document.querySelector("main") || document.body).innerText
  .replace(/\\s+/g, " ").trim()"""
MOST_TABS = 30
PARTS_OF_A_TIME = 8


@dataclass
class Window:
    """A browser's window with scripts, one without, and what they complained about."""

    url: str
    page: Page
    plain: Page
    complaints: list[str] = field(default_factory=list)

    def faults(self, path: str, status: int = 200) -> list[str]:
        """Open a page in every layout and by keyboard; give everything that is wrong with it."""
        self.complaints.clear()
        page = self.page
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        answer = page.goto(self.url + path)
        page.evaluate(AXE_SCRIPT)
        found = []
        if answer is None or answer.status != status:
            found.append("the seeded shop has no such page: what it shows needs an example there")
        found += [*self._head(), *self._without_scripts(path), *self._keyboard()]
        for layout, size in LAYOUTS.items():
            rules = _RULES[layout]
            page.emulate_media(color_scheme="dark" if layout == "dark" else "light")
            page.set_viewport_size(size)  # type: ignore[arg-type]
            if layout == "phone":
                found += self._too_wide(layout)
                page.evaluate(_OPEN)
                layout = "phone, everything opened"
            found += self._too_wide(layout)
            found += [f"{layout}: {fault}" for fault in page.evaluate(_AXE, rules)]
        return found + page.evaluate("window.broken") + self.complaints

    def _too_wide(self, layout: str) -> Iterator[str]:
        wider = self.page.evaluate(_WIDER)
        if wider > 0:
            yield f"{layout}: the page is {wider} px wider than the window"

    def _head(self) -> Iterator[str]:
        title = self.page.title()
        if not title.endswith("Flagstone") or title == "Flagstone":
            yield f"the title does not say what the page is: {title!r}"
        if self.page.locator("h1:visible").count() != 1:
            yield f"{self.page.locator('h1:visible').count()} first headings"

    def _without_scripts(self, path: str) -> Iterator[str]:
        self.plain.goto(self.url + path)
        # What stands in for a script may say more, never less.
        self.plain.evaluate('document.querySelectorAll("noscript").forEach(each => each.remove())')
        with_scripts, without = self.page.evaluate(_WORDS), self.plain.evaluate(_WORDS)
        if with_scripts != without:
            yield f"without scripts it says {without[:300]!r}, with them {with_scripts[:300]!r}"

    def _keyboard(self) -> Iterator[str]:
        page = self.page
        page.evaluate(_CONTROLS)
        yield from page.evaluate(_UNSEEN)
        count = min(page.evaluate(_FOLLOW), MOST_TABS)
        # A field for a time or a date has a stop for each of its parts.
        fields = page.locator("input[type=datetime-local]:visible, input[type=date]:visible")
        parts = PARTS_OF_A_TIME * fields.count()
        for _ in range(count - 1 + parts):
            page.keyboard.press("Tab")
        visited = page.evaluate("window.visited")
        if visited[:count] != list(range(count)):
            yield f"the tab key goes to {visited} instead of from first to last"


@contextmanager
def open_window(browser: Browser, url: str, cookie: dict[str, str] | None) -> Iterator[Window]:
    """Open both windows as somebody."""
    contexts = [
        browser.new_context(reduced_motion="reduce", java_script_enabled=scripts)
        for scripts in (True, False)
    ]
    for context in contexts:
        if cookie is not None:
            context.add_cookies([{**cookie, "url": url}])  # type: ignore[list-item]
        context.set_default_timeout(60_000)
    contexts[0].add_init_script(_LISTEN)
    window = Window(url, contexts[0].new_page(), contexts[1].new_page())
    _listen(contexts[0], window)
    yield window
    for context in contexts:
        context.close()


def _listen(context: BrowserContext, window: Window) -> None:
    def said(message: Any) -> None:
        # What a page's own status is worth is said by the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            window.complaints.append(f"the browser says: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((window.url, "data:")):
            window.complaints.append(f"a request to somebody else: {request.url}")

    context.on("console", said)

    def failed(error: WebError) -> None:
        window.complaints.append(f"a script failed: {error.error}")

    context.on("weberror", failed)
    context.on("request", asked)
