"""``flagstone calibrate``: what it means first, every figure after, and files with a fault."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from experiments.replays.calibrate import calibrate
from stats import Verdict
from tests.web.cli.histories import PLAN, PLANS, write_history
from tests.web.cli.histories import run as run_history
from web.cli.calibrate_words import words

FILES = {
    "cookie_cats": "cookie_cats/cookie_cats.csv",
    "hillstrom": "hillstrom_email/hillstrom.csv",
    "lalonde": "lalonde_nsw/nsw_mixtape.csv",
}


@pytest.mark.parametrize("name", FILES)
def test_a_real_experiment_is_calibrated_in_seconds(
    alone: Any, shared_dir: Path, name: str
) -> None:
    file = str(shared_dir / "datasets" / FILES[name])
    if not Path(file).is_file():
        pytest.skip(f"no data beside the checkout ({Path(file).name} is absent)")
    begin = time.process_time()
    answer = alone.pipe(
        *("calibrate", "--exposures", file, "--outcomes", file),
        *("--plan", str(PLANS / f"{name}.toml"), "--test"),
    )
    # Three to eight on a busy machine with two processors.
    assert time.process_time() - begin < 60
    assert answer.code == 0, answer.everything
    found = answer.json
    assert (found["kept"], found["times"], found["seed"]) == (True, 2000, 1)
    null = found["worlds"][0]
    assert (null["name"], null["lifts"]) == ("worthless", {})
    for verdict in ("HARM", "VALUE_PROVEN"):
        share = null["ended"][verdict]
        assert share["promised"] == 0.025
        assert share["low"] <= share["count"] / 2000 == share["share"] <= share["high"]
        assert share["low"] <= 0.025
    assert found["power"] == found["worlds"][1]["ended"]["VALUE_PROVEN"]["share"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A plan and data of four hundred people, a third of whom bought something."""
    rng = random.Random(6)
    return write_history(
        tmp_path, [f"u{i},{rng.choice('ab')},{int(i % 3 == 0)}" for i in range(400)]
    )


run = partial(run_history, "calibrate")


def test_a_terminal_gets_sentences_first_and_a_bar_while_it_waits(
    alone: Any, files: dict[str, Path]
) -> None:
    answer = run(alone, files, how="terminal")
    assert answer.code == 0, answer.everything
    assert "Dealing anew" in answer.out
    text = answer.out[answer.out.index("On these data") :]
    first, second, third, *_rest = text.splitlines()
    assert first == "On these data the machine keeps what the policy promises."
    assert second.startswith("When nothing is different, it cries harm in ")
    assert third.startswith("A change that lifts bought by 10 % is proven in ")
    assert "400 units, dealt anew 2,000 times to a, b\nby a coin of 1 : 1, seed 1; 1 look." in text
    for title in (
        "Nothing is different\n",
        "As good as planned: bought +10 %",
        "As bad: bought −10",
    ):
        assert title in text
    assert text.count("wrong; at most 2.5 % promised: ok") == 4


def test_a_pipe_gets_json_and_no_bar(alone: Any, files: dict[str, Path]) -> None:
    answer = run(alone, files, how="process")
    assert (answer.code, answer.error) == (0, "")
    assert answer.json["units"] == 400


def test_json_on_a_terminal_has_no_bar_either(alone: Any, files: dict[str, Path]) -> None:
    data, plan = str(files["data"]), str(files["plan"])
    answer = alone.terminal(
        "--json", "calibrate", "--exposures", data, "--outcomes", data, "--plan", plan
    )
    assert answer.out.startswith("{")
    assert answer.json["kept"] is True


def test_times_and_seed_are_obeyed(alone: Any, files: dict[str, Path]) -> None:
    first = run(alone, files, "--times", "2500", "--seed", "3").json
    assert (first["times"], first["seed"]) == (2500, 3)
    assert run(alone, files, "--runs", "2500", "--seed", "3").json == first
    assert run(alone, files, "--times", "2500", "--seed", "4").json["worlds"] != first["worlds"]
    assert run(alone, files, "--times", "1999").code == 2


def test_a_broken_promise_is_said_first_and_ends_with_10_when_tested(
    alone: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = calibrate(files["data"], files["data"], PLAN, times=2000)
    null = found.worlds[0]
    harm = replace(null.shares[Verdict.HARM], count=99, low=0.04, high=0.06)
    broken = replace(null, shares={**null.shares, Verdict.HARM: harm})
    found = replace(found, worlds=(broken, *found.worlds[1:]))
    text = words(found)
    assert text.startswith("On these data the machine does NOT keep what the policy promises:")
    assert "harm (nothing is different): 4.95 %, promised at most 2.5 %" in text
    assert "NOT KEPT" in text
    monkeypatch.setattr("experiments.replays.calibrate.calibrate", lambda *_args, **_named: found)
    assert run(alone, files).code == 0
    answer = run(alone, files, "--test")
    assert (answer.code, answer.json["kept"]) == (10, False)


def test_a_history_says_when_it_ends(tmp_path: Path) -> None:
    rng = random.Random(1)
    file = tmp_path / "data.csv"
    rows = [f"u{i},{rng.choice('ab')},{i * 600},{int(rng.random() < 0.3)}" for i in range(3000)]
    file.write_text("\n".join(["user,arm,at,bought", *rows]))
    text = words(calibrate(file, file, PLAN + 'time = "at"\n', times=100))
    assert "; 21 looks; the data end before the deadline." in text
    assert "undecided when the data end" in text
    assert "not proven in time" not in text
    assert "  ends on day " in text


def test_an_effect_that_the_data_have_no_room_for_is_told_of_the_plan(
    alone: Any, files: dict[str, Path]
) -> None:
    files["plan"].write_text(PLAN.replace("mde = 0.1", "mde = 4"))
    answer = run(alone, files)
    assert answer.code == 1, answer.everything
    assert "at:   metrics[0].mde\n  hint: these data leave no" in answer.error


@pytest.mark.parametrize("rows", [1, 2, 3, 30])
def test_a_handful_of_units_is_no_error_and_nothing_is_found(
    alone: Any, files: dict[str, Path], rows: int
) -> None:
    lines = files["data"].read_text().splitlines()
    files["data"].write_text("\n".join(lines[: rows + 1]))
    answer = run(alone, files)
    assert answer.code == 0, answer.everything
    assert answer.json["worlds"][0]["ended"]["NOT_PROVEN_IN_TIME"]["count"] == 2000


def test_outcomes_that_never_vary_find_nothing(alone: Any, files: dict[str, Path]) -> None:
    files["data"].write_text(files["data"].read_text().replace(",1\n", ",0\n"))
    answer = run(alone, files)
    assert answer.code == 0, answer.everything
    assert answer.json["power"] == 0
