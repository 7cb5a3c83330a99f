"""What a standing reading is, and which metrics of the experiments it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.analysis.definitions import MetricDefinition
from experiments.contract.metric import Metric
from experiments.contract.policy import PROOF_28D
from experiments.measuring.measure import definition_of
from experiments.models import Experiment, HoldoutRow
from experiments.moves.enact import plan_of

DAY = 86400.0
PERIOD = PROOF_28D.horizon_seconds
SETTLE = PROOF_28D.settle_seconds
MAX_METRICS = 8


@dataclass(frozen=True)
class Reading:
    """A reading that is due."""

    environment_id: int
    environment_key: str
    kind: str
    subject: str
    period: int
    number: int
    offset: float
    experiments: tuple[Experiment, ...]
    earlier: tuple[dict[str, Any], ...] = ()
    holdout: HoldoutRow | None = None


def usable_metrics(experiments: Sequence[Experiment]) -> Iterator[Metric]:
    """Give what can be read of any units: success metrics, then guardrails, then safety metrics."""
    metrics = [metric for each in experiments for metric in plan_of(each).metrics]
    seen: set[MetricDefinition] = set()
    for role in ("success", "guardrail", "safety"):
        for metric in metrics:
            usable = metric.reading.waits_for_past is None and metric.sql is None
            if metric.role != role or not usable or metric.window_seconds >= PERIOD:
                continue
            # The same numbers under another name would be tested twice.
            same = replace(definition_of(metric), key="")
            if same not in seen:
                seen.add(same)
                yield metric
