"""What the pages of ``docs/`` show is what happens, and every link leads somewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.conftest import REPOSITORY, Place
from tests.docs.transcripts import Command, File, Shown, agrees, play, steps

DOCS = REPOSITORY / "docs"
TEMPLATES, CONSOLE = REPOSITORY / "web" / "templates", REPOSITORY / "web" / "console"
PAGES = sorted(DOCS.glob("*.md"))
PLAYED = [
    page
    for page in PAGES
    if any(isinstance(step, Command) for step in steps(page.read_text("utf-8")))
]
LINKING = [REPOSITORY / "README.md", *PAGES, *sorted((DOCS / "reference").glob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PRESSED = re.compile(r"(?<![*\w])\*([A-Z][^*]*)\*(?!\*)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PLAYED, ids=lambda page: page.stem)
def test_a_page_says_what_happens(page: Path, place: Place, tmp_path: Path) -> None:
    missing = [name for name in ("bash", "curl", "jq") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the pages use {', '.join(missing)}, which this machine has not")
    names = {**place.names, "/var/backups": str(tmp_path / "backups")}
    play(page.read_text(encoding="utf-8"), tmp_path, place.environment, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    shown = [step for step in steps(page.read_text("utf-8")) if isinstance(step, Shown)]
    silent = [step.line for step in shown if not step.excused]
    assert silent == [], "make it a console block or a file, or put <!-- not run: why --> above it"


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as code hosts make them."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_to_be_pressed_stands_in_the_console(page: Path) -> None:
    pages = [*TEMPLATES.rglob("*.html"), *CONSOLE.glob("*.py")]
    console = "".join(each.read_text(encoding="utf-8") for each in pages)
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = {" ".join(words.split()).rstrip(".…") for words in _PRESSED.findall(prose)}
    assert {words for words in named if words not in console} == set()


def test_a_transcript_is_read_as_a_reader_reads_it() -> None:
    page = "```console\n$ a \\\n> b\nsaid\n$ c\n```\n\n```python file=x.py\n1\n```\n"
    page += "```yaml\nd: 1\n```\n"
    first, second, file, shown = steps(page)
    assert first == Command("a \\\nb", 2, ["said"])
    assert second == Command("c", 5)
    assert file == File("x.py", "1\n", 8)
    assert shown == Shown(11, excused=False)


@pytest.mark.parametrize(
    ("expected", "said", "same"),
    [
        (["a … c"], ["a b c"], True),
        (["a … c"], ["a b d"], False),
        (["a", "…"], ["a", "b", "c"], True),
        (["a", "…", "z"], ["a", "z"], True),
        (["a"], ["a", "b"], False),
        ([], ["a"], False),
        (["a.c"], ["abc"], False),
    ],
)
def test_output_is_compared_to_the_letter(expected: list[str], said: list[str], same: bool) -> None:
    assert agrees(expected, said) is same
