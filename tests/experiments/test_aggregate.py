"""Sums over raw events equal a plain reading of the rules, whatever the store went through."""

from __future__ import annotations

import math
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from experiments.measuring.aggregate import (
    Analysis,
    AnalysisQuery,
    MetricDefinition,
    analyse,
    open_relations,
)
from experiments.store.base import SECONDS_PER_DAY, Event
from experiments.store.embedded import EmbeddedStore

# Two minutes before midnight, so that short streams lie in two files.
START = 20_000.0 * SECONDS_PER_DAY - 120
ARMS = ("control", "new", "third")
METRICS = (
    MetricDefinition("converted", "conversion", "buy", 30.0),
    MetricDefinition("orders", "count", "buy", 60.0),
    MetricDefinition("revenue", "mean", "buy", 60.0),
    MetricDefinition("visits", "count", "view", 45.5),
    MetricDefinition(
        "value per view", "ratio", "buy", 60.0, numerator="value", denominator_event="view"
    ),
    MetricDefinition("buys per view", "ratio", "buy", 30.0, denominator_event="view"),
)


def query(**change: object) -> AnalysisQuery:
    values: dict[str, object] = {
        "environment_id": 1,
        "flag": "checkout",
        "rule": "exp-42",
        "arms": ARMS,
        "start": START,
        "look_at": START + 200,
        "enrol_until": START + 150,
        "metrics": METRICS,
    }
    return AnalysisQuery(**(values | change))  # type: ignore[arg-type]


def reference(events: list[Event], q: AnalysisQuery) -> Analysis:
    """Read the rules of ``experiments.measuring.aggregate`` aloud, one unit at a time."""
    kept: dict[bytes, Event] = {}
    for event in events:
        if event.environment_id == q.environment_id:
            kept.setdefault(event.id, event)
    in_time = [e for e in kept.values() if q.start <= e.time <= q.look_at]
    met: defaultdict[str, list[Event]] = defaultdict(list)
    for event in in_time:
        if event.flag == q.flag and q.rule in {None, event.rule}:
            met[event.unit].append(event)
    newest = [e.time for exposures in met.values() for e in exposures]
    quarantined = 0
    units: dict[str, tuple[str, float]] = {}
    times: defaultdict[str, list[float]] = defaultdict(list)
    for unit, exposures in met.items():
        variants = {str(e.variant) for e in exposures}
        first = min(e.time for e in exposures)
        if not variants & set(q.arms) or first > (q.enrol_until or math.inf):
            continue
        if len(variants) > 1:
            quarantined += 1
            continue
        (arm,) = variants
        units[unit] = (arm, first)
        times[arm] += [e.time for e in exposures]
    moments: dict[str, dict[str, tuple[float, ...]]] = {}
    for metric in q.metrics:
        if metric.kind == "ratio":
            moments[metric.key] = ratio_reference(metric, units, in_time, q, newest)
            continue
        values: defaultdict[str, list[float]] = defaultdict(list)
        for unit, (arm, first) in units.items():
            theirs = [
                e for e in in_time if e.unit == unit and e.name == metric.event and e.time >= first
            ]
            newest += [e.time for e in theirs]
            counted = [e for e in theirs if e.time < first + metric.window_seconds]
            if first + metric.window_seconds <= q.look_at:
                value = {
                    "conversion": float(bool(counted)),
                    "count": float(len(counted)),
                    "mean": math.fsum(e.value or 0.0 for e in counted),
                }[metric.kind]
                values[arm].append(value)
        moments[metric.key] = {
            arm: (
                float(len(values[arm])),
                math.fsum(values[arm]),
                math.fsum(y * y for y in values[arm]),
                math.fsum(y * y * y for y in values[arm]),
            )
            for arm in q.arms
        }
    return Analysis(
        counts={arm: sum(a == arm for a, _ in units.values()) for arm in q.arms},
        quarantined=quarantined,
        moments=moments,
        newest_event=max(newest, default=None),
        exposure_times={arm: (min(ts), max(ts)) for arm, ts in times.items()},
    )


