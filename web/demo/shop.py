"""One process of the demo's shop: real SDK, real HTTP, visitors at a steady rate.

``python -m web.demo.shop --url … --process 0 --processes 2`` with the key in FLAGSTONE_SDK_KEY.
Prints JSON lines: one for each revision that this process came to serve, how many visitors met
which change, and one at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections import Counter

from flagstone import Client
from web.demo import scenario
from web.lifeline import follow

TICK_SECONDS = 0.1
TELL_SECONDS = 0.5
# Politer than the service and whoever else works on this machine: verdicts first, visitors second.
NICE = 5
RATE = 120.0


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _visit(client: Client, visitor: scenario.Visitor, seed: int, met: Counter[str]) -> None:
    context = visitor.context
    client.get_boolean(scenario.ROLLOUT_FLAG, context, default=False)
    shown = {key: client.get_boolean(key, context, default=False) for key in scenario.KEYS}
    events = scenario.behaviour(
        visitor,
        seed=seed,
        new_checkout=shown[scenario.BROKEN],
        shipping_hint=shown[scenario.WINNER],
        green_button=shown[scenario.NOTHING],
    )
    for name, amount in events:
        client.track(name, context, value=amount)
    met.update(key for key, treated in shown.items() if treated)


def main() -> None:
    """Serve visitors until told to stop, or until the demo that started us is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--process", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--rate", type=float, default=RATE, help="visitors a second")
    parser.add_argument("--seed", type=int, default=scenario.SEED)
    parser.add_argument("--lifeline", type=int, help="descriptor of the demo's pipe")
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.lifeline is not None:
        follow(options.lifeline)
    os.nice(NICE)

    client = Client(url=options.url, key=os.environ["FLAGSTONE_SDK_KEY"], start_wait_seconds=10.0)
    client.on_change(
        lambda *_: _say(process=options.process, revision=client.status().revision, at=time.time())
    )
    _say(process=options.process, revision=client.status().revision, at=time.time())

    people = scenario.visitors(
        seed=options.seed, process=options.process, processes=options.processes
    )
    started = time.monotonic()
    served = 0
    met: Counter[str] = Counter()
    told = 0
    while not stop.wait(TICK_SECONDS):
        due = int((time.monotonic() - started) * options.rate)
        # After a stall the shop does not try to serve everybody at once.
        served = max(served, due - int(options.rate))
        while served < due:
            _visit(client, next(people), options.seed, met)
            served += 1
        if served - told >= options.rate * TELL_SECONDS:
            told = served
            _say(process=options.process, met=dict(met))
    client.close()
    status = client.status()
    _say(process=options.process, end=True, visitors=served, sent=status.sent, lost=status.dropped)


if __name__ == "__main__":
    main()
