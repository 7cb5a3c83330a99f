"""Whom a change moves: proved and counted, against going through everybody one by one."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flags.changes import parse_change, preview_change
from flags.context_samples import Sample
from flags.effect_counts import share_of
from flags.effects import Effect, effect_of
from flags.redaction import MASK, redacted
from flagstone.engine import Served, evaluate, parse_flag_set

COUNTRIES = ("DE", "FR", "US")
PLANS = ("free", "max")
EVERYBODY = tuple(
    {"targetingKey": f"u{number}", "country": country, "plan": plan}
    for number, (country, plan) in enumerate(itertools.product(COUNTRIES, PLANS))
)
VARIANTS = {"off": {"value": False, "on": False}, "on": {"value": True}}
NOW = 1_700_000_000.0


def flag(key: str, rules: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "key": key,
        "type": "boolean",
        "variants": VARIANTS,
        "off": "off",
        "default": "off",
        "rules": [{"id": f"r{place}", **rule} for place, rule in enumerate(rules)],
        **fields,
    }


def attr(name: str, *values: str) -> dict[str, Any]:
    return {"attr": name, "op": "in", "values": list(values)}


def flag_set(segment: Any, *flags: dict[str, Any]) -> dict[str, Any]:
    return {"flags": {each["key"]: each for each in flags}, "segments": {"eu": segment}}


def effect(
    before: dict[str, Any], after: dict[str, Any], contexts: Any = EVERYBODY, limit: float = NOW
) -> Effect:
    old, new = parse_flag_set(before), parse_flag_set(after)
    flags = [key for key in before["flags"] if before["flags"][key] != after["flags"].get(key)]
    segments = [key for key, each in before["segments"].items() if each != after["segments"][key]]
    sample = Sample(tuple(contexts), units=len(contexts))
    return effect_of(old, new, sample, flags=flags, segments=segments, now=limit)


countries = st.lists(st.sampled_from(COUNTRIES), min_size=1, max_size=2, unique=True)
conditions = st.one_of(
    countries.map(lambda chosen: attr("country", *chosen)),
    st.sampled_from(PLANS).map(lambda plan: attr("plan", plan)),
    st.just({"segment": "eu"}),
    st.just({"not": {"segment": "eu"}}),
    st.just(True),
)
rules = st.lists(
    st.fixed_dictionaries({"when": conditions, "serve": st.sampled_from(["on", "off"])}),
    max_size=3,
)
needs_payments = [{"flag": "payments", "variants": ["on"]}]


@st.composite
def flag_sets(draw: Any) -> dict[str, Any]:
    return flag_set(
        attr("country", *draw(countries)),
        flag("payments", draw(rules), enabled=draw(st.booleans())),
        flag("checkout", draw(rules), prerequisites=draw(st.sampled_from([[], needs_payments]))),
    )


@settings(max_examples=60, deadline=None)
@given(flag_sets(), flag_sets())
def test_verdict_and_matrix_agree_with_asking_everybody(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Domain: every country and plan that conditions name, and one of each that they do not."""
    found = effect(before, after)
    everybody = [
        {"country": country, "plan": plan}
        for country in (*COUNTRIES, "??")
        for plan in (*PLANS, "??")
    ]
    gains = losses = False
    for context, key in itertools.product(everybody, before["flags"]):
        one, other = (evaluate(side, key, context, NOW).value for side in (before, after))
        gains, losses = gains or (other and not one), losses or (one and not other)
    expected = {
        (False, False): "no_op",
        (True, False): "only_widens",
        (False, True): "only_narrows",
        (True, True): "moves_others",
    }[gains, losses]
    assert found.verdict == expected
    if found.witness is not None:
        seen = found.witness
        for side, document in (("before", before), ("after", after)):
            answer = evaluate(document, seen["flag"], seen["context"], NOW)
            assert Served.of(answer).to_document() == seen[side]
        assert seen["before"] != seen["after"]
    met = {each.flag: each for each in found.flags}
    moved = 0
    for context in EVERYBODY:
        pairs = [
            tuple(evaluate(side, key, context, NOW).value for side in (before, after))
            for key in before["flags"]
        ]
        moved += any(one is not other for one, other in pairs)
    assert (found.moved.count if found.moved else 0) == moved
    for key in before["flags"]:
        counted: dict[tuple[Any, Any], int] = {}
        for context in EVERYBODY:
            pair = tuple(evaluate(side, key, context, NOW).value for side in (before, after))
            counted[pair] = counted.get(pair, 0) + 1
        if key in met:
            cells = {(cell.before.value, cell.after.value): cell for cell in met[key].matrix}
            assert {pair: cell.count for pair, cell in cells.items()} == counted
            assert all(cell.moves is (pair[0] is not pair[1]) for pair, cell in cells.items())
        else:
            assert all(one is other for one, other in counted)


