"""A small recorded history, and the commands that read one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


def write_history(folder: Path, rows: Iterable[str]) -> dict[str, Path]:
    """Write a plan, and data with these rows."""
    files = {"data": folder / "data.csv", "plan": folder / "plan.toml"}
    files["data"].write_text("\n".join(["user,arm,bought", *rows]) + "\n")
    files["plan"].write_text(PLAN)
    return files


def run(command: str, alone: Any, files: dict[str, Path], *more: str, how: str = "pipe") -> Any:
    """Run a command over them: in a pipe, on a terminal, or as a process."""
    data, plan = str(files["data"]), str(files["plan"])
    return getattr(alone, how)(
        command, "--exposures", data, "--outcomes", data, "--plan", plan, *more
    )
