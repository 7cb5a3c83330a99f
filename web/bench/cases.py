"""What every engine is asked: five flags as products have them, and the people who ask.

People differ: six in ten live in a country that the targeting names, seven in ten have the address
it wants, and nine in ten the age, so that most rules say no as often as they say yes. A sixth case
lets everybody pass the same three conditions, so that nobody is spared the bucket.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

BOOLEAN: Final = "plain boolean"
ROLLOUT: Final = "50 % rollout"
TARGETING: Final = "3 conditions, 20 % split"
RULES: Final = "20 rules, last matches"
MEMBERSHIP: Final = "membership of 10,000"
PASSING: Final = "3 conditions, all pass"
CASES: Final = (BOOLEAN, ROLLOUT, TARGETING, RULES, MEMBERSHIP)
EVERY_CASE: Final = (*CASES, PASSING)

PEOPLE: Final = 512
COUNTRIES: Final = ("at", "ch", "de", "es", "fr")
WANTED_COUNTRIES: Final = COUNTRIES[:3]
DOMAINS: Final = ("acme.com",) * 7 + ("example.org",) * 3
WANTED_ENDING: Final = "@acme.com"
GROUPS: Final = tuple(f"group-{number}" for number in range(20))
MEMBERS: Final = tuple(f"user-{number:06d}" for number in range(10_000))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks: a unit and five attributes."""

    unit: str
    attributes: dict[str, Any]

    @property
    def context(self) -> dict[str, Any]:
        """The evaluation context of the person."""
        return {"targetingKey": self.unit, **self.attributes}


def people(case: str, count: int = PEOPLE) -> list[Person]:
    """Return who asks in a case: always the same ones."""
    rng = random.Random(7)
    return [_person(rng, number * 19, passing=case == PASSING) for number in range(count)]


def _person(rng: random.Random, number: int, *, passing: bool) -> Person:
    country, domain, age = rng.choice(COUNTRIES), rng.choice(DOMAINS), rng.randrange(12, 72)
    if passing:
        country, domain, age = "de", "acme.com", max(age, 18)
    return Person(
        f"user-{number:06d}",
        {
            "email": f"user{number}@{domain}",
            "country": country,
            "plan": "pro",
            "age": age,
            "group": GROUPS[-1],
        },
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What is measured: the case, and how many further flags stand beside its own."""

    case: str
    filling: int = 0
    recording: bool = False
    people: list[Person] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The flag of the case: both targeting cases have the same."""
        return TARGETING if self.case == PASSING else self.case


def our_flag(case: str, *, track: bool = False) -> dict[str, Any]:
    """Return the flag of a case in Flagstone's own form."""

    def leaf(attr: str, op: str, *values: Any) -> dict[str, Any]:
        return {"attr": attr, "op": op, "values": list(values)}

    def split(salt: str, on: int) -> dict[str, Any]:
        to = [{"variant": "on", "ranges": [[0, on]]}, {"variant": "off", "ranges": [[on, 10_000]]}]
        return {"split": {"salt": salt, "to": to}}

    def rule(number: int, when: Any, serve: Any = "on") -> dict[str, Any]:
        return {"id": f"rule-{number}", "when": when, "serve": serve, "track": track}

    flag: dict[str, Any] = {
        "type": "boolean",
        "variants": {"on": {"value": True}, "off": {"value": False}},
        "off": "off",
        "default": "off",
    }
    if case == BOOLEAN:
        flag["default"] = "on"
    elif case == ROLLOUT:
        flag["rules"] = [rule(0, True, split("rollout", 5000))]
    elif case in (TARGETING, PASSING):
        three = [
            leaf("country", "in", *WANTED_COUNTRIES),
            leaf("email", "ends_with", WANTED_ENDING),
            leaf("age", "gte", 18),
        ]
        flag["rules"] = [rule(0, {"all": three}, split("target", 2000))]
    elif case == RULES:
        flag["rules"] = [rule(n, leaf("group", "in", group)) for n, group in enumerate(GROUPS)]
    elif case == MEMBERSHIP:
        flag["targets"] = [{"variant": "on", "keys": list(MEMBERS)}]
    else:
        raise ValueError(f"no case {case!r}")
    return flag


def our_flag_set(question: Question) -> dict[str, Any]:
    """Return a flag set with the case's flag, ``asked``, among others."""
    kinds = (BOOLEAN, ROLLOUT, TARGETING)
    return {
        "schema": 1,
        "version": 1,
        "environment": "bench",
        "flags": {
            "asked": our_flag(question.kind, track=question.recording),
            **{f"other-{n}": our_flag(kinds[n % 3]) for n in range(question.filling)},
        },
    }
