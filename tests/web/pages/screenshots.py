"""Take a picture of every page in every layout: ``python -m tests.web.pages.screenshots``.

Pictures go to ``screenshots/``, with ``index.html`` beside them: a contact sheet, one row a page.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.web.conftest import CHROMIUM_FLAGS
from tests.web.pages.acts import ACTS
from tests.web.pages.addresses import ANYBODY, PAGES, STATES
from tests.web.pages.conftest import open_site
from tests.web.pages.crowd import LISTS, fill
from tests.web.pages.inspect_page import DESKTOP, PHONE
from tests.web.pages.shop import CUSTOMER

LAYOUTS = {
    "light": (DESKTOP, "light"),
    "dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
TALLEST = 3000
SHEET = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Every page · Flagstone</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1rem; background: #ddd; color: #111 }}
.row {{ display: flex; gap: 8px; margin-bottom: 1.5rem; align-items: flex-start }}
a {{ display: block; height: 260px; overflow: hidden; border: 1px solid #888 }}
img {{ display: block; width: 462px }} .phone img, .phone-dark img {{ width: 120px }}
</style><h1>{count} pages</h1>{rows}</html>
"""


def name_of(title: str) -> str:
    """Make a file's name of a page's."""
    return re.sub(r"[^a-z0-9]+", "-", title.removeprefix("console.").lower()).strip("-")


def shoot(page: Page, url: str, folder: Path, pages: Mapping[str, str]) -> None:
    """Take the pictures of some pages, and of what stands after an act."""
    for title, path in pages.items():
        for layout, (size, colours) in LAYOUTS.items():
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            if title in ACTS:
                # A drawing that is open, or lost, is not the same at another width.
                ACTS[title](page, url)
            elif layout == "light":
                page.goto(url + path)
            tall = page.evaluate("document.documentElement.scrollHeight")
            whole = {"x": 0, "y": 0, "width": size["width"], "height": min(tall, TALLEST)}
            page.screenshot(
                path=folder / f"{name_of(title)}-{layout}.png",
                full_page=True,
                clip=whole,  # type: ignore[arg-type]
            )


def write_sheet(folder: Path, pages: Mapping[str, str]) -> Path:
    """Write the contact sheet."""
    rows = []
    for title, path in pages.items():
        pictures = "".join(
            f'<a class="{layout}" href="{name_of(title)}-{layout}.png">'
            f'<img loading="lazy" src="{name_of(title)}-{layout}.png" alt="{layout}"></a>'
            for layout in LAYOUTS
        )
        rows.append(
            f"<h2>{html.escape(title)}</h2><p>{html.escape(path)}</p>"
            f'<div class="row">{pictures}</div>'
        )
    sheet = folder / "index.html"
    sheet.write_text(SHEET.format(count=len(pages), rows="\n".join(rows)))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("screenshots"))
    parser.add_argument("--only", default="", help="pages whose name contains this")
    parser.add_argument(
        "--states", action="store_true", help="also what stands after an act: effects, refusals"
    )
    parser.add_argument(
        "--crowd", action="store_true", help="instead of all that, lists of a thousand rows"
    )
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        parser.error("no Chromium on this machine (Debian: apt-get install chromium)")
    began = time.monotonic()
    given.folder.mkdir(parents=True, exist_ok=True)
    crowd = dict(LISTS) if given.crowd else {}
    acts = {title: f"after: {title}" for title in ACTS} if given.states else {}
    everything = crowd or {**PAGES, **STATES, **acts, **ANYBODY}
    wanted = {title: path for title, path in everything.items() if given.only in name_of(title)}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_site(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        if crowd:
            fill(site.shop)
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        for known in (True, False):
            context = browser.new_context(reduced_motion="reduce")
            if known:
                cookie = site.shop.cookie(CUSTOMER)
                context.add_cookies([{**cookie, "url": site.url}])  # type: ignore[list-item]
            pages = {name: path for name, path in wanted.items() if (name in ANYBODY) != known}
            shoot(context.new_page(), site.url, given.folder, pages)
            context.close()
        browser.close()
    sheet = write_sheet(given.folder, wanted)
    pictures = len(wanted) * len(LAYOUTS)
    print(f"{pictures} pictures in {time.monotonic() - began:.0f} s: {sheet}")


if __name__ == "__main__":
    main()
