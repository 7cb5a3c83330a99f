"""Regular expressions mean what RE2 means, and take no longer than it may take."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine.regex import SHORT_TEXT, compile_regex
from flagstone.engine.regex_automaton import MAX_REMEMBERED, Automaton
from flagstone.engine.regex_syntax import RegexError, parse

re2 = pytest.importorskip("re2", reason="the SDK's tests are run without its peer google-re2")

ATOMS = [
    "a", "b", "A", "k", "s", "é", "É", ".", "\\d", "\\w", "\\W", "\\s", "\\S", "\\D", "[a-c]",
    "[^a]", "[^a-z]", "[[:alpha:]]", "[[:^digit:]x]", "\\b", "^", "$", "\\A", "\\z", "(", "(?:",
    "(?i:", "(?-i:", "(?m:", "(?s:", ")", ")", "|", "*", "+", "?", "*?", "{2}", "{1,3}", "{2,}",
    "{,2}", "{", "}", "\\n", "-", "[k-]", "[-k]", "[\\w-]", "[]a]", "\\x41", "\\x{e9}", "(?P<n>",
    "\\Qa.b\\E", "\\.", "\\1", "(?=a)", "a++", "(?>a)", "]", " ", "_", "ß", "ı", "i", "I",
    "[+--]", "[a-z-9]", "\\_", "\\é", "\\p", "(?#", "(?<!a)",
]  # fmt: skip
TEXTS = st.text("aAbBkKsSéÉ \n_1-.xßıiIſ\u212aİẞ", max_size=8)
QUIET = re2.Options()
QUIET.log_errors = False


@given(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=7).map("".join), st.lists(TEXTS))
@settings(max_examples=400, deadline=None)
def test_a_pattern_is_accepted_and_found_as_by_re2(pattern: str, texts: list[str]) -> None:
    try:
        peer = re2.compile(pattern, QUIET)
    except re2.error:
        peer = None
    try:
        search, automaton = compile_regex(pattern), Automaton(parse(pattern))
    except RegexError:
        assert peer is None
        return
    assert peer is not None
    for text in texts:
        found = peer.search(text) is not None
        assert search(text) is found
        assert automaton.search(text) is found
        # Long texts always go to the automaton.
        padded = "\n" * SHORT_TEXT + text
        assert search(padded) is (peer.search(padded) is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(a)\\1", "(?P=n)", "(?>a)", "a++", "a*+", "a?+",
        "(?(1)a|b)", "(?#c)", "\\Z", "\\pL", "\\u0041", "a**", "(", ")", "[", "[b-a]", "a{1001}",
        "*", "+a", "{2}", "(?x)a", "\\", "(?P<>a)", "(?P<é>a)", "[[:cute:]]", "\\xZZ",
        "\\x{110000}",         "(" * 101 + ")" * 101, "a" * 1001, "((a{99}){99}){99}",
    ],
)  # fmt: skip
def test_what_is_not_re2_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError):
        compile_regex(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [("\\B", "", True), ("\\b", "", False), ("a\\B", "ab", True), ("a\\B", "a", False),
     ("\\Ba", "ba", True), ("\\ba", "ba", False)],
)  # fmt: skip
def test_borders_of_words_are_re2s(pattern: str, text: str, found: bool) -> None:
    assert (re2.search(pattern, text) is not None) is found
    assert compile_regex(pattern)(text) is found
    assert Automaton(parse(pattern)).search(text) is found


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 20_000 + "b"),
        ("(a|a)*$", "a" * 20_000 + "b"),
        ("(a|aa)+$", "a" * 20_000 + "b"),
        (".*.*.*.*x", "a" * 20_000),
        ("a?" * 40 + "a" * 40, "a" * 39),
        ("(a|a)" * 40, "a" * 39 + "b"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 20_000),
        ("(x+x+)+y", "x" * 20_000),
        ("([a-zA-Z0-9]+)*$", "a" * 400 + "!"),
        ("a.*b", "a" * 20_000),
        ("(.*){1,32}[bc]", "a" * 400),
    ],
)
def test_no_pattern_backtracks_catastrophically(pattern: str, text: str) -> None:
    search = compile_regex(pattern)
    started = time.process_time()
    assert search(text) is (re2.search(pattern, text) is not None)
    assert time.process_time() - started < 2


def test_what_the_automaton_remembers_is_bounded() -> None:
    automaton = Automaton(parse("(a|b)*a(a|b){12}c"))
    number, text = 1, ""
    for _ in range(9_000):  # a linear-feedback register: all short texts of a and b
        text += "ab"[number & 1]
        number = number >> 1 ^ (-(number & 1) & 0xB400)
    assert automaton.search(text) is False
    assert automaton.search(text + "a" + "b" * 12 + "c") is True
    assert len(automaton._remembered) <= MAX_REMEMBERED + 1


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_ignoring_case_is_re2s(constant: str, text: str) -> None:
    pattern = re2.escape(constant)
    found = re2.search(f"(?i){pattern}", text) is not None
    assert (compile_regex(pattern, ci=True)(text)) is found
