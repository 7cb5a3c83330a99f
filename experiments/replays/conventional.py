"""What a textbook says about the same sums: fixed-horizon tests, shown for comparison only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.contract import words
from experiments.contract.metric import Metric
from experiments.contract.plan import Plan
from stats import CovariateMoments, Moments, NotEnoughDataError, RatioMoments
from stats.anytime.srm import sample_ratio
from stats.effects.cuped import Theta, adjust
from stats.effects.means import compare_means
from stats.effects.proportions import Conversions, compare_conversions, wald_interval
from stats.effects.ratio import compare_ratios


@dataclass(frozen=True)
class SampleRatioCheck:
    """Pearson's test of the split (not valid under peeking), and the evidence that is."""

    counts: tuple[tuple[str, int], ...]
    chi2: float
    p_value: float
    log_e: float

    @property
    def text(self) -> str:
        """Say it in one line."""
        counts = ", ".join(f"{arm} {n:,}" for arm, n in self.counts)
        return f"split {counts}: chi-square {self.chi2:.4f}, p {self.p_value:.4g}"


@dataclass(frozen=True)
class Conventional:
    """One metric in one treatment, against control.

    Parameters
    ----------
    difference, relative : float
        Treatment minus control, not adjusted by any covariate; and divided by control's mean.
    t, df, p_value, low, high : float, optional
        Welch's test and its 95 % interval (means and counts).
    z, z_p_value, wald_low, wald_high : float, optional
        Pooled two-proportion test and the textbook's 95 % interval (conversions).
    theta_within, theta_total : float, optional
        CUPED's coefficient, pooled within arms (the one that is used, so that no effect leaks into
        it), and over all units as one sample (as most papers print it).
    adjusted_difference : float, optional
        Difference after CUPED with ``theta_within``.
    """

    metric: str
    arm: str
    binary: bool
    control_n: int
    control_sum: float
    control_mean: float
    treatment_n: int
    treatment_sum: float
    treatment_mean: float
    difference: float
    relative: float | None
    t: float | None = None
    df: float | None = None
    p_value: float | None = None
    low: float | None = None
    high: float | None = None
    z: float | None = None
    z_p_value: float | None = None
    wald_low: float | None = None
    wald_high: float | None = None
    theta_within: float | None = None
    theta_total: float | None = None
    adjusted_difference: float | None = None

    def lines(self) -> list[str]:
        """Say it in one line, and a second one for a covariate."""
        lift = "" if self.relative is None else f" ({words.signed_percent(self.relative)})"
        head = (
            f"{self.metric} {self.arm}: {self.control_mean:.10g} of {self.control_n:,} to "
            f"{self.treatment_mean:.10g} of {self.treatment_n:,}, "
            f"difference {self.difference:.10g}{lift}"
        )
        if self.z is not None:
            head += f", pooled z {self.z:.6g}, p {self.z_p_value:.4g}"
        elif self.t is not None:
            head += f", Welch t {self.t:.6g}, df {self.df:.6g}, p {self.p_value:.4g}"
        if self.theta_within is None:
            return [head]
        within, total = f"{self.theta_within:.6g}", f"{self.theta_total:.6g}"
        adjusted = f"  with CUPED: difference {self.adjusted_difference:.10g}"
        return [head, f"{adjusted}, theta {within} within arms (used), {total} over all units"]


def compare(
    plan: Plan, sums: Mapping[str, Mapping[str, Moments | RatioMoments]]
) -> tuple[Conventional, ...]:
    """Compare every treatment with control, metric by metric."""
    return tuple(
        _compare_of(metric, arm, sums[metric.key][plan.control], sums[metric.key][arm])
        for metric in plan.metrics
        for arm in plan.treatments
        if _has_value(sums[metric.key][plan.control]) and _has_value(sums[metric.key][arm])
    )


def _has_value(sums: Moments | RatioMoments) -> bool:
    total = sums.denominator.total if isinstance(sums, RatioMoments) else sums.n
    return total != 0


def _compare_of(
    metric: Metric, arm: str, control: Moments | RatioMoments, treatment: Moments | RatioMoments
) -> Conventional:
    if isinstance(control, RatioMoments) and isinstance(treatment, RatioMoments):
        return _compare_ratio(metric, arm, control, treatment)
    if isinstance(control, Moments) and isinstance(treatment, Moments):
        return _compare(metric, arm, control, treatment)
    raise TypeError(f"{metric.key}: the arms have sums of two kinds")


def _compare_ratio(
    metric: Metric, arm: str, control: RatioMoments, treatment: RatioMoments
) -> Conventional:
    """Compare two ratios by the delta method; the sums shown are the numerators'."""
    found: dict[str, float] = {}
    try:
        means = compare_ratios(control, treatment)
        found = {"t": means.t, "df": means.degrees_of_freedom, "p_value": means.p_value}
        found |= {"low": means.low, "high": means.high}
    except NotEnoughDataError:
        # No test then; the ratios are shown all the same.
        pass
    return Conventional(
        metric=metric.key,
        arm=arm,
        binary=False,
        control_n=int(control.n),
        control_sum=control.numerator.total,
        control_mean=control.ratio,
        treatment_n=int(treatment.n),
        treatment_sum=treatment.numerator.total,
        treatment_mean=treatment.ratio,
        difference=treatment.ratio - control.ratio,
        relative=treatment.ratio / control.ratio - 1 if control.ratio else None,
        **found,
    )


def _compare(metric: Metric, arm: str, control: Moments, treatment: Moments) -> Conventional:
    difference = treatment.mean - control.mean
    found: dict[str, float] = {}
    try:
        if metric.binary:
            c, t = Conversions(control.total, control.n), Conversions(treatment.total, treatment.n)
            rates, wald = compare_conversions(c, t), wald_interval(c, t)
            found = {"z": rates.z, "z_p_value": rates.p_value}
            found |= {"wald_low": wald.low, "wald_high": wald.high}
        else:
            means = compare_means(control, treatment)
            found = {"t": means.t, "df": means.degrees_of_freedom, "p_value": means.p_value}
            found |= {"low": means.low, "high": means.high}
        if isinstance(control, CovariateMoments) and isinstance(treatment, CovariateMoments):
            within = adjust(control, treatment)
            total = adjust(control, treatment, theta=Theta.TOTAL)
            found |= {"theta_within": within.theta, "theta_total": total.theta}
            found["adjusted_difference"] = within.treatment.mean - within.control.mean
    except NotEnoughDataError:
        # No test then; the means are shown all the same.
        pass
    return Conventional(
        metric=metric.key,
        arm=arm,
        binary=metric.binary,
        control_n=int(control.n),
        control_sum=control.total,
        control_mean=control.mean,
        treatment_n=int(treatment.n),
        treatment_sum=treatment.total,
        treatment_mean=treatment.mean,
        difference=difference,
        relative=treatment.mean / control.mean - 1 if control.mean else None,
        **found,
    )


def sample_ratio_check(plan: Plan, counts: Mapping[str, int]) -> SampleRatioCheck:
    """Test the split by the textbook, and weigh it sequentially."""
    result = sample_ratio(
        [counts[arm] for arm in plan.arms], [float(weight) for _arm, weight in plan.weights]
    )
    return SampleRatioCheck(
        counts=tuple((arm, counts[arm]) for arm in plan.arms),
        chi2=result.chi2,
        p_value=result.p_value,
        log_e=result.log_e,
    )
