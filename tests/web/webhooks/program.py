"""A worker whose receiver has taken a message, and which is killed before it can write that down.

Arguments: the database's address and the receiver's port is in the webhook. It says ``taken``.
"""

from __future__ import annotations

import datetime as dt
import sys
import time

from experiments.moves.lease import acquire
from flags.database import Database
from web.webhooks import courier
from web.webhooks.networks import parse_networks
from web.webhooks.sending import Sent, send

LOOPBACK = parse_networks("127.0.0.0/8")


def main() -> None:
    database = Database(sys.argv[1])

    def send_and_hang(url: str, body: bytes, headers: dict[str, str]) -> Sent:
        sent = send(url, body, headers, allowed=LOOPBACK)
        print("taken", sent.status, flush=True)
        time.sleep(170)
        return sent

    worker = courier.Courier(database, sender=send_and_hang)
    now = dt.datetime.now(dt.UTC)
    held = acquire(database, "first", now=now, name=courier.LEASE)
    assert held is not None
    worker.round(held)
    worker.wait(170)


main()
