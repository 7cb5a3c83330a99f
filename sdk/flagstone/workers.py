"""The three threads of a client, hired, stopped and abandoned together."""

from __future__ import annotations

from dataclasses import dataclass

from flagstone.heartbeat import Heartbeat
from flagstone.sender import Sender
from flagstone.stream import StreamListener
from flagstone.updater import Updater


@dataclass(slots=True)
class Workers:
    """Who fetches, who listens and who sends; what is told of the process goes along."""

    sender: Sender
    updater: Updater
    listener: StreamListener
    heartbeat: Heartbeat

    def start(self) -> None:
        """Start every thread."""
        for worker in (self.updater, self.listener, self.sender):
            worker.start()

    def stop(self, deadline: float) -> None:
        """End every thread, and wait for that until ``deadline``."""
        everyone = (self.listener, self.updater, self.sender)
        for worker in everyone:
            worker.stop()
        for worker in everyone:
            worker.join(deadline)

    def abandon(self) -> None:
        """Forget threads and sockets, in a forked child where only copies of them exist."""
        for worker in (self.listener, self.updater, self.sender):
            worker.abandon()

    def retire(self) -> None:
        """End without waiting: nobody holds the client any more."""
        self.listener.stop()
        self.updater.stop()
        self.sender.retire()
