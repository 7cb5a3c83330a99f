"""The one door for plans: TOML or JSON in, a :class:`Plan` out, every fault with field and hint."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from experiments.analysis.definitions import MOST_EVENTS_PER_DAY
from experiments.contract.attrition import read_attrition
from experiments.contract.columns import read_replay
from experiments.contract.document import Reader
from experiments.contract.expected import read_expected
from experiments.contract.lanes import read_layer_share
from experiments.contract.metric import Metric, read_metric
from experiments.contract.money import Value, read_alternatives, read_value
from experiments.contract.plan import Plan
from experiments.contract.policy import PROOF_28D, RELEASE_1D, Policy, check_schedule, parse_policy
from experiments.contract.reference import read_failure_demand, read_policy_version
from experiments.contract.release import (
    RELEASE,
    Release,
    check_release,
    expand_release,
    in_short_words,
    is_short_form,
    read_release,
)
from experiments.contract.segments import read_segments
from experiments.contract.source import read_source_key
from experiments.errors import PlanError
from flagstone.engine import FlagSetError, parse_condition

MAX_SUCCESS_METRICS = 3
MAX_ARMS = 10

CLAIMS = ("value", "no_harm", RELEASE)


def read_text(source: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """Read TOML text as a mapping; a mapping is given back.

    Raises
    ------
    PlanError
        If the text is not TOML.
    """
    if not isinstance(source, str):
        return source
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"the plan is not TOML: {error}") from error


def parse_plan(source: Mapping[str, Any] | str) -> Plan:
    """Read a plan from TOML text or from a mapping of the same shape.

    Raises
    ------
    PlanError
        At the first fault, with the field's path and what to write instead.
    """
    source = read_text(source)
    if not is_short_form(source):
        return _read_plan(source)
    try:
        return _read_plan(expand_release(source))
    except PlanError as error:
        raise in_short_words(error) from None


def _read_plan(source: Mapping[str, Any]) -> Plan:
    reader = Reader(source)
    key = reader.key("key", "checkout-button")
    claim = reader.choice("claim", CLAIMS, "value")
    release = read_release(reader, claim)
    base = PROOF_28D if release is None else RELEASE_1D
    said = reader.take("policy", base.name)
    policy, policy_version = parse_policy(said, base=base), read_policy_version(reader, said)
    prove_by = _read_prove_by(reader, policy, release)
    replayed = reader.has("replay")
    control, treatments, weights = _read_arms(reader)
    customer, owner = _read_people(reader)
    metrics = tuple(
        read_metric(item, prove_by, replayed=replayed) for item in reader.tables("metrics")
    )
    _check_metrics(reader, claim, metrics)
    if release is not None:
        windows = {metric.key: metric.window_seconds for metric in metrics}
        check_release(reader, release, dict(weights), windows)
    source_key = _read_source(reader, metrics, replayed=replayed)
    value = read_value(reader)
    if value is not None:
        metrics = _priced(reader, metrics, value)
    exposures, outcomes = read_replay(reader, {control, *treatments}) if replayed else (None, None)
    planned_units = reader.integer("planned_units", None, least=100)
    plan = Plan(
        key=key,
        # History needs no flag: a replay names one only to say where the numbers came from.
        flag=reader.text("flag", key) if replayed else reader.text("flag", hint="a flag's key"),
        environment=reader.text("environment", "production"),
        control=control,
        treatments=treatments,
        weights=weights,
        hypothesis=reader.text("hypothesis", hint="one sentence: what will get better, and why"),
        customer=customer,
        owner=owner,
        claim=claim,
        metrics=metrics,
        prove_by_seconds=prove_by,
        planned_units=planned_units,
        most_events_per_day=_read_most_events(reader, replayed=replayed),
        coverage=reader.number("coverage", 1.0, above=0, most=1),
        audience=_read_audience(reader),
        authorised_in_advance=reader.boolean("authorised_in_advance", default=False),
        policy=policy,
        exposures=exposures,
        outcomes=outcomes,
        expected=read_expected(reader, {metric.key: metric.binary for metric in metrics}),
        value=value,
        alternatives=read_alternatives(reader),
        source=source_key,
        release=release,
        segments=read_segments(reader, replayed=replayed),
        failure_demand=read_failure_demand(reader),
        layer=read_layer_share(reader),
        attrition=read_attrition(
            reader, max(metric.window_seconds for metric in metrics), replayed=replayed
        ),
        policy_version=policy_version,
    )
    reader.finish()
    if release is not None and (plan.coverage < 1 or plan.authorised_in_advance):
        field = "coverage" if plan.coverage < 1 else "authorised_in_advance"
        raise reader.fault(field, "is not for releases", "its steps say who gets the variant")
    return plan


def _read_prove_by(reader: Reader, policy: Policy, release: Release | None) -> float:
    if release is None:
        prove_by = reader.duration("prove_by", policy.horizon_seconds, least=1.0)
        check_schedule(policy, prove_by)
        return prove_by
    prove_by = reader.duration("prove_by", release.hold_seconds)
    if prove_by != release.hold_seconds:
        hint = "leave it out; max_wait says how much longer it may take"
        raise reader.fault("prove_by", "is not the sum of the holds", hint)
    check_schedule(policy, prove_by + release.max_wait_seconds)
    return prove_by


def _read_source(reader: Reader, metrics: tuple[Metric, ...], *, replayed: bool) -> str | None:
    """Read which source holds the rows; metrics with SQL of their own need one."""
    named = reader.has("source") and not replayed
    for place, metric in enumerate(metrics):
        if metric.sql is not None and not named:
            raise reader.fault(
                f"metrics[{place}].sql", "has no engine to run on", 'name one: source = "warehouse"'
            )
        if named and metric.reading.waits_for_past is not None:
            raise reader.fault(
                f"metrics[{place}]",
                "takes a mark from the past, which is not read from a source yet",
                "write the mark as a number",
            )
    return read_source_key(reader, "source") if named else None


def _read_arms(reader: Reader) -> tuple[str, tuple[str, ...], tuple[tuple[str, int], ...]]:
    control = reader.text("control", hint="the variant that everybody has today")
    treatments = reader.take("treatments", hint='a list of variants, such as ["new"]')
    if not isinstance(treatments, list | tuple) or not treatments:
        raise reader.fault("treatments", "must be a list of variants", 'such as ["new"]')
    for i, name in enumerate(treatments):
        if not isinstance(name, str) or not name.strip():
            raise reader.fault(f"treatments[{i}]", "must be the name of a variant", None)
    arms = (control, *treatments)
    if len(set(arms)) < len(arms):
        raise reader.fault(
            "treatments",
            "repeat a variant or name the control",
            "every arm is another variant; doing nothing is the control",
        )
    if len(arms) > MAX_ARMS:
        raise reader.fault("treatments", f"make {len(arms)} arms", f"at most {MAX_ARMS}")
    weights = reader.take("weights", dict.fromkeys(arms, 1))
    if not isinstance(weights, Mapping) or set(weights) != set(arms):
        raise reader.fault(
            "weights",
            "must name every arm exactly once",
            "such as weights = {" + ", ".join(f"{arm} = 50" for arm in arms) + "}",
        )
    if any(isinstance(weight, float) for weight in weights.values()):
        weights = _whole_weights(reader, weights)
    for arm, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= 10_000:
            raise reader.fault(
                f"weights.{arm}",
                "must be a whole number from 1 to 10000",
                "an arm's share is its weight out of the sum; or write fractions that sum to 1",
            )
    return control, tuple(treatments), tuple((arm, weights[arm]) for arm in arms)


def _whole_weights(reader: Reader, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Turn fractions into whole numbers out of 10,000; they must sum to one."""
    for arm, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, float) or not 0 < weight < 1:
            raise reader.fault(
                f"weights.{arm}", "must be a fraction as the others are", "or all whole numbers"
            )
    whole = {arm: round(weight * 10_000) for arm, weight in weights.items()}
    together = math.fsum(weights.values())
    exact = all(abs(whole[arm] - 10_000 * weight) < 1e-6 for arm, weight in weights.items())
    if sum(whole.values()) != 10_000 or not exact:
        raise reader.fault(
            "weights",
            f"sum to {together:.6g}, and fractions must sum to 1 in steps of 0.0001",
            "or write whole numbers, such as 50 and 50: a share is then out of their sum",
        )
    return whole


