"""Sample-ratio mismatch: whether the split came out as it was designed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from stats.errors import ParameterError


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
    counts: Sequence[float], weights: Sequence[float], *, concentration: float = 1000.0
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
    if not all(0 <= x < math.inf for x in (*counts, *weights)) or sum(weights) <= 0:
        raise ParameterError("counts and weights must be finite and not negative")
    if not 0 < concentration < math.inf:
        raise ParameterError(f"concentration is {concentration}: it must be positive")
    if any(n > 0 for n, w in zip(counts, weights, strict=True) if w == 0):
        return SampleRatio(math.inf, math.inf, 0.0, 0.0)
    whole = math.fsum(weights)
    arms = [(float(n), w / whole) for n, w in zip(counts, weights, strict=True) if w > 0]
    total = math.fsum(n for n, _ in arms)
    if total == 0 or len(arms) == 1:
        return SampleRatio(0.0, 0.0, 1.0, 1.0)
    log_e = float(
        special.gammaln(concentration)
        - special.gammaln(concentration + total)
        + math.fsum(
            special.gammaln(concentration * w + n)
            - special.gammaln(concentration * w)
            - n * math.log(w)
            for n, w in arms
        )
    )
    chi2 = math.fsum((n - total * w) ** 2 / (total * w) for n, w in arms)
    p_value = float(special.chdtrc(len(arms) - 1, chi2))
    return SampleRatio(log_e, chi2, p_value, min(1.0, math.exp(min(0.0, -log_e))))
