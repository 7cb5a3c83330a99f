"""How a plan names what the service keeps, a metric or a policy, and what it then carries for good.

In a plan ``metric = "purchase"`` stands for kind, event, window and all else that is measured. The
service copies that into the plan when it is created, beside the version that it took: so a seal
covers the whole, and nothing that is edited in the catalogue reaches a sealed plan. Likewise
``policy = "ours-14d"`` stands for the whole table of a stored policy.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def read_policy_version(reader: Reader, policy: Any) -> int | None:
    """Read which version of a stored policy the plan's table was copied from, if it was.

    Parameters
    ----------
    policy : str or mapping
        The plan's field ``policy``.

    Raises
    ------
    PlanError
        If nothing was copied.
    """
    if not reader.has("policy_version"):
        return None
    if not isinstance(policy, Mapping) or policy.get("name") is None:
        raise reader.fault(
            "policy_version", "belongs to no stored policy", "leave it out, or name the policy"
        )
    return reader.integer("policy_version", least=1)


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
