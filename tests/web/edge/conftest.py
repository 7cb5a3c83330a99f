"""Snapshots made of documents, for the handlers that need nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from web.edge.state import Snapshot, make_snapshot


def snapshot_of(flags: dict[str, Any], *, version: int = 7, etag: str = "e7") -> Snapshot:
    """Make a snapshot of the environment ``shop/production``."""
    document = {
        "schema": 1,
        "environment": "production",
        "version": version,
        "flags": flags,
        "segments": {},
    }
    return make_snapshot(
        environment_id=1,
        flag_set_id="shop/production",
        version=version,
        etag=etag,
        body=json.dumps(document).encode(),
    )


@pytest.fixture
def make_snapshot_of() -> Callable[..., Snapshot]:
    """Give the maker of snapshots."""
    return snapshot_of


@pytest.fixture
def clock() -> list[float]:
    """Give a clock whose one element is the time, to be set. POSIX seconds."""
    return [1_780_000_000.0]


@pytest.fixture
def here(control: Any) -> int:
    """Give the number of a fresh environment."""
    number: int = control.environment()
    return number
