"""Pull an estimate towards what experiments on this metric usually find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stats.bayes.normal import NormalPrior, normal_posterior
from stats.errors import ParameterError
from stats.history.meta import TauMethod, random_effects

#: Experiments from which on the past says more than the default.
MIN_EXPERIMENTS = 10

#: Lifts of a metric without a past: four of five changes move it by less than 6.4 %.
DEFAULT_PRIOR = NormalPrior(0.0, 0.05)


@dataclass(frozen=True)
class ShrunkEstimate:
    """An estimate after shrinkage, in its own unit.

    Parameters
    ----------
    effect, sd : float
        Mean and standard deviation of the true effect, given the estimate and the past.
    kept : float
        Share of the estimate's distance from the prior mean that was kept, 0 to 1.
    low, high : float
        Credible interval with equal tails.
    """

    effect: float
    sd: float
    kept: float
    low: float
    high: float


def prior_from_history(
    effects: Sequence[float], variances: Sequence[float], *, method: TauMethod = TauMethod.REML
) -> NormalPrior:
    """Predict the effect of the next experiment from those that ended [1]_.

    Parameters
    ----------
    effects, variances : sequence of float
        Lifts of one metric, one per ended experiment, and their squared standard errors.
    method : TauMethod, default REML
        As in `random_effects`.

    Returns
    -------
    NormalPrior
        With the mean of the past and the variance ``tau2 + se**2``: true effects differ, and their
        mean is not known exactly. `DEFAULT_PRIOR` with fewer than ``MIN_EXPERIMENTS``.

    Raises
    ------
    ParameterError
        As in `random_effects`, for the numbers; too few of them are no error.

    Notes
    -----
    Give all experiments, not only those that shipped. Use it for experiments that are not among
    them: the shrunk effects of the past itself are in `random_effects`.

    References
    ----------
    .. [1] J. P. T. Higgins, S. G. Thompson, D. J. Spiegelhalter, J. R. Stat. Soc. A 172, 137-159
       (2009), section 4. :doi:`10.1111/j.1467-985X.2008.00552.x`

    Examples
    --------
    >>> prior_from_history([0.02, 0.05], [0.0001, 0.0001])
    NormalPrior(mean=0.0, sd=0.05)
    """
    if len(effects) == len(variances) < MIN_EXPERIMENTS:
        if not all(map(math.isfinite, effects)) or not all(0 < v < math.inf for v in variances):
            raise ParameterError("effects must be finite, their variances finite and positive")
        return DEFAULT_PRIOR
    past = random_effects(effects, variances, method=method)
    return NormalPrior(past.mean, math.hypot(math.sqrt(past.tau2), past.se))


def shrink(
    estimate: float,
    se: float,
    prior: NormalPrior = DEFAULT_PRIOR,
    *,
    confidence_level: float = 0.95,
) -> ShrunkEstimate:
    """Shrink one estimate towards the mean of a normal prior [1]_.

    Parameters
    ----------
    estimate, se : float
        Lift and its standard error (any unit, if ``prior`` is in the same).
    prior : NormalPrior
        See `prior_from_history`.
    confidence_level : float, default 0.95
        Probability inside the interval, strictly between 0 and 1.

    Returns
    -------
    ShrunkEstimate
        ``prior.mean + kept * (estimate - prior.mean)``, ``kept = sd**2 / (sd**2 + se**2)`` with
        the prior's ``sd``.

    Raises
    ------
    ParameterError
        If the estimate is not finite, ``se`` not positive and finite, or the level out of range.

    Notes
    -----
    One may peek, and select winners: if effects are like the prior, the shrunk effect of whatever
    was chosen by its estimate is right on average. It is as good as the prior, so show the raw
    interval beside it. For arrays: `normal_posterior_arrays`.

    References
    ----------
    .. [1] B. Efron, J. Am. Stat. Assoc. 106, 1602-1614 (2011). :doi:`10.1198/jasa.2011.tm11181`

    Examples
    --------
    >>> winner = shrink(0.08, 0.03)
    >>> round(winner.effect, 4), round(winner.kept, 3)
    (0.0588, 0.735)
    """
    view = normal_posterior(estimate, se, prior, confidence_level=confidence_level)
    return ShrunkEstimate(view.mean, view.sd, (view.sd / se) ** 2, view.low, view.high)
