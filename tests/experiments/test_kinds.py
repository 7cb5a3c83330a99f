"""Every kind of metric equals a plain reading of its rule, in any order of the events."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from experiments.analysis.definitions import sums_names
from experiments.measuring.aggregate import (
    Analysis,
    AnalysisQuery,
    MetricDefinition,
    analyse_tables,
)

START = 1_000_000.0
ARMS = ("control", "new")
DAY = 86_400.0


class Exposed(NamedTuple):
    unit: str
    variant: str
    time: float


class Tracked(NamedTuple):
    unit: str
    name: str
    value: float | None
    time: float


METRICS = (
    MetricDefinition("came back", "retention", "view", 60.0, from_seconds=20.0),
    MetricDefinition("two steps", "funnel", "buy", 60.0, steps=("view", "buy")),
    MetricDefinition("three steps", "funnel", "buy", 60.0, steps=("view", "cart", "buy")),
    MetricDefinition("largest", "mean", "buy", 60.0, aggregation="max"),
    MetricDefinition("capped", "mean", "buy", 60.0, cap=5.0),
    MetricDefinition("capped views", "count", "view", 60.0, cap=1.5),
    MetricDefinition("slow", "quantile", "buy", 60.0, threshold=2.0),
    MetricDefinition("heavy", "quantile", "buy", 60.0, threshold=-1.0, of_units=True),
    MetricDefinition(
        "peak", "quantile", "buy", 60.0, threshold=4.0, of_units=True, aggregation="max"
    ),
    MetricDefinition("bought, adjusted", "conversion", "buy", 60.0, covariate_seconds=30.0),
    MetricDefinition("revenue, adjusted", "mean", "buy", 60.0, cap=6.0, covariate_seconds=50.0),
    MetricDefinition(
        "back, adjusted", "retention", "view", 60.0, from_seconds=20.0, covariate_seconds=30.0
    ),
    MetricDefinition(
        "ratio, adjusted",
        "ratio",
        "buy",
        60.0,
        numerator="value",
        denominator_event="view",
        cap=4.0,
        covariate_seconds=40.0,
    ),
)


def query(**change: object) -> AnalysisQuery:
    values: dict[str, object] = {
        "environment_id": 1,
        "flag": "f",
        "rule": None,
        "arms": ARMS,
        "start": START,
        "look_at": START + 150,
        "enrol_until": None,
        "metrics": METRICS,
    }
    return AnalysisQuery(**(values | change))  # type: ignore[arg-type]


def run(
    exposures: Sequence[Exposed],
    tracks: Sequence[Tracked],
    q: AnalysisQuery,
    metric_tables: dict[str, pa.Table] | None = None,
) -> Analysis:
    with duckdb.connect() as connection:
        engine = ibis.duckdb.from_connection(connection)

        def stored(name: str, data: pa.Table) -> ibis.Table:
            connection.register(f"given_{name}", data)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given_{name}")
            return engine.table(name)

        def table(relation: str, rows: Sequence[NamedTuple], **types: pa.DataType) -> ibis.Table:
            columns = {k: [getattr(row, k) for row in rows] for k in types}
            return stored(relation, pa.table(columns, schema=pa.schema(list(types.items()))))

        time = pa.float64()
        return analyse_tables(
            table("e", exposures, unit=pa.string(), variant=pa.string(), time=time),
            table("t", tracks, unit=pa.string(), name=pa.string(), value=time, time=time),
            q,
            metric_tables={
                key: stored(f"own{k}", data)
                for k, (key, data) in enumerate((metric_tables or {}).items())
            },
        )


def halves(  # noqa: C901
    metric: MetricDefinition, theirs: list[Tracked], entered: float
) -> list[float]:
    """Read a metric's rule aloud for one unit: its value or two, then those of the time before."""

    def between(name: str, low: float, high: float) -> list[Tracked]:
        return [e for e in theirs if e.name == name and entered + low <= e.time < entered + high]

    def adds(events: list[Tracked], how: str) -> float:
        values = [e.value for e in events if e.value is not None]
        if how == "any":
            return float(bool(events))
        if how == "max":
            return max(values, default=0.0)
        return float(len(events)) if how == "count" else math.fsum(values)

    window, low = metric.window_seconds, metric.from_seconds
    if metric.kind == "funnel":
        since: float | None = entered
        for step in metric.steps:
            times = [e.time for e in between(step, 0.0, window) if since and e.time >= since]
            since = min(times, default=None)
        return [float(since is not None)]
    now = between(metric.event, low, window)
    if metric.kind == "quantile":
        assert metric.threshold is not None
        if metric.of_units:
            return [float(adds(now, metric.aggregation) > metric.threshold)]
        valued = [e.value for e in now if e.value is not None]
        return [float(sum(v > metric.threshold for v in valued)), float(len(valued))]
    how = {"conversion": "any", "retention": "any", "count": "count"}.get(metric.kind, "sum")
    how = metric.aggregation if metric.kind == "mean" else how
    sides = [(metric.event, how)]
    if metric.denominator_event is not None:
        names = {"count": "count", "value": "sum"}
        sides = [
            (metric.event, names[metric.numerator]),
            (metric.denominator_event, names[metric.denominator]),
        ]
    spans = [(low, window)]
    if metric.covariate_seconds is not None:
        spans.append((-metric.covariate_seconds, 0.0))
    found = []
    for span in spans:
        for place, (event, adding) in enumerate(sides):
            y = adds(between(event, *span), adding)
            found.append(min(y, metric.cap) if metric.cap is not None and place == 0 else y)
    return found


