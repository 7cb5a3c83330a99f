"""Revenue, ratios and covariates: what unequal arms and heavy tails do to an A/A test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.calibrations.line import Finding, Line, Run
from benchmarks.calibrations.null import rates_of_sides
from benchmarks.calibrations.paths import Array, Design, Integers, Sides, both_sides, sides
from stats import adjust_arrays, linearised_arrays

# Share of units that buy, and the deviation of the logarithm of what they spend.
_BUYERS, _SIGMA = 0.05, 1.5
# gbstats is asked look by look about ratios and covariates: fewer trajectories do.
_ASKED = 500
_SPLITS = ((0.5, "50/50"), (0.2, "80/20"), (0.05, "95/5"))


def purchases(
    rng: np.random.Generator,
    replicas: int,
    design: Design,
    *,
    buyers: tuple[float, float] = (_BUYERS, _BUYERS),
    worth: tuple[float, float] = (1.0, 1.0),
    sigma: float = _SIGMA,
) -> Array:
    """Draw revenue that is zero or lognormal, buyer by buyer: shape (replicas, looks, 2, 4)."""
    steps = design.steps
    sums = np.empty((replicas, *steps.shape, 4))
    sums[..., 0] = design.cumulative
    for arm in (0, 1):
        counts = rng.binomial(steps[:, arm], buyers[arm], (replicas, len(steps)))
        logs = rng.standard_normal(counts.sum(), dtype=np.float32)
        spent = worth[arm] * np.exp(np.float32(sigma) * logs).astype(float)
        for power in (1, 2, 3):
            sums[:, :, arm, power] = np.cumsum(_added(spent**power, counts), axis=1)
    return sums


def _added(values: Array, counts: Integers) -> Array:
    """Add up as many values as each count says, in their order."""
    ends = np.cumsum(counts)
    starts = ends - counts.ravel()
    # One zero more, so that an empty last group has a place to start.
    total = np.add.reduceat(np.append(values, 0.0), starts)
    total[counts.ravel() == 0] = 0.0
    added: Array = total.reshape(counts.shape)
    return added


def _of_purchases(run: Run, split: float, scenario: int, **how: Any) -> tuple[Sides, Sides | None]:
    design, rng = Design(split, looks_per_day=4), run.rng(scenario)
    batches = (purchases(rng, part, design, **how) for part in run.parts(250))
    return both_sides(run, design, batches, binary=False)


def a3(run: Run) -> Iterator[Finding]:
    limits = {"harm": (0.0, 0.030), "ship": (0.0, 0.030)}
    for k, (split, name) in enumerate(_SPLITS):
        yield from rates_of_sides(run, f"revenue, {name}", _of_purchases(run, split, k), limits)


def a4(run: Run) -> Iterator[Finding]:
    limits = {"50/50": 0.05, "80/20": 0.10, "95/5": 0.10}
    for k, (split, name) in enumerate(_SPLITS):
        found = _of_purchases(run, split, k, buyers=(_BUYERS, _BUYERS / 2), worth=(1.0, 2.0))
        what = f"half the buyers, twice the value, {name}"
        # To ship is held to what 1.2 says of every A/A design.
        both = {"harm": (0.0, limits[name]), "ship": (0.0, 0.030)}
        yield from rates_of_sides(run, what, found, both)


# --- linearised and adjusted metrics, unit by unit


def clicks(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Array]:
    """Draw a click-through rate: views per unit are heterogeneous, so is the rate of clicks."""
    views = 1 + np.floor(10 * np.exp(rng.normal(-0.25, 0.7, shape)))
    rate = np.minimum(0.05 * np.exp(rng.normal(-0.125, 0.5, shape)), 1.0)
    m = rng.binomial(views.astype(np.int64), rate).astype(float)
    d = views
    return [m, m * m, m**3, d, d * d, d**3, m * d, m * m * d, m * d * d]


def spending(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Array]:
    """Draw lognormal outcomes whose logarithm correlates 0.7 with that of the covariate."""
    first = rng.standard_normal(shape, dtype=np.float32)
    second = rng.standard_normal(shape, dtype=np.float32)
    x = np.exp(first).astype(float)
    y = np.exp(0.7 * first + np.float32(0.51**0.5) * second).astype(float)
    return [y, y * y, y**3, x, x * x, x**3, x * y, y * y * x, y * x * x]


def unit_sums(rng: np.random.Generator, replicas: int, design: Design, draw: Any) -> Array:
    """Sum up units look by look: shape (replicas, looks, 2, 10)."""
    steps = design.steps
    sums = np.empty((replicas, *steps.shape, 10))
    for look, row in enumerate(steps):
        for arm, new in enumerate(row):
            columns = draw(rng, (replicas, int(new)))
            sums[:, look, arm, 0] = new
            for place, column in enumerate(columns, 1):
                sums[:, look, arm, place] = column.sum(axis=1)
    total: Array = np.cumsum(sums, axis=1)
    return total


def ratio_of_gbstats(statistics: Any, row: Array) -> Any:
    n, m1, m2, _, d1, d2, _, md, *_ = (float(x) for x in row)
    return statistics.RatioStatistic(
        n=round(n),
        m_statistic=statistics.SampleMeanStatistic(n=round(n), sum=m1, sum_squares=m2),
        d_statistic=statistics.SampleMeanStatistic(n=round(n), sum=d1, sum_squares=d2),
        m_d_sum_of_products=md,
    )


def adjusted_of_gbstats(statistics: Any, row: Array) -> Any:
    n, y1, y2, _, x1, x2, _, xy, *_ = (float(x) for x in row)
    return statistics.RegressionAdjustedStatistic(
        n=round(n),
        post_statistic=statistics.SampleMeanStatistic(n=round(n), sum=y1, sum_squares=y2),
        pre_statistic=statistics.SampleMeanStatistic(n=round(n), sum=x1, sum_squares=x2),
        post_pre_sum_of_products=xy,
        theta=0.0,
    )


@dataclass(frozen=True)
class Kind:
    """A metric that is read through sums of two values per unit."""

    what: str
    split: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], list[Array]]
    as_means: Callable[[Array, Array], tuple[Array, Array, Array]]
    of_gbstats: Callable[[Any, Array], Any]


_KINDS = (
    Kind("ratio, 50/50", 0.5, clicks, linearised_arrays, ratio_of_gbstats),
    Kind("CUPED, 50/50", 0.5, spending, adjust_arrays, adjusted_of_gbstats),
    Kind("CUPED, 90/10", 0.1, spending, adjust_arrays, adjusted_of_gbstats),
)


def a5(run: Run) -> Iterator[Finding]:
    limits = {"harm": (0.0, 0.032), "ship": (0.0, 0.032)}
    for k, kind in enumerate(_KINDS):
        design, rng = Design(kind.split, units=40_000), run.rng(k)
        ours, theirs, asked = [], [], 0
        for part in run.parts(100):
            sums = unit_sums(rng, part, design, kind.draw)
            row_c, row_t, _ = kind.as_means(sums[:, :, 0], sums[:, :, 1])
            ours.append(sides(design, np.stack([row_c, row_t], axis=2), binary=False))
            if run.gbstats is not None and asked < _ASKED:
                up, down = run.gbstats.first_sides(sums, kind.of_gbstats)
                theirs.append(Sides(*(np.where(hit, 0, -1) for hit in (up, down))))
                asked += part
        found = Sides.joined(ours), Sides.joined(theirs) if theirs else None
        yield from rates_of_sides(run, kind.what, found, limits)


LINES = (
    Line("A3", "A/A revenue (zero or lognormal 1.5), 28 days of 4 looks", a3),
    Line("A4", "equal means, unequal variances, 28 days of 4 looks", a4),
    Line("A5", "A/A ratio and CUPED, 28 daily looks", a5, replicas=4000),
)
