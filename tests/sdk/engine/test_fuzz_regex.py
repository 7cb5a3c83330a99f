"""Any text may come as a pattern: it is refused, or means what RE2 means and costs little."""

from __future__ import annotations

import random
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine.regex import MAX_PATTERN, SHORT_TEXT, compile_regex
from flagstone.engine.regex_automaton import MAX_REMEMBERED, Automaton
from flagstone.engine.regex_syntax import RegexError, parse
from tests.sdk.engine.fuzzing import fuzzed, seeds, shown

re2 = pytest.importorskip("re2", reason="the SDK's tests are run without its peer google-re2")

PIECES = [
    "a", "b", "c", "K", "s", "é", "ß", "ſ", "\U0001f600", ".", "\\d", "\\D", "\\w", "\\W", "\\s",
    "\\S", "\\b", "\\B", "\\A", "\\z", "^", "$", "[a-c]", "[^a]", "[^\\d]", "[\\w-]", "[]a]",
    "[-a]",
    "[a-]", "[^]", "[[:alpha:]]", "[[:^space:]_]", "[[:x:]]", "[a-\\d]", "[\\x00-\\x{10FFFF}]", "(",
    "(?:", "(?i)", "(?i:", "(?-i:", "(?ms:", "(?s)", "(?U)", "(?P<n>", "(?<m>", "(?=", "(?!", "(?>",
    ")", ")", "|", "|", "*", "+", "?", "*?", "+?", "??", "++", "{0}", "{1}", "{2,}", "{0,3}",
    "{3,2}", "{1000}", "{1001}", "{,3}", "{a}", "{", "}", "]", "\\", "\\1", "\\x41", "\\x{e9}",
    "\\xg", "\\Q", "\\E", "\\n", "\\t", "\\C", "\\pL", "\\p{Greek}", "\\PN", "\\Z", "\\G", "\\K",
    "\\R", "\\07", "\\0", "\\-", "\\_", "\\é", "\n", "\x00", " ", "#", "-", ",", "(?#c)", "(?P=n)",
]  # fmt: skip
ATOMS = [
    "a", "b", "s", "k", "é", ".", "\\d", "\\w", "\\W", "\\s", "\\S", "[a-c]", "[^a]", "[^\\d\\s]",
    "$", "^", "\\b", "\\A", "\\z", "[[:alpha:]_]", "\\x{e9}", "\\n", "(?i:K)", "\\Q.*\\E",
]  # fmt: skip
REPEATS = ["", "", "", "*", "+", "?", "*?", "{2}", "{0,3}", "{1,}"]


def grown(rng: random.Random, depth: int = 0) -> str:
    """Return a pattern that is sound."""
    pattern = ""
    for _ in range(rng.randint(1, 3)):
        if depth < 3 and rng.randrange(3) == 0:
            start = rng.choice(["(", "(?:", "(?i:", "(?s:", "(?m:", "(?-i:"])
            pattern += f"{start}{grown(rng, depth + 1)}){rng.choice(REPEATS)}"
        else:
            pattern += rng.choice(ATOMS) + rng.choice(REPEATS)
    return pattern if rng.randrange(4) else f"{pattern}|{rng.choice(ATOMS)}"


patterns = (
    seeds.map(grown)
    | seeds.map(grown)
    | st.lists(st.sampled_from(PIECES), max_size=9).map("".join)
    | st.text("ab()[]{}|*+?^$\\.-,:0129\\iAzbBdDwWQEPx<>=!n", max_size=14)
    | st.text(max_size=12)
)
ALPHABETS = [
    "ab\n", "abskKé\n 1.", "aAbBcKkSséÉß\n _1-.xſ\u212a\U0001f600\x00", "\ud800aé\x7f\u2028",
]  # fmt: skip
QUIET = re2.Options()
QUIET.log_errors = False
# Where RE2 says yes and we say no: Unicode's properties (the standard library has no table of
# them), octal digits, a byte of a character, ungreediness, a repeat after a lone flag, and size.
OURS_ALONE = re.compile(r"\\[pPC0-7]|\(\?[imsU-]*U|\(\?[imsU-]+\)\\?.?[*+?{]|\{\d|.{1001}", re.S)


def is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def peer_of(pattern: str) -> Any:
    try:
        return re2.compile(pattern, QUIET)
    except re2.error:
        return None


def texts(rng: random.Random, count: int, *alphabets: str) -> list[str]:
    """Return short texts, in alphabets that patterns ask for."""
    chosen = [rng.choice(alphabets or ALPHABETS) for _ in range(count)]
    found = ["".join(rng.choices(alphabet, k=rng.randrange(9))) for alphabet in chosen]
    # Whether the end comes before a last newline is where dialects differ.
    return [f"{text}\n" if rng.randrange(4) == 0 else text for text in found]


@given(patterns, seeds)
@fuzzed(110)
def test_any_text_is_a_pattern_of_re2_or_refused(pattern: str, rng: random.Random) -> None:
    with shown(pattern):
        try:
            search, automaton = compile_regex(pattern), Automaton(parse(pattern))
        except RegexError:
            # What is only JSON's, but not UTF-8's, RE2 cannot be asked about.
            peer = peer_of(pattern) if is_unicode(pattern) else None
            assert peer is None or OURS_ALONE.search(pattern)
            return
        several = texts(rng, 12)
        for text in several:
            steps_of(pattern, text)
            found = search(text)
            assert type(found) is bool
            assert automaton.search(text) is found
        if not is_unicode(pattern):
            return
        peer = peer_of(pattern)
        assert peer is not None
        for text in filter(is_unicode, several):
            # RE2 finds ``\\B`` between the bytes of one character; we count in characters.
            if "\\B" in pattern and not text.isascii():
                continue
            with shown(text):
                found = peer.search(text) is not None
                assert search(text) is found
                # A long text always goes to the automaton.
                padded = "\n" * SHORT_TEXT + text + "\n"
                assert search(padded) is (peer.search(padded) is not None)