def test_an_edit_of_a_segment_moves_the_flags_that_ask_it_and_those_that_ask_them() -> None:
    payments = flag("payments", [{"when": {"segment": "eu"}, "serve": "on"}])
    checkout = flag("checkout", [{"when": True, "serve": "on"}], prerequisites=needs_payments)
    other = flag("search", [{"when": attr("plan", "max"), "serve": "on"}])
    before = flag_set(attr("country", "DE"), payments, checkout, other)
    found = effect(before, flag_set(attr("country", "DE", "FR"), payments, checkout, other))
    assert found.verdict == "only_widens"
    assert [(each.flag, each.dependant, each.verdict) for each in found.flags] == [
        ("checkout", True, "only_widens"),
        ("payments", True, "only_widens"),
    ]
    assert found.moved is not None
    assert (found.moved.count, found.moved.share) == (2, 2 / 6)
    assert "2 of checkout from off (false) to on (true)" in found.movement
    narrower = effect(before, flag_set(attr("country", "FR"), payments, checkout, other))
    assert narrower.verdict == "moves_others"


def test_more_dependants_than_can_be_proved_leave_the_whole_undecided() -> None:
    many = [
        flag(f"f{number:02}", [{"when": {"segment": "eu"}, "serve": "on"}]) for number in range(45)
    ]
    found = effect(flag_set(attr("country", "DE"), *many), flag_set(attr("plan", "max"), *many))
    assert found.verdict == "moves_others"
    assert found.left_out == 5
    wider = effect(
        flag_set(attr("country", "DE"), *many), flag_set(attr("country", "DE", "FR"), *many)
    )
    assert (wider.verdict, wider.reason) == ("not_decided", "5 more flags depend on it")
    assert "Not decided: 5 more flags" in wider.sentence
    assert wider.movement.endswith("5 more flags were not counted.")


def test_examples_show_what_the_rules_ask_about_and_nothing_else() -> None:
    context = {
        "targetingKey": "ada-4711",
        "country": "DE",
        "email": "ada@example.org",
        "phone": "+49 30 1234",
        "age": 44,
        "org": {"name": "Acme", "size": 7},
        "tags": ["a"],
    }
    shown = {("targetingKey",), ("country",), ("email",), ("org", "size"), ("tags",)}
    assert redacted(context, shown) == {
        "targetingKey": MASK,
        "country": "DE",
        "email": f"{MASK}@example.org",
        "org": {"size": 7},
        "tags": MASK,
    }
    off = flag_set(True, flag("checkout", []))
    on = flag_set(True, flag("checkout", [{"when": attr("country", "DE"), "serve": "on"}]))
    document = effect(off, on, [context]).document()
    assert document["blast_radius"]["flags"]["checkout"]["matrix"][0]["examples"] == [
        {"targetingKey": MASK, "country": "DE"}
    ]
    assert "4711" not in json.dumps(document, default=str)


def test_an_empty_sample_says_so_and_counts_nobody() -> None:
    off = flag_set(True, flag("checkout", []))
    on = flag_set(True, flag("checkout", [{"when": True, "serve": "on"}]))
    found = effect(off, on, [])
    assert found.moved is None
    assert "No context was seen here in the last 7 days" in found.movement
    assert found.document()["blast_radius"]["moved"] is None
    assert found.verdict == "only_widens"


@pytest.mark.parametrize(
    ("count", "size", "low", "high"),
    # SciPy: binomtest(count, size).proportion_ci(method="wilson")
    [(0, 1000, 0.0, 0.003827), (123, 1000, 0.104074, 0.144811), (6, 6, 0.609666, 1.0)],
)
def test_shares_have_wilsons_interval(count: int, size: int, low: float, high: float) -> None:
    share = share_of(count, size)
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_what_a_flag_is_everywhere_moves_people_in_every_environment(shop: Any) -> None:
    shop.change({"do": "turn_on"})
    shop.change({"do": "turn_on"}, {"do": "set_default", "variant": "new"}, environment="staging")
    edit = {"do": "update_variant", "variant": "new", "value": "newest"}
    change = parse_change({"flag": "checkout", "instructions": [edit]})
    with shop.database.read() as session:
        found = preview_change(session, shop.project, "production", change, now=shop.now)
    assert found.effect is not None
    assert found.effect.verdict == "no_op"
    assert {key: each.verdict for key, each in found.elsewhere.items()} == {
        "staging": "moves_others"
    }
