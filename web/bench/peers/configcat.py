"""ConfigCat: its client with a configuration from a file."""

from __future__ import annotations

import json
from typing import Any

from web.bench import cases
from web.bench.peers import Engine, NotMeasurableError, load

DISTRIBUTION = "configcat-client"
ONE_OF, ENDS_WITH, GREATER_EQUAL = 0, 32, 15
"""Comparators: text is one of, text ends with any of, number is greater or equal."""


def setting(key: str, case: str) -> dict[str, Any]:
    """Write the setting of a case."""
    on, off = {"v": {"b": True}, "i": "on"}, {"v": {"b": False}, "i": "off"}

    def texts(name: str, comparator: int, *values: str) -> dict[str, Any]:
        return {"u": {"a": name, "c": comparator, "l": list(values)}}

    def percent(share: int) -> list[Any]:
        return [{"p": share, **on}, {"p": 100 - share, **off}]

    more: dict[str, Any] = {}
    if case == cases.ROLLOUT:
        more["p"] = percent(50)
    elif case == cases.TARGETING:
        three = [
            texts("country", ONE_OF, *cases.WANTED_COUNTRIES),
            texts("email", ENDS_WITH, cases.WANTED_ENDING),
            {"u": {"a": "age", "c": GREATER_EQUAL, "d": 18.0}},
        ]
        more["r"] = [{"c": three, "p": percent(20)}]
    elif case == cases.RULES:
        more["r"] = [{"c": [texts("group", ONE_OF, group)], "s": on} for group in cases.GROUPS]
    elif case == cases.MEMBERSHIP:
        more["r"] = [{"c": [texts("Identifier", ONE_OF, *cases.MEMBERS)], "s": on}]
    value = {"b": case == cases.BOOLEAN}
    return {"t": 0, "v": value, "i": key, **more}


def engine(question: cases.Question) -> Engine:
    """Start the SDK with its configuration from a file, without a connection."""
    if question.recording:
        raise NotMeasurableError("it has no exposures")
    others = (cases.BOOLEAN, cases.ROLLOUT, cases.TARGETING)
    settings = {"asked": setting("asked", question.kind)}
    settings |= {
        f"other-{n}": setting(f"other-{n}", others[n % 3]) for n in range(question.filling)
    }
    config = {"p": {"u": "http://127.0.0.1:9", "r": 0, "s": "salt"}, "f": settings}
    configcat = load("configcatclient")
    entries = load("configcatclient.configentry")
    base: Any = load("configcatclient.interfaces").ConfigCache

    text = entries.ConfigEntry(config, "etag", json.dumps(config), 4_102_444_800.0).serialize()

    class Cached(base):  # type: ignore[misc]
        def get(self, key: str) -> Any:  # noqa: ARG002  the SDK's signature
            return text

        def set(self, key: str, value: Any) -> None:  # nothing to keep
            pass

    options = configcat.ConfigCatOptions(
        polling_mode=configcat.PollingMode.manual_poll(), offline=True, config_cache=Cached()
    )
    client = configcat.ConfigCatClient.get(f"{'0' * 22}/{id(question):022d}", options)
    user_of = load("configcatclient.user").User
    return Engine(
        client.get_value,
        [
            (
                "asked",
                False,
                user_of(
                    one.unit,
                    email=one.attributes["email"],
                    country=one.attributes["country"],
                    custom={
                        **one.attributes,
                    },
                ),
            )
            for one in question.people
        ],
        client.close,
    )
