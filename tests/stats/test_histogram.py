"""A histogram that merges, and the quantiles it keeps."""

from __future__ import annotations

import json
import math

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import LogHistogram, MomentsError, ParameterError
from stats.sums.histogram import BASE, RELATIVE_ERROR, bucket_of

NUMBERS = st.one_of(
    st.floats(1e-300, 1e300),
    st.floats(-1e300, -1e-300),
    st.just(0.0),
    st.integers(-3000, 3000).map(float),
)
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=60)


@settings(derandomize=True, max_examples=60)
@given(st.lists(NUMBERS, max_size=60), st.lists(NUMBERS, max_size=60))
def test_merging_equals_pooling(a: list, b: list) -> None:
    assert LogHistogram.of(a) + LogHistogram.of(b) == LogHistogram.of(a + b)
    assert LogHistogram.merged([LogHistogram.of(a), LogHistogram.of(b)]).n == len(a) + len(b)


@settings(derandomize=True, max_examples=100)
@given(SAMPLES, st.floats(0, 1))
def test_a_quantile_is_within_half_a_per_cent_of_the_samples_own(values: list, p: float) -> None:
    exact = float(np.quantile(values, p, method="inverted_cdf"))
    read = LogHistogram.of(values).quantile(p)
    assert abs(read - exact) <= RELATIVE_ERROR * abs(exact) * (1 + 1e-9)
    assert RELATIVE_ERROR < 0.005


@settings(derandomize=True, max_examples=60)
@given(SAMPLES)
def test_every_order_statistic_lies_between_the_edges_of_its_bucket(values: list) -> None:
    histogram = LogHistogram.of(values)
    for rank, exact in enumerate(sorted(values), start=1):
        low, high = histogram.order_statistic_bounds(rank)
        slack = 1e-12 * abs(exact)
        assert low - slack <= exact <= high + slack
        assert low <= histogram.order_statistic(rank) <= high


@settings(derandomize=True, max_examples=60)
@given(SAMPLES, NUMBERS)
def test_a_count_below_a_value_is_wrong_by_its_own_bucket_at_most(values: list, at: float) -> None:
    counted = LogHistogram.of(values).count_below(at)
    slack = 1e-9 * abs(at)
    surely = sum(x < at * (BASE if at < 0 else 1 / BASE) - slack for x in values)
    perhaps = sum(x <= at * (1 / BASE if at < 0 else BASE) + slack for x in values)
    assert surely - 1e-6 <= counted <= perhaps + 1e-6


def test_a_count_below_a_value_inside_one_wide_sample_is_close() -> None:
    values = np.random.default_rng(2).lognormal(3, 1, 50_000)
    histogram = LogHistogram.of(np.concatenate([values, -values, np.zeros(7)]))
    for at in (-40.0, -1.0, 0.0, 0.5, 20.0, 333.3):
        exact = np.count_nonzero(values < at) + np.count_nonzero(-values < at) + 7 * (at > 0)
        assert histogram.count_below(at) == pytest.approx(exact, abs=25)


def test_counts_below_the_smallest_and_above_the_largest_are_none_and_all() -> None:
    histogram = LogHistogram.of([-5.0, 0.0, 8.0])
    assert [histogram.count_below(x) for x in (-math.inf, -6.0, 0.0, 9.0, math.inf)] == [
        0,
        0,
        1,
        3,
        3,
    ]
    assert LogHistogram().count_below(1.0) == 0


def test_a_bucket_is_the_floor_of_the_logarithm_to_the_base_one_point_oh_one() -> None:
    assert bucket_of([1.0, 1.0099, 1.0101, 100.0, 0.5]).tolist() == [0, 0, 1, 462, -70]


