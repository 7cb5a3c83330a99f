"""``flagstone replay``: real experiments through the command, and files with a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLANS = Path(__file__).resolve().parents[2] / "experiments" / "plans"

PLAN = """
key = "small"
control = "a"
treatments = ["b"]
hypothesis = "More of them buy."
customer = "head of the shop"
owner = "analyst"
prove_by = "28d"

[[metrics]]
key = "bought"
role = "success"
kind = "conversion"
mde = 0.1

[replay.exposures]
unit = "user"
variant = "arm"
"""


@pytest.mark.parametrize(
    ("plan", "data", "verdict", "code"),
    [
        ("cookie_cats", "cookie_cats/cookie_cats.csv", "HARM", 10),
        ("hillstrom", "hillstrom_email/hillstrom.csv", "VALUE_PROVEN", 0),
        ("lalonde", "lalonde_nsw/nsw_mixtape.csv", None, None),
    ],
)
def test_a_real_experiment_is_decided_again(
    alone: Any, shared_dir: Path, plan: str, data: str, verdict: str | None, code: int | None
) -> None:
    file = str(shared_dir / "datasets" / data)
    arguments = ["--exposures", file, "--outcomes", file, "--plan", str(PLANS / f"{plan}.toml")]
    answer = alone.pipe("replay", *arguments)
    found = answer.json
    if verdict is not None:
        assert (found["verdict"], answer.code) == (verdict, code)
    proven = found["verdict"] in {"VALUE_PROVEN", "NO_HARM_PROVEN"}
    assert answer.code == (0 if proven else 10)
    for part in ("WORTH", "HARM", "TRUST", "EVIDENCE", "For comparison"):
        assert part in found["card"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A plan and data of two hundred people, nobody of whom bought anything different."""
    rows = [f"u{i},{'ab'[i % 2]},{int(i % 4 < 2)}" for i in range(200)]
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["user,arm,bought", *rows]) + "\n")
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    return {"data": data, "plan": plan}


def run(alone: Any, files: dict[str, Path], how: str = "pipe") -> Any:
    data, plan = str(files["data"]), str(files["plan"])
    arguments = ("replay", "--exposures", data, "--outcomes", data, "--plan", plan)
    return getattr(alone, how)(*arguments)


def test_a_terminal_gets_the_card(alone: Any, files: dict[str, Path]) -> None:
    answer = run(alone, files, "terminal")
    assert answer.code == 10, answer.everything
    assert "WORTH" in answer.out
    assert not answer.out.startswith("{")


@pytest.mark.parametrize(
    ("line", "row", "words"),
    [
        (5, "u3,b,maybe", "data.csv, line 5, column \"bought\": 'maybe' is neither true nor false"),
        (2, "u0,c,1", "data.csv, line 2, column \"arm\": 'c' is no arm (a, b)"),
        (7, "u5,b", "data.csv, line 7: 2 cells, but the header has 3"),
        (3, ",b,1", 'data.csv, line 3, column "user": no unit'),
        (1, "user,group,bought", 'data.csv, line 1, column "arm": no such column'),
    ],
)
def test_a_bad_row_names_file_line_column_and_reason(
    alone: Any, files: dict[str, Path], line: int, row: str, words: str
) -> None:
    lines = files["data"].read_text().splitlines()
    lines[line - 1] = row
    files["data"].write_text("\n".join(lines))
    answer = run(alone, files)
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.error


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"user,arm,bought\n", b"user,arm,bought\n" + b"x" * 200_000]
)
def test_a_file_that_is_no_table_is_named(
    alone: Any, files: dict[str, Path], content: bytes
) -> None:
    files["data"].write_bytes(content)
    answer = run(alone, files)
    assert answer.code == 1, answer.everything
    assert "data.csv" in answer.error


def test_a_header_that_is_endless_is_no_traceback(alone: Any, files: dict[str, Path]) -> None:
    files["data"].write_bytes(b"x" * 200_000)
    answer = run(alone, files)
    assert answer.code == 1
    assert "data.csv" in answer.error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAN.replace('key = "small"', "key = small").encode(), "line 2"),
        (PLAN.replace("mde = 0.1", "mde = -1").encode(), "at:   metrics[0].mde"),
        (PLAN.replace('owner = "analyst"', "").encode(), "hint: exactly one accountable person"),
        (PLAN.split("[replay")[0].encode(), "Error: "),
        (b"\x89PNG\r\n\x1a\n\x00", "is not UTF-8 text: byte 0 is 0x89"),
    ],
)
def test_a_bad_plan_names_its_place(
    alone: Any, files: dict[str, Path], content: bytes, words: str
) -> None:
    files["plan"].write_bytes(content)
    answer = run(alone, files)
    assert answer.code == 1, answer.everything
    assert words in answer.error


def test_missing_files_are_usage_errors(alone: Any, files: dict[str, Path]) -> None:
    files["plan"].unlink()
    answer = run(alone, files)
    assert answer.code == 2
    assert "does not exist" in answer.error
    assert alone.pipe("replay").code == 2