def sums(metric: MetricDefinition, rows: list[list[float]]) -> tuple[float, ...]:
    def total(*places: int) -> float:
        return math.fsum(math.prod(row[p] for p in places) for row in rows)

    powers = [total(0), total(0, 0), total(0, 0, 0)]
    width = len(rows[0]) if rows else 0
    if width == 4:
        pairs = [(i, j) for i in range(4) for j in range(i, 4)]
        powers = [*(total(k) for k in range(4)), *(total(*pair) for pair in pairs)]
    elif width == 2:
        powers += [total(1), total(1, 1), total(1, 1, 1)]
        powers += [total(0, 1), total(0, 1, 1), total(0, 0, 1)]
    if not rows:
        powers = [0.0] * (len(sums_names(metric)) - 1)
    return (float(len(rows)), *powers)


def oracle(
    exposures: Sequence[Exposed], tracks: Sequence[Tracked], q: AnalysisQuery
) -> dict[str, dict[str, tuple[float, ...]]]:
    met: defaultdict[str, list[Exposed]] = defaultdict(list)
    for exposure in exposures:
        if q.start <= exposure.time <= q.look_at:
            met[exposure.unit].append(exposure)
    rows: dict[str, dict[str, list[list[float]]]] = {
        m.key: {a: [] for a in ARMS} for m in q.metrics
    }
    for unit, theirs in met.items():
        entered = min(e.time for e in theirs)
        if len({e.variant for e in theirs}) > 1:
            continue
        events = [t for t in tracks if t.unit == unit and t.time <= q.look_at]
        for metric in q.metrics:
            if entered + metric.window_seconds <= q.look_at:
                rows[metric.key][theirs[0].variant].append(halves(metric, events, entered))
    return {m.key: {a: sums(m, rows[m.key][a]) for a in ARMS} for m in q.metrics}


_unit = st.sampled_from(["a", "b", "c", "d", "e"])
_exposures = st.builds(
    Exposed,
    _unit,
    st.sampled_from(["control", "new", "new"]),
    st.integers(-5, 60).map(lambda k: START + 2 * k),
)
_tracks = st.builds(
    Tracked,
    _unit,
    st.sampled_from(["view", "cart", "buy", "buy", "noise"]),
    st.none() | st.integers(-8, 40).map(lambda k: k / 4),
    st.integers(-30, 90).map(lambda k: START + 2 * k),
)


