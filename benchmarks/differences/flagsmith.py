"""Flagsmith: environment documents in the SDK, evaluation contexts in its engine.

A file is the one or the other by chance. An identity with the default key is asked through the
SDK; one with a key of its own, which the SDK cannot be given, through the engine it uses.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from benchmarks.differences import ODD_TEXTS, identifier

PACKAGES: tuple[str, ...] = ("flagsmith", "flagsmith-flag-engine")

ENVIRONMENT: Final = {"key": "env-Zoë.key", "name": "Production"}
PREFIX: Final = f"{ENVIRONMENT['key']}_"
CHANCE_OF_DOCUMENT: Final = 0.5

PLANS: Final = ("free", "pro", "team", "Pro", "", "ünïcode", "😀", "a,b")
EMAILS: Final = ("a@acme.com", "b@acme.org", "c@x.io", "Zoë@acme.com", "é@acme.com\n", "@", "AB-9")
VERSIONS: Final = (
    "1.2.3",
    "1.2.4-beta",
    "1.2.4-beta.2+b7",
    "2.0.0",
    "0.9.9",
    "1.2",
    "v1.2.3",
    "01.2.3",
)
NUMERALS: Final = (
    "7",
    "007",
    "-3",
    "-03",
    "0",
    "-0",
    "00",
    "1.5",
    "1.50",
    "-0.25",
    "12",
    "1e3",
    "+7",
    " 7",
    "7.0",
    "99999999999999999999",
)
BOUNDS: Final = (
    "7",
    "-3",
    "0",
    "1.5",
    "12.0",
    "1e1",
    " 5 ",
    "1_0",
    "seven",
    "",
    "nan",
    "inf",
    "-inf",
    "007",
    "100",
    "-0.25",
)
PATTERNS: Final = (
    "a",
    "^a",
    ".*@acme",
    "@acme",
    r".*@acme\.com$",
    r"[a-z]@acme\.(com|org)$",
    "(?i)AB?",
    "(?i).*ACME",
    r"[^@]*@x\.io\Z",
    "1",
    r"-?[0-9]+$",
    "[0-9]+.5",
    "True",
    "T|F",
    r"(?s).+com.$",
    r"(?a)\w+-\d",
    "(pro|team)$",
    "a{1,2}@",
    "",
    "1.2.3",
    r"(?x) a  @ ",
    r"(?m).*$",
    r"\S+\s*$",
    r"(?:free|)$",
    "[]a]",
    r"\x61",
)
TRUTHS: Final = ("true", "false", "True", "False", "1", "0", "")
TRAITS: Final = (
    "plan",
    "email",
    "version",
    "numeral",
    "age",
    "score",
    "premium",
    "odd",
    "weird",
    "$.dotted trait",
)
ORDER: Final = (
    "EQUAL",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_INCLUSIVE",
    "LESS_THAN",
    "LESS_THAN_INCLUSIVE",
)
OPERATORS: Final = (
    *ORDER,
    "CONTAINS",
    "NOT_CONTAINS",
    "REGEX",
    "MODULO",
    "IN",
    "IS_SET",
    "IS_NOT_SET",
    "PERCENTAGE_SPLIT",
    "PERCENTAGE_SPLIT",
)
WITHOUT_ZEROS: Final = ("plan", "email", "version", "age", "score", "premium")
"""Traits that are never the text of a number with needless zeros, which a REGEX could see."""


# --- files --------------------------------------------------------------------------------------


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    """Return an environment document or an evaluation context with so many features."""
    names = [f"feature-{number}" for number in range(flags)]
    kinds = {
        name: rng.choice(("text", "text", "text", "bool", "number", "null", "mixed"))
        for name in names
    }
    options = {name: _options(rng, kinds[name]) if rng.random() < 0.5 else [] for name in names}
    make = _document if rng.random() < CHANCE_OF_DOCUMENT else _context
    return make(rng, names, kinds, options)


def _document(rng: random.Random, names: list[str], kinds: Any, options: Any) -> dict[str, Any]:
    def state(name: str, *, of_segment: bool = False) -> dict[str, Any]:
        made: dict[str, Any] = {
            "feature": {"id": names.index(name) + 1, "name": name, "type": "STANDARD"},
            "enabled": rng.random() < 0.6,
            "feature_state_value": _value(rng, kinds[name]),
            "featurestate_uuid": _uuid(rng),
            "multivariate_feature_state_values": _weighed(rng, options[name]),
        }
        if rng.random() < 0.4:
            made["django_id"] = rng.randrange(1, 10**6)
        if of_segment:
            made["feature_segment"] = {"priority": rng.randrange(4)} if rng.random() < 0.9 else None
        return made

    segments = [
        {
            "id": 100 + number,
            "name": rng.choice(("beta", "staff")) if rng.random() < 0.1 else f"segment {number}",
            "rules": _rules(rng, "property_"),
            "feature_states": [state(name, of_segment=True) for name in _some(rng, names)],
        }
        for number in range(len(names) * 2)
    ]
    known = [rng.choice((f"user-{n}", str(n), "007", "1.5", "😀", "", "Zoë")) for n in range(20)]
    overrides = [
        {"identifier": one, "identity_features": [state(name) for name in _some(rng, names)]}
        for one in known
    ]
    return {
        "api_key": ENVIRONMENT["key"],
        "name": ENVIRONMENT["name"],
        "project": {"id": 1, "name": "project", "segments": segments},
        "feature_states": [state(name) for name in names],
        "identity_overrides": overrides,
        "use_identity_composite_key_for_hashing": True,
    }


def _weighed(rng: random.Random, options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    weights = _weights(rng, len(options))
    by_id = rng.random() < 0.5
    made = [
        {
            "id": rng.randrange(1, 100) if by_id else None,
            "multivariate_feature_option": dict(option),
            "mv_fs_value_uuid": _uuid(rng),
            "percentage_allocation": weight,
        }
        for option, weight in zip(options, weights, strict=True)
    ]
    rng.shuffle(made)
    return made


def _context(rng: random.Random, names: list[str], kinds: Any, options: Any) -> dict[str, Any]:
    def feature(name: str, *, of_segment: bool = False) -> dict[str, Any]:
        made: dict[str, Any] = {
            "key": rng.choice((_uuid(rng), str(rng.randrange(10**6)), f"ü{name}")),
            "name": name,
            "enabled": rng.random() < 0.6,
            "value": _value(rng, kinds[name]),
        }
        if options[name]:
            weights = _weights(rng, len(options[name]))
            pairs = zip(options[name], weights, strict=True)
            made["variants"] = [
                {**option, "weight": weight, "priority": rng.randrange(5)}
                for option, weight in pairs
            ]
        if of_segment and rng.random() < 0.8:
            made["priority"] = rng.choice((0, 1, 2, 1.5, -1, 2**63, float("-inf")))
        return made

    segments = {
        f"key-{number}": {
            "key": f"key-{number}" if rng.random() < 0.8 else str(number),
            "name": f"segment {number}",
            "rules": _rules(rng, "property"),
            "overrides": [feature(name, of_segment=True) for name in _some(rng, names)],
        }
        for number in range(len(names) * 2)
    }
    return {
        "environment": dict(ENVIRONMENT),
        "features": {name: feature(name) for name in names},
        "segments": segments,
    }


def _some(rng: random.Random, names: list[str]) -> list[str]:
    return rng.sample(names, min(len(names), rng.randint(0, 3)))


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _value(rng: random.Random, kind: str) -> Any:
    if kind == "mixed":
        kind = rng.choice(("text", "bool", "number", "null"))
    if kind == "text":
        return rng.choice(("blue", "green", "", "😀", '{"a": 1}', "control"))
    if kind == "bool":
        return rng.random() < 0.5
    return rng.randrange(-5, 6) if kind == "number" else None


def _options(rng: random.Random, kind: str) -> list[dict[str, Any]]:
    made = []
    for number in range(rng.randint(1, 4)):
        option: dict[str, Any] = {"value": _value(rng, kind)}
        if rng.random() < 0.8:
            option["key"] = f"option-{number}"
        made.append(option)
    return made


def _weights(rng: random.Random, count: int) -> list[float]:
    return [
        rng.choice((0, 10, 25, 33.3, 33.333333, 50, 100, 0.01, rng.random() * 60))
        for _ in range(count)
    ]


def _rules(rng: random.Random, property_name: str, depth: int = 0) -> list[dict[str, Any]]:
    least = 0 if depth else int(rng.random() < 0.95)
    rules = []
    for _ in range(rng.randint(least, 2)):
        rule: dict[str, Any] = {"type": rng.choice(("ALL", "ALL", "ANY", "ANY", "NONE"))}
        rule["conditions"] = [_condition(rng, property_name) for _ in range(rng.randint(0, 3))]
        rule["rules"] = (
            _rules(rng, property_name, depth + 1) if depth < 2 and rng.random() < 0.4 else []
        )
        rules.append(rule)
    return rules


def _condition(rng: random.Random, property_name: str) -> dict[str, Any]:
    name = rng.choice(OPERATORS)
    if name == "PERCENTAGE_SPLIT":
        where = rng.choice(
            (
                "",
                "",
                "",
                "$.identity.key",
                "$.identity.identifier",
                "plan",
                "numeral",
                "odd",
                "score",
                "premium",
                "$.environment.name",
            )
        )
    elif rng.random() < 0.15:
        where = rng.choice(
            (
                "$.identity.identifier",
                "$.identity.key",
                "$.environment.name",
                "$.environment.key",
                "$.environment['name']",
                "$.identity.traits.plan",
                "$.identity",
                "$.nowhere",
                "$.identity.traits['age']",
            )
        )
    else:
        where = rng.choice(TRAITS)
    if name == "REGEX" and where not in WITHOUT_ZEROS:
        where = rng.choice(WITHOUT_ZEROS)
    if where == "weird" and name not in (*ORDER, "IS_SET", "IS_NOT_SET"):
        where = "plan"
    return {property_name: where, "operator": name, "value": _constant(rng, name, where)}


def _constant(rng: random.Random, name: str, where: str) -> Any:
    if name == "IN":
        values = rng.sample((*PLANS, *NUMERALS, *EMAILS, "True", "user-1", "Production", PREFIX), 5)
        return rng.choice(
            (values, ",".join(values), json.dumps(values), json.dumps([1, 7, True, 1.5]), "[", "")
        )
    if name == "PERCENTAGE_SPLIT":
        return rng.choice(
            (
                "0",
                "100",
                "50",
                "33.3",
                "10.002",
                f"{rng.random() * 100}",
                "ten",
                25,
                "99.98999799959992",
            )
        )
    if name == "MODULO":
        return rng.choice(
            ("2|0", "2|1", "3|2", "1.5|0", "0.25|0", "2", "a|b", "", "-3|-1", "2|nan")
        )
    if name == "REGEX":
        return rng.choice(PATTERNS)
    pools: dict[str, tuple[Any, ...]] = {
        "plan": PLANS,
        "email": EMAILS,
        "version": tuple(f"{one}:semver" for one in VERSIONS)
        + VERSIONS
        + ("beta:semver", "b7:semver", "x:semver"),
        "premium": TRUTHS,
        "weird": PLANS,
        "odd": ODD_TEXTS,
        "$.identity.identifier": ("user-1", "7", "😀", "1"),
        "$.identity.key": (f"{PREFIX}7", "env", "7", ""),
        "$.environment.name": ("Production", "Staging", "P", ""),
    }
    pool = pools.get(where, NUMERALS + BOUNDS)
    return rng.choice(pool if rng.random() < 0.85 else (*BOUNDS, *PLANS, 7, 1.5, True, None))


# --- contexts -----------------------------------------------------------------------------------


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Return so many contexts, most of identities with the default key."""
    return [_user(rng) for _ in range(count)]


