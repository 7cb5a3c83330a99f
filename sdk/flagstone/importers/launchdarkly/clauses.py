"""Clauses of rules: an attribute, an operator and values, perhaps negated.

A clause about an attribute that is not there never holds, negated or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flagstone.importers import reading
from flagstone.importers.conditions import (
    NOBODY,
    all_of,
    any_of,
    exists,
    holds,
    leaf,
    negated,
    written,
)
from flagstone.importers.launchdarkly.attributes import (
    USER,
    Path,
    attribute_path,
    has_value,
    kind_of,
    present,
    read_reference,
)
from flagstone.importers.launchdarkly.operators import matches


@dataclass(slots=True)
class References:
    """The segments that conditions ask, and those that are asked but are not there."""

    there: frozenset[str]
    asked: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def all_clauses(clauses: Iterable[reading.Data], references: References) -> Any:
    """Return the condition that every clause holds; of none, everybody matches."""
    return all_of([_clause(clause, references) for clause in clauses])


def _clause(clause: reading.Data, references: References) -> Any:
    kind_name = reading.optional_text(clause, "contextKind")
    reference = reading.text(clause, "attribute")
    op = reading.text(clause, "op")
    values = reading.items(clause, "values", required=True)
    negate = reading.flag(clause, "negate")
    if op == "segmentMatch":
        found = any_of([_segment(value, references) for value in values])
        return negated(found) if negate else found
    names = read_reference(reference, kind_name)
    kind = kind_of(kind_name)
    if names == ("kind",):
        found = _kind(op, values)
        return negated(found) if negate else found
    if names == ("anonymous",):
        return _anonymous(kind, op, values, negate=negate)
    path = attribute_path(kind, names)
    is_key = names == ("key",)
    found = matches(path, op, values, key=is_key)
    if not negate:
        return found
    return all_of([present(kind) if is_key else has_value(path), negated(found)])


def _segment(key: Any, references: References) -> Any:
    if not isinstance(key, str) or key not in references.there:
        # Nobody is in a segment that is not there.
        references.unknown.add(str(key))
        return NOBODY
    references.asked.add(key)
    return {"segment": key}


def _kind(op: str, values: Any) -> Any:
    """Ask for the kinds of the context: that is a list of names in one of several kinds."""
    path: Path = ("kind",)
    found = matches(path, op, values)
    if found == NOBODY:
        return NOBODY
    if not holds(found, {"kind": USER}):
        return found
    return any_of([found, all_of([negated(exists("kind")), present(USER)])])


def _anonymous(kind: str, op: str, values: Any, *, negate: bool) -> Any:
    """Ask whether a context is anonymous: one that does not say so is not."""
    wanted = {value for value in values if isinstance(value, bool)} if op == "in" else set()
    if negate:
        wanted = {True, False} - wanted
    path = attribute_path(kind, ("anonymous",))
    is_anonymous = leaf(written(path), "in", [True])
    if wanted == {True, False}:
        return present(kind)
    if wanted == {True}:
        return is_anonymous
    return all_of([present(kind), negated(is_anonymous)]) if wanted else NOBODY
