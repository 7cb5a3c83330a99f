"""A policy as people write it: TOML, and the rules in which it differs from another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.contract.document import format_duration
from experiments.contract.policy import PROOF_28D, parse_policy
from experiments.contract.shipping import ship_ramp_document


def as_toml(document: Mapping[str, Any]) -> str:
    """Write a flat document, a line for each field."""
    return "".join(f"{field} = {_value(value)}\n" for field, value in document.items())


def differences(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Give the rules that are not those of ``proof-28d``: field, here, there."""
    house = {**_rules(PROOF_28D.to_document()), "name": document["name"]}
    for field, value in _rules(document).items():
        if value != house[field]:
            yield field, _value(value), _value(house[field])


def _rules(document: Mapping[str, Any]) -> dict[str, Any]:
    policy = parse_policy(document)
    # A document leaves these out where they are as in the house's own policy.
    left_out = {
        "explain_within": format_duration(policy.explain_within_seconds),
        "ship_ramp": ship_ramp_document(policy.ship_ramp),
        "verify": format_duration(policy.verify_seconds),
    }
    return {**document, **left_out}


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{field} = {_value(each)}" for field, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    # TOML reads what JSON writes, but for a character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
