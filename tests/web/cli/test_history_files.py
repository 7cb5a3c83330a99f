"""Files of a recorded history that have a fault, given to each command that reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.web.cli.histories import PLAN, run, write_history

every_command = pytest.mark.parametrize("command", ["replay", "calibrate"])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A plan and data of two hundred people, nobody of whom bought anything different."""
    return write_history(tmp_path, [f"u{i},{'ab'[i % 2]},{int(i % 4 < 2)}" for i in range(200)])


@every_command
@pytest.mark.parametrize(
    ("line", "row", "said"),
    [
        (5, "u3,b,maybe", "data.csv, line 5, column \"bought\": 'maybe' is neither true nor false"),
        (2, "u0,c,1", "data.csv, line 2, column \"arm\": 'c' is no arm (a, b)"),
        (7, "u5,b", "data.csv, line 7: 2 cells, but the header has 3"),
        (3, ",b,1", 'data.csv, line 3, column "user": no unit'),
        (1, "user,group,bought", 'data.csv, line 1, column "arm": no such column'),
    ],
)
def test_a_bad_row_names_file_line_column_and_reason(
    alone: Any, files: dict[str, Path], command: str, line: int, row: str, said: str
) -> None:
    lines = files["data"].read_text().splitlines()
    lines[line - 1] = row
    files["data"].write_text("\n".join(lines))
    answer = run(command, alone, files)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.error


@every_command
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff\xfe\x00", b"user,arm,bought\n", b"user,arm,bought\n" + b"x" * 200_000),
        b"x" * 200_000,
    ],
    ids=["empty", "binary", "a-header-alone", "an-endless-cell", "an-endless-header"],
)
def test_a_file_that_is_no_table_is_named(
    alone: Any, files: dict[str, Path], command: str, content: bytes
) -> None:
    files["data"].write_bytes(content)
    answer = run(command, alone, files)
    assert answer.code == 1, answer.everything
    assert "data.csv" in answer.error


@every_command
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAN.replace('key = "small"', "key = small").encode(), "line 2"),
        (PLAN.replace("mde = 0.1", "mde = -1").encode(), "at:   metrics[0].mde"),
        (PLAN.replace('owner = "analyst"', "").encode(), "hint: exactly one accountable person"),
        (PLAN.split("[replay")[0].encode(), "at:   "),
        (b"\x89PNG\r\n\x1a\n\x00", "is not UTF-8 text: byte 0 is 0x89"),
    ],
    ids=["no-toml", "mde", "owner", "no-replay", "binary"],
)
def test_a_bad_plan_names_its_place(
    alone: Any, files: dict[str, Path], command: str, content: bytes, said: str
) -> None:
    files["plan"].write_bytes(content)
    answer = run(command, alone, files)
    assert answer.code == 1, answer.everything
    assert said in answer.error
    assert "Error: " in answer.error


@every_command
def test_missing_files_are_usage_errors(alone: Any, files: dict[str, Path], command: str) -> None:
    files["plan"].unlink()
    answer = run(command, alone, files)
    assert answer.code == 2
    assert "does not exist" in answer.error
    assert alone.pipe(command).code == 2