@settings(max_examples=20, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    st.lists(_exposures, max_size=8),
    st.lists(_tracks, max_size=40),
    st.randoms(use_true_random=False),
)
def test_every_kind_equals_a_plain_reading_in_any_order_of_the_events(
    exposures: list[Exposed], tracks: list[Tracked], random: object
) -> None:
    wanted = oracle(exposures, tracks, query())
    random.shuffle(exposures)  # type: ignore[attr-defined]
    random.shuffle(tracks)  # type: ignore[attr-defined]
    found = run(exposures, tracks, query())
    for metric in METRICS:
        for arm in ARMS:
            assert found.moments[metric.key][arm] == pytest.approx(
                wanted[metric.key][arm], rel=1e-12, abs=1e-9
            ), (metric.key, arm)


def at(unit: str, name: str, after: float, value: float | None = None) -> Tracked:
    return Tracked(unit, name, value, START + after)


def one(metric: MetricDefinition, *tracks: Tracked) -> tuple[float, ...]:
    found = run([Exposed("u", "new", START + 50)], tracks, query(metrics=(metric,)))
    return found.moments[metric.key]["new"]


FUNNEL = MetricDefinition("f", "funnel", "buy", 60.0, steps=("view", "cart", "buy"))


@pytest.mark.parametrize(
    ("times", "reached"),
    [
        ({"view": 51, "cart": 52, "buy": 53}, 1),
        ({"view": 53, "cart": 52, "buy": 51}, 0),
        ({"view": 51, "buy": 52, "cart": 53}, 0),
        ({"view": 51, "cart": 51, "buy": 51}, 1),
        ({"view": 49, "cart": 52, "buy": 53}, 0),
        ({"view": 51, "cart": 52, "buy": 110}, 0),
        ({"view": 51, "buy": 53}, 0),
    ],
)
def test_a_funnel_is_reached_by_its_steps_in_order_within_the_window(
    times: dict[str, float], reached: int
) -> None:
    assert one(FUNNEL, *(at("u", name, t) for name, t in times.items()))[:2] == (1, reached)


@pytest.mark.parametrize(("after", "counts"), [(69.5, 0), (70, 1), (109.5, 1), (110, 0)])
def test_retention_counts_from_its_beginning_to_just_before_the_end(
    after: float, counts: int
) -> None:
    back = MetricDefinition("r", "retention", "view", 60.0, from_seconds=20.0)
    assert one(back, at("u", "view", after))[:2] == (1, counts)


def test_a_cap_never_turns_a_unit_without_events_into_one_at_the_cap() -> None:
    capped = MetricDefinition("c", "mean", "buy", 60.0, cap=5.0)
    assert one(capped) == one(capped, at("u", "view", 51)) == (1, 0, 0, 0)
    assert one(capped, at("u", "buy", 51, 7.0)) == (1, 5, 25, 125)


def test_a_conversion_is_the_retention_from_the_first_moment_on() -> None:
    tracks = [at("u", "buy", 50 + k) for k in (0, 59)]
    whole = MetricDefinition("c", "conversion", "buy", 60.0)
    later = MetricDefinition("r", "retention", "buy", 60.0, from_seconds=1e-9)
    assert one(whole, tracks[1]) == one(later, tracks[1])
    assert one(whole, tracks[0])[1] > one(later, tracks[0])[1]


