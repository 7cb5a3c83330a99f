"""How closely the statistics of two looks are tied: the correlation clock.

For a mean over units that no longer change, ``sqrt(n_before / n_now)`` says it all. A metric whose
values go on changing needs the correlation measured (Spotify calls its absence "peeking problem
2.0"); put into the recursion it makes the bounds right again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from stats.errors import NotEnoughDataError, SpendingError
from stats.sequential.density import MAX_CORRELATION
from stats.sums.consecutive import ConsecutiveSums


def correlation(control: ConsecutiveSums, treatment: ConsecutiveSums) -> float:
    """Estimate the correlation of the statistics of two consecutive looks.

    ``r = Cov(difference_before, difference_now) / (se_before se_now)``, where the covariance adds
    over the arms what the units present at both looks share (STATISTICS.md 1.4).

    Parameters
    ----------
    control, treatment : ConsecutiveSums
        Sums of the same metric at the same two looks.

    Returns
    -------
    float
        Between 0 and ``MAX_CORRELATION``; what lies outside is cut to it.

    Raises
    ------
    NotEnoughDataError
        If an arm had fewer than two units at a look or at both looks, or a look did not vary.

    Notes
    -----
    Give it to `boundary` or `Bounds.extend`. The spending time must go on following the schedule;
    only the correlation is measured. It treats the statistics as a Gauss-Markov chain, which
    totals are only nearly: the worst one-sided error seen is 0.033 where 0.0225 was meant. Units
    that never change give ``sqrt(n_before / n_now)``. Covariances have the divisor ``n - 1`` like
    the variances, so two equal looks have correlation 1, which the divisor ``n`` would miss.

    Examples
    --------
    >>> arm = ConsecutiveSums.of([0.0, 2.0, 4.0, 6.0], [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 3.0])
    >>> round(correlation(arm, arm), 3)
    0.913
    """
    arms = (control, treatment)
    fewest = [min(arm.n, arm.n_before, arm.n_both) for arm in arms]
    if min(fewest) < 2:
        raise NotEnoughDataError("correlation", fewest[0], fewest[1], "two at both looks at least")
    before = math.fsum(arm.before.variance / arm.n_before for arm in arms)
    now = math.fsum(arm.now.variance / arm.n for arm in arms)
    if before <= 0 or now <= 0:
        raise NotEnoughDataError("correlation", fewest[0], fewest[1], "all units are equal")
    together = math.fsum(arm.covariance_of_means for arm in arms)
    return min(max(together / math.sqrt(before) / math.sqrt(now), 0.0), MAX_CORRELATION)


def chained_correlation(correlations: Iterable[float]) -> float:
    """Multiply the correlations over looks that were passed over.

    In a Gauss-Markov chain the correlation of two looks is the product of the steps between them.

    Parameters
    ----------
    correlations : iterable of float
        Of each look with the one before: from the first look passed over to the look tested now.

    Returns
    -------
    float
        Correlation of the look tested now with the one tested before.

    Raises
    ------
    SpendingError
        If there is none, or one lies outside [0, 1].

    Examples
    --------
    >>> chained_correlation([0.5, 0.5])
    0.25
    """
    steps = [float(r) for r in correlations]
    if not steps or not all(0 <= r <= 1 for r in steps):
        raise SpendingError(f"no looks can have the correlations {steps}")
    return math.prod(steps)