@given(st.lists(st.sampled_from([*"abkKsSéßſ", "[a-c]", "[^k]", "\\w", "."]), max_size=3), seeds)
@fuzzed(40)
def test_ignoring_case_is_a_flag_of_the_whole(pieces: list[str], rng: random.Random) -> None:
    pattern = "".join(pieces)
    peer, flagged = re2.compile(f"(?i){pattern}"), compile_regex(f"(?i){pattern}")
    search = compile_regex(pattern, ci=True)
    for text in texts(rng, 20, "abkKsSéßſ\u212aẞÉ"):
        wanted = peer.search(text) is not None
        with shown(text):
            assert search(text) is wanted
            assert flagged(text) is wanted


class Budget(list):  # type: ignore[type-arg]
    """The states of an automaton; each look at one is a step, and steps run out."""

    def __init__(self, states: list[Any], steps: int) -> None:
        super().__init__(states)
        self.steps = steps

    def __getitem__(self, index: Any) -> Any:
        self.steps -= 1
        assert self.steps >= 0, "more steps than states times characters"
        return super().__getitem__(index)


def steps_of(pattern: str, text: str) -> int:
    """Count the steps of a search; it fails if there are more than the text's length allows."""
    automaton = Automaton(parse(pattern))
    # Each state once in the closure and once to read, for each character and at the end.
    most = 2 * len(automaton._states) * (len(text) + 1)
    automaton._states = budget = Budget(automaton._states, most)
    automaton.search(text)
    assert len(automaton._remembered) <= MAX_REMEMBERED + 1
    return most - budget.steps


@given(patterns, st.text("ab1 \n", min_size=1, max_size=4))
@fuzzed(40)
def test_every_search_ends_within_as_many_steps_as_there_are_characters(
    pattern: str, text: str
) -> None:
    try:
        compile_regex(pattern)
    except RegexError:
        return
    with shown(pattern, text):
        steps_of(pattern, text * 30)


HOSTILE = [
    ("(a+)+$", "a", "b"), ("(a|aa)+$", "a", "b"), ("(.*)*x", "a", ""), ("(a*)*b", "a", ""),
    ("(x+x+)+y", "x", ""), ("a.*.*.*.*=b", "=a", "\n"), ("^(([a-z])+.)+[A-Z]([a-z])+$", "a", ""),
    ("(a|b|ab)*c", "ab", ""), ("([a-zA-Z]+)*$", "a", "!"), ("(a?){30}a{30}b", "a", ""),
    ("(\\w+\\s?)*$", "a ", "!"), ("a.*b.*c.*d", "abc", ""), ("(?i)(ſ|s|S)*k$", "s", "!"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "part", "end"), HOSTILE)
def test_twenty_thousand_characters_take_no_more_steps_than_a_hundred(
    pattern: str, part: str, end: str
) -> None:
    """The automaton meets the same states again, and remembers where they lead."""
    few = steps_of(pattern, part * 100 + end)
    many = steps_of(pattern, part * (20_000 // len(part)) + end)
    assert many <= 2 * few + 1000


SLOW_WHEN_LONG = [("a.*b", "a", ""), ("a+b", "a", ""), ("(?s)^a*.a*$", "a", "b")]


@pytest.mark.parametrize("length", [12, SHORT_TEXT + 1])
@pytest.mark.parametrize(("pattern", "part", "end"), HOSTILE)
def test_no_text_goes_where_backtracking_is_possible(
    pattern: str, part: str, end: str, length: int
) -> None:
    assert_left_to_the_automaton(pattern, part * (length // len(part)) + end)


@pytest.mark.parametrize(("pattern", "part", "end"), SLOW_WHEN_LONG)
def test_no_long_text_goes_there_at_all(pattern: str, part: str, end: str) -> None:
    assert_left_to_the_automaton(pattern, part * (SHORT_TEXT + 1) + end)


def assert_left_to_the_automaton(pattern: str, text: str) -> None:
    search = compile_regex(pattern)
    called: list[str] = []

    def note_call(frame: Any, event: str, argument: Any) -> None:
        name = (
            frame.f_code.co_qualname if event == "call" else getattr(argument, "__qualname__", "")
        )
        if event in ("call", "c_call"):
            called.append(name)

    sys.setprofile(note_call)
    try:
        found = search(text)
    finally:
        sys.setprofile(None)
    assert found is (re2.search(pattern, text) is not None)
    assert "Automaton.search" in called
    assert "Pattern.search" not in called


@pytest.mark.parametrize(
    "pattern",
    [
        "a" * (MAX_PATTERN + 1), "(" * 5000, "[" * 999, "((a{99}){99}){99}", "a" * 10**6,
        "(?:" * 101 + ")" * 101, "\\x{" + "0" * 990 + "}",
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused(pattern: str) -> None:
    for ci in (False, True):
        with pytest.raises(RegexError):
            compile_regex(pattern, ci=ci)
