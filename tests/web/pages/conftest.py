"""The seeded shop behind a real socket, and who looks at it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tests.web.pages.shop import Shop


@dataclass(frozen=True)
class Site:
    """A shop that answers at ``url``."""

    shop: Shop
    url: str


@contextlib.contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an app on this machine only; give its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def open_site(folder: Path, furnish: Callable[[Shop], None] | None = None) -> Iterator[Site]:
    """Seed a shop, with something of everything unless told otherwise, and serve it."""
    shop = Shop(folder, furnish)
    with served(shop.app) as url:
        yield Site(shop, url)
    shop.database.dispose()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("shop")) as opened:
        yield opened
