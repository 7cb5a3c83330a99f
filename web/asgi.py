"""One web process: the data plane and, over the bridge, the management application.

The supervisor (:mod:`web.serve`) runs ``python -m web.asgi``. Any ASGI server can run the same
application: ``uvicorn --factory web.asgi:create_app``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from web.edge.app import Edge
from web.edge.app import create_app as create_edge
from web.lifeline import follow
from web.settings import Settings

KEEP_ALIVE_SECONDS = 75
# The supervisor kills after four seconds; what can end in an orderly way has ended by then.
GRACEFUL_SECONDS = 2
BACKLOG = 2048
MAX_OPEN_FILES = 65_536


def create_app(
    settings: Settings | None = None, *, made: Callable[[], None] = lambda: None
) -> Edge:
    """Join the data plane and the management application, which is made when first needed.

    ``made`` is called when the management application was.
    """
    used = Settings.from_environment() if settings is None else settings

    def management() -> Any:
        # Flask, Jinja and the services: half a second that the data plane does not wait for.
        from flags.database import Database
        from web.app import create_flask_app

        app = create_flask_app(used, Database(used.database_url))
        made()
        return app

    return create_edge(used, management)


class _Server(uvicorn.Server):
    """Ends event streams first when it stops, and reports once it accepts connections."""

    def __init__(self, config: uvicorn.Config, edge: Edge, ready: int | None) -> None:
        super().__init__(config)
        self._edge = edge
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._ready is not None:
            os.write(self._ready, b"\n")
            os.close(self._ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.end_streams()
        await super().shutdown(sockets=sockets)


def run(settings: Settings, listener: socket.socket, *, ready: int | None = None) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : Settings
        How this installation runs.
    listener : socket
        Bound; other processes may accept from it too.
    ready : int, optional
        File descriptor that gets one byte when connections are accepted, and is then closed.
    """
    # What is there by now stays to the end. To look through it all for garbage, every few requests,
    # stopped the process for a third of a second.
    edge = create_app(settings, made=gc.freeze)
    config = uvicorn.Config(
        edge,
        loop="auto",
        http="auto" if sys.platform == "win32" else "httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nobody is believed about where a request came from unless the settings say so.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    server = _Server(config, edge, ready)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


def main() -> None:
    """Run as a child of the supervisor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--lifeline", type=int, required=True, help="descriptor of the pipe")
    parser.add_argument("--ready", type=int, help="descriptor to report to")
    options = parser.parse_args()
    configure_logging()
    follow(options.lifeline)
    _allow_many_connections()
    try:
        run(
            Settings.from_environment(),
            socket.socket(fileno=options.listener),
            ready=options.ready,
        )
    finally:
        # A thread stuck in somebody's view must not keep the process.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, which is 1,024 on many systems: each stream is one."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def configure_logging() -> None:
    """Write our log, and the servers' warnings, to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"
    )
    for noisy in ("uvicorn", "httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