def _user(rng: random.Random) -> dict[str, Any]:
    draw = rng.random()
    if draw < 0.02:
        return rng.choice(({}, {"environment": dict(ENVIRONMENT)}, {"targetingKey": None}))
    who = (
        identifier(rng, others=True)
        if draw < 0.8
        else rng.choice(
            (f"user-{rng.randrange(25)}", str(rng.randrange(25)), "007", "05", "1.5", 7, 2.5)
        )
    )
    if isinstance(who, float) and who.is_integer():
        who = int(who)
    key: Any = f"{PREFIX}{who}"
    if draw > 0.95:
        key = identifier(rng, others=True)
        if isinstance(key, float):
            key = int(key)
    if key == 0:
        key = 1  # Flagsmith takes 0 for no key at all, and makes one of an identifier
    if key == "":
        who = ""  # an empty key is the default one, of an empty identifier
    context: dict[str, Any] = {"targetingKey": key, "identity": {"identifier": who}}
    if rng.random() < 0.5:
        context["environment"] = dict(ENVIRONMENT)
    for name in TRAITS:
        if rng.random() < 0.75:
            context[name] = _trait(rng, name)
    return context


def _trait(rng: random.Random, name: str) -> Any:
    draw = rng.random()
    if draw < 0.05:
        return None
    if draw < 0.2 and name != "weird":
        return rng.choice(
            (True, False, rng.randrange(-5, 15), 1.5, rng.choice(PLANS), rng.choice(EMAILS))
        )
    kinds: dict[str, Callable[[], Any]] = {
        "plan": lambda: rng.choice(PLANS),
        "email": lambda: rng.choice(EMAILS),
        "version": lambda: rng.choice(VERSIONS),
        "numeral": lambda: rng.choice(NUMERALS),
        "age": lambda: rng.choice((7, 12, 0, -3, 100, 10**20, rng.randrange(-10, 120))),
        "score": lambda: rng.choice((1.5, -0.25, 0.1, 1e-7, rng.random() * 20)),
        "premium": lambda: rng.random() < 0.5,
        "odd": lambda: rng.choice(ODD_TEXTS),
        "weird": lambda: rng.choice(([], ["pro"], [1, 2], "pro", 7)),
    }
    return kinds.get(name, kinds["plan"])()


