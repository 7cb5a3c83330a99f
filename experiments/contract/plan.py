"""The proof contract: what somebody promised to show, to whom, by when – read once, then sealed.

A plan is written as TOML or JSON, parsed by :mod:`experiments.contract.parsing` into frozen values
(the only door), and sealed as canonical JSON with its SHA-256. ``README.md`` shows a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.analysis.definitions import MOST_EVENTS_PER_DAY
from experiments.contract.attrition import Attrition
from experiments.contract.columns import ExposureColumns, OutcomeColumns
from experiments.contract.document import format_duration, sha256_of
from experiments.contract.expected import Expected
from experiments.contract.lanes import LayerShare
from experiments.contract.metric import Metric
from experiments.contract.money import Value
from experiments.contract.policy import Policy, RampStep
from experiments.contract.release import Release


@dataclass(frozen=True)
class Plan:
    """A proof contract. Made by :func:`parse_plan` only.

    ``policy_version`` says which version of a stored policy ``policy`` was copied from.
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
    attrition: Attrition | None = None
    policy_version: int | None = None
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
        taken = self.policy_version
        document |= {} if taken is None else {"policy_version": taken}
        if self.planned_units is not None:
            document["planned_units"] = self.planned_units
        if self.most_events_per_day != MOST_EVENTS_PER_DAY:
            document["most_events_per_day"] = self.most_events_per_day
        if self.audience is not None:
            document["audience"] = self.audience
        parts = {"expected": self.expected, "value": self.value, "attrition": self.attrition}
        document |= {name: part.to_document() for name, part in parts.items() if part is not None}
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