def ratio_reference(
    metric: MetricDefinition,
    units: dict[str, tuple[str, float]],
    in_time: list[Event],
    q: AnalysisQuery,
    newest: list[float],
) -> dict[str, tuple[float, ...]]:
    """Read the rules for both halves of a ratio."""
    pairs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for unit, (arm, first) in units.items():
        halves = []
        for name, adds in (
            (metric.event, metric.numerator),
            (metric.denominator_event, metric.denominator),
        ):
            theirs = [e for e in in_time if (e.unit, e.name) == (unit, name) and e.time >= first]
            newest += [e.time for e in theirs]
            counted = [e for e in theirs if e.time < first + metric.window_seconds]
            worth = math.fsum(e.value or 0.0 for e in counted)
            halves.append(worth if adds == "value" else float(len(counted)))
        if first + metric.window_seconds <= q.look_at:
            pairs[arm].append((halves[0], halves[1]))
    return {
        arm: (
            float(len(pairs[arm])),
            *(math.fsum(m**k for m, _ in pairs[arm]) for k in (1, 2, 3)),
            *(math.fsum(d**k for _, d in pairs[arm]) for k in (1, 2, 3)),
            math.fsum(m * d for m, d in pairs[arm]),
            math.fsum(m * d * d for m, d in pairs[arm]),
            math.fsum(m * m * d for m, d in pairs[arm]),
        )
        for arm in q.arms
    }


def assert_same(found: Analysis, wanted: Analysis, metrics: tuple[MetricDefinition, ...]) -> None:
    assert found.counts == wanted.counts
    assert found.quarantined == wanted.quarantined
    assert found.newest_event == wanted.newest_event
    assert found.exposure_times == wanted.exposure_times
    for metric in metrics:
        for arm, sums in wanted.moments[metric.key].items():
            if metric.numerator == "value":
                for power, one, other in zip(
                    (0, 1, 2, 3, 0, 0, 0, 1, 1, 2),
                    found.moments[metric.key][arm],
                    sums,
                    strict=True,
                ):
                    rounding = 4e-14 * 1e4**power if power else 0.0
                    assert one == pytest.approx(other, rel=1e-12, abs=rounding)
            elif metric.kind == "mean":
                # Values lie within 1e4, and what cancels in a sum has lost a few last digits.
                for power, (one, other) in enumerate(
                    zip(found.moments[metric.key][arm], sums, strict=True)
                ):
                    assert one == pytest.approx(other, rel=1e-12, abs=4e-15 * 1e4**power)
            else:
                assert found.moments[metric.key][arm] == sums


# Half seconds within a few minutes: windows, looks and exposures meet exactly at times.
_times = st.integers(-20, 480).map(lambda k: START + k / 2)
_units = st.sampled_from(["u1", "u2", "u3", "u4", "u5", "ü'6"])
_exposures = st.builds(
    lambda key, environment, time, unit, flag, variant, rule: Event(
        key, environment, time, unit, flag, variant, rule, 3
    ),
    st.uuids().map(lambda u: u.bytes),
    st.sampled_from([1, 1, 1, 1, 2]),
    _times,
    _units,
    st.sampled_from(["checkout", "checkout", "checkout", "other"]),
    st.sampled_from([*ARMS, "control", "new", "elsewhere"]),
    st.sampled_from(["exp-42", "exp-42", "exp-42", "exp-41", None]),
)
_tracks = st.builds(
    lambda key, environment, time, unit, name, value: Event(
        key, environment, time, unit, name=name, value=value
    ),
    st.uuids().map(lambda u: u.bytes),
    st.sampled_from([1, 1, 1, 1, 2]),
    _times,
    _units,
    st.sampled_from(["buy", "buy", "view", "noise"]),
    st.none() | st.floats(-1e4, 1e4),
)
_batches = st.lists(_exposures | _tracks, min_size=1, max_size=12)
_steps = st.one_of(
    _batches,
    _batches,
    st.integers(0, 20),  # send an old batch again
    st.sampled_from(["drain", "compact", "reopen"]),
)


# To explain a failure takes longer than a test may; to shrink it does not.
@settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
@given(
    st.lists(_steps, min_size=1, max_size=14),
    st.sampled_from([None, 40.0, 150.0]),
    st.sampled_from(["exp-42", "exp-42", None]),
)
def test_the_analysis_equals_a_plain_reading_whatever_happened_to_the_store(
    steps: list[list[Event] | int | str], enrol_seconds: float | None, rule: str | None
) -> None:
    q = query(rule=rule, enrol_until=None if enrol_seconds is None else START + enrol_seconds)
    sent: list[list[Event]] = []
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(folder)
        for step in steps:
            if step == "drain":
                store.drain(START)
            elif step == "compact":
                store.compact()
            elif step == "reopen":
                store.close()
                store = EmbeddedStore(folder)
            elif isinstance(step, int):
                if sent:
                    # Out of order, and with each event twice.
                    again = sent[step % len(sent)]
                    assert store.append([*again[::-1], *again]).accepted == 0
            elif isinstance(step, list):
                store.append(step)
                sent.append(step)
        wanted = reference([event for batch in sent for event in batch], q)
        assert_same(analyse(store, q), wanted, q.metrics)
        store.close()


