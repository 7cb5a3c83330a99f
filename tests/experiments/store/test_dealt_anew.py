"""Every event store deals an audit's units alike, as anybody can compute."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from experiments.monitoring.standing_audit import dealt_anew
from experiments.store.base import Event


def test_the_arm_of_a_unit_is_the_first_digit_of_its_md5(any_store: Any) -> None:
    units = [*(f"user-{i}" for i in range(300)), "ünit ☃", "it's", 'a"b', "100%"]
    events = [
        Event(
            id=uuid.UUID(int=i + 1).bytes,
            environment_id=7,
            time=1_772_442_000.0 + i,
            unit=unit,
            flag="f",
            variant="control",
            rule="exp-a",
            revision=1,
        )
        for i, unit in enumerate(units)
    ]
    any_store.append(events)
    salt = "audit-7-733:it's 100%"
    with any_store.tables(7) as (exposures, _tracks):
        dealt = dealt_anew(exposures, salt)
        rows = exposures.get_backend().to_pyarrow(dealt).to_pylist()
    found = {row["unit"]: row["variant"] for row in rows}
    assert found == {
        unit: "a" if hashlib.md5(f"{salt}.{unit}".encode()).hexdigest()[0] in "01234567" else "b"
        for unit in units
    }
    assert 100 < sum(arm == "a" for arm in found.values()) < 204
