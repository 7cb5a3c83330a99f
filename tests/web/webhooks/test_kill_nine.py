"""A worker that dies between the delivery and the note of it: delivered again, with the same id."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.moves.lease import acquire
from web.webhooks import courier


def test_a_message_that_nobody_noted_is_sent_again_under_its_id(post: Any, receiver: Any) -> None:
    post.clock.now = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
    _, number = post.webhook(receiver.url, kinds=["flag.changed"])
    post.change({"do": "turn_on"})
    program = Path(__file__).with_name("program.py")
    worker = subprocess.Popen(
        [sys.executable, str(program), post.database.url], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "taken 200\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait(60)
    worker.stdout.close()
    assert [each.delivery.state for each in post.log(number)] == ["waiting"]

    post.clock.now = dt.datetime.now(dt.UTC)
    held = acquire(
        post.database, "second", now=post.clock(), name=courier.LEASE, is_gone=lambda _: True
    )
    assert held is not None
    post.courier.round(held)
    post.courier.wait(100)
    ids = [headers["webhook-id"] for headers, _, _ in receiver.requests]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert [each.delivery.state for each in post.log(number)] == ["delivered"]
