"""The exact sequential event test: do errors, crashes or refunds fall on one arm too often.

Among the units that have met the event, each one's arm is a coin with the design share q, whatever
came before, if assignment does not affect the event: no variance to estimate, no central limit, no
burn-in. The evidence is the likelihood of the coin's sides averaged over shares beyond q, against
the likelihood at q. It is exact from the first event on.

Only each unit's first event counts: later ones of the same unit are no fresh coins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from stats.anytime.mixtures import Direction, anytime_p
from stats.anytime.tails import log_beta_above
from stats.errors import ParameterError

Array = NDArray[np.float64]

#: Strength of the Beta prior on the share; larger looks for smaller effects (STATISTICS.md 1.6).
CONCENTRATION = 20.0
# A ramp's integrand is followed down to e**-_DEPTH of its peak.
_DEPTH = 45.0
_PANELS = 16
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class EventEvidence:
    """Evidence that an event falls on treatment too often (or too rarely).

    Parameters
    ----------
    log_e : float
        Natural logarithm of the evidence; one may peek. Act at ``-log(alpha)``.
    anytime_p : float
        ``min(1, exp(-log_e))``.
    """

    log_e: float
    anytime_p: float


@dataclass(frozen=True)
class RampStage:
    """First events of the units that were assigned at one share of treatment.

    Parameters
    ----------
    control, treatment : float
        Units with the event.
    share : float
        Treatment's share of the units at that stage, strictly between 0 and 1.
    """

    control: float
    treatment: float
    share: float


def event_evidence(
    control: float,
    treatment: float,
    share: float,
    *,
    direction: Direction = "increase",
    concentration: float = CONCENTRATION,
) -> EventEvidence:
    """Weigh the evidence that treatment changes how often an event happens [1]_.

    Parameters
    ----------
    control, treatment : float
        Units with (at least one) event in each arm.
    share : float
        Treatment's designed share of the units of both arms, strictly between 0 and 1. Not the
        share that was counted: that belongs to `sample_ratio`.
    direction : {"increase", "decrease", "both"}
        Whether more events on treatment are evidence, or fewer, or either.
    concentration : float, default 20
        Strength of the Beta prior around the share, cut off at it unless both directions count.
        Fixed before the first event.

    Returns
    -------
    EventEvidence
        Without events, neutral: ``log_e`` 0.

    Raises
    ------
    ParameterError
        If a count is negative or not finite, the share is not between 0 and 1, or the concentration
        is not positive.

    Notes
    -----
    One may peek, after every single event. If the event is no more (less) frequent on treatment,
    the chance that ``log_e`` ever reaches ``-log(alpha)`` is at most alpha, in samples of any size.
    If the split changed on the way, use `ramp_evidence`.

    References
    ----------
    .. [1] M. Lindon, A. Malek, NeurIPS 2022, arXiv:2011.03567; M. Lindon, C. Sanden, V. Shirikian,
       KDD 2022, arXiv:2205.14762, of which this is the conditional, one-sided form.

    Examples
    --------
    >>> result = event_evidence(control=20, treatment=50, share=0.5)
    >>> round(result.log_e, 2), round(result.anytime_p, 4)
    (5.09, 0.0062)
    """
    log_e = float(
        event_log_e(control, treatment, share, direction=direction, concentration=concentration)
    )
    return EventEvidence(log_e, anytime_p(log_e))


def event_p_value(
    control: float, treatment: float, share: float, *, direction: Direction = "increase"
) -> float:
    """Compute the exact binomial p-value of the split of events: for display.

    Parameters and errors as in `event_evidence`; one-sided, or twice the smaller side.

    Notes
    -----
    Fixed horizon: do not peek with it.

    Examples
    --------
    >>> round(event_p_value(control=95, treatment=35, share=0.2), 4)
    0.0345
    """
    _check(control, treatment, share, CONCENTRATION)
    if direction == "both":
        sides = (
            event_p_value(control, treatment, share, direction="increase"),
            event_p_value(control, treatment, share, direction="decrease"),
        )
        return min(1.0, 2 * min(sides))
    if _falls(direction):
        control, treatment, share = treatment, control, 1 - share
    return float(special.betainc(treatment, control + 1, share)) if treatment > 0 else 1.0


def event_log_e(
    control: ArrayLike,
    treatment: ArrayLike,
    share: ArrayLike,
    *,
    direction: Direction = "increase",
    concentration: float = CONCENTRATION,
) -> Array:
    """Compute the ``log_e`` of `event_evidence` for many metrics and segments at once.

    Parameters
    ----------
    control, treatment, share : array_like, shape (...)
        As in `event_evidence`; they broadcast.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ParameterError
        As in `event_evidence`.

    Notes
    -----
    One may peek.
    """
    y, x, q = (np.asarray(v, dtype=float) for v in (control, treatment, share))
    _check(y, x, q, concentration)
    if _falls(direction):
        x, y, q = y, x, 1 - q
    a, b = concentration * q, concentration * (1 - q)
    log_e: Array = (
        special.betaln(a + x, b + y)
        - special.betaln(a, b)
        - special.xlogy(x, q)
        - special.xlog1py(y, -q)
    )
    if direction != "both":
        log_e = log_e + log_beta_above(a + x, b + y, q) - log_beta_above(a, b, q)
    return log_e


def ramp_evidence(
    stages: Sequence[RampStage],
    *,
    direction: Direction = "increase",
    concentration: float = CONCENTRATION,
    reference_share: float | None = None,
) -> EventEvidence:
    """Weigh the evidence of an event while the split was ramped.

    The prior is on the multiplier of the odds, ``logit p = logit share + d``, which is the same at
    every stage; the likelihoods of the stages multiply, and d is integrated out.

    Parameters
    ----------
    stages : sequence of RampStage
        First events by the share at which their units were assigned.
    direction, concentration
        As in `event_evidence`.
    reference_share : float, optional
        The share at which the prior of `event_evidence` is taken. Default: the first stage's. Must
        not depend on events.

    Returns
    -------
    EventEvidence
        With one share throughout, what `event_evidence` gives.

    Raises
    ------
    ParameterError
        As in `event_evidence`, and if there is no stage.

    Notes
    -----
    One may peek. Each stage's share may depend on earlier events; that is what ramps do.

    Examples
    --------
    >>> ramp = [RampStage(control=95, treatment=9, share=0.05), RampStage(20, 40, 0.5)]
    >>> round(ramp_evidence(ramp).log_e, 2)
    3.63
    """
    if not stages:
        raise ParameterError("a ramp needs a stage")
    y, x, q = (
        np.array([getattr(stage, name) for stage in stages], dtype=float)
        for name in ("control", "treatment", "share")
    )
    first = q[0] if reference_share is None else np.float64(reference_share)
    _check(y, x, q, concentration)
    _check(0.0, 0.0, first, concentration)
    if _falls(direction):
        x, y, q, first = y, x, 1 - q, 1 - first
    ramp = _Ramp(x, y, q, first, concentration)
    log_e = ramp.log_mixture(lowest=-math.inf if direction == "both" else 0.0)
    return EventEvidence(log_e, anytime_p(log_e))


@dataclass(frozen=True, eq=False)
class _Ramp:
    """Prior times likelihood ratio, as a function of the log odds multiplier d: log-concave."""

    x: Array
    y: Array
    q: Array
    first: float
    concentration: float

    def log(self, d: float | Array) -> Array:
        d = np.asarray(d, dtype=float)[..., None]
        a, b = self.concentration * self.first, self.concentration * (1 - self.first)
        # A share p of odds o * e**d against o: p/q = e**d / (1 - q + q e**d).
        ratio = np.logaddexp(np.log1p(-self.q), np.log(self.q) + d)
        likelihood = np.sum(self.x * d - (self.x + self.y) * ratio, axis=-1)
        logit = special.logit(self.first) + d[..., 0]
        prior = a * special.log_expit(logit) + b * special.log_expit(-logit)
        log: Array = likelihood + prior - special.betaln(a, b)
        return log

    def slope(self, d: float) -> float:
        p, own = special.expit(special.logit(self.q) + d), special.logit(self.first) + d
        prior = self.concentration * (self.first - float(special.expit(own)))
        return float(np.sum(self.x - (self.x + self.y) * p)) + prior

    def log_mixture(self, lowest: float) -> float:
        peak = self._peak(lowest)
        top = float(self.log(peak))
        ends = [self._fallen(peak, top, side) for side in (-1.0, 1.0)]
        ends[0] = max(ends[0], lowest)
        points, mass = (
            np.concatenate(parts)
            for parts in zip(_panels(ends[0], peak), _panels(peak, ends[1]), strict=True)
        )
        total = top + math.log(float(mass @ np.exp(self.log(points) - top)))
        if lowest == -math.inf:
            return total
        a, b = self.concentration * self.first, self.concentration * (1 - self.first)
        return total - float(log_beta_above(a, b, self.first))

    def _peak(self, lowest: float) -> float:
        here = self.slope(0.0)
        if here == 0 or (here < 0 and lowest == 0):
            return 0.0
        step = math.copysign(1.0, here)
        while self.slope(step) * here > 0:
            step *= 2
        return float(optimize.brentq(self.slope, 0.0, step, xtol=1e-12))

    def _fallen(self, peak: float, top: float, side: float) -> float:
        """Find where the integrand has lost its weight on one side of its peak."""

        def excess(distance: float) -> float:
            return float(self.log(peak + side * distance)) - top + _DEPTH

        distance = 1e-9
        while excess(distance) > 0:
            distance *= 2
        return peak + side * float(optimize.brentq(excess, 0.0, distance, rtol=1e-3))


def _panels(low: float, high: float) -> tuple[Array, Array]:
    half = (high - low) / _PANELS / 2
    centres = low + half * (2 * np.arange(_PANELS) + 1)
    return (centres[:, None] + half * _NODES).ravel(), np.tile(half * _WEIGHTS, _PANELS)


def _falls(direction: Direction) -> bool:
    if direction not in ("both", "increase", "decrease"):
        raise ParameterError(f"direction is {direction!r}: both, increase or decrease")
    return direction == "decrease"


def _check(
    control: ArrayLike, treatment: ArrayLike, share: ArrayLike, concentration: float
) -> None:
    for counts in (control, treatment):
        c = np.asarray(counts, dtype=float)
        if not np.all((c >= 0) & (c < np.inf)):
            raise ParameterError("events must be finite and not negative")
    q = np.asarray(share, dtype=float)
    if not np.all((q > 0) & (q < 1)):
        raise ParameterError("a share of treatment must lie strictly between 0 and 1")
    if not 0 < concentration < math.inf:
        raise ParameterError(f"concentration is {concentration}: it must be positive")
