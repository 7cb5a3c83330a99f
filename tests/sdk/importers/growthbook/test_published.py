"""GrowthBook's published cases (``cases.json``, version 0.7.1 of its specification).

They are the JavaScript SDK's, so they are imported with the edge of that SDK. What is no
configuration but an option of an SDK's instance, or is not supported, is listed by name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flagstone.engine import EvaluationDetails, bucket, evaluate, parse_flag_set
from flagstone.importers.growthbook import convert

FILE = Path(__file__).resolve().parents[5] / "shared/conformance/growthbook/cases-spec-0.7.1.json"
PUBLISHED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
NOW = 0.0
BUCKETS = {1: ("growthbook-1", 1_000), 2: ("growthbook-2", 10_000)}

NOT_SUPPORTED = {
    "getQueryStringOverride": "a query string overrides an experiment in the browser only",
    "decrypt": "an encrypted file is refused as a whole; features are downloaded in clear",
    "urlRedirect": "redirects of a web site are not supported",
}
OPTION = "an option of the SDK's instance, which no file of features has"
CODE = "an experiment of code; a feature's rule has no such field"
STICKY = "sticky buckets are stored by the SDK's owner, and left behind by name"
REFUSED = {
    ("feature", "include experiments when forced"): OPTION,
    ("run", "negative forced variation"): CODE,
    ("run", "high forced variation"): CODE,
    ("run", "globally disabled"): OPTION,
    ("run", "querystring force"): NOT_SUPPORTED["getQueryStringOverride"],
    ("run", "skip inactive experiments"): CODE,
    ("run", "querystring force with inactive"): NOT_SUPPORTED["getQueryStringOverride"],
    ("run", "coverage take precendence over forced"): CODE,
    ("run", "Force variation from context"): OPTION,
    ("run", "Skips experiments in QA mode"): OPTION,
    ("run", "Works in QA mode if forced in context"): OPTION,
    ("run", "Works in QA mode if forced in experiment"): OPTION,
    ("stickyBucket", "use fallbackAttribute when missing hashAttribute"): STICKY,
    ("stickyBucket", "performs evaluation without sticky bucket"): STICKY,
    ("stickyBucket", "evaluates based on stored sticky bucket"): STICKY,
    ("stickyBucket", "does not consume a sticky bucket not belonging to the user"): STICKY,
    (
        "stickyBucket",
        "upgrades a sticky bucket doc from a fallbackAttribute to a hashAttribute",
    ): STICKY,
    (
        "stickyBucket",
        "favors a sticky bucket doc based on hashAttribute over fallbackAttribute",
    ): STICKY,
    (
        "stickyBucket",
        "stops test enrollment when and existing sticky bucket is blocked by version",
    ): STICKY,
}
RENAMED = {
    "Support passthrough variations": "experiment:0",
}
"""Two experiments of one flag have a variation of this name, with different values."""


def cases(section: str) -> list[Any]:
    found = []
    for number, case in enumerate(PUBLISHED.get(section, [])):
        name = str(case[0])
        if (section, name) not in REFUSED:
            found.append(pytest.param(*case, id=f"{section}-{number}-{name}"))
    return found


@pytest.fixture(autouse=True)
def published(shared_dir: Path) -> None:
    """Skip where the published cases are absent."""


def ask(
    features: dict[str, Any], key: str, attributes: dict[str, Any], groups: Any = None
) -> EvaluationDetails:
    imported = convert({"features": features, "savedGroups": groups})
    assert imported.refused == []
    document = json.loads(json.dumps(imported.flag_set()))
    return evaluate(parse_flag_set(document, strict=True), key, attributes, NOW)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("case", PUBLISHED.get("evalCondition", []), ids=lambda case: case[0])
def test_a_condition_matches_as_published(case: list[Any]) -> None:
    _, condition, attributes, expected, *groups = case
    feature = {"defaultValue": False, "rules": [{"force": True, "condition": condition}]}
    served = ask({"f": feature}, "f", attributes, groups[0] if groups else None)
    assert served.value is expected


@pytest.mark.parametrize(("name", "context", "key", "expected"), cases("feature"))
def test_a_feature_has_the_published_value(
    name: str, context: dict[str, Any], key: str, expected: dict[str, Any]
) -> None:
    details = ask(
        context.get("features", {}), key, context.get("attributes", {}), context.get("savedGroups")
    )
    assert same(details.value, expected["value"])
    assert details.on is expected["on"]
    if expected["ruleId"]:
        assert details.rule_id == expected["ruleId"]
    if expected["source"] == "experiment":
        assert details.variant == RENAMED.get(name, expected["experimentResult"]["key"])
        assert details.track


@pytest.mark.parametrize(
    ("name", "context", "experiment", "value", "is_in", "is_hashed"), cases("run")
)
def test_an_experiment_as_a_rule_has_the_published_variation(
    name: str,
    context: dict[str, Any],
    experiment: dict[str, Any],
    value: Any,
    is_in: bool,
    is_hashed: bool,
) -> None:
    features = {**context.get("features", {}), "f": {"rules": [experiment]}}
    details = ask(features, "f", context.get("attributes", {}), context.get("savedGroups"))
    assert (details.variant is not None) is is_in is is_hashed
    if is_in:
        assert same(details.value, value)


@pytest.mark.parametrize(
    ("name", "context", "stored", "key", "expected", "kept"), cases("stickyBucket")
)
def test_an_experiment_whose_sticky_buckets_do_not_matter_is_as_published(
    name: str, context: dict[str, Any], stored: Any, key: str, expected: Any, kept: Any
) -> None:
    details = ask(context["features"], key, context["attributes"])
    assert (details.value, details.variant) == (expected["value"], expected["key"])


@pytest.mark.parametrize("case", PUBLISHED.get("hash", []), ids=str)
def test_a_unit_has_the_published_hash(case: list[Any]) -> None:
    seed, unit, version, expected = case
    if expected is None:
        rule = {"force": 1, "coverage": 1, "hashVersion": version}
        assert ask({"f": {"rules": [rule]}}, "f", {"id": unit}).variant is None
        return
    name, of = BUCKETS[version]
    assert bucket(name, seed, unit, of) / of == expected


def ranges_of(rule: dict[str, Any]) -> list[list[list[int]]]:
    """Import an experiment and return the buckets of its variations."""
    flag = convert({"features": {"f": {"rules": [rule]}}}).flags["f"]
    return [share["ranges"] for share in flag["rules"][0]["serve"]["split"]["to"]]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("case", PUBLISHED.get("getBucketRange", []), ids=lambda case: case[0])
def test_weights_and_coverage_take_the_published_ranges(case: list[Any], version: int) -> None:
    _, (count, coverage, weights), expected = case
    of = BUCKETS[version][1]
    rule = {
        "variations": list(range(count)),
        "coverage": coverage,
        "weights": weights,
        "hashVersion": version,
    }
    edges = [edge for ((low, high),) in ranges_of(rule) for edge in (low, high)]
    published = [edge for pair in expected for edge in pair]
    # Published rounded: a float a hair above its decimal takes one bucket more.
    assert all(
        0 <= ours - edge * of < 1.000001 for ours, edge in zip(edges, published, strict=True)
    )


@pytest.mark.parametrize("case", PUBLISHED.get("chooseVariation", []), ids=lambda case: case[0])
def test_a_bucket_falls_into_the_published_variation(case: list[Any]) -> None:
    _, fraction, ranges, expected = case
    rule = {"variations": list(range(len(ranges))), "ranges": ranges, "hashVersion": 2}
    place = round(fraction * 10_000)
    chosen = [
        index
        for index, spans in enumerate(ranges_of(rule))
        if any(low <= place < high for low, high in spans)
    ]
    assert chosen == ([] if expected < 0 else [expected])


@pytest.mark.parametrize("case", PUBLISHED.get("inNamespace", []), ids=lambda case: case[0])
def test_a_unit_is_in_the_published_namespace(case: list[Any]) -> None:
    _, unit, namespace, expected = case
    rule = {"variations": [1, 1], "namespace": namespace}
    assert (ask({"f": {"rules": [rule]}}, "f", {"id": unit}).variant is not None) is expected


@pytest.mark.parametrize("case", PUBLISHED.get("getEqualWeights", []), ids=str)
def test_equal_weights_are_the_published_ones(case: list[Any]) -> None:
    count, expected = case
    rule = {"variations": list(range(max(count, 0))), "hashVersion": 2}
    if count < 2:
        assert convert({"features": {"f": {"rules": [rule]}}}).flags["f"]["rules"] == []
        return
    sizes = [high - low for ((low, high),) in ranges_of(rule)]
    assert all(abs(size - share * 10_000) < 1 for size, share in zip(sizes, expected, strict=True))


def test_every_published_case_is_run_or_refused_by_name(
    record_property: Callable[[str, object], None],
) -> None:
    names = {(section, case[0]) for section in ("feature", "run", "stickyBucket")
             for case in PUBLISHED[section]}  # fmt: skip
    assert REFUSED.keys() <= names
    sections = {key for key, value in PUBLISHED.items() if isinstance(value, list)}
    run = {"evalCondition", "feature", "run", "stickyBucket", "hash", "getBucketRange",
           "chooseVariation", "inNamespace", "getEqualWeights"}  # fmt: skip
    assert sections == run | NOT_SUPPORTED.keys()
    counts = Counter(section for section, _ in REFUSED)
    for (section, name), reason in sorted(REFUSED.items()):
        record_property("refused", f"{section} / {name}: {reason}")
    for section, reason in NOT_SUPPORTED.items():
        record_property("refused", f"{section}, all {len(PUBLISHED[section])}: {reason}")
    assert counts == {"feature": 1, "run": 11, "stickyBucket": 7}


def test_sticky_buckets_are_named_in_the_report() -> None:
    for name, context, *_ in PUBLISHED["stickyBucket"]:
        report = convert({"features": context["features"]}).report()
        is_sticky = "disables" not in name
        assert [("sticky" in note["reason"]) for note in report["lossy"]] == [True] * is_sticky


def test_a_circle_of_the_published_features_is_named_in_the_report() -> None:
    (case,) = [case for case in PUBLISHED["feature"] if "cycle" in case[0]]
    lossy = convert({"features": case[1]["features"]}).report()["lossy"]
    assert [note["flag"] for note in lossy] == ["flag1", "flag2"]
