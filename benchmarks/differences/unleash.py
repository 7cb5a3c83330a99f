"""Unleash: random answers of ``/api/client/features``, and the engine of its SDKs to compare with.

The vendor's side is yggdrasil-engine with the context as UnleashClient makes it, which writes every
value as a text and adds the time. Only true, false, null,
arrays and objects the engine gets as they
are: the client writes them as Python does (``True``, ``[1]``), the engine and so Unleash's other
SDKs as JSON does, or not at all. Numbers without a fraction are integers on both sides.

Where the engine draws at random it is asked until it has given our answer too; how often that was
needed is printed at the end.
"""

from __future__ import annotations

import atexit
import json
import random
import time
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.differences import NOTHING, identifier, odd_value, same
from flagstone.engine import compile_flag_set, evaluate, parse_flag_set
from flagstone.importers.result import ImportResult
from flagstone.importers.unleash import convert as convert_unleash

PACKAGES: tuple[str, ...] = ("UnleashClient", "yggdrasil-engine")

_DRAWS = 2000
_FIELDS = ("sessionId", "environment", "appName", "remoteAddress", "currentTime")
_COUNTRIES = (
    "no",
    "NO",
    "se",
    "dk",
    "Ñandú",
    "ß",
    "ΟΔΟΣ",
    "οδος",
    "İstanbul",
    "",
    '"quoted"',
    "1",
    "true",
)
_EMAILS = ("a@example.com", "B@EXAMPLE.COM", "c@x.org", "ü@example.com", "no mail", "")
_NUMBERS = (
    "0", "1", "-1", "1.5", "-2.5", "12", "12.0", "+12", "1e3", "5.", ".5", " 5", "5 ", "inf",
    "-inf", "NaN", "1e-17",
    "0.9999999999999999", "9007199254740993", "0x10", "1_0", "many", "", "٣",
)  # fmt: skip
_VERSIONS = (
    "1.2.3", "1.2.4", "1.3.0", "2.0.0", "1.2.3-beta", "1.2.3-beta.2", "1.2.3-beta.11", "1.2.3-1",
    "1.2.3+build",
    "v1.2.3", "1.2", "1", "01.2.3", "1.2.3-", "x",
)  # fmt: skip
_TIMES = (
    "2022-01-29T13:00:00Z", "2022-01-29T13:00:00.000Z", "2022-01-29T15:00:00+02:00",
    "2022-01-29T13:00:00.001Z",
    "2022-01-29T13:00:00.5-11:30", "2022-01-29 13:00:01Z", "2022-01-29t12:59:59.999z",
    "2021-12-31T23:59:59Z",
    "2023-06-01T00:00:00+0530", "2022-01-29", "2022-01-29T13:00:00", "2022-01-29T13:00Z",
    "2022-02-30T00:00:00Z",
    "2022-01-29T24:00:00Z", "yesterday", "", "1643461200",
)  # fmt: skip
_ADDRESSES = (
    "10.0.0.1", "10.1.2.3", "192.168.1.1", "1.2.3.4", "::1", "2001:db8::5", "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "010.0.0.1", "10.0.0", "host", "",
)  # fmt: skip
_NETWORKS = (
    "10.0.0.0/8",
    "10.0.0.1/8",
    "192.168.1.1",
    "::1",
    "2001:db8::/32",
    "bad",
    "1.2.3.4/255.255.255.0",
    "",
    "fe80::/10",
)
_PATTERNS = (
    "^a",
    "example\\.com$",
    "^\\d+$",
    "[a-c]@",
    "no|se",
    ".",
    "^$",
    "\\s",
    "[^\\d]",
    '"',
    "x{2,}",
    "\\w+",
    "(",
)
_PROPERTIES: dict[str, tuple[str, ...]] = {
    "country": _COUNTRIES,
    "email": _EMAILS,
    "score": _NUMBERS,
    "app/version": _VERSIONS,
    "joined.at": _TIMES,
    "address": _ADDRESSES,
    "random": ("3", "7"),
    "": _COUNTRIES,
}
_USERS = tuple(f"user-{number}" for number in range(40))


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    """Make an answer of ``/api/client/features``."""
    segments = [
        {"id": number, "name": f"s{number}", "constraints": _constraints(rng, 2)}
        for number in range(1, 8)
    ]
    features = [_feature(rng, f"feature-{number}") for number in range(flags)]
    for feature in features[flags // 2 :]:
        if rng.random() < 0.4:
            feature["dependencies"] = [_dependency(rng, features) for _ in range(rng.randint(0, 2))]
    return {"version": 2, "features": features, "segments": segments}


def _feature(rng: random.Random, name: str) -> dict[str, Any]:
    kind = rng.choice(("string", "number", "json", "csv", "mixed", "none", "none"))
    feature: dict[str, Any] = {
        "name": rng.choice(("", "ü-", "a/b ")) + name,
        "type": "release",
        "project": "default",
        "enabled": rng.random() < 0.92,
        "impressionData": rng.random() < 0.2,
        "strategies": [_strategy(rng, kind) for _ in range(rng.choice((0, 1, 1, 2, 3)))],
    }
    if rng.random() < 0.5:
        feature["variants"] = _variants(rng, kind)
        for variant in feature["variants"]:
            variant["stickiness"] = feature["variants"][0].get("stickiness", "default")
            if rng.random() < 0.3:
                variant["overrides"] = [_override(rng) for _ in range(rng.randint(1, 2))]
    return feature


def _variants(rng: random.Random, kind: str) -> list[dict[str, Any]]:
    names = rng.sample(
        ("red", "green", "blue", "on", "off", "disabled", "enabled"), rng.randint(1, 4)
    )
    variants = []
    for name in names:
        variant: dict[str, Any] = {
            "name": name,
            "weight": rng.choice((0, 1, 33, 333, 334, 500, 1000, 7, 999_983)),
            "weightType": "variable",
        }
        payload = _payload(rng, kind, name)
        if payload is not None:
            variant["payload"] = payload
        variants.append(variant)
    variants[0]["weight"] = variants[0]["weight"] or 1
    if rng.random() < 0.6:
        variants[0]["stickiness"] = _stickiness(rng)
    return variants


def _payload(rng: random.Random, kind: str, name: str) -> dict[str, str] | None:
    # One payload for each name, as two of one name cannot be carried; mostly.
    if kind == "none" or (kind == "mixed" and name in ("red", "off")):
        return None
    if kind == "mixed":
        kind = {"green": "number", "blue": "json"}.get(name, "string")
    texts = {
        "string": f"value of {name}",
        "csv": f"{name},b,c",
        "number": {"red": "1", "green": "1.2", "blue": "-3e2", "on": "many"}.get(name, "4"),
        "json": {
            "red": '{"a": [1, true, null]}',
            "green": "[1.5]",
            "blue": '"text"',
            "on": "{broken",
            "off": "null",
            "disabled": "NaN",
        }.get(name, '{"b": {"c": "ü"}}'),
    }
    if rng.random() < 0.01:
        return {"type": "string", "value": "another payload"}
    return {"type": kind, "value": texts[kind]}


def _stickiness(rng: random.Random) -> str:
    kinds = (
        "default",
        "userId",
        "userId",
        "sessionId",
        "random",
        "country",
        "score",
        "appName",
        "environment",
        "remoteAddress",
        "",
    )
    return rng.choice(kinds)


def _override(rng: random.Random) -> dict[str, Any]:
    name = rng.choice(("userId", "sessionId", "country", "score", "appName"))
    return {"contextName": name, "values": _values(rng, name)}


def _strategy(rng: random.Random, kind: str) -> dict[str, Any]:
    name = rng.choice(
        ("default", "userWithId", "gradualRolloutUserId", "gradualRolloutSessionId",
        "gradualRolloutRandom",
         "flexibleRollout", "flexibleRollout", "flexibleRollout", "flexibleRollout",
         "flexibleRollout",
         "remoteAddress")
    )  # fmt: skip
    if rng.random() < 0.01:
        name = rng.choice(("applicationHostname", "ours"))
    percentage = str(rng.choice((0, 1, 10, 33, 50, 50, 66, 99, 100, rng.randrange(101))))
    if rng.random() < 0.05:
        percentage = rng.choice(("101", "+50", "050", "50.5", "", " 50", "-1", "many"))
    group = rng.choice(("group", "g.1", "ü", "", "a b", "feature-1"))
    parameters: dict[str, str] = {}
    if name == "userWithId":
        parameters["userIds"] = ",".join(rng.sample((*_USERS, " x ", "", "5", '"q"', "ü"), 6))
    elif name == "remoteAddress":
        parameters["IPs"] = ", ".join(rng.sample(_NETWORKS, rng.randint(1, 4)))
    elif name == "flexibleRollout":
        parameters = {"rollout": percentage, "groupId": group, "stickiness": _stickiness(rng)}
    elif name.startswith("gradual"):
        parameters = {"percentage": percentage, "groupId": group}
    for absent in ("groupId", "stickiness", "rollout", "percentage", "userIds"):
        if rng.random() < 0.04:
            parameters.pop(absent, None)
    strategy: dict[str, Any] = {"name": name, "parameters": parameters}
    if rng.random() < 0.5:
        strategy["constraints"] = _constraints(rng, 3)
    if rng.random() < 0.25:
        strategy["segments"] = rng.sample(range(1, 8), rng.randint(1, 2))
        if rng.random() < 0.05:
            strategy["segments"].append(404)
    if rng.random() < 0.4:
        strategy["variants"] = _variants(rng, kind) if rng.random() < 0.8 else []
    return strategy


def _values(rng: random.Random, name: str) -> list[str]:
    pool = _PROPERTIES.get(name, (*_USERS, "ü", "5", "1.5", "true", ""))
    return rng.sample(pool, rng.randint(1, min(5, len(pool))))


def _constraints(rng: random.Random, most: int) -> list[dict[str, Any]]:
    return [_constraint(rng) for _ in range(rng.randint(0, most))]


def _constraint(rng: random.Random) -> dict[str, Any]:
    sort = rng.choice(("text", "text", "in", "in", "number", "version", "time", "network", "regex"))
    name = rng.choice(
        ("country", "email", "userId", "sessionId", "appName", "environment", "score", "")
    )
    constraint: dict[str, Any] = {
        "inverted": rng.random() < 0.25,
        "caseInsensitive": rng.random() < 0.3,
    }
    if sort == "text":
        constraint["operator"] = rng.choice(("STR_STARTS_WITH", "STR_ENDS_WITH", "STR_CONTAINS"))
        parts = (
            "a",
            "A",
            "@",
            "com",
            "EXAMPLE.com",
            "us",
            "1",
            "e",
            "ΟΣ",
            "İ",
            "ü",
            "true",
            "ru",
            "",
        )
        constraint["values"] = rng.sample(parts, rng.randint(1, 3))
    elif sort == "in":
        constraint["operator"] = rng.choice(("IN", "NOT_IN"))
        constraint["values"] = _values(rng, name) if rng.random() < 0.95 else []
    elif sort == "number":
        name = rng.choice(("score", "score", "userId"))
        constraint["operator"] = "NUM_" + rng.choice(("EQ", "GT", "GTE", "LT", "LTE"))
        constraint["value"] = rng.choice(
            ("0", "1", "-1", "1.5", "12", "12.0", "5.", "1e3", "9007199254740992")
        )
    elif sort == "version":
        name = "app/version"
        constraint["operator"] = "SEMVER_" + rng.choice(("EQ", "GT", "GTE", "LT", "LTE"))
        constraint["value"] = rng.choice(
            ("1.2.3", "1.2.3-beta.2", "1.2.3-1", "2.0.0", "1.2.3+b", "v1.2.3")
        )
    elif sort == "time":
        name = rng.choice(("joined.at", "joined.at", "currentTime"))
        constraint["operator"] = rng.choice(("DATE_AFTER", "DATE_BEFORE"))
        constraint["value"] = rng.choice((*_TIMES[:4], "2099-01-01T00:00:00Z"))
    elif sort == "network":
        name = rng.choice(("address", "remoteAddress"))
        constraint["operator"] = "IN_CIDR"
        constraint["values"] = rng.sample(_NETWORKS, rng.randint(1, 3))
    else:
        constraint["operator"] = "REGEX"
        constraint["value"] = rng.choice(_PATTERNS)
    if rng.random() < 0.01:
        constraint["operator"] = "NO_SUCH_OPERATOR"
    return {"contextName": name, **constraint}


def _dependency(rng: random.Random, features: list[dict[str, Any]]) -> dict[str, Any]:
    dependency: dict[str, Any] = {"feature": rng.choice(features)["name"]}
    if rng.random() < 0.05:
        dependency["feature"] = "no such feature"
    if rng.random() < 0.5:
        dependency["enabled"] = rng.random() < 0.6
    if rng.random() < 0.4:
        dependency["variants"] = rng.sample(
            ("red", "green", "blue", "on", "off"), rng.randint(0, 4)
        )
    return dependency


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Make contexts, as our evaluator gets them."""
    return [_context(rng) for _ in range(count)]


def _context(rng: random.Random) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if rng.random() < 0.97:
        known = rng.random() < 0.2
        context["targetingKey"] = rng.choice(_USERS) if known else identifier(rng, others=True)
    if rng.random() < 0.9:
        context["sessionId"] = identifier(rng, others=True)
    for name, pool in (
        ("environment", ("production", "development")),
        ("appName", ("web", "user-1")),
        ("remoteAddress", _ADDRESSES),
    ):
        if rng.random() < 0.8:
            context[name] = rng.choice(pool)
    if rng.random() < 0.3:
        context["currentTime"] = rng.choice(_TIMES)
    for name, pool in _PROPERTIES.items():
        if rng.random() < 0.75:
            context[name] = rng.choice(pool) if rng.random() < 0.85 else odd_value(rng)
    if rng.random() < 0.05:
        context[rng.choice(("targetingKey", "sessionId", "currentTime", "appName"))] = odd_value(
            rng
        )
    return context


def convert(document: dict[str, Any]) -> ImportResult:
    """Import it."""
    return convert_unleash(document)


def vendor(document: dict[str, Any]) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    """Return the released SDK's answers."""
    from UnleashClient._context import _ContextEnricher
    from yggdrasil_engine.engine import UnleashEngine

    engine = UnleashEngine()
    engine.lib.free_response(engine.lib.take_state(engine.state, json.dumps(document).encode()))
    enrich = _ContextEnricher(types.SimpleNamespace(static_context={})).build
    with_payload = {
        feature["name"]
        for feature in document["features"]
        for holder in (feature, *feature["strategies"])
        if any("payload" in variant for variant in holder.get("variants") or ())
    }
    imported = convert(document)
    drawn = {key for key, flag in imported.flags.items() if "$random" in json.dumps(flag)}
    drawn |= {one["name"] for one in document["features"] if one.get("dependencies")}
    ours = compile_flag_set(parse_flag_set(imported.flag_set()))
    counted: Counter[str] = Counter()
    atexit.register(_print_counted, counted)
    kept: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}

    def foreign(context: dict[str, Any]) -> dict[str, Any]:
        found = kept.get(id(context))
        if found is None or found[0] is not context:
            if len(kept) > 5000:
                kept.clear()
            found = kept[id(context)] = (context, _foreign(context, enrich))
        return found[1]

    def answer(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        enabled = engine._do_is_enabled(key, context)
        variant = engine._do_get_variant(key, context)
        if enabled is not variant.feature_enabled and key not in drawn:
            raise AssertionError("the switch and the variant disagree")
        if not variant.feature_enabled:
            return (NOTHING, None) if key in with_payload else (False, _free(key, "disabled"))
        name = variant.name if variant.enabled else _free(key, "enabled")
        if key not in with_payload:
            return True, name
        return _value(variant.payload), name

    def _free(key: str, name: str) -> str:
        variants = imported.flags[key]["variants"]
        return f"({name})" if f"({name})" in variants else name

    def ask(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        given = foreign(context)
        theirs = answer(key, given)
        if key not in drawn:
            return theirs
        details = evaluate(ours, key, context, time.time())
        mine = (details.value, details.variant) if details.variant else (NOTHING, None)
        if mine[1] == theirs[1] and same(mine[0], theirs[0]):
            return theirs
        for _ in range(_DRAWS):
            if mine[1] == (other := answer(key, given))[1] and same(mine[0], other[0]):
                counted["answers left to chance, of which ours was one"] += 1
                return other
        return theirs

    return ask


def _foreign(context: dict[str, Any], enrich: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return the context as Unleash gets it."""
    fields: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in context.items():
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) in (int, float):
            value = str(value)
        if name == "targetingKey":
            fields["userId"] = value
        elif name in _FIELDS:
            fields[name] = value
        else:
            properties[name] = value
    if all(type(value) is str for value in (*fields.values(), *properties.values())):
        return enrich({**fields, "properties": properties})
    return {**fields, "properties": properties}


def _value(payload: dict[str, str] | None) -> Any:
    """Read a payload by its type, or leave it the text that it is."""
    if payload is None:
        return None
    text = payload["value"]
    try:
        if payload["type"] == "number":
            return float(text)
        if payload["type"] == "json" and text != "NaN":
            return json.loads(text)
    except ValueError:
        pass
    return text


def _print_counted(counted: Counter[str]) -> None:
    for what, times in sorted(counted.items()):
        print(f"unleash: {times:,} {what}")
