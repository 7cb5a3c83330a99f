"""What the demo's shop sells, how its visitors behave, and what is being tried on them.

Everything random is a function of the seed and the visitor, so that two runs see the same people.
Nothing here knows of verdicts: the service finds them from what the visitors do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROJECT = "shop"
ENVIRONMENT = "production"
SEED = 2026

ROLLOUT_FLAG = "delivery-banner"
BROKEN = "new-checkout"
WINNER = "free-shipping-hint"
NOTHING = "green-button"
KEYS = (BROKEN, WINNER, NOTHING)

# Time is compressed by a policy with short looks: a day of three seconds, a deadline of sixty.
# No clock is faked, and the same engine with the same error rates decides as in a month.
POLICY: dict[str, Any] = {
    "name": "demo-short-looks",
    "looks": [{"every": "2s", "until": "20s"}, {"every": "4s"}],
    "minimum": "20s",
    "ship_every": "4s",
    "ramp": [{"coverage": 0.2, "hold": "4s"}],
    "settle": "2s",
    "stale": "15s",
    "day": "3s",
    "ship_ramp": [],
    "verify": "42s",
}
PROVE_BY = "60s"
WINDOW = "2s"
# A shop that has just opened has no past to measure: its plans say what they expect. Two processes
# bring 240 visitors a second, who behave as below; a day has three seconds.
UNITS_PER_DAY = 700
TODAY = {
    "purchases": 0.245,
    "checkout errors": 0.005,
    "baskets": 0.30,
    "support contacts": 0.20,
    "sign-ups": 0.30,
}


def flags() -> list[dict[str, Any]]:
    """Draft the flags of the shop for the REST API."""
    pair = {"control": {"value": False, "on": False}, "treatment": {"value": True}}
    return [
        {
            "key": ROLLOUT_FLAG,
            "type": "boolean",
            "description": "A banner that promises delivery tomorrow",
            "variants": {"off": {"value": False, "on": False}, "on": {"value": True}},
            "off": "off",
            "default": "off",
        },
        *(
            {
                "key": key,
                "type": "boolean",
                "description": text,
                "variants": pair,
                "off": "control",
                "default": "control",
            }
            for key, text in (
                (BROKEN, "The rewritten checkout"),
                (WINNER, "Tell the visitor how little is missing for free shipping"),
                (NOTHING, "Paint the newsletter button green"),
            )
        ),
    ]


def _metric(key: str, event: str, role: str, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "role": role,
        "kind": "conversion",
        "event": event,
        "window": WINDOW,
        **more,
    }


def plans() -> list[dict[str, Any]]:
    """Contracts of the three experiments."""
    common = {
        "environment": ENVIRONMENT,
        "control": "control",
        "treatments": ["treatment"],
        "weights": {"control": 50, "treatment": 50},
        "owner": "checkout team",
        "prove_by": PROVE_BY,
        "policy": POLICY,
    }
    plans: list[dict[str, Any]] = [
        {
            **common,
            "key": BROKEN,
            "flag": BROKEN,
            "customer": "head of the shop",
            "hypothesis": "A checkout on one page makes more visitors buy.",
            "metrics": [
                _metric("purchases", "purchase", "success", mde=0.12),
                _metric("checkout errors", "checkout_error", "safety", direction="down"),
            ],
            "value": _value(12.0, cleanup=2000.0),
        },
        {
            **common,
            "key": WINNER,
            "flag": WINNER,
            "customer": "head of sales",
            "hypothesis": "Visitors who see how little is missing fill their basket.",
            "authorised_in_advance": True,
            "metrics": [
                _metric("baskets", "basket", "success", mde=0.12),
                _metric("support contacts", "support", "guardrail", margin=0.30, direction="down"),
            ],
            "value": _value(3.0, run=200.0, cleanup=1500.0),
        },
        {
            **common,
            "key": NOTHING,
            "flag": NOTHING,
            "customer": "head of marketing",
            "hypothesis": "A green button wins more newsletter readers.",
            "metrics": [_metric("sign-ups", "signup", "success", mde=0.20)],
        },
    ]
    return [plan | {"expected": _expected(plan["metrics"])} for plan in plans]


def _value(likely: float, *, run: float = 0.0, cleanup: float) -> dict[str, Any]:
    """Say what one more conversion is worth: a third less or more, in a month of 21,000 people."""
    per_unit = {"low": likely * 2 / 3, "likely": likely, "high": likely * 4 / 3}
    return {
        "per_unit": per_unit,
        "eligible_units_per_month": 30 * UNITS_PER_DAY,
        "run_per_month": run,
        "cleanup": cleanup,
        "currency": "EUR",
    }


def _expected(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    rates = {metric["key"]: {"baseline": TODAY[metric["key"]]} for metric in metrics}
    return {"units_per_day": UNITS_PER_DAY, "metrics": rates}


@dataclass(frozen=True, slots=True)
class Visitor:
    """One person who comes once."""

    unit: str
    country: str
    device: str

    @property
    def context(self) -> dict[str, Any]:
        """Evaluation context that the shop knows of this person."""
        return {"targetingKey": self.unit, "country": self.country, "device": self.device}


def visitors(*, seed: int, process: int, processes: int) -> Iterator[Visitor]:
    """People who come to one of the shop's processes, without end."""
    number = process
    while True:
        chance = random.Random(f"{seed}:visitor:{number}")
        yield Visitor(
            unit=f"visitor-{seed}-{number}",
            country=chance.choice(("DE", "FR", "NL", "PL", "SE")),
            device=chance.choice(("phone", "phone", "laptop")),
        )
        number += processes


def behaviour(
    visitor: Visitor, *, seed: int, new_checkout: bool, shipping_hint: bool, green_button: bool
) -> list[tuple[str, float | None]]:
    """Events (name and amount) that a visitor causes, given what was shown.

    The rewritten checkout fails for three buyers in ten; the hint makes a third more baskets; the
    colour of the button changes nothing.
    """
    chance = random.Random(f"{seed}:behaviour:{visitor.unit}")
    wants_to_buy, fails, basket, support, signup = (chance.random() for _ in range(5))
    amount = round(chance.lognormvariate(3.4, 0.5), 2)
    events: list[tuple[str, float | None]] = []
    if basket < (0.40 if shipping_hint else 0.30):
        events.append(("basket", None))
    if wants_to_buy < 0.25:
        if new_checkout and fails < 0.3:
            events.append(("checkout_error", None))
        elif fails < 0.98:
            events.append(("purchase", amount))
        else:
            events.append(("checkout_error", None))
    if support < 0.20:
        events.append(("support", None))
    if signup < 0.30:
        events.append(("signup", None))
    del green_button  # It really makes no difference.
    return events
