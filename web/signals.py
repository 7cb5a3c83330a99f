"""SIGTERM and SIGINT as a request to end, for as long as somebody can act on it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_request_to_end(stop: Callable[[], object]) -> Iterator[None]:
    """Call ``stop`` at either signal while inside; the handlers before are put back after.

    Only the main thread can do so; in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
