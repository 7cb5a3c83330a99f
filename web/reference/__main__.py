"""``python -m web.reference``: write the reference pages, or check them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from web.reference.commands import commands_page
from web.reference.filters import filters_page
from web.reference.instructions import instructions_page
from web.reference.plans import plans_page
from web.reference.problems import problems_page
from web.reference.rest import rest_page
from web.reference.settings import settings_page
from web.reference.webhooks import webhooks_page

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": commands_page,
    "errors.md": problems_page,
    "filters.md": filters_page,
    "instructions.md": instructions_page,
    "plans.md": plans_page,
    "rest.md": rest_page,
    "settings.md": settings_page,
    "webhooks.md": webhooks_page,
}


def stale(folder: Path = FOLDER) -> list[str]:
    """Name the pages that are not what the code says, and those that nothing writes."""
    kept = {path.name for path in folder.glob("*.md")}
    wrong = [
        name
        for name, write in PAGES.items()
        if name not in kept or (folder / name).read_text(encoding="utf-8") != write()
    ]
    return sorted({*wrong, *(kept - PAGES.keys())})


def main(arguments: list[str]) -> int:
    """Write the pages; with ``--check`` only say which differ."""
    if arguments == ["--check"]:
        names = stale()
        for name in names:
            sys.stderr.write(f"docs/reference/{name} is not what the code says: make docs\n")
        return 1 if names else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
