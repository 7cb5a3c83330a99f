from __future__ import annotations

from typing import Any

import pytest

from flags.ranges import ranges_for
from flags.sentence import describe, state_word


def flag(**changes: Any) -> dict[str, Any]:
    return {
        "key": "checkout",
        "enabled": True,
        "killed": False,
        "off": "off",
        "default": "control",
        "prerequisites": [],
        "targets": [],
        "rules": [],
        **changes,
    }


def split(weights: dict[str, int], coverage: float, **changes: Any) -> dict[str, Any]:
    to = ranges_for(weights, coverage)
    return {"split": {"by": "targetingKey", "of": 10_000, "to": to, **changes}}


def rule(when: Any, serve: Any, **changes: Any) -> dict[str, Any]:
    return {"id": "r", "when": when, "serve": serve, **changes}


def attr(name: Any, op: str, *values: Any) -> dict[str, Any]:
    return {"attr": name, "op": op, "values": list(values)}


TEN = [attr("a", "in", number) for number in range(10)]

SENTENCES = [
    (flag(), "In production, everyone gets control."),
    (flag(enabled=False), "In production, the flag is off: everyone gets off."),
    (
        flag(enabled=False, off=None),
        "In production, the flag is off: everyone gets the caller's default.",
    ),
    (flag(killed=True), "In production, the flag is killed: everyone gets off."),
    (
        flag(rules=[rule(True, split({"new": 1}, 0.25))]),
        "In production, 25 % of users get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule(True, split({"control": 50, "new": 50}, 1))]),
        "In production, 50 % of users get control and 50 % get new.",
    ),
    (
        flag(rules=[rule(True, split({"a": 1, "b": 1, "c": 2}, 0.5))]),
        (
            "In production, 12.5 % of users get a, 12.5 % get b and 25 % get c; "
            "everyone else gets control."
        ),
    ),
    (
        flag(rules=[rule({"segment": "eu"}, split({"new": 1}, 0.005, by=["org", "key"]))]),
        "In production, 0.5 % of users (by org.key) in eu get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule(attr("email", "ends_with", "@acme.com"), "new")]),
        "In production, users whose email ends with @acme.com get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule({"not": {"segment": "eu"}}, "new"), rule(True, "other")]),
        "In production, users not in eu get new; everyone else gets other.",
    ),
    (
        flag(
            rules=[
                rule(
                    {"all": [{"segment": "eu"}, {"any": [attr("a", "gt", 1), attr("b", "lt", 2)]}]},
                    "new",
                )
            ]
        ),
        (
            "In production, users in eu and (whose a is above 1 or whose b is below 2) get new; "
            "everyone else gets control."
        ),
    ),
    (
        flag(rules=[rule({"not": {"any": [{"segment": "a"}, {"segment": "b"}]}}, "new")]),
        "In production, users not in a and not in b get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule(attr(["device", "os"], "in", "ios", "mac", "tv", "x", "y"), "new")]),
        (
            "In production, users whose device.os is ios, mac, tv or 2 more get new; "
            "everyone else gets control."
        ),
    ),
    (
        flag(rules=[rule({"all": TEN}, "new")]),
        "In production, users who meet 10 conditions get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule(True, "new", start="2026-12-01T09:00:00Z", end="2027-01-01T00:00:00Z")]),
        (
            "In production, everyone gets new from 1 December 2026, 09:00 UTC "
            "until 1 January 2027; everyone else gets control."
        ),
    ),
    (
        flag(targets=[{"variant": "new", "by": "targetingKey", "keys": ["u1", "u2"]}]),
        "In production, u1 and u2 get new; everyone else gets control.",
    ),
    (
        flag(
            targets=[
                {
                    "variant": "new",
                    "by": "org",
                    "keys": list("abcde"),
                    "until": "2026-12-31T00:00:00Z",
                }
            ]
        ),
        (
            "In production, 5 named users (by org) get new until 31 December 2026; "
            "everyone else gets control."
        ),
    ),
    (
        flag(prerequisites=[{"flag": "pay", "variants": ["a", "b"]}]),
        "In production, if pay serves a or b: everyone gets control. Otherwise everyone gets off.",
    ),
    (
        flag(rules=[rule({"flag": "pay", "on": False}, "new")]),
        "In production, users for whom pay is off get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule({"flag": "pay", "value": {"op": "gt", "values": [3]}}, "new")]),
        (
            "In production, users for whom pay has a value whose value is above 3 get new; "
            "everyone else gets control."
        ),
    ),
    (
        flag(rules=[rule({"bucket": {"salt": "layer", "of": 10_000, "ranges": [[0, 2000]]}}, "x")]),
        "In production, users in 20 % of layer get x; everyone else gets control.",
    ),
    (
        flag(rules=[rule({"attr": "orgs", "each": {"op": "in", "values": ["a"]}}, "new")]),
        "In production, users with a orgs whose value is a get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule({"not": {"attr": "email", "op": "exists"}}, "new")]),
        "In production, users without email get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule({"attr": "end", "op": "before", "values_from": {"clock": "now"}}, "new")]),
        "In production, users whose end is before now get new; everyone else gets control.",
    ),
    (
        flag(rules=[rule({"segment": str(number)}, "new") for number in range(8)]),
        "In production, "
        + "; ".join(f"users in {number} get new" for number in range(6))
        + "; 2 more rules decide; everyone else gets control.",
    ),
]


@pytest.mark.parametrize(("document", "sentence"), SENTENCES)
def test_a_flag_is_described_in_plain_words(document: dict[str, Any], sentence: str) -> None:
    assert describe(document, environment="production") == sentence


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (flag(), "on"),
        (flag(enabled=False), "off"),
        (flag(killed=True), "killed"),
        (flag(rules=[rule(True, split({"new": 1}, 0.25))]), "25 %"),
        (flag(rules=[rule(True, split({"a": 1, "new": 1}, 1))]), "on"),
    ],
)
def test_a_flag_has_a_state_in_a_word(document: dict[str, Any], word: str) -> None:
    assert state_word(document) == word
