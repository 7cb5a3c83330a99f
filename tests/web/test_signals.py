"""A request to end is heard while somebody can act on it, and by nobody after."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from web.signals import on_request_to_end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_signal_is_heard_inside_and_its_handler_is_put_back_after(number: int) -> None:
    before = signal.getsignal(number)
    heard = threading.Event()
    with on_request_to_end(heard.set):
        os.kill(os.getpid(), number)
        assert heard.wait(30)
    assert signal.getsignal(number) is before


def test_another_thread_changes_no_handler() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def enter() -> None:
        with on_request_to_end(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(30)
    assert seen == [before]
