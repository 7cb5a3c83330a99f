"""Semantic versions and padded versions."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine.semver import padded, sort_key

# The order that semver.org gives in its eleventh paragraph, and more of the same.
ASCENDING = [
    "0.0.1", "0.9.0", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-99999999999999999999",
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
]  # fmt: skip


@pytest.mark.parametrize("strict", [True, False])
def test_versions_have_the_order_of_the_specification(strict: bool) -> None:
    for lower, higher in pairwise(ASCENDING):
        assert sort_key(lower, strict=strict) < sort_key(higher, strict=strict)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "1.0.0"), ("1.2", "1.2.0"), ("v1.2.3", "1.2.3"), ("1.2.3+a", "1.2.3+b"),
     ("V2-rc", "2.0.0-rc"), ("01.002", "1.2.0"), ("1.0.0-01", "1.0.0-1")],
)  # fmt: skip
def test_leniently_these_are_equal_and_strictly_one_is_refused(one: str, other: str) -> None:
    assert sort_key(one) == sort_key(other)
    if "+" not in one:
        with pytest.raises(ValueError, match="not a semantic version"):
            sort_key(one, strict=True)


@pytest.mark.parametrize(
    "text",
    ["", "v", "one", "1.2.3.4", "1..2", "-1", "1.0.0-", "1.0.0-a..b", "1.0.0\n", " 1", "١.0.0",
     "9" * 5000, "1.0.0-é"],
)  # fmt: skip
def test_no_version_is_refused(text: str) -> None:
    for strict in (True, False):
        with pytest.raises(ValueError, match="not a semantic version"):
            sort_key(text, strict=strict)


@given(st.text("0123456789.-+vab", max_size=12))
@settings(deadline=None)
def test_what_is_strict_is_lenient_too(text: str) -> None:
    try:
        key = sort_key(text, strict=True)
    except ValueError:
        return
    assert sort_key(text) == key
    assert re.match(r"\d+\.\d+\.\d+", text)


def test_padded_versions_compare_as_texts() -> None:
    assert padded("v1.2.3+build") == "    1-    2-    3-~"
    assert padded("1.2.3-rc.1") == "    1-    2-    3-rc-    1"
    versions = ["1.2.3-beta", "1.2.3", "1.2.10", "1.10.0", "10.0.0"]
    assert sorted(versions, key=padded) == versions
