"""Explanations: which condition said no."""

from __future__ import annotations

import json
from typing import Any

from flagstone.engine import Explanation, evaluate, explain, parse_flag_set

NOW = 1_796_115_600.0
DOCUMENT: dict[str, Any] = {
    "segments": {
        "beta": {"any": [{"attr": "beta", "op": "in", "values": [True]}, {"segment": "staff"}]},
        "staff": {"attr": "email", "op": "ends_with", "values": ["@acme.com"]},
    },
    "flags": {
        "payments": {
            "type": "boolean",
            "variants": {"on": {"value": True}, "off": {"value": False}},
            "default": "on",
        },
        "checkout": {
            "type": "string",
            "variants": {"old": {"value": "old"}, "new": {"value": "new"}},
            "off": "old",
            "prerequisites": [{"flag": "payments", "variants": ["on"]}],
            "targets": [
                {"variant": "new", "keys": ["vip"]},
                {"variant": "new", "keys": ["past"], "until": "2026-01-01T00:00:00Z"},
            ],
            "rules": [
                {"id": "early", "when": True, "serve": "new", "start": "2027-01-01T00:00:00Z"},
                {"id": "late", "when": True, "serve": "new", "end": "2026-01-01T00:00:00Z"},
                {"id": "beta", "when": {"segment": "beta"}, "serve": "new"},
                {
                    "id": "phones",
                    "when": {
                        "all": [
                            {"attr": "country", "op": "in", "values": ["de", "at"]},
                            {"not": {"attr": ["device", "os"], "op": "in", "values": ["ios"]}},
                            {"bucket": {"salt": "layer", "of": 100, "ranges": [[0, 0]]}},
                        ]
                    },
                    "serve": "new",
                },
                {
                    "id": "exp-42",
                    "when": {"attr": "age", "op": "gte", "values": [18]},
                    "serve": {
                        "split": {"salt": "s", "to": [{"variant": "new", "ranges": [[0, 1]]}]}
                    },
                },
            ],
            "default": "old",
        },
    },
}


def explained(context: Any, key: str = "checkout", document: Any = None) -> Explanation:
    flag_set = parse_flag_set(document or DOCUMENT)
    explanation = explain(flag_set, key, context, NOW)
    assert explanation.details == evaluate(flag_set, key, context, NOW)
    json.dumps(explanation.to_document())
    return explanation


def test_every_rule_passed_over_names_the_condition_that_said_no() -> None:
    context = {
        "targetingKey": "u7",
        "country": "de",
        "device": {"os": "ios"},
        "age": 20,
        "email": "bob@example.com",
    }
    explanation = explained(context)
    steps = {step.name: step for step in explanation.steps if step.kind == "rule"}
    assert list(steps) == ["early", "late", "beta", "phones", "exp-42"]
    assert steps["early"].sentence == "starts 2027-01-01T00:00:00Z"
    assert steps["late"].sentence == "ended 2026-01-01T00:00:00Z"
    [segment] = steps["beta"].refusals
    assert (segment.path, segment.sentence, segment.found) == (
        "rules[2].when", "in segment beta", "not in it",
    )  # fmt: skip
    one, other = segment.because
    assert (one.path, one.found) == ("segments.beta.any[0]", "missing")
    [staff] = other.because
    assert (staff.path, staff.sentence, staff.found) == (
        "segments.staff", 'email ends with "@acme.com"', '"bob@example.com"',
    )  # fmt: skip
    [device] = steps["phones"].refusals
    assert device.path == "rules[3].when.all[1]"
    assert device.sentence == 'not (device → os is "ios")'
    assert device.found == '"ios"'
    assert device.condition == {"not": {"attr": ["device", "os"], "op": "in", "values": ["ios"]}}
    assert steps["exp-42"].refusals == ()
    assert "but bucket" in steps["exp-42"].sentence
    last = explanation.steps[-1]
    assert (last.kind, last.served) == ("default", True)


def test_the_text_can_be_read_by_people() -> None:
    text = explained({"targetingKey": "u7", "country": "fr"}).to_text()
    lines = text.splitlines()
    assert lines[0] == 'checkout: old = "old" (DEFAULT)'
    assert lines[1] == "  1. prerequisite payments: serves on, wanted on"
    assert lines[2] == '  2. target new: targetingKey is "u7", not named'
    assert '      no: country is "de" or "at" – found "fr"   [rules[3].when.all[0]]' in lines
    assert lines[-1] == "  9. default: nothing else applies, old is served"


def test_a_bucket_condition_tells_the_bucket() -> None:
    explanation = explained({"targetingKey": "u7", "country": "de"})
    [refusal] = next(step for step in explanation.steps if step.name == "phones").refusals
    assert refusal.sentence == "bucket of targetingKey in 0–0 of 100 (salt layer)"
    assert refusal.found.startswith("bucket ")
    explanation = explained({"country": "de"})
    [refusal] = next(step for step in explanation.steps if step.name == "phones").refusals
    assert refusal.found == "no unit"


def test_the_step_that_serves_is_the_last() -> None:
    target = explained({"targetingKey": "vip"}).steps[-1]
    assert (target.kind, target.name, target.sentence) == (
        "target", "new", 'targetingKey "vip" is named',
    )  # fmt: skip
    rule = explained({"beta": True}).steps[-1]
    assert (rule.kind, rule.name, rule.served) == ("rule", "beta", True)
    unknown = explained({}, "nothing")
    assert [step.sentence for step in unknown.steps] == ["there is no such flag"]
    for state, kind in (({"killed": True}, "killed"), ({"enabled": False}, "disabled")):
        flags = {**DOCUMENT["flags"], "checkout": {**DOCUMENT["flags"]["checkout"], **state}}
        [step] = explained({}, document={**DOCUMENT, "flags": flags}).steps
        assert (step.kind, step.sentence) == (kind, f"the flag is {kind} and serves old")
    unmet = {**DOCUMENT["flags"]["payments"], "killed": True}
    flags = {**DOCUMENT["flags"], "payments": unmet}
    [step] = explained({}, document={**DOCUMENT, "flags": flags}).steps
    assert (step.kind, step.name, step.served) == ("prerequisite", "payments", True)


def test_a_broken_flag_is_explained_by_its_fault() -> None:
    flag = {"type": "boolean", "variants": {"on": {"value": True}}, "rules": [{}]}
    flag_set = parse_flag_set({"flags": {"f": flag}}, strict=False)
    explanation = explain(flag_set, "f", {}, NOW)
    assert explanation.to_text() == (
        "f: the caller's default (ERROR)\n"
        "  1. fault: the flag cannot be read: flags.f.rules[0].when: is missing"
    )


def test_values_in_an_explanation_are_short() -> None:
    explanation = explained({"targetingKey": "u", "country": "x" * 10_000, "age": object()})
    assert max(len(line) for line in explanation.to_text().splitlines()) < 400
    assert "object of type object" in explanation.to_text()
