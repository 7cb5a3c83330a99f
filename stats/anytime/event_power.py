"""How many events the exact event test needs, by exact recursion over its first crossing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stats.anytime.events import CONCENTRATION, event_log_e
from stats.anytime.mixtures import checked_alpha
from stats.errors import ParameterError

Array = NDArray[np.float64]

# Events whose bounds are found at once; paths that are no longer followed.
_BLOCK = 512
_NEGLIGIBLE = 1e-16


def event_detection(
    multiple: float,
    share: float,
    events: int,
    *,
    alpha: float = 0.025,
    concentration: float = CONCENTRATION,
) -> Array:
    """Compute the chance that `event_evidence` of an increase has reached ``1 / alpha``.

    Parameters
    ----------
    multiple : float
        Rate of the event on treatment over that on control; 1 gives the chance of a false alarm.
    share : float
        Treatment's share of the units, strictly between 0 and 1.
    events : int
        Up to how many events, of both arms together.
    alpha : float, default 0.025
        Error of the test.
    concentration : float, default 20
        As in `event_evidence`.

    Returns
    -------
    ndarray, shape (events + 1,)
        Chance to have crossed by 0, 1, ... events, with a reading after every one. Exact.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Examples
    --------
    >>> chances = event_detection(2.0, 0.5, 200)
    >>> round(float(chances[100]), 2), round(float(chances[200]), 2)
    (0.71, 0.98)
    """
    if events < 0:
        raise ParameterError(f"{events} events")
    chances = _chances(multiple, share, alpha, concentration)
    return np.array([0.0] + [next(chances) for _ in range(events)])


def events_needed(
    multiple: float,
    share: float,
    *,
    alpha: float = 0.025,
    power: float = 0.5,
    concentration: float = CONCENTRATION,
    at_most: int = 50_000,
) -> int:
    """Count the events, of both arms together, after which a change of the rate is found.

    Parameters
    ----------
    multiple : float
        Rate of the event on treatment over that on control: above 1 the test for an increase is
        meant, below 1 that for a decrease.
    share, alpha, concentration
        As in `event_detection`.
    power : float, default 0.5
        Chance to have found it by then; the default gives the median.
    at_most : int, default 50000
        Where to stop searching.

    Returns
    -------
    int

    Raises
    ------
    ParameterError
        If the multiple is 1, an argument is out of range, or more than ``at_most`` are needed.

    Notes
    -----
    Planning, so nothing to peek at. Exact.

    Examples
    --------
    >>> events_needed(2.0, 0.5), events_needed(1.5, 0.5)
    (73, 181)
    """
    if not 0 < power < 1:
        raise ParameterError(f"power is {power}: it must lie between 0 and 1")
    if multiple == 1:
        raise ParameterError("an event that is not changed is never found")
    if 0 < multiple < 1:
        multiple, share = 1 / multiple, 1 - share
    chances = _chances(multiple, share, alpha, concentration)
    for count in range(1, at_most + 1):
        if next(chances) >= power:
            return count
    raise ParameterError(f"a multiple of {multiple:g} needs more than {at_most} events")


def _chances(multiple: float, share: float, alpha: float, concentration: float) -> Iterator[float]:
    """Yield the chance to have crossed by 1, 2, ... events, without end."""
    checked_alpha(alpha)
    if not 0 < multiple < math.inf:
        raise ParameterError(f"multiple is {multiple}: it must be positive and finite")
    if not 0 < share < 1:
        raise ParameterError(f"share is {share}: it must lie strictly between 0 and 1")
    p = share * multiple / (1 - share + share * multiple)
    first, mass, crossed = 0, np.ones(1), 0.0
    for count, bound in _bounds(share, alpha, concentration):
        step = np.zeros(mass.size + 1)
        step[:-1] += mass * (1 - p)
        step[1:] += mass * p
        alive = max(0, bound - first)
        crossed += float(step[alive:].sum())
        mass = step[:alive]
        lost = int(np.searchsorted(np.cumsum(mass[: mass.size - 1]), _NEGLIGIBLE / count**2))
        first, mass = first + lost, mass[lost:]
        yield crossed


def _bounds(share: float, alpha: float, concentration: float) -> Iterator[tuple[int, int]]:
    """Yield the number of events, and how many on treatment suffice: more than all, if none do."""
    start, known = 1, 0
    while True:
        counts = np.arange(start, start + _BLOCK)
        # The bound rises by none or one with each event.
        low = np.full(_BLOCK, known)
        high = np.minimum(counts + 1, known + 1 + counts - start + 1)
        while np.any(low < high):
            middle = (low + high) // 2
            x = np.minimum(middle, counts)
            log_e = event_log_e(counts - x, x, share, concentration=concentration)
            enough = (log_e >= -math.log(alpha)) | (middle > counts)
            high = np.where(enough, middle, high)
            low = np.where(enough, low, middle + 1)
        yield from zip(counts.tolist(), low.tolist(), strict=True)
        start, known = start + _BLOCK, min(int(low[-1]), int(counts[-1]))
