"""Compare two means at one planned look."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from stats.errors import NotEnoughDataError, ParameterError
from stats.sums.moments import Moments


@dataclass(frozen=True)
class MeanComparison:
    """Difference of two means, treatment minus control, in the metric's unit.

    ``low`` and ``high`` are the two-sided interval; ``low_one_sided`` and ``high_one_sided`` each
    hold alone with the same confidence. ``p_greater`` and ``p_less`` are one-sided p-values for
    the treatment being greater and less.
    """

    difference: float
    standard_error: float
    degrees_of_freedom: float
    t: float
    p_value: float
    p_greater: float
    p_less: float
    low: float
    high: float
    low_one_sided: float
    high_one_sided: float


def compare_means(
    control: Moments, treatment: Moments, *, confidence_level: float = 0.95
) -> MeanComparison:
    """Estimate the difference of two means by Welch's method [1]_.

    Parameters
    ----------
    control, treatment : Moments
        Sums over units, in the metric's unit.
    confidence_level : float, default 0.95
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    MeanComparison
        The difference with its interval, in the metric's unit, and p-values.

    Raises
    ------
    NotEnoughDataError
        If a sample has fewer than two units, or neither sample varies.
    ParameterError
        If ``confidence_level`` is out of range.

    Notes
    -----
    Fixed horizon: valid at the one look that was planned. Do not peek with it.

    References
    ----------
    .. [1] B. L. Welch, Biometrika 34, 28-35 (1947). :doi:`10.1093/biomet/34.1-2.28`

    Examples
    --------
    >>> a, b = Moments.of([1.0, 2.0, 3.0, 4.0]), Moments.of([3.0, 4.0, 5.0, 6.0])
    >>> result = compare_means(a, b)
    >>> result.difference, round(result.t, 4), round(result.p_value, 4)
    (2.0, 2.1909, 0.071)
    """
    alpha = 1 - checked_level(confidence_level)
    error_c, error_t = squared_errors(control, treatment, "compare_means")
    error = math.sqrt(error_c + error_t)
    dof = welch_dof(error_c, control.n, error_t, treatment.n)
    difference = treatment.mean - control.mean
    t = difference / error
    margin = student_quantile(1 - alpha / 2, dof) * error
    margin_one_sided = student_quantile(1 - alpha, dof) * error
    # The lower tail of -t, not 1 - cdf: past |t| = 9 the subtraction is exactly zero.
    p_greater, p_less = float(special.stdtr(dof, -t)), float(special.stdtr(dof, t))
    return MeanComparison(
        difference,
        error,
        dof,
        t,
        2 * min(p_greater, p_less),
        p_greater,
        p_less,
        difference - margin,
        difference + margin,
        difference - margin_one_sided,
        difference + margin_one_sided,
    )


def checked_level(confidence_level: float) -> float:
    """Return the level, or raise `ParameterError` if it is none."""
    if not 0 < confidence_level < 1:
        raise ParameterError(f"confidence_level is {confidence_level}: it must lie in (0, 1)")
    return confidence_level


def squared_errors(control: Moments, treatment: Moments, method: str) -> tuple[float, float]:
    """Return the squared standard errors of both means, or raise `NotEnoughDataError`."""
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError(method, control.n, treatment.n, "each needs two units")
    errors = control.variance / control.n, treatment.variance / treatment.n
    if sum(errors) == 0:
        raise NotEnoughDataError(method, control.n, treatment.n, "neither sample varies")
    return errors


def welch_dof(part_c: float, n_c: float, part_t: float, n_t: float) -> float:
    """Approximate the degrees of freedom of a sum of two variances (Welch 1947)."""
    return (part_c + part_t) ** 2 / (part_c**2 / (n_c - 1) + part_t**2 / (n_t - 1))


def student_quantile(probability: float, dof: float) -> float:
    """Return the quantile of Student's t."""
    return float(special.stdtrit(dof, probability))
