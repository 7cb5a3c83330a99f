"""Flagsmith's patterns are Python's, matched at the beginning of a text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine.regex import compile_regex
from flagstone.importers import CannotCarryError
from flagstone.importers.python_patterns import of_python
from tests.sdk.engine.fuzzing import fuzzed

PIECES = (
    "a",
    "b",
    "i",
    "K",
    ".",
    r"\d",
    r"\s",
    r"\S",
    "[ab]",
    "[^a]",
    "[i-k]",
    "^",
    "$",
    r"\Z",
    "-",
    "@",
    "\n",
    "(?:ab|c)",
    "(a|b)",
    "1",
    "ß",
)
PATTERNS = st.builds(
    lambda mode, pieces: mode + "".join(pieces),
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)", "(?x)"]),
    st.lists(
        st.builds(
            str.__add__, st.sampled_from(PIECES), st.sampled_from(["", "", "*", "+?", "?", "{2}"])
        ),
        max_size=6,
    ),
)


@fuzzed(60)
@given(PATTERNS, st.lists(st.text("aabiIkK1-@. \n", max_size=6), min_size=1, max_size=8))
def test_a_pattern_finds_what_pythons_match_finds(pattern: str, texts: list[str]) -> None:
    try:
        found = of_python(pattern, exact=False)
    except CannotCarryError:
        return
    if found is None:
        with pytest.raises(re.error):
            re.compile(pattern)
        return
    written = rf"\A(?:{found[0]})"
    search = compile_regex(written)
    for text in texts:
        assert search(text) is (re.match(pattern, text) is not None), (pattern, written, text)
