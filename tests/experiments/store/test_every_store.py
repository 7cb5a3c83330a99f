"""What every event store promises, on each of them: nothing lost, nothing twice, one moment."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from experiments.measuring.aggregate import AnalysisQuery, MetricDefinition, analyse
from experiments.store.base import (
    SECONDS_PER_DAY,
    AppendResult,
    Event,
    EventError,
    whole_microseconds,
)
from experiments.store.embedded import EmbeddedStore
from experiments.store.opening import open_store
from experiments.store.postgresql import PostgresStore
from experiments.store.promises import EventStore
from experiments.store.quality import QualityHour
from experiments.store.recent import RecentEvents, Which

DAY = SECONDS_PER_DAY
NOW = 20_000.5 * DAY  # noon of some day


REST = ("variant", "rule", "revision", "value")


def exposure(number: int, *, time: float = NOW, environment_id: int = 1) -> Event:
    key = uuid.UUID(int=number).bytes
    return Event(key, environment_id, time, f"u{number}", "checkout", "new", "exp-42", 17)


def track(number: int, *, time: float = NOW, value: float | None = 2.5) -> Event:
    return Event(uuid.UUID(int=number).bytes, 1, time, f"u{number}", name="buy", value=value)


def seen_by(store: EventStore, environment_id: int = 1) -> Counter[tuple[object, ...]]:
    with store.tables(environment_id) as (exposures, tracks):
        return Counter(
            (row["unit"], row.get("flag", row.get("name")), *map(row.get, REST), row["time"])
            for table in (exposures, tracks)
            for row in table.to_pyarrow().to_pylist()
        )


def units_of(store: EventStore) -> Counter[object]:
    counts: Counter[object] = Counter()
    for row, events in seen_by(store).items():
        counts[row[0]] += events
    return counts


@pytest.mark.parametrize(
    ("since", "until"),
    [
        pytest.param(20_000 * DAY, 20_001 * DAY - 1e-6, id="one whole day"),
        pytest.param(20_000 * DAY, 20_000 * DAY, id="the first instant of a day"),
        pytest.param(20_001 * DAY - 1e-6, 20_001 * DAY, id="over midnight"),
        pytest.param(NOW, NOW + 2 * DAY, id="from noon to noon"),
    ],
)
def test_the_first_and_the_last_instant_of_a_question_are_read(
    any_store: EventStore, since: float, until: float
) -> None:
    within = [exposure(1, time=since), exposure(2, time=until), track(3, time=since)]
    within.append(track(4, time=until))
    outside = [exposure(5, time=since - DAY), track(6, time=until + DAY)]
    any_store.append(within + outside)
    wanted = Counter({"u1": 1, "u2": 1, "u3": 1, "u4": 1})
    for _ in range(2):
        with any_store.tables(1, since=since, until=until) as tables:
            found = Counter(
                row["unit"]
                for table in tables
                for row in table.to_pyarrow().to_pylist()
                if since <= row["time"] <= until
            )
        assert found == wanted
        any_store.drain(NOW + 4 * DAY)


def test_events_come_back_as_they_went_in_waiting_and_drained(any_store: EventStore) -> None:
    rng = random.Random(3)
    odd = [
        exposure(1, time=NOW + 0.123456),
        exposure(2)._replace(rule=None, revision=None, unit="'\"\\u0000 \\𝔘\t\x01"),
        track(3, time=NOW + 1 / 3),
        track(4, value=None),
        track(5, value=-1e15, time=0.0),
        track(6, value=5e-324),
        track(7, value=0.1 + 0.2, time=NOW - 80 * DAY),
        *(track(n, time=NOW + rng.random() * DAY, value=rng.gauss(0, 1)) for n in range(8, 300)),
    ]
    assert any_store.append(odd) == AppendResult(len(odd), 0)
    waiting = seen_by(any_store)
    any_store.drain(NOW)
    assert seen_by(any_store) == waiting
    assert waiting == Counter(
        (
            e.unit,
            e.flag or e.name,
            e.variant,
            e.rule,
            e.revision,
            e.value,
            whole_microseconds(e.time),
        )
        for e in odd
    )


def test_attributes_come_back_as_they_went_in(any_store: EventStore) -> None:
    texts = [None, '{"country":"DE","plan":"\\"p\\\\ro\\n"}', '{"Ω":"𝔘\'\\t"}']
    for number, text in enumerate(texts):
        any_store.append([exposure(number)._replace(attributes=text)])
        if number == 1:
            any_store.drain(NOW)

    def seen() -> list[str | None]:
        with any_store.tables(1) as (exposures, _):
            rows = exposures.select("unit", "attributes").to_pyarrow().to_pylist()
        return [row["attributes"] for row in sorted(rows, key=lambda row: row["unit"])]

    assert seen() == texts
    any_store.drain(NOW + DAY)
    assert seen() == texts


def test_a_repetition_changes_nothing_whatever_it_says(any_store: EventStore) -> None:
    first = exposure(1)
    other_words = [first._replace(time=NOW - 3 * DAY, variant="off"), track(1)]
    assert any_store.append([first, *other_words, track(2)]) == AppendResult(2, 2)
    assert any_store.append(other_words) == AppendResult(0, 2)
    any_store.drain(NOW)
    assert any_store.append([*other_words, track(3)]) == AppendResult(1, 2)
    assert any_store.append([]) == AppendResult(0, 0)
    assert units_of(any_store) == {"u1": 1, "u2": 1, "u3": 1}
    assert ("u1", "checkout", "new", "exp-42", 17, None, NOW) in seen_by(any_store)


def test_an_id_is_known_in_its_own_environment_only(any_store: EventStore) -> None:
    assert any_store.append([exposure(1), exposure(1, environment_id=2)]) == AppendResult(2, 0)
    assert any_store.append([exposure(1, environment_id=3)]) == AppendResult(1, 0)
    assert [seen_by(any_store, number).total() for number in (1, 2, 3, 4)] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": 2e15},
        {"name": None},
        {"time": -1.0},
        {"time": 1e12},
        {"id": b"short"},
    ],
)
def test_a_batch_that_breaks_a_rule_leaves_nothing(
    any_store: EventStore, wrong: dict[str, object]
) -> None:
    with pytest.raises(EventError):
        any_store.append([exposure(1), track(2)._replace(**wrong)])
    assert units_of(any_store) == {}
    assert any_store.append([exposure(1)]) == AppendResult(1, 0)


def test_a_snapshot_stays_at_its_moment(any_store: EventStore) -> None:
    any_store.append([exposure(1), track(2)])
    with any_store.tables(1) as (exposures, tracks):
        any_store.append([exposure(3), track(4, time=NOW - 9 * DAY)])
        for _ in range(2):
            any_store.drain(NOW, keep_since=NOW + 5 * DAY)
        assert exposures.count().to_pyarrow().as_py() == 1
        assert tracks.count().to_pyarrow().as_py() == 1
    for _ in range(2):
        any_store.drain(NOW, keep_since=NOW + 5 * DAY)
    assert units_of(any_store) == {}


def test_a_batch_is_seen_whole_or_not_at_all(any_store: EventStore) -> None:
    """Exposures and tracking events of one moment, while batches come in and are drained."""
    stop = threading.Event()

    def append() -> None:
        number = 0
        while number < 600 and not stop.is_set():
            number += 2
            any_store.append([exposure(number), track(number + 1, time=NOW - number % 3 * DAY)])

    thread = threading.Thread(target=append)
    thread.start()
    try:
        for turn in range(6):
            with any_store.tables(1) as (exposures, tracks):
                exposed = exposures.count().to_pyarrow()
                assert tracks.count().to_pyarrow() == exposed
            if turn % 2:
                any_store.drain(NOW)
    finally:
        stop.set()
        thread.join()


_APPEND = f"""
import random, sys, uuid
from pathlib import Path
from experiments.store.base import Event
from experiments.store.opening import open_front
place, first, last, step = sys.argv[1], *map(int, sys.argv[2:])
inbox = open_front(place if "://" in place else Path(place))
for batch in range(first, last, step):
    # Each its own order: whoever waits for another must not be waited for.
    numbers = list(range(batch * 20, batch * 20 + 20))
    random.shuffle(numbers)
    result = inbox.append([
        Event(uuid.UUID(int=n + 1).bytes, 1, {NOW} + n % 5 * 86400, f"u{{n}}", "f", "on", "r", 1)
        for n in numbers
    ])
    print(batch, result.accepted, result.duplicates, flush=True)
