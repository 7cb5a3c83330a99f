"""What a look says of the metric that carries the money: raw, and shrunk for the winner's curse.

Whatever was chosen because it looked good looks too good. The estimate is therefore pulled towards
a normal prior: that of the metric's past experiments where there are enough (the worker stores it
with the look), else N(0, (MDE / 2)²). The posterior is conjugate, so that nobody who reads it needs
a statistics library:

    kept = sd² / (sd² + se²)        shrunk = mean + kept · (estimate − mean)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from experiments.contract import words
from experiments.contract.plan import Plan

DEFAULT_MDE = 0.05


@dataclass(frozen=True)
class Prior:
    """What effects of a metric usually are, relative to control; ``experiments`` it rests on."""

    mean: float
    sd: float
    experiments: int = 0


@dataclass(frozen=True)
class Effect:
    """The effect on the first success metric in one arm, in the metric's unit.

    Parameters
    ----------
    estimate, se, low, high : float
        Treatment minus control, its standard error, and the bounds that hold over all looks.
    prior_mean, prior_sd : float
        The prior, in the metric's unit.
    units : int
        Units that met the arm.
    experiments : int
        Ended experiments that the prior rests on; 0: the plan's MDE.
    """

    estimate: float
    se: float = 0.0
    low: float | None = None
    high: float | None = None
    prior_mean: float = 0.0
    prior_sd: float = 0.0
    units: int = 0
    experiments: int = 0

    @property
    def kept(self) -> float:
        """Give the share of the estimate's distance from the prior's mean that is kept."""
        if self.se == 0.0:
            return 1.0
        variance = self.prior_sd * self.prior_sd
        return variance / (variance + self.se * self.se)

    @property
    def shrunk(self) -> float:
        """Give the effect to be expected, given estimate and prior."""
        return self.prior_mean + self.kept * (self.estimate - self.prior_mean)

    def to_document(self) -> dict[str, Any]:
        """Give raw and shrunk numbers as plain data."""
        return asdict(self) | {"kept": self.kept, "shrunk": self.shrunk}


def effects_at(
    plan: Plan,
    look: Mapping[str, Any],
    decision: Mapping[str, Any],
    priors: Mapping[str, Any] | None = None,
) -> dict[str, Effect]:
    """Give the first success metric's effect in every arm that a stored look has an estimate for.

    Parameters
    ----------
    priors : mapping, optional
        By metric, what the worker found in the past: ``{"mean", "sd", "experiments"}``, relative.
    """
    if not plan.success_metrics:
        return {}
    metric = plan.success_metrics[0]
    control = abs(words.means(look, metric.key).get(plan.control, 0.0))
    prior = _prior(plan, priors)
    found = {}
    for arm in plan.treatments:
        test = next(
            (
                test
                for kind in ("ship", "harm")
                if (test := words.find_test(decision, kind, metric.key, arm)) is not None
                and test["estimate"] is not None
                and test["se"]
            ),
            None,
        )
        if test is not None:
            found[arm] = Effect(
                estimate=test["estimate"],
                se=test["se"],
                low=test["low"],
                high=test["high"],
                prior_mean=prior.mean * control,
                prior_sd=prior.sd * control,
                units=int(look["counts"].get(arm, 0)),
                experiments=prior.experiments,
            )
    return found


def effect_of(document: Mapping[str, Any]) -> Effect:
    """Read an effect back; what follows from the rest is computed anew."""
    return Effect(**{k: v for k, v in document.items() if k not in {"kept", "shrunk"}})


def _prior(plan: Plan, priors: Mapping[str, Any] | None) -> Prior:
    metric = plan.success_metrics[0]
    stored = (priors or {}).get(metric.key)
    if stored is not None:
        return Prior(stored["mean"], stored["sd"], stored["experiments"])
    return Prior(0.0, (metric.mde or DEFAULT_MDE) / 2)
