"""Every engine gives the sums of the embedded store; all tests that need Spark are in this file."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.analysis.days import analyse_days, day_query
from experiments.analysis.segments import analyse_segments
from experiments.errors import SourceError
from experiments.measuring.aggregate import Analysis, analyse, by_day, by_segment
from experiments.measuring.check import check_source
from experiments.sources.connect import opened
from experiments.sources.reading import analyse_source, read_source
from experiments.store.embedded import EmbeddedStore
from tests.experiments.sources.conftest import (
    ENGINES,
    METRICS,
    SAID,
    START,
    TRACKS,
    query,
    source,
)

pytestmark = pytest.mark.parametrize("engine", ENGINES)
FROM_SQL = {
    "revenue": "select who as unit, moment as time, amount as value from done where what = 'buy'",
    "value per view": (
        "select who as unit, moment as time, amount as value, what as name from done "
        "where what in ('buy', 'view')"
    ),
    "converted": (
        "-- no value needed\nselect who as unit, moment as time from done where what = 'buy'"
    ),
}


@pytest.fixture(scope="session")
def expected(store: EmbeddedStore) -> Analysis:
    return analyse(store, query())


def assert_same(found: Analysis, expected: Analysis) -> None:
    assert found.counts == expected.counts
    assert found.quarantined == expected.quarantined
    assert found.newest_event == expected.newest_event
    assert found.exposure_times == expected.exposure_times
    assert found.bots == expected.bots
    for key, arms in expected.moments.items():
        for arm, sums in arms.items():
            assert found.moments[key][arm] == pytest.approx(sums, rel=1e-9, abs=0), (key, arm)


def test_the_experiment_is_not_trivial(engine: str, expected: Analysis) -> None:
    assert expected.quarantined > 3
    assert min(expected.counts.values()) > 30
    for metric in METRICS:
        for arm, sums in expected.moments[metric.key].items():
            assert sums[0] > 10, (metric.key, arm)
            assert sum(sums[1:]) != 0, (metric.key, arm)


def test_an_engine_gives_the_sums_of_the_embedded_store(
    engine: str, address: dict[str, str], store: EmbeddedStore, expected: Analysis
) -> None:
    assert_same(analyse_source(source(engine), query(), {}, store, address), expected)


def test_metrics_with_sql_of_their_own_give_the_same_sums(
    engine: str, address: dict[str, str], store: EmbeddedStore, expected: Analysis
) -> None:
    assert_same(analyse_source(source(engine), query(), FROM_SQL, store, address), expected)


def test_our_exposures_beside_outcomes_of_an_engine_give_the_same_sums(
    engine: str, address: dict[str, str], store: EmbeddedStore, expected: Analysis
) -> None:
    outcomes_only = source(engine, exposures=None)
    assert_same(analyse_source(outcomes_only, query(), FROM_SQL, store, address), expected)


def test_every_type_of_time_means_the_same_instant(engine: str, address: dict[str, str]) -> None:
    midnight = "timestamp '2026-01-02 00:00:00'"
    zoned = {
        "duckdb": "timestamptz '2026-01-02 05:30:00+05:30'",
        "parquet": "timestamptz '2026-01-02 05:30:00+05:30'",
        "postgresql": "timestamptz '2026-01-02 05:30:00+05:30'",
        "spark": "to_timestamp('2026-01-02T05:30:00+05:30')",
    }[engine]
    # A timestamp without a zone is another type in Spark.
    naive = "timestamp_ntz '2026-01-02 00:00:00'" if engine == "spark" else midnight
    double = "double precision" if engine == "postgresql" else "double"
    for written in (
        zoned,
        naive,
        "date '2026-01-02'",
        "1767312000",
        "cast(1767312000 as decimal(18, 3))",
        f"cast(1767312000 as {double})",
    ):
        sql = f"select 'u' as unit, 'control' as variant, {written} as time"
        given = source(engine, exposures={"sql": sql}, tracks=None)
        report = check_source(given, now=1767312000.0, environment=address)
        assert report.exposures is not None
        assert report.exposures.newest == 1767312000.0, written


def test_fractions_of_a_second_are_kept(engine: str, address: dict[str, str]) -> None:
    report = check_source(source(engine), now=START + 200, environment=address)
    assert report.exposures is not None
    assert report.exposures.newest is not None
    assert report.exposures.newest % 1 > 0
    assert report.warnings == ()
    assert report.shared_units is not None
    assert 300 < report.shared_units <= report.exposures.units == 400


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"table": "sehen", "sql": None}, "tracks.table", "seen"),
        ({"time": "when"}, "tracks.time", "amount"),
        ({"time": "what"}, "tracks.time", "timestamp"),
        ({"value": "what"}, "tracks.value", "a number"),
        ({"table": None, "sql": "select nothing from done"}, "tracks.sql", None),
        ({"table": None, "sql": "select 1; select 2"}, "tracks.sql", "one SELECT"),
        ({"table": None, "sql": "with x as (select (1) select"}, "tracks.sql", None),
    ],
)
def test_a_source_that_lacks_something_says_where(
    engine: str, address: dict[str, str], change: dict[str, Any], field: str, said: str | None
) -> None:
    tracks = {k: v for k, v in (TRACKS | change).items() if v is not None}
    with pytest.raises(SourceError) as caught:
        check_source(source(engine, tracks=tracks), now=START, environment=address)
    assert caught.value.field == field
    assert caught.value.hint
    if said:
        assert said in caught.value.hint


def test_sql_of_a_plan_cannot_write_or_leave_the_engine(
    engine: str, address: dict[str, str]
) -> None:
    with opened(source(engine), address) as backend:
        writes = "create table stolen as select 1 as x"
        reads_a_file = "select * from read_csv('/etc/passwd')"
        if engine == "spark":
            reads_a_file = "select * from csv.`/etc/passwd`"
        if engine != "spark":
            with pytest.raises(Exception, match=r"(?i)read.only|disabled|cannot"):
                backend.raw_sql(writes if engine != "parquet" else "copy seen to '/tmp/x.csv'")
        if engine != "postgresql":
            with pytest.raises(Exception, match=r"(?i)disabled|permission|NOT_FOUND"):
                backend.raw_sql(reads_a_file)


@pytest.mark.parametrize("exposures", ["there", "ours"])
def test_an_engine_gives_the_segments_and_the_days_of_the_embedded_store(
    engine: str, exposures: str, address: dict[str, str], store: EmbeddedStore
) -> None:
    place = source(engine) if exposures == "there" else source(engine, exposures=None)
    asked = query(metrics=METRICS[:4])
    found = read_source(
        place,
        asked,
        {},
        store,
        lambda seen, done, own: analyse_segments(seen, done, asked, SAID, metric_tables=own),
        attributes=SAID,
        environment=address,
    )
    expected = by_segment(store, asked, SAID)
    assert [(s.attribute, s.what, s.value) for s in found] == [
        (s.attribute, s.what, s.value) for s in expected
    ]
    assert len(found) == 6
    for one, other in zip(found, expected, strict=True):
        assert one.counts == other.counts
        for key, arms in other.moments.items():
            for arm, sums in arms.items():
                assert one.moments[key][arm] == pytest.approx(sums, rel=1e-9), (key, arm)
    days = day_query(asked, ("converted", "orders", "revenue"), 20.0)
    told = read_source(
        place,
        days,
        {},
        store,
        lambda seen, done, own: analyse_days(seen, done, days, 20.0, metric_tables=own),
        environment=address,
    )
    ours = by_day(store, days, 20.0)
    assert len(ours) >= 8
    assert told.keys() == ours.keys()
    for day, metrics in ours.items():
        for key, arms in metrics.items():
            assert told[day][key].keys() == arms.keys()
            for arm, sums in arms.items():
                assert told[day][key][arm] == pytest.approx(sums, rel=1e-9), (day, key, arm)


def test_an_attribute_that_a_source_does_not_name_is_asked_for(
    engine: str, address: dict[str, str], store: EmbeddedStore
) -> None:
    with pytest.raises(SourceError) as caught:
        read_source(
            source(engine), query(), {}, store, len, attributes=("plan",), environment=address
        )
    assert caught.value.field == "exposures.attributes.plan"
