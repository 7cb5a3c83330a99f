"""gbstats' sequential test on the same sums, as fast as ours.

gbstats decides one comparison at a time. How far its interval reaches depends on nothing but the
number of units, so it is asked for that once per look; the statistic, a relative difference with
the delta method's error, is written down for arrays. In every run `GbStats.check` holds the arrays
against gbstats' own answers on a sample of the simulated looks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Looks of every batch whose answers are compared with gbstats' own.
_CHECKED = 12


class GbStats:
    """The sequential test of the gbstats that is installed, with its own default tuning.

    Two-sided alpha 0.05: 0.025 to each side, as ours.
    """

    def __init__(self) -> None:
        tests = import_module("gbstats.frequentist.tests")

        self.version = version("gbstats")
        self._test, self._config = tests.SequentialTwoSidedTTest, tests.SequentialConfig()
        self._statistics = import_module("gbstats.models.statistics")
        self._critical: dict[int, float] = {}
        self._rng = np.random.default_rng(0)
        self.checked = 0

    @classmethod
    def installed(cls) -> GbStats | None:
        """Return the test, or None where gbstats is not installed."""
        try:
            return cls()
        except ImportError:
            return None

    def crossed(self, sums: Array, *, binary: bool) -> tuple[Flags, Flags]:
        """Tell at which looks it finds a gain, and a loss: shape (replicas, looks)."""
        z = self.statistic(sums, binary=binary)
        critical = self.critical_at(sums[..., 0].sum(axis=2))
        up, down = z > critical, z < -critical
        self._check(sums, up, down, binary=binary)
        return up, down

    def covers(self, sums: Array, lift: float, *, binary: bool) -> Flags:
        """Tell at which looks its interval of the lift holds ``lift``."""
        z = self.statistic(sums, binary=binary, lift=lift)
        covered: Flags = np.abs(z) <= self.critical_at(sums[..., 0].sum(axis=2))
        return covered

    def statistic(self, sums: Array, *, binary: bool, lift: float = 0.0) -> Array:
        """Compute (lift found - lift) / error; NaN, which is beyond nothing, where it has none."""
        (n_c, mean_c, var_c), (n_t, mean_t, var_t) = (
            _parts(sums[:, :, arm], binary=binary) for arm in (0, 1)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = var_t / (mean_c**2 * n_t) + var_c * mean_t**2 / (mean_c**4 * n_c)
            z: Array = ((mean_t - mean_c) / mean_c - lift) / np.sqrt(variance)
        z[(mean_c == 0) | (var_c <= 0) | (var_t <= 0)] = np.nan
        return z

    def critical_at(self, units: Array) -> Array:
        """Ask gbstats how many standard errors its interval reaches at these numbers of units."""
        different, place = np.unique(np.rint(units).astype(np.int64), return_inverse=True)
        critical: Array = np.array([self._critical_of(int(n)) for n in different])[place]
        return critical.reshape(np.shape(units))

    def result(self, control: Any, treatment: Any) -> Any:
        """Ask gbstats itself about one comparison of its own statistics."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._test(control, treatment, self._config).compute_result()

    def side(self, control: Any, treatment: Any) -> int:
        """Ask gbstats itself: 1 for a gain, -1 for a loss, 0 for neither."""
        found = self.result(control, treatment)
        return int(np.sign(found.expected)) if found.p_value < self._config.alpha else 0

    def first_sides(
        self, rows: Array, statistic: Callable[[Any, Array], Any]
    ) -> tuple[Flags, Flags]:
        """Ask gbstats itself at every look of a few trajectories: ever a gain, ever a loss.

        ``rows`` has shape (replicas, looks, arms, ...); ``statistic`` makes gbstats' type of a row.
        """
        sides = np.array(
            [
                [self.side(*(statistic(self._statistics, arm) for arm in look)) for look in path]
                for path in rows
            ]
        )
        return np.asarray((sides > 0).any(axis=1)), np.asarray((sides < 0).any(axis=1))

    def _critical_of(self, units: int) -> float:
        if units not in self._critical:
            n = max(units // 2, 2)
            arm = self._statistics.ProportionStatistic(n=n, sum=n // 2)
            other = self._statistics.ProportionStatistic(n=units - n, sum=n // 2)
            found = self.result(arm, other)
            half = (found.ci[1] - found.ci[0]) / 2
            self._critical[units] = float(half / found.uplift.stddev)
        return self._critical[units]

    def _check(self, sums: Array, up: Flags, down: Flags, *, binary: bool) -> None:
        """Hold the arrays against gbstats' own answers."""
        replicas, looks = up.shape
        for _ in range(_CHECKED):
            row, look = int(self._rng.integers(replicas)), int(self._rng.integers(looks))
            arms = [self._arm(sums[row, look, arm], binary=binary) for arm in (0, 1)]
            ours = int(up[row, look]) - int(down[row, look])
            theirs = self.side(*arms)
            if ours != theirs:
                raise AssertionError(f"gbstats says {theirs}, its arrays {ours}: {arms}")
            self.checked += 1

    def _arm(self, row: Array, *, binary: bool) -> Any:
        n, s1, s2 = (float(x) for x in row[:3])
        if binary:
            return self._statistics.ProportionStatistic(n=round(n), sum=s1)
        return self._statistics.SampleMeanStatistic(n=round(n), sum=s1, sum_squares=s2)


def _parts(sums: Array, *, binary: bool) -> tuple[Array, Array, Array]:
    n, s1, s2 = sums[..., 0], sums[..., 1], sums[..., 2]
    mean = s1 / n
    variance = mean * (1 - mean) if binary else (s2 - s1**2 / n) / (n - 1)
    return n, mean, variance
