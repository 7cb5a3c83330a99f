"""A clause holds where it holds in LaunchDarkly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdk.importers.launchdarkly.building import clause, matches, when


def org(**attributes: Any) -> dict[str, Any]:
    return {"kind": ["user", "org"], "org": {"key": "o", **attributes}}


HOLDS = [
    (clause("a", "in", "x"), {"a": "x"}),
    (clause("a", "in", "x", "y"), {"a": ["z", "y"]}),
    (clause("a", "in", 1), {"a": 1.0}),
    (clause("a", "in", True), {"a": True}),
    (clause("a", "in", {"b": [2]}), {"a": {"b": [2]}}),
    (clause("a", "in", None, "x"), {"a": [None]}),
    (clause("a", "startsWith", "pre"), {"a": ["no", "prefix"]}),
    (clause("a", "endsWith", "fix"), {"a": "suffix"}),
    (clause("a", "contains", "uff"), {"a": "suffix"}),
    (clause("a", "contains", "uff"), {"a": [5, "suffix"]}),
    (clause("a", "matches", "^a.c$"), {"a": "abc\n"}),
    (clause("a", "matches", r"^\d$"), {"a": "٣"}),
    (clause("a", "lessThan", 5), {"a": 4.9}),
    (clause("a", "lessThanOrEqual", 5), {"a": 5}),
    (clause("a", "greaterThan", 5), {"a": [1, 6]}),
    (clause("a", "greaterThanOrEqual", 5, "x"), {"a": 5.0}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": "2026-01-01T00:30:00+01:00"}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": 1767225599999}),
    (clause("a", "after", 1767225600000), {"a": "2026-01-01T00:00:00.001Z"}),
    (clause("a", "after", 1767225600000), {"a": ["never", "2027-01-01T00:00:00Z"]}),
    (clause("a", "semVerEqual", "2.0.0"), {"a": "2"}),
    (clause("a", "semVerLessThan", "2.1"), {"a": "2.1-beta"}),
    (clause("a", "semVerGreaterThan", "2.0.0-rc.2"), {"a": "2.0.0-rc.11"}),
    (clause("a", "in", "x", negate=True), {"a": "y"}),
    (clause("a", "in", negate=True), {"a": "y"}),
    (clause("a", "unheardOf", "x", negate=True), {"a": "x"}),
    (clause("/a/b", "in", "x"), {"/a/b": "x"}),
    (clause("/a/b", "in", "x", contextKind="user"), {"a": {"b": "x"}}),
    (clause("/a~1b/~0c", "in", "x", contextKind="user"), {"a/b": {"~c": "x"}}),
    (clause("/a~01", "in", "x", contextKind="user"), {"a~1": "x"}),
    (clause("a/b", "in", "x", contextKind="user"), {"a/b": "x"}),
    (clause("key", "in", "u"), {}),
    (clause("key", "in", "42"), {"targetingKey": 42}),
    (clause("key", "startsWith", "4"), {"targetingKey": 42}),
    (clause("key", "semVerLessThan", "43"), {"targetingKey": 42}),
    (clause("key", "contains", "2"), {"targetingKey": 42.0}),
    (clause("key", "in", "x", negate=True), {}),
    (clause("key", "in", "o", contextKind="org"), org()),
    (clause("name", "in", "Acme", contextKind="org"), org(name="Acme")),
    (clause("/address/city", "in", "Wien", contextKind="org"), org(address={"city": "Wien"})),
    (clause("anonymous", "in", False), {}),
    (clause("anonymous", "in", True), {"anonymous": True}),
    (clause("anonymous", "in", True, negate=True), {}),
    (clause("anonymous", "in", True, False), {}),
    (clause("anonymous", "in", False, contextKind="org"), org()),
    (clause("kind", "in", "user"), {}),
    (clause("kind", "in", "user"), {"kind": "user"}),
    (clause("kind", "startsWith", "or"), org()),
    (clause("kind", "in", "device", negate=True), org()),
    (clause("kind", "in", "org", contextKind="device"), org()),
]
HOLDS_NOT = [
    (clause("a", "in", 1), {"a": True}),
    (clause("a", "in", True), {"a": 1}),
    (clause("a", "in", "1"), {"a": 1}),
    (clause("a", "in", None), {"a": None}),
    (clause("a", "in", [2]), {"a": [2]}),
    (clause("a", "in"), {"a": "x"}),
    (clause("a", "contains", "x"), {"a": [["x"]]}),
    (clause("a", "contains", 5), {"a": [[5]]}),
    (clause("a", "startsWith", "9"), {"a": 99}),
    (clause("a", "matches", "^abc$"), {"a": "abc\n\n"}),
    (clause("a", "matches", "("), {"a": "("}),
    (clause("a", "matches", 5), {"a": "5"}),
    (clause("a", "lessThan", 5), {"a": "4"}),
    (clause("a", "lessThan", "5"), {"a": 4}),
    (clause("a", "lessThan", 5), {"a": True}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": "2025-01-01T00:00:00"}),
    (clause("a", "before", "2026-01-01T00:00:00Z"), {"a": "2025-01-01"}),
    (clause("a", "before", "2026-01-01"), {"a": "2025-01-01T00:00:00Z"}),
    (clause("a", "before", 1767225600000), {"a": 1767225600000}),
    (clause("a", "semVerEqual", "2.0.0"), {"a": "v2.0.0"}),
    (clause("a", "semVerEqual", "2.1.0"), {"a": "2.01"}),
    (clause("a", "semVerEqual", "2"), {"a": 2}),
    (clause("a", "semVerEqual", "v2"), {"a": "2"}),
    (clause("a", "in", "x", negate=True), {}),
    (clause("a", "in", "x", negate=True), {"a": None}),
    (clause("a", "in", "x", negate=True), {"a": ["y", "x"]}),
    (clause("a", "unheardOf", "x"), {"a": "x"}),
    (clause("/a/b", "in", "x"), {"a": {"b": "x"}}),
    (clause("key", "in", 42), {"targetingKey": 42}),
    (clause("key", "greaterThan", 5), {"targetingKey": 42}),
    (clause("key", "startsWith", "t"), {"targetingKey": True}),
    (clause("key", "in", "x", negate=True, contextKind="org"), {}),
    (clause("anonymous", "in", False), {"anonymous": True}),
    (clause("anonymous", "in", False, contextKind="org"), {}),
    (clause("anonymous", "startsWith", "f"), {}),
    (clause("kind", "in", "user"), {"kind": "org"}),
    (clause("kind", "in", "org", negate=True), org()),
]


@pytest.mark.parametrize(("one", "context"), HOLDS)
def test_a_clause_holds_where_it_does_in_launchdarkly(one: Any, context: Any) -> None:
    assert matches(when(one), context)


@pytest.mark.parametrize(("one", "context"), HOLDS_NOT)
def test_a_clause_fails_where_it_does_in_launchdarkly(one: Any, context: Any) -> None:
    assert not matches(when(one), context)


def test_every_clause_of_a_rule_must_hold_and_none_is_everybody() -> None:
    both = when(clause("a", "in", 1), clause("b", "in", 2))
    assert matches(both, {"a": 1, "b": 2})
    assert not matches(both, {"a": 1})
    assert matches(when(), {})
