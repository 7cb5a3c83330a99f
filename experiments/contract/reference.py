"""How a plan names a metric of the catalogue, and what it then carries for good.

In a plan ``metric = "purchase"`` stands for kind, event, window and all else that is measured. The
service copies that into the plan when it is created, beside the version that it took: so a seal
covers the whole, and nothing that is edited in the catalogue reaches a sealed plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.contract.document import Reader

FAILURE_DEMAND = "failure-demand"


@dataclass(frozen=True)
class Reference:
    """Which entry of the catalogue a metric was copied from."""

    key: str
    version: int

    @property
    def is_failure_demand(self) -> bool:
        """Tell whether it is the metric that exists by itself."""
        return self.key == FAILURE_DEMAND

    def to_document(self) -> dict[str, Any]:
        """Give the fields of the metric's table that say so."""
        return {"metric": self.key, "metric_version": self.version}


def read_reference(item: Reader) -> Reference | None:
    """Read what a metric was copied from, if it was.

    Raises
    ------
    PlanError
        If a key is there that nothing was copied from yet.
    """
    if not item.has("metric"):
        if item.has("metric_version"):
            raise item.fault("metric_version", "belongs to no metric", 'metric = "purchase"')
        return None
    key = item.text("metric")
    if not item.has("metric_version"):
        raise item.fault(
            "metric",
            "names the service's catalogue, which is not read here",
            "write kind, event and window in the plan, or create it in the service",
        )
    return Reference(key, item.integer("metric_version", least=1))


def read_failure_demand(reader: Reader) -> bool:
    """Tell whether failure demand may guard the plan: what it does is said by its metrics.

    Raises
    ------
    PlanError
        If it is asked for where the service's event types are not known.
    """
    wanted = reader.take("failure_demand", None)
    if wanted not in (None, False):
        raise reader.fault(
            "failure_demand",
            "asks for the service's event types, which are not read here",
            "create the plan in the service, or write failure_demand = false",
        )
    return wanted is None
