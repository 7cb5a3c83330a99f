"""OFREP 0.3.0 as released clients need it: values, reasons, errors, ETags."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from web.edge.ofrep import evaluate_all, evaluate_one, matches
from web.edge.problems import Answer
from web.edge.state import Snapshot

NOW = 1_800_000_000.0
METADATA = {"version": 3, "flagSetId": "shop/production"}


def flag(kind: str, values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    first = next(iter(values))
    return {
        "key": "f",
        "type": kind,
        "version": 3,
        "client": False,
        "variants": {name: {"value": value} for name, value in values.items()},
        "enabled": True,
        "killed": False,
        "off": None,
        "prerequisites": [],
        "targets": [],
        "rules": [],
        "default": first,
        "metadata": {},
        **changes,
    }


def split_rule(**changes: Any) -> dict[str, Any]:
    return {
        "id": "half",
        "when": True,
        "serve": {
            "split": {
                "by": "targetingKey",
                "hash": "flagstone",
                "salt": "s",
                "of": 10000,
                "missing": "skip",
                "to": [
                    {"variant": "a", "ranges": [[0, 5000]]},
                    {"variant": "b", "ranges": [[5000, 10000]]},
                ],
            }
        },
        **changes,
    }


@pytest.fixture
def one(make_snapshot_of: Callable[..., Snapshot]) -> Callable[..., Answer]:
    def evaluate(definition: dict[str, Any], body: bytes = b"{}", **options: Any) -> Answer:
        snapshot = make_snapshot_of({"f": definition})
        return evaluate_one(snapshot, "f", body, **{"client_only": False, "now": NOW, **options})

    return evaluate


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("boolean", True, "true"),
        ("boolean", False, "false"),
        ("string", "", '""'),
        ("string", "grün\n\u2028", '"grün\\n\u2028"'),
        ("integer", 0, "0"),
        ("integer", 2**53 - 1, "9007199254740991"),
        ("integer", -5, "-5"),
        ("float", 10.0, "10.0"),
        ("float", 10, "10.0"),
        ("float", 0.0, "0.0"),
        ("float", 0.1, "0.1"),
        ("object", {}, "{}"),
        ("object", {"a": [1, 2.0, None]}, '{"a":[1,2.0,null]}'),
    ],
)
def test_a_value_keeps_its_type_on_the_wire(
    one: Callable[..., Answer], kind: str, value: Any, text: str
) -> None:
    answer = one(flag(kind, {"v": value}))
    assert answer.status == 200
    assert (b"content-type", b"application/json") in answer.headers
    assert f'"value":{text}' in answer.body.decode()
    document = json.loads(answer.body)
    assert document == {
        "key": "f",
        "value": json.loads(text),
        "reason": "STATIC",
        "variant": "v",
        "metadata": METADATA,
    }


def test_the_code_default_has_no_value_and_an_empty_variant(one: Callable[..., Answer]) -> None:
    document = json.loads(one(flag("string", {"v": "x"}, default=None)).body)
    assert document == {"key": "f", "reason": "STATIC", "variant": "", "metadata": METADATA}


def test_a_null_is_left_out(one: Callable[..., Answer]) -> None:
    document = json.loads(one(flag("object", {"v": None})).body)
    assert document == {"key": "f", "reason": "STATIC", "variant": "v", "metadata": METADATA}


def test_a_disabled_flag_without_off_variant_leaves_the_value_out(
    one: Callable[..., Answer],
) -> None:
    document = json.loads(one(flag("string", {"v": "x"}, enabled=False)).body)
    assert document["reason"] == "DISABLED"
    assert document["variant"] == ""
    assert "value" not in document


def test_a_killed_flag_serves_its_off_variant_and_says_so(one: Callable[..., Answer]) -> None:
    killed = flag("boolean", {"on": True, "off": False}, off="off", killed=True)
    document = json.loads(one(killed).body)
    assert (document["value"], document["variant"], document["reason"]) == (
        False,
        "off",
        "DISABLED",
    )
    assert document["metadata"]["killed"] is True


def test_metadata_is_flat(one: Callable[..., Answer]) -> None:
    metadata = {"owner": "growth", "tier": 1, "beta": True, "nested": {"a": 1}, "list": [1]}
    document = json.loads(one(flag("string", {"v": "x"}, metadata=metadata)).body)
    assert document["metadata"] == {"owner": "growth", "tier": 1, "beta": True, **METADATA}


def test_a_split_answers_by_unit_and_each_unit_keeps_its_variant(
    one: Callable[..., Answer],
) -> None:
    half = flag("string", {"a": "A", "b": "B"}, rules=[split_rule()])
    seen = set()
    for number in range(40):
        body = json.dumps({"context": {"targetingKey": f"u{number}"}}).encode()
        first, second = one(half, body), one(half, body)
        assert first.body == second.body
        document = json.loads(first.body)
        assert document["reason"] == "SPLIT"
        seen.add(document["value"])
    assert seen == {"A", "B"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"context":null}', b'{"context":{}}', b" \n"])
def test_a_missing_context_is_tolerated_where_no_unit_is_needed(
    one: Callable[..., Answer], body: bytes
) -> None:
    assert one(flag("boolean", {"on": True}), body).status == 200


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"{", "PARSE_ERROR", "body"),
        (b"[]", "PARSE_ERROR", "body"),
        (b'{"context": "\xff"}', "PARSE_ERROR", "body"),
        (b'{"context": {}, "context": {}}', "PARSE_ERROR", "context"),
        (b'{"context": {"a": 1, "a": 2}}', "PARSE_ERROR", "a"),
        (b'{"context": ' + b"[" * 1000 + b"]" * 1000 + b"}", "PARSE_ERROR", "context"),
        (b'{"context": []}', "INVALID_CONTEXT", "context"),
        (b'{"context": 1}', "INVALID_CONTEXT", "context"),
        (b'{"context": "x"}', "INVALID_CONTEXT", "context"),
        (b'{"context": false}', "INVALID_CONTEXT", "context"),
        (b'{"context": {"targetingKey": true}}', "INVALID_CONTEXT", "context.targetingKey"),
        (b'{"context": {"targetingKey": []}}', "INVALID_CONTEXT", "context.targetingKey"),
        (b'{"context": {"targetingKey": {}}}', "INVALID_CONTEXT", "context.targetingKey"),
    ],
)
def test_a_bad_request_is_400_and_names_the_field(
    make_snapshot_of: Callable[..., Snapshot],
    one: Callable[..., Answer],
    body: bytes,
    code: str,
    field: str,
) -> None:
    snapshot = make_snapshot_of({"f": flag("boolean", {"on": True})})
    single = one(flag("boolean", {"on": True}), body)
    bulk = evaluate_all(snapshot, body, client_only=False, now=NOW)
    for answer in (single, bulk):
        document = json.loads(answer.body)
        assert answer.status == 400
        assert document["errorCode"] == code
        assert document["field"] == field
        assert document["errorDetails"]
    assert json.loads(single.body)["key"] == "f"


@pytest.mark.parametrize("key", ["nope", "", "a/b", "ü", "\ud800", "x" * 5000])
def test_an_unknown_flag_is_404(make_snapshot_of: Callable[..., Snapshot], key: str) -> None:
    answer = evaluate_one(make_snapshot_of({}), key, b"{}", client_only=False, now=NOW)
    document = json.loads(answer.body)
    assert answer.status == 404
    assert document["key"] == key
    assert document["errorCode"] == "FLAG_NOT_FOUND"


def test_a_client_key_does_not_see_a_flag_that_is_not_marked(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    snapshot = make_snapshot_of(
        {
            "open": flag("boolean", {"on": True}, key="open", client=True),
            "shut": flag("boolean", {"on": True}, key="shut"),
        }
    )
    assert evaluate_one(snapshot, "open", b"", client_only=True, now=NOW).status == 200
    assert evaluate_one(snapshot, "shut", b"", client_only=True, now=NOW).status == 404
    bulk = json.loads(evaluate_all(snapshot, b"", client_only=True, now=NOW).body)
    assert [entry["key"] for entry in bulk["flags"]] == ["open"]
    everything = json.loads(evaluate_all(snapshot, b"", client_only=False, now=NOW).body)
    assert [entry["key"] for entry in everything["flags"]] == ["open", "shut"]


def test_a_broken_flag_is_an_entry_with_an_error_and_the_others_are_served(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    snapshot = make_snapshot_of(
        {
            "bad": {**flag("boolean", {"on": True}, key="bad"), "rules": 7},
            "f": flag("string", {"v": "x"}),
        }
    )
    answer = evaluate_all(snapshot, b"{}", client_only=False, now=NOW)
    bad, good = json.loads(answer.body)["flags"]
    assert answer.status == 200
    assert bad["errorCode"] == "PARSE_ERROR"
    assert "value" not in bad
    assert good["value"] == "x"
    assert evaluate_one(snapshot, "bad", b"{}", client_only=False, now=NOW).status == 400


class TestBulkEtag:
    """The ETag is a function of the evaluated answer."""

    @pytest.fixture
    def snapshot(self, make_snapshot_of: Callable[..., Snapshot]) -> Snapshot:
        return make_snapshot_of({"f": flag("string", {"a": "A", "b": "B"}, rules=[split_rule()])})

    def ask(self, snapshot: Snapshot, unit: str, etag: bytes | None = None) -> Answer:
        body = json.dumps({"context": {"targetingKey": unit}}).encode()
        return evaluate_all(snapshot, body, client_only=False, now=NOW, if_none_match=etag)

    def units(self, snapshot: Snapshot) -> tuple[str, str]:
        """Find a unit in ``a`` and one in ``b``."""
        by_value = {}
        for number in range(40):
            document = json.loads(self.ask(snapshot, f"u{number}").body)
            by_value.setdefault(document["flags"][0]["value"], f"u{number}")
        return by_value["A"], by_value["B"]

    def test_the_same_context_gives_304_with_the_etag(self, snapshot: Snapshot) -> None:
        first, _ = self.units(snapshot)
        etag = dict(self.ask(snapshot, first).headers)[b"etag"]
        again = self.ask(snapshot, first, etag)
        assert (again.status, again.body) == (304, b"")
        assert dict(again.headers)[b"etag"] == etag

    def test_a_changed_context_with_the_old_etag_gets_its_own_answer(
        self, snapshot: Snapshot
    ) -> None:
        first, second = self.units(snapshot)
        etag = dict(self.ask(snapshot, first).headers)[b"etag"]
        answer = self.ask(snapshot, second, etag)
        assert answer.status == 200
        assert json.loads(answer.body)["flags"][0]["value"] == "B"

    def test_a_changed_flag_changes_the_etag(
        self, snapshot: Snapshot, make_snapshot_of: Callable[..., Snapshot]
    ) -> None:
        etag = dict(self.ask(snapshot, "u1").headers)[b"etag"]
        changed = make_snapshot_of({"f": flag("string", {"a": "C"})}, version=8)
        assert self.ask(changed, "u1", etag).status == 200


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'"x"', True),
        (b'W/"x"', True),
        (b'"y", "x"', True),
        (b"*", True),
        (b'"y"', False),
        (b"x", False),
        (b"", False),
    ],
)
def test_if_none_match_is_compared_as_http_asks(header: bytes, expected: bool) -> None:
    assert matches(header, b'"x"') is expected


def test_two_unmet_prerequisites_of_one_flag_are_told_apart(
    make_snapshot_of: Callable[..., Snapshot],
) -> None:
    """Equal variant and reason, other metadata: the kept answers must not mix them up."""

    def gate(key: str, plan: str) -> dict[str, Any]:
        rule = {
            "id": "r",
            "when": {"attr": "plan", "op": "in", "values": [plan]},
            "serve": "no",
        }
        return flag("string", {"yes": "y", "no": "n"}, key=key, rules=[rule])

    dependent = flag(
        "string",
        {"v": "x", "off": "o"},
        off="off",
        prerequisites=[{"flag": "g1", "variants": ["yes"]}, {"flag": "g2", "variants": ["yes"]}],
    )
    snapshot = make_snapshot_of({"f": dependent, "g1": gate("g1", "p1"), "g2": gate("g2", "p2")})
    for plan, missing in (("p1", "g1"), ("p2", "g2"), ("p1", "g1")):
        body = json.dumps({"context": {"plan": plan}}).encode()
        answer = evaluate_one(snapshot, "f", body, client_only=False, now=NOW)
        assert json.loads(answer.body)["metadata"]["prerequisite"] == missing
