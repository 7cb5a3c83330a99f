"""Every transcript in the SDK's README that needs no service is true."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "sdk" / "README.md"
TRANSCRIPTS = [
    text
    for text in re.findall(r"```pycon\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    if "import Client" not in text
]
PRO = {"attr": "plan", "op": "in", "values": ["pro"]}
FLAG_SET = {
    "schema": 1,
    "environment": "shop",
    "version": 1,
    "flags": {
        "price": {
            "key": "price",
            "type": "integer",
            "variants": {"usual": {"value": 10}, "cheap": {"value": 9}},
            "rules": [{"id": "pro", "when": PRO, "serve": "cheap"}],
            "default": "usual",
            "metadata": {"owner": "growth"},
        },
        "banner": {
            "key": "banner",
            "type": "boolean",
            "variants": {"on": {"value": True}},
            "default": "on",
        },
    },
    "segments": {},
}


@pytest.mark.parametrize("text", TRANSCRIPTS)
def test_a_transcript_holds(text: str) -> None:
    names = {"flag_set": FLAG_SET, "__name__": "__main__"}
    test = doctest.DocTestParser().get_doctest(text, names, "README", str(README), 0)
    assert test.examples
    options = doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=options).run(test).failed == 0


def test_the_transcripts_are_found() -> None:
    assert len(TRANSCRIPTS) == 3
