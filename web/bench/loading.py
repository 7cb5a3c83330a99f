"""What a flag set costs to load, and to hold: each engine in a fresh process of its own.

``python -m web.bench.loading NAME COUNT`` prints CPU seconds and resident bytes as JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from web.bench import cases
from web.bench.peers import NotMeasurableError

OURS = "flagstone"
TIMEOUT_SECONDS = 120


def cost(name: str, count: int) -> dict[str, float] | str:
    """Return CPU ``seconds`` and ``bytes`` per flag of one engine; a text if it cannot be said."""
    command = [sys.executable, "-m", "web.bench.loading", name, str(count)]
    try:
        ended = subprocess.run(  # noqa: S603  our own module
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        return f"not loaded within {TIMEOUT_SECONDS} s"
    except subprocess.CalledProcessError as error:
        return error.stderr.strip().splitlines()[-1] if error.stderr else "it failed"
    # An SDK may print something of its own before.
    found: dict[str, float] | str = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def _load(name: str, count: int) -> dict[str, float] | str:
    people = cases.people(cases.BOOLEAN, 1)
    small = cases.Question(cases.BOOLEAN, 0, recording=False, people=people)
    large = cases.Question(cases.BOOLEAN, count - 1, recording=False, people=people)
    engine_of = _engine_of(name)
    # What the SDK needs for itself is there before we look: modules, threads, caches.
    kept: list[Any] = [engine_of(small)]
    gc.collect()
    before, started = _resident(), time.process_time()
    try:
        kept.append(engine_of(large))
    except NotMeasurableError as error:
        return str(error)
    one = kept[-1]
    one.function(*one.arguments[0])
    seconds = time.process_time() - started
    gc.collect()
    return {"seconds": seconds, "bytes": (_resident() - before) / count}


def _engine_of(name: str) -> Any:
    module = "web.bench.ours" if name == OURS else f"web.bench.peers.{name}"
    return importlib.import_module(module).engine


def _resident() -> int:
    fields = Path("/proc/self/statm").read_text("ascii").split()
    return int(fields[1]) * 4096


if __name__ == "__main__":
    print(json.dumps(_load(sys.argv[1], int(sys.argv[2]))))  # noqa: T201  for who started it
