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


def test_every_topic_is_there_and_every_case_of_it(shared_dir: Path) -> None:
    folder = shared_dir / "golden"
    assert {path.stem for path in folder.glob("*.json")} == set(golden.TOPICS)
    assert all(golden.cases(folder, topic) for topic in golden.TOPICS)


def test_the_command_counts_what_passes_and_names_what_is_not_built(
    shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert golden.main([str(shared_dir / "golden"), "srm", "newcombe_pub"]) == 0
    assert "10 of 10 cases pass" in capsys.readouterr().out


def test_the_command_names_what_is_not_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "astrology.json").write_text('{"cases": []}')
    assert golden.main([str(tmp_path), "astrology"]) == 1
    assert "astrology            not built yet" in capsys.readouterr().out


@pytest.mark.parametrize("got", [None, [], [1], [1, 2, 3], 1])
def test_a_list_of_another_length_is_a_mismatch(
    monkeypatch: pytest.MonkeyPatch, got: object
) -> None:
    monkeypatch.setitem(golden.TOPICS, "made", lambda inputs: {"some": got, "none": []})
    case = {"inputs": {}, "expected": {"some": [1, 2], "none": []}, "tolerance": {}}
    assert [wrong.key for wrong in golden.check("made", case)[1]] == ["some"]


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
