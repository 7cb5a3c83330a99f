"""Let a thousand simulated experiments run to their end, through everything but the web.

    python benchmarks/decisions.py [--experiments N] [--processes P] [--full]

Each is created, sealed and started by the services; its visitors are served by the SDK's engine
from the flag set that is published at that moment; their events go into the event store; the worker
looks, widens, stops and proves; customers confirm. Then the record is verified, and the flag is
asked whom it serves. The same visitors are judged by two rules that are in common use.

Experiments of five worlds take turns; several share a database. Time is simulated, nothing waits.
The looks are those of proof-28d, but every 12 hours for the first two days instead of every hour
(30 of 74 looks; ``--full`` takes all of them, with the same error rates). ``--save FILE`` keeps
what became of each, ``--first N`` goes on from there, ``--load FILE`` reports it.

The exit status is 1 when a rate breaks its promise by more than chance, or an invariant is hurt.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import numpy as np

from benchmarks.trials.machine import Machine
from benchmarks.trials.results import PROMISES, Result, forecasts, report, result_of
from benchmarks.trials.worlds import Design

SEED = 20_240
TOGETHER = 20


def run_together(design: Design, first: int, count: int, seed: int) -> list[Result]:
    """Run some experiments side by side, in one database and one event store."""
    worlds = list(PROMISES)
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(design, Path(directory))
        try:
            for number in range(first, first + count):
                chance = np.random.SeedSequence([seed, number])
                machine.begin(worlds[number % len(worlds)], f"e{number}", chance)
            for _ in machine.run():
                pass
            return [result_of(trial, design) for trial in machine.trials]
        finally:
            machine.close()


def run_all(
    design: Design, numbers: range, *, processes: int, seed: int, minutes: float
) -> Iterator[list[Result]]:
    """Run experiments in groups; begin no group after so many minutes."""
    started = time.monotonic()
    groups = iter(numbers[::TOGETHER])
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running: set[Future[list[Result]]] = set()
        while True:
            while len(running) < processes and time.monotonic() - started < 60 * minutes:
                first = next(groups, None)
                if first is None:
                    break
                count = min(TOGETHER, numbers.stop - first)
                running.add(pool.submit(run_together, design, first, count, seed))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Let simulated experiments run to their end.")
    parser.add_argument("--experiments", type=int, default=1000, metavar="N")
    parser.add_argument("--first", type=int, default=0, help="number of the first, to go on")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30.0, help="begin nothing after them")
    parser.add_argument("--full", action="store_true", help="all 74 looks of proof-28d")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--forecasts", type=int, default=20_000, help="plans simulated beside")
    parser.add_argument("--save", type=Path, help="write what became of each experiment")
    parser.add_argument("--load", type=Path, help="report what --save wrote; run nothing")
    options = parser.parse_args(arguments)
    if min(options.experiments, options.processes) < 1:
        parser.error("at least one experiment and one process")
    design = Design(looks="full" if options.full else "sparse")
    results: list[Result] = []
    if options.load is not None:
        results = [Result.read(json.loads(line)) for line in options.load.read_text().splitlines()]
        return 1 if report(results, forecasts(design, options.forecasts), print) else 0
    started = time.monotonic()
    for some in run_all(
        design,
        range(options.first, options.first + options.experiments),
        processes=options.processes,
        seed=options.seed,
        minutes=options.minutes,
    ):
        results += some
        passed = time.monotonic() - started
        print(
            f"{len(results)} of {options.experiments} experiments, {passed:.0f} s", file=sys.stderr
        )
        if options.save is not None:
            with options.save.open("a") as file:
                file.writelines(json.dumps(result.to_document()) + "\n" for result in some)
    return 1 if report(results, forecasts(design, options.forecasts), print) else 0


if __name__ == "__main__":
    sys.exit(main())
