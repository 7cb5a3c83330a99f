"""Worlds to try a plan in: what each metric is like, what the change truly does, and chance.

Sums of many units are normal, so a look's sums are drawn as such, not unit by unit: independent
increments from look to look, correlated over the metrics of a unit. A conversion's increments keep
the skewness of counts (Cornish and Fisher), which is what small arms suffer from. What a plan calls
rare is counted out, event by event, and does not depend on the other metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.decision.plan import DecisionPlan, Role
from stats.errors import PlanError
from stats.planning.baseline import Baseline
from stats.planning.schedule import Schedule

Array = NDArray[np.float64]

#: Relative effect that is taken for an MDE where a success metric names none.
DEFAULT_MDE = 0.05


@dataclass(frozen=True)
class Truth:
    """What a change truly does.

    Parameters
    ----------
    lifts : mapping of str to float
        Relative effect on each metric, in every treatment arm; 0 where nothing is said.
    by_arm : mapping of str to mapping of str to float
        The same for single arms, before ``lifts``.

    Examples
    --------
    >>> from stats import Truth
    >>> Truth({"signup": 0.05}).lift("signup", "new"), Truth().lift("signup", "new")
    (0.05, 0.0)
    """

    lifts: Mapping[str, float] = field(default_factory=dict)
    by_arm: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def lift(self, metric: str, arm: str) -> float:
        """Tell the relative effect on one metric in one treatment arm."""
        return self.by_arm.get(arm, {}).get(metric, self.lifts.get(metric, 0.0))


@dataclass(frozen=True)
class World:
    """What the metrics of a plan are like, unit by unit.

    Parameters
    ----------
    baselines : mapping of str to Baseline
        Every deciding metric before anything changes.
    correlation : float or square array
        Between the metrics of one unit: one number for all pairs, or a matrix in the order of
        ``baselines``.

    Raises
    ------
    PlanError
        If the correlations are no correlation matrix.
    """

    baselines: Mapping[str, Baseline]
    correlation: float | ArrayLike = 0.0

    def __post_init__(self) -> None:
        self.root()

    def root(self) -> Array:
        """Compute a square root of the correlation matrix."""
        size = len(self.baselines)
        matrix = np.asarray(self.correlation, dtype=float)
        if matrix.ndim == 0:
            matrix = np.full((size, size), float(matrix))
            np.fill_diagonal(matrix, 1.0)
        square = matrix.shape == (size, size) and np.allclose(matrix, matrix.T)
        if size == 0 or not square or not np.allclose(np.diag(matrix), 1.0):
            raise PlanError("a correlation matrix is square, symmetric, and 1 on its diagonal")
        values, vectors = np.linalg.eigh(matrix)
        if values.min() < -1e-9:
            raise PlanError("no metrics can be correlated like that")
        root: Array = vectors * np.sqrt(np.maximum(values, 0.0))
        return root


def draw_sums(
    world: World,
    truth: Truth,
    plan: DecisionPlan,
    schedule: Schedule,
    replicas: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Draw the sums of every look, for many replicas of one experiment.

    Parameters
    ----------
    world, truth
        What the metrics are like, and what the change does to them.
    plan : DecisionPlan
        Its arms.
    schedule : Schedule
        Its looks and units.
    replicas : int
        How many trajectories.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    dict of str to ndarray, shape (replicas, looks, arms, 4)
        ``n, s1, s2, s3`` of every metric of the world, as `follow` reads them.

    Raises
    ------
    ParameterError
        If a lift takes a rate out of its range.
    """
    rare = {metric.key for metric in plan.metrics if metric.rare}
    units = np.array(schedule.units)
    steps = np.diff(units, axis=0, prepend=0.0)
    keys = list(world.baselines)
    shape = (replicas, *steps.shape, len(keys))
    noise = rng.standard_normal(shape) @ world.root().T
    sums = {}
    for place, key in enumerate(keys):
        arms = []
        for arm, name in enumerate(plan.arms):
            metric = world.baselines[key].lifted(truth.lift(key, name) if arm else 0.0)
            if key in rare:
                arms.append(_counted(metric.mean, steps[:, arm], replicas, rng))
            else:
                arms.append(_arm_sums(metric, noise[:, :, arm, place], steps[:, arm]))
        sums[key] = np.stack(arms, axis=2)
    return sums


def _counted(rate: float, steps: Array, replicas: int, rng: np.random.Generator) -> Array:
    """Count the events of one arm: shape (replicas, looks, 4)."""
    n = np.rint(np.cumsum(steps))
    whole = np.diff(n, prepend=0.0).astype(np.int64)
    events = np.cumsum(rng.binomial(whole, rate, (replicas, len(steps))), axis=1, dtype=float)
    return np.stack([np.broadcast_to(n, events.shape), events, events, events], axis=2)


def _arm_sums(metric: Baseline, noise: Array, steps: Array) -> Array:
    """Add up the looks of one arm: shape (replicas, looks, 4)."""
    n = np.broadcast_to(np.cumsum(steps), noise.shape)
    deviation = math.sqrt(metric.variance)
    if metric.binary:
        grown = np.sqrt(np.maximum(steps, 1.0))
        skewness = (1 - 2 * metric.mean) / deviation / grown
        noise = (noise + skewness / 6 * (noise * noise - 1)) / np.sqrt(1 + skewness**2 / 18)
    s1 = np.cumsum(steps * metric.mean + np.sqrt(steps) * deviation * noise, axis=1)
    if metric.binary:
        s1 = np.clip(s1, 0.0, n)
        return np.stack([n, s1, s1, s1], axis=2)
    # The sample variance of many units is the variance; a symmetric value has no third moment.
    mean = s1 / np.maximum(n, 1.0)
    s2 = s1 * mean + metric.variance * np.maximum(n - 1, 0.0)
    return np.stack([n, s1, s2, 3 * mean * s2 - 2 * n * mean**3], axis=2)


def standard_truths(plan: DecisionPlan) -> dict[str, Truth]:
    """Name the worlds that every plan should be tried in.

    ``worthless``
        Nothing changes.
    ``worth having``
        Every success metric gains its MDE; guardrails stay.
    ``harmful``
        Every success metric loses its MDE (guardrails their margin, if there is no success metric).
    ``breached: KEY``
        Every success metric gains its MDE, and one guardrail loses exactly its margin.

    An MDE that a plan does not name is taken to be 5 %.
    """
    success, guardrails = plan.of_role(Role.SUCCESS), plan.of_role(Role.GUARDRAIL)
    gains = {metric.key: metric.sign * (metric.mde or DEFAULT_MDE) for metric in success}
    losses = {metric.key: -metric.sign * (metric.margin or 0.0) for metric in guardrails}
    truths = {"worthless": Truth(), "worth having": Truth(gains)}
    truths["harmful"] = Truth({key: -lift for key, lift in gains.items()} or losses)
    for metric in guardrails:
        truths[f"breached: {metric.key}"] = Truth({**gains, metric.key: losses[metric.key]})
    return truths
