"""The flag set on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone import snapshot
from flagstone.errors import SnapshotError
from flagstone.snapshot import Snapshot

SOURCE = snapshot.source_of("http://127.0.0.1:8400", "fs_srv_a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags" / "production.snapshot"


@pytest.mark.parametrize("document", [b"", b"{}", b"a\nb\n", os.urandom(100_000)])
@pytest.mark.parametrize("etag", [None, '"abc"', 'W/"ü"'])
def test_what_is_written_is_read_again(path: Path, document: bytes, etag: str | None) -> None:
    snapshot.write(path, SOURCE, Snapshot(document, etag))
    assert snapshot.read(path, SOURCE) == Snapshot(document, etag)


def test_a_missing_file_is_no_error(path: Path) -> None:
    assert snapshot.read(path, SOURCE) is None


def test_only_the_owner_may_read_it_and_nothing_is_left_beside_it(path: Path) -> None:
    snapshot.write(path, SOURCE, Snapshot(b"{}", None))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_same_content_is_not_written_again(path: Path) -> None:
    snapshot.write(path, SOURCE, Snapshot(b"{}", '"1"'))
    before = path.stat().st_ino
    snapshot.write(path, SOURCE, Snapshot(b"{}", '"1"'))
    assert path.stat().st_ino == before
    snapshot.write(path, SOURCE, Snapshot(b"{ }", '"2"'))
    assert path.stat().st_ino != before


@given(data=st.data())
def test_any_damage_is_noticed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    snapshot.write(path, SOURCE, Snapshot(b'{"flags": {}}', '"1"'))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "longer"]))
    if kind == "cut":
        path.write_bytes(whole[:at])
    elif kind == "flip":
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    else:
        path.write_bytes(whole + b"x")
    with pytest.raises(SnapshotError):
        snapshot.read(path, SOURCE)


@given(content=st.binary(max_size=300))
def test_a_file_of_somebody_else_is_noticed(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "foreign"
    path.write_bytes(content)
    with pytest.raises(SnapshotError):
        snapshot.read(path, SOURCE)


def test_another_key_or_service_does_not_take_it(path: Path) -> None:
    snapshot.write(path, SOURCE, Snapshot(b"{}", None))
    for url, key in [("http://127.0.0.1:8400", "fs_srv_b"), ("http://127.0.0.1:1", "fs_srv_a")]:
        with pytest.raises(SnapshotError, match="another service or key"):
            snapshot.read(path, snapshot.source_of(url, key))


def test_the_key_does_not_stand_in_the_file(path: Path) -> None:
    snapshot.write(path, SOURCE, Snapshot(b"{}", None))
    assert b"fs_srv" not in path.read_bytes()


def test_a_place_that_cannot_be_written_is_a_snapshot_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError):
        snapshot.write(tmp_path / "file" / "x", SOURCE, Snapshot(b"{}", None))
    with pytest.raises(SnapshotError):
        snapshot.write(tmp_path, SOURCE, Snapshot(b"{}", None))
    with pytest.raises(SnapshotError):
        snapshot.read(tmp_path, SOURCE)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
