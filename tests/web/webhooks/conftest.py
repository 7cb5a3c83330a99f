"""A receiver that listens on loopback, and a shop whose notices are sent to it."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from experiments.moves.lease import Held, acquire
from flags import services as flag_services
from flags.actor import Actor
from flags.changes import apply_change, parse_change
from flags.database import Database
from tests.web.managed import Clock
from web.webhooks import courier, services
from web.webhooks.models import Webhook
from web.webhooks.networks import parse_networks

ADA = Actor("user", "ada@example.org")
LOOPBACK = parse_networks("127.0.0.0/8")


class Receiver:
    """A real HTTP server; ``answers`` are given in turn, the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes, str]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(200, {}, b"thank you")]
        self.before: Callable[[], None] = lambda: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((headers, body, self.path))
                receiver.before()
                left = receiver.answers
                status, more, text = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in?key=k"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


class Post:
    """A shop with a flag, and a courier whose clock is told."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database, self.clock = database, clock
        with database.write() as session:
            flag_services.create_project(session, key="shop", actor=ADA, now=clock())
            flag_services.create_flag(session, "shop", {"key": "checkout"}, actor=ADA, now=clock())
        self.courier = courier.Courier(
            database,
            public_url="https://flags.example.com",
            allowed=LOOPBACK,
            clock=clock,
            rng=random.Random(1),
        )

    def webhook(self, url: str, **more: Any) -> tuple[str, int]:
        with self.database.write() as session:
            secret, made = services.create_webhook(
                session,
                "shop",
                name="ours",
                url=url,
                allowed=LOOPBACK,
                actor=ADA,
                now=self.clock(),
                **more,
            )
        # What happens in the very moment, such as its making, is not for it.
        self.clock.advance(seconds=1)
        assert made.id is not None
        return secret, made.id

    def change(self, *what: dict[str, Any], env: str = "production", comment: str = "") -> None:
        change = parse_change({"flag": "checkout", "instructions": list(what), "comment": comment})
        with self.database.write() as session:
            apply_change(session, "shop", env, change, actor=ADA, now=self.clock())

    def held(self, holder: str = "w") -> Held:
        held = acquire(self.database, holder, now=self.clock(), name=courier.LEASE)
        assert held is not None
        return held

    def send(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.courier.round(self.held())
            self.courier.wait(100)

    def later(self, **parts: float) -> None:
        self.clock.advance(**parts)

    def read(self, number: int) -> Webhook:
        with self.database.read() as session:
            return services.get_webhook(session, "shop", number)

    def log(self, number: int) -> list[services.Sending]:
        with self.database.read() as session:
            webhook = services.get_webhook(session, "shop", number)
            return services.list_deliveries(session, webhook)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def post(database: Database, clock: Clock) -> Post:
    return Post(database, clock)


@pytest.fixture
def moment(clock: Clock) -> dt.datetime:
    return clock()
