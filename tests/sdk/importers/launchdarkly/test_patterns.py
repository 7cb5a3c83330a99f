"""LaunchDarkly's patterns are found where its SDK finds them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine.regex import compile_regex
from flagstone.importers import CannotCarryError
from flagstone.importers.python_patterns import of_python
from tests.sdk.engine.fuzzing import fuzzed

PIECES = st.sampled_from(
    ["a", "B", "i", "k", "ß", "[a-c]", "[^b]", "[iK]", ".", r"\d", r"\D", r"\s", r"\S", r"[\d_]",
     "^", "$", r"\A", r"\Z", "a*", "b+?", "(?:ab|c)", "(x|$)", "c{2,3}", "(?i:Sk)", "(?-i:a)",
     r"(?a:\w)", r"(?a:\b)", r"\.", r"\n", "[]a]", "[a\\-]", "|", "(?m:^a$)", "(?s:.)", "é"]
)  # fmt: skip
PATTERNS = st.builds(
    lambda flags, pieces: flags + "".join(pieces),
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?a)", "(?ia)"]),
    st.lists(PIECES, max_size=5),
)
TEXTS = st.text(alphabet="aAbBciIkKxsS\u0130\u0131\u212a\u017f_ 1٣é\n\x1c\x85.-]ß", max_size=8)


@fuzzed(60)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=20))
def test_a_pattern_is_found_where_python_finds_it(pattern: str, texts: list[str]) -> None:
    re2 = pytest.importorskip("re2", reason="the SDK's tests are run without its peer google-re2")
    try:
        found_by_re = of_python(pattern, exact=True)
    except CannotCarryError:
        return
    if found_by_re is None:
        with pytest.raises(re.error):
            re.compile(pattern)
        return
    written, is_lossy = found_by_re
    assert not is_lossy
    found, theirs = compile_regex(written), re2.compile(written)
    for text in texts:
        expected = re.search(pattern, text) is not None
        assert found(text) is expected
        assert (theirs.search(text) is not None) is expected


def test_a_pattern_that_python_refuses_matches_nobody() -> None:
    for pattern in ("(", "a**", "(?P<1>a)", "[b-a]", "\\"):
        assert of_python(pattern, exact=True) is None
