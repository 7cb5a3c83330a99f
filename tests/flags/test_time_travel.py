"""What was served at an instant is served again when one asks for that instant."""

from __future__ import annotations

import uuid
from typing import Any

from benchmarks.time_travel import ENVIRONMENTS, travel


def test_recorded_evaluations_under_random_edits_replay_without_a_difference(
    shared_database: Any,
) -> None:
    done = travel(shared_database, f"travel-{uuid.uuid4().hex}", evaluations=600, seed=9)
    assert done.differences == []
    assert len(done.records) >= 600
    assert done.edits > 5
    assert done.scheduled > 0
    # It was a journey through something: most reasons there are, and answers that changed.
    reasons = {record.served.reason.value for record in done.records}
    assert len(reasons) >= 4, reasons
    assert {record.environment for record in done.records} == set(ENVIRONMENTS)
    assert len({str(record.served.value) for record in done.records}) >= 3
