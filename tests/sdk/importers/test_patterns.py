"""Other dialects of regular expressions: found in the same texts here, or refused."""

from __future__ import annotations

import pytest

from flagstone.engine.regex import compile_regex
from flagstone.importers import CannotCarryError
from flagstone.importers.python_patterns import of_python
from flagstone.importers.rust_patterns import of_rust


@pytest.mark.parametrize(
    ("pattern", "found_in", "not_in"),
    [
        ("(?ai)k", ["k", "K"], ["\u212a"]),
        ("(?i)k", ["k", "K", "\u212a"], []),
        ("(?i)ﬅ", ["ﬆ"], ["st"]),
        (r"^\d$", ["5"], ["\u0663", "a"]),
        (r"^[\W]$", ["-", "é"], ["a"]),
        (r"^\s$", ["\u3000", "\x1c"], ["x"]),
        ("a$", ["a", "a\n"], ["a\n\n"]),
    ],
)
def test_a_pattern_of_pythons_is_found_in_the_same_ascii_texts(
    pattern: str, found_in: list[str], not_in: list[str]
) -> None:
    translated = of_python(pattern, exact=False)
    assert translated is not None
    search = compile_regex(translated[0])
    assert [search(text) for text in found_in + not_in] == [True] * len(found_in) + [False] * len(
        not_in
    )


@pytest.mark.parametrize(
    ("pattern", "is_lossy"),
    [(r"\d", True), (r"[\w]", True), (r"a\b", True), (r"\s", False), (r"(?a)\d\w\b", False)],
)
def test_what_knows_ascii_only_is_lossy_and_if_it_must_be_exact_written_out_or_refused(
    pattern: str, is_lossy: bool
) -> None:
    translated = of_python(pattern, exact=False)
    assert translated is not None
    assert translated[1] is is_lossy
    if r"\d" in pattern or not is_lossy:
        exactly = of_python(pattern, exact=True)
        assert exactly is not None
        assert exactly[1] is False
    else:
        with pytest.raises(CannotCarryError, match="letters of any script"):
            of_python(pattern, exact=True)


@pytest.mark.parametrize(
    ("pattern", "found_in", "not_in"),
    [
        (r"^\d+$", ["12", "\u0663"], ["a"]),
        (r"^[\d.]$", ["\u0e59", "."], ["a"]),
        (r"^[^]\d]$", ["a"], ["]", "\u0663"]),
        (r"^[^][:alpha:]\s]$", ["5"], ["]", "a", "\u3000"]),
        (r"^\S\D$", ["aa"], ["a\u0663", "\u3000a"]),
        (r"^\{\\d$", ["{\\d"], ["{5"]),
    ],
)
def test_a_pattern_of_rusts_is_found_in_the_same_texts(
    pattern: str, found_in: list[str], not_in: list[str]
) -> None:
    written, is_lossy = of_rust(pattern, exact=True)
    assert not is_lossy
    search = compile_regex(written)
    assert [search(text) for text in found_in] == [True] * len(found_in)
    assert [search(text) for text in not_in] == [False] * len(not_in)
    narrowed, narrowed_is_lossy = of_rust(pattern, exact=False)
    assert (narrowed, narrowed_is_lossy) == (pattern, pattern != r"^\{\\d$")


@pytest.mark.parametrize(
    "pattern",
    [
        "[a[b]]",
        "[a&&b]",
        "[^]&&a]",
        "[a--b]",
        "[a~~b]",
        "a{,2}",
        "a{",
        r"\Qa\E",
        r"\<a",
        r"\b{start}",
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_what_rust_reads_differently_is_refused(pattern: str, exact: bool) -> None:
    with pytest.raises(CannotCarryError, match="differently"):
        of_rust(pattern, exact=exact)


@pytest.mark.parametrize("pattern", [r"\w", r"a\b", r"\B", r"[\D]", r"[^\S]"])
def test_what_would_need_tables_of_letters_is_refused_if_it_must_be_exact(pattern: str) -> None:
    assert of_rust(pattern, exact=False) == (pattern, True)
    with pytest.raises(CannotCarryError, match="differently"):
        of_rust(pattern, exact=True)
