"""Every kind of event store, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.store.opening import open_store
from experiments.store.promises import EventStore


@pytest.fixture(params=["folder", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where events are kept: every test that asks for it runs on each kind of store."""
    if request.param == "folder":
        return tmp_path / "events"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def any_store(place: Path | str) -> Iterator[EventStore]:
    """An open store."""
    opened = open_store(place)
    yield opened
    opened.close()
