"""The proof contract: what somebody promised to show, to whom, by when – read once, then sealed.

A plan is written as TOML or JSON, parsed here into frozen values (the only door), and sealed as
canonical JSON with its SHA-256. ``README.md`` shows a whole one.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.analysis.definitions import MOST_EVENTS_PER_DAY
from experiments.catalogue.reference import Reference, read_failure_demand, read_reference
from experiments.document import Reader, format_duration, sha256_of
from experiments.errors import PlanError
from experiments.expected import Expected, read_expected
from experiments.lanes import LayerShare, read_layer_share
from experiments.money import Value, read_alternatives, read_value
from experiments.policy import PROOF_28D, RELEASE_1D, Policy, RampStep, check_schedule, parse_policy
from experiments.ratio import Ratio, read_ratio
from experiments.reading import PLAIN, Reading, as_named, named, read_event, read_reading
from experiments.release import (
    RELEASE,
    Release,
    check_release,
    expand_release,
    in_short_words,
    is_short_form,
    read_release,
)
from experiments.segments import read_segments
from experiments.sources.definition import read_source_key, read_sql
from flagstone.engine import FlagSetError, parse_condition

MAX_SUCCESS_METRICS = 3
MAX_ARMS = 10

CLAIMS = ("value", "no_harm", RELEASE)
ROLES = ("success", "guardrail", "safety", "explore")
KINDS = ("conversion", "mean", "count", "ratio", "retention", "funnel", "quantile")

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,55}")


@dataclass(frozen=True)
class Metric:
    """One metric of a plan.

    Parameters
    ----------
    kind : str
        ``conversion`` (did the event happen), ``count`` (how often), ``mean`` (sum of its values),
        ``ratio`` (of two sums: see ``ratio``), ``retention`` (did it happen again, later),
        ``funnel`` (did the steps happen in order), ``quantile`` (the share above a mark).
    events : tuple of str
        Names of the tracked events that count, mostly one.
    window_seconds : float
        What happens later after a unit's first exposure does not count.
    mde : float, optional
        Smallest effect worth having, relative to control (success metrics).
    margin : float, optional
        Largest loss still tolerated, relative to control (guardrails).
    superiority_margin : float
        Absolute effect that a success metric must beat: the break-even mark.
    rare : bool
        Whether the exact event test watches this conversion too, from its first event on.
    column, covariate : str, optional
        Columns of a replayed file: the outcome, and the same thing before the experiment.
    ratio : Ratio, optional
        What a ratio is divided by.
    sql : str, optional
        The metric's own rows in the plan's source: ``unit``, ``time``, ``value``, and ``name`` if
        it is made of several events.
    reading : Reading
        Steps, marks, caps and the covariate of the time before.
    reference : Reference, optional
        The entry of the metric catalogue that all this was copied from.
    """

    key: str
    role: str
    kind: str
    events: tuple[str, ...]
    window_seconds: float
    direction: str = "up"
    mde: float | None = None
    margin: float | None = None
    superiority_margin: float = 0.0
    rare: bool = False
    column: str | None = None
    covariate: str | None = None
    ratio: Ratio | None = None
    sql: str | None = None
    reading: Reading = PLAIN
    reference: Reference | None = None

    @property
    def event(self) -> str:
        """Name what counts, for people: several events by ``or``."""
        return named(self.events)

    @property
    def unit(self) -> str:
        """Name the unit in which the metric is measured."""
        if self.reference is not None and self.reference.is_failure_demand:
            return "failures per demand"
        if self.ratio is not None:
            return self.ratio.unit(self.event)
        if self.kind == "quantile":
            return f"share of {'units with ' * self.binary}{self.reading.mark(self.event)}"
        return "share of units" if self.binary else "per unit"

    @property
    def binary(self) -> bool:
        """Tell whether a unit's outcome is 0 or 1."""
        return self.kind in {"conversion", "retention", "funnel"} or self.reading.of_units

    @property
    def decides(self) -> bool:
        """Tell whether the metric can move the verdict."""
        return self.role != "explore"

    def to_document(self) -> dict[str, Any]:
        """Give the metric as plain data, without what was not said."""
        document = {
            "key": self.key,
            "role": self.role,
            "kind": self.kind,
            "event": as_named(self.events),
            "window": format_duration(self.window_seconds),
            "direction": self.direction,
            "mde": self.mde,
            "margin": self.margin,
            "superiority_margin": self.superiority_margin if self.role == "success" else None,
            # Not said when false: the seals of plans from before it existed still hold.
            "rare": self.rare or None,
            "column": self.column,
            "covariate": self.covariate,
            **(self.ratio.to_document() if self.ratio is not None else {}),
            "sql": self.sql,
            **self.reading.to_document(),
            **(self.reference.to_document() if self.reference is not None else {}),
        }
        return {name: value for name, value in document.items() if value is not None}