def _read_most_events(reader: Reader, *, replayed: bool) -> float:
    if replayed and reader.has("most_events_per_day"):
        raise reader.fault("most_events_per_day", "is not read by a replay", "leave it out")
    hint = "a unit with more is no person, and counts nowhere; 10000 unless said"
    return reader.number("most_events_per_day", MOST_EVENTS_PER_DAY, least=100, hint=hint)


def _read_audience(reader: Reader) -> Any:
    audience = reader.take("audience", None)
    if audience is None:
        return None
    try:
        parse_condition(audience, "audience")
    except FlagSetError as error:
        raise PlanError(error.message, field=error.path, hint=error.hint) from None
    return audience


def _read_people(reader: Reader) -> tuple[str, str]:
    people = []
    for role, duty in (
        ("customer", "carries the risk and confirms shipping"),
        ("owner", "runs the experiment"),
    ):
        hint = f"exactly one accountable person, who {duty}"
        if reader.has(role):
            person = reader.text(role, hint=hint)
            if person.count("@") > 1:
                raise reader.fault(role, f"names several people: {person}", hint)
            people.append(person)
        else:
            reader.take(role, hint=hint)
    customer, owner = people
    if customer.casefold() == owner.casefold():
        raise reader.fault(
            "owner",
            "is the customer as well",
            "nobody confirms their own work: name another person",
        )
    return customer, owner