def _key() -> bytes:
    return uuid.uuid4().bytes


def met(unit: str, variant: str, at: float, **change: object) -> Event:
    event = Event(_key(), 1, START + at, unit, "checkout", variant, "exp-42", 3)
    return event._replace(**change)  # type: ignore[arg-type]


def did(unit: str, name: str, at: float, value: float | None = None) -> Event:
    return Event(_key(), 1, START + at, unit, name=name, value=value)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    opened = EmbeddedStore(tmp_path)
    yield opened
    opened.close()


def converted(store: EmbeddedStore, **change: object) -> tuple[float, float]:
    n, s1, _, _ = analyse(store, query(**change)).moments["converted"]["new"]
    return n, s1


@pytest.mark.parametrize(
    ("at", "counts"),
    [(9.5, 0.0), (10.0, 1.0), (39.5, 1.0), (40.0, 0.0), (39.999999, 1.0)],
)
def test_an_outcome_counts_from_the_exposure_to_just_before_the_end_of_its_window(
    store: EmbeddedStore, at: float, counts: float
) -> None:
    store.append([met("u", "new", 10), did("u", "buy", at)])
    assert converted(store) == (1.0, counts)


def test_a_unit_counts_for_a_metric_once_its_whole_window_has_passed(
    store: EmbeddedStore,
) -> None:
    store.append([met("u", "new", 10), did("u", "buy", 11)])
    assert converted(store, look_at=START + 39.5) == (0.0, 0.0)
    assert analyse(store, query(look_at=START + 39.5)).counts["new"] == 1
    assert converted(store, look_at=START + 40) == (1.0, 1.0)


def test_the_first_exposure_opens_the_window_even_if_it_arrives_last(
    store: EmbeddedStore,
) -> None:
    store.append([met("u", "new", 50), did("u", "buy", 45)])
    assert converted(store) == (1.0, 0.0)
    store.drain(START)
    store.append([met("u", "new", 20)])
    assert converted(store) == (1.0, 1.0)


@pytest.mark.parametrize("second", ["control", "elsewhere"])
def test_a_unit_that_met_two_variants_is_counted_apart_and_nowhere_else(
    store: EmbeddedStore, second: str
) -> None:
    store.append([met("both", "new", 10), met("both", second, 190), did("both", "buy", 12)])
    store.append([met("good", "new", 10)])
    found = analyse(store, query())
    assert (found.quarantined, found.counts["new"], found.counts["control"]) == (1, 1, 0)
    assert converted(store) == (1.0, 0.0)
    # Before it met the other one, nothing was wrong with it.
    assert analyse(store, query(look_at=START + 189)).quarantined == 0


@pytest.mark.parametrize(
    "other", [{"flag": "other"}, {"rule": "exp-41"}, {"rule": None}, {"environment_id": 2}]
)
def test_variants_of_other_flags_rules_and_environments_quarantine_nobody(
    store: EmbeddedStore, other: dict[str, object]
) -> None:
    store.append([met("u", "new", 10), met("u", "control", 20, **other)])
    found = analyse(store, query())
    assert (found.quarantined, found.counts["new"]) == (0, 1)


def test_units_that_enter_after_the_enrolment_are_left_out(store: EmbeddedStore) -> None:
    store.append([met("in", "new", 150), met("in", "new", 160), met("late", "new", 150.5)])
    found = analyse(store, query())
    assert found.counts["new"] == 1
    assert found.exposure_times == {"new": (START + 150, START + 160)}
    assert analyse(store, query(enrol_until=None)).counts["new"] == 2


def test_an_experiment_without_events_gives_zeros(store: EmbeddedStore) -> None:
    zeros = Analysis(
        counts=dict.fromkeys(ARMS, 0),
        quarantined=0,
        moments={
            m.key: dict.fromkeys(ARMS, (0.0,) * (10 if m.kind == "ratio" else 4)) for m in METRICS
        },
        newest_event=None,
        exposure_times={},
    )
    assert analyse(store, query()) == zeros
    store.append([met("u", "elsewhere", 10)])
    found = analyse(store, query())
    assert found.counts == zeros.counts
    assert found.newest_event == START + 10