def test_sql_puts_values_into_the_same_buckets() -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate(
        [
            rng.lognormal(3, 2, 5000) * rng.choice([-1, 1], 5000),
            np.arange(-1500, 1500),
            np.round(rng.gamma(2, 40, 2000), 2),
        ]
    )
    connection = duckdb.connect()
    connection.register("rows", {"x": x.astype(float)})
    found = connection.execute(
        "select sign(x), floor(ln(abs(x)) / ln(1.01))::int, count(*) from rows where x <> 0 "
        "group by all order by 2"
    ).fetchall()
    zeros = connection.execute("select count(*) from rows where x = 0").fetchone()[0]
    histogram = LogHistogram(
        tuple((place, count) for sign, place, count in found if sign > 0),
        tuple((place, count) for sign, place, count in found if sign < 0),
        zeros,
    )
    assert histogram == LogHistogram.of(x)


@settings(derandomize=True, max_examples=30)
@given(st.lists(NUMBERS, max_size=60))
def test_a_histogram_survives_json(values: list) -> None:
    histogram = LogHistogram.of(values)
    assert LogHistogram.parse(json.loads(json.dumps(histogram.document()))) == histogram


def test_the_largest_and_smallest_floats_have_buckets() -> None:
    extreme = [5e-324, 2.3e-308, 1.7976931348623157e308, -1.7976931348623157e308]
    histogram = LogHistogram.of(extreme)
    assert histogram.quantile(1) == pytest.approx(extreme[2], rel=0.005)
    assert histogram.quantile(0) == pytest.approx(extreme[3], rel=0.005)
    assert LogHistogram.parse(histogram.document()) == histogram


def test_the_error_is_the_same_at_both_edges_of_a_bucket() -> None:
    low, high = 1.0, 1.01 * (1 - 1e-9)
    assert LogHistogram.of([low]).quantile(0.5) / low - 1 == pytest.approx(RELATIVE_ERROR)
    assert 1 - LogHistogram.of([high]).quantile(0.5) / high == pytest.approx(RELATIVE_ERROR)


def test_a_product_that_rounding_pushed_up_is_no_further_value() -> None:
    # 0.07 * 100 is 7.000000000000001.
    assert LogHistogram.of(np.arange(1, 101)).quantile(0.07) == pytest.approx(7, rel=0.005)


def test_cells_are_the_values_by_size_with_their_counts() -> None:
    values, counts = LogHistogram.of([-2, -2, 0, 3]).cells()
    assert values == pytest.approx([-2, 0, 3], rel=0.005)
    assert counts.tolist() == [2, 1, 1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(MomentsError):
        LogHistogram.of([1.0, value])


@pytest.mark.parametrize(
    "parts",
    [
        {"positive": ((3, 0),)},
        {"positive": ((3, 1), (3, 1))},
        {"negative": ((4, 1), (3, 1))},
        {"positive": ((3, 1.5),)},
        {"positive": ((True, 1),)},
        {"positive": ((10**6, 1),)},
        {"zeros": -1},
        {"zeros": True},
    ],
)
def test_impossible_counts_are_refused(parts: dict) -> None:
    with pytest.raises(MomentsError):
        LogHistogram(**parts)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "log-histogram/2"},
        {"zeros": "0"},
        {"zeros": 1.5},
        {"positive": "1,2"},
        {"positive": [1, 2]},
        {"negative": [[1, 2, 3]]},
        {"negative": [[1, -2]]},
        {"negative": None},
    ],
)
def test_a_document_that_is_no_histogram_is_refused(change: dict) -> None:
    with pytest.raises(MomentsError):
        LogHistogram.parse({**LogHistogram.of([1.0, 2.0]).document(), **change})


def test_nothing_has_no_quantile_and_a_quantile_is_a_share() -> None:
    with pytest.raises(MomentsError):
        LogHistogram().quantile(0.5)
    with pytest.raises(MomentsError):
        LogHistogram.of([1.0]).order_statistic(2)
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ParameterError):
            LogHistogram.of([1.0]).quantile(p)
    with pytest.raises(ParameterError):
        LogHistogram.of([1.0]).count_below(math.nan)
    with pytest.raises(TypeError):
        LogHistogram() + 1