"""


def appending(place: Path | str, first: int, last: int, step: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _APPEND, *map(str, (place, first, last, step))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.slow
def test_processes_that_append_the_same_events_at_once_count_each_once(place: Path | str) -> None:
    """They start together in an empty place, so they also meet while its tables are made."""
    children = [appending(place, 0, 40), appending(place, 39, -1, -1), appending(place, 10, 50)]
    told = [child.communicate(timeout=150)[0] for child in children]
    lines = [line.split() for text in told for line in text.splitlines()]
    assert [child.returncode for child in children] == [0, 0, 0]
    store = open_store(place)
    with contextlib.closing(store):
        assert units_of(store) == {f"u{n}": 1 for n in range(1_000)}
    assert sum(int(accepted) for _, accepted, _ in lines) == 1_000
    assert sum(int(duplicates) for *_, duplicates in lines) == 120 * 20 - 1_000


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_acknowledged(place: Path | str) -> None:
    child = appending(place, 0, 100_000)
    assert child.stdout is not None
    acknowledged = [int(next(child.stdout).split()[0]) for _ in range(30)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [int(line.split()[0]) for line in child.stdout.read().splitlines()]
    child.wait()
    store = open_store(place)
    with contextlib.closing(store):
        units = units_of(store)
        assert set(units.values()) == {1}
        assert {f"u{n}" for batch in acknowledged for n in range(batch * 20, batch * 20 + 20)} <= (
            units.keys()
        )
        # A batch that was under way is there whole, or not at all.
        assert len(units) % 20 == 0


def history(rng: random.Random) -> list[Event]:
    events = []
    for unit in range(400):
        entered = NOW + rng.random() * 5 * DAY
        variant = rng.choice(["off", "new"])
        met = [variant] * rng.randint(1, 3) + (["off", "new"] if unit % 50 == 0 else [])
        events += [
            Event(b"", 1, entered + n * 3_600, f"u{unit}", "checkout", each, "r", n)
            for n, each in enumerate(met)
        ]
        for _ in range(rng.randint(0, 4)):
            at = entered + rng.uniform(-0.2, 3) * DAY
            value = rng.choice([None, rng.lognormvariate(2, 1)])
            events.append(Event(b"", 1, at, f"u{unit}", name="buy", value=value))
    return [event._replace(id=rng.randbytes(16)) for event in events]


def test_the_same_events_give_the_same_analysis_in_every_store(
    tmp_path: Path, postgresql_url: str
) -> None:
    events = history(random.Random(11))
    query = AnalysisQuery(
        1,
        "checkout",
        "r",
        ("off", "new"),
        NOW,
        NOW + 6 * DAY,
        NOW + 4 * DAY,
        (
            MetricDefinition("bought", "conversion", "buy", DAY),
            MetricDefinition("paid", "mean", "buy", 2 * DAY),
            MetricDefinition("times", "count", "buy", 2 * DAY),
            MetricDefinition(
                "per order", "ratio", "buy", DAY, numerator="value", denominator_event="buy"
            ),
        ),
    )
    found = []
    for store in (EmbeddedStore(tmp_path), PostgresStore(postgresql_url)):
        with contextlib.closing(store):
            for first in range(0, len(events), 100):
                store.append(events[first : first + 100])
            store.drain(NOW)
            found.append(analyse(store, query))
    embedded, postgresql = found
    assert replace(postgresql, moments={}) == replace(embedded, moments={})
    for key, arms in embedded.moments.items():
        for arm, sums in arms.items():
            assert postgresql.moments[key][arm] == pytest.approx(sums, rel=1e-9), (key, arm)
    assert all(sums[0] > 50 for sums in embedded.moments["paid"].values())


def test_whole_days_go_when_nobody_keeps_them_and_no_other(any_store: EventStore) -> None:
    days = [exposure(n, time=NOW - n * DAY) for n in range(1, 6)]
    any_store.append([*days, track(10, time=NOW - 4 * DAY)])
    any_store.drain(NOW)
    assert any_store.drain(NOW).dropped == 0
    # From the middle of a day on: that day stays whole.
    assert any_store.drain(NOW, keep_since=NOW - 3 * DAY + 60).dropped > 0
    assert units_of(any_store) == {"u1": 1, "u2": 1, "u3": 1}
    assert any_store.drain(NOW, keep_since=NOW - 3 * DAY + 60).dropped == 0
    assert any_store.append([days[4], exposure(11, time=NOW - 5 * DAY)]) == AppendResult(1, 1)
    assert units_of(any_store) == {"u1": 1, "u2": 1, "u3": 1, "u11": 1}


def test_ids_are_remembered_for_ninety_days_after_the_event(any_store: EventStore) -> None:
    event = exposure(1, time=NOW)
    any_store.append([event])
    for age, duplicates in ((1, 1), (89.9, 1), (92, 0)):
        any_store.drain(NOW + age * DAY, keep_since=NOW + age * DAY)
        assert any_store.append([event]).duplicates == duplicates


def test_recent_events_are_counted_by_what_they_were(any_store: EventStore) -> None:
    any_store.append([exposure(1), exposure(2), exposure(3)._replace(rule=None), track(4)])
    any_store.append([exposure(1), track(5, time=NOW - 3_600), exposure(6, environment_id=2)])
    counts = [
        RecentEvents("exposures", "checkout", "", "new", 1),
        RecentEvents("exposures", "checkout", "exp-42", "new", 2),
        RecentEvents("tracks", "buy", "", "", 1),
    ]
    assert any_store.inbox.recent(1, since=NOW + 59) == counts
    any_store.drain(NOW)
    assert any_store.inbox.recent(1, since=NOW + 59) == counts
    assert any_store.inbox.recent(1, since=NOW + 60) == []


def test_the_latest_events_come_newest_first_and_bounded(any_store: EventStore) -> None:
    other = exposure(3, time=NOW + 3)._replace(flag="search", attributes='{"country":"DE"}')
    elsewhere = exposure(6, time=NOW + 9, environment_id=2)
    any_store.append([exposure(1), track(2, time=NOW + 2), other, elsewhere, exposure(5, time=1e9)])

    def found(which: Which, since: float = NOW) -> list[tuple[float, str | None]]:
        events = any_store.inbox.latest(1, which, since=since)
        return [(each.time - NOW, each.flag or each.name) for each in events]

    everything = [(3, "search"), (2, "buy"), (0, "checkout")]
    assert found(Which()) == everything
    assert found(Which(limit=2)) == everything[:2]
    assert found(Which(), NOW + 1) == everything[:2]
    assert found(Which("tracks")) == [(2, "buy")]
    assert found(Which("exposures")) == [(3, "search"), (0, "checkout")]
    assert found(Which(flag="checkout")) == [(0, "checkout")]
    assert found(Which("tracks", "checkout")) == []
    (whole,) = any_store.inbox.latest(1, Which(flag="search"), since=NOW)
    assert whole[1:] == ("u3", "search", "new", "exp-42", 17, None, None, '{"country":"DE"}')


def test_quality_adds_up_by_hour_and_is_kept_for_a_month(any_store: EventStore) -> None:
    hour = int(NOW // 3_600)
    any_store.inbox.note({(1, hour, "received"): 5, (1, hour, "late"): 2, (2, hour, "late"): 9})
    any_store.inbox.note({(1, hour, "received"): 1, (1, hour - 1, "too_old"): 3})
    kept = [QualityHour(hour - 1, too_old=3), QualityHour(hour, received=6, late=2)]
    assert any_store.inbox.quality(1, since=NOW - 3_600) == kept
    assert any_store.inbox.quality(1, since=NOW) == kept[1:]
    any_store.drain(NOW + 29 * DAY)
    assert any_store.inbox.quality(1, since=0) == kept
    any_store.drain(NOW + 31 * DAY)
    assert any_store.inbox.quality(1, since=0) == []


def test_a_store_says_what_it_holds(any_store: EventStore) -> None:
    assert any_store.inbox.status().days == 0
    any_store.append([exposure(1), track(2, time=NOW - 4 * DAY), track(3)])
    any_store.drain(NOW)
    any_store.append([exposure(1), track(4)])
    held = any_store.inbox.status()
    assert (held.days, held.oldest, held.newest) == (2, date(2024, 9, 30), date(2024, 10, 4))
    assert held.bytes > 1_000
    if held.exact:
        assert (held.events, held.waiting) == (4, 1)


def test_a_store_that_can_be_written_says_so(any_store: EventStore) -> None:
    any_store.inbox.check()
    assert units_of(any_store) == {}