def test_a_query_without_metrics_still_counts_units(store: EmbeddedStore) -> None:
    store.append([met("u", "new", 10)])
    found = analyse(store, query(metrics=()))
    assert (found.counts["new"], found.moments) == (1, {})


def test_names_from_users_are_values_never_sql(store: EmbeddedStore) -> None:
    nasty = "x'; DROP TABLE units; --$look_at {}"
    metric = MetricDefinition(nasty, "count", nasty, 30.0)
    store.append([met(nasty, nasty, 10, flag=nasty, rule=nasty), did(nasty, nasty, 11)])
    q = query(flag=nasty, rule=nasty, arms=(nasty, "b"), metrics=(metric,))
    assert analyse(store, q).moments == {
        nasty: {nasty: (1.0, 1.0, 1.0, 1.0), "b": (0.0, 0.0, 0.0, 0.0)}
    }


def test_sums_of_large_values_lose_no_digits_to_the_order_of_adding(tmp_path: Path) -> None:
    """A thousand units near 1e6 and 1 cent apart: the variance is what is left of two big sums."""
    values = [1e6 + k / 100 for k in range(1000)]
    units = [f"u{k}" for k in range(1000)]
    exposures = pa.table({"unit": units, "variant": ["new"] * 1000, "time": [START] * 1000})
    tracks = pa.table(
        {"unit": units, "name": ["buy"] * 1000, "value": values, "time": [START + 1] * 1000}
    )
    with open_relations(exposures, tracks, flag="f", rule=None) as connection:
        q = query(environment_id=0, flag="f", rule=None)
        found = analyse(connection, q).moments["revenue"]["new"]
    exact = (1000.0, *(math.fsum(v**k for v in values) for k in (1, 2, 3)))
    assert found == pytest.approx(exact, rel=3e-16)


def test_tables_from_elsewhere_give_the_same_sums_as_the_store(store: EmbeddedStore) -> None:
    events = [
        *(met(f"u{n}", ARMS[n % 2], n % 7) for n in range(50)),
        *(did(f"u{n * 3 % 50}", "buy", n, n / 4) for n in range(90)),
    ]
    store.append(events)
    exposures, tracks = [e for e in events if e.flag], [e for e in events if e.name]
    with open_relations(
        pa.table({k: [getattr(e, k) for e in exposures] for k in ("unit", "variant", "time")}),
        pa.table({k: [getattr(e, k) for e in tracks] for k in ("unit", "name", "value", "time")}),
        environment_id=1,
        flag="checkout",
        rule="exp-42",
    ) as connection:
        assert_same(analyse(connection, query()), analyse(store, query()), METRICS)


def test_of_a_connection_that_holds_more_only_the_environment_asked_for_is_read() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE exposures AS SELECT * FROM (VALUES (1, 'u'), (1, 'v'), (2, 'w')) "
            f"AS t(environment_id, unit), (SELECT 'checkout' AS flag, 'exp-42' AS rule, "
            f"'new' AS variant, {START} AS time)"
        )
        connection.execute(
            f"CREATE TABLE tracks AS SELECT * FROM (VALUES (1, 'u'), (2, 'v'), (2, 'w')) "
            f"AS t(environment_id, unit), (SELECT 'buy' AS name, 1.0 AS value, {START} AS time)"
        )
        found = analyse(connection, query())
    assert found.counts["new"] == 2
    assert found.moments["converted"]["new"] == (2.0, 1.0, 1.0, 1.0)


def test_a_unit_that_enters_too_late_is_not_quarantined_either(store: EmbeddedStore) -> None:
    store.append([met("late", "new", 151), met("late", "control", 152)])
    assert analyse(store, query()).quarantined == 0
    assert analyse(store, query(enrol_until=START + 151)).quarantined == 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "quantile"},
        {"kind": "ratio"},
        {"denominator_event": "d"},
        {"window_seconds": 0.0},
        {"window_seconds": math.inf},
        {"window_seconds": math.nan},
        {"binary": False},
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    values: dict[str, object] = {"key": "k", "kind": "conversion", "event": "e"}
    with pytest.raises(ValueError, match=r"metric|window|denominator"):
        MetricDefinition(**({"window_seconds": 1.0} | values | change))  # type: ignore[arg-type]


def test_an_arm_or_metric_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="arms"):
        query(arms=("a", "a"))
    with pytest.raises(ValueError, match="metrics"):
        query(metrics=(METRICS[0], METRICS[0]))


def test_a_conversion_is_binary_and_nothing_else_is() -> None:
    assert [metric.binary for metric in METRICS] == [True, *[False] * (len(METRICS) - 1)]
