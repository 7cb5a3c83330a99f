"""Bounds of a sequential test, by recursive numerical integration.

Armitage, McPherson and Rowe (1969): under the null hypothesis the statistics of consecutive looks
form a Gaussian Markov chain. The density of the last one over the paths that have not crossed yet
is carried from look to look, and each bound is the point beyond which it holds exactly the error
that the spending function releases at that look.

The lower bound of a harm test is the mirror image: minus the upper bound of the same spending.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from stats.errors import SpendingError
from stats.sequential.density import CEILING, MAX_CORRELATION, Density
from stats.sequential.replan import PooledPlan, Replanned
from stats.sequential.spending import SpendingFunction

__all__ = [
    "CEILING",
    "MAX_CORRELATION",
    "Boundary",
    "BoundedLook",
    "Bounds",
    "boundary",
    "crossing_probabilities",
]

# A spending function may fall by its own rounding, relative to alpha.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Boundary:
    """Bounds of one sequential test.

    Parameters
    ----------
    bounds : tuple of float
        Upper bounds on the z scale, one per look; ``inf`` where none can be reached.
    spent : tuple of float
        Cumulative error of the spending function, one per look.
    """

    bounds: tuple[float, ...]
    spent: tuple[float, ...]


@dataclass(frozen=True)
class BoundedLook:
    """One look of a sequential test.

    Parameters
    ----------
    time : float
        Spending time.
    correlation : float
        Of its statistic with that of the look before; 0 at the first.
    bound : float
        Upper bound on the z scale; ``inf`` if none can be reached.
    spent : float
        Cumulative error of the spending function.
    information : float or None
        What was given as its information.
    """

    time: float
    correlation: float
    bound: float
    spent: float
    information: float | None = None


@dataclass(frozen=True, eq=False)
class Bounds:
    """Bounds of a running test, with all that the next look needs.

    Start with ``Bounds(spending)`` and `extend` it look by look; `stored.bounds_document` writes it
    down. An old state stays as it was. The lower bound of a harm test is minus the upper one.

    Parameters
    ----------
    spending : SpendingFunction
        Error to spend, by spending time.
    two_sided : bool, default False
        Whether minus the bound is a bound as well; alpha then counts both sides.
    looks : tuple of BoundedLook
        The looks so far.
    charged : float
        Error that the bounds so far use: less than was spent while a bound is out of reach.
    density : Density or None
        Paths that have not crossed yet; None before the first look.

    Notes
    -----
    One may peek: see `boundary`, of which these are the steps.

    Examples
    --------
    >>> ship = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, epsilon=0.1)
    >>> state = Bounds(ship).extend(0.5, information=4_000).extend(1.0, information=9_000)
    >>> [round(look.bound, 3) for look in state.looks]
    [3.023, 2.014]
    """

    spending: SpendingFunction
    two_sided: bool = False
    looks: tuple[BoundedLook, ...] = ()
    charged: float = 0.0
    density: Density | None = field(default=None, repr=False)

    @property
    def boundary(self) -> Boundary:
        """The bounds and the error spent, look by look."""
        return Boundary(
            tuple(look.bound for look in self.looks), tuple(look.spent for look in self.looks)
        )

    def extend(
        self, time: float, *, correlation: float | None = None, information: float | None = None
    ) -> Bounds:
        """Add a look.

        Parameters
        ----------
        time : float
            Its spending time, at or after that of the look before; after `replan`, on the new
            clock. Fixed by the schedule, never by the outcome.
        correlation : float, optional
            Of its statistic with that of the look before: the correlation clock.
        information : float, optional
            Its units, or one over its squared standard error; then the correlation is
            ``sqrt(information_before / information)``. With neither, times are used so.

        Returns
        -------
        Bounds
            This state and the look.

        Raises
        ------
        SpendingError
            If the time or the information goes back, the correlation lies outside [0, 1], both
            are given, the look before had no information, or the spending function falls.
        """
        moment, passed = float(time), self.looks[-1].time if self.looks else 0.0
        if isinstance(self.spending, Replanned):
            moment, passed = self.spending.time(moment), self.spending.new_time(passed)
        if information is not None:
            if correlation is not None:
                raise SpendingError("give the correlation or the information, not both")
            correlation = self._informed(information)
        elif correlation is None:
            correlation = math.sqrt(passed / time) if 0 < passed <= time else 0.0
        return self._extended(moment, float(correlation), information)

    def replan(self, plan: PooledPlan) -> Bounds:
        """Put the looks still to come on the clock of a new plan [1]_.

        Parameters
        ----------
        plan : PooledPlan
            Made from the sums of both arms together at the last look.

        Returns
        -------
        Bounds
            The same looks and bounds; from now on `extend` takes times on the new clock.

        Raises
        ------
        SpendingError
            If there was no look yet: then simply plan.

        Notes
        -----
        Valid only if the new plan did not depend on the effect. Bounds already used do not change,
        nor does the error they spent, so the total stays at or below alpha.

        References
        ----------
        .. [1] K. K. G. Lan, D. L. DeMets, Biometrika 70, 659-663 (1983).
           :doi:`10.1093/biomet/70.3.659`

        Examples
        --------
        >>> ship = Spending(SpendingShape.OBRIEN_FLEMING, 0.025, epsilon=0.1)
        >>> half = Bounds(ship).extend(0.25).extend(0.5)
        >>> longer = half.replan(PooledPlan(units=20_000, units_now=5_000))
        >>> [round(look.bound, 3) for look in longer.extend(0.5).extend(1.0).looks]
        [4.416, 3.024, 2.985, 2.026]
        """
        if not self.looks:
            raise SpendingError("nothing was looked at yet: there is nothing to replan")
        return replace(self, spending=Replanned(self.spending, self.looks[-1].time, plan.time))

    def _informed(self, information: float) -> float:
        before = self.looks[-1].information if self.looks else 0.0
        if before is None:
            raise SpendingError("the look before has no information to compare with")
        if not (0 < information < math.inf and before <= information):
            raise SpendingError(f"information goes back from {before:g} to {information:g}")
        return math.sqrt(before / information)

    def _extended(
        self, time: float, correlation: float, information: float | None = None
    ) -> Bounds:
        before = self.looks[-1] if self.looks else BoundedLook(0.0, 0.0, math.inf, 0.0)
        if time < before.time:
            raise SpendingError(f"spending time goes back from {before.time:g} to {time:g}")
        spent = self.spending.spent(time)
        slack = _ROUNDING * self.spending.alpha
        if not before.spent - slack <= spent <= self.spending.alpha + slack:
            raise SpendingError(
                f"spending goes from {before.spent:g} to {spent:g} of {self.spending.alpha:g}"
            )
        spent = max(spent, before.spent)
        density = self.density.advance(correlation) if self.density else Density()
        sides = 2 if self.two_sided else 1
        bound = density.quantile((spent - self.charged) / sides, before.bound)
        # What an unattainable bound could not use is left for the next look.
        charged = self.charged if bound == math.inf else spent
        density = density.cut(bound, -bound if self.two_sided else -math.inf)
        look = BoundedLook(time, density.correlation, bound, spent, information)
        return Bounds(self.spending, self.two_sided, (*self.looks, look), charged, density)


def boundary(
    spending: SpendingFunction,
    times: Sequence[float],
    correlations: Sequence[float] | None = None,
    *,
    two_sided: bool = False,
) -> Boundary:
    """Compute the bounds of a one-sided sequential test that need never end [1]_ [2]_.

    Parameters
    ----------
    spending : SpendingFunction
        Error to spend, by spending time.
    times : sequence of float
        Spending time of every look so far, never falling. Fixed by the schedule.
    correlations : sequence of float, optional
        Correlation of each look's statistic with the one before (the first entry is ignored):
        ``sqrt(n_before / n_now)`` for a mean over units. Default: ``sqrt(t_before / t_now)``.
        Above ``MAX_CORRELATION`` it is cut to that.
    two_sided : bool, default False
        Whether minus the bound is a bound as well: the symmetric test of level alpha.

    Returns
    -------
    Boundary
        One bound per look. ``inf`` when a look releases no error, or so little that the bound would
        lie beyond ``CEILING``; the error is then spent by a later look.

    Raises
    ------
    SpendingError
        If a time falls, a correlation lies outside [0, 1], or the spending function falls. After
        re-planning correlations must be given: times are on another clock.

    Notes
    -----
    One may peek: that is what it is for. Under the null hypothesis the chance to ever cross is at
    most ``spending.alpha``, whatever the number of looks. Results are cached by prefix, so a
    further look of a known schedule costs one step.

    References
    ----------
    .. [1] P. Armitage, C. K. McPherson, B. C. Rowe, J. R. Stat. Soc. A 132, 235-244 (1969).
       :doi:`10.2307/2343787`
    .. [2] K. K. G. Lan, D. L. DeMets, Biometrika 70, 659-663 (1983). :doi:`10.1093/biomet/70.3.659`

    Examples
    --------
    >>> from stats import Spending, SpendingShape, boundary
    >>> harm = Spending(SpendingShape.KIM_DEMETS, 0.025, epsilon=0.1, parameter=0.5)
    >>> [round(u, 3) for u in boundary(harm, [1 / 28, 2 / 28, 3 / 28]).bounds]
    [2.631, 2.815, 2.845]
    """
    if correlations is None:
        if isinstance(spending, Replanned):
            raise SpendingError("after re-planning the correlations of the looks must be given")
        passed = [0.0, *times][: len(times)]
        correlations = [
            math.sqrt(a / b) if 0 < a <= b else 0.0 for a, b in zip(passed, times, strict=True)
        ]
    state = _start(spending, two_sided)
    for time, correlation in zip(times, correlations, strict=True):
        state = _next(state, float(time), float(correlation))
    return state.boundary


def crossing_probabilities(bounds: Sequence[float], correlations: Sequence[float]) -> list[float]:
    """Compute the chance, under the null, to have crossed fixed upper bounds by each look.

    Parameters
    ----------
    bounds : sequence of float
        Upper bounds on the z scale; ``inf`` for a look without one.
    correlations : sequence of float
        As in `boundary`.

    Returns
    -------
    list of float
        Cumulative one-sided crossing probability, one per look.

    Raises
    ------
    SpendingError
        If a correlation lies outside [0, 1].
    """
    state: Density | None = None
    total, cumulative = 0.0, []
    for bound, correlation in zip(bounds, correlations, strict=True):
        state = Density() if state is None else state.advance(correlation)
        total += state.above(bound)[0]
        cumulative.append(total)
        state = state.cut(bound)
    return cumulative


# The caches hold values computed from their arguments alone: the same arguments give the same bits
# whether they come from here or are computed anew.
@lru_cache(maxsize=1024)
def _start(spending: SpendingFunction, two_sided: bool) -> Bounds:  # noqa: FBT001
    return Bounds(spending, two_sided)


@lru_cache(maxsize=4096)
def _next(before: Bounds, time: float, correlation: float) -> Bounds:
    return before._extended(time, correlation)


def clear_cache() -> None:
    """Forget all bounds computed so far: for measuring, never needed for correctness."""
    _start.cache_clear()
    _next.cache_clear()
