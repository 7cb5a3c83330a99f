"""Intervals and p-values that stay valid over all scheduled looks.

An interval holds every effect that the bounds would not have rejected at this look; a p-value is
the smallest alpha whose bounds would have been crossed by now (Jennison and Turnbull, 1989).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from scipy import optimize, special

from stats.effects.proportions import Interval
from stats.errors import ParameterError
from stats.sequential.bounds import Bounds
from stats.sequential.spending import SpendingFunction

# An alpha is searched as the normal quantile above which it lies: bounds are nearly linear in it.
# Below 1e-16 bounds begin to be out of reach; above 0.9987 a p-value is called 1.
_WEAKEST, _STRONGEST = -3.0, 8.2
_OUT_OF_REACH = 99.0
_DOUBLINGS = 80


def repeated_interval(
    difference: float, standard_error: float, upper: float, lower: float
) -> Interval:
    """Bound the effect at one look, for all looks at once [1]_.

    ``[difference - upper * se, difference + lower * se]``

    Parameters
    ----------
    difference : float
        Estimate, treatment minus control, in the metric's unit.
    standard_error : float
        Of the difference, above 0.
    upper, lower : float
        This look's bounds of the ship and of the harm test as `boundary` gives them, both counted
        as positive when a zero effect lies inside. They need not be equal; ``inf`` is no bound.

    Returns
    -------
    Interval
        ``low`` and ``high`` in the metric's unit.

    Raises
    ------
    ParameterError
        If the standard error is not positive, or an argument NaN.

    Notes
    -----
    One may peek at the scheduled looks. The chance that any of them ever has its low end above the
    effect is at most the ship test's alpha, its high end below it the harm test's. Never intersect
    the intervals of several looks: effects drift, and an empty interval says nothing.

    References
    ----------
    .. [1] C. Jennison, B. W. Turnbull, J. R. Stat. Soc. B 51, 305-361 (1989).
       :doi:`10.1111/j.2517-6161.1989.tb01433.x`

    Examples
    --------
    >>> repeated_interval(1.0, 0.5, upper=3.0, lower=2.0)
    Interval(low=-0.5, high=2.0)
    """
    if not (math.isfinite(difference) and 0 < standard_error < math.inf):
        raise ParameterError(f"{difference} with the standard error {standard_error} has no bounds")
    if math.isnan(upper) or math.isnan(lower):
        raise ParameterError("a bound is NaN")
    return Interval(difference - upper * standard_error, difference + lower * standard_error)


def inverted_interval(
    statistic: Callable[[float], float],
    upper: float,
    lower: float,
    *,
    start: float,
    step: float,
    domain: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Bound the effect at one look through any statistic that falls with the effect supposed.

    Parameters
    ----------
    statistic : callable
        Statistic of the hypothesis that the effect is its argument; it must not rise.
    upper, lower : float
        As in `repeated_interval`.
    start, step : float
        Where to begin the search (the estimate), and how far to step first (a standard error).
    domain : (float, float), default unlimited
        Effects that can be: a search that reaches an end stops there.

    Returns
    -------
    Interval
        All effects whose statistic lies between ``-lower`` and ``upper``.

    Raises
    ------
    ParameterError
        If the statistic is NaN where it is asked, or the search cannot start.

    Notes
    -----
    As `repeated_interval`, which this is for ``(difference - effect) / se``. The interval leaves
    out an effect exactly when the bounds reject it.

    Examples
    --------
    >>> found = inverted_interval(lambda d: (1.0 - d) / 0.5, 3.0, 2.0, start=1.0, step=0.5)
    >>> round(found.low, 9), round(found.high, 9)
    (-0.5, 2.0)
    """
    if not (domain[0] <= start <= domain[1] and math.isfinite(start) and 0 < step < math.inf):
        raise ParameterError(f"the search cannot start at {start} by steps of {step}")
    if math.isnan(upper) or math.isnan(lower):
        raise ParameterError("a bound is NaN")

    def beyond(bound: float, effect: float) -> float:
        value = statistic(effect)
        if math.isnan(value):
            raise ParameterError(f"the statistic of the effect {effect:g} is NaN")
        return min(max(value - bound, -1e300), 1e300)

    ends = []
    for bound in (upper, -lower):
        if math.isinf(bound):
            ends.append(domain[0] if bound > 0 else domain[1])
            continue
        ends.append(_where(partial(beyond, bound), start, step, domain))
    return Interval(ends[0], ends[1])


def repeated_p_value(
    spending: SpendingFunction,
    times: Sequence[float],
    statistics: Sequence[float],
    correlations: Sequence[float] | None = None,
) -> float:
    """Compute the smallest alpha whose upper bounds were crossed by any look so far [1]_.

    Parameters
    ----------
    spending : SpendingFunction
        The test's spending; its own alpha only says where to begin.
    times, correlations
        As in `boundary`.
    statistics : sequence of float
        Statistic of every look on the z scale. For the harm side give minus the statistics, with
        the harm test's spending.

    Returns
    -------
    float
        At most ``spending.alpha`` exactly if the test has crossed. What is smaller is given as
        1e-16, what is above 0.998 as 1.

    Raises
    ------
    ParameterError
        If there are no looks, not as many statistics as looks, or one is not finite.
    SpendingError
        As `boundary`.

    Notes
    -----
    One may peek: under the null hypothesis the chance that it ever falls to ``a`` or below is at
    most ``a``. It never rises from look to look. Bounds of all shapes here fall as alpha rises,
    look by look, which a spending function of the caller's must see to itself. The search takes
    some eight times what the bounds of one alpha take: about 20 ms for 28 looks.

    References
    ----------
    .. [1] C. Jennison, B. W. Turnbull, Group Sequential Methods, 9.5 (2000).

    Examples
    --------
    >>> harm = Spending(SpendingShape.KIM_DEMETS, 0.025, epsilon=0.1, parameter=0.5)
    >>> round(repeated_p_value(harm, [0.25, 0.5, 0.75], [2.0, 2.9, 1.5]), 4)
    0.0074
    """
    _check(times, statistics)
    return _smallest(spending, times, statistics, correlations, first=0)


