"""What a newcomer types stands in README, and the script that times the path finds it there."""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.newcomer import read

README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_newcomers_path_is_made_of_readmes_own_lines() -> None:
    told = read(README.read_text())
    assert told.commands[0].startswith("make install")
    assert told.commands[-1] == "flagstone serve"
    assert told.install == "pip install ./sdk"
    assert "fs_srv_…" in told.program
    assert "http://127.0.0.1:8400" in told.program
    ast.parse(told.program)