def test_a_table_of_the_metric_s_own_gives_what_its_events_give() -> None:
    exposures = [Exposed(f"u{k}", ARMS[k % 2], START + k) for k in range(20)]
    # Quarters add up to the same number in every order, and threads add in any.
    tracks = [at(f"u{7 * k % 20}", "buy", 3 * k - 20, k / 4) for k in range(50)]
    tracks += [at(f"u{3 * k % 20}", "view", 3 * k - 20, k / 4) for k in range(50)]
    metrics = tuple(m for m in METRICS if len(set(m.events)) == 1)
    wanted = run(exposures, tracks, query(metrics=metrics)).moments
    for metric in metrics:
        own = [t for t in tracks if t.name == metric.event]
        data = pa.table({k: [getattr(t, k) for t in own] for k in ("unit", "time", "value")})
        found = run(exposures, [], query(metrics=(metric,)), {metric.key: data})
        assert found.moments[metric.key] == wanted[metric.key]
    # With names, one table can hold both halves of a ratio.
    ratio = METRICS[-1]
    both = pa.table({k: [getattr(t, k) for t in tracks] for k in Tracked._fields})
    q = query(metrics=(ratio,))
    assert run(exposures, [], q, {ratio.key: both}).moments == run(exposures, tracks, q).moments
    with pytest.raises(ValueError, match="column name"):
        run(exposures, [], q, {ratio.key: both.drop_columns(["name"])})
    with pytest.raises(ValueError, match="unknown"):
        run(exposures, [], q, {"nothing": both})


def test_units_that_act_too_often_for_people_are_left_out_of_every_arm_and_counted() -> None:
    exposures = [Exposed(unit, ARMS[unit > "b"], START) for unit in "abcd"]
    busy = [at(unit, "view", k / 10) for unit in "ac" for k in range(120)]
    calm = [at(unit, "view", 5) for unit in "bd"]
    q = query(metrics=(MetricDefinition("v", "count", "view", 60.0),), most_events_per_day=100)
    found = run(exposures, busy + calm, q)
    assert found.bots == {"control": 1, "new": 1}
    assert found.counts == {"control": 1, "new": 1}
    assert found.moments["v"] == dict.fromkeys(ARMS, (1, 1, 1, 1))
    assert run(exposures, busy + calm, replace(q, most_events_per_day=121)).bots == {}
    # The same number over two days is not too much for a person; the exposures count too.
    slow = [at(unit, "view", k * 1500.0) for unit in "ac" for k in range(120)]
    late = replace(q, look_at=START + 3 * DAY)
    assert run(exposures, slow, late).bots == {}
    again = [Exposed("a", "control", START + k / 10) for k in range(120)]
    assert run([*exposures, *again], [], q).bots == {"control": 1}


def test_events_dated_after_the_look_never_count() -> None:
    exposures = [Exposed("u", "new", START), Exposed("u", "control", START + 151)]
    tracks = [at("u", "buy", 151, 1.0), at("u", "buy", 10, 2.0)]
    metric = MetricDefinition("m", "mean", "buy", 200.0)
    q = query(metrics=(replace(metric, window_seconds=100.0),))
    found = run(exposures, tracks, q)
    assert found.moments["m"]["new"] == (1, 2, 4, 8)
    assert (found.quarantined, found.newest_event) == (0, START + 10)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "retention", "from_seconds": 60.0},
        {"from_seconds": 1.0},
        {"kind": "funnel"},
        {"kind": "funnel", "steps": ("e",)},
        {"kind": "funnel", "steps": ("e", "e")},
        {"kind": "funnel", "steps": ("e", "d")},
        {"steps": ("d", "e")},
        {"kind": "quantile"},
        {"threshold": 1.0},
        {"of_units": True},
        {"aggregation": "max"},
        {"cap": 1.0},
        {"kind": "mean", "cap": 0.0},
        {"kind": "mean", "covariate_seconds": 0.0},
        {"kind": "quantile", "threshold": 1.0, "covariate_seconds": 1.0},
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    values = {"key": "k", "kind": "conversion", "event": "e", "window_seconds": 60.0} | change
    with pytest.raises(ValueError, match="the metric 'k'"):
        MetricDefinition(**values)  # type: ignore[arg-type]