def repeated_p_values(
    spending: SpendingFunction,
    times: Sequence[float],
    statistics: Sequence[float],
    correlations: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Compute `repeated_p_value` at every look, each over the looks so far.

    Parameters
    ----------
    spending, times, statistics, correlations
        As in `repeated_p_value`.

    Returns
    -------
    tuple of float
        One per look, never rising.

    Raises
    ------
    ParameterError, SpendingError
        As `repeated_p_value`.

    Notes
    -----
    One may peek. Only a look that lowers the p-value costs a search, a quarter of a second if all
    28 do: for the last look alone ask `repeated_p_value`.

    Examples
    --------
    >>> harm = Spending(SpendingShape.KIM_DEMETS, 0.025, epsilon=0.1, parameter=0.5)
    >>> [round(p, 4) for p in repeated_p_values(harm, [0.25, 0.5, 0.75], [2.0, 2.9, 1.5])]
    [0.0506, 0.0074, 0.0074]
    """
    _check(times, statistics)
    found: list[float] = []
    for look in range(len(times)):
        until = slice(look + 1)
        ties = None if correlations is None else correlations[until]
        p = found[-1] if found else 1.0
        if p == 1.0 or _excess(spending.with_alpha(p), times[until], statistics, ties, look) >= 0:
            p = min(p, _smallest(spending, times[until], statistics, ties, first=look))
        found.append(p)
    return tuple(found)


def _check(times: Sequence[float], statistics: Sequence[float]) -> None:
    if not times or len(times) != len(statistics) or not all(map(math.isfinite, statistics)):
        raise ParameterError(f"{len(times)} looks need as many finite statistics, and one at least")


def _excess(
    spending: SpendingFunction,
    times: Sequence[float],
    statistics: Sequence[float],
    correlations: Sequence[float] | None,
    first: int,
) -> float:
    """Return by how much the looks from ``first`` on exceed their bounds, at most."""
    # Not through `boundary`: an alpha that is tried once would only crowd its cache.
    state, most = Bounds(spending), -_OUT_OF_REACH
    for look, time in enumerate(times):
        state = state.extend(time, correlation=None if correlations is None else correlations[look])
        if look >= first:
            most = max(most, statistics[look] - state.looks[-1].bound)
    return most


def _smallest(
    spending: SpendingFunction,
    times: Sequence[float],
    statistics: Sequence[float],
    correlations: Sequence[float] | None,
    *,
    first: int,
) -> float:
    """Return the smallest alpha that is crossed by one of the looks from ``first`` on."""
    planned = inside = outside = -float(special.ndtri(spending.alpha))

    def excess(quantile: float) -> float:
        # The test's own alpha, to the bit, is one end of the search: so the answer is never on its
        # wrong side.
        same = quantile == planned
        tried = spending if same else spending.with_alpha(_alpha(quantile))
        return _excess(tried, times, statistics, correlations, first)

    own = excess(planned)
    # A crossed end and one that is not; the second guess is nearly right, as bounds are nearly
    # as far apart as the quantiles.
    reach = 0.01 + 1.2 * min(abs(own), 12.0)
    if own >= 0:
        while excess(outside := min(inside + reach, _STRONGEST)) >= 0:
            if outside == _STRONGEST:
                return _alpha(_STRONGEST)
            inside, reach = outside, 2 * reach
    else:
        while excess(inside := max(outside - reach, _WEAKEST)) < 0:
            if inside == _WEAKEST:
                return 1.0
            outside, reach = inside, 2 * reach
    root = float(optimize.brentq(excess, inside, outside, xtol=5e-10, rtol=1e-12))
    # The end that is crossed: the root itself may lie a hair beyond.
    root -= 1e-9
    if root <= inside:
        return spending.alpha if inside == planned else _alpha(inside)
    return _alpha(root)


def _alpha(quantile: float) -> float:
    return float(special.ndtr(-quantile))


def _where(
    falling: Callable[[float], float], start: float, step: float, domain: tuple[float, float]
) -> float:
    """Find where a falling function is zero, or the end of the domain it does not reach it in."""
    sign = 1.0 if falling(start) > 0 else -1.0
    near, end = start, domain[1] if sign > 0 else domain[0]
    for _ in range(_DOUBLINGS):
        far = near + sign * step
        far = min(far, end) if sign > 0 else max(far, end)
        if sign * falling(far) <= 0:
            low, high = sorted((near, far))
            return float(optimize.brentq(falling, low, high, xtol=1e-300, rtol=1e-13))
        if far == end:
            return end
        near, step = far, 2 * step
    return end