# --- ours and theirs ----------------------------------------------------------------------------


def convert(document: Any) -> Any:
    """Import a file; a feature without a value keeps its null, which is what the SDK gives."""
    from flagstone.importers import flagsmith

    return flagsmith.convert(document, toggles=False)


def vendor(document: Mapping[str, Any]) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    """Return what the vendor answers to a feature's name and a context of ours."""
    ask = asked(document)
    names = {name: tuple(_unique(found)) for name, found in _named(document).items()}

    def answer(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        flag = ask(key, context)
        return flag["value"], flag["variant"] if flag["variant"] in names.get(key, ()) else None

    return answer


def asked(document: Mapping[str, Any]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return the vendor's whole answer: value, variant and whether the feature is enabled."""
    from flag_engine.engine import get_evaluation_result
    from flagsmith import Flagsmith
    from flagsmith.mappers import map_environment_document_to_context
    from flagsmith.models import build_segment_overrides_index

    client: Any = None
    engine_context: Any = document
    if "feature_states" in document:

        class Handler:
            def get_environment(self) -> Any:
                return document

        client = Flagsmith(offline_mode=True, offline_handler=Handler())
        engine_context = map_environment_document_to_context(document)  # type: ignore[arg-type]
    overrides = build_segment_overrides_index(engine_context)

    def ask(key: str, context: dict[str, Any]) -> dict[str, Any]:
        unit = context.get("targetingKey")
        identity = None
        if unit is not None:
            traits = {
                name: value
                for name, value in context.items()
                if name not in ("targetingKey", "identity", "environment")
            }
            default = str(unit).removeprefix(PREFIX)
            who = context.get("identity", {}).get("identifier", default)
            identity = {"identifier": who, "key": unit, "traits": traits}
        if client is not None and (identity is None or unit == f"{PREFIX}{identity['identifier']}"):
            if identity is None:
                flags = client.get_environment_flags()
            else:
                flags = client.get_identity_flags(identity["identifier"], identity["traits"])
            flag = flags.get_flag(key)
            return {"value": flag.value, "variant": flag.variant, "enabled": flag.enabled}
        trimmed = {
            "environment": engine_context["environment"],
            "features": {key: engine_context["features"][key]},
            "segments": overrides.get(key, {}),
            "identity": identity,
        }
        return get_evaluation_result(trimmed)["flags"][key]  # type: ignore[return-value,typeddict-item]

    return ask


def _named(document: Mapping[str, Any]) -> dict[str, dict[str, set[str]]]:
    """Return, for each feature, the names that Flagsmith gives to values, with those values."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, enabled, control, options in _states(document):
        of_feature = found.setdefault(name, {})
        if options:
            of_feature.setdefault("control", set()).add(json.dumps([control, enabled]))
        for key, value in options:
            if key is not None:
                of_feature.setdefault(key, set()).add(json.dumps([value, enabled]))
    return found


def _unique(names: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the names that stand for one value: of several, ours have a number behind."""
    return (name for name, values in names.items() if len(values) == 1)


def _states(document: Mapping[str, Any]) -> Iterator[tuple[str, bool, Any, list[tuple[Any, Any]]]]:
    if "feature_states" in document:
        states = list(document["feature_states"])
        for segment in document["project"]["segments"]:
            states.extend(segment["feature_states"])
        for state in states:
            shown = [
                one["multivariate_feature_option"]
                for one in state["multivariate_feature_state_values"]
            ]
            options = [(one.get("key"), one["value"]) for one in shown]
            yield state["feature"]["name"], state["enabled"], state["feature_state_value"], options
        return
    features = list(document["features"].values())
    for segment in document["segments"].values():
        features.extend(segment["overrides"])
    for feature in features:
        options = [(one.get("key"), one["value"]) for one in feature.get("variants", ())]
        yield feature["name"], feature["enabled"], feature["value"], options
