r"""Eppo: random universal flag configurations, and the answers of its Rust core.

Two things are kept out, for which the importer says that it cannot be exact: ``\d``, ``\w``, ``\s``
and ``\b`` meet ASCII texts only (the attribute ``ticket``), and a number that meets a pattern is
written without an exponent. A subject always has a key, a text: without one Eppo's SDK raises.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from typing import Any

from flagstone.engine.units import unit_text
from flagstone.importers.result import ImportResult

from . import NOTHING, ODD_TEXTS, identifier

PACKAGES: tuple[str, ...] = ("eppo-server-sdk",)

COUNTRIES = ("US", "Canada", "Mexico", "DE", "Österreich", "日本", "", "US ", "us")
PATTERNS = (
    "@example\\.com$",
    ".*@test\\.com",
    "^user-[0-9]*[02468]$",
    "(?i)EXAMPLE",
    "^$",
    "",
    "a|b|ü",
    "^.{3,12}$",
    "[^a-z]",
    "(?:0|1)+",
    "null",
    "true",
    "^-?[0-9]+\\.?[0-9]*$",
    "\\.",
    "[[:alpha:]]{2}",
    "[]a-]",
)
TICKET_PATTERNS = ("^\\d+$", "\\bAB\\b", "^\\w+-\\d{2,}$", "\\s", "[\\d.]+", "\\S\\D\\W")
TICKETS = ("AB-12", "12", "AB", "x AB y", "CAB", "1.2", " ", "a b", "", "AB_12", "-.-")
VERSIONS = (
    "1.0.0",
    "1.5.0",
    "1.5.0-beta.2",
    "1.5.0-beta.11",
    "1.5.0-rc",
    "2.10.3",
    "2.9.3",
    "10.0.0",
    "1.5.0+build.7",
    "0.0.0",
)
ALMOST_VERSIONS = ("1.5", "v1.5.0", "01.5.0", "1.5.0.1", "1.5.0-", "latest", 1.5, 2, True)
NUMBERS = (0, 1, 10, 18, 50, 10.0, 0.5, -3, -2.5, 3.14159, 1000000, 12345678901)
NUMBER_TEXTS = (
    "0",
    "1",
    "10",
    "10.0",
    "1e1",
    "+10",
    " 10",
    "10 ",
    "010",
    ".5",
    "5.",
    "-3",
    "x",
    "1_0",
)
SALTS = ("exposure", "split", "holdout-1", "säl t", "-", "")
VALUES: dict[str, tuple[Any, ...]] = {
    "STRING": ("control", "treatment", "", "ü 😀", "5", "true"),
    "INTEGER": (0, 1, -7, 2**53 - 1, 3.0),
    "NUMERIC": (0, 1.5, -0.25, 3.0, 10, 1e-9),
    "BOOLEAN": (True, False),
    "JSON": (
        '{"a": 1, "b": [true, null, 1.5]}',
        "[]",
        '{"ü": "😀", "n": {"x": -1}}',
        "{}",
        "5",
        "null",
        '"x"',
    ),
}
WRONG: dict[str, Any] = {
    "STRING": 5,
    "INTEGER": 1.5,
    "NUMERIC": "1",
    "BOOLEAN": "true",
    "JSON": "{not json",
}


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    """Draw a configuration with that many flags."""
    return {
        "createdAt": "2024-04-17T19:40:53.716Z",
        "format": "SERVER",
        "environment": {"name": "Test"},
        "flags": {f"flag-{n}": _flag(rng, f"flag-{n}") for n in range(flags)},
    }


def _flag(rng: random.Random, key: str) -> dict[str, Any]:
    kind = rng.choice(tuple(VALUES))
    names = [f"v{n}" for n in range(rng.randint(1, 4))]
    variations = {name: {"key": name, "value": rng.choice(VALUES[kind])} for name in names}
    if rng.random() < 0.15:
        names.append("wrong")
        variations["wrong"] = {"key": "wrong", "value": WRONG[kind]}
    if rng.random() < 0.05:
        names.append("unknown")
    shards = rng.choice((10000, 10000, 10000, 100, 7, 1, 2**32 - 1))
    return {
        "key": key,
        "enabled": rng.random() < 0.92,
        "variationType": kind,
        "variations": variations,
        "totalShards": shards,
        "allocations": [
            _allocation(rng, f"allocation-{n}", names, shards) for n in range(rng.randint(0, 5))
        ],
    }


def _allocation(rng: random.Random, key: str, names: list[str], shards: int) -> dict[str, Any]:
    allocation: dict[str, Any] = {"key": key, "doLog": rng.random() < 0.5}
    if rng.random() < 0.7:
        allocation["rules"] = [
            {"conditions": [_condition(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]}
            for _ in range(rng.choice((0, 1, 1, 2)))
        ]
    for name in ("startAt", "endAt"):
        if rng.random() < 0.1:
            moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=rng.choice((-400, -3, 3, 400)))
            allocation[name] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    allocation["splits"] = _splits(rng, names, shards)
    return allocation


def _splits(rng: random.Random, names: list[str], shards: int) -> list[dict[str, Any]]:
    draw = rng.random()
    if draw < 0.25:
        return [{"variationKey": rng.choice(names), "shards": []}]
    if draw < 0.65:
        return _ordinary(rng, names, shards)
    return [
        {
            "variationKey": rng.choice(names),
            "shards": [_shard(rng, shards) for _ in range(rng.randint(0, 3))],
        }
        for _ in range(rng.randint(0, 4))
    ]


def _ordinary(rng: random.Random, names: list[str], shards: int) -> list[dict[str, Any]]:
    """Split as Eppo's screens do: exposed traffic, divided by weights."""
    cuts = sorted(rng.randint(0, shards) for _ in names[1:])
    edges = [0, *cuts, shards]
    exposed = {"salt": "exposure", "ranges": [{"start": 0, "end": rng.randint(0, shards)}]}
    return [
        {
            "variationKey": name,
            "shards": [exposed, {"salt": "split", "ranges": [{"start": low, "end": high}]}],
        }
        for name, low, high in zip(names, edges, edges[1:], strict=False)
    ]


