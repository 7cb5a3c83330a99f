"""A background thread that repeats one step until it is stopped, and never dies of an error."""

from __future__ import annotations

import logging
import queue
import threading
import time

from flagstone.errors import StoppedError

LOG = logging.getLogger("flagstone")
FOREVER = 86_400.0


class Worker:
    """Runs :meth:`step` again and again, waiting as long as the step says in between.

    Waking it goes through ``queue.SimpleQueue``, whose ``put`` may be called from anywhere, even
    from a finaliser that runs while the same thread is inside ``put``.
    """

    def __init__(self, name: str) -> None:
        self._signals: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._complained = False
        self.stopped = False

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; without threads (at the interpreter's end) say so and go on."""
        try:
            self._thread.start()
        except RuntimeError as error:
            LOG.warning("flagstone: no thread for %s: %s", self._thread.name, error)

    def wake(self) -> None:
        """End the present wait."""
        self._signals.put(None)

    def stop(self) -> None:
        """Ask the thread to end; it does so after the present step."""
        self.stopped = True
        self.interrupt()
        self.wake()

    def join(self, deadline: float) -> None:
        """Wait for the thread's end until ``deadline`` (monotonic seconds)."""
        if self.alive and self._thread is not threading.current_thread():
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def interrupt(self) -> None:
        """Break off what the step waits for; for subclasses that hold a socket."""

    def abandon(self) -> None:
        """Forget the thread, in a forked child where it does not exist."""
        self.stopped = True

    def finish(self) -> None:
        """Do what is to be done after the last step; for subclasses."""

    def step(self) -> float:
        """Do one piece of work, and return how many seconds to wait before the next."""
        raise NotImplementedError

    def _run(self) -> None:
        while not self.stopped:
            try:
                seconds = self.step()
            except StoppedError:
                continue
            except Exception:  # a worker that dies would take the flags' freshness along
                if not self._complained:
                    self._complained = True
                    LOG.exception("flagstone: unexpected error in %s", self._thread.name)
                seconds = 30.0
            self._pause(seconds)
        try:
            self.finish()
        except Exception:
            LOG.exception("flagstone: unexpected error at the end of %s", self._thread.name)

    def _pause(self, seconds: float) -> None:
        if seconds <= 0.0 or self.stopped:
            return
        try:
            self._signals.get(timeout=seconds)
            while True:
                self._signals.get_nowait()
        except queue.Empty:
            return