def _check_metrics(reader: Reader, claim: str, metrics: tuple[Metric, ...]) -> None:
    keys = [metric.key for metric in metrics]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise reader.fault(f"metrics[{i}].key", f"repeats {key!r}", "keys are unique")
    roles = [metric.role for metric in metrics]
    successes = roles.count("success")
    if claim == "value" and not 1 <= successes <= MAX_SUCCESS_METRICS:
        raise reader.fault(
            "metrics",
            f"have {successes} success metrics",
            f'a claim of value stands on 1 to {MAX_SUCCESS_METRICS}: set role = "success"',
        )
    if claim == RELEASE and (successes or not set(roles) & {"guardrail", "safety"}):
        raise reader.fault(
            "metrics",
            "do not fit a release",
            "it is watched for harm: at least one guardrail or safety metric, no success metric",
        )
    if claim == "no_harm" and (successes or "guardrail" not in roles):
        raise reader.fault(
            "metrics",
            "do not fit the claim no_harm",
            "it is proven by guardrails alone: at least one guardrail, no success metric",
        )


def _priced(reader: Reader, metrics: tuple[Metric, ...], value: Value) -> tuple[Metric, ...]:
    """Let the first success metric be tested against the effect that just pays."""
    place = next((i for i, metric in enumerate(metrics) if metric.role == "success"), None)
    if place is None:
        raise reader.fault(
            "value",
            "has no metric to count",
            "money needs a success metric; a claim of no_harm has none",
        )
    metric, break_even = metrics[place], value.break_even
    given = metric.superiority_margin
    if given and not math.isclose(given, break_even, rel_tol=1e-9):
        raise reader.fault(
            f"metrics[{place}].superiority_margin",
            f"is {given:g}, but break-even is {break_even:g}",
            "leave it out: with money given, the break-even effect is the margin",
        )
    if metric.binary and break_even >= 1:
        raise reader.fault(
            "value",
            f"breaks even at {break_even:g} of all units, and more than all cannot convert",
            "lower costs, a longer horizon or another change",
        )
    priced = replace(metric, superiority_margin=break_even)
    return (*metrics[:place], priced, *metrics[place + 1 :])
