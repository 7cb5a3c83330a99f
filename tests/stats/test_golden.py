"""Our functions against other programs' numbers: every case, at its own tolerance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import golden

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "golden"
CASES = (
    [(topic, case) for topic in golden.TOPICS for case in golden.cases(FOLDER, topic)]
    if FOLDER.is_dir()
    else []
)


ABSENT = pytest.param(
    "", {}, id="absent", marks=pytest.mark.skip(reason="no golden cases beside the checkout")
)


@pytest.mark.parametrize(
    ("topic", "case"), [pytest.param(*entry, id=entry[1]["id"]) for entry in CASES] or [ABSENT]
)
def test_a_golden_case_is_reproduced(topic: str, case: dict) -> None:
    _, mismatches = golden.check(topic, case)
    assert mismatches == []


def test_every_topic_of_this_issue_is_there(shared_dir: Path) -> None:
    required = {
        "welch",
        "proportion",
        "srm",
        "gst_bounds",
        "oeas_bounds",
        "kill_stat",
        "noninferiority",
        "trajectory",
        "scenario",
    }
    assert required <= set(golden.TOPICS)
    assert all(golden.cases(shared_dir / "golden", topic) for topic in required)


def test_the_command_counts_what_passes_and_names_what_is_not_built(
    shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert golden.main([str(shared_dir / "golden"), "srm", "newcombe_pub"]) == 0
    assert "10 of 10 cases pass" in capsys.readouterr().out
    assert golden.main([str(shared_dir / "golden"), "bandit"]) == 1
    assert "bandit               not built yet" in capsys.readouterr().out


def test_the_command_fails_when_a_number_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = {
        "id": "srm-x",
        "method": "srm",
        "inputs": {"counts": [5100, 4900], "weights": [0.5, 0.5], "concentration": 100},
        "expected": {"chi2": 4.001, "chi2_p": "inf"},
        "tolerance": {"rel": 1e-7, "abs": 1e-9},
    }
    (tmp_path / "srm.json").write_text(json.dumps({"cases": [case]}))
    assert golden.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "srm-x chi2: got 4.0, expected 4.001" in printed
    assert "srm-x chi2_p" in printed
