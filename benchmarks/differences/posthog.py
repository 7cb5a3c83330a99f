"""PostHog: its two hashes, proved on simple flags by its SDK's local evaluation.

Flagstone has no importer for PostHog: what a condition means there depends on properties that the
caller happens to send (without them the answer is left to the server), so a file alone cannot say
it. What the engine does carry is where users fall: ``launchdarkly`` for rollouts (a share is
``<= percentage / 100``) and ``posthog-variant`` for variants, both salted with the flag's key.
``convert`` writes that down for flags without properties. A flag with variants answers with texts;
its ``True`` and ``False`` stand as ``"true"`` and ``"false"``. Identifiers are texts and integers.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flagstone.importers.result import ImportResult

from . import identifier

PACKAGES: tuple[str, ...] = ("posthog",)
BUCKETS = 100_000
PERCENTAGES = (0, 0.001, 0.1, 1, 5, 12.5, 33.333, 50, 66.667, 99.999, 100)


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    """Draw the answer of local evaluation with that many flags."""
    return {"flags": [_flag(rng, number) for number in range(flags)]}


def _flag(rng: random.Random, number: int) -> dict[str, Any]:
    names = [f"variant-{n}" for n in range(rng.choice((0, 0, 1, 2, 3, 5)))]
    filters: dict[str, Any] = {"groups": [_group(rng, names) for _ in range(rng.randint(0, 3))]}
    if names:
        cuts = sorted(rng.randint(0, BUCKETS) for _ in names)
        filters["multivariate"] = {
            "variants": [
                {"key": name, "rollout_percentage": (high - low) / 1000}
                for name, low, high in zip(names, [0, *cuts], cuts, strict=False)
            ]
        }
    if rng.random() < 0.15:
        filters["early_exit"] = True
    return {
        "id": number,
        "key": rng.choice((f"flag-{number}", f"größe/{number} 😀")),
        "active": rng.random() < 0.95,
        "filters": filters,
    }


def _group(rng: random.Random, names: list[str]) -> dict[str, Any]:
    group: dict[str, Any] = {"properties": []}
    group["rollout_percentage"] = rng.choice(
        (None, rng.choice(PERCENTAGES), rng.randrange(101), rng.randrange(BUCKETS) / 1000)
    )
    if rng.random() < 0.2:
        group["variant"] = rng.choice((*names, "unknown"))
    return group


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draw people: all that these flags look at is their identifier."""
    return [
        {"targetingKey": rng.randrange(10**12) if rng.random() < 0.1 else identifier(rng)}
        for _ in range(count)
    ]


def convert(document: Any) -> ImportResult:
    """Write flags without properties as ours, by the two hashes."""
    result = ImportResult()
    for flag in document["flags"]:
        result.flags[flag["key"]] = _ours(flag)
    return result


def _ours(flag: dict[str, Any]) -> dict[str, Any]:
    filters = flag["filters"]
    variants = filters.get("multivariate", {}).get("variants", [])
    shares = _shares(variants)
    values: dict[str, Any] = {"true": True, "false": False}
    if variants:
        values = {name: name for name in ("true", "false", *(part["key"] for part in variants))}
    rules = []
    for index, group in enumerate(filters["groups"]):
        when = _within(flag["key"], group["rollout_percentage"])
        if when is not None:
            # Whom no variant takes in is simply on.
            serves: list[Any] = ["true"]
            if group.get("variant") in {part["key"] for part in variants}:
                serves = [group["variant"]]
            elif shares:
                split = {
                    "hash": "posthog-variant",
                    "salt": flag["key"],
                    "of": BUCKETS,
                    "to": shares,
                }
                serves.insert(0, {"split": split})
            rules += [
                {"id": f"group {index} {place}", "when": when, "serve": serve}
                for place, serve in enumerate(serves)
            ]
        if filters.get("early_exit"):
            break
    return {
        "key": flag["key"],
        "type": "string" if variants else "boolean",
        "variants": {name: {"value": value} for name, value in values.items()},
        "enabled": flag["active"],
        "off": "false",
        "rules": rules,
        "default": "false",
    }


def _within(key: str, percentage: float | None) -> Any:
    if percentage is None or percentage >= 100:
        return True
    end = int(Fraction(repr(float(percentage))) * BUCKETS / 100)
    if end == 0:
        return None
    return {"bucket": {"hash": "launchdarkly", "salt": key, "of": BUCKETS, "ranges": [[0, end]]}}


def _shares(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shares, start = [], 0
    for part in variants:
        end = start + int(Fraction(repr(float(part["rollout_percentage"]))) * BUCKETS / 100)
        if start < end:
            shares.append({"variant": part["key"], "ranges": [[start, min(end, BUCKETS)]]})
        start = end
    return shares


def vendor(document: Any) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    """Evaluate with PostHog's released SDK, locally, without a network."""
    from posthog import Posthog

    warnings.filterwarnings("ignore", category=DeprecationWarning, module=__name__)
    client = Posthog(
        "none", host="http://127.0.0.1:9", send=False, sync_mode=True, disable_geoip=True
    )
    client.feature_flags = document["flags"]
    texts = {
        flag["key"]
        for flag in document["flags"]
        if flag["filters"].get("multivariate", {}).get("variants")
    }

    def evaluate(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        value = client.get_feature_flag(
            key,
            context["targetingKey"],
            only_evaluate_locally=True,
            send_feature_flag_events=False,
        )
        name = str(value).lower() if isinstance(value, bool) else value
        return (name if key in texts else value), name

    return evaluate
