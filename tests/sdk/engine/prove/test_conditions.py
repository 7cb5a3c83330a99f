"""What is proved of each operator: one edit of a condition a line, with its verdict."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import Verdict
from flagstone.engine.operators import OPERATORS
from tests.sdk.engine.prove.test_laws import boolean, judged, rule

NO_OP, WIDENS, NARROWS = Verdict.NO_OP, Verdict.ONLY_WIDENS, Verdict.ONLY_NARROWS
MOVES, OPEN = Verdict.MOVES_OTHERS, Verdict.NOT_DECIDED


def a(op: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"attr": "a", "op": op, "values": list(values), **more}


def part(op: str, *values: Any) -> dict[str, Any]:
    return {"attr": ["a", "x"], "op": op, **({"values": list(values)} if values else {})}


def against(op: str, source: Any = None) -> dict[str, Any]:
    return {"attr": "a", "op": op, "values_from": source or {"attr": "b"}}


def both(*parts: Any) -> dict[str, Any]:
    return {"all": list(parts)}


def either(*parts: Any) -> dict[str, Any]:
    return {"any": list(parts)}


def no(part: Any) -> dict[str, Any]:
    return {"not": part}


def each(condition: Any) -> dict[str, Any]:
    return {"attr": "a", "each": condition}


EXISTS = {"attr": "a", "op": "exists"}
NUMBER, STRING, LENGTH = {"as": "number"}, {"as": "string"}, {"as": "length"}
AUTO, JOINED, CI = {"as": "auto"}, {"as": "joined"}, {"ci": True}
NOW = {"clock": "now"}

EVEN, ODD = a("mod", [2, 0]), a("mod", [2, 1])
NOBODY = both(a("in", "x"), no(a("in", "x")))

EDITS: list[tuple[str, Any, Any, Verdict]] = [
    ("one more constant", a("in", "x"), a("in", "x", "y"), WIDENS),
    ("another order of constants", a("in", "x", "y"), a("in", "y", "x"), NO_OP),
    ("another type", a("in", 1), a("in", True), MOVES),
    ("another kind of number", a("in", 1), a("in", 1.0), NO_OP),
    ("an even number between 1 and 3", both(EVEN, a("gt", 1), a("lt", 3)), NOBODY, NARROWS),
    ("no odd number between 1 and 3", both(ODD, a("gt", 1), a("lt", 3)), NOBODY, NO_OP),
    ("elements as well", a("starts_with", "x"), a("starts_with", "x", elements=True), WIDENS),
    ("text has no parts", both(a("in", "x"), part("exists")), NOBODY, NO_OP),
    ("a number has no parts", both(a("gt", 1), part("in", "y")), NOBODY, NO_OP),
    ("what has parts is an object", both(a("type", "object"), part("in", "y")),
     part("in", "y"), NO_OP),
    ("in any case", a("in", "x"), a("in", "x", **CI), WIDENS),
    ("both cases are any case", a("in", "x", "X"), a("in", "X", **CI), NO_OP),
    ("the Kelvin sign is a k", a("in", "k", "K"), a("in", "k", **CI), WIDENS),
    ("exists and missing", EXISTS, no(no(EXISTS)), NO_OP),
    ("what is in exists", a("in", "x"), EXISTS, WIDENS),
    ("not in holds where it is missing", both(EXISTS, no(a("in", 1))), no(a("in", 1)), WIDENS),
    ("a shorter end", a("ends_with", "@acme.com"), a("ends_with", "acme.com"), WIDENS),
    ("a shorter beginning", a("starts_with", "ab"), a("starts_with", "a"), WIDENS),
    ("beginning is containing", a("starts_with", "ab"), a("contains", "ab"), WIDENS),
    (
        "beginning is containing, of texts",
        a("starts_with", "ab"),
        both(a("contains", "ab"), a("type", "string")),
        WIDENS,
    ),
    ("an end in any case", a("ends_with", "@A.b", **CI), a("ends_with", "@a.B", **CI), NO_OP),
    ("the same language", a("regex", "^aa*$"), a("regex", "^a+$"), NO_OP),
    ("a larger language", a("regex", "^a+$"), a("regex", "^a*$"), WIDENS),
    ("another language", a("regex", "^a+$"), a("regex", "^b+$"), MOVES),
    ("a language and a beginning", a("regex", "^ab"), a("starts_with", "ab"), NO_OP),
    ("a language and constants", a("regex", "^(a|b)$"), a("in", "a", "b"), NO_OP),
    ("a language of numbers", a("regex", "^a", **STRING), a("regex", "^[ab]", **STRING), WIDENS),
    ("numbers have no letters", a("regex", "^[a-d]"), a("regex", "^[a-d]", **STRING), NO_OP),
    ("infinity has no text", a("regex", "^[0-9]"), a("regex", "^[0-9]", **STRING), WIDENS),
    ("a word's border", a("regex", r"\bab\b"), a("regex", r"(^|\W)ab(\W|$)"), NO_OP),
    ("any case in a language", a("regex", "(?i)^ab$"), a("regex", "^ab$", **CI), NO_OP),
    ("a lower bound", a("gt", 18), a("gte", 18), WIDENS),
    ("a bound between integers", a("gt", 17), a("gte", 18), NARROWS),
    ("a bound between lengths", a("gt", 17, **LENGTH), a("gte", 18, **LENGTH), NO_OP),
    ("no bound is a bound", either(a("lt", 5), a("gte", 5)), a("type", "number"), NO_OP),
    ("an upper bound", a("lt", 18.5), a("lte", 18), NARROWS),
    ("texts have an order", a("lt", "b"), a("lte", "b"), WIDENS),
    ("texts' order and beginning", both(a("gte", "a"), a("lt", "b")), a("starts_with", "a"), NO_OP),
    ("texts of numbers", a("gte", 18), a("gte", 18, **NUMBER), WIDENS),
    ("texts of numbers in order", a("gt", 18, **NUMBER), a("gte", 18, **NUMBER), WIDENS),
    ("numbers as texts", a("in", "18"), a("in", "18", **STRING), WIDENS),
    ("either as the other", a("in", "18", 18), a("in", 18, **AUTO), WIDENS),
    ("what is joined", a("in", "1,2", **JOINED), a("in", "1,2", "1,3", **JOINED), WIDENS),
    ("earlier", a("before", "2026-01-01"), a("before", "2026-01-01T00:00:00Z"), NO_OP),
    ("later", a("after", "2026-01-02"), a("after", "2026-01-01"), WIDENS),
    ("a version's parts", a("semver_gte", "1.2"), a("semver_gte", "1.2.0"), NO_OP),
    ("a version's fix", a("semver_gt", "1.2.3"), a("semver_gte", "1.2.4-0"), NO_OP),
    ("a pre-release", a("semver_gte", "1.2.3"), a("semver_gte", "1.2.3-rc.1"), WIDENS),
    ("a build", a("semver_eq", "1.2.3"), a("semver_eq", "1.2.3+b"), NO_OP),
    ("one of two orders", either(a("semver_lt", "2.0.0"), a("semver_gt", "2.0.0")),
     no(a("semver_eq", "2.0.0")), WIDENS),
    ("at most", a("semver_lt", "2.0.0"), a("semver_lte", "2.0.0"), WIDENS),
    ("strictly", a("semver_eq", "1.2.3", strict=True), a("semver_eq", "1.2.3"), OPEN),
    ("the next version", a("semver_gt", "1.2.3-a"), a("semver_gte", "1.2.3-a.0"), NO_OP),
    ("the version after the next", a("semver_gt", "1.2.3-a"), a("semver_gte", "1.2.3-a.0.0"),
     NARROWS),
    ("many constants in any case", a("in", *(f"X{n}" for n in range(40)), **CI),
     a("in", *(f"x{n}" for n in range(40))), NARROWS),
    ("a padded version", a("version_gt", "1.2"), a("version_gte", "1.2"), WIDENS),
    ("padded versions", a("version_lt", "1.2"), either(a("version_lte", "1.2")), WIDENS),
    ("a padded version itself", a("version_eq", "1.2"), a("version_eq", "v1.2"), NO_OP),
    ("halves of a network", a("cidr", "10.0.0.0/8"),
     a("cidr", "10.0.0.0/9", "10.128.0.0/9"), NO_OP),
    ("a larger network", a("cidr", "10.0.0.0/8"), a("cidr", "10.0.0.0/7"), WIDENS),
    ("the last address", a("cidr", "255.255.255.254/31"), a("cidr", "255.255.255.255"), NARROWS),
    ("another family", a("cidr", "0.0.0.0/0"), a("cidr", "::/0"), MOVES),
    ("one more type", a("type", "string"), a("type", "string", "null"), WIDENS),
    ("a finer remainder", a("mod", [2, 0]), a("mod", [4, 0]), NARROWS),
    ("remainders together", a("mod", [2, 0]), a("mod", [4, 0], [4, 2]), NO_OP),
    ("an element", a("contains", "x"), a("contains", "x", "y"), WIDENS),
    ("an element of an array", both(a("contains", "x"), a("type", "array")),
     a("in", "x", elements=True), WIDENS),
    ("an element is one of them", each({"op": "in", "values": ["x"]}),
     both(a("in", "x", elements=True), a("type", "array")), NO_OP),
    ("elements apart", each(both({"op": "gt", "values": [1]}, {"op": "lt", "values": [5]})),
     both(each({"op": "gt", "values": [1]}), each({"op": "lt", "values": [5]})), WIDENS),
    ("parts of elements", each({"attr": "x", "op": "in", "values": [1]}),
     each(both({"attr": "x", "op": "in", "values": [1]}, {"attr": "y", "op": "exists"})), NARROWS),
    ("an empty array", a("gte", 1, **LENGTH), a("gte", 0, **LENGTH), WIDENS),
    ("a longer array", both(each(True), a("type", "array")), both(a("gt", 0, **LENGTH),
     a("type", "array")), NO_OP),
    ("an array as it is", a("in", ["x", 1]), both(a("in", ["x", 1]), a("in", 2, **LENGTH)), NO_OP),
    ("two elements", both(each({"op": "in", "values": ["x"]}), each({"op": "in", "values": ["y"]})),
     both(each({"op": "in", "values": ["x"]}), each({"op": "in", "values": ["y"]}),
          a("gte", 2, **LENGTH)), NO_OP),
    ("an object as it is", a("in", {"x": 1}), a("in", {"x": 1}, {"x": True}), WIDENS),
    ("inside an object", {"attr": ["a", "x"], "op": "exists"},
     both({"attr": ["a", "x"], "op": "exists"}, a("type", "object")), NO_OP),
    ("inside no object", both({"attr": ["a", "x"], "op": "exists"}, a("type", "string")),
     both(a("type", "string"), a("type", "number")), NO_OP),
    ("another attribute", against("lt"), against("lte"), WIDENS),
    ("another attribute is there", against("in"),
     both(against("in"), {"attr": "b", "op": "exists"}), NO_OP),
    ("neither less nor more", against("lt"), no(against("gte")), MOVES),
    ("before the time", against("before", NOW), against("after", NOW), MOVES),
    ("beyond the doubles", a("lt", 10**400), a("type", "number"), WIDENS),
    ("beyond all times", a("before", 10**400), a("before", 10**401), WIDENS),
    ("a pattern that is none", a("regex", "(", "^x", **AUTO), a("regex", "^x", **AUTO), NO_OP),
    ("a network that is none", a("cidr", "x", "10.0.0.0/8", **AUTO),
     a("cidr", "10.0.0.0/8", **AUTO), NO_OP),
    ("booleans as versions", a("version_eq", True, **STRING),
     a("version_eq", True, False, **STRING), WIDENS),
    ("a bucket and a text", both(a("in", "x"), {"bucket": {"salt": "s", "ranges": [[0, 10]]}}),
     {"bucket": {"salt": "s", "ranges": [[0, 10]]}}, WIDENS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [pytest.param(*edit[1:], id=edit[0].replace(" ", "-")) for edit in EDITS],
)
def test_the_verdict_on_a_condition_is(before: Any, after: Any, expected: Verdict) -> None:
    found = judged(boolean(rule(before)), boolean(rule(after)))
    assert found.verdict is expected, found.to_text()
    if expected is not OPEN:
        assert None not in (found.no_op.holds, found.only_widens.holds, found.only_narrows.holds)


def test_every_operator_has_its_line() -> None:
    assert {op for op in OPERATORS if f"'{op}'" not in repr(EDITS)} <= {"semver_lte", "version_lte"}


def test_what_cannot_be_decided_says_why() -> None:
    tiny = {"salt": "s", "of": 2**50}
    before = boolean(rule({"bucket": {**tiny, "ranges": [[0, 1]]}}))
    after = boolean(rule({"bucket": {**tiny, "ranges": [[0, 2]]}}))
    found = judged(before, after)
    # Nobody loses it, that is proved; whether anybody is in one bucket of 2**50 is not known.
    assert found.verdict is WIDENS
    assert found.no_op.holds is None
    assert found.no_op.reason == "no value was found for targetingKey in the buckets of 's'"
    texts = boolean(rule(a("starts_with", "x", "y", **AUTO)))
    mixed = boolean(rule(a("in", "x", 5, **AUTO)))
    found = judged(texts, mixed)
    assert found.only_widens.holds is False


def test_an_open_question_is_the_same_on_both_sides() -> None:
    odd = a("contains", "x", 5, **AUTO)
    plain = a("in", "x")
    found = judged(boolean(rule(odd)), boolean(rule(either(odd, plain))))
    assert found.only_widens.holds
    assert judged(boolean(rule(odd)), boolean(rule(odd))).verdict is NO_OP