def _shard(rng: random.Random, shards: int) -> dict[str, Any]:
    ranges = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        start = rng.randint(0, shards)
        end = rng.choice((rng.randint(0, shards), shards, min(2**32 - 1, shards + 5)))
        ranges.append({"start": start, "end": end})
    if rng.random() < 0.15:
        ranges.append({"start": 0, "end": shards})
    return {"salt": rng.choice(SALTS), "ranges": ranges}


def _condition(rng: random.Random) -> dict[str, Any]:
    draw = rng.random()
    negated = rng.random() < 0.4
    if draw < 0.3:
        attribute = rng.choice(("country", "number", "flag", "id", "anything"))
        pool = (
            *COUNTRIES,
            *NUMBER_TEXTS,
            "true",
            "false",
            "null",
            "user-1",
            "3.14159",
            "12345678901",
        )
        values = rng.sample(pool, rng.randint(0, 5))
        return _written(attribute, "NOT_ONE_OF" if negated else "ONE_OF", values)
    if draw < 0.55:
        ascii_only = rng.random() < 0.3
        attribute = (
            "ticket" if ascii_only else rng.choice(("email", "country", "id", "number", "flag"))
        )
        pattern = rng.choice(TICKET_PATTERNS if ascii_only else PATTERNS)
        return _written(attribute, "NOT_MATCHES" if negated else "MATCHES", pattern)
    if draw < 0.7:
        attribute = rng.choice(("number", "anything", "id", "nothing", "country"))
        return _written(attribute, "IS_NULL", rng.random() < 0.5)
    operator = rng.choice(("GTE", "GT", "LTE", "LT"))
    if draw < 0.85:
        version = rng.choice([text for text in VERSIONS if "+" not in text])
        return _written(rng.choice(("version", "id", "number")), operator, version)
    number = rng.choice((*NUMBERS, "10", "1e1", "-3"))
    return _written(rng.choice(("number", "anything", "id", "version")), operator, number)


def _written(attribute: str, operator: str, value: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value}


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draw subjects."""
    return [_context(rng) for _ in range(count)]


def _context(rng: random.Random) -> dict[str, Any]:
    key = identifier(rng, others=True)
    context: dict[str, Any] = {"targetingKey": key if unit_text(key) is not None else "user-1"}
    if rng.random() < 0.15:
        context["id"] = rng.choice(("user-1", "10", 10, None, True, "", "1.5.0", "ü"))
    draws: dict[str, Callable[[], Any]] = {
        "country": lambda: rng.choice((*COUNTRIES, *ODD_TEXTS, None, True, 5)),
        "email": lambda: rng.choice(("a@example.com", "b@test.com", "C@EXAMPLE.COM", "ü@x.at", 7)),
        "number": lambda: rng.choice((*NUMBERS, *NUMBER_TEXTS, None, True, rng.randint(-9, 99))),
        "version": lambda: rng.choice((*VERSIONS, *ALMOST_VERSIONS)),
        "flag": lambda: rng.choice((True, False, "true", "false", "True", None, 1, 0)),
        "ticket": lambda: rng.choice((*TICKETS, 12, 1.5, True, None)),
        "anything": lambda: rng.choice((*ODD_TEXTS, *NUMBERS, None, True, False)),
    }
    for name, draw in draws.items():
        if rng.random() < 0.75:
            context[name] = draw()
    return context


def convert(document: Any) -> ImportResult:
    """Import with our importer."""
    from flagstone.importers import eppo

    return eppo.convert(document)


def vendor(document: Any) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    """Evaluate with Eppo's released SDK, offline."""
    import eppo_client

    class Silent(eppo_client.AssignmentLogger):  # type: ignore[misc]
        def log_assignment(self, event: dict[str, Any]) -> None:
            pass

    configuration = eppo_client.Configuration(flags_configuration=json.dumps(document).encode())
    client = eppo_client.init(
        eppo_client.ClientConfig(
            api_key="none",
            base_url="http://127.0.0.1:9",
            assignment_logger=Silent(),
            poll_interval_seconds=None,
            initial_configuration=configuration,
        )
    )
    ask = {
        "STRING": client.get_string_assignment_details,
        "INTEGER": client.get_integer_assignment_details,
        "NUMERIC": client.get_numeric_assignment_details,
        "BOOLEAN": client.get_boolean_assignment_details,
        "JSON": client.get_json_assignment_details,
    }
    defaults: dict[str, Any] = {
        "STRING": "the default",
        "INTEGER": -1,
        "NUMERIC": -1.5,
        "BOOLEAN": False,
        "JSON": {},
    }
    kinds = {key: flag["variationType"] for key, flag in document["flags"].items()}

    def evaluate(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        kind = kinds[key]
        attributes = {name: value for name, value in context.items() if name != "targetingKey"}
        subject = unit_text(context["targetingKey"])
        result = ask[kind](key, subject, attributes, defaults[kind])
        details = result.evaluation_details
        if details["flagEvaluationCode"] != "MATCH":
            return NOTHING, None
        return result.variation, details["variationKey"]

    return evaluate
