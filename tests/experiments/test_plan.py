"""A plan is read once, completely, and every fault is named with what to write instead."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.contract.document import format_duration, parse_duration
from experiments.contract.parsing import parse_plan
from experiments.contract.plan import plan_hash
from experiments.errors import PlanError

Document = dict[str, Any]


def changed(document: Document, path: str, value: Any) -> Document:
    """Set (or with ``...`` remove) one field, addressed as errors address it."""
    document = copy.deepcopy(document)
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    place: Any = document
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    if isinstance(place, list):
        place[int(last)] = value
    elif value is ...:
        del place[last]
    else:
        place[last] = value
    return document


FAULTS: list[tuple[str, Any, str]] = [
    ("key", "No Spaces", "key"),
    ("key", ..., "key"),
    ("flag", ..., "flag"),
    ("control", "", "control"),
    ("treatments", [], "treatments"),
    ("treatments", "new", "treatments"),
    ("treatments", ["control"], "treatments"),
    ("treatments", ["new", "new"], "treatments"),
    ("treatments", [1], "treatments[0]"),
    ("weights", {"control": 50}, "weights"),
    ("weights", {"control": 50, "old": 50}, "weights"),
    ("weights", {"control": 0, "new": 50}, "weights.control"),
    ("weights", {"control": 0.5, "new": 0.6}, "weights"),
    ("weights", {"control": 0.33333, "new": 0.66667}, "weights"),
    ("weights", {"control": 0.5, "new": 1}, "weights.new"),
    ("weights", {"control": 1.5, "new": 0.5}, "weights.control"),
    ("weights", {"control": float("nan"), "new": 0.5}, "weights.control"),
    ("weights", {"control": True, "new": 1}, "weights.control"),
    ("hypothesis", " ", "hypothesis"),
    ("hypothesis", ..., "hypothesis"),
    ("customer", ..., "customer"),
    ("customer", ["one", "two"], "customer"),
    ("customer", "one@example.org, two@example.org", "customer"),
    ("owner", "one@example.org and two@example.org", "owner"),
    ("customer", "OWNER@example.org", "owner"),
    ("owner", ..., "owner"),
    ("claim", "better", "claim"),
    ("claim", "no_harm", "metrics"),
    ("prove_by", "soon", "prove_by"),
    ("prove_by", 28, "prove_by"),
    ("prove_by_days", 1, "prove_by_days"),
    ("prove_by", "0s", "prove_by"),
    ("prove_by", "20s", "policy.minimum"),
    ("planned_units", 0, "planned_units"),
    ("planned_units", 1000.5, "planned_units"),
    ("coverage", 0, "coverage"),
    ("coverage", 1.2, "coverage"),
    ("coverage", float("nan"), "coverage"),
    ("authorised_in_advance", "yes", "authorised_in_advance"),
    ("audience", {"attr": "country", "op": "like", "values": ["x"]}, "audience.op"),
    ("surprise", 1, "surprise"),
    ("metrics", [], "metrics"),
    ("metrics", {"purchase": 1}, "metrics"),
    ("metrics[0]", "purchase", "metrics[0]"),
    ("metrics[0].key", ..., "metrics[0].key"),
    ("metrics[1].key", "purchase", "metrics[1].key"),
    ("metrics[0].role", "goal", "metrics[0].role"),
    ("metrics[0].kind", "median", "metrics[0].kind"),
    ("metrics[0].kind", "ratio", "metrics[0].denominator_event"),
    ("metrics[0].denominator_event", "session", "metrics[0].denominator_event"),
    ("metrics[0].event", ..., "metrics[0].event"),
    ("metrics[0].window", ..., "metrics[0].window"),
    ("metrics[0].window", "100s", "metrics[0].window"),
    ("metrics[0].window", "0s", "metrics[0].window"),
    ("metrics[0].mde", ..., "metrics[0].mde"),
    ("metrics[0].mde", 0, "metrics[0].mde"),
    ("metrics[0].mde", "5 %", "metrics[0].mde"),
    ("metrics[0].margin", 0.1, "metrics[0].margin"),
    ("metrics[0].superiority_margin", -1, "metrics[0].superiority_margin"),
    ("metrics[0].direction", "left", "metrics[0].direction"),
    ("metrics[0].covariate", "before", "metrics[0].covariate"),
    ("metrics[1].rare", "yes", "metrics[1].rare"),
    ("metrics[1].margin", ..., "metrics[1].margin"),
    ("metrics[1].margin", 1, "metrics[1].margin"),
    ("metrics[1].mde", 0.1, "metrics[1].mde"),
    ("policy", "bayes", "policy"),
    ("policy.looks", [], "policy.looks"),
    ("policy.looks", [{"every": "0s"}], "policy.looks[0].every"),
    ("policy.looks", [{"every": "1s", "until": "5s"}], "policy.looks"),
    ("policy.looks", [{"every": "1s"}, {"every": "2s"}], "policy.looks[1].every"),
    ("policy.looks", [{"every": "0.1s"}], "policy.looks"),
    (
        "policy.ramp",
        [{"coverage": 0.5, "hold": "1s"}, {"coverage": 0.2, "hold": "1s"}],
        "policy.ramp[1].coverage",
    ),
    ("policy.alpha_ship", 0.7, "policy.alpha_ship"),
    ("policy.name", "proof-28d", "policy.name"),
    ("policy.pause", "1s", "policy.pause"),
]


@pytest.mark.parametrize(("path", "value", "field"), FAULTS)
def test_every_fault_is_named_by_its_field(
    make_plan: Callable[..., Document], path: str, value: Any, field: str
) -> None:
    document = changed(make_plan(), path, value)
    if path == "policy.looks" and value == [{"every": "0.1s"}]:
        document["prove_by"] = "3000s"
    with pytest.raises(PlanError) as caught:
        parse_plan(document)
    assert caught.value.field == field
    assert caught.value.message


def test_a_missing_promise_comes_with_a_hint(make_plan: Callable[..., Document]) -> None:
    for path in ("customer", "owner", "metrics[0].mde", "metrics[1].margin", "metrics[0].event"):
        with pytest.raises(PlanError) as caught:
            parse_plan(changed(make_plan(), path, ...))
        assert caught.value.hint, path


@pytest.mark.parametrize(
    ("changes", "field", "hint"),
    [
        ({"kind": "count"}, "rare", 'kind = "conversion"'),
        ({"kind": "mean"}, "rare", 'kind = "conversion"'),
        ({"role": "explore", "margin": None}, "rare", "success, guardrail, safety"),
        ({"direction": None}, "direction", 'direction = "down"'),
    ],
)
def test_what_the_event_test_cannot_watch_is_refused(
    make_plan: Callable[..., Document], changes: Document, field: str, hint: str
) -> None:
    document = make_plan()
    document["metrics"][1] |= {"rare": True} | changes
    with pytest.raises(PlanError) as caught:
        parse_plan(document)
    assert caught.value.field == f"metrics[1].{field}"
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("role", ["success", "guardrail", "safety"])
def test_a_rare_metric_reads_back_and_one_that_is_not_keeps_its_seal(
    make_plan: Callable[..., Document], role: str
) -> None:
    document = make_plan()
    promise = {"success": {"mde": 0.1}, "guardrail": {"margin": 0.1}}.get(role, {})
    rare = {"key": "crash", "role": role, "kind": "conversion", "event": "crash", "window": "5s"}
    document["metrics"].append(rare | {"direction": "down", "rare": True} | promise)
    plan = parse_plan(document)
    assert plan.metric("crash").rare
    assert parse_plan(plan.to_document()) == plan
    ordinary = changed(document, "metrics[2].rare", False)
    written = parse_plan(ordinary).to_document()
    assert "rare" not in written["metrics"][2]
    absent = parse_plan(changed(document, "metrics[2].rare", ...)).to_document()
    assert plan_hash(written) == plan_hash(absent) != plan_hash(plan.to_document())


def test_a_fourth_success_metric_is_refused(make_plan: Callable[..., Document]) -> None:
    document = make_plan()
    one = document["metrics"][0]
    document["metrics"] = [one | {"key": f"m{i}"} for i in range(4)]
    with pytest.raises(PlanError, match="4 success metrics"):
        parse_plan(document)


def test_a_claim_of_no_harm_stands_on_guardrails_alone(make_plan: Callable[..., Document]) -> None:
    document = make_plan(claim="no_harm")
    document["metrics"] = document["metrics"][1:]
    assert parse_plan(document).claim == "no_harm"


def test_text_that_is_not_toml_is_a_fault_of_the_plan() -> None:
    with pytest.raises(PlanError, match="not TOML"):
        parse_plan("key = ")


def test_a_plan_reads_back_as_itself(make_plan: Callable[..., Document]) -> None:
    for changes in (
        {},
        {"policy": "proof-28d", "prove_by": "28d"},
        {"planned_units": 5000, "coverage": 0.25, "audience": {"segment": "eu"}},
        {"authorised_in_advance": True},
    ):
        plan = parse_plan(make_plan(**changes))
        document = plan.to_document()
        assert parse_plan(document) == plan
        assert parse_plan(json.loads(json.dumps(document))) == plan
        assert plan_hash(parse_plan(document).to_document()) == plan_hash(document)


def test_the_seal_does_not_depend_on_the_order_of_fields_but_on_every_value(
    make_plan: Callable[..., Document],
) -> None:
    document = parse_plan(make_plan()).to_document()
    backwards = dict(reversed(list(document.items())))
    assert plan_hash(backwards) == plan_hash(document)
    for path, value in (
        ("customer", "somebody else"),
        ("metrics[0].mde", 0.2),
        ("policy.alpha_harm", 0.05),
        ("coverage", 0.5),
    ):
        assert plan_hash(changed(document, path, value)) != plan_hash(document)


def test_without_prove_by_the_policys_horizon_holds(make_plan: Callable[..., Document]) -> None:
    document = changed(make_plan(policy="proof-28d"), "prove_by", ...)
    assert parse_plan(document).prove_by_seconds == 28 * 86400


def test_enrolment_ends_one_longest_window_before_the_deadline(
    make_plan: Callable[..., Document],
) -> None:
    document = changed(make_plan(), "metrics[1].window", "40s")
    assert parse_plan(document).enrol_seconds == 60


@given(st.integers(1, 10**7) | st.floats(0.001, 1e6).map(lambda x: round(x, 3)))
def test_durations_read_back_as_themselves(seconds: float) -> None:
    assert parse_duration(format_duration(seconds), "x") == pytest.approx(seconds, rel=1e-12)


def test_fractions_that_sum_to_one_are_weights_out_of_ten_thousand(
    make_plan: Callable[..., Document],
) -> None:
    plan = parse_plan(make_plan(weights={"control": 0.9, "new": 0.1}))
    assert plan.weights == (("control", 9000), ("new", 1000))
    assert parse_plan(plan.to_document()) == plan
