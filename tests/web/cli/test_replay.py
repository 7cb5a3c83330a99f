"""``flagstone replay``: real experiments through the command, and files with a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.web.cli.histories import PLANS, run, write_history


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
    return write_history(tmp_path, [f"u{i},{'ab'[i % 2]},{int(i % 4 < 2)}" for i in range(200)])


def test_a_terminal_gets_the_card(alone: Any, files: dict[str, Path]) -> None:
    answer = run("replay", alone, files, how="terminal")
    assert answer.code == 10, answer.everything
    assert "WORTH" in answer.out
    assert not answer.out.startswith("{")
