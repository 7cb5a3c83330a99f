"""Sample-ratio mismatch: whether the split came out as it was designed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from stats.anytime.mixtures import anytime_p, checked_alpha
from stats.errors import ParameterError
from stats.families.e_values import e_bh

Array = NDArray[np.float64]

#: Strength of the Dirichlet prior around the design.
CONCENTRATION = 1000.0
#: Chance of a false alarm at which a mismatch makes results invalid: evidence of 1000.
BLOCKING_ALPHA = 0.001
# A cell with fewer units is reported, but never makes results invalid by itself.
_BLOCKING_UNITS = 1000


@dataclass(frozen=True)
class SampleRatio:
    """Evidence against the designed split.

    Parameters
    ----------
    log_e : float
        Natural logarithm of the evidence against the design; one may peek. ``inf`` when an arm of
        weight zero has units.
    chi2, p_value : float
        Pearson's statistic and its p-value; fixed horizon, for display.
    anytime_p : float
        ``min(1, exp(-log_e))``: a p-value valid at every look.
    """

    log_e: float
    chi2: float
    p_value: float
    anytime_p: float


def sample_ratio(
    counts: Sequence[float], weights: Sequence[float], *, concentration: float = CONCENTRATION
) -> SampleRatio:
    """Weigh the evidence that units were not split as designed [1]_.

    Parameters
    ----------
    counts : sequence of float
        Units per arm.
    weights : sequence of float
        Designed share per arm, on any positive scale. An arm of weight zero and no units adds no
        degree of freedom.
    concentration : float, default 1000
        Strength of the Dirichlet prior around the design; larger looks for smaller mismatches.

    Returns
    -------
    SampleRatio
        Without units, or with one arm, the evidence is 0 (neutral) and the p-value 1.

    Raises
    ------
    ParameterError
        If a count or weight is negative, NaN or infinite, or no weight is positive.

    Notes
    -----
    One may peek with ``log_e``: if the design holds, the chance that the evidence ever reaches
    1/alpha is at most alpha. Not with ``p_value``: over 112 looks "p < .01" alarms falsely in 11 %.
    Everything is kept in logarithms; the evidence itself overflows at 100,000 units.

    References
    ----------
    .. [1] M. Lindon, A. Malek, NeurIPS 2022, arXiv:2011.03567, equation 8.

    Examples
    --------
    >>> result = sample_ratio([821_588, 815_482], [0.5, 0.5], concentration=100)
    >>> round(result.log_e, 3), f"{result.p_value:.2g}"
    (6.532, '1.8e-06')
    """
    if len(counts) != len(weights):
        raise ParameterError(f"{len(counts)} counts but {len(weights)} weights")
    log_e, chi2, p_value = (
        float(part) for part in sample_ratio_arrays(counts, weights, concentration=concentration)
    )
    return SampleRatio(log_e, chi2, p_value, anytime_p(log_e))


def sample_ratio_arrays(
    counts: ArrayLike, weights: ArrayLike, *, concentration: float = CONCENTRATION
) -> tuple[Array, Array, Array]:
    """Compute `sample_ratio` for many splits at once.

    Parameters
    ----------
    counts, weights : array_like, shape (..., k)
        Units and designed weights of the k arms in the last axis; the other axes broadcast.
    concentration : float, default 1000
        As in `sample_ratio`.

    Returns
    -------
    tuple of ndarray, shape (...)
        ``log_e``, ``chi2`` and ``p_value``.

    Raises
    ------
    ParameterError
        As in `sample_ratio`.

    Notes
    -----
    One may peek with ``log_e`` alone.
    """
    n, w = np.asarray(counts, dtype=float), np.asarray(weights, dtype=float)
    if n.ndim == 0 or w.ndim == 0 or n.shape[-1] != w.shape[-1]:
        raise ParameterError(f"counts of shape {n.shape} but weights of shape {w.shape}")
    if not all(np.all((x >= 0) & (x < np.inf)) for x in (n, w)) or not np.all(w.sum(axis=-1) > 0):
        raise ParameterError("counts and weights must be finite and not negative")
    if not 0 < concentration < math.inf:
        raise ParameterError(f"concentration is {concentration}: it must be positive")
    share = w / w.sum(axis=-1, keepdims=True)
    n, share = np.broadcast_arrays(n, share)
    designed = share > 0
    impossible = np.any((n > 0) & ~designed, axis=-1)
    n = np.where(designed, n, 0.0)
    total = n.sum(axis=-1)
    prior = np.where(designed, concentration * share, 1.0)
    log_e = (
        special.gammaln(concentration)
        - special.gammaln(concentration + total)
        + np.sum(
            special.gammaln(prior + n) - special.gammaln(prior) - special.xlogy(n, share), axis=-1
        )
    )
    expected = total[..., None] * share
    gaps = np.divide((n - expected) ** 2, expected, out=np.zeros_like(n), where=expected > 0)
    chi2 = gaps.sum(axis=-1)
    arms = designed.sum(axis=-1)
    p_value = np.where(arms > 1, special.chdtrc(np.maximum(arms - 1, 1), chi2), 1.0)
    # One arm, or no units: exactly neutral, whatever the rounding.
    log_e = np.where((arms > 1) & (total > 0), log_e, 0.0)
    return (
        np.where(impossible, np.inf, log_e),
        np.where(impossible, np.inf, chi2),
        np.where(impossible, 0.0, p_value),
    )


@dataclass(frozen=True)
class RatioCell:
    """The split within one segment, day or platform.

    ``reported`` cells are those that deserve a look; a cell that ``blocks`` makes results invalid.
    """

    key: str
    units: float
    ratio: SampleRatio
    reported: bool
    blocks: bool


def sample_ratio_cells(
    counts: Mapping[str, Sequence[float]],
    weights: Sequence[float],
    *,
    concentration: float = CONCENTRATION,
    alpha: float = 0.05,
) -> tuple[RatioCell, ...]:
    """Find the cells (segments, days, platforms) in which the split is not as designed.

    Parameters
    ----------
    counts : mapping of str to sequence of float
        Units per arm, by cell. A unit may stand in several cells.
    weights, concentration
        As in `sample_ratio`; the same in all cells.
    alpha : float, default 0.05
        Bound on the false discovery rate among the reported cells.

    Returns
    -------
    tuple of RatioCell
        In the order of ``counts``. Reported by `e_bh` over all cells; blocking with at least 1000
        units and evidence of 1000.

    Raises
    ------
    ParameterError
        As in `sample_ratio`, and if alpha is not between 0 and 1.

    Notes
    -----
    One may peek. Blocking is not corrected for the number of cells.

    Examples
    --------
    >>> days = {"Monday": [5100, 4900], "Tuesday": [5500, 4500], "Wednesday": [90, 60]}
    >>> [cell.key for cell in sample_ratio_cells(days, [1, 1]) if cell.reported]
    ['Tuesday']
    """
    checked_alpha(alpha)
    if not counts:
        return ()
    ratios = [sample_ratio(n, weights, concentration=concentration) for n in counts.values()]
    reported = e_bh([ratio.log_e for ratio in ratios], alpha)
    return tuple(
        RatioCell(
            key,
            units := math.fsum(n),
            ratio,
            bool(report),
            units >= _BLOCKING_UNITS and ratio.log_e >= -math.log(BLOCKING_ALPHA),
        )
        for (key, n), ratio, report in zip(counts.items(), ratios, reported, strict=True)
    )


@dataclass(frozen=True)
class ExposureRatio:
    """Where the split went wrong: when units were assigned, or between that and exposure.

    Parameters
    ----------
    assignment, exposure : SampleRatio
        Evidence against the design among all assigned units, and among those exposed.
    rates_p_value : float
        Chi-square p-value of "every arm exposes the same share of its units": fixed horizon, for
        display.
    """

    assignment: SampleRatio
    exposure: SampleRatio
    rates_p_value: float

    def broken(self, alpha: float = BLOCKING_ALPHA) -> Literal["assignment", "exposure"] | None:
        """Name the earlier step at which the evidence passes ``1 / alpha``; one may peek."""
        threshold = -math.log(checked_alpha(alpha))
        if self.assignment.log_e >= threshold:
            return "assignment"
        return "exposure" if self.exposure.log_e >= threshold else None


def exposure_ratio(
    assigned: Sequence[float],
    exposed: Sequence[float],
    weights: Sequence[float],
    *,
    concentration: float = CONCENTRATION,
) -> ExposureRatio:
    """Check the split twice: as assigned, and as exposed (triggered).

    Parameters
    ----------
    assigned, exposed : sequence of float
        Units per arm; the exposed are among the assigned.
    weights, concentration
        As in `sample_ratio`.

    Returns
    -------
    ExposureRatio

    Raises
    ------
    ParameterError
        As in `sample_ratio`, and if an arm has more exposed than assigned units.

    Notes
    -----
    One may peek with the two ``log_e`` and with ``broken``.

    Examples
    --------
    >>> exposure_ratio([10_000, 10_000], [6_000, 5_000], [1, 1]).broken()
    'exposure'
    """
    assignment = sample_ratio(assigned, weights, concentration=concentration)
    exposure = sample_ratio(exposed, weights, concentration=concentration)
    if any(x > n for n, x in zip(assigned, exposed, strict=True)):
        raise ParameterError("an arm has more exposed than assigned units")
    n, x = (np.array(counts, dtype=float)[np.array(assigned) > 0] for counts in (assigned, exposed))
    if len(n) < 2 or not 0 < x.sum() < n.sum():
        return ExposureRatio(assignment, exposure, 1.0)
    rate = x.sum() / n.sum()
    chi2 = float(np.sum((x - n * rate) ** 2 / (n * rate * (1 - rate))))
    return ExposureRatio(assignment, exposure, float(special.chdtrc(len(n) - 1, chi2)))
