"""A reading at any moment, between scheduled looks: intervals that hold however often one asks.

The bounds of scheduled looks hold at the instants that were promised, and nowhere else. Whoever
cannot wait is given a normal mixture instead. It spends none of the error of the looks and is kept
apart from them: nothing that it says can ship, stop or give up anything.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from stats.anytime.mixtures import checked_alpha, mixture_critical, planned_precision
from stats.anytime.srm import sample_ratio
from stats.decision.evidence import gather
from stats.decision.look import LookData
from stats.decision.plan import DecisionPlan, MetricSpec
from stats.decision.policy import Policy
from stats.errors import ParameterError


@dataclass(frozen=True)
class Unscheduled:
    """One metric, control against one treatment, read at any moment.

    Parameters
    ----------
    estimate, se : float or None
        Difference, treatment minus control, and the standard error of the decision statistic, in
        the metric's unit.
    low, high : float or None
        Ends of the interval, in the metric's unit; ``None`` where unbounded.
    critical : float or None
        Distance of both ends from the estimate in standard errors (before the correction for
        skewness).
    relative, relative_low, relative_high : float or None
        The same as lift, divided by control's mean (Fieller).
    reason : str or None
        Why there is no interval.
    """

    metric: str
    arm: str
    estimate: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    critical: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class UnscheduledLook:
    """What may be said at a moment that nobody had planned.

    Parameters
    ----------
    srm_log_e : float
        Natural logarithm of the sequential evidence for a sample-ratio mismatch.
    split_broken : bool
        Whether it passes the policy's threshold; then nothing is read.
    readings : tuple of Unscheduled
        In the plan's order of metrics, then arms.
    """

    srm_log_e: float
    split_broken: bool
    readings: tuple[Unscheduled, ...]


def read_unscheduled(
    look: LookData,
    plan: DecisionPlan,
    policy: Policy | None = None,
    *,
    planned_units: float,
    alpha: float = 0.05,
    dropped: Collection[str] = (),
) -> UnscheduledLook:
    """Give every metric and treatment an interval that is valid at every moment [1]_ [2]_.

    Parameters
    ----------
    look : LookData
        Sums and counts at that moment; its number and spending time are not read.
    planned_units : float
        Units of all arms that the experiment was planned for, fixed before the first reading: a
        quarter of them is where the intervals are sharpest.
    alpha : float, default 0.05
        One minus the coverage of each interval over all moments together, two-sided.
    dropped : collection of str, optional
        Treatment arms that were stopped: not read, not in the sample ratio.

    Returns
    -------
    UnscheduledLook
        Thin, missing or constant data is no error but a reason in its reading.

    Raises
    ------
    ParameterError
        If ``planned_units`` is not positive and finite, or ``alpha`` not between 0 and 1.

    Notes
    -----
    One may peek, at any moment, as often as one likes, and for a reason that lies in the data. With
    ``m`` units of both arms, their planned number ``m*`` and ``r/V = c m* / (4 m)``, the interval
    holds all differences whose statistic is within ``sqrt((1 + r/V) (log(1 + V/r) - 2 log alpha))``
    standard errors: the normal mixture of Robbins, exact for a Brownian motion by Ville's
    inequality, asymptotically valid with the estimated variance as weights and ``m*`` are fixed
    ([2]_, theorem 2.2, with ``rho**2 = V / (r m)``). It is asymptotic: below the policy's minima of
    units and events there is no interval. Each covers by itself, not all metrics together.

    Where the effect drifts, see `always_valid`.

    References
    ----------
    .. [1] H. Robbins, Ann. Math. Stat. 41, 1397-1409 (1970). :doi:`10.1214/aoms/1177696786`
    .. [2] I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, Ann. Stat. 52, 2613-2640
       (2024), arXiv:2103.06476.

    Examples
    --------
    >>> from stats import DecisionPlan, LookData, MetricSpec, Moments, Role
    >>> plan = DecisionPlan(
    ...     ("old", "new"), (0.5, 0.5), (MetricSpec("signup", Role.SUCCESS, binary=True),)
    ... )
    >>> sums = {"old": Moments.conversions(5000, 500), "new": Moments.conversions(5000, 600)}
    >>> counts = {"old": 5000, "new": 5000}
    >>> look = LookData(0, 0.0, False, False, False, counts, {"signup": sums})
    >>> (reading,) = read_unscheduled(look, plan, planned_units=40_000).readings
    >>> round(reading.low, 4), round(reading.high, 4), round(reading.critical, 3)
    (0.001, 0.039, 3.035)
    """
    policy = policy or Policy()
    checked_alpha(alpha)
    if not 0 < planned_units < math.inf:
        raise ParameterError(f"planned_units is {planned_units}: it must be positive and finite")
    arms = [arm for arm in plan.arms if arm not in dropped]
    weights = dict(zip(plan.arms, plan.weights, strict=True))
    ratio = sample_ratio(
        [float(look.counts.get(arm, 0)) for arm in arms],
        [weights[arm] for arm in arms],
        concentration=policy.srm_concentration,
    )
    if ratio.log_e >= math.log(policy.srm_threshold):
        return UnscheduledLook(ratio.log_e, split_broken=True, readings=())
    share = planned_units / sum(plan.weights)
    planned = {arm: share * (weights[plan.control] + weights[arm]) for arm in plan.treatments}
    readings = tuple(
        _read(look, plan, policy, metric, arm, planned[arm], alpha)
        for metric in plan.metrics
        for arm in plan.treatments
        if arm not in dropped
    )
    return UnscheduledLook(ratio.log_e, split_broken=False, readings=readings)


def _read(
    look: LookData,
    plan: DecisionPlan,
    policy: Policy,
    metric: MetricSpec,
    arm: str,
    planned_units: float,
    alpha: float,
) -> Unscheduled:
    evidence = gather((look,), plan, policy, metric, arm)
    if isinstance(evidence, str):
        return Unscheduled(metric.key, arm, reason=evidence)
    score = evidence.score
    # In units of this reading's information: by the plan alone, and how many have come.
    units = evidence.control.n + evidence.treatment.n
    precision = planned_precision(planned_units / units, alpha)
    critical = float(mixture_critical(1.0, precision, alpha))
    lift = evidence.lift(critical, -critical)
    return Unscheduled(
        metric.key,
        arm,
        estimate=score.difference,
        se=score.se,
        low=_finite(score.limit(critical)),
        high=_finite(score.limit(-critical)),
        critical=critical,
        relative=lift.lift if lift else None,
        relative_low=lift.low if lift else None,
        relative_high=lift.high if lift else None,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
