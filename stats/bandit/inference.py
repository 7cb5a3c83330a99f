"""What may be said of an effect after a bandit moved the traffic.

There is no function for the pooled means of a bandit, and there will be none. A bandit gives less
traffic to an arm that had bad luck, so the bad luck stays in its pooled mean (it is biased, its z
is not normal); and when the metric drifts, the arm that had more traffic on good days wins without
being better. Within one batch the shares are fixed: there the difference is sound, and batches
are combined with weights that no result had a say in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stats.effects.score import Score, score_arrays
from stats.errors import NotEnoughDataError, ParameterError
from stats.sums.moments import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BanditEffect:
    """Difference of two arms of a bandit, treatment minus control, per unit.

    Parameters
    ----------
    estimate, low, high : float
        In the metric's unit; the weighted mean of the batches' differences. The interval leaves 0
        out exactly when ``z`` lies beyond a critical value.
    se : float
        Standard error of ``estimate``.
    z : float
        Combined statistic after the last batch, its skewness taken out: compare with a bound.
    path : tuple of float
        The same after every batch: the statistics of a sequential test.
    correlations : tuple of float
        Of each with the one before, as `boundary` takes them.
    batch_scores : tuple of float or None
        Uncorrected score of each batch by itself; None where an arm had fewer than two units or
        nothing varied.
    """

    estimate: float
    low: float
    high: float
    se: float
    z: float
    path: tuple[float, ...]
    correlations: tuple[float, ...]
    batch_scores: tuple[float | None, ...]


def bandit_effect(
    batches: Sequence[Sequence[Moments]],
    *,
    treatment: int = 1,
    binary: bool = False,
    low_critical: float,
    high_critical: float | None = None,
) -> BanditEffect:
    """Estimate one arm's effect from batches with adaptive shares, batch by batch [1]_.

    Parameters
    ----------
    batches : sequence of sequence of Moments
        For every batch, in order, the sums of all arms over units that entered in it, control
        first. Within a batch the shares must not have changed.
    treatment : int, default 1
        Place of the arm to compare with control.
    binary : bool, default False
        Whether ``y`` is 0 or 1, as in `score_difference`.
    low_critical : float
        Critical value of the lower limit (of both, if alone), not negative: a normal quantile at
        one planned look, a bound of `boundary` when one peeks.
    high_critical : float, optional
        Critical value of the upper limit.

    Returns
    -------
    BanditEffect
        The estimate is median-unbiased: its weights are ``sqrt(units) / se`` of each batch. A
        limit is infinite where skewness leaves that side open.

    Raises
    ------
    NotEnoughDataError
        If no batch can be compared.
    ParameterError
        If there is no batch, batches differ in arms, the arm does not exist, or a critical value
        is negative or NaN.

    Notes
    -----
    One may peek after any batch, by schedule: given the past, each batch's score is standard
    normal under the null, whatever the shares became, so with weights ``sqrt(units)`` (all arms;
    traffic, which no result moves) ``path`` is a normal chain with independent increments.
    Weights by information would let good luck choose its own weight; see the README. A batch that
    says nothing keeps its weight and adds 0: the error stays below its bound. The null hypothesis
    is that no batch has an effect; with effects that change, the estimate is their mean.

    References
    ----------
    .. [1] K. W. Zhang, L. Janson, S. A. Murphy, NeurIPS 2020, arXiv:2002.03217, section 4.

    Examples
    --------
    >>> monday = [Moments.conversions(500, 50), Moments.conversions(500, 65)]
    >>> tuesday = [Moments.conversions(100, 14), Moments.conversions(900, 150)]
    >>> effect = bandit_effect([monday, tuesday], binary=True, low_critical=1.96)
    >>> round(effect.estimate, 4), round(effect.z, 2)
    (0.0289, 1.55)
    """
    control, treated, units = _rows(batches, treatment)
    high_critical = low_critical if high_critical is None else high_critical
    if not (low_critical >= 0 and high_critical >= 0):
        raise ParameterError(f"critical values {low_critical}, {high_critical}: not negative")
    scores, known, weighted = _weighted(control, treated, units, binary=binary)
    if not known.any():
        n_c, n_t = float(control[:, 0].sum()), float(treated[:, 0].sum())
        raise NotEnoughDataError("bandit_effect", n_c, n_t, "no batch can be compared")
    path = bandit_score_arrays(control, treated, units, binary=binary)
    slope = float(weighted.slope[-1])
    raw, z = float(weighted.raw[-1]), float(path[-1])
    combined = Score(
        raw / slope, 1 / slope, 1 / slope, 1 / slope, float(weighted.kappa[-1]), raw, z
    )
    total = np.cumsum(units)
    steps = np.sqrt(total[:-1] / total[1:])
    return BanditEffect(
        combined.difference,
        combined.limit(low_critical),
        combined.limit(-high_critical),
        combined.se,
        z,
        tuple(path.tolist()),
        (0.0, *steps.tolist()),
        tuple(float(score) if ok else None for score, ok in zip(scores, known, strict=True)),
    )


def bandit_score_arrays(
    control: ArrayLike, treatment: ArrayLike, units: ArrayLike, *, binary: bool = False
) -> Array:
    """Compute the ``path`` of `bandit_effect` for many bandits at once.

    Parameters
    ----------
    control, treatment : array_like, shape (..., B, 4)
        ``n, s1, s2, s3`` of B batches.
    units : array_like, shape (..., B)
        Units of each batch over all arms; above 0.
    binary : bool, default False
        As in `bandit_effect`.

    Returns
    -------
    ndarray, shape (..., B)
        Combined statistic after each batch; 0 while nothing could be compared.

    Notes
    -----
    One may peek, as with `bandit_effect`.
    """
    c, t, u = (np.asarray(part, dtype=float) for part in (control, treatment, units))
    _, _, weighted = _weighted(c, t, u, binary=binary)
    raw, kappa = weighted.raw, weighted.kappa
    # As in the decision statistic: the parabola is capped where it would turn back.
    turned = kappa * raw > 3
    safe = np.where(turned, kappa, 1.0)
    path: Array = np.where(turned, 3 / (2 * safe) + safe / 6, raw - kappa / 6 * (raw * raw - 1))
    return path


@dataclass(frozen=True)
class _Combined:
    """Score, its skewness, and minus its change per unit of effect, after each batch."""

    raw: Array
    kappa: Array
    slope: Array


def _weighted(
    control: Array, treatment: Array, units: Array, *, binary: bool
) -> tuple[Array, NDArray[np.bool_], _Combined]:
    _, se, _, _, kappa, raw, _ = score_arrays(control, treatment, binary=binary)
    known = (control[..., 0] >= 2) & (treatment[..., 0] >= 2) & (se > 0)
    weights = np.sqrt(units)
    norm = np.sqrt(np.cumsum(units, axis=-1))
    scores = np.where(known, raw, 0.0)
    return (
        scores,
        known,
        _Combined(
            np.cumsum(weights * scores, axis=-1) / norm,
            np.cumsum(weights**3 * np.where(known, kappa, 0.0), axis=-1) / norm**3,
            np.cumsum(weights / np.where(known, se, np.inf), axis=-1) / norm,
        ),
    )


def _rows(batches: Sequence[Sequence[Moments]], treatment: int) -> tuple[Array, Array, Array]:
    if not batches:
        raise ParameterError("no batches")
    arms = {len(batch) for batch in batches}
    if len(arms) > 1 or not 1 <= treatment < min(arms):
        raise ParameterError(f"treatment {treatment} in batches of {sorted(arms)} arms")
    table = np.array([[[a.n, a.s1, a.s2, a.s3] for a in batch] for batch in batches])
    units = table[..., 0].sum(axis=-1)
    if not (units > 0).all():
        raise ParameterError("a batch without units: leave it out")
    return table[:, 0], table[:, treatment], units
