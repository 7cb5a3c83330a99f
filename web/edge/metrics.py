"""Counters of the data plane, in a registry of their own, summed over all web processes.

With ``PROMETHEUS_MULTIPROC_DIR`` set (the supervisor does), each process writes its counters to a
file there and whichever process answers ``/metrics`` adds them up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class Metrics:
    """The counters of one web process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "flagstone_http_answers",
            "Answers of the service, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self._events = Counter(
            "flagstone_events",
            "Events that came in: received, and of those duplicate, late (over an hour old) or "
            "ahead (of our clock by over five minutes); too_old and too_far_ahead were refused.",
            ["flag_set", "kind"],
            registry=self.registry,
        )
        self.streams = Gauge(
            "flagstone_streams",
            "Open event streams to SDKs.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.changes = Counter(
            "flagstone_flag_set_changes",
            "Flag sets put into service, over all environments.",
            registry=self.registry,
        )
        self.failed_flag_sets = Gauge(
            "flagstone_flag_sets_failed",
            "Environments whose newest flag set cannot be used; they serve the last good one.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.version = Gauge(
            "flagstone_flag_set_version",
            "Revision in service.",
            ["flag_set"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.database_up = Gauge(
            "flagstone_database_up",
            "1 while the control-plane database can be read.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        # Looking a label up costs more than counting.
        self._known: dict[tuple[str, int], Counter] = {}

    def count(self, route: str, status: int) -> None:
        """Count one answer."""
        counter = self._known.get((route, status))
        if counter is None:
            counter = self._answers.labels(route, str(status))
            self._known[route, status] = counter
        counter.inc()

    def count_events(self, flag_set_id: str, counts: Mapping[str, int]) -> None:
        """Count the events of a batch by how good they were."""
        for kind, events in counts.items():
            self._events.labels(flag_set_id, kind).inc(events)

    def render(self) -> bytes:
        """Write every process's metrics in Prometheus' text format."""
        if MULTIPROCESS_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
