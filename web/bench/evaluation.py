"""How long an evaluation takes, beside every peer that is installed, in one run.

Engines take turns, a few milliseconds each, so that what disturbs the machine disturbs all; a ratio
is the median of the ratios of such rounds. Garbage collection stays on.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from flagstone.engine import compile_flag_set, parse_flag_set
from web.bench import cases, loading
from web.bench.goals import Goal, goal_line
from web.bench.ours import client_engine, engine
from web.bench.peers import Engine, NotMeasurableError, available

ROUNDS = 15
OURS = "flagstone engine"
CLIENT = "flagstone client"
NOW = 1_780_000_000.0

FLOORS = {"eppo": 1.7, "statsig": 5.0, "configcat": 1.0}
"""How many times slower a peer must be on every case; 15 where nothing is said."""
FLOOR = 15.0
EPPO_MEAN = 5.0
FLAG_COUNTS = (10, 5_000)
LOADED_FLAGS = 10_000

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """Nanoseconds of one evaluation: median and quartiles of the rounds, and times ours."""

    median: float
    low: float
    high: float
    ratio: float | None
    client_ratio: float | None


@dataclass(slots=True)
class Run:
    """The figures of one setting: by case, by engine."""

    title: str
    threads: int
    flags: int
    recording: bool
    figures: dict[str, dict[str, Figure]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def calls(one: Engine) -> Callable[[], None]:
    """Return a function that asks once for every person."""
    function, arguments = one.function, one.arguments

    def ask() -> None:
        for given in arguments:
            function(*given)

    return ask


def engines(question: cases.Question, names: list[str]) -> Iterator[tuple[str, Engine]]:
    """Yield ours and every peer that can be asked this question."""
    if not question.recording:
        yield OURS, engine(question)
    yield CLIENT, client_engine(question)
    for name, _, module in available():
        if name in names:
            try:
                yield name, module.engine(question)
            except NotMeasurableError as error:
                yield name, Engine(lambda: None, [], answer=_reason(str(error)))


def _reason(text: str) -> Callable[[Any], bool]:
    def answer(_: Any) -> bool:
        raise NotMeasurableError(text)

    return answer


def measure(run: Run, names: list[str], seconds: float, asked: tuple[str, ...]) -> None:
    """Fill ``run`` with figures; each case takes about ``seconds`` / number of cases."""
    for case in asked:
        question = cases.Question(case, max(0, run.flags - 1), run.recording, cases.people(case))
        started: dict[str, Engine] = {}
        for name, one in engines(question, names):
            if one.arguments:
                started[name] = one
            else:
                try:
                    one.answer(None)
                except NotMeasurableError as error:
                    run.missing[name] = str(error)
        try:
            run.figures[case] = _figures(started, seconds / len(asked), run.threads)
        finally:
            for one in started.values():
                one.close()


def _figures(started: dict[str, Engine], seconds: float, threads: int) -> dict[str, Figure]:
    asks = {name: calls(one) for name, one in started.items()}
    people = {name: len(one.arguments) for name, one in started.items()}
    share = seconds / (len(asks) * ROUNDS)
    repeats = {}
    for name, ask in asks.items():
        ask()
        before = time.perf_counter()
        ask()
        repeats[name] = max(1, round(share / (time.perf_counter() - before) / threads))
    spent: dict[str, list[float]] = {name: [] for name in asks}
    gc.collect()
    for _ in range(ROUNDS):
        for name, ask in asks.items():
            took = _timed(ask, repeats[name], threads)
            spent[name].append(took / (repeats[name] * people[name] * threads))
    figures = {}
    for name, rounds in spent.items():
        low, _, high = statistics.quantiles(rounds, n=4)
        figures[name] = Figure(
            statistics.median(rounds),
            low,
            high,
            _ratio(rounds, spent.get(OURS)),
            _ratio(rounds, spent.get(CLIENT)),
        )
    return figures


def _ratio(rounds: list[float], ours: list[float] | None) -> float | None:
    if ours is None:
        return None
    return statistics.median(other / own for other, own in zip(rounds, ours, strict=True))


def _timed(ask: Callable[[], None], count: int, threads: int) -> int:
    def work() -> None:
        for _ in range(count):
            ask()

    if threads == 1:
        started = time.perf_counter_ns()
        work()
        return time.perf_counter_ns() - started
    crew = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter_ns()
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    return time.perf_counter_ns() - started


def goals_beside_peers(run: Run) -> list[Goal]:
    """Compare the ratios of a run with what was promised."""
    goals = []
    ratios: dict[str, dict[str, float]] = {}
    for case in cases.CASES:
        for name, figure in run.figures.get(case, {}).items():
            if name not in (OURS, CLIENT) and figure.ratio is not None:
                ratios.setdefault(name, {})[case] = figure.ratio
    for name, by_case in ratios.items():
        floor = FLOORS.get(name, FLOOR)
        worst = min(by_case, key=lambda case: by_case[case])
        goals.append(
            Goal(
                f"{name}, every case",
                f"≥ {floor:g} ×",
                f"{by_case[worst]:.1f} × ({worst})",
                by_case[worst] >= floor,
            )
        )
        if name == "eppo":
            mean = statistics.geometric_mean(by_case.values())
            goals.append(
                Goal("eppo, geometric mean", f"≥ {EPPO_MEAN:g} ×", f"{mean:.1f} ×", mean >= 5)
            )
    return goals


def goals_of_ours(evaluations: int = 10_000_000) -> Iterator[Goal]:
    """Measure what needs no peer: scaling, tails, parsing, memory, import."""
    few, many = (_scaled(count) for count in FLAG_COUNTS)
    change = _paired_change(few, many)
    yield Goal(
        f"{FLAG_COUNTS[0]} flags against {FLAG_COUNTS[1]:,}",
        "within 10 %",
        f"{change:+.1%}",
        abs(change) <= 0.10,
    )
    for case in cases.EVERY_CASE:
        median, tail = _tail(case)
        yield Goal(
            f"p99 of {case}",
            "≤ 4 × the median",
            f"{tail / median:.1f} × ({median:.0f} and {tail:.0f} ns, timer included)",
            tail <= 4 * median,
        )
    parse, size = _loading()
    yield Goal("parse of 1,000 flags", "≤ 60 ms", f"{parse * 1e3:.0f} ms of CPU", parse <= 0.060)
    yield Goal("memory of a flag", "≤ 10 kB", f"{size / 1e3:.1f} kB", size <= 10_000)
    took, client = (
        _import_seconds("import flagstone"),
        _import_seconds("from flagstone import Client"),
    )
    found = f"{took * 1e3:.0f} ms of CPU ({client * 1e3:.0f} with Client, which loads when used)"
    yield Goal("import of flagstone", "≤ 30 ms", found, took <= 0.030)
    grown = _growth(evaluations)
    yield Goal(
        f"memory after {evaluations:,} evaluations",
        "flat (≤ 64 kB more)",
        f"{grown / 1e3:+.1f} kB",
        grown <= 64_000,
    )


def _scaled(count: int) -> Callable[[], None]:
    question = cases.Question(
        cases.TARGETING, count - 1, recording=False, people=cases.people(cases.TARGETING)
    )
    return calls(engine(question))


def _paired_change(few: Callable[[], None], many: Callable[[], None]) -> float:
    ratios = [_timed(many, 20, 1) / _timed(few, 20, 1) for _ in range(4 * ROUNDS)]
    return statistics.median(ratios) - 1


def _tail(case: str) -> tuple[float, float]:
    one = engine(cases.Question(case, 0, recording=False, people=cases.people(case)))
    function, clock, took = one.function, time.perf_counter_ns, []
    for _ in range(60):
        for given in one.arguments:
            started = clock()
            function(*given)
            took.append(clock() - started)
    took.sort()
    return statistics.median(took), took[round(len(took) * 0.99)]


def _loading() -> tuple[float, float]:
    """Return CPU seconds to read 1,000 flags, and bytes of one once all were evaluated."""
    import json
    import tracemalloc

    question = cases.Question(cases.BOOLEAN, 999)
    text = json.dumps(cases.our_flag_set(question))
    took = []
    for _ in range(7):
        started = time.process_time()
        parse_flag_set(text, strict=False)
        took.append(time.process_time() - started)
    tracemalloc.start()
    held = compile_flag_set(parse_flag_set(text, strict=False))
    for key in held.flag_keys:
        held.evaluate(key, {"targetingKey": "u"}, NOW)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return statistics.median(took), size / 1000


def _import_seconds(statement: str) -> float:
    """Return CPU seconds of an import in a fresh interpreter, less the interpreter's own."""

    def run(text: str) -> float:
        program = f"import time; s = time.process_time(); {text}; print(time.process_time() - s)"
        ended = subprocess.run(  # noqa: S603  our own text
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        return float(ended.stdout)

    return statistics.median(run(statement) for _ in range(11))


def _growth(evaluations: int) -> float:
    """Return how many bytes the interpreter holds more after so many evaluations."""
    asks = [
        calls(engine(cases.Question(case, 0, recording=False, people=cases.people(case))))
        for case in cases.CASES
    ]
    for ask in asks:
        ask()
    gc.collect()
    before = _allocated()
    for _ in range(evaluations // (len(asks) * cases.PEOPLE)):
        for ask in asks:
            ask()
    gc.collect()
    return (_allocated() - before) * 1.0


def _allocated() -> int:
    """Return how many bytes are resident; where nobody says, how many blocks are allocated."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  a file of the kernel
            return int(file.read().split()[1]) * 4096
    except OSError:
        return sys.getallocatedblocks() * 64


def runs(*, full: bool) -> list[Run]:
    """Return the settings to measure: the first is what the goals are about."""
    first = Run("one thread, exposures off", 1, 1, recording=False)
    if not full:
        return [first]
    return [
        first,
        replace(first, title="two threads, exposures off", threads=2, figures={}, missing={}),
        replace(first, title="exposures recorded", recording=True, figures={}, missing={}),
        replace(first, title="1,000 flags", flags=1_000, figures={}, missing={}),
        replace(first, title="10,000 flags", flags=10_000, figures={}, missing={}),
    ]


def document(measured: list[Run], goals: list[Goal], versions: dict[str, str]) -> dict[str, Any]:
    """Write everything as plain JSON."""
    return {
        "python": sys.version.split()[0],
        "versions": versions,
        "runs": [asdict(run) for run in measured],
        "goals": [asdict(goal) for goal in goals],
    }


def table(run: Run) -> str:
    """Write a run for people: a line for each engine, a column for each case."""
    names = list(dict.fromkeys(name for row in run.figures.values() for name in row))
    lines = [
        f"{run.title}: nanoseconds per evaluation, and times the engine's",
        f"{'':18}" + "".join(f"{case:>27}" for case in run.figures),
    ]
    for name in names:
        cells = []
        for row in run.figures.values():
            figure = row.get(name)
            if figure is None:
                cells.append(f"{'-':>27}")
                continue
            ratio = figure.client_ratio if figure.ratio is None else figure.ratio
            cells.append(f"{f'{figure.median:,.0f}  ({ratio or 1:,.1f} ×)':>27}")
        lines.append(f"{name:18}" + "".join(cells))
    lines += [f"{name:18}not measured: {reason}" for name, reason in run.missing.items()]
    return "\n".join(lines)


def load_table(loads: dict[str, Any]) -> str:
    """Write what loading costs, for people; documents are built and read in that time too."""
    lines = [f"{LOADED_FLAGS:,} flags loaded in a fresh process: CPU ms, resident kB per flag"]
    for name, found in loads.items():
        if isinstance(found, str):
            lines.append(f"{name:18}not measured: {found}")
        else:
            lines.append(f"{name:18}{found['seconds'] * 1e3:10,.0f}{found['bytes'] / 1e3:12.1f}")
    return "\n".join(lines)


def bench(
    seconds: float,
    only: list[str] | None = None,
    *,
    full: bool = False,
    evaluations: int = 10_000_000,
    say: Say = print,
) -> dict[str, Any]:
    """Measure everything; tell each part as it is done, and return it as a document.

    Parameters
    ----------
    seconds : float
        Time for each setting.
    only : list of str, optional
        Names of peers; all that are installed if left out.
    full : bool, default False
        Also two threads, recorded exposures, 1,000 and 10,000 flags.
    evaluations : int
        How many evaluations memory must not grow over.
    say : callable, optional
        Gets lines for people.

    Returns
    -------
    dict
        ``python``, ``versions``, ``runs`` (nanoseconds) and ``goals``.
    """
    versions = {name: version for name, version, _ in available() if not only or name in only}
    say("; ".join(versions.values()) or "no peer is installed: our own figures only")
    measured = []
    for run in runs(full=full):
        asked = cases.EVERY_CASE if run.flags == 1 and run.threads == 1 else cases.CASES
        measure(run, list(versions), seconds, asked)
        measured.append(run)
        say("\n" + table(run))
    loads = {
        name: loading.cost(name, LOADED_FLAGS)
        for name in (loading.OURS, *(versions if full else ()))
    }
    say("\n" + load_table(loads))
    say("")
    goals = goals_beside_peers(measured[0])
    for goal in goals:
        say(goal_line(goal))
    for goal in goals_of_ours(evaluations):
        goals.append(goal)
        say(goal_line(goal))
    return {**document(measured, goals, versions), "loading": loads}
