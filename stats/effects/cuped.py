"""Take out of an outcome what a pre-period covariate already knew."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stats.errors import NotEnoughDataError
from stats.sums.moments import CovariateMoments, Moments


class Theta(StrEnum):
    """From which covariance the regression coefficient is taken."""

    WITHIN = "within"
    """Pooled within arms: a treatment effect cannot leak into it. The default."""
    TOTAL = "total"
    """Of all units as one sample, as in the original paper and most tools."""


@dataclass(frozen=True)
class Adjusted:
    """Sums of ``y - theta (x - mean(x))`` in both arms, and the coefficient used."""

    control: Moments
    treatment: Moments
    theta: float


def adjust(
    control: CovariateMoments, treatment: CovariateMoments, *, theta: Theta = Theta.WITHIN
) -> Adjusted:
    """Reduce the variance of a mean with a pre-period covariate (CUPED [1]_).

    Parameters
    ----------
    control, treatment : CovariateMoments
        Sums over units of outcome and covariate. The covariate is known before exposure.
    theta : Theta, default Theta.WITHIN
        Definition of the coefficient Cov(y, x) / Var(x).

    Returns
    -------
    Adjusted
        Sums of the adjusted outcome, third moment included, for any method that takes `Moments`;
        ``theta`` in units of y per unit of x. The grand mean of the outcome does not change.

    Raises
    ------
    NotEnoughDataError
        If an arm has fewer than two units.

    Notes
    -----
    A covariate that does not vary gives ``theta = 0``: nothing is adjusted. One may peek with the
    result as one may with the method it is handed to.

    References
    ----------
    .. [1] A. Deng, Y. Xu, R. Kohavi, T. Walker, WSDM 2013, 123-132. :doi:`10.1145/2433396.2433413`

    Examples
    --------
    >>> a = CovariateMoments.of_pairs([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    >>> b = CovariateMoments.of_pairs([3.0, 4.0, 6.0], [2.0, 3.0, 4.0])
    >>> adjust(a, b).theta
    1.25
    """
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError("adjust", control.n, treatment.n, "each needs two units")
    both = control + treatment
    parts = (control, treatment) if theta is Theta.WITHIN else (both,)
    covariance = sum(part.xy - part.x1 * part.s1 / part.n for part in parts)
    variation = sum(part.x2 - part.x1 * part.x1 / part.n for part in parts)
    # Below this the variation of x is rounding, and a quotient of it would be noise.
    coefficient = covariance / variation if variation > 1e-12 * both.x2 else 0.0
    centre = both.x1 / both.n
    return Adjusted(
        _residual(control, coefficient, centre),
        _residual(treatment, coefficient, centre),
        coefficient,
    )


def _residual(arm: CovariateMoments, theta: float, centre: float) -> Moments:
    """Expand the sums of w + c and its powers, with w = y - theta x and c = theta mean(x)."""
    c = theta * centre
    w1 = arm.s1 - theta * arm.x1
    w2 = arm.s2 - 2 * theta * arm.xy + theta**2 * arm.x2
    w3 = arm.s3 - 3 * theta * arm.xy2 + 3 * theta**2 * arm.x2y - theta**3 * arm.x3
    n = arm.n
    s1 = w1 + n * c
    s2 = w2 + 2 * c * w1 + n * c * c
    s3 = w3 + 3 * c * w2 + 3 * c * c * w1 + n * c**3
    # A perfect fit leaves rounding, which may fall on the wrong side of zero.
    return Moments(n, s1, max(s2, s1 * s1 / n), s3)
