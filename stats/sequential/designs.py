"""Classic group-sequential designs, which end at a planned last look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from scipy import optimize

from stats.errors import ParameterError
from stats.sequential.density import CEILING
from stats.sequential.drift import crossings


def obrien_fleming_bounds(
    information: Sequence[float], alpha: float, *, two_sided: bool = False
) -> list[float]:
    """Compute the bounds ``C / sqrt(t)`` of O'Brien and Fleming [1]_.

    Parameters
    ----------
    information : sequence of float
        Share of the final information at each look, rising, the last one 1.
    alpha : float
        Error over all looks, between 0 and 0.5.
    two_sided : bool, default False
        Whether minus the bounds are bounds as well; alpha then counts both sides.

    Returns
    -------
    list of float
        Upper bounds on the z scale, one per look.

    Raises
    ------
    ParameterError
        If ``information`` does not rise to 1, or ``alpha`` is out of range.

    Notes
    -----
    One may peek, at these looks and no others; for spending designs use `boundary`.

    References
    ----------
    .. [1] P. C. O'Brien, T. R. Fleming, Biometrics 35, 549-556 (1979). :doi:`10.2307/2530245`

    Examples
    --------
    >>> [round(u, 3) for u in obrien_fleming_bounds([0.2, 0.4, 0.6, 0.8, 1.0], 0.025)]
    [4.562, 3.226, 2.634, 2.281, 2.04]
    """
    return wang_tsiatis_bounds(information, alpha, 0.0, two_sided=two_sided)


def pocock_bounds(
    information: Sequence[float], alpha: float, *, two_sided: bool = False
) -> list[float]:
    """Compute the constant bounds of Pocock [1]_; arguments as in `obrien_fleming_bounds`.

    Notes
    -----
    One may peek, at these looks and no others.

    References
    ----------
    .. [1] S. J. Pocock, Biometrika 64, 191-199 (1977). :doi:`10.1093/biomet/64.2.191`
    """
    return wang_tsiatis_bounds(information, alpha, 0.5, two_sided=two_sided)


def wang_tsiatis_bounds(
    information: Sequence[float], alpha: float, power: float, *, two_sided: bool = False
) -> list[float]:
    """Compute the bounds ``C t ** (power - 0.5)`` of Wang and Tsiatis [1]_.

    Parameters
    ----------
    information, alpha, two_sided
        As in `obrien_fleming_bounds`.
    power : float
        0 gives O'Brien-Fleming, 0.5 Pocock.

    Returns
    -------
    list of float
        Upper bounds on the z scale, one per look.

    Raises
    ------
    ParameterError
        If ``information`` does not rise to 1, or ``alpha`` is out of range.

    Notes
    -----
    One may peek, at these looks and no others.

    References
    ----------
    .. [1] S. K. Wang, A. A. Tsiatis, Biometrics 43, 193-199 (1987). :doi:`10.2307/2531959`
    """
    rises = all(a < b for a, b in pairwise(information))
    if not information or not rises or information[0] <= 0 or abs(information[-1] - 1) > 1e-9:
        raise ParameterError("the information of a classic design rises from above 0 to 1")
    if not 0 < alpha < 0.5:
        raise ParameterError(f"alpha is {alpha}: it must lie between 0 and 0.5")
    if not math.isfinite(power):
        raise ParameterError(f"the power {power} gives no shape")

    def shaped(constant: float) -> list[float]:
        return [constant * t ** (power - 0.5) for t in information]

    def excess(constant: float) -> float:
        bounds = shaped(constant)
        lower = [-u for u in bounds] if two_sided else None
        result = crossings(information, bounds, lower)
        return result.upper_by() + result.lower_by() - alpha

    return shaped(float(optimize.brentq(excess, 0.0, CEILING, xtol=1e-12)))