@dataclass(frozen=True)
class ExposureColumns:
    """Where a replayed file says who met what."""

    variant: str
    unit: str | None = None
    row_number: bool = False
    time: str | None = None
    arms: tuple[tuple[str, str], ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Give the mapping as plain data."""
        document: dict[str, Any] = {"variant": self.variant}
        document |= {"unit": self.unit} if self.unit else {"row_number": True}
        if self.time:
            document["time"] = self.time
        if self.arms:
            document["arms"] = dict(self.arms)
        return document


@dataclass(frozen=True)
class OutcomeColumns:
    """Where a replayed file says what happened; ``event`` is given for one row per event."""

    unit: str | None = None
    row_number: bool = False
    event: str | None = None
    time: str | None = None
    value: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Give the mapping as plain data."""
        document: dict[str, Any] = {"unit": self.unit} if self.unit else {"row_number": True}
        for name in ("event", "time", "value"):
            if getattr(self, name):
                document[name] = getattr(self, name)
        return document


@dataclass(frozen=True)
class Plan:
    """A proof contract. Made by :func:`parse_plan` only.

    ``extension_seconds`` is the one thing that may come later: given once, by the customer. It is
    no part of the document that was sealed.
    """

    key: str
    flag: str
    environment: str
    control: str
    treatments: tuple[str, ...]
    weights: tuple[tuple[str, int], ...]
    hypothesis: str
    customer: str
    owner: str
    claim: str
    metrics: tuple[Metric, ...]
    prove_by_seconds: float
    planned_units: int | None
    coverage: float
    audience: Any
    authorised_in_advance: bool
    policy: Policy
    exposures: ExposureColumns | None = None
    outcomes: OutcomeColumns | None = None
    expected: Expected | None = None
    most_events_per_day: float = MOST_EVENTS_PER_DAY
    value: Value | None = None
    alternatives: tuple[str, ...] = ()
    source: str | None = None
    release: Release | None = None
    segments: tuple[str, ...] = ()
    failure_demand: bool = True
    layer: LayerShare | None = None
    extension_seconds: float = 0.0

    @property
    def deadline_seconds(self) -> float:
        """Tell when the last look before shipping is: prove_by, and what it was extended by.

        A release may wait so much longer than its steps hold.
        """
        wait = self.release.max_wait_seconds if self.release is not None else 0.0
        return self.prove_by_seconds + self.extension_seconds + wait

    @property
    def ramp_steps(self) -> tuple[RampStep, ...]:
        """Give the steps up to the largest coverage.

        Those of a release take in twice the share that gets the variant: as many are compared.
        """
        if self.release is None:
            return self.policy.ramp_steps(self.coverage)
        return tuple(RampStep(2 * each.share, each.hold_seconds) for each in self.release.steps)

    @property
    def arms(self) -> tuple[str, ...]:
        """Give the variants, control first."""
        return (self.control, *self.treatments)

    @property
    def rule_id(self) -> str:
        """Give the id of the rule that serves the experiment in its flag."""
        return f"exp-{self.key}"

    @property
    def weight_of(self) -> dict[str, int]:
        """Give the weight of every arm."""
        return dict(self.weights)

    @property
    def success_metrics(self) -> tuple[Metric, ...]:
        """Give the metrics that carry the claim."""
        return tuple(metric for metric in self.metrics if metric.role == "success")

    @property
    def enrol_seconds(self) -> float:
        """Tell when enrolment ends: whoever comes later cannot finish the longest window."""
        windows = [metric.window_seconds for metric in self.metrics]
        return self.deadline_seconds - max(windows)

    def metric(self, key: str) -> Metric:
        """Find a metric by its key."""
        return next(metric for metric in self.metrics if metric.key == key)

    def to_document(self) -> dict[str, Any]:
        """Give the plan as plain data; ``parse_plan`` reads the same plan back."""
        document: dict[str, Any] = {
            "key": self.key,
            "flag": self.flag,
            "environment": self.environment,
            "control": self.control,
            "treatments": list(self.treatments),
            "weights": dict(self.weights),
            "hypothesis": self.hypothesis,
            "customer": self.customer,
            "owner": self.owner,
            "claim": self.claim,
            "metrics": [metric.to_document() for metric in self.metrics],
            "prove_by": format_duration(self.prove_by_seconds),
            "coverage": self.coverage,
            "authorised_in_advance": self.authorised_in_advance,
            "policy": self.policy.to_document(),
        }
        if self.planned_units is not None:
            document["planned_units"] = self.planned_units
        if self.most_events_per_day != MOST_EVENTS_PER_DAY:
            document["most_events_per_day"] = self.most_events_per_day
        if self.audience is not None:
            document["audience"] = self.audience
        if self.expected is not None:
            document["expected"] = self.expected.to_document()
        if self.value is not None:
            document["value"] = self.value.to_document()
        if self.alternatives:
            document["alternatives"] = list(self.alternatives)
        if self.source is not None:
            document["source"] = self.source
        if self.segments:
            document["segments"] = list(self.segments)
        if not self.failure_demand:
            document["failure_demand"] = False
        if self.layer is not None:
            document |= self.layer.to_document()
        document |= {} if self.release is None else {"release": self.release.to_document()}
        if self.exposures is not None:
            document["replay"] = {"exposures": self.exposures.to_document()} | (
                {} if self.outcomes is None else {"outcomes": self.outcomes.to_document()}
            )
        return document


def plan_hash(document: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a plan's canonical JSON: its seal."""
    return sha256_of(document)


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
    key = reader.text("key", hint="a short name, such as checkout-button")
    if not _KEY.fullmatch(key):
        raise reader.fault(
            "key",
            f"is {key!r}",
            "1 to 56 of a-z, 0-9, dot, dash and underscore, a letter or digit first",
        )
    claim = reader.choice("claim", CLAIMS, "value")
    release = read_release(reader, claim)
    base = PROOF_28D if release is None else RELEASE_1D
    policy = parse_policy(reader.take("policy", base.name), base=base)
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
    exposures, outcomes = _read_replay(reader, {control, *treatments}) if replayed else (None, None)
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
    for arm, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= 10_000:
            raise reader.fault(f"weights.{arm}", "must be a whole number from 1 to 10000", None)
    return control, tuple(treatments), tuple((arm, weights[arm]) for arm in arms)


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
            people.append(reader.text(role, hint=hint))
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


def read_metric(item: Reader, prove_by: float, *, replayed: bool = False) -> Metric:
    """Read one metric's table; nothing may be left in it."""
    reference = read_reference(item)
    key = item.text("key", hint="a short name, such as purchase")
    role = item.choice("role", ROLES)
    kind = item.choice("kind", KINDS)
    sql = None if replayed else read_sql(item, "sql")
    # Rows of a SELECT need no name, unless several events make the metric.
    events, steps = read_event(item, kind, key if replayed or sql is not None else None)
    window = item.duration("window", 0.0) if replayed else item.duration("window")
    if not replayed and not 0 < window < prove_by:
        raise item.fault(
            "window",
            "must be shorter than prove_by, and longer than nothing",
            "enrolment ends one window before the deadline",
        )
    mde = margin = None
    superiority_margin = 0.0
    if role == "success":
        hint = "the smallest relative effect worth having, such as mde = 0.05"
        mde = item.number("mde", above=0, most=100, hint=hint)
        superiority_margin = item.number("superiority_margin", 0.0, least=0)
    elif role == "guardrail":
        hint = "the largest relative loss still tolerated, such as margin = 0.02"
        margin = item.number("margin", above=0, below=1, hint=hint)
    rare = _read_rare(item, role, kind)
    metric = Metric(
        key=key,
        role=role,
        kind=kind,
        events=events,
        window_seconds=window,
        direction=item.choice("direction", ("up", "down"), "up"),
        mde=mde,
        margin=margin,
        superiority_margin=superiority_margin,
        rare=rare,
        column=item.text("column", None),
        ratio=read_ratio(item, kind, events),
        reading=read_reading(
            item,
            kind=kind,
            role=role,
            steps=steps,
            window_seconds=window,
            rare=rare,
            replayed=replayed,
        ),
        covariate=item.text("covariate", None),
        sql=sql,
        reference=reference,
    )
    if metric.covariate and metric.binary:
        raise item.fault("covariate", "is for means and counts", None)
    item.finish()
    return metric


def _read_rare(item: Reader, role: str, kind: str) -> bool:
    if not item.boolean("rare", default=False):
        return False
    if kind != "conversion":
        raise item.fault(
            "rare",
            f"is for conversions, not for a {kind}",
            'the exact test counts units that met the event: set kind = "conversion"',
        )
    if role == "explore":
        raise item.fault(
            "rare",
            "is for metrics that are watched for harm, and explore decides nothing",
            "role is one of: success, guardrail, safety",
        )
    if not item.has("direction"):
        # The default would watch an error for happening too seldom, and say nothing.
        raise item.fault(
            "direction",
            "is missing, and a rare metric needs it",
            'direction = "down" for errors, crashes and refunds: more of them is harm',
        )
    return True


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


def _read_replay(reader: Reader, arms: set[str]) -> tuple[ExposureColumns, OutcomeColumns]:
    replay = Reader(reader.take("replay"), "replay")
    table = Reader(
        replay.take("exposures", hint="where the exposures' columns are"), "replay.exposures"
    )
    names = table.take("arms", {})
    if not isinstance(names, Mapping) or not set(names.values()) <= arms:
        raise table.fault("arms", "must lead from values in the file to arms of the plan", None)
    unit, row_number = _read_unit(table)
    exposures = ExposureColumns(
        variant=table.text("variant", hint="the column that says which arm"),
        unit=unit,
        row_number=row_number,
        time=table.text("time", None),
        arms=tuple((str(value), arm) for value, arm in names.items()),
    )
    table.finish()
    if replay.has("outcomes"):
        table = Reader(replay.take("outcomes"), "replay.outcomes")
        unit, row_number = _read_unit(table)
        outcomes = OutcomeColumns(
            unit=unit,
            row_number=row_number,
            event=table.text("event", None),
            time=table.text("time", None),
            value=table.text("value", None),
        )
        table.finish()
    else:
        outcomes = OutcomeColumns(exposures.unit, exposures.row_number)
    replay.finish()
    return exposures, outcomes


def _read_unit(table: Reader) -> tuple[str | None, bool]:
    row_number = table.boolean("row_number", default=False)
    hint = "the column that says who, or row_number = true"
    unit = table.text("unit", None)
    if (unit is None) != row_number:
        raise table.fault("unit", "is missing or given twice", hint)
    return unit, row_number
