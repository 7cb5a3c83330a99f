"""Write what Flagsmith's engine and SDK answer to cases made by hand, for tests without them.

    python -m benchmarks.differences.flagsmith_golden > tests/sdk/importers/flagsmith/cases.json

Each row of ``grid`` is an operator with a constant; its answers are for ``values``, in order: ``1``
the condition holds, ``0`` it does not, ``!`` the engine raises. ``properties`` are the same for
where a condition looks. ``scenarios`` are whole files with identities.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from hashlib import md5
from importlib.metadata import version
from typing import Any, Final

from flag_engine.utils.hashing import get_hashed_percentage_for_object_ids

from benchmarks.differences.flagsmith import PREFIX, asked

MISSING: Final = {"missing": True}
VALUES: Final[list[Any]] = [
    MISSING,
    None,
    True,
    False,
    0,
    7,
    -3,
    12,
    10**20,
    1.5,
    -0.25,
    1e-7,
    "",
    "7",
    "007",
    "-3",
    "-0",
    "7.0",
    "1.50",
    "-0.25",
    "1e3",
    "+7",
    " 7",
    "7\n",
    "1.5.0",
    "True",
    "true",
    "pro",
    "Pro",
    "pro plan",
    "a@acme.com",
    "a@acme.com\n",
    "Zoë",
    "😀",
    "٣",
    "1.2.3",
    "1.2.4-beta",
    "1.2.4-beta.2+b7",
    "2.0.0",
    "v1.2.3",
    "01.2.3",
    "1.2",
    "[",
    "x" * 600,
]
ORDER: Final = (
    "EQUAL",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_INCLUSIVE",
    "LESS_THAN",
    "LESS_THAN_INCLUSIVE",
)
BOUNDS: Final[list[Any]] = [
    "7",
    "007",
    "7.0",
    "1.5",
    " 7 ",
    "1e1",
    "-3",
    "",
    "pro",
    "True",
    "false",
    "nan",
    "inf",
    "-inf",
    "100000000000000000000",
    "1.2.4-beta:semver",
    "1.2.3:semver",
    "1.2:semver",
    "1.2.1234567890123456789:semver",
    ":semver",
    7,
    1.5,
    True,
    None,
]
CONSTANTS: Final[dict[str, list[Any]]] = {
    **dict.fromkeys(ORDER, BOUNDS),
    "CONTAINS": [
        "pro",
        "",
        "7",
        ".",
        "o p",
        "Zo",
        "beta:semver",
        "b7:semver",
        "beta.2:semver",
        "!:semver",
        None,
        7,
    ],
    "NOT_CONTAINS": ["pro", "", "7", ".", "beta:semver", None, 7],
    "REGEX": [
        "pro",
        "^pro$",
        "ro",
        r".*@acme\.com$",
        r"[a-z]@acme\.com\Z",
        "(?i)PRO",
        "(?i)z",
        "7",
        "-?[0-9]+$",
        "1.5",
        "True",
        "T|F",
        "",
        r"(?s).*\n$",
        r"(?a)\w+$",
        r"\S+$",
        "(pro|a)",
        r"x{600}$",
        r"(?x) p r o $",
        "[",
        "(?=p)pro",
        r"(p)\1",
        r"\Bro",
        "p$|q$r",
        "x{1001}",
        "(?ai)pro",
    ],
    "MODULO": [
        "2|0",
        "2|1",
        "3|0",
        "1.5|0",
        "-3|0",
        "0.25|0",
        "2",
        "2|x",
        "",
        "2|nan",
        "1e0|0",
        "0|1",
        "inf|7",
        7,
    ],
    "IN": [
        "7",
        "007",
        "pro,7",
        "7.0,1.5",
        '["pro", 7]',
        "[pro,7]",
        ["pro", "-3"],
        [7, True, 1.5],
        [],
        "",
        "True,true",
        ",",
        "[",
        "-0,0",
        "100000000000000000000",
        7,
        None,
    ],
    "IS_SET": [""],
    "IS_NOT_SET": [""],
    "PERCENTAGE_SPLIT": ["0", "50", "33.3", "100", "-1", "nan", "ten", 25, None],
    "LIKE": ["pro"],
}
PROPERTIES: Final = (
    "trait",
    "other",
    "",
    "$.identity.identifier",
    "$.identity.key",
    "$.identity['identifier']",
    "$.identity.traits.trait",
    "$.identity",
    "$.identity.traits",
    "$.environment.name",
    '$.environment["key"]',
    "$.environment.none",
    "$.environment",
    "$.nothing",
    "$.not a path",
)
ENVIRONMENT: Final = {"key": PREFIX[:-1], "name": "Production"}


def condition_file(target: str, name: str, constant: Any) -> dict[str, Any]:
    """Return a context whose one feature is ``yes`` for who fulfils the condition."""
    condition = {"property": target, "operator": name, "value": constant}
    return {
        "environment": dict(ENVIRONMENT),
        "features": {"flag": {"key": "1", "name": "flag", "enabled": False, "value": "no"}},
        "segments": {
            "12": {
                "key": "12",
                "name": "segment",
                "rules": [{"type": "ALL", "conditions": [condition]}],
                "overrides": [{"key": "2", "name": "flag", "enabled": True, "value": "yes"}],
            }
        },
    }


def user(identifier: Any, **traits: Any) -> dict[str, Any]:
    """Return our context of an identity with the default key."""
    return {
        "targetingKey": f"{PREFIX}{identifier}",
        "identity": {"identifier": identifier},
        "environment": dict(ENVIRONMENT),
        **traits,
    }


def mark(document: dict[str, Any], context: dict[str, Any]) -> str:
    try:
        return "1" if asked(document)("flag", context)["enabled"] else "0"
    except Exception:  # noqa: BLE001  that it raises is the answer
        return "!"


def grid() -> Iterator[list[Any]]:
    for name, constants in CONSTANTS.items():
        for constant in constants:
            document = condition_file("trait", name, constant)
            contexts = [user("u", **({} if v is MISSING else {"trait": v})) for v in VALUES]
            yield [name, constant, "".join(mark(document, one) for one in contexts)]


IDENTITIES: Final = [
    user("u", trait="x"),
    user("7", trait="Production"),
    user("007"),
    user("1.50", other=""),
    user("", trait=7),
    user("😀", trait=None),
    user("x", trait=True),
    {"environment": ENVIRONMENT},
]


def properties() -> Iterator[list[Any]]:
    asks = (
        ("EQUAL", "x"),
        ("EQUAL", "Production"),
        ("EQUAL", PREFIX + "7"),
        ("EQUAL", "7"),
        ("NOT_EQUAL", "x"),
        ("IS_SET", ""),
        ("IS_NOT_SET", ""),
        ("IN", "x,7,Production"),
        ("PERCENTAGE_SPLIT", "50"),
    )
    for target in PROPERTIES:
        for name, constant in asks:
            document = condition_file(target, name, constant)
            marks = "".join(mark(document, context) for context in IDENTITIES)
            yield [target, name, constant, marks]


# --- scenarios ----------------------------------------------------------------------------------


def feature(name: str, value: Any, enabled: bool = True, **more: Any) -> dict[str, Any]:
    return {"key": f"key of {name}", "name": name, "enabled": enabled, "value": value, **more}


def option(key: str | None, value: Any, weight: float, priority: int) -> dict[str, Any]:
    made = {"value": value, "weight": weight, "priority": priority}
    return made if key is None else {**made, "key": key}


def segment(key: str, rules: Any, *overrides: Any) -> dict[str, Any]:
    return {"key": key, "name": f"segment {key}", "rules": rules, "overrides": list(overrides)}


def rule(kind: str, *conditions: Any, rules: Any = ()) -> dict[str, Any]:
    parts = [{"property": p, "operator": o, "value": v} for p, o, v in conditions]
    return {"type": kind, "conditions": parts, "rules": list(rules)}


def whole(features: list[Any], segments: list[Any]) -> dict[str, Any]:
    return {
        "environment": dict(ENVIRONMENT),
        "features": {one["name"]: one for one in features},
        "segments": {one["key"]: one for one in segments},
    }


def priorities() -> dict[str, Any]:
    everybody = [rule("ALL")]
    return whole(
        [
            feature(name, "own")
            for name in ("ties", "weakest", "least", "fraction", "endless", "within")
        ],
        [
            segment(
                "a",
                everybody,
                feature("ties", "a", priority=1),
                feature("weakest", "a"),
                feature("least", "a", priority=2),
                feature("fraction", "a", priority=1),
                feature("endless", "a", priority=0),
                feature("within", "a1", priority=2),
                feature("within", "a2", False, priority=1),
            ),
            segment(
                "b",
                everybody,
                feature("ties", "b", priority=1),
                feature("weakest", "b", priority=10**30),
                feature("least", "b", False, priority=-1),
                feature("fraction", "b", priority=0.5),
                feature("endless", "b", priority=float("-inf")),
                feature("within", "b", priority=2),
            ),
            segment("none", [], feature("ties", "nobody", priority=-9)),
        ],
    )


def nested() -> dict[str, Any]:
    yes, no = ("trait", "IS_SET", ""), ("trait", "EQUAL", "never")
    kinds = ("ALL", "ANY", "NONE")
    pairs = ((), (yes,), (no,), (yes, no))
    segments, features = [], []

    def met(conditions: tuple[Any, ...]) -> str:
        return "".join("1" if one is yes else "0" for one in conditions) or "-"

    for outer in kinds:
        for conditions in pairs:
            for inner in kinds:
                for below in pairs:
                    key = f"{outer} {met(conditions)} over {inner} {met(below)}"
                    rules = [rule(outer, *conditions, rules=[rule(inner, *below)])]
                    features.append(feature(key, "out"))
                    segments.append(segment(key, rules, feature(key, "in")))
    both = [rule("ALL", yes), rule("NONE", no)]
    features.append(feature("two rules", "out"))
    segments.append(segment("two rules", both, feature("two rules", "in")))
    return whole(features, segments)


def splits() -> dict[str, Any]:
    pro = [rule("ALL", ("plan", "EQUAL", "pro"))]
    half = [option("b", "B", 30, 2), option("a", "A", 20.5, 1)]
    return whole(
        [
            feature("by priority", "C", variants=half),
            feature("off", "C", False, variants=half),
            feature(
                "unnamed", None, variants=[option(None, 1, 33.3, 1), option("z", "Z", 33.3, 1)]
            ),
            feature(
                "past the end", "C", variants=[option("a", "A", 80, 1), option("b", "B", 80, 2)]
            ),
            feature("nothing", "C", variants=[option("a", "A", 0, 1)]),
            feature("own key", "C", variants=half),
        ],
        [
            segment(
                "3", pro, {**feature("own key", "C", priority=0, variants=half), "key": "another"}
            )
        ],
    )


def percentages() -> dict[str, Any]:
    shares = ("0", "10", "33.3", "50", "99.99", "100", "nan")
    wheres = ("", "$.identity.key", "$.identity.identifier", "trait")
    names = [f"{where or 'blank'} {share}" for where in wheres for share in shares]
    rules = [
        [rule("ALL", (where, "PERCENTAGE_SPLIT", share))] for where in wheres for share in shares
    ]
    return whole(
        [feature(name, "out") for name in names],
        [segment(name, one, feature(name, "in")) for name, one in zip(names, rules, strict=True)],
    )


def edges() -> tuple[dict[str, Any], list[Any]]:
    """Return percentages and weights that end just at, below and above identities' own places.

    One identity's first hash is the one that Flagsmith draws again.
    """
    drawn_again = next(
        n
        for n in range(10**6)
        if int(md5(f"salt,{PREFIX}{n}".encode()).hexdigest(), 16) % 9999 == 9998
    )
    who = [user(identifier) for identifier in (str(drawn_again), "u1", "u2", "u3", "", "😀")]
    ends = []
    for one in who:
        place = get_hashed_percentage_for_object_ids(["salt", one["targetingKey"]])
        ends.extend((math.nextafter(place, -1), place, math.nextafter(place, 101)))
    features, segments = [], []
    for number, end in enumerate(ends):
        rules = [rule("ALL", ("", "PERCENTAGE_SPLIT", repr(end)))]
        features.append(feature(f"percentage {number}", "out"))
        segments.append(
            {**segment(f"s{number}", rules, feature(f"percentage {number}", "in")), "key": "salt"}
        )
        weights = [option("a", "A", end, 1), option("b", "B", 100, 2)]
        features.append({**feature(f"weight {number}", "C", variants=weights), "key": "salt"})
    made = whole(features, [])
    return {**made, "segments": {one["name"]: one for one in segments}}, who


def state(name: str, value: Any, enabled: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "feature": {"id": len(name), "name": name},
        "enabled": enabled,
        "feature_state_value": value,
        "featurestate_uuid": f"uuid of {name}",
        "multivariate_feature_state_values": [],
        **more,
    }


def share(
    number: int | None, key: str | None, value: Any, weight: float, end: int
) -> dict[str, Any]:
    return {
        "id": number,
        "multivariate_feature_option": {"value": value, "key": key},
        "mv_fs_value_uuid": f"00000000-0000-4000-8000-{end:012d}",
        "percentage_allocation": weight,
    }


def environment() -> dict[str, Any]:
    pro = [
        {"type": "ALL", "conditions": [{"property_": "plan", "operator": "EQUAL", "value": "pro"}]}
    ]
    strangers = [
        {"type": "NONE", "conditions": [{"property_": "plan", "operator": "IS_SET", "value": None}]}
    ]
    produced = [
        {
            "type": "ALL",
            "conditions": [
                {"property_": "$.environment.name", "operator": "EQUAL", "value": "Production"}
            ],
        }
    ]
    third = [
        {
            "type": "ALL",
            "conditions": [{"property_": None, "operator": "PERCENTAGE_SPLIT", "value": "33.3"}],
        }
    ]
    shares = [share(None, "b", "B", 30, 2), share(None, "a", "A", 30, 1)]
    by_id = [share(2, "b", "B", 30, 1), share(1, "a", "A", 30, 2)]
    at = [{"feature_segment": {"priority": n}} for n in range(3)]
    return {
        "api_key": ENVIRONMENT["key"],
        "name": ENVIRONMENT["name"],
        "project": {
            "segments": [
                {
                    "id": 1,
                    "name": "pro",
                    "rules": pro,
                    "feature_states": [
                        state("plain", "pro", **at[1]),
                        state("split", "P", multivariate_feature_state_values=shares, **at[0]),
                        state(
                            "django",
                            "P",
                            django_id=77,
                            multivariate_feature_state_values=by_id,
                            **at[0],
                        ),
                    ],
                },
                {
                    "id": 2,
                    "name": "strangers",
                    "rules": strangers,
                    "feature_states": [
                        state("plain", "stranger", False, **at[0]),
                        state("toggle", None, **at[0]),
                    ],
                },
                {
                    "id": 3,
                    "name": "production",
                    "rules": produced,
                    "feature_states": [state("plain", "production", **at[2])],
                },
                {
                    "id": 4,
                    "name": "a third",
                    "rules": third,
                    "feature_states": [state("third", "in", **at[0])],
                },
                {"id": 5, "name": "without overrides", "rules": pro},
            ]
        },
        "feature_states": [
            state("plain", "own"),
            state("split", "C", multivariate_feature_state_values=shares),
            state("django", "C", django_id=5, multivariate_feature_state_values=by_id),
            state("third", "out"),
            state("toggle", None, False),
            state("identified", "own"),
            state("number", 1),
        ],
        "identity_overrides": [
            {
                "identifier": "u1",
                "identity_features": [state("identified", "mine", False), state("plain", "mine")],
            },
            {"identifier": "u2", "identity_features": [state("identified", "mine", False)]},
            {"identifier": "u1", "identity_features": [state("identified", "second")]},
            {
                "identifier": "7",
                "identity_features": [
                    state("identified", "seven"),
                    state("split", "whole", multivariate_feature_state_values=shares),
                ],
            },
            {"identifier": "007", "identity_features": [state("identified", "never met")]},
            {"identifier": "1.5", "identity_features": [state("identified", "never met")]},
            {"identifier": "😀", "identity_features": [state("number", 2)]},
            {"identifier": "", "identity_features": [state("number", 3)]},
            {"identifier": "u3", "identity_features": []},
        ],
        "use_identity_composite_key_for_hashing": True,
    }


WHO: Final = [
    {},
    {"environment": ENVIRONMENT},
    user("", plan="pro"),
    user("😀"),
    user("7"),
    user("007", plan="pro"),
    user(7, plan="free"),
    user(1.5),
    user("1.5", trait="007"),
    user("u1", plan="pro"),
    user("u2", trait=1.5),
    user("u3", trait=True),
    user("Zoë", trait="x"),
    {**user("u1"), "targetingKey": "a key of its own"},
    {**user("", plan="pro"), "targetingKey": ""},
    {**user("u1"), "targetingKey": 42},
    *(
        user(f"user-{number}", plan="pro" if number % 2 else "free", trait=number)
        for number in range(24)
    ),
]
EDGES: Final = edges()
SCENARIOS: Final = {
    "edges": EDGES[0],
    "priorities": priorities(),
    "nested rules": nested(),
    "splits": splits(),
    "percentages": percentages(),
    "environment document": environment(),
}


def scenarios() -> Iterator[dict[str, Any]]:
    for name, document in SCENARIOS.items():
        ask = asked(document)
        states = document.get("feature_states")
        features = (
            [one["feature"]["name"] for one in states] if states else list(document["features"])
        )
        who = EDGES[1] if name == "edges" else WHO if name != "nested rules" else WHO[:12]
        answers = {}
        for one in features:
            flags = [ask(one, context) for context in who]
            answers[one] = [[flag["value"], flag["variant"], flag["enabled"]] for flag in flags]
        yield {"name": name, "document": document, "contexts": who, "answers": answers}


def main() -> None:
    packages = ("flagsmith-flag-engine", "flagsmith")
    golden = {
        "made by": "benchmarks.differences.flagsmith_golden with "
        + " and ".join(f"{name} {version(name)}" for name in packages),
        "values": VALUES,
        "grid": list(grid()),
        "identities": IDENTITIES,
        "properties": list(properties()),
        "scenarios": list(scenarios()),
    }
    # One row on a line, so that a change can be read.
    lines = []
    for name, part in golden.items():
        if isinstance(part, list) and name not in ("values", "identities"):
            rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in part)
            lines.append(f"{json.dumps(name)}: [\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
