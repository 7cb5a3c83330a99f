"""Sources on the command line: declared, shown, looked into from here, forgotten."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE seen (unit INT, variant VARCHAR, time TIMESTAMP)")
        connection.execute("CREATE TABLE done (unit INT, name VARCHAR, time TIMESTAMP)")
        connection.execute("INSERT INTO seen VALUES (1, 'new', '2026-03-02 09:00:00')")
        connection.execute("INSERT INTO done VALUES (2, 'buy', '2026-03-02 09:00:01')")
    return path


def declaration(tmp_path: Path, table: str = "done") -> str:
    file = tmp_path / "source.toml"
    file.write_text(
        'kind = "duckdb"\nurl_env = "WAREHOUSE_URL"\n'
        f'[exposures]\ntable = "seen"\n[tracks]\ntable = "{table}"\n'
    )
    return str(file)


def test_a_document_is_checked_without_a_service(
    alone: Any, warehouse: Path, tmp_path: Path
) -> None:
    alone.variables["WAREHOUSE_URL"] = str(warehouse)
    report = alone.ok("sources", "check", declaration(tmp_path))
    assert report["exposures"]["rows"] == report["tracks"]["units"] == 1
    assert report["tracks"]["newest"] == 1_772_442_001.0
    assert report["shared_units"] == 0
    assert report["warnings"] == [
        "No unit of the tracks has an exposure: do both name the same kind of unit?"
    ]
    bad = alone.pipe("sources", "check", declaration(tmp_path, "gone"))
    assert bad.code == 1
    assert "tracks.table" in bad.everything
    assert "there are: done, seen" in bad.everything
    alone.variables["WAREHOUSE_URL"] = ""
    unset = alone.pipe("sources", "check", declaration(tmp_path))
    assert "WAREHOUSE_URL is not set" in unset.everything


def test_a_missing_driver_names_the_extra(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(declaration(tmp_path))
    file.write_text(file.read_text().replace("duckdb", "spark"))
    alone.variables["WAREHOUSE_URL"] = "local[1]"
    monkeypatch.setitem(sys.modules, "pyspark", None)
    answer = alone.pipe("sources", "check", str(file))
    assert answer.code == 1
    assert "pip install 'flagstone[spark]'" in answer.everything
    assert "WAREHOUSE_URL" not in os.environ


def test_a_source_is_declared_shown_and_forgotten(cli: Any, tmp_path: Path) -> None:
    file = declaration(tmp_path)
    assert cli.ok("sources", "set", "shelf", file)["version"] == 1
    assert cli.ok("sources", "show", "shelf")["tracks"]["table"] == "done"
    assert "shelf" in [each["key"] for each in cli.ok("sources", "list")]
    assert cli.ok("sources", "delete", "shelf") == {"deleted": "shelf"}
    assert cli.pipe("sources", "show", "shelf").code == 1
